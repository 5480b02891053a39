package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/authentik"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// refreshURL returns the refresh path that leads back to rd.
func refreshURL(rd string) string { return "/_reauth?rd=" + url.QueryEscape(rd) }

func TestRefreshVisitWithGoodSession(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		c := newClient(t, p, appHost)
		c.enter(good)
		for rd, want := range map[string]string{
			"/budget?month=2026-11#table":           "/budget?month=2026-11#table",
			"":                                      "/",
			"https://evil.example/":                 "/",
			"//evil.example/":                       "/",
			`/\evil.example/`:                       "/",
			"/%2fevil.example/":                     "/",
			"/a/../../_reauth":                      "/",
			"/_reauth":                              "/",
			"/outpost.goauthentik.io/sign_out":      "/",
			"/x\r\nSet-Cookie: a=b":                 "/",
			"/a/%2e%2e/outpost.goauthentik.io/ping": "/",
			"/a%2Fb/%2e%2e/_reauth":                 "/",
		} {
			res := c.send("GET", refreshURL(rd), "", navigation...)
			if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != want || res.Text != "" ||
				res.Header.Get("Cache-Control") != "no-store" || len(res.Cookies()) != 0 {
				t.Errorf("rd %q: got %s", rd, describe(res))
			}
		}
		if res := c.send("GET", "/_reauth?rd=/a&rd=/b", "", navigation...); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/" {
			t.Errorf("two values of rd: got %s", describe(res))
		}
	})
}

var inline = regexp.MustCompile(`(?s)<(script|style)>(.*?)</`)

// Who does not say where to go back to is shown a page, the same whatever the
// session and the auth server are up to.
func TestRefreshPageIsShownWithoutAskingTheAuthServer(t *testing.T) {
	tests := []struct {
		name, host, path string
		state            session
		headers          []string
	}{
		{"session good", appHost, "/_reauth", good, navigation},
		{"session expired", appHost, "/_reauth", expired, navigation},
		{"no session", appHost, "/_reauth", none, navigation},
		{"without fetch metadata", appHost, "/_reauth", none, []string{"Accept: text/html,*/*;q=0.8"}},
		{"another query", appHost, "/_reauth?from=menu", none, navigation},
		{"rd that cannot be read", appHost, "/_reauth?rd=%zz", none, navigation},
		{"with a list", corsHost, "/_reauth", none, navigation},
		{"option off", offHost, "/_reauth", none, navigation},
		{"auth server down", downHost, "/_reauth", none, navigation},
	}
	forEachProtocol(t, func(t *testing.T, p protocol) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c := newClient(t, p, tt.host)
				c.enter(tt.state)
				asked := p.asked(tt.host)
				res := c.send("GET", tt.path, "", tt.headers...)
				if res.StatusCode != http.StatusOK || !strings.Contains(res.Text, "<h1>Your session has expired</h1>") ||
					res.Header.Get("Content-Type") != "text/html; charset=utf-8" || res.Header.Get("Cache-Control") != "no-store" || len(res.Cookies()) != 0 {
					t.Errorf("got %s", describe(res))
				}
				allowed := "default-src 'none'; "
				for _, source := range inline.FindAllStringSubmatch(res.Text, -1) {
					sum := sha256.Sum256([]byte(source[2]))
					allowed += source[1] + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; "
				}
				if policy := res.Header.Get("Content-Security-Policy"); !sameDirectives(policy, allowed+"base-uri 'none'; form-action 'none'; frame-ancestors 'none'") {
					t.Errorf("the page has what allows %q, and the policy is %q", allowed, policy)
				}
				head := c.send("HEAD", tt.path, "", tt.headers...)
				head.Header.Del("Date")
				res.Header.Del("Date")
				if head.StatusCode != res.StatusCode || head.Text != "" || head.ContentLength != int64(len(res.Text)) || !reflect.DeepEqual(head.Header, res.Header) {
					t.Errorf("HEAD: got %s", describe(head))
				}
				if asked := p.asked(tt.host) - asked; asked != 0 {
					t.Errorf("the auth server was asked %d times", asked)
				}
			})
		}
	})
}

// sameDirectives reports whether two policies have the same directives, in any
// order (CSP Level 3, section 2.2.1).
func sameDirectives(a, b string) bool {
	directives := func(policy string) []string { return slices.Sorted(slices.Values(strings.Split(policy, "; "))) }
	return slices.Equal(directives(a), directives(b))
}

