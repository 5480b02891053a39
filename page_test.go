package reauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// inFrame are the headers of a visit in a frame, asDocument of one in a tab.
var (
	inFrame    = []string{navigate, "Sec-Fetch-Dest: iframe"}
	asDocument = []string{navigate, toDoc}
)

func withOwn(c *Config) { c.OwnServiceWorker = true }

func TestPage(t *testing.T) {
	never := http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		t.Errorf("%s %s was passed on", req.Method, req.URL)
	})
	hash := func(source string) string {
		sum := sha256.Sum256([]byte(source))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	served := bodyOf(serveOnce(newHandler(t, never, nil), request("GET", "/_reauth", navigate)))
	for _, without := range []string{" onload=", " style=", " src=", "javascript:", "<link", "<script "} {
		if strings.Contains(served, without) {
			t.Errorf("%s on the page, which its policy forbids", without)
		}
	}
	const root = `<html lang="en" data-refresh="/_reauth" data-auth="/outpost.goauthentik.io"`
	elsewhere := strings.Replace(served, root+">", root+" data-elsewhere>", 1)
	if elsewhere == served {
		t.Errorf("the page does not start as it should: %.99s", served)
	}
	plain := http.Header{
		"Cache-Control":  {"private, no-store"},
		"Content-Type":   {"text/html; charset=utf-8"},
		"Content-Length": {strconv.Itoa(len(served))},
		"Content-Security-Policy": {"default-src 'none'; script-src " + hash(between(t, served, "<script>", "</script>")) +
			"; style-src " + hash(between(t, served, "<style>", "</style>")) + "; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
		"Referrer-Policy":        {"no-referrer"},
		"X-Content-Type-Options": {"nosniff"},
		"X-Frame-Options":        {"DENY"},
	}
	withLength := func(body string, more http.Header) http.Header {
		return withHeader(withHeader(plain, http.Header{"Content-Length": {strconv.Itoa(len(body))}}), more)
	}
	withList := plain.Clone()
	withList["Vary"] = []string{"Origin"}
	app := answering(200, "Set-Cookie: app=1", "Content-Type: text/plain", "Content-Security-Policy: default-src *")
	tests := []struct {
		name    string
		next    http.Handler
		change  func(*Config)
		method  string // GET if empty
		target  string
		headers []string
		want    http.Header
		body    string
	}{
		{name: "visit", next: never, target: "/_reauth", headers: []string{navigate, toDoc}, want: plain, body: served},
		{name: "visit by a browser without fetch metadata", next: never, target: "/_reauth", headers: []string{acceptWeb}, want: plain, body: served},
		{name: "visit from the app", next: never, target: "/_reauth", headers: []string{navigate, "Sec-Fetch-Site: same-origin"}, want: plain, body: served},
		{name: "visit by the address bar", next: never, target: "/_reauth", headers: []string{navigate, "Sec-Fetch-Site: none"}, want: plain, body: served},
		{name: "another parameter", next: never, target: "/_reauth?from=%2Fa", headers: []string{navigate}, want: plain, body: served},
		{name: "HEAD", next: never, method: "HEAD", target: "/_reauth", headers: []string{navigate}, want: plain},
		{name: "with a list", next: never, change: withOrigins, target: "/_reauth", headers: []string{navigate}, want: withList, body: served},
		{name: "without the refresh script", next: never, change: func(c *Config) { c.ServiceWorker = false }, target: "/_reauth", headers: []string{navigate}, want: plain, body: served},
		{name: "visit from another site", next: never, target: "/_reauth", headers: []string{navigate, "Sec-Fetch-Site: cross-site"}, want: withLength(elsewhere, nil), body: elsewhere},
		{name: "visit from another origin of the site", next: never, target: "/_reauth", headers: []string{navigate, "Sec-Fetch-Site: same-site"}, want: withLength(elsewhere, nil), body: elsewhere},
		{name: "visit from another site, HEAD", next: never, method: "HEAD", target: "/_reauth", headers: []string{navigate, "Sec-Fetch-Site: cross-site"}, want: withLength(elsewhere, nil)},
		{name: "visit with a probe's query", next: never, target: "/_reauth?probe", headers: []string{navigate}, want: plain, body: served},
		{name: "visit with more than the login", next: never, target: "/_reauth?login=", headers: []string{navigate}, want: plain, body: served},
		{name: "visit that asks for the login", next: app, target: "/_reauth?login", headers: []string{navigate}, want: plain, body: served},
		{name: "back from the login", next: app, target: "/_reauth?login", headers: []string{navigate, "Sec-Fetch-Site: cross-site"}, want: withLength(elsewhere, nil), body: elsewhere},
		{name: "back from the login with a list", next: app, change: withOrigins, target: "/_reauth?login", headers: []string{navigate, "Sec-Fetch-Site: same-site"}, want: withLength(elsewhere, http.Header{"Vary": {"Origin"}}), body: elsewhere},
		{name: "visit that asks for the login, HEAD", next: app, method: "HEAD", target: "/_reauth?login", headers: []string{navigate}, want: plain},
		{name: "visit that asks for the login, denied", next: answering(403, dated), target: "/_reauth?login", headers: []string{navigate}, want: plain, body: served},
		{name: "visit that asks for the login, the app's own", next: answering(302, dated, "Location: /login"), target: "/_reauth?login", headers: []string{navigate}, want: plain, body: served},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			res := serveOnce(newHandler(t, tt.next, tt.change), request(tt.method, tt.target, tt.headers...))
			if res.StatusCode != 200 || !reflect.DeepEqual(res.Header, tt.want) {
				t.Errorf("got %d with\n     %v\nwant %v", res.StatusCode, res.Header, tt.want)
			}
			if got := bodyOf(res); got != tt.body {
				t.Errorf("body\n got %s\nwant %s", got, tt.body)
			}
		})
	}
}

