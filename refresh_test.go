package reauth

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

func mustParse(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// expired answers as Traefik's forwardAuth does when it hands on the outpost's
// refusal: all of its headers are added to what is there.
var expired = answering(302,
	"Location: "+authorizeURL,
	"Set-Cookie: authentik_proxy_0123abcd=x; Path=/; HttpOnly",
	"Content-Type: text/html; charset=utf-8",
	"Content-Length: 11",
	"Etag: \"1\"",
	"Cache-Control: private",
	"Vary: Cookie",
	"X-Powered-By: authentik",
	"Access-Control-Allow-Origin: *",
)

// withHeader returns base with the lines of more in place of its own.
func withHeader(base, more http.Header) http.Header {
	all := base.Clone()
	for name, values := range more {
		all[name] = values
	}
	return all
}

// statusWriter keeps every status it is given, informational ones too.
type statusWriter struct {
	*httptest.ResponseRecorder
	statuses []int
}

func (w *statusWriter) WriteHeader(status int) {
	w.statuses = append(w.statuses, status)
	if status >= 200 {
		w.ResponseRecorder.WriteHeader(status)
	}
}

func TestWrapperStreams(t *testing.T) {
	tests := []struct {
		name    string
		status  int
		length  string
		flushed []bool // by the head, if there is a status, the first and the second write
	}{
		{"stream", 200, "", []bool{true, true, true}},
		{"known length", 200, "6", []bool{false, true, true}},
		{"error", 500, "", []bool{false, true, true}},
		{"known length without a status", 0, "6", []bool{true, true}},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			var flushed []bool
			note := func() {
				flushed = append(flushed, rec.Flushed)
				rec.Flushed = false
			}
			h := newHandler(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				if tt.length != "" {
					rw.Header().Set("Content-Length", tt.length)
				}
				if tt.status != 0 {
					rw.WriteHeader(tt.status)
					note()
				}
				for _, part := range []string{"one", "two"} {
					if n, err := rw.Write([]byte(part)); n != 3 || err != nil {
						t.Errorf("Write = %d, %v", n, err)
					}
					note()
				}
			}), nil)
			h.ServeHTTP(rec, request("GET", "/", scripted))
			if !reflect.DeepEqual(flushed, tt.flushed) {
				t.Errorf("flushed %v, want %v", flushed, tt.flushed)
			}
			if rec.Body.String() != "onetwo" {
				t.Errorf("body %q", rec.Body)
			}
		})
	}
}

// plainWriter is a writer that can do nothing else.
type plainWriter struct{ http.ResponseWriter }

func TestWriterThatCannotFlush(t *testing.T) {
	for want, next := range map[string]http.Handler{"from upstream": answering(404), challengeJSON: expired} {
		rec := httptest.NewRecorder()
		newHandler(t, next, nil).ServeHTTP(&plainWriter{rec}, request("GET", "/", scripted))
		if rec.Flushed || rec.Body.String() != want {
			t.Errorf("got %d %s", rec.Code, rec.Body)
		}
	}
}

func TestStatuses(t *testing.T) {
	w := &statusWriter{ResponseRecorder: httptest.NewRecorder()}
	h := newHandler(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(103)
		if len(rw.Header()) > 0 {
			t.Errorf("headers %v on the 103", rw.Header())
		}
		rw.WriteHeader(200)
		rw.WriteHeader(500)
	}), withOrigins)
	h.ServeHTTP(w, request("GET", "/", scripted, "Origin: "+listedOrigin))
	if want := []int{103, 200, 500}; !reflect.DeepEqual(w.statuses, want) {
		t.Errorf("the server saw %v, want %v", w.statuses, want)
	}
	if got := w.Header().Get("Access-Control-Allow-Origin"); got != listedOrigin {
		t.Errorf("Access-Control-Allow-Origin %q", got)
	}
}

func TestImplicitStatus(t *testing.T) {
	tests := []struct {
		name string
		next http.HandlerFunc
		body string
	}{
		{"write without status", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("x")) }, "x"},
		{"nothing at all", func(http.ResponseWriter, *http.Request) {}, ""},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			res := serveOnce(newHandler(t, tt.next, withOrigins), request("GET", "/", scripted, "Origin: "+listedOrigin))
			if res.StatusCode != 200 || bodyOf(res) != tt.body || res.Header.Get("Vary") != "Origin" {
				t.Errorf("got %d with %v", res.StatusCode, res.Header)
			}
		})
	}
}

// connected is a writer that can be hijacked, unless hijacking fails.
type connected struct {
	*httptest.ResponseRecorder
	conn net.Conn
	err  error
}

func (w *connected) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.conn, nil, w.err }

// hijacking hijacks, and answers with an expired session if it cannot.
func hijacking(t *testing.T, want net.Conn) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		hijacker, ok := rw.(http.Hijacker)
		if !ok {
			t.Fatal("the writer cannot be hijacked")
		}
		conn, _, err := hijacker.Hijack()
		if err != nil {
			expired.ServeHTTP(rw, req)
		} else if conn != want {
			t.Error("hijacked something else")
		}
	})
}

func TestHijackedConnectionIsLeftAlone(t *testing.T) {
	client, server := net.Pipe()
	defer func() { _, _ = client.Close(), server.Close() }()
	w := &connected{ResponseRecorder: httptest.NewRecorder(), conn: server}
	newHandler(t, hijacking(t, server), nil).ServeHTTP(w, request("GET", "/", scripted))
	if w.Body.Len() > 0 || len(w.Header()) > 0 {
		t.Errorf("the plugin wrote to a hijacked connection: %v", w.Header())
	}
}

func TestFailedHijackChangesNothing(t *testing.T) {
	for name, rw := range map[string]http.ResponseWriter{
		"no Hijacker": httptest.NewRecorder(),
		"HTTP/2":      &connected{ResponseRecorder: httptest.NewRecorder(), err: http.ErrNotSupported},
	} {
		newHandler(t, hijacking(t, nil), nil).ServeHTTP(rw, request("GET", "/", scripted))
		if rw.Header().Get("WWW-Authenticate") == "" || rw.Header().Get("Location") != "" {
			t.Errorf("%s: the answer after it is %v", name, rw.Header())
		}
	}
}

// loginCases are values of Location and whether they are a login, with the
// login URLs of TestLeadsToLogin.
var loginCases = map[string]bool{
	authorizeURL: true,
	startURL:     true,
	"https://app.example.com/outpost.goauthentik.io/start":    true,
	"/outpost.goauthentik.io/start/":                          true,
	"/outpost.goauthentik.io/start/x?y":                       true,
	"outpost.goauthentik.io/start":                            true,
	"//auth.example.com/application/o/authorize/?client_id=x": true,
	"https://auth.example.com:443/application/o/authorize/":   true,
	"https://AUTH.example.com/application/o/authorize":        true,
	"https://login.example.net:8443/any/path":                 true,
	"https://login.example.net:8443":                          true,
	"https://[2001:db8::1]/login":                             true,
	"https://[2001:DB8::1]:443/login/x":                       true,
	"/a/../outpost.goauthentik.io/start":                      true,
	"https://auth.example.com/application/o/authorize/?redirect_uri=https%3A%2F%2Fauth.example.com%2Foutpost.goauthentik.io%2Fcallback": true,

	"/outpost.goauthentik.io/start?rd=/a;b&x=%zz":                                   true,
	"/outpost.goauthentik.io/start?redirect_uri=/outpost.goauthentik.io/callback;x": true,
	"/outpost.goauthentik.io/start?post_logout_redirect_uri=%2F":                    true,

	"":                                     false,
	"/":                                    false,
	"/login":                               false,
	"/outpost.goauthentik.io/starting":     false,
	"/outpost.goauthentik.io/sign_out":     false,
	"/x/outpost.goauthentik.io/start":      false,
	"/outpost.goauthentik.io/start/../x":   false,
	"/outpost.goauthentik.io/start/%2e%2e": false,
	"http://auth.example.com/application/o/authorize/":                                                                     false,
	"https://auth.example.com:8443/application/o/authorize/":                                                               false,
	"https://auth.example.com.evil.example/application/o/authorize":                                                        false,
	"https://login.example.net/any/path":                                                                                   false,
	"https://auth.example.com/application/o/authorizer":                                                                    false,
	"javascript:/outpost.goauthentik.io/start":                                                                             false,
	"ftp://app.example.com/outpost.goauthentik.io/start":                                                                   false,
	"https://app.example.com/%zz":                                                                                          false,
	openIDURL:                                                                                                              false,
	"https://auth.example.com/application/o/authorize/?redirect_uri=":                                                      false,
	"https://auth.example.com/application/o/authorize/?redirect_uri=/openid;x":                                             false,
	"https://auth.example.com/application/o/authorize/?redirect_uri=%25zz":                                                 false,
	"https://auth.example.com/application/o/authorize/?redirect_uri=/outpost.goauthentik.io/../openid":                     false,
	"https://auth.example.com/application/o/authorize/?redirect_uri=/outpost.goauthentik.io/callback&redirect_uri=/openid": false,

	"/outpost.goauthentik.io/start?redirect_uri=/outpost.goauthentik.io/callback&redirect_uri=/openid;x": false,
}

func manyLogins(c *Config) {
	c.LoginURLs = []string{
		"/outpost.goauthentik.io/start",
		"https://Auth.example.com/application/o/authorize/",
		"https://login.example.net:8443",
		"https://[2001:db8::1]:443/login",
	}
}

func TestLeadsToLogin(t *testing.T) {
	h := parsed(t, manyLogins)
	for location, want := range loginCases {
		if got := leadsToLogin(h, mustParse(t, appURL+"/"), location, false); got != want {
			t.Errorf("Location %q: %v, want %v", location, got, want)
		}
	}
	if !leadsToLogin(h, mustParse(t, appURL+"/outpost.goauthentik.io/callback"), "start?rd=/", false) {
		t.Error("a relative Location is not resolved against the request")
	}
}