func TestRefreshFetchWithGoodSession(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		c := newClient(t, p, appHost)
		c.enter(good)
		for _, path := range []string{"/_reauth", refreshURL("/budget")} {
			for _, headers := range [][]string{fetch, {"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty"}, {"Accept: */*"}} {
				res := c.send("GET", path, "", headers...)
				if res.StatusCode != http.StatusNoContent || res.Text != "" || res.Header.Get("Cache-Control") != "no-store" ||
					len(res.Cookies()) != 0 || res.Header.Get("Content-Type") != "" {
					t.Errorf("%s with %s: got %s", path, headers, describe(res))
				}
			}
		}
	})
}

func TestRefreshLoginRedirectIsPassedOn(t *testing.T) {
	for _, host := range []string{appHost, oldHost} {
		for _, state := range []session{expired, none} {
			for name, headers := range map[string][]string{"visit": navigation, "fetch": fetch, "fetch without metadata": {"Accept: */*"}} {
				t.Run(host+" "+name+" "+string(state), func(t *testing.T) {
					c := newClient(t, overHTTP1, host)
					c.enter(state)
					res := c.send("GET", refreshURL("/budget"), "", headers...)
					if !isLogin(res) {
						t.Errorf("got %s", describe(res))
					}
				})
			}
		}
	}
}

func TestRefreshWhileTheSSOSessionLives(t *testing.T) {
	for _, host := range []string{appHost, oldHost} {
		forEachProtocol(t, func(t *testing.T, p protocol) {
			c := newClient(t, p, host)
			c.enter(good)

			c.expire(shared)
			res := c.visit("/_reauth", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty")
			if res.StatusCode != http.StatusNoContent || res.Request.URL.String() != c.url("/_reauth") {
				t.Errorf("a fetch ended at %s with %s", res.Request.URL, describe(res))
			}
			if res := c.send("GET", "/api/data", "", fetch...); res.StatusCode != http.StatusOK {
				t.Errorf("after the renewal: %s", describe(res))
			}

			c.expire(shared)
			res = c.visit(refreshURL("/budget?a=1"), navigation...)
			if res.StatusCode != http.StatusOK || res.Request.URL.String() != c.url("/budget?a=1") {
				t.Errorf("a visit ended at %s with %s", res.Request.URL, describe(res))
			}
		})
	}
}

func TestRefreshWithoutSSOSessionTakesOneLogin(t *testing.T) {
	c := newClient(t, overHTTP1, appHost)
	before := shared.Authentik.Logins()
	res := c.logIn(refreshURL("/budget?a=1"))
	if res.StatusCode != http.StatusOK || res.Request.URL.String() != c.url("/budget?a=1") {
		t.Errorf("the login ended at %s with %s", res.Request.URL, describe(res))
	}
	if logins := shared.Authentik.Logins() - before; logins != 1 {
		t.Errorf("%d logins", logins)
	}
}

// Where the provider wants consent, a fetch ends on its page: the session is
// not renewed, and the next call says so.
func TestRefreshWithExplicitConsent(t *testing.T) {
	c := newClient(t, overHTTP1, consentHost)
	c.Submit(c.logIn("/"))
	c.expire(shared)
	if res := c.visit("/_reauth", fetch...); !strings.Contains(res.Text, "Continue to the app?") {
		t.Errorf("a fetch ended with %s", describe(res))
	}
	if res := c.send("GET", "/api/data", "", fetch...); !res.IsChallenge() {
		t.Errorf("after it: %s", describe(res))
	}
	if res := c.Submit(c.visit(refreshURL("/budget"), navigation...)); res.Text != "page /budget" {
		t.Errorf("a visit ended with %s", describe(res))
	}
}

// The callback also arrives on the app's own paths, marked by its query: its
// redirect and its cookie are the auth server's and stay.
func TestCallbackOnAnAppsPathPasses(t *testing.T) {
	c := newClient(t, overHTTP1, appHost)
	c.enter(good)
	c.expire(shared)
	authorize := c.send("GET", "/_reauth", "", fetch...).Header.Get("Location")
	granted := c.Do(visitor.Request(t, "GET", authorize, ""), false)
	callback := strings.Replace(granted.Header.Get("Location"), "/outpost.goauthentik.io/callback", "/budget", 1)
	res := c.Do(visitor.Request(t, "GET", callback, "", fetch...), false)
	if res.StatusCode != http.StatusFound || res.Header.Get("Location") != c.url("/_reauth") || len(res.Cookies()) != 1 {
		t.Errorf("got %s", describe(res))
	}
	if res := c.send("GET", "/_reauth", "", fetch...); res.StatusCode != http.StatusNoContent {
		t.Errorf("after it: %s", describe(res))
	}
}

func TestSignOutPasses(t *testing.T) {
	c := newClient(t, overHTTP1, appHost)
	c.enter(good)
	if res := c.send("GET", "/outpost.goauthentik.io/sign_out", "", fetch...); res.StatusCode != http.StatusFound {
		t.Errorf("got %s", describe(res))
	}
	if res := c.send("GET", "/api/data", "", fetch...); !res.IsChallenge() {
		t.Errorf("after it: %s", describe(res))
	}
}

func TestRefreshAnswersHEADLikeGET(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		c := newClient(t, p, appHost)
		if res := c.send("HEAD", "/_reauth", "", fetch...); !isLogin(res) {
			t.Errorf("expired: %s", describe(res))
		}
		c.enter(good)
		if res := c.send("HEAD", refreshURL("/budget"), "", navigation...); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/budget" {
			t.Errorf("visit: %s", describe(res))
		}
		if res := c.send("HEAD", "/_reauth", "", fetch...); res.StatusCode != http.StatusNoContent {
			t.Errorf("fetch: %s", describe(res))
		}
	})
}

