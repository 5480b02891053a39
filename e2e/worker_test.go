package e2e

import (
	"net/http"
	"reflect"
	"slices"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/authentik"
	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

func TestWorkerScriptComesBehindTheRefreshScript(t *testing.T) {
	tests := []struct {
		name, path     string
		acceptEncoding string
		chunked        bool
	}{
		{"with its length", "/sw.js", "gzip, deflate, br, zstd", false},
		{"in chunks", "/chunked/sw.js", "gzip, deflate, br, zstd", true},
		{"of an app that compresses if it may", "/negotiated/sw.js", "gzip, deflate, br, zstd", false},
		{"without Accept-Encoding", "/negotiated/sw.js", "", false},
	}
	forEachProtocol(t, func(t *testing.T, p protocol) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c := newClient(t, p, appHost).Enter()
				headers := forWorker
				if tt.acceptEncoding != "" {
					headers = append([]string{"Accept-Encoding: " + tt.acceptEncoding}, headers...)
				}
				res := c.Send("GET", tt.path, "", headers...)
				length := int64(len(res.Text))
				if tt.chunked {
					length = -1
				}
				if !res.IsPrefixed(probe.WorkerScript) || res.ContentLength != length || res.Header.Get("Content-Type") != "text/javascript; charset=utf-8" {
					t.Errorf("want the length %d, got %s", length, res)
				}
			})
		}
	})
}

// The worker lives under its script's policy, and an app's page under its own.
func TestWorkersPolicyLetsTheRefreshScriptWork(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		c := newClient(t, p, appHost).Enter()
		const path = "/strict/sw.js"
		if got := c.Send("GET", path, "", fetch...).Header["Content-Security-Policy"]; !slices.Equal(got, probe.StrictPolicies) {
			t.Errorf("a page's own request: got %q", got)
		}
		res := c.Send("GET", path, "", forWorker...)
		want := []string{"default-src 'none'; connect-src 'self'", "connect-src https://api.example 'self', img-src *"}
		if got := res.Header["Content-Security-Policy"]; !res.IsPrefixed(probe.WorkerScript) || !slices.Equal(got, want) {
			t.Errorf("want %q, got %s", want, res)
		}
	})
}

// A browser may have the script from before the plugin was there.
func TestWorkerScriptIsSentWholeWhateverTheBrowserHas(t *testing.T) {
	const before, after = "Mon, 01 Jan 2001 00:00:00 GMT", "Wed, 01 Jan 2025 00:00:00 GMT"
	tests := []struct {
		header string
		status int // what it brings without the plugin
	}{
		{`If-None-Match: "1"`, http.StatusNotModified},
		{"If-None-Match: *", http.StatusNotModified},
		{"If-Modified-Since: " + after, http.StatusNotModified},
		{`If-Match: "2"`, http.StatusPreconditionFailed},
		{"If-Unmodified-Since: " + before, http.StatusPreconditionFailed},
		{"Range: bytes=3-5", http.StatusPartialContent},
		{"Range: bytes=9999-", http.StatusRequestedRangeNotSatisfiable},
	}
	forEachProtocol(t, func(t *testing.T, p protocol) {
		c := newClient(t, p, appHost).Enter()
		for _, tt := range tests {
			headers := append([]string{tt.header}, forWorker...)
			if res := newClient(t, p, bareHost).Send("GET", "/sw.js", "", headers...); res.StatusCode != tt.status {
				t.Errorf("%s, without the plugin: want %d, got %s", tt.header, tt.status, res)
			}
			if res := c.Send("GET", "/sw.js", "", headers...); !res.IsPrefixed(probe.WorkerScript) {
				t.Errorf("%s: got %s", tt.header, res)
			}
		}
	})
}

func TestWorkerScriptThatCannotBePrefixedIsUntouched(t *testing.T) {
	zip := append([]string{"Accept-Encoding: gzip"}, forWorker...)
	known := append([]string{`If-None-Match: "1"`}, zip...)
	tests := []struct {
		name, host, path string
		headers          []string
	}{
		{"compressed whatever the browser accepts", appHost, "/zipped/sw.js", zip},
		{"no script", appHost, "/budget", zip},
		{"option off", offHost, "/sw.js", zip},
		{"option off, compressed", offHost, "/negotiated/sw.js", zip},
		{"option off, known to the browser", offHost, "/sw.js", known},
	}
	forEachProtocol(t, func(t *testing.T, p protocol) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c := newClient(t, p, tt.host).Enter()
				expectSame(t, c.Send("GET", tt.path, "", tt.headers...), newClient(t, p, bareHost).Send("GET", tt.path, "", tt.headers...))
			})
		}
	})
}

// An error is no expired session: the browser keeps the script that it has.
func TestWorkerScriptIsTheAuthServersErrorWhileThatFails(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		before := p.behave(failingHost, authentik.Behaviour{Status: http.StatusServiceUnavailable})
		defer p.behave(failingHost, before)
		for host, status := range map[string]int{downHost: http.StatusInternalServerError, failingHost: http.StatusServiceUnavailable} {
			c := newClient(t, p, host)
			// A visit is none of the plugin's without a list of origins.
			want := c.Send("GET", "/sw.js", "", navigation...)
			if want.StatusCode != status {
				t.Fatalf("%s, visit: got %s", host, want)
			}
			expectSame(t, c.Send("GET", "/sw.js", "", forWorker...), want)
		}
	})
}

// expectSame fails the test if two answers differ by more than their dates.
func expectSame(t *testing.T, got, want response) {
	t.Helper()
	got.Header.Del("Date")
	want.Header.Del("Date")
	if got.StatusCode != want.StatusCode || got.Text != want.Text || !reflect.DeepEqual(got.Header, want.Header) {
		t.Errorf("want %s\ngot %s", want, got)
	}
}

// The browser has no session of the app's before its first login, and the
// refused request must not leave it a cookie.
func TestRecoveryScriptInPlaceOfALoginRedirect(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		for _, host := range []string{appHost, oldHost, zipHost} {
			for _, state := range []session{expired, none} {
				c := enter(newClient(t, p, host), state)
				cookie := c.Session()
				for _, path := range []string{"/sw.js", "/zipped/sw.js", "/not/there.js"} {
					if res := c.Send("GET", path, "", append([]string{`If-None-Match: "1"`}, forWorker...)...); !res.IsRecovery() {
						t.Errorf("%s%s, %s: got %s", host, path, state, res)
					}
				}
				if c.Session() != cookie {
					t.Errorf("%s, %s: the cookie %q became %q", host, state, cookie, c.Session())
				}
			}
		}
	})
}

func TestWorkerScriptMayBeCompressedAfterThePlugin(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		for state, want := range map[session]string{good: visitor.Script(false) + probe.WorkerScript, none: visitor.Script(true)} {
			c := enter(newClient(t, p, zipHost), state)
			for _, path := range []string{"/sw.js", "/chunked/sw.js", "/negotiated/sw.js"} {
				res := c.Send("GET", path, "", append([]string{"Accept-Encoding: gzip"}, forWorker...)...)
				if got := res.Unzip(t); got != want {
					t.Errorf("%s, %s: got %s\nof %q", path, state, res, got)
				}
			}
		}
	})
}
