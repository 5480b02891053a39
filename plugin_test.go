package reauth

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// Where requests of these tests go, and what an expired session answers there.
const (
	appURL        = "https://app.example.com"
	authorizeURL  = "https://auth.example.com/application/o/authorize/?client_id=x&redirect_uri=https%3A%2F%2Fapp.example.com%2Foutpost.goauthentik.io%2Fcallback%3FX-authentik-auth-callback%3Dtrue&response_type=code&state=s"
	startURL      = "/outpost.goauthentik.io/start?rd=https%3A%2F%2Fapp.example.com%2F"
	openIDURL     = "https://auth.example.com/application/o/authorize/?client_id=actual&redirect_uri=https%3A%2F%2Fapp.example.com%2Fopenid%2Fcallback&response_type=code"
	listedOrigin  = "https://dashboard.example.com"
	challengeJSON = `{"status":"error","reason":"network-failure","details":"session-expired","refresh":"/_reauth"}`
)

// quiet keeps what New says of its options out of the tests' output.
func quiet(...any) (int, error) { return 0, nil }

// Tests that look at the log capture it.
func init() {
	debug = quiet
	log.SetOutput(io.Discard)
}

// newHandler returns the middleware with the given options changed.
func newHandler(t testing.TB, next http.Handler, change func(*Config)) http.Handler {
	t.Helper()
	config := CreateConfig()
	if change != nil {
		change(config)
	}
	h, err := New(context.Background(), next, config, "reauth@docker")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// parsed returns the handler that New makes of the given options.
func parsed(t testing.TB, change func(*Config)) *handler {
	t.Helper()
	return newHandler(t, http.NotFoundHandler(), change).(*handler)
}

func withOrigins(c *Config) {
	c.AccessControlAllowOriginList = []string{listedOrigin}
}

// request returns a request with headers given as "Name: value" lines.
func request(method, path string, headers ...string) *http.Request {
	req := httptest.NewRequest(method, appURL+path, nil)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	return req
}

// answering returns a handler that answers with status and headers.
func answering(status int, headers ...string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		for _, line := range headers {
			name, value, _ := strings.Cut(line, ": ")
			rw.Header().Add(name, value)
		}
		rw.WriteHeader(status)
		_, _ = rw.Write([]byte("from upstream"))
	})
}

// passing passes requests on to next as forwardAuth does: it takes the headers away that
// are its own, and says who the user is, if the auth server did.
func passing(user string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		for name, values := range req.Header {
			if len(values) == 0 {
				delete(req.Header, name)
				if user != "" {
					req.Header.Set(name, user)
				}
			}
		}
		next.ServeHTTP(rw, req.WithContext(req.Context()))
	})
}

func serveOnce(h http.Handler, req *http.Request) *http.Response {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec.Result()
}

func bodyOf(res *http.Response) string {
	var b bytes.Buffer
	_, _ = b.ReadFrom(res.Body)
	return b.String()
}

const (
	navigate  = "Sec-Fetch-Mode: navigate"
	scripted  = "Sec-Fetch-Mode: cors"
	toDoc     = "Sec-Fetch-Dest: document"
	acceptAll = "Accept: */*"
	acceptWeb = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
)

// asWorker are the headers with which a browser asks for a service worker's
// script.
var asWorker = []string{"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: serviceworker", "Service-Worker: script"}

type wantOutcome string

const (
	untouched  wantOutcome = "passed on with the original writer"
	passed     wantOutcome = "passed on"
	challenged wantOutcome = "answered 401"
)