func TestLoginRedirectIsResolvedAgainstTheRequest(t *testing.T) {
	tests := []struct {
		name   string
		login  string
		target string
		header string
		want   int
	}{
		{"https by TLS", "https://app.example.com/start", "https://app.example.com/", "", 401},
		{"https by the proxy in front", "https://app.example.com/start", "http://app.example.com/", "https", 401},
		{"https by the first of several", "https://app.example.com/start", "http://app.example.com/", "HTTPS , http", 401},
		{"https by another Traefik, of a WebSocket", "https://app.example.com/start", "http://app.example.com/", "wss", 401},
		{"http by the first of several", "https://app.example.com/start", "http://app.example.com/", "http, https", 302},
		{"http", "http://app.example.com/start", "http://app.example.com/", "http", 401},
		{"other scheme", "https://app.example.com/start", "http://app.example.com/", "", 302},
		{"other host", "https://app.example.com/start", "https://other.example.com/", "", 302},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			// What stands upstream may rewrite the request before it answers.
			rewriting := http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
				req.Host = "10.0.0.1"
				req.URL.Path = "/stripped"
				req.Header.Set("X-Forwarded-Proto", "gopher")
				answering(302, "Location: /start").ServeHTTP(rw, req)
			})
			h := newHandler(t, rewriting, func(c *Config) { c.LoginURLs = []string{tt.login} })
			req := httptest.NewRequest("GET", tt.target, nil)
			if tt.header != "" {
				req.Header.Set("X-Forwarded-Proto", tt.header)
			}
			if got := serveOnce(h, req).StatusCode; got != tt.want {
				t.Errorf("status %d, want %d", got, tt.want)
			}
		})
	}
}

// TestCompressedScriptIsSaidOnce warns where the app's script cannot be read.
func TestCompressedScriptIsSaidOnce(t *testing.T) {
	logged := capture(t)
	h := newHandler(t, passing("me", answering(200, "Content-Type: text/javascript", "Content-Encoding: gzip")), nil)
	serveOnce(h, request("GET", "/app.js", scripted))
	if logged.Len() > 0 {
		t.Errorf("warned without cause: %s", logged)
	}
	serveOnce(h, request("GET", "/sw.js", asWorker...))
	serveOnce(h, request("GET", "/sw.js", asWorker...))
	if text := logged.String(); strings.Count(text, "compressed") != 1 || !strings.Contains(text, "reauth@docker") {
		t.Errorf("got %q", text)
	}
}

func TestWhichAnswersAreChallenged(t *testing.T) {
	location := func(l string) []string { return []string{"Location: " + l} }
	tests := []struct {
		name    string
		status  int
		headers []string
		want    wantOutcome
	}{
		{"moved permanently", 301, location(authorizeURL), challenged},
		{"found", 302, location(authorizeURL), challenged},
		{"see other", 303, location(authorizeURL), challenged},
		{"temporary redirect", 307, location(authorizeURL), challenged},
		{"permanent redirect", 308, location(authorizeURL), challenged},
		{"start of the outpost", 302, location(startURL), challenged},
		{"not modified", 304, location(authorizeURL), passed},
		{"created", 201, location(authorizeURL), passed},
		{"redirect without Location", 302, nil, passed},
		{"redirect elsewhere", 302, location("/login"), passed},
		{"the app's own OpenID login", 302, location(openIDURL), passed},
		{"unauthorized", 401, nil, passed},
		{"forbidden", 403, location(authorizeURL), passed},
		{"client closed request", 499, nil, passed},
		{"server error", 500, location(authorizeURL), passed},
		{"success", 200, nil, passed},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			h := newHandler(t, answering(tt.status, tt.headers...), nil)
			res := serveOnce(h, request("GET", "/", scripted))
			got := passed
			if res.StatusCode == 401 && res.Header.Get("WWW-Authenticate") != "" {
				got = challenged
			} else if res.StatusCode != tt.status || bodyOf(res) != "from upstream" {
				got = wantOutcome(fmt.Sprintf("status %d", res.StatusCode))
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// certain returns the middleware of a provider once it has seen what passes, and has been
// asked for nothing else. Then what answers is refused until the returned function is
// called, and passes after it.
func certain(t testing.TB, name string, answers http.Handler) (h http.Handler, pass func()) {
	t.Helper()
	passes := true
	h = newHandler(t, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if passes {
			passing("me", answers).ServeHTTP(rw, req)
		} else {
			answers.ServeHTTP(rw, req)
		}
	}), func(c *Config) { c.Provider = name })
	serveOnce(h, request("GET", "/first", scripted))
	passes = false
	return h, func() { passes = true }
}

const dated = "Date: Fri, 27 Nov 2026 08:00:00 GMT"

// TestRefusedForCertain tells the auth server's answers from those of Traefik's own
// middlewares, and both from the app's, to which the same is done once they pass.
func TestRefusedForCertain(t *testing.T) {
	away := "Location: https://id.example.com/anywhere?redirect_uri=https%3A%2F%2Fapp.example.com%2Fopenid%2Fcallback"
	for _, tt := range []struct {
		what     string
		provider string
		answer   http.Handler
		expired  bool
	}{
		{"a redirect to another host", "authelia", answering(302, dated, away), true},
		{"a redirect after a POST", "authelia", answering(303, dated, away), true},
		{"a redirect of tinyauth's", "tinyauth", answering(307, dated, away), true},
		{"a redirect to another port of the host", "authelia", answering(302, dated, "Location: https://app.example.com:9443/"), true},
		{"a redirect to the host in capitals", "authelia", answering(302, dated, "Location: https://APP.example.com/"), false},
		{"a redirect that Traefik makes itself", "authelia", answering(302, away), false},
		{"a redirect on the host", "authelia", answering(302, dated, "Location: /there"), false},
		{"a redirect to the host's other scheme", "authelia", answering(301, dated, "Location: http://app.example.com/"), false},
		{"a redirect to nowhere", "authelia", answering(302, dated), false},
		{"a redirect to another program", "authelia", answering(302, dated, "Location: mailto:me@example.com"), false},
		{"a redirect to a login URL on the host", "oauth2-proxy", answering(302, "Location: /oauth2/start?rd=/"), true},
		{"a login for the app, by the same identity provider", "authentik", answering(302, "Location: "+openIDURL), true},
		{"a 401 with a Location", "authelia", answering(401, dated, away), true},
		{"a 401 without", "authelia", answering(401, dated), false},
		{"a 401 where a login can be started", "oauth2-proxy", answering(401, dated), true},
		{"a 401 for a program", "tinyauth", answering(401, dated), true},
		{"a 401 of one that would lead to its login", "authentik", answering(401, dated), false},
		{"a 401 with a challenge of its own", "oauth2-proxy", answering(401, dated, "WWW-Authenticate: Basic"), false},
		{"a 401 that Traefik makes itself", "oauth2-proxy", answering(401), false},
		{"a 403", "oauth2-proxy", answering(403, dated, away), false},
		{"a 407", "oauth2-proxy", answering(407, dated, away), false},
		{"an error", "oauth2-proxy", answering(500, dated, away), false},
		{"an answer", "oauth2-proxy", answering(200, dated, away), false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			h, pass := certain(t, tt.provider, tt.answer)
			res := serveOnce(h, request("GET", "/api", scripted))
			if got := strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Reauth "); got != tt.expired {
				t.Errorf("refused: got %d, challenged %v", res.StatusCode, got)
			}
			pass()
			res = serveOnce(h, request("GET", "/api", scripted))
			if strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Reauth ") || bodyOf(res) != "from upstream" {
				t.Errorf("passed: got %d", res.StatusCode)
			}
		})
	}
}

// TestUncertain holds the plugin to the login URLs where it has not seen that forwardAuth
// hands on who the user is.
func TestUncertain(t *testing.T) {
	h := newHandler(t, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		answering(map[string]int{"/200": 200, "/401": 401, "/302": 302}[req.URL.Path], dated, "Location: "+req.URL.RawQuery).ServeHTTP(rw, req)
	}), nil)
	for target, status := range map[string]int{
		"/200?x":                       200,
		"/302?" + openIDURL:            302,
		"/302?https://id.example.com/": 302,
		"/401?" + startURL:             401,
		"/302?" + startURL:             401,
	} {
		res := serveOnce(h, request("GET", target, scripted))
		if challenged := res.Header.Get("WWW-Authenticate") != ""; res.StatusCode != status || challenged != (target == "/302?"+startURL) {
			t.Errorf("%s: got %d, challenged %v", target, res.StatusCode, challenged)
		}
	}
}

// TestVisitsTeach holds the plugin to be certain after the first visit that passes, and
// not after one that is refused.
func TestVisitsTeach(t *testing.T) {
	for _, change := range []func(*Config){nil, withOrigins} {
		for passes, status := range map[bool]int{true: 401, false: 302} {
			h := newHandler(t, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
				answer := answering(302, dated, "Location: https://id.example.com/")
				if passes && req.URL.Path == "/visit" {
					answer = passing("", answering(200))
				}
				answer.ServeHTTP(rw, req)
			}), change)
			serveOnce(h, request("GET", "/visit", navigate))
			if got := serveOnce(h, request("GET", "/api", scripted)).StatusCode; got != status {
				t.Errorf("after a visit that passes %v: got %d", passes, got)
			}
		}
	}
}

// TestWhatToListIsSaidOnce warns where an answer shows that the header is not listed.
func TestWhatToListIsSaidOnce(t *testing.T) {
	logged := capture(t)
	h := newHandler(t, answering(200), func(c *Config) { c.HeaderField = "Remote-User" })
	serveOnce(h, request("GET", "/", navigate))
	serveOnce(newHandler(t, answering(302, "Location: "+startURL), nil), request("GET", "/", scripted))
	if logged.Len() > 0 {
		t.Errorf("warned without cause: %s", logged)
	}
	serveOnce(h, request("GET", "/", scripted))
	serveOnce(h, request("GET", "/", scripted))
	text := logged.String()
	if strings.Count(text, "list Remote-User under its authResponseHeaders") != 1 || !strings.Contains(text, "reauth@docker") {
		t.Errorf("got %q", text)
	}
}

