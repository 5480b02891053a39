package providers

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traefik-reauth/reauth/e2e/oidc"
)

// isProbed reports whether res is the answer to a probe.
func isProbed(res response, active string) bool {
	return res.StatusCode == http.StatusOK && res.Text == `{"active":`+active+`}` && res.Header.Get("Content-Type") == "application/json" &&
		res.Header.Get("Cache-Control") == "private, no-store" && res.Header["Location"] == nil && len(res.Cookies()) == 0
}

// isForm reports whether res is the identity provider's login page.
func isForm(res response) bool {
	return res.StatusCode == http.StatusOK && strings.HasPrefix(res.Request.URL.String(), shared.URL(ssoHost)+"/interaction/")
}

// fetches are the ways to ask for the session from a script.
var fetches = map[string][]string{
	"fetch":                        fetch,
	"fetch of the refresh script":  {"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty", "Accept: */*"},
	"fetch of JSON":                jsonFetch,
	"fetch without fetch metadata": {"Accept: */*"},
}

func TestProbeTellsWhetherTheSessionIsGood(t *testing.T) {
	for _, mode := range modeNames {
		for state, active := range map[session]string{good: "true", expired: "false", none: "false"} {
			c := newClient(t, mode)
			c.enter(state)
			cookie := c.Cookie(c.url("/"), oidc.SessionCookie)
			for name, headers := range fetches {
				if res := c.send("GET", "/_reauth?probe", "", headers...); !isProbed(res, active) {
					t.Errorf("%s, %s, %s: got %s", mode, state, name, describe(res))
				}
			}
			if after := c.Cookie(c.url("/"), oidc.SessionCookie); after != cookie {
				t.Errorf("%s, %s: the cookie %q became %q", mode, state, cookie, after)
			}
		}
	}
}

func TestRefreshWithGoodSession(t *testing.T) {
	for _, mode := range modeNames {
		c := newClient(t, mode)
		c.enter(good)
		for name, headers := range fetches {
			if res := c.send("GET", "/_reauth", "", headers...); res.StatusCode != http.StatusNoContent || len(res.Cookies()) != 0 {
				t.Errorf("%s, %s: got %s", mode, name, describe(res))
			}
		}
		if res := c.send("GET", "/_reauth?rd=%2Fa%3Fb", "", navigation...); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/a?b" {
			t.Errorf("%s, visit: got %s", mode, describe(res))
		}
		if res := c.send("GET", "/_reauth?login", "", navigation...); !isPage(res) {
			t.Errorf("%s, visit for the login: got %s", mode, describe(res))
		}
	}
}

// isPage reports whether res is the page at the refresh path.
func isPage(res response) bool {
	return res.StatusCode == http.StatusOK && strings.Contains(res.Text, "<h1>Your session has expired</h1>")
}

// A browser that follows the redirects renews the session, and what was refused then
// reaches the app.
func TestRefreshWhileTheSSOSessionLives(t *testing.T) {
	for _, mode := range modeNames {
		for _, name := range slices.Sorted(maps.Keys(fetches)) {
			t.Run(mode+", "+name, func(t *testing.T) {
				c := newClient(t, mode)
				c.enter(good)
				c.expire()
				app.take()
				if res := c.send("POST", "/sync", "edits", fetches[name]...); !res.IsChallenge() {
					t.Errorf("expired: got %s", describe(res))
				}
				res := c.visit("/_reauth", fetches[name]...)
				if res.StatusCode != http.StatusNoContent || res.Request.URL.String() != c.url("/_reauth") {
					t.Errorf("the renewal ended at %s with %s", res.Request.URL, describe(res))
				}
				app.take() // what asked for the session passes through
				if res := c.send("GET", "/_reauth?probe", "", fetches[name]...); !isProbed(res, "true") {
					t.Errorf("renewed: got %s", describe(res))
				}
				app.take()
				if res := c.send("POST", "/sync", "edits", fetches[name]...); res.StatusCode != http.StatusOK {
					t.Errorf("sent again: got %s", describe(res))
				}
				want := []received{{res.Request.URL.Host, "POST", "/sync", "edits", "demo", "demo@example.com"}}
				if got := app.take(); !reflect.DeepEqual(got, want) {
					t.Errorf("the app got %v, want %v", got, want)
				}
			})
		}
		c := newClient(t, mode)
		c.enter(expired)
		if res := c.visit("/_reauth?rd=%2Fa%3Fb", navigation...); res.StatusCode != http.StatusOK || res.Request.URL.String() != c.url("/a?b") {
			t.Errorf("%s: a visit ended at %s with %s", mode, res.Request.URL, describe(res))
		}
		c.expire()
		if res := c.visit("/_reauth?login", navigation...); !isPage(res) || res.Request.URL.Path != "/_reauth" {
			t.Errorf("%s: a visit for the login ended at %s with %s", mode, res.Request.URL, describe(res))
		}
	}
}