func TestRefreshIsOpenToListedOrigins(t *testing.T) {
	c := newClient(t, overHTTP1, corsHost)
	c.enter(good)
	for origin, want := range map[string]string{listedOrigin: listedOrigin, unlistedOrigin: ""} {
		res := c.send("GET", "/_reauth", "", append([]string{"Origin: " + origin}, fetch...)...)
		if res.StatusCode != http.StatusNoContent || res.Header.Get("Access-Control-Allow-Origin") != want {
			t.Errorf("fetch from %s: %s", origin, describe(res))
		}
	}
	if res := c.send("OPTIONS", "/_reauth", "", "Origin: "+listedOrigin, "Access-Control-Request-Method: GET"); res.StatusCode != http.StatusNoContent {
		t.Errorf("preflight of a listed origin: %s", describe(res))
	}
	if res := c.send("OPTIONS", "/_reauth", "", "Origin: "+unlistedOrigin, "Access-Control-Request-Method: GET"); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("preflight of another origin: %s", describe(res))
	}
}

// A refusal that no login mends is the auth server's to show, where the visit
// was to lead.
func TestRefreshLeadsToWhatTheAuthServerRefuses(t *testing.T) {
	before := overHTTP1.behave(failingHost, authentik.Behaviour{Status: http.StatusForbidden})
	defer overHTTP1.behave(failingHost, before)
	res := newClient(t, overHTTP1, failingHost).visit(refreshURL("/budget"), navigation...)
	if res.StatusCode != http.StatusForbidden || res.Request.URL.Path != "/budget" {
		t.Errorf("ended at %s with %s", res.Request.URL, describe(res))
	}
}

func TestRefreshPassesServerErrorsAndRefusesOtherMethods(t *testing.T) {
	tests := []struct {
		name, host, method string
		status             int
	}{
		{"auth server answers 503", failingHost, "GET", http.StatusServiceUnavailable},
		{"auth server down", downHost, "GET", http.StatusInternalServerError},
		{"POST", appHost, "POST", http.StatusMethodNotAllowed},
		{"PUT", appHost, "PUT", http.StatusMethodNotAllowed},
		{"OPTIONS", appHost, "OPTIONS", http.StatusMethodNotAllowed},
	}
	forEachProtocol(t, func(t *testing.T, p protocol) {
		before := p.behave(failingHost, authentik.Behaviour{Status: http.StatusServiceUnavailable})
		defer p.behave(failingHost, before)
		for _, tt := range tests {
			for name, headers := range map[string][]string{"visit": navigation, "fetch": fetch} {
				res := newClient(t, p, tt.host).send(tt.method, refreshURL("/budget"), "", headers...)
				allow := res.Header.Get("Allow")
				if res.StatusCode != tt.status || (allow == "GET, HEAD") != (tt.status == http.StatusMethodNotAllowed) {
					t.Errorf("%s, %s: got %s", tt.name, name, describe(res))
				}
			}
		}
	})
}