// TestStrippedPrefixIsSaidOnce warns where stripPrefix stands before forwardAuth, which
// calls nothing that stands behind it.
func TestStrippedPrefixIsSaidOnce(t *testing.T) {
	const refreshPath, stripped = "/budget/_reauth", "X-Forwarded-Prefix: /budget"
	for target, headers := range map[string][]string{
		"/":                    {scripted},
		"/sw.js":               asWorker,
		"/ws":                  {"Upgrade: websocket", "Connection: Upgrade"},
		refreshPath:            {scripted},
		refreshPath + "?probe": {scripted},
	} {
		logged := capture(t)
		h := newHandler(t, answering(302, "Location: "+startURL), func(c *Config) { c.RefreshPath = refreshPath })
		serveOnce(h, request("GET", target, headers...))
		serveOnce(newHandler(t, answering(403), nil), request("GET", target, append([]string{stripped}, headers...)...))
		if logged.Len() > 0 {
			t.Errorf("%s: warned without cause: %s", target, logged)
		}
		for i := 0; i < 2; i++ {
			serveOnce(h, request("GET", target, append([]string{stripped}, headers...)...))
		}
		text := logged.String()
		if strings.Count(text, "list stripPrefix after forwardAuth") != 1 || !strings.Contains(text, "reauth@docker") {
			t.Errorf("%s: got %q", target, text)
		}
	}
}

// TestNothingOfARequestIsLogged has every warning come up, by requests that are full of what
// must not be in a log.
func TestNothingOfARequestIsLogged(t *testing.T) {
	logged := capture(t)
	before := debug
	t.Cleanup(func() { debug = before })
	secret := []string{"Cookie: secret=1", "Authorization: Bearer secret", "X-Authentik-Jwt: e30.secret.x", "Referer: https://secret", "User-Agent: secret"}
	send := func(next http.Handler, headers ...string) {
		h := newHandler(t, next, nil)
		debug = func(line ...any) (int, error) { return fmt.Fprintln(logged, line...) }
		for _, target := range []string{"/secret?secret", "/_reauth?rd=/secret", "/_reauth?secret"} {
			serveOnce(h, request("GET", target, append(headers, secret...)...))
		}
	}
	refused := answering(302, "Location: "+startURL+"?secret", "Set-Cookie: secret=2")
	send(refused, scripted, "X-Authentik-Username: secret")
	send(refused, scripted, "X-Forwarded-Prefix: /secret")
	send(passing("", answering(200)), scripted)
	send(answering(200), scripted)
	send(passing("secret", answering(200, "Content-Type: text/javascript", "Content-Encoding: gzip")), asWorker...)
	text := logged.String()
	for _, warning := range []string{"already bear", "lost a prefix", "cannot tell for certain", "compressed"} {
		if !strings.Contains(text, warning) {
			t.Errorf("%q did not come up", warning)
		}
	}
	if strings.Contains(text, "secret") {
		t.Errorf("in the log: %s", text)
	}
}

// TestHomePage is where a visit to the refresh path ends that says nothing better.
func TestHomePage(t *testing.T) {
	for refreshPath, home := range map[string]string{"/_reauth": "/", "/budget/_reauth": "/budget/", "/a/b/c": "/a/b/"} {
		h := newHandler(t, answering(200), func(c *Config) { c.RefreshPath = refreshPath })
		for rd, want := range map[string]string{"": home, "//evil.example": home, refreshPath: home, "%2F": "/", "%2Fother%2F": "/other/"} {
			res := serveOnce(h, request("GET", refreshPath+"?rd="+rd, navigate, toDoc))
			if got := res.Header.Get("Location"); res.StatusCode != 303 || got != want {
				t.Errorf("%s?rd=%s leads to %q with %d, want %q", refreshPath, rd, got, res.StatusCode, want)
			}
		}
	}
}

// TestRefreshPathNeverLies goes by what forwardAuth has made of the request, whatever the
// answer says.
func TestRefreshPathNeverLies(t *testing.T) {
	const start = "/oauth2/start?rd="
	away := "https://id.example.com/anywhere"
	visit, fetch := []string{navigate, toDoc}, []string{scripted}
	for _, tt := range []struct {
		what     string
		provider string
		answer   http.Handler
		passes   bool
		target   string
		headers  []string
		status   int
		location string
		cookies  []string
		body     string
	}{
		{what: "fetch, a 401 without more", provider: "oauth2-proxy", answer: answering(401, dated, "Set-Cookie: csrf=1"), target: "/_reauth", headers: fetch,
			status: 302, location: start + "%2F_reauth", cookies: []string{"csrf=1"}},
		{what: "visit, a 401 without more", provider: "oauth2-proxy", answer: answering(401, dated), target: "/_reauth?rd=%2Fa%3Fb", headers: visit,
			status: 302, location: start + "%2F_reauth%3Frd%3D%252Fa%253Fb"},
		{what: "login, a 401 without more", provider: "oauth2-proxy", answer: answering(401, dated), target: "/_reauth?login", headers: visit,
			status: 302, location: start + "%2F_reauth%3Flogin"},
		{what: "a 401 with a Location", provider: "authelia", answer: answering(401, dated, "Location: "+away, "Set-Cookie: csrf=1"), target: "/_reauth", headers: fetch,
			status: 302, location: away, cookies: []string{"csrf=1"}},
		{what: "a redirect", provider: "authelia", answer: answering(303, dated, "Location: "+away, "Set-Cookie: csrf=1"), target: "/_reauth", headers: fetch,
			status: 303, location: away, cookies: []string{"csrf=1"}, body: "from upstream"},
		{what: "a 401 that leads nowhere", provider: "authelia", answer: answering(401, dated), target: "/_reauth?rd=/a", headers: visit,
			status: 401, body: "from upstream"},
		{what: "denied", provider: "oauth2-proxy", answer: answering(403, dated), target: "/_reauth?rd=/a", headers: visit, status: 403, body: "from upstream"},
		{what: "login, denied", provider: "oauth2-proxy", answer: answering(403, dated), target: "/_reauth?login", headers: visit, status: 403, body: "from upstream"},
		{what: "probe, expired", provider: "oauth2-proxy", answer: answering(401, dated, "Set-Cookie: csrf=1"), target: "/_reauth?probe", headers: fetch,
			status: 200, body: `{"active":false}`},
		{what: "probe, denied", provider: "oauth2-proxy", answer: answering(403, dated), target: "/_reauth?probe", headers: fetch, status: 403, body: "from upstream"},
		{what: "fetch, good", provider: "oauth2-proxy", answer: answering(200, "Set-Cookie: renewed=1", "Set-Cookie: b=2"), passes: true, target: "/_reauth", headers: fetch,
			status: 204, cookies: []string{"renewed=1", "b=2"}},
		{what: "visit, good, and the app has an error", provider: "oauth2-proxy", answer: answering(500, "Set-Cookie: renewed=1"), passes: true, target: "/_reauth?rd=/a", headers: visit,
			status: 303, location: "/a", cookies: []string{"renewed=1"}},
		{what: "visit, good, and the app has a login", provider: "oauth2-proxy", answer: answering(302, dated, "Location: "+away), passes: true, target: "/_reauth?rd=/a", headers: visit,
			status: 303, location: "/a"},
		{what: "probe, good, and the app has a 401", provider: "oauth2-proxy", answer: answering(401, dated, "Set-Cookie: renewed=1"), passes: true, target: "/_reauth?probe", headers: fetch,
			status: 200, cookies: []string{"renewed=1"}, body: `{"active":true}`},
	} {
		t.Run(tt.what, func(t *testing.T) {
			h, pass := certain(t, tt.provider, tt.answer)
			if tt.passes {
				pass()
			}
			res := serveOnce(h, request("GET", tt.target, tt.headers...))
			if tt.body == "" && tt.location != "" && res.Header.Get("Content-Length") != "0" {
				t.Errorf("got a length of %q", res.Header.Get("Content-Length"))
			}
			if res.StatusCode != tt.status || res.Header.Get("Location") != tt.location ||
				!reflect.DeepEqual(res.Header["Set-Cookie"], tt.cookies) || bodyOf(res) != tt.body {
				t.Errorf("got %d %v", res.StatusCode, res.Header)
			}
		})
	}
	// Nobody can tell, least of all by what Traefik answers itself.
	for status, header := range map[int]string{401: dated, 302: "Location: /a", 308: "Location: https://app.example.com/", 403: "A: b", 429: "A: b", 499: "A: b", 500: dated, 503: dated} {
		h := newHandler(t, answering(status, header), nil)
		for target, how := range map[string]string{"/_reauth": scripted, "/_reauth?probe": scripted, "/_reauth?rd=/a": navigate, "/_reauth?login": navigate} {
			if res := serveOnce(h, request("GET", target, how)); res.StatusCode != status || bodyOf(res) != "from upstream" {
				t.Errorf("%s, %d: got %d", target, status, res.StatusCode)
			}
		}
	}
}