func TestWhichRequestsAreChallenged(t *testing.T) {
	tests := []struct {
		name    string
		method  string
		path    string
		headers []string
		want    wantOutcome
	}{
		{"navigation", "GET", "/budget", []string{navigate, toDoc, acceptWeb}, untouched},
		{"navigation in an iframe", "GET", "/", []string{navigate, "Sec-Fetch-Dest: iframe"}, untouched},
		{"destination alone", "GET", "/", []string{"Sec-Fetch-Dest: object"}, untouched},
		{"fetch", "GET", "/", []string{scripted, "Sec-Fetch-Dest: empty"}, challenged},
		{"fetch that accepts html", "GET", "/", []string{"Sec-Fetch-Mode: same-origin", acceptWeb}, challenged},
		{"image", "GET", "/a.png", []string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, challenged},
		{"worker script with HEAD", "HEAD", "/sw.js", asWorker, challenged},
		{"worker script with POST", "POST", "/sw.js", asWorker, challenged},
		{"script of another kind of worker", "GET", "/w.js", []string{"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: worker"}, challenged},
		{"script that a worker imports, in Firefox's look for an update", "GET", "/workbox.js", []string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script", "Service-Worker: script"}, challenged},
		{"worker script by another value", "GET", "/sw.js", []string{scripted, "Service-Worker: Script"}, challenged},
		{"worker script twice", "GET", "/sw.js", []string{scripted, "Service-Worker: script", "Service-Worker: script"}, challenged},
		{"navigation to a worker script", "GET", "/sw.js", []string{navigate, "Service-Worker: script"}, untouched},
		{"worker script of the auth server's", "GET", "/outpost.goauthentik.io/sw.js", asWorker, untouched},
		{"websocket", "GET", "/ws", []string{"Sec-Fetch-Mode: websocket", acceptAll}, challenged},
		{"upgrade", "GET", "/ws", []string{"Connection: Upgrade", "Upgrade: websocket"}, challenged},
		{"upgrade on the auth server's path", "GET", "/outpost.goauthentik.io/ws", []string{"Connection: Upgrade", "Upgrade: websocket"}, untouched},
		{"auth server's path", "GET", "/outpost.goauthentik.io/auth", []string{scripted}, untouched},
		{"auth server's path without slash", "GET", "/outpost.goauthentik.io", []string{scripted}, untouched},
		{"path that only looks like the auth server's", "GET", "/outpost.goauthentik.iox", []string{scripted}, challenged},

		{"bare: no Accept", "GET", "/", nil, challenged},
		{"bare: any Accept", "GET", "/", []string{acceptAll}, challenged},
		{"bare: html", "GET", "/", []string{acceptWeb}, untouched},
		{"bare: html in upper case", "GET", "/", []string{"Accept: Text/HTML"}, untouched},
		{"bare: html in a second line", "GET", "/", []string{"Accept: image/png", "Accept: text/html"}, untouched},
		{"bare: posted form", "POST", "/", []string{acceptWeb, "Content-Type: application/x-www-form-urlencoded"}, untouched},
		{"bare: XMLHttpRequest", "GET", "/", []string{acceptWeb, "X-Requested-With: XMLHttpRequest"}, challenged},
		{"bare: htmx", "GET", "/", []string{acceptWeb, "HX-Request: true"}, challenged},
		{"bare: a frame of Turbo's", "GET", "/", []string{acceptWeb, "Turbo-Frame: a"}, challenged},
		{"bare: Turbo", "GET", "/", []string{acceptWeb, "X-Turbo-Request-Id: 1"}, challenged},
		{"bare: Actual's token", "GET", "/", []string{acceptWeb, "X-Actual-Token: t"}, challenged},
		{"bare: sync", "POST", "/sync/sync", []string{acceptWeb, "Content-Type: application/actual-sync"}, challenged},
		{"bare: JSON", "POST", "/", []string{acceptWeb, "Content-Type: Application/JSON ; charset=utf-8"}, challenged},
		{"bare: JSON dialect", "POST", "/", []string{acceptWeb, "Content-Type: application/merge-patch+json"}, challenged},
		{"bare: OPTIONS", "OPTIONS", "/", []string{acceptAll}, challenged},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			original := false
			h := newHandler(t, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
				original = rw == http.ResponseWriter(rec)
				answering(302, "Location: "+authorizeURL, "Set-Cookie: a=b").ServeHTTP(rw, req)
			}), nil)
			h.ServeHTTP(rec, request(tt.method, tt.path, tt.headers...))
			got := wantOutcome(fmt.Sprintf("status %d", rec.Code))
			switch {
			case rec.Code == 401 && !original:
				got = challenged
			case rec.Code == 302 && original:
				got = untouched
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			code := serveOnce(newHandler(t, expired, withOrigins), request(tt.method, tt.path, tt.headers...)).StatusCode
			if want := map[wantOutcome]int{challenged: 401, untouched: 302}[tt.want]; code != want {
				t.Errorf("with a list of origins: status %d, want %d", code, want)
			}
		})
	}
}