// Whoever gets them from a cache or makes a person open them gains nothing.
func TestOwnAnswersHoldNothingOfTheRequest(t *testing.T) {
	h := newHandler(t, expired, nil)
	for _, tt := range []struct {
		name, target, marker string
		headers              []string
	}{
		{"page", "/_reauth", "?marker=%22marker", []string{navigate}},
		{"page in a frame", "/_reauth", "?marker=%22marker", inFrame},
		{"status page", "/_reauth?status", "", []string{navigate}},
		{"recovery script", "/sw.js", "?marker=%22marker", asWorker},
		{"worker's script", "/_reauth?reauth-worker", "", asWorker},
	} {
		name, headers := tt.name, tt.headers
		want := serveOnce(h, request("GET", tt.target, headers...))
		wantBody := bodyOf(want)
		marked := request("GET", tt.target+tt.marker, append([]string{"Cookie: marker", "Referer: https://marker", "User-Agent: marker",
			"X-Forwarded-Host: marker", "X-Forwarded-Prefix: /marker", "Origin: https://marker", "Accept-Language: marker"}, headers...)...)
		marked.Host = "marker"
		got := serveOnce(h, marked)
		if body := bodyOf(got); body != wantBody || !reflect.DeepEqual(got.Header, want.Header) || got.StatusCode != want.StatusCode {
			t.Errorf("the %s depends on the request: %d %v %s", name, got.StatusCode, got.Header, body)
		}
		if want.StatusCode != 200 || wantBody == "" {
			t.Errorf("the %s came with status %d", name, want.StatusCode)
		}
	}
}

// framed is what differs between the policies of the page and of the one in a frame.
const framed = "; frame-ancestors 'none'"

func TestPageInAFrame(t *testing.T) {
	h := newHandler(t, expired, nil)
	want := serveOnce(h, request("GET", "/_reauth", asDocument...))
	for dest, fits := range map[string]bool{"document": false, "iframe": true, "frame": true, "embed": true, "object": true, "fencedframe": true} {
		for site, elsewhere := range map[string]bool{"none": false, "same-origin": false, "same-site": true, "cross-site": true} {
			res := serveOnce(h, request("GET", "/_reauth", navigate, "Sec-Fetch-Dest: "+dest, "Sec-Fetch-Site: "+site))
			body := bodyOf(res)
			if strings.Contains(body, " data-framed>") != fits || strings.Contains(body, " data-elsewhere") != elsewhere {
				t.Errorf("%s, %s: got %.99s", dest, site, body)
			}
			policy := res.Header.Get("Content-Security-Policy")
			denied := map[bool]string{false: "DENY"}[fits]
			if res.Header.Get("X-Frame-Options") != denied || strings.HasSuffix(policy, framed) == fits {
				t.Errorf("%s: got %v", dest, res.Header)
			}
			if strings.TrimSuffix(policy, framed)+framed != want.Header.Get("Content-Security-Policy") {
				t.Errorf("%s has the policy %s", dest, policy)
			}
		}
	}
	// A login goes by redirects alone in a frame, too.
	for _, target := range []string{"/_reauth?rd=/a", "/_reauth?login"} {
		if res := serveOnce(h, request("GET", target, inFrame...)); res.StatusCode != 302 {
			t.Errorf("%s: got %d", target, res.StatusCode)
		}
	}
}