func TestRefreshWithoutSSOSessionLeadsThroughTheLogin(t *testing.T) {
	for _, mode := range modeNames {
		newClient(t, mode).enter(good)
		for target, end := range map[string]string{"/_reauth?rd=/a%3Fb": "/a?b", "/_reauth?rd=%2Fbudget%3Fa%3D1%26b%3D%252F": "/budget?a=1&b=%2F", "/_reauth?login": "/_reauth?login"} {
			c := newClient(t, mode)
			if res := c.LogIn(c.url(target)); res.StatusCode != http.StatusOK || res.Request.URL.String() != c.url(end) {
				t.Errorf("%s, %s: the login ended at %s with %s", mode, target, res.Request.URL, describe(res))
			}
		}
	}
}

func TestRefreshWhenBothSessionsEnd(t *testing.T) {
	for _, mode := range modeNames {
		c := newClient(t, mode)
		c.enter(expired)
		if err := sso.EndSessions(t.Context()); err != nil {
			t.Fatal(err)
		}
		if res := c.visit("/_reauth", fetch...); !isForm(res) {
			t.Errorf("%s: a fetch ended at %s with %s", mode, res.Request.URL, describe(res))
		}
		if res := c.send("GET", "/_reauth?probe", "", fetch...); !isProbed(res, "false") {
			t.Errorf("%s: the probe got %s", mode, describe(res))
		}
		form := c.visit("/_reauth?rd=/a%3Fb", navigation...)
		if !isForm(form) {
			t.Errorf("%s: a visit ended at %s with %s", mode, form.Request.URL, describe(form))
			continue
		}
		if res := c.Submit(form); res.StatusCode != http.StatusOK || res.Request.URL.String() != c.url("/a?b") {
			t.Errorf("%s: the login ended at %s with %s", mode, res.Request.URL, describe(res))
		}
	}
}

// Every refusal that starts a login brings a cookie that ends the one in flight. A
// tab that polls and asks for the session must not.
func TestRefusedCallsDoNotBreakALoginInFlight(t *testing.T) {
	for _, mode := range modeNames {
		newClient(t, mode).enter(good)
		c := newClient(t, mode)
		form := c.visit("/_reauth?rd=/a%3Fb", navigation...)
		for name, headers := range fetches {
			for _, path := range []string{"/api", "/_reauth?probe"} {
				if res := c.send("GET", path, "", headers...); len(res.Cookies()) != 0 {
					t.Errorf("%s, %s, %s: got %s", mode, path, name, describe(res))
				}
			}
		}
		if res := c.Submit(form); res.StatusCode != http.StatusOK || res.Request.URL.String() != c.url("/a?b") {
			t.Errorf("%s: the login ended at %s with %s", mode, res.Request.URL, describe(res))
		}
	}
}

// oauth2-proxy renews the cookie of a good session, which forwardAuth then adds to
// the answer. It must not get lost on what the plugin answers itself.
func TestRenewedCookieReachesTheBrowser(t *testing.T) {
	for _, tt := range []struct {
		name, path string
		headers    []string
		status     int
	}{
		{"call", "/budget", fetch, http.StatusOK},
		{"visit", "/budget", navigation, http.StatusOK},
		{"renewal", "/_reauth", fetch, http.StatusNoContent},
		{"probe", "/_reauth?probe", fetch, http.StatusOK},
		{"visit that renews", "/_reauth?rd=/a", navigation, http.StatusSeeOther},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, cookieHost)
			c.enter(good)
			before := c.Cookie(c.url("/"), oidc.SessionCookie)
			// oauth2-proxy counts the age of a cookie in whole seconds, and renews it with the
			// first request that finds it old enough: nothing tells before when that is.
			for end := time.Now().Add(10 * time.Second); ; {
				res := c.send("GET", tt.path, "", tt.headers...)
				if res.StatusCode != tt.status {
					t.Fatalf("got %s", describe(res))
				}
				if after := c.Cookie(c.url("/"), oidc.SessionCookie); after != before {
					if len(res.Cookies()) != 1 {
						t.Errorf("got %s", describe(res))
					}
					break
				}
				if time.Now().After(end) {
					t.Fatal("the cookie is never renewed")
				}
				time.Sleep(20 * time.Millisecond)
			}
			c.expire()
			if res := c.send("GET", "/budget", "", fetch...); !res.IsChallenge() {
				t.Errorf("expired: got %s", describe(res))
			}
		})
	}
}