// What a worker script is answered with where the option is on has tests of its
// own.
func TestWithoutServiceWorkerItsScriptIsChallenged(t *testing.T) {
	off := func(c *Config) { c.ServiceWorker = false }
	conditional := append([]string{"If-None-Match: \"1\"", "Accept-Encoding: gzip"}, asWorker...)
	res := serveOnce(newHandler(t, expired, off), request("GET", "/sw.js", conditional...))
	if got := bodyOf(res); res.StatusCode != 401 || got != challengeJSON {
		t.Errorf("expired: status %d, body %.60s", res.StatusCode, got)
	}
	app := http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if req.Header.Get("If-None-Match") != `"1"` || req.Header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("the app sees %v", req.Header)
		}
		answering(200, "Content-Type: text/javascript", "Etag: \"2\"").ServeHTTP(rw, req)
	})
	res = serveOnce(newHandler(t, app, off), request("GET", "/sw.js", conditional...))
	if got := bodyOf(res); got != "from upstream" || res.Header.Get("Etag") != `"2"` {
		t.Errorf("good session: body %.60s with %v", got, res.Header)
	}
}

// TestUpgradesKnowNoCORS holds what is said of upgrades with a list: nothing.
func TestUpgradesKnowNoCORS(t *testing.T) {
	for _, next := range []http.Handler{expired, answering(403)} {
		ask := func(change func(*Config)) *http.Response {
			return serveOnce(newHandler(t, next, change), request("GET", "/ws", "Upgrade: websocket", "Origin: "+listedOrigin))
		}
		with, without := ask(withOrigins), ask(nil)
		if with.StatusCode != without.StatusCode || !reflect.DeepEqual(with.Header, without.Header) {
			t.Errorf("got %d with %v, and without a list %d with %v", with.StatusCode, with.Header, without.StatusCode, without.Header)
		}
	}
}

func TestAuthPathsKeepTheirWriterWithAList(t *testing.T) {
	for _, req := range []*http.Request{
		request("OPTIONS", "/outpost.goauthentik.io/x", "Origin: "+listedOrigin, "Access-Control-Request-Method: PUT"),
	} {
		rec := httptest.NewRecorder()
		original := false
		newHandler(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			original = rw == http.ResponseWriter(rec)
		}), withOrigins).ServeHTTP(rec, req)
		if !original {
			t.Errorf("%s %s did not reach next with its own writer", req.Method, req.URL)
		}
	}
}

func TestScriptIsAskedForWhole(t *testing.T) {
	kept := []string{"Cookie: s=1", "Cache-Control: max-age=0", "X-Forwarded-Proto: https"}
	dropped := []string{"Accept-Encoding: gzip, br", "If-Match: \"1\"", "If-None-Match: \"1\"", "If-Range: \"1\"", "Range: bytes=0-1",
		"If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT", "If-Unmodified-Since: Thu, 01 Jan 2026 00:00:00 GMT"}
	req := request("GET", "/sw.js?v=1", append(append(kept, dropped...), asWorker...)...)
	before := req.Header.Clone()
	want := request("GET", "/", append(append(kept, "Accept-Encoding: identity"), asWorker...)...).Header
	want["X-Authentik-Username"] = []string{}
	called := false
	serveOnce(newHandler(t, http.HandlerFunc(func(_ http.ResponseWriter, got *http.Request) {
		called = true
		if !reflect.DeepEqual(got.Header, want) {
			t.Errorf("headers\n got %v\nwant %v", got.Header, want)
		}
		if got.Method != "GET" || got.URL.String() != req.URL.String() || got.Host != req.Host {
			t.Errorf("the app sees %s %s", got.Method, got.URL)
		}
	}), nil), req)
	if !called {
		t.Error("the app was not asked")
	}
	if !reflect.DeepEqual(req.Header, before) {
		t.Errorf("the caller's request has changed: %v", req.Header)
	}
}