// TestBelieved goes by the mark from the first request on where a provider or a header is
// named, until an answer shows that nothing touches it, and again once something does.
func TestBelieved(t *testing.T) {
	away := "Location: https://id.example.com/"
	for name, change := range map[string]func(*Config){
		"authelia": func(c *Config) { c.Provider = "authelia" },
		"header":   func(c *Config) { c.HeaderField = "Remote-User" },
		"logins":   func(c *Config) { c.Provider, c.LoginURLs = "authelia", []string{"https://login.example.com/"} },
	} {
		h := newHandler(t, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			answer := answering(302, dated, away)
			switch {
			case req.URL.Path == "/unlisted":
				answer = answering(201)
			case req.URL.Path == "/good":
				answer = passing("", answering(200))
			case req.Header.Get("X-Status") != "":
				status, _ := strconv.Atoi(req.Header.Get("X-Status"))
				answer = answering(status, dated)
			}
			answer.ServeHTTP(rw, req)
		}), change)
		expect := func(when string, api, refresh int, denies bool) {
			t.Helper()
			for target, want := range map[string]int{"/api": api, "/_reauth": refresh} {
				if got := serveOnce(h, request("GET", target, scripted)).StatusCode; got != want {
					t.Errorf("%s, %s, %s: got %d", name, when, target, got)
				}
			}
			for _, status := range []int{403, 407, 429} {
				want := 204
				if denies {
					want = status
				}
				if got := serveOnce(h, request("GET", "/_reauth", scripted, "X-Status: "+strconv.Itoa(status))).StatusCode; got != want {
					t.Errorf("%s, %s, %d: got %d", name, when, status, got)
				}
			}
		}
		expect("at first", 401, 302, true)
		serveOnce(h, request("OPTIONS", "/unlisted", scripted))
		expect("after a preflight", 401, 302, true)
		serveOnce(h, request("GET", "/unlisted", scripted))
		if name == "authelia" {
			expect("in doubt", 302, 302, true)
		} else {
			// Authentik's logins are known, and so are those that are listed.
			expect("in doubt", 302, 204, false)
		}
		// A redirect on the host is the app's own.
		if got := serveOnce(h, request("GET", "/_reauth", scripted, "X-Status: 303")).StatusCode; got != 204 {
			t.Errorf("%s, in doubt: got %d for a redirect on the host", name, got)
		}
		serveOnce(h, request("GET", "/good", scripted))
		expect("at last", 401, 302, true)
	}
}

// TestForgedHeader leaves a client's own header alone, by which nobody else's requests
// become less certain.
func TestForgedHeader(t *testing.T) {
	next := http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		location := "https://id.example.com/"
		if req.URL.Path == "/login" {
			location = authorizeURL
		}
		rw.Header().Set("X-Got", req.Header.Get("X-Authentik-Username"))
		answering(302, dated, "Location: "+location).ServeHTTP(rw, req)
	})
	h, _ := certain(t, "authentik", next)
	for target, want := range map[string]int{"/away": 302, "/login": 401} {
		res := serveOnce(h, request("GET", target, scripted, "X-Authentik-Username: forged"))
		if res.StatusCode != want || want == 302 && res.Header.Get("X-Got") != "forged" {
			t.Errorf("%s, forged: got %d", target, res.StatusCode)
		}
	}
	if got := serveOnce(h, request("GET", "/away", scripted)).StatusCode; got != 401 {
		t.Errorf("another client: got %d", got)
	}
	// A first visit keeps it, too: the plugin may be listed after forwardAuth.
	res := serveOnce(newHandler(t, next, nil), request("GET", "/", navigate, "X-Authentik-Username: me"))
	if got := res.Header.Get("X-Got"); got != "me" {
		t.Errorf("a visit reaches the app with %q", got)
	}
}

// TestInstanceBehindAnother leaves everything to the one that is listed first.
func TestInstanceBehindAnother(t *testing.T) {
	calls := 0
	app := http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		calls++
		answering(200, "Content-Type: text/javascript").ServeHTTP(rw, req)
	})
	chain := newHandler(t, newHandler(t, passing("me", app), nil), nil)
	serveOnce(chain, request("GET", "/first", scripted))
	if got := bodyOf(serveOnce(chain, request("GET", "/sw.js", asWorker...))); got != scriptWith(refreshArguments)+"from upstream" {
		t.Errorf("the script has %d bytes", len(got))
	}
	if got := bodyOf(serveOnce(chain, request("GET", "/_reauth?probe", scripted))); got != `{"active":true}` || calls != 3 {
		t.Errorf("probe: got %s after %d calls", got, calls)
	}
	refusing := newHandler(t, newHandler(t, answering(302, dated, "Location: "+authorizeURL), nil), nil)
	if got := bodyOf(serveOnce(refusing, request("GET", "/_reauth?probe", scripted))); got != `{"active":false}` {
		t.Errorf("probe, expired: got %s", got)
	}
}

// TestLoginWhereItIs starts a login at the login URL that is configured.
func TestLoginWhereItIs(t *testing.T) {
	for start, logins := range map[string][]string{"/auth/start?rd=%2F_reauth": {"https://login.example.com/", "/auth/start"}, "": {"https://login.example.com/"}} {
		h := newHandler(t, answering(401, dated), func(c *Config) {
			c.Provider, c.AuthPaths, c.LoginURLs = "oauth2-proxy", []string{"/auth/"}, logins
		})
		if got := serveOnce(h, request("GET", "/_reauth", scripted)).Header.Get("Location"); got != start {
			t.Errorf("%v: got %q", logins, got)
		}
	}
	h := newHandler(t, answering(401, dated, "Location: /there"), func(c *Config) { c.Provider = "oauth2-proxy" })
	if got := serveOnce(h, request("GET", "/_reauth", scripted)).Header.Get("Location"); got != "/there" {
		t.Errorf("with a Location: got %q", got)
	}
}

// TestCookiesAreKeptOnce keeps those that stood there before next as often as they stood.
func TestCookiesAreKeptOnce(t *testing.T) {
	h := newHandler(t, passing("me", answering(200, "Set-Cookie: b=1")), nil)
	rec := httptest.NewRecorder()
	rec.Header().Set("Set-Cookie", "a=1")
	h.ServeHTTP(rec, request("GET", "/_reauth", scripted))
	if got := rec.Header()["Set-Cookie"]; !reflect.DeepEqual(got, []string{"a=1", "b=1"}) {
		t.Errorf("got %q", got)
	}
}