func TestStatusPage(t *testing.T) {
	for name, change := range map[string]func(*Config){"alone": nil, "with a list": withOrigins} {
		h := newHandler(t, expired, change)
		res := serveOnce(h, request("GET", "/_reauth?status", asDocument...))
		body := bodyOf(res)
		if res.StatusCode != 200 || !strings.HasPrefix(body, "<!doctype html>\n<html lang=\"en\" data-refresh=\"/_reauth\" data-auth=\"/outpost.goauthentik.io\">") {
			t.Errorf("%s: got %d %.99s", name, res.StatusCode, body)
		}
		if policy := res.Header.Get("Content-Security-Policy"); policy != "default-src 'none'; script-src "+sourceHash(between(t, body, "<script>", "</script>"))+
			"; style-src "+sourceHash(between(t, body, "<style>", "</style>"))+"; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" {
			t.Errorf("%s: the policy is %s", name, policy)
		}
		if res.Header.Get("X-Frame-Options") != "DENY" || res.Header.Get("Cache-Control") != "private, no-store" {
			t.Errorf("%s: got %v", name, res.Header)
		}
	}
	// To a script it is a renewal like any other.
	if res := serveOnce(newHandler(t, expired, nil), request("GET", "/_reauth?status", scripted)); res.StatusCode != 302 {
		t.Errorf("a fetch got %d", res.StatusCode)
	}
}

// TestVisits tries what becomes of refused visits where the plugin's own worker is wanted.
func TestVisits(t *testing.T) {
	const refused = "https://auth.example.com/application/o/authorize/?a=b&c=\"><script>alert(1)</script>'"
	login := answering(302, dated, "Location: "+refused, "Set-Cookie: csrf=1", "Set-Cookie: b=2", "Etag: \"1\"")
	for _, tt := range []struct {
		name    string
		method  string
		next    http.Handler
		headers []string
		shown   bool
		// untouched tells that the original writer is handed on.
		untouched bool
	}{
		{"visit", "GET", login, asDocument, true, false},
		{"visit from elsewhere", "GET", login, append([]string{"Sec-Fetch-Site: same-site"}, asDocument...), true, false},
		{"visit from another site", "GET", login, append([]string{"Sec-Fetch-Site: cross-site"}, asDocument...), false, true},
		{"good", "GET", answering(200), asDocument, false, false},
		{"the app's redirect", "GET", answering(302, dated, "Location: /login"), asDocument, false, false},
		{"denied", "GET", answering(403, dated), asDocument, false, false},
		{"HEAD", "HEAD", login, asDocument, false, true},
		{"POST", "POST", login, asDocument, false, true},
		{"in a frame", "GET", login, inFrame, false, true},
		{"beforehand", "GET", login, append([]string{"Sec-Purpose: prefetch"}, asDocument...), false, true},
		{"beside a worker", "GET", login, append([]string{"Service-Worker-Navigation-Preload: true"}, asDocument...), false, true},
		{"without fetch metadata", "GET", login, []string{acceptWeb}, false, true},
		{"a script's fetch", "GET", answering(200), []string{scripted, toDoc}, false, true},
	} {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			var writer http.ResponseWriter
			next := http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
				writer = rw
				tt.next.ServeHTTP(rw, req)
			})
			rec := httptest.NewRecorder()
			req := request(tt.method, "/a?b=c", tt.headers...)
			want := serveOnce(tt.next, req)
			newHandler(t, next, withOwn).ServeHTTP(rec, req)
			if (writer == http.ResponseWriter(rec)) != tt.untouched {
				t.Errorf("original writer: %t", !tt.untouched)
			}
			got := rec.Result()
			body := bodyOf(got)
			if !tt.shown {
				if got.StatusCode != want.StatusCode || !reflect.DeepEqual(got.Header, want.Header) || body != bodyOf(want) {
					t.Errorf("got %d %v %s", got.StatusCode, got.Header, body)
				}
				return
			}
			if got.StatusCode != 401 || got.Header.Get("WWW-Authenticate") != `Reauth realm="reauth@docker", uri="/_reauth"` ||
				!reflect.DeepEqual(got.Header["Set-Cookie"], []string{"csrf=1", "b=2"}) || got.Header["Etag"] != nil || got.Header["Location"] != nil {
				t.Errorf("got %d %v", got.StatusCode, got.Header)
			}
			if policy := got.Header.Get("Content-Security-Policy"); policy != pagePolicy+"; worker-src 'self'" {
				t.Errorf("the policy is %s", policy)
			}
			if strings.Contains(body, " data-elsewhere") != (tt.name != "visit") || !strings.Contains(body, " data-visit") {
				t.Errorf("the page is %.99s", body)
			}
			for start, end := range map[string]string{`content="0;url=`: `">`, `<a href="`: `" id="login">`} {
				if in := html.UnescapeString(between(t, body, start, end)); in != refused {
					t.Errorf("the login is at %s", in)
				}
			}
			if strings.Count(body, "<script") != 1 {
				t.Error("there is a script more than the page's own")
			}
		})
	}
}