func TestRequestsForOtherScriptsKeepTheirConditions(t *testing.T) {
	req := request("GET", "/app.js", scripted, "If-None-Match: \"1\"", "Range: bytes=0-1", "Accept-Encoding: gzip")
	want := req.Header.Clone()
	want["X-Authentik-Username"] = []string{}
	serveOnce(newHandler(t, http.HandlerFunc(func(_ http.ResponseWriter, got *http.Request) {
		if !reflect.DeepEqual(got.Header, want) {
			t.Errorf("headers\n got %v\nwant %v", got.Header, want)
		}
	}), nil), req)
}

// capture returns what is logged until the test ends.
func capture(t *testing.T) *bytes.Buffer {
	t.Helper()
	var logged bytes.Buffer
	before := log.Writer()
	t.Cleanup(func() { log.SetOutput(before) })
	log.SetOutput(&logged)
	return &logged
}

func TestMisplacedPluginWarnsOnce(t *testing.T) {
	logged := capture(t)
	for option, name := range map[string]string{"": "X-Authentik-Username", "remote-user": "Remote-User"} {
		for _, how := range []string{scripted, navigate} {
			logged.Reset()
			h := newHandler(t, passing("", answering(200)), func(c *Config) { c.HeaderField = option })
			serveOnce(h, request("GET", "/", how))
			serveOnce(h, request("GET", "/", how, "X-Other: secret"))
			if logged.Len() > 0 {
				t.Errorf("warned without cause: %s", logged.String())
			}
			serveOnce(h, request("GET", "/", how, name+": secret"))
			serveOnce(h, request("GET", "/", how, name+": secret"))
			text := logged.String()
			if strings.Count(text, "list it before forwardAuth") != 1 || !strings.Contains(text, "reauth@docker") || !strings.Contains(text, name) {
				t.Errorf("%s, %s: want one warning that names the middleware and the mend, got %q", name, how, text)
			}
			if strings.Contains(text, "secret") {
				t.Errorf("the warning repeats what the request says: %q", text)
			}
		}
	}
}