func TestChallenge(t *testing.T) {
	plain := http.Header{
		"Www-Authenticate": {`Reauth realm="reauth@docker", uri="/_reauth"`},
		"Content-Type":     {"application/json"},
		"Cache-Control":    {"private, no-store"},
		"Content-Length":   {strconv.Itoa(len(challengeJSON))},
	}
	with := func(more http.Header) http.Header { return withHeader(plain, more) }
	tests := []struct {
		name    string
		change  func(*Config)
		method  string
		headers []string
		want    http.Header
	}{
		{"without a list", nil, "GET", []string{"Origin: " + listedOrigin}, plain},
		{"HEAD", nil, "HEAD", nil, plain},
		{"POST", nil, "POST", nil, plain},
		{"no origin", withOrigins, "GET", nil, with(http.Header{"Vary": {"Origin"}})},
		{"origin that is not listed", withOrigins, "GET", []string{"Origin: https://evil.example"}, with(http.Header{"Vary": {"Origin"}})},
		{"listed origin", withOrigins, "GET", []string{"Origin: " + listedOrigin}, with(http.Header{
			"Vary":                          {"Origin"},
			"Access-Control-Allow-Origin":   {listedOrigin},
			"Access-Control-Expose-Headers": {"WWW-Authenticate"},
		})},
		{"listed origin with credentials", func(c *Config) {
			withOrigins(c)
			c.AccessControlAllowCredentials = true
			c.AccessControlExposeHeaders = []string{"X-Request-Id"}
		}, "GET", []string{"Origin: " + listedOrigin}, with(http.Header{
			"Vary":                             {"Origin"},
			"Access-Control-Allow-Origin":      {listedOrigin},
			"Access-Control-Allow-Credentials": {"true"},
			"Access-Control-Expose-Headers":    {"X-Request-Id, WWW-Authenticate"},
		})},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			res := serveOnce(newHandler(t, expired, tt.change), request(tt.method, "/sync/sync", append(tt.headers, scripted)...))
			if res.StatusCode != 401 {
				t.Fatalf("status %d", res.StatusCode)
			}
			if !reflect.DeepEqual(res.Header, tt.want) {
				t.Errorf("headers\n got %v\nwant %v", res.Header, tt.want)
			}
			want := challengeJSON
			if tt.method == "HEAD" {
				want = ""
			}
			if got := bodyOf(res); got != want {
				t.Errorf("body\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestChallengeKeepsWhatStoodThereBefore(t *testing.T) {
	rec := httptest.NewRecorder()
	rec.Header().Set("X-Frame-Options", "DENY")
	newHandler(t, answering(302, "Location: "+startURL, "X-Frame-Options: SAMEORIGIN"), nil).
		ServeHTTP(rec, request("GET", "/", scripted))
	if got := rec.Header()["X-Frame-Options"]; !reflect.DeepEqual(got, []string{"DENY"}) {
		t.Errorf("X-Frame-Options %v", got)
	}
}

func TestQuotedRealm(t *testing.T) {
	h, err := New(context.Background(), expired, CreateConfig(), "a\"b\\c\r\nX-Evil: 1@file")
	if err != nil {
		t.Fatal(err)
	}
	got := serveOnce(h, request("GET", "/", scripted)).Header.Get("WWW-Authenticate")
	if want := `Reauth realm="a\"b\\cX-Evil: 1@file", uri="/_reauth"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Over HTTP/2, trailers need no announcement: those of a dropped answer must
// not follow the plugin's own.
func TestReplacedAnswerHasNoTrailers(t *testing.T) {
	withTrailer := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Trailer", "X-Sum")
		rw.Header().Set("Location", startURL)
		rw.WriteHeader(302)
		rw.WriteHeader(200)
		rw.Header().Set("X-Sum", "1")
		rw.Header().Set(http.TrailerPrefix+"X-Late", "2")
	})
	server := httptest.NewUnstartedServer(newHandler(t, withTrailer, nil))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	res, err := server.Client().Get(server.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	if res.ProtoMajor != 2 || res.StatusCode != 401 || len(res.Trailer) > 0 {
		t.Errorf("got %s %d with trailers %v", res.Proto, res.StatusCode, res.Trailer)
	}
}

func TestRefreshPath(t *testing.T) {
	visit := []string{navigate, toDoc}
	passedLogin := http.Header{"Location": {authorizeURL}, "Set-Cookie": {"s=1"}}
	login := answering(302, "Location: "+authorizeURL, "Set-Cookie: s=1")
	app := answering(200, "Set-Cookie: app=1", "Content-Type: text/html", "Etag: \"1\"")
	noStore := http.Header{"Cache-Control": {"private, no-store"}}
	fromElsewhere := append([]string{"Sec-Fetch-Site: cross-site"}, visit...)
	back := func(to string) http.Header {
		return http.Header{"Cache-Control": {"private, no-store"}, "Location": {to}, "Content-Length": {"0"}}
	}
	tests := []struct {
		name    string
		next    http.Handler
		method  string // GET if empty
		target  string
		headers []string
		status  int
		want    http.Header
		body    string
	}{
		{name: "visit", next: app, target: "/_reauth?rd=%2Fbudget%3Fa%3D1%23b", headers: visit, status: 303, want: back("/budget?a=1#b")},
		{name: "visit by a browser without fetch metadata", next: app, target: "/_reauth?rd=%2Fbudget", headers: []string{acceptWeb}, status: 303, want: back("/budget")},
		{name: "visit from another site with rd", next: app, target: "/_reauth?rd=%2Fa", headers: fromElsewhere, status: 303, want: back("/a")},
		{name: "visit from another site with rd, expired", next: login, target: "/_reauth?rd=%2Fa", headers: fromElsewhere, status: 302, want: passedLogin, body: "from upstream"},
		{name: "visit with an empty rd", next: app, target: "/_reauth?rd=", headers: visit, status: 303, want: back("/")},
		{name: "visit with an rd that has no value", next: app, target: "/_reauth?rd", headers: visit, status: 303, want: back("/")},
		{name: "visit with a bad rd", next: app, target: "/_reauth?rd=https%3A%2F%2Fevil.example", headers: visit, status: 303, want: back("/")},
		{name: "visit with two rd", next: app, target: "/_reauth?rd=%2Fa&rd=%2Fb", headers: visit, status: 303, want: back("/")},
		{name: "visit with a semicolon", next: app, target: "/_reauth?rd=/a;b", headers: visit, status: 303, want: back("/a;b")},
		{name: "visit with an encoded semicolon", next: app, target: "/_reauth?rd=%2Fa%3Bb", headers: visit, status: 303, want: back("/a;b")},
		{name: "visit with a semicolon elsewhere", next: app, target: "/_reauth?rd=/a&x=1;y", headers: visit, status: 303, want: back("/a")},
		{name: "visit with something else that cannot be read", next: app, target: "/_reauth?%zz&x=%zz&rd=/a", headers: visit, status: 303, want: back("/a")},
		{name: "visit with an rd that cannot be read", next: app, target: "/_reauth?rd=/a%zz", headers: visit, status: 303, want: back("/")},
		{name: "visit with an encoded name", next: app, target: "/_reauth?%72d=/a+b", headers: visit, status: 303, want: back("/a%20b")},
		{name: "visit with a hundred pairs", next: app, target: "/_reauth?" + strings.Repeat("x&", maxPairs-1) + "rd=/a", headers: visit, status: 303, want: back("/a")},
		{name: "visit with more", next: app, target: "/_reauth?" + strings.Repeat("x&", maxPairs) + "rd=/a", headers: visit, status: 303, want: back("/")},
		{name: "visit with rd that asks for the login too", next: app, target: "/_reauth?login&rd=/a", headers: visit, status: 303, want: back("/a")},
		{name: "visit that asks for the login, expired", next: login, target: "/_reauth?login", headers: fromElsewhere, status: 302, want: passedLogin, body: "from upstream"},
		{name: "visit that asks for the login, auth server down", next: answering(500), target: "/_reauth?login", headers: visit, status: 500, want: http.Header{}, body: "from upstream"},
		{name: "fetch that asks for the login", next: app, target: "/_reauth?login", headers: []string{scripted}, status: 204, want: noStore},
		{name: "HEAD", next: app, method: "HEAD", target: "/_reauth?rd=%2Fa", headers: visit, status: 303, want: back("/a")},
		{name: "fetch", next: app, target: "/_reauth", headers: []string{scripted}, status: 204, want: noStore},
		{name: "fetch with rd", next: app, target: "/_reauth?rd=%2Fa", headers: []string{scripted}, status: 204, want: noStore},
		{name: "fetch without CORS", next: app, target: "/_reauth", headers: []string{"Sec-Fetch-Mode: no-cors"}, status: 204, want: noStore},
		{name: "the app knows no such path, fetch", next: answering(404, dated), target: "/_reauth", headers: []string{scripted}, status: 204, want: noStore},
		{name: "the auth server denies, which shows at rd", next: answering(403, dated), target: "/_reauth?rd=%2Fa", headers: visit, status: 303, want: back("/a")},
		{name: "the app knows no such path", next: answering(404, dated), target: "/_reauth?rd=%2Fa", headers: visit, status: 303, want: back("/a")},
		{name: "the app's own login", next: answering(302, dated, "Location: /login"), target: "/_reauth?rd=%2Fa", headers: visit, status: 303, want: back("/a")},
		{name: "visit, expired, by a server", next: answering(302, dated, "Location: "+authorizeURL), target: "/_reauth?rd=%2Fa", headers: visit, status: 302,
			want: http.Header{"Location": {authorizeURL}, "Date": {"Fri, 27 Nov 2026 08:00:00 GMT"}}, body: "from upstream"},
		{name: "visit, expired", next: login, target: "/_reauth?rd=%2Fa", headers: visit, status: 302, want: passedLogin, body: "from upstream"},
		{name: "fetch, expired", next: login, target: "/_reauth", headers: []string{scripted}, status: 302, want: passedLogin, body: "from upstream"},
		{name: "auth server down", next: answering(500), target: "/_reauth?rd=%2Fa", headers: visit, status: 500, want: http.Header{}, body: "from upstream"},
		{name: "POST", next: app, method: "POST", target: "/_reauth?rd=%2Fa", headers: visit, status: 405, want: http.Header{
			"Allow": {"GET, HEAD"}, "Cache-Control": {"private, no-store"}, "Content-Type": {"text/plain; charset=utf-8"},
		}, body: "The session is renewed with GET.\n"},
		{name: "OPTIONS that is no preflight", next: app, method: "OPTIONS", target: "/_reauth", status: 405, want: http.Header{
			"Allow": {"GET, HEAD"}, "Cache-Control": {"private, no-store"}, "Content-Type": {"text/plain; charset=utf-8"},
		}, body: "The session is renewed with GET.\n"},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			// As Traefik's entry points do.
			h := http.AllowQuerySemicolons(newHandler(t, tt.next, nil))
			res := serveOnce(h, request(tt.method, tt.target, tt.headers...))
			if res.StatusCode != tt.status || bodyOf(res) != tt.body {
				t.Errorf("status %d, want %d", res.StatusCode, tt.status)
			}
			if !reflect.DeepEqual(res.Header, tt.want) {
				t.Errorf("headers\n got %v\nwant %v", res.Header, tt.want)
			}
		})
	}
}

// returnPaths are values of rd and where they lead.
var returnPaths = map[string]string{
	"/":                          "/",
	"/budget":                    "/budget",
	"/budget/?a=b&c=%2F#d/e":     "/budget/?a=b&c=%2F#d/e",
	"/a//b":                      "/a//b",
	"/a/../b":                    "/a/../b",
	"/a/./b/":                    "/a/./b/",
	"/reports/50%25":             "/reports/50%25",
	"/a%20b":                     "/a%20b",
	"/a b?c d":                   "/a%20b?c%20d",
	"/\u00fcbersicht?q=\u00e9":   "/%C3%BCbersicht?q=%C3%A9",
	"/a?u=https://evil.example/": "/a?u=https://evil.example/",
	"/a#100%":                    "/a#100%",
	"/a?100%":                    "/a?100%",
	"/a?b=/../../_reauth":        "/a?b=/../../_reauth",
	"/a%2Fb":                     "/a%2Fb",
	"/why%3F/50%25":              "/why%3F/50%25",
	"/a%252541":                  "/a%252541",
	"/_reauthx":                  "/_reauthx",
	"/@evil.example":             "/@evil.example",
	"/.well-known/x":             "/.well-known/x",
	"/a%252520b":                 "/a%252520b",
	"/" + strings.Repeat("a", maxReturnPath-1): "/" + strings.Repeat("a", maxReturnPath-1),

	"":                                      "/",
	"budget":                                "/",
	"?a":                                    "/",
	"#a":                                    "/",
	"//evil.example":                        "/",
	"///evil.example":                       "/",
	`/\evil.example`:                        "/",
	`\\evil.example`:                        "/",
	`/a\..\..\evil`:                         "/",
	"https://evil.example/":                 "/",
	"https:evil.example":                    "/",
	"javascript:alert(1)":                   "/",
	"/\t/evil.example":                      "/",
	"\t//evil.example":                      "/",
	" //evil.example":                       "/",
	"/a\r\nSet-Cookie: x=y":                 "/",
	"/a?b\r\nSet-Cookie: x=y":               "/",
	"/a\x00":                                "/",
	"/a\x7f":                                "/",
	"/%0d%0aSet-Cookie:x=y":                 "/",
	"/%250d%250aSet-Cookie:x=y":             "/",
	"/%09/evil.example":                     "/",
	"/%2fevil.example":                      "/",
	"/%2Fevil.example":                      "/",
	"/%252fevil.example":                    "/",
	"/%5cevil.example":                      "/",
	"/%255cevil.example":                    "/",
	"/%25252525252fevil.example":            "/",
	"/a%25252541":                           "/",
	"/a%25252520b":                          "/",
	"/%zz":                                  "/",
	"/..":                                   "/",
	"/../evil":                              "/",
	"/a/../../evil":                         "/",
	"/%2e%2e/evil":                          "/",
	"/%252e%252e/evil":                      "/",
	"/..%2f..%2fevil":                       "/",
	"/./..//evil":                           "/",
	"/_reauth":                              "/",
	"/_reauth/":                             "/",
	"/_reauth?rd=/a":                        "/",
	"/_reauth#a":                            "/",
	"/%5freauth":                            "/",
	"/a/../_reauth":                         "/",
	"/a/%2e%2e/_reauth":                     "/",
	"/outpost.goauthentik.io":               "/",
	"/outpost.goauthentik.io/start":         "/",
	"/outpost.goauthentik.io/sign_out?rd=/": "/",
	"/a/../outpost.goauthentik.io/sign_out": "/",
	"/outpost.goauthentik%2eio/sign_out":    "/",
	"/outpost%252egoauthentik.io/sign_out":  "/",
	"/outpost.goauthentik.io%3frd=/a":       "/",
	"/_reauth%2523a":                        "/",
	"/%255freauth/50%25":                    "/",
	"/%252fevil.example/50%25":              "/",
	"/a%2Fb/%2e%2e/_reauth":                 "/",
	"/a%2Fb/.%2E/outpost.goauthentik.io/sign_out?rd=/": "/",
	"/a%2Fb/../_%72eauth":                              "/",
	"/a%2Fb/../%6Futpost.goauthentik.io/sign_out":      "/",
	"/outpost.goauthentik.io//../sign_out":             "/",
	"/outpost.goauthentik.io%2f..":                     "/",
	"/a/..//evil.example":                              "/",
	"/a%20b/../c":                                      "/",
	"/a%2Fb/../outpost.goauthentik.io/sign_out":        "/",
	"/./outpost.goauthentik.io/sign_out":               "/",
	"/" + strings.Repeat("a", maxReturnPath):           "/",
	"/%" + strings.Repeat("25", 3000) + "2f/":          "/",
}

func TestReturnPath(t *testing.T) {
	h := parsed(t, nil)
	for rd, want := range returnPaths {
		if got := returnPath(h, []string{rd}); got != want {
			t.Errorf("rd %.99q leads to %q, want %q", rd, got, want)
		}
	}
	if got := returnPath(h, nil); got != "/" {
		t.Errorf("no rd leads to %q", got)
	}
}

// An app may stream for as long as it likes where the plugin drops its answer.
func TestRefreshDoesNotWaitForTheApp(t *testing.T) {
	answered := make(chan struct{})
	app := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(200)
		<-answered
		_, _ = rw.Write([]byte("late"))
	})
	server := httptest.NewServer(newHandler(t, app, nil))
	defer server.Close()
	defer close(answered)
	client := &http.Client{
		Timeout: 10 * time.Second,
		// On a connection that is used again one request waits for the other's app.
		Transport: &http.Transport{DisableKeepAlives: true},
		// Yaegi mixes up parameters that have no names.
		CheckRedirect: func(_ *http.Request, _ []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, tt := range []struct {
		target, mode string
		status       int
		body         string
	}{
		{"/_reauth?rd=/a", "navigate", 303, ""},
		{"/_reauth?login", "navigate", 200, pageTop(parsed(t, nil), "") + pageBody},
		{"/_reauth?probe", "cors", 200, `{"active":true}`},
		{"/_reauth", "cors", 204, ""},
	} {
		req, err := http.NewRequest("GET", server.URL+tt.target, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Sec-Fetch-Mode", tt.mode)
		res, err := client.Do(req)
		if err != nil {
			t.Errorf("%s: %v", tt.target, err)
			continue
		}
		got := bodyOf(res)
		_ = res.Body.Close()
		if res.StatusCode != tt.status || got != tt.body {
			t.Errorf("%s: status %d, body %s", tt.target, res.StatusCode, got)
		}
	}
}

// tokenThat returns a token with this payload.
func tokenThat(payload string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"HS256"}`)) + "." + encode([]byte(payload)) + "." + encode([]byte("signature"))
}

// tokenFor returns a token that ends in this time.
func tokenFor(left time.Duration) string {
	return tokenThat(`{"exp":` + strconv.FormatInt(time.Now().Add(left).Unix(), 10) + `}`)
}

// identifying passes a request on to next as forwardAuth does, with the outpost's
// token in the header that came.
func identifying(token string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		req.Header.Set(tokenHeader, token)
		next.ServeHTTP(rw, req.WithContext(req.Context()))
	})
}