// A provider that refuses by a 401 means a login as well.
func TestVisitsThatA401Refuses(t *testing.T) {
	const place = "/a?b;c"
	for _, tt := range []struct {
		provider string
		next     http.Handler
		place    string
		login    string // none if the answer passes
	}{
		{"authelia", answering(401, dated, "Location: https://id.example.com/?rd=x"), place, "https://id.example.com/?rd=x"},
		{"authelia", answering(401, dated), place, ""},
		{"authelia", answering(401, dated, "Location: /", "WWW-Authenticate: Basic"), place, ""},
		{"oauth2-proxy", answering(401, dated), place, "/oauth2/start?rd=%2Fa%3Fb%3Bc"},
		{"oauth2-proxy", answering(401, dated), "//evil.example/", "/oauth2/start?rd=%2Fevil.example%2F"},
		{"oauth2-proxy", answering(403, dated), place, ""},
		{"tinyauth", answering(401, dated), place, ""},
	} {
		config := CreateConfig()
		config.Provider, config.OwnServiceWorker = tt.provider, true
		h, err := New(context.Background(), tt.next, config, "reauth@docker")
		if err != nil {
			t.Fatal(err)
		}
		res := serveOnce(h, request("GET", tt.place, asDocument...))
		body := bodyOf(res)
		if tt.login == "" {
			if body != "from upstream" {
				t.Errorf("%s: got %.99s", tt.provider, body)
			}
			continue
		}
		if in := html.UnescapeString(between(t, body, `<a href="`, `" id="login">`)); in != tt.login {
			t.Errorf("%s: the login is at %s", tt.provider, in)
		}
	}
}

func TestOwnScript(t *testing.T) {
	never := http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { t.Errorf("%s was passed on", req.URL) })
	header := http.Header{"Content-Type": {"text/javascript; charset=utf-8"}, "Cache-Control": {"private, no-store"}, "X-Content-Type-Options": {"nosniff"}}
	for name, tt := range map[string]struct {
		change func(*Config)
		script string
	}{
		"on":                 {withOwn, scriptWith(refreshArguments)},
		"off":                {nil, retireSource},
		"off with all":       {func(c *Config) { c.ServiceWorker = false }, retireSource},
		"on, with a list":    {func(c *Config) { withOwn(c); withOrigins(c) }, scriptWith(refreshArguments)},
		"on, under a prefix": {func(c *Config) { withOwn(c); c.RefreshPath = "/a/_reauth" }, strings.Replace(scriptWith(refreshArguments), `"/_reauth"`, `"/a/_reauth"`, 1)},
	} {
		change := tt.change
		path := parsed(t, change).refreshPath
		res := serveOnce(newHandler(t, never, change), request("GET", path+"?reauth-worker", asWorker...))
		if body := bodyOf(res); res.StatusCode != 200 || body != tt.script {
			t.Errorf("%s: got %d %.99s", name, res.StatusCode, body)
		}
		want := withHeader(header, http.Header{"Content-Length": {strconv.Itoa(len(tt.script))}})
		if res.Header.Del("Vary"); !reflect.DeepEqual(res.Header, want) {
			t.Errorf("%s: got %v", name, res.Header)
		}
	}
	// What was registered at a refresh path that was given up goes away.
	for _, change := range []func(*Config){nil, withOwn, func(c *Config) { c.ServiceWorker = false }} {
		if got := bodyOf(serveOnce(newHandler(t, never, change), request("GET", "/old?reauth-worker", asWorker...))); got != retireSource {
			t.Errorf("a former refresh path has %.99s", got)
		}
	}
	// Whoever asks for no worker's script renews.
	for _, headers := range [][]string{{scripted}, {"Service-Worker: script", "Sec-Fetch-Dest: script"}} {
		if res := serveOnce(newHandler(t, expired, withOwn), request("GET", "/_reauth?reauth-worker", headers...)); res.StatusCode != 302 {
			t.Errorf("%v: got %d", headers, res.StatusCode)
		}
	}
}