func TestNewReportsEveryProblem(t *testing.T) {
	negative := int64(-1)
	config := &Config{
		Provider:                      "authentic",
		HeaderField:                   "X Y",
		RefreshPath:                   "/outpost.goauthentik.io/refresh",
		LoginURLs:                     []string{"/", "https://auth.example.com/login?next=/"},
		AuthPaths:                     []string{"/outpost.goauthentik.io", "", "outpost", "/"},
		AccessControlAllowOriginList:  []string{"*", "https://app.example.com/", "app.example.com"},
		AccessControlAllowCredentials: true,
		AccessControlAllowMethods:     []string{"TRACE", "patch", "GET, PUT"},
		AccessControlAllowHeaders:     []string{"*"},
		AccessControlExposeHeaders:    []string{"X Y"},
		AccessControlMaxAge:           &negative,
		OwnServiceWorker:              true,
	}
	_, err := New(context.Background(), http.NotFoundHandler(), config, "reauth")
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		"invalid configuration, 18 problems: (1) ",
		`provider "authentic": is not known; write authentik, authelia, oauth2-proxy, tinyauth or traefik-forward-auth, or leave it out`,
		`headerField "X Y": is not the name of a header`,
		`authPaths "": the entry is blank; remove it`,
		`authPaths "outpost": does not start with a slash; write a path prefix like "/outpost.goauthentik.io/"`,
		`authPaths "/": matches every path; write`,
		`refreshPath "/outpost.goauthentik.io/refresh": lies under "/outpost.goauthentik.io" of authPaths`,
		`loginURLs "/": matches every path; write`,
		`loginURLs "https://auth.example.com/login?next=/": a prefix has neither query nor fragment; write`,
		`ownServiceWorker "true": it needs the refresh script, which serviceWorker switches off; leave serviceWorker out, or write false for both`,
		`accessControlAllowMethods "TRACE": is a method that browsers forbid`,
		`accessControlAllowMethods "patch": methods are compared with their case; write "PATCH"`,
		`accessControlAllowMethods "GET, PUT": an entry holds one name; write each name as an entry of its own`,
		`accessControlAllowHeaders "*": with accessControlAllowCredentials, browsers take * for a name; list the names`,
		`accessControlExposeHeaders "X Y": is not a token`,
		`accessControlMaxAge "-1": is negative; write 0`,
		`accessControlAllowOriginList "*": any site could act with the user's cookies; list the origins`,
		`accessControlAllowOriginList "https://app.example.com/": an origin has no trailing slash; write "https://app.example.com"`,
		`(18) accessControlAllowOriginList "app.example.com": has no scheme; write "https://app.example.com"`,
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("not in the error: %s\nerror: %v", part, err)
		}
	}
}

func TestNewSaysWhatIsWrongWithOneOption(t *testing.T) {
	config := CreateConfig()
	config.RefreshPath = "reauth"
	h, err := New(context.Background(), http.NotFoundHandler(), config, "reauth")
	want := `reauth: invalid configuration: refreshPath "reauth": not a clean absolute path of letters, digits and . _ ~ -; ` +
		`write a path of your host that the app does not use, like "/_reauth"`
	if h != nil || err == nil || err.Error() != want {
		t.Errorf("got %v, %v\nwant %s", h, err, want)
	}
}

func TestNewTurnsPanicIntoError(t *testing.T) {
	h, err := New(context.Background(), http.NotFoundHandler(), nil, "reauth")
	if h != nil || err == nil || !strings.HasPrefix(err.Error(), "reauth: reading the configuration failed: ") {
		t.Errorf("got %v, %v", h, err)
	}
}

// Traefik decodes options into what CreateConfig returns, slices included.
func TestNewSaysWhatEveryOptionIs(t *testing.T) {
	var lines []string
	debug = func(values ...any) (int, error) {
		lines = append(lines, fmt.Sprintln(values...))
		return 0, nil
	}
	defer func() { debug = quiet }()
	newHandler(t, http.NotFoundHandler(), nil)
	newHandler(t, http.NotFoundHandler(), func(c *Config) {
		age := int64(0)
		*c = Config{
			Provider:                      "tinyauth",
			RefreshPath:                   "/renew",
			LoginURLs:                     []string{"https://login.example.com/"},
			AccessControlAllowOriginList:  []string{"https://a.example.com", "https://b.example.com"},
			AccessControlAllowCredentials: true,
			AccessControlAllowMethods:     []string{"PUT"},
			AccessControlAllowHeaders:     []string{"X-A"},
			AccessControlExposeHeaders:    []string{"X-B"},
			AccessControlMaxAge:           &age,
		}
	})
	if _, err := New(context.Background(), http.NotFoundHandler(), &Config{}, "reauth@docker"); err == nil {
		t.Error("an empty configuration was taken")
	}
	want := []string{
		`reauth: options of reauth@docker: {"provider":"authentik","headerField":"X-authentik-username","refreshPath":"/_reauth",` +
			`"loginURLs":["/outpost.goauthentik.io/start","/application/o/authorize/"],"authPaths":["/outpost.goauthentik.io/"],` +
			`"serviceWorker":true,"ownServiceWorker":false,"accessControlAllowOriginList":null,"accessControlAllowCredentials":false,` +
			`"accessControlAllowMethods":null,"accessControlAllowHeaders":null,"accessControlExposeHeaders":null,` +
			`"accessControlMaxAge":null}` + "\n",
		`reauth: options of reauth@docker: {"provider":"tinyauth","headerField":"Remote-User","refreshPath":"/renew","loginURLs":["https://login.example.com/"],"authPaths":null,` +
			`"serviceWorker":false,"ownServiceWorker":false,"accessControlAllowOriginList":["https://a.example.com","https://b.example.com"],` +
			`"accessControlAllowCredentials":true,"accessControlAllowMethods":["PUT"],"accessControlAllowHeaders":["X-A"],` +
			`"accessControlExposeHeaders":["X-B"],"accessControlMaxAge":0}` + "\n",
	}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("got  %q\nwant %q", lines, want)
	}
}