func TestProbe(t *testing.T) {
	app := answering(200, "Set-Cookie: app=1", "Content-Type: text/html", "Content-Length: 11", "Etag: \"1\"", "X-Frame-Options: SAMEORIGIN")
	token := tokenFor(time.Hour)
	const active, inactive = `{"active":true}`, `{"active":false}`
	// A second may pass before the answer, and the token's end is a whole one.
	anHour := map[string]bool{`{"active":true,"expires_in":3600}`: true, `{"active":true,"expires_in":3599}`: true, `{"active":true,"expires_in":3598}`: true}
	only := func(body string) map[string]bool { return map[string]bool{body: true} }
	tests := []struct {
		name    string
		next    http.Handler
		method  string
		headers []string
		want    map[string]bool
	}{
		{"good", app, "GET", []string{scripted}, only(active)},
		{"without fetch metadata", app, "GET", []string{acceptAll}, only(active)},
		{"without CORS", app, "GET", []string{"Sec-Fetch-Mode: no-cors"}, only(active)},
		{"known end", identifying(token, app), "GET", []string{scripted}, anHour},
		{"known end, behind the app's own login", identifying(token, answering(302, dated, "Location: /login")), "GET", []string{scripted}, anHour},
		{"ended by now", identifying(tokenFor(-time.Hour), app), "GET", []string{scripted}, only(active)},
		{"no token", identifying("", app), "GET", []string{scripted}, only(active)},
		{"the client's own token", app, "GET", []string{scripted, tokenHeader + ": " + token}, only(active)},
		{"the client's own tokens", app, "GET", []string{scripted, tokenHeader + ": " + token, "x-authentik-JWT: " + token}, only(active)},
		{"the client's own token, known end", identifying(token, app), "GET", []string{scripted, tokenHeader + ": " + tokenFor(time.Minute)}, anHour},
		{"the app knows no such path", answering(404, dated), "GET", []string{scripted}, only(active)},
		{"the auth server denies", answering(403, dated), "GET", []string{scripted}, only(active)},
		{"expired", expired, "GET", []string{scripted}, only(inactive)},
		{"expired, start of the outpost", answering(302, "Location: "+startURL, "Set-Cookie: s=1"), "GET", []string{scripted}, only(inactive)},
		{"expired, with a token", identifying(token, expired), "GET", []string{scripted}, only(inactive)},
		{"HEAD", app, "HEAD", []string{scripted}, only("")},
		{"HEAD, expired", expired, "HEAD", []string{scripted}, only("")},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			res := serveOnce(newHandler(t, tt.next, nil), request(tt.method, "/_reauth?probe", tt.headers...))
			body := bodyOf(res)
			length := len(body)
			if tt.method == "HEAD" {
				length = len(active)
				if tt.name == "HEAD, expired" {
					length = len(inactive)
				}
			}
			want := http.Header{
				"Cache-Control":          {"private, no-store"},
				"Content-Type":           {"application/json"},
				"Content-Length":         {strconv.Itoa(length)},
				"X-Content-Type-Options": {"nosniff"},
			}
			if res.StatusCode != 200 || !tt.want[body] {
				t.Errorf("status %d, body %s, want %v", res.StatusCode, body, tt.want)
			}
			if !reflect.DeepEqual(res.Header, want) {
				t.Errorf("headers\n got %v\nwant %v", res.Header, want)
			}
		})
	}
}

func TestWhatIsNoProbe(t *testing.T) {
	tests := []struct {
		name   string
		next   http.Handler
		method string
		target string
		header string
		status int
	}{
		{"auth server down", answering(503, "Set-Cookie: s=1"), "GET", "/_reauth?probe", scripted, 503},
		{"POST", answering(200), "POST", "/_reauth?probe", scripted, 405},
		{"visit", answering(500), "GET", "/_reauth?probe", navigate, 200},
		{"another query", answering(200), "GET", "/_reauth?probe=", scripted, 204},
		{"query that goes on", answering(200), "GET", "/_reauth?probe&x", scripted, 204},
		{"another path", answering(200), "GET", "/?probe", scripted, 200},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			res := serveOnce(newHandler(t, tt.next, nil), request(tt.method, tt.target, tt.header))
			if body := bodyOf(res); res.StatusCode != tt.status || strings.Contains(body, "active\":") {
				t.Errorf("got %d %s", res.StatusCode, body)
			}
		})
	}
}

// What an app may go by is the app's, and the probe alone reads the token.
func TestOtherRequestsKeepTheirToken(t *testing.T) {
	for _, target := range []string{"/", "/_reauth", "/_reauth?probe=1"} {
		newHandler(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			if req.Header.Get(tokenHeader) != "own" {
				t.Errorf("%s lost its token", target)
			}
		}), nil).ServeHTTP(httptest.NewRecorder(), request("GET", target, scripted, tokenHeader+": own"))
	}
}

func TestProbeWithAList(t *testing.T) {
	res := serveOnce(newHandler(t, expired, withOrigins), request("GET", "/_reauth?probe", scripted, "Origin: "+listedOrigin))
	if res.Header.Get("Access-Control-Allow-Origin") != listedOrigin || res.Header.Get("Vary") != "Origin" || bodyOf(res) != `{"active":false}` {
		t.Errorf("got %v", res.Header)
	}
}

// tokenNow is when the tokens of these tests are looked at.
const tokenNow = 1800000000