// TestEveryOptionIsNamed holds the names in the log to what Traefik takes for
// one: the name of the field, whatever its case.
func TestEveryOptionIsNamed(t *testing.T) {
	options := reflect.TypeOf(Config{})
	for i := 0; i < options.NumField(); i++ {
		field := options.Field(i)
		if name := field.Tag.Get("json"); name == field.Name || !strings.EqualFold(name, field.Name) {
			t.Errorf("%s is called %q", field.Name, name)
		}
	}
}

// TestProviders holds what is said of the providers to what their programs do.
func TestProviders(t *testing.T) {
	want := map[string]provider{
		"authentik": {
			headerField: "X-authentik-username",
			authPaths:   []string{"/outpost.goauthentik.io/"},
			loginURLs:   []string{"/outpost.goauthentik.io/start", "/application/o/authorize/"},
			complete:    true,
			silent:      true,
		},
		"authelia": {headerField: "Remote-User"},
		"oauth2-proxy": {
			headerField: "X-Auth-Request-User",
			authPaths:   []string{"/oauth2/"},
			loginURLs:   []string{"/oauth2/start", "/oauth2/sign_in"},
			bare401:     true,
			silent:      true,
		},
		"tinyauth":             {headerField: "Remote-User", bare401: true},
		"traefik-forward-auth": {headerField: "X-Forwarded-User", authPaths: []string{"/_oauth"}, silent: true},
	}
	if !reflect.DeepEqual(providers, want) {
		t.Errorf("got  %+v\nwant %+v", providers, want)
	}
}

func TestParseHeaderField(t *testing.T) {
	for value, want := range map[string]string{
		"Remote-User": "Remote-User", " x-forwarded-USER ": "X-Forwarded-User", "X-Auth-Request-User": "X-Auth-Request-User",
		"Hostname": "Hostname", "X-Real-Ipx": "X-Real-Ipx",
		"Cookie": "", "authorization": "", "Accept-Language": "", "Sec-Fetch-Mode": "", "X-Forwarded-Proto": "", "HOST": "", "If-Match": "",
		"X Y": "", "X-A:": "", "\u00fc": "",
	} {
		var found problems
		if got := parseHeaderField(&found, value); (len(found.list) == 0) != (want != "") || want != "" && got != want {
			t.Errorf("%q: got %q, %v", value, got, found.list)
		}
	}
}