// tokens are what the outpost may send, and how many seconds are left, less than 0
// where that is not known.
var tokens = map[string]int64{
	tokenThat(`{"exp":1800003600}`):                              3600,
	tokenThat(`{"iss":"x","exp":1800000060,"aud":["a"]}`):        60,
	tokenThat(`{"exp":1800000000}`):                              0,
	tokenThat(`{"exp":1800000001.75}`):                           1,
	tokenThat(`{"exp":1.8000036e9}`):                             3600,
	tokenThat("{\"exp\":1800000060,\"name\":\"\u00fc\u00ff?\"}"): 60,
	tokenThat(`{"exp":2115360000}`):                              maxLifetime,
	".eyJleHAiOjE4MDAwMDAwNjB9.":                                 60,

	tokenThat(`{"exp":2115360001}`):        -1,
	tokenThat(`{"exp":1799999999}`):        -1,
	tokenThat(`{"exp":1799999999.999}`):    -1,
	tokenThat(`{"exp":-1}`):                -1,
	tokenThat(`{"exp":1e300}`):             -1,
	tokenThat(`{"exp":1e400}`):             -1,
	tokenThat(`{"exp":"1800003600"}`):      -1,
	tokenThat(`{"exp":null}`):              -1,
	tokenThat(`{"exp":[1800003600]}`):      -1,
	tokenThat(`{"iat":1800003600}`):        -1,
	tokenThat(`{}`):                        -1,
	tokenThat(`null`):                      -1,
	tokenThat(`1800003600`):                -1,
	tokenThat(`{"exp":1800003600`):         -1,
	tokenThat(`{"exp":1800003600}{}`):      -1,
	tokenThat(``):                          -1,
	tokenThat(`{"exp":1800003600}`) + ".x": -1,
	tokenThat(`{"exp":1800003600}`) + "..": -1,
	"x." + tokenThat(`{"exp":1800003600}`): -1,
	"x.eyJleHAiOjE4MDAwMDAwNjB9":           -1,
	"eyJleHAiOjE4MDAwMDAwNjB9":             -1,
	"x.eyJleHAiOjE4MDAwMDAwNjB9=.x":        -1,
	"x.{\"exp\":1800003600}.x":             -1,
	"x.ey+leHAiOjE4MDAwMDAwNjB9.x":         -1,
	"":                                     -1,
	"..":                                   -1,
	tokenThat(`{"exp":1800003600}`) + strings.Repeat("a", maxToken): -1,
}

func TestSecondsLeft(t *testing.T) {
	for token, want := range tokens {
		left, known := secondsLeft(token, time.Unix(tokenNow, 0))
		if known != (want >= 0) || known && left != want {
			t.Errorf("%.99q: %d, %v, want %d", token, left, known, want)
		}
	}
	token := tokenThat(`{"exp":1800000060}`)
	if left, _ := secondsLeft(token, time.UnixMilli(tokenNow*1000+1)); left != 59 {
		t.Errorf("%d seconds after a millisecond: it is not rounded down", left)
	}
	long := tokenThat(`{"exp":1800000060}`)
	long += strings.Repeat("a", maxToken-len(long))
	if _, known := secondsLeft(long, time.Unix(tokenNow, 0)); !known {
		t.Error("the longest token is not read")
	}
}

// between returns what stands once in s between start and end.
func between(t testing.TB, s, start, end string) string {
	t.Helper()
	if strings.Count(s, start) != 1 {
		t.Fatalf("%d times %s in %s", strings.Count(s, start), start, s)
	}
	_, rest, _ := strings.Cut(s, start)
	inner, _, _ := strings.Cut(rest, end)
	return inner
}

// policies are those of apps, and what becomes of them for a worker's script with
// the login URLs of TestWorkerMayReachWhatTheRefreshScriptNeeds.
var policies = map[string]string{
	"":                           "",
	"connect-src 'self'":         "connect-src 'self' AUTH",
	"connect-src 'none'":         "connect-src 'self' AUTH",
	"connect-src 'NONE'":         "connect-src 'self' AUTH",
	"connect-src":                "connect-src 'self' AUTH",
	"connect-src 'SELF'":         "connect-src 'SELF' AUTH",
	"connect-src *":              "connect-src * 'self' AUTH",
	"CONNECT-SRC wss: data:":     "CONNECT-SRC wss: data: 'self' AUTH",
	"default-src 'self'":         "default-src 'self'; connect-src 'self' AUTH",
	"default-src 'none'":         "default-src 'none'; connect-src 'self' AUTH",
	"Default-Src":                "Default-Src; connect-src 'self' AUTH",
	"default-src 'self';":        "default-src 'self';; connect-src 'self' AUTH",
	"script-src 'self'; sandbox": "script-src 'self'; sandbox",
	"connect-src HTTPS://Auth.example.com https://a.example/A https://a.example/a": "connect-src HTTPS://Auth.example.com https://a.example/A https://a.example/a 'self' http://login.example.net:8080",
	"default-src 'none'; connect-src 'self'; img-src *":                            "default-src 'none'; connect-src 'self' AUTH; img-src *",
	" script-src 'self' ;\tconnect-src  https://api.example ;img-src\t* ":          " script-src 'self' ;\tconnect-src https://api.example 'self' AUTH;img-src\t* ",
	"connect-src 'none'; connect-src *":                                            "connect-src 'self' AUTH; connect-src *",
	"default-src 'none'; default-src *":                                            "default-src 'none'; default-src *; connect-src 'self' AUTH",
	"default-src; default-src *":                                                   "default-src; default-src *; connect-src 'self' AUTH",
	"connect-srcs 'none'; x-default-src 'none'":                                    "connect-srcs 'none'; x-default-src 'none'",
	"default-src 'self' , img-src *,connect-src 'none', ":                          "default-src 'self' ; connect-src 'self' AUTH, img-src *,connect-src 'self' AUTH, ",
	"script-src 'nonce-connect-src'; connect-src a.example":                        "script-src 'nonce-connect-src'; connect-src a.example 'self' AUTH",

	"connect-src \u00fc; default-src\u00a0*; connect-src 'none'": "connect-src \u00fc; default-src\u00a0*; connect-src 'self' AUTH",
	"default-src \xff": "default-src \xff",
}

func TestWorkerMayReachWhatTheRefreshScriptNeeds(t *testing.T) {
	change := func(c *Config) {
		c.LoginURLs = []string{"/outpost.goauthentik.io/start", "https://Auth.example.com:443/application/o/authorize/",
			"http://login.example.net:8080", "https://auth.example.com/other"}
	}
	const js = "Content-Type: text/javascript"
	wanted := func(want string) string {
		return strings.ReplaceAll(want, "AUTH", "https://auth.example.com http://login.example.net:8080")
	}
	for policy, want := range policies {
		app := answering(200, js, "Content-Security-Policy: "+policy, "Content-Security-Policy-Report-Only: "+policy)
		res := serveOnce(newHandler(t, app, change), request("GET", "/sw.js", asWorker...))
		if got := res.Header["Content-Security-Policy"]; !reflect.DeepEqual(got, []string{wanted(want)}) {
			t.Errorf("%q becomes\n     %q\nwant %q", policy, got, wanted(want))
		}
		if got := res.Header["Content-Security-Policy-Report-Only"]; !reflect.DeepEqual(got, []string{policy}) {
			t.Errorf("what is only reported becomes %q", got)
		}
		again := answering(200, js, "Content-Security-Policy: "+wanted(want))
		if got := serveOnce(newHandler(t, again, change), request("GET", "/sw.js", asWorker...)).Header.Get("Content-Security-Policy"); got != wanted(want) {
			t.Errorf("%q becomes\n     %q", wanted(want), got)
		}
		page := serveOnce(newHandler(t, app, change), request("GET", "/app.js", scripted))
		if got := page.Header.Get("Content-Security-Policy"); got != policy {
			t.Errorf("away from the worker's script %q becomes %q", policy, got)
		}
	}
}

// Each line is a policy of its own, and all of them apply.
func TestEveryPolicyOfTheWorkerIsWidened(t *testing.T) {
	lines := []string{"connect-src 'none'", "img-src *", "default-src 'none'"}
	want := []string{"connect-src 'self'", "img-src *", "default-src 'none'; connect-src 'self'"}
	rec := httptest.NewRecorder()
	// A middleware in front may set them for everything, and keep the list.
	rec.Header()["Content-Security-Policy"] = lines
	newHandler(t, expired, nil).ServeHTTP(rec, request("GET", "/sw.js", asWorker...))
	if got := rec.Header()["Content-Security-Policy"]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if lines[0] != "connect-src 'none'" {
		t.Errorf("the list of another has changed: %q", lines)
	}
}

// scriptWith returns the refresh script with these arguments.
func scriptWith(arguments string) string {
	return refreshSource + "(" + arguments + ");"
}

const (
	refreshArguments  = `"/_reauth",["/outpost.goauthentik.io"],"/outpost.goauthentik.io/start",true,false`
	recoveryArguments = `"/_reauth",["/outpost.goauthentik.io"],"/outpost.goauthentik.io/start",true,true`
)

func TestRefreshScriptGoesInFront(t *testing.T) {
	script := scriptWith(refreshArguments)
	js := http.Header{"Content-Type": {"text/javascript"}, "Cache-Control": {"private, no-cache"}}
	with := func(more http.Header) http.Header { return withHeader(js, more) }
	tests := []struct {
		name    string
		change  func(*Config)
		answer  []string
		request []string
		want    http.Header
	}{
		{"bare", nil, []string{"Content-Type: text/javascript"}, nil, js},
		{"with all that a server sends", nil, []string{
			"Content-Type: text/javascript",
			"Content-Length: 11",
			"Etag: \"1\"",
			"Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT",
			"Accept-Ranges: bytes",
			"Content-Digest: sha-256=:AA==:",
			"Repr-Digest: sha-256=:AA==:",
			"Digest: SHA-256=AA==",
			"Cache-Control: public, max-age=31536000, immutable",
			"Cdn-Cache-Control: max-age=3600",
			"Cloudflare-Cdn-Cache-Control: max-age=3600",
			"Edge-Control: max-age=1h",
			"Surrogate-Control: max-age=3600",
			"X-Accel-Expires: 3600",
			"Cross-Origin-Embedder-Policy: require-corp",
			"Cross-Origin-Opener-Policy: same-origin",
			"Content-Security-Policy: default-src 'none'",
			"Service-Worker-Allowed: /app",
			"Set-Cookie: s=1",
			"X-App: 1",
		}, nil, with(http.Header{
			"Content-Length":             {strconv.Itoa(len(script) + 11)},
			"Cross-Origin-Opener-Policy": {"same-origin"},
			"Content-Security-Policy":    {"default-src 'none'; connect-src 'self'"},
			"Service-Worker-Allowed":     {"/app"},
			"Set-Cookie":                 {"s=1"},
			"X-App":                      {"1"},
		})},
		{"with parameters", nil, []string{"Content-Type: Application/JavaScript ; charset=utf-8"}, nil, with(http.Header{
			"Content-Type": {"Application/JavaScript ; charset=utf-8"},
		})},
		{"old type", nil, []string{"Content-Type: application/x-javascript"}, nil, with(http.Header{
			"Content-Type": {"application/x-javascript"},
		})},
		{"encoding that is none", nil, []string{"Content-Type: text/javascript", "Content-Encoding: identity"}, nil, with(http.Header{
			"Content-Encoding": {"identity"},
		})},
		{"no origin", withOrigins, []string{"Content-Type: text/javascript", "Vary: Cookie"}, nil, with(http.Header{
			"Vary": {"Cookie", "Origin"},
		})},
		{"listed origin", withOrigins, []string{"Content-Type: text/javascript"}, []string{"Origin: " + listedOrigin}, with(http.Header{
			"Vary":                        {"Origin"},
			"Access-Control-Allow-Origin": {listedOrigin},
		})},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			res := serveOnce(newHandler(t, answering(200, tt.answer...), tt.change),
				request("GET", "/sw.js", append(tt.request, asWorker...)...))
			if res.StatusCode != 200 {
				t.Errorf("status %d", res.StatusCode)
			}
			if !reflect.DeepEqual(res.Header, tt.want) {
				t.Errorf("headers\n got %v\nwant %v", res.Header, tt.want)
			}
			if got := bodyOf(res); got != script+"from upstream" {
				t.Errorf("body %q", got)
			}
		})
	}
}

func TestOtherAnswersToScriptRequestsPass(t *testing.T) {
	js := "Content-Type: text/javascript"
	tests := []struct {
		name    string
		status  int
		headers []string
	}{
		{"page", 200, []string{"Content-Type: text/html"}},
		{"no type", 200, nil},
		{"JSON", 200, []string{"Content-Type: application/json"}},
		{"type that only starts like one", 200, []string{"Content-Type: text/javascripts"}},
		{"compressed", 200, []string{js, "Content-Encoding: gzip"}},
		{"part", 206, []string{js, "Content-Range: bytes 0-10/20"}},
		{"no content", 204, []string{js}},
		{"moved", 302, []string{js, "Location: /other/sw.js"}},
		{"the app's own OpenID login", 302, []string{js, "Location: " + openIDURL}},
		{"not modified", 304, []string{js}},
		{"forbidden", 403, []string{js}},
		{"missing", 404, []string{js}},
		{"failed", 500, []string{js, "Location: " + authorizeURL}},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			headers := append([]string{"Etag: \"1\"", "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT", "Accept-Ranges: bytes",
				"Cache-Control: max-age=60", "Content-Length: 11", "Cross-Origin-Embedder-Policy: require-corp"}, tt.headers...)
			app := answering(tt.status, headers...)
			want := serveOnce(app, request("GET", "/sw.js"))
			res := serveOnce(newHandler(t, app, nil), request("GET", "/sw.js", asWorker...))
			if res.StatusCode != tt.status || !reflect.DeepEqual(res.Header, want.Header) {
				t.Errorf("got %d with\n     %v\nwant %v", res.StatusCode, res.Header, want.Header)
			}
			if got := bodyOf(res); got != "from upstream" {
				t.Errorf("body %q", got)
			}
		})
	}
}

func TestRecoveryScript(t *testing.T) {
	plain := http.Header{
		"Cache-Control":          {"private, no-store"},
		"Content-Type":           {"text/javascript; charset=utf-8"},
		"Content-Length":         {strconv.Itoa(len(scriptWith(recoveryArguments)))},
		"Service-Worker-Allowed": {"/"},
		"X-Content-Type-Options": {"nosniff"},
	}
	withList := plain.Clone()
	withList["Vary"] = []string{"Origin"}
	withList["Access-Control-Allow-Origin"] = []string{listedOrigin}
	tests := []struct {
		name   string
		next   http.Handler
		change func(*Config)
		want   http.Header
	}{
		{"login of the identity provider", expired, nil, plain},
		{"start of the outpost", answering(307, "Location: "+startURL, "Cross-Origin-Embedder-Policy: require-corp"), nil, plain},
		{"listed origin", expired, withOrigins, withList},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			// A middleware in front may set one for everything.
			rec.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
			newHandler(t, tt.next, tt.change).ServeHTTP(rec, request("GET", "/sw.js", append([]string{"Origin: " + listedOrigin}, asWorker...)...))
			res := rec.Result()
			if res.StatusCode != 200 || !reflect.DeepEqual(res.Header, tt.want) {
				t.Errorf("got %d with\n     %v\nwant %v", res.StatusCode, res.Header, tt.want)
			}
			if got := bodyOf(res); got != scriptWith(recoveryArguments) {
				t.Errorf("body %q", got)
			}
		})
	}
}

// The app waits for the browser to have read what it has sent so far, which it
// never does if the plugin holds anything back.
func TestWorkerScriptStreams(t *testing.T) {
	script := scriptWith(refreshArguments)
	for name, length := range map[string]string{"known length": "6", "unknown length": ""} {
		length := length
		t.Run(name, func(t *testing.T) {
			headRead, oneRead := make(chan struct{}), make(chan struct{})
			app := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "text/javascript")
				if length != "" {
					rw.Header().Set("Content-Length", length)
				}
				rw.WriteHeader(200)
				<-headRead
				_, _ = rw.Write([]byte("one"))
				<-oneRead
				_, _ = rw.Write([]byte("two"))
			})
			server := httptest.NewServer(newHandler(t, app, nil))
			defer server.Close()
			req, err := http.NewRequest("GET", server.URL+"/sw.js", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Service-Worker", "script")
			client := &http.Client{Timeout: 10 * time.Second}
			res, err := client.Do(req)
			if err != nil {
				close(headRead)
				close(oneRead)
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			read := func(want string) {
				part := make([]byte, len(want))
				if _, err := io.ReadFull(res.Body, part); err != nil || string(part) != want {
					t.Errorf("read %q, %v, want %q", part, err, want)
				}
			}
			read(script)
			close(headRead)
			read("one")
			close(oneRead)
			read("two")
			if rest := bodyOf(res); rest != "" {
				t.Errorf("%q follows", rest)
			}
		})
	}
}

func TestSettingsOfTheScripts(t *testing.T) {
	tests := []struct {
		name      string
		refresh   string
		authPaths []string
		logins    []string
		want      string
	}{
		{"defaults", "/_reauth", nil, providers["authentik"].loginURLs,
			`"/_reauth",["/outpost.goauthentik.io"],"/outpost.goauthentik.io/start",true`},
		{"several", "/a/~b", []string{"/auth", "/oauth2/"}, []string{"https://a.example/auth/in", "/x", "/oauth2/in/", "/auth/in"},
			`"/a/~b",["/auth","/oauth2"],"/oauth2/in",true`},
		{"no auth paths", "/_reauth", []string{}, []string{"/outpost.goauthentik.io/start"}, `"/_reauth",[],"",true`},
		{"login elsewhere", "/_reauth", nil, []string{"https://app.example.com/outpost.goauthentik.io/start"},
			`"/_reauth",["/outpost.goauthentik.io"],"",true`},
		{"what ends a string or a script", "/_reauth", []string{`/a"b'c`, "/</script>`${x}"}, []string{`/a"b'c/<`},
			`"/_reauth",["/a\"b'c","/\u003c/script\u003e` + "`${x}" + `"],"/a\"b'c/\u003c",true`},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			change := func(c *Config) {
				c.RefreshPath = tt.refresh
				c.AuthPaths = tt.authPaths
				c.LoginURLs = append(append([]string{}, tt.logins...), "/login")
			}
			app := answering(200, "Content-Type: text/javascript")
			got := bodyOf(serveOnce(newHandler(t, app, change), request("GET", "/sw.js", asWorker...)))
			if want := scriptWith(tt.want+",false") + "from upstream"; got != want {
				t.Errorf("in front of the app's script\n got %s\nwant %s", got, want)
			}
			got = bodyOf(serveOnce(newHandler(t, answering(302, "Location: /login"), change), request("GET", "/sw.js", asWorker...)))
			if want := scriptWith(tt.want + ",true"); got != want {
				t.Errorf("in place of the app's script\n got %s\nwant %s", got, want)
			}
		})
	}
}

// The app's script keeps the numbers of its lines, and the browser compares the
// whole of it at every visit.
func TestServedScriptsAreSmall(t *testing.T) {
	h := parsed(t, nil)
	for name, script := range map[string]string{"refresh script": h.refreshScript, "recovery script": h.recoveryScript} {
		if len(script) == 0 || len(script) > 14848 || strings.ContainsAny(script, "\r\n\u2028\u2029") {
			t.Errorf("the %s has %d bytes and %d line breaks", name, len(script), strings.Count(script, "\n"))
		}
	}
}