func TestEveryProviderSuits(t *testing.T) {
	for name := range providers {
		if !strings.Contains(providerNames, name) {
			t.Errorf("%s is not among %s", name, providerNames)
		}
		config := CreateConfig()
		config.Provider = name
		before := *config
		if _, err := New(context.Background(), http.NotFoundHandler(), config, "reauth@docker"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(*config, before) {
			t.Errorf("%s: the configuration has changed: %+v", name, config)
		}
	}
}

func TestLabelListsAreTrimmed(t *testing.T) {
	h := parsed(t, func(c *Config) {
		c.AuthPaths = []string{"/outpost.goauthentik.io/", " /auth/"}
		c.LoginURLs = []string{" /login ", "https://auth.example.com/authorize"}
		c.AccessControlAllowOriginList = []string{"https://a.example.com", " https://b.example.com"}
		c.AccessControlAllowMethods = []string{"PUT", " DELETE"}
	})
	if !h.authPath.MatchString("/auth/x") || !leadsToLogin(h, mustParse(t, appURL), "/login", false) ||
		!h.cors.exact["https://b.example.com"] || strings.Join(h.cors.methods, "") != "PUT, DELETE" {
		t.Errorf("blanks were kept: %+v, %+v", h, h.cors)
	}
}

func TestParseLoginURLs(t *testing.T) {
	tests := map[string]string{
		"/outpost.goauthentik.io/start":     "",
		"https://auth.example.com":          "",
		"https://auth.example.com/":         "",
		"http://auth.example.com:9000/a/b/": "",
		"/":                                 "matches every path",
		"//":                                "matches every path",
		"//auth.example.com/a":              "is not a clean path",
		"/a/../b":                           "is not a clean path",
		"/a//b":                             "is not a clean path",
		"/a?b":                              "a prefix has neither query nor fragment",
		"https://auth.example.com?x":        "a prefix has neither query nor fragment",
		"https://auth.example.com/#x":       "a prefix has neither query nor fragment",
		"https://auth.example.com/a/../b":   "is not a clean path",
		"https://auth.example.com/*":        "is compared with decoded paths as it stands: wildcards, percent signs, backslashes, blanks and non-ASCII letters never match",
		"/a b":                              "is compared with decoded paths as it stands: wildcards, percent signs, backslashes, blanks and non-ASCII letters never match",
		"https://*.example.com/a":           "a wildcard host is not supported",
		"https://user@auth.example.com/a":   "a URL prefix has no user name",
		"https://":                          "is neither an http or https URL nor a path with a leading slash",
		"https://2001:db8::1/a":             "an IPv6 address stands in brackets",
		"https://:443/":                     "is neither an http or https URL nor a path with a leading slash",
		"/start,/authorize":                 "an entry holds one prefix",
		"https://b\u00fccher.example/":      "the host is not ASCII: redirects carry its Punycode form, xn--...",
		"https://auth.example.com:0/":       "the port is not a number from 1 to 65535",
		"https://auth.example.com:99999/a":  "the port is not a number from 1 to 65535",
		"auth.example.com/application":      "is neither an http or https URL nor a path with a leading slash",
		"ftp://auth.example.com/":           "is neither an http or https URL nor a path with a leading slash",
		"https://auth.example.com:port/":    "is not a URL",
		"*":                                 "is neither an http or https URL nor a path with a leading slash",
	}
	for value, want := range tests {
		if _, got := parseLoginURL(value); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
	var found problems
	parseLoginURLs(&found, []string{})
	if len(found.list) != 1 {
		t.Errorf("an empty list is accepted: %v", found.list)
	}
}

func TestParseRefreshPath(t *testing.T) {
	for value, want := range map[string]bool{
		"/_reauth": true, "/a/b": true, "/.reauth": true, "/~-": true, "/outpost.goauthentik.iox": true,
		"": false, "/": false, "a": false, "/a/": false, "//a": false, "/a//b": false, "/a/../b": false, "/..": false,
		"/.": false, "/a?b": false, "/a#b": false, "/a b": false, "/a%20b": false, "/\u00fc": false, `/a"b`: false,
		"/outpost.goauthentik.io": false, "/outpost.goauthentik.io/x": false,
	} {
		var found problems
		parseRefreshPath(&found, value, []string{"/outpost.goauthentik.io"})
		if got := len(found.list) == 0; got != want {
			t.Errorf("%q accepted: %v, want %v (%v)", value, got, want, found.list)
		}
	}
}
