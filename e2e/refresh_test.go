package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/authentik"
	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

func TestRefreshVisitWithGoodSession(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		c := newClient(t, p, appHost).Enter()
		for rd, want := range map[string]string{
			"/budget?month=2026-11#table":           "/budget?month=2026-11#table",
			"":                                      "/",
			"https://evil.example/":                 "/",
			"//evil.example/":                       "/",
			`/\evil.example/`:                       "/",
			"/a;b?c;d":                              "/a;b?c;d",
			"/%2fevil.example/":                     "/",
			"/a/../../_reauth":                      "/",
			"/_reauth":                              "/",
			"/outpost.goauthentik.io/sign_out":      "/",
			"/x\r\nSet-Cookie: a=b":                 "/",
			"/a/%2e%2e/outpost.goauthentik.io/ping": "/",
			"/a%2Fb/%2e%2e/_reauth":                 "/",
		} {
			res := c.Send("GET", visitor.RefreshPath(rd), "", navigation...)
			if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != want || res.Text != "" ||
				res.Header.Get("Cache-Control") != "private, no-store" || len(res.Cookies()) != 0 {
				t.Errorf("rd %q: got %s", rd, res)
			}
		}
		for query, want := range map[string]string{"rd=/a&rd=/b": "/", "rd=%zz": "/", "rd=/a;b": "/a;b", "x=1;y&rd=/a": "/a"} {
			if res := c.Send("GET", "/_reauth?"+query, "", navigation...); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != want {
				t.Errorf("%s: got %s", query, res)
			}
		}
	})
}

// fromElsewhere are the headers of a visit that a page of another site leads to.
var fromElsewhere = append([]string{"Sec-Fetch-Site: cross-site"}, visitor.Navigation...)

// isPage reports whether res is the page at the refresh path, in its variant for
// who was sent there from elsewhere or in the other.
func isPage(res response, elsewhere bool) bool {
	return res.StatusCode == http.StatusOK && strings.Contains(res.Text, "<h1>Your session has expired</h1>") &&
		strings.Contains(res.Text, " data-elsewhere>") == elsewhere &&
		res.Header.Get("Content-Type") == "text/html; charset=utf-8" && res.Header.Get("Cache-Control") == "private, no-store" && len(res.Cookies()) == 0
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
		{"a probe's query", appHost, "/_reauth?probe", none, navigation},
		{"from another site", appHost, "/_reauth", expired, fromElsewhere},
		{"from another origin of the site", appHost, "/_reauth", none, append([]string{"Sec-Fetch-Site: same-site"}, navigation...)},
		{"with a list", corsHost, "/_reauth", none, navigation},
		{"option off", offHost, "/_reauth", none, navigation},
		{"auth server down", downHost, "/_reauth", none, navigation},
	}
	forEachProtocol(t, func(t *testing.T, p protocol) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c := enter(newClient(t, p, tt.host), tt.state)
				asked := p.asked(tt.host)
				res := c.Send("GET", tt.path, "", tt.headers...)
				if !isPage(res, strings.Contains(strings.Join(tt.headers, " "), "Sec-Fetch-Site: ")) {
					t.Errorf("got %s", res)
				}
				allowed := "default-src 'none'; "
				for _, source := range inline.FindAllStringSubmatch(res.Text, -1) {
					sum := sha256.Sum256([]byte(source[2]))
					allowed += source[1] + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; "
				}
				if policy := res.Header.Get("Content-Security-Policy"); !sameDirectives(policy, allowed+"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'") {
					t.Errorf("the page has what allows %q, and the policy is %q", allowed, policy)
				}
				head := c.Send("HEAD", tt.path, "", tt.headers...)
				head.Header.Del("Date")
				res.Header.Del("Date")
				if head.StatusCode != res.StatusCode || head.Text != "" || head.ContentLength != int64(len(res.Text)) || !reflect.DeepEqual(head.Header, res.Header) {
					t.Errorf("HEAD: got %s", head)
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
		c := newClient(t, p, appHost).Enter()
		for _, path := range []string{"/_reauth", visitor.RefreshPath("/budget")} {
			for _, headers := range [][]string{fetch, {"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty"}, {"Accept: */*"}} {
				res := c.Send("GET", path, "", headers...)
				if res.StatusCode != http.StatusNoContent || res.Text != "" || res.Header.Get("Cache-Control") != "private, no-store" ||
					len(res.Cookies()) != 0 || res.Header.Get("Content-Type") != "" {
					t.Errorf("%s with %s: got %s", path, headers, res)
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
					c := enter(newClient(t, overHTTP1, host), state)
					res := c.Send("GET", visitor.RefreshPath("/budget"), "", headers...)
					if !res.IsLogin() {
						t.Errorf("got %s", res)
					}
				})
			}
		}
	}
}

func TestRefreshWhileTheSSOSessionLives(t *testing.T) {
	for _, host := range []string{appHost, oldHost} {
		forEachProtocol(t, func(t *testing.T, p protocol) {
			c := newClient(t, p, host).Enter()

			c.Expire(shared.Authentik)
			res := c.Visit("/_reauth", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty")
			if res.StatusCode != http.StatusNoContent || res.Request.URL.String() != c.URL("/_reauth") {
				t.Errorf("a fetch ended at %s with %s", res.Request.URL, res)
			}
			if res := c.Send("GET", "/api/data", "", fetch...); res.StatusCode != http.StatusOK {
				t.Errorf("after the renewal: %s", res)
			}

			c.Expire(shared.Authentik)
			res = c.Visit(visitor.RefreshPath("/budget?a=1"), navigation...)
			if res.StatusCode != http.StatusOK || res.Request.URL.String() != c.URL("/budget?a=1") {
				t.Errorf("a visit ended at %s with %s", res.Request.URL, res)
			}
		})
	}
}

func TestRefreshWithoutSSOSessionTakesOneLogin(t *testing.T) {
	c := newClient(t, overHTTP1, appHost)
	before := shared.Authentik.Logins()
	res := c.LogIn(visitor.RefreshPath("/budget?a=1"))
	if res.StatusCode != http.StatusOK || res.Request.URL.String() != c.URL("/budget?a=1") {
		t.Errorf("the login ended at %s with %s", res.Request.URL, res)
	}
	if logins := shared.Authentik.Logins() - before; logins != 1 {
		t.Errorf("%d logins", logins)
	}
}

// Where the provider wants consent, a fetch ends on its page: the session is
// not renewed, and the next call says so.
func TestRefreshWithExplicitConsent(t *testing.T) {
	c := newClient(t, overHTTP1, consentHost)
	c.Submit(c.LogIn("/"))
	c.Expire(shared.Authentik)
	if res := c.Visit("/_reauth", fetch...); !strings.Contains(res.Text, "Continue to the app?") {
		t.Errorf("a fetch ended with %s", res)
	}
	if res := c.Send("GET", "/api/data", "", fetch...); !res.IsChallenge() {
		t.Errorf("after it: %s", res)
	}
	if res := c.Submit(c.Visit(visitor.RefreshPath("/budget"), navigation...)); res.Text != "page /budget" {
		t.Errorf("a visit ended with %s", res)
	}
}

// The callback also arrives on the app's own paths, marked by its query: its
// redirect and its cookie are the auth server's and stay.
func TestCallbackOnAnAppsPathPasses(t *testing.T) {
	c := newClient(t, overHTTP1, appHost).Enter()
	c.Expire(shared.Authentik)
	authorize := c.Send("GET", "/_reauth", "", fetch...).Header.Get("Location")
	granted := c.Do(visitor.Request(t, "GET", authorize, ""), false)
	callback := strings.Replace(granted.Header.Get("Location"), "/outpost.goauthentik.io/callback", "/budget", 1)
	res := c.Do(visitor.Request(t, "GET", callback, "", fetch...), false)
	if res.StatusCode != http.StatusFound || res.Header.Get("Location") != c.URL("/_reauth") || len(res.Cookies()) != 1 {
		t.Errorf("got %s", res)
	}
	if res := c.Send("GET", "/_reauth", "", fetch...); res.StatusCode != http.StatusNoContent {
		t.Errorf("after it: %s", res)
	}
}

func TestSignOutPasses(t *testing.T) {
	c := newClient(t, overHTTP1, appHost).Enter()
	if res := c.Send("GET", "/outpost.goauthentik.io/sign_out", "", fetch...); res.StatusCode != http.StatusFound {
		t.Errorf("got %s", res)
	}
	if res := c.Send("GET", "/api/data", "", fetch...); !res.IsChallenge() {
		t.Errorf("after it: %s", res)
	}
}

// isProbed reports whether res is the answer to a probe, with this body.
func isProbed(res response, body string) bool {
	return res.StatusCode == http.StatusOK && res.Text == body && res.ContentLength == int64(len(body)) &&
		res.Header.Get("Content-Type") == "application/json" && res.Header.Get("Cache-Control") == "private, no-store" &&
		res.Header.Get("X-Content-Type-Options") == "nosniff" && len(res.Cookies()) == 0 && res.Header["Location"] == nil
}

func TestProbeTellsWhetherTheSessionIsGood(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		for _, host := range []string{appHost, oldHost, queryHost, offHost} {
			for state, body := range map[session]string{good: `{"active":true}`, expired: `{"active":false}`, none: `{"active":false}`} {
				c := enter(newClient(t, p, host), state)
				cookie := c.Session()
				for _, headers := range [][]string{fetch, {"Accept: */*"}, append([]string{"X-Authentik-Jwt: " + forgedToken}, fetch...)} {
					if res := c.Send("GET", "/_reauth?probe", "", headers...); !isProbed(res, body) {
						t.Errorf("%s, %s, %s: got %s", host, state, headers, res)
					}
				}
				head := c.Send("HEAD", "/_reauth?probe", "", fetch...)
				if head.StatusCode != http.StatusOK || head.Text != "" || head.ContentLength != int64(len(body)) || len(head.Cookies()) != 0 {
					t.Errorf("%s, %s, HEAD: got %s", host, state, head)
				}
				if c.Session() != cookie {
					t.Errorf("%s, %s: the cookie %q became %q", host, state, cookie, c.Session())
				}
			}
		}
	})
}

// forgedToken is a token that nobody has signed. It ends in 2030.
const forgedToken = "eyJhbGciOiJub25lIn0.eyJleHAiOjE4OTM0NTYwMDB9."

func TestProbeIsTheAuthServersErrorWhileThatFails(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		before := p.behave(failingHost, authentik.Behaviour{Status: http.StatusServiceUnavailable})
		defer p.behave(failingHost, before)
		for host, status := range map[string]int{downHost: http.StatusInternalServerError, failingHost: http.StatusServiceUnavailable} {
			for _, query := range []string{"probe", "login"} {
				headers := map[string][]string{"probe": fetch, "login": navigation}[query]
				if res := newClient(t, p, host).Send("GET", "/_reauth?"+query, "", headers...); res.StatusCode != status || strings.Contains(res.Text, "active") {
					t.Errorf("%s, %s: got %s", host, query, res)
				}
			}
		}
	})
}

var expiresIn = regexp.MustCompile(`^\{"active":true,"expires_in":([0-9]+)\}$`)

// TestProbeTellsTheEndOfTheSession has a stand of its own, as forwardAuth does not
// hand the token on unless it is told to.
func TestProbeTellsTheEndOfTheSession(t *testing.T) {
	s, err := startStand(t, probe.ServeApp(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := visitor.At(t, s.URL(appHost), visitor.HTTP1, s.TLS()).Enter()
	ask := func(headers ...string) response {
		return c.Send("GET", "/_reauth?probe", "", append(headers, fetch...)...)
	}
	if res := ask(); !isProbed(res, `{"active":true}`) {
		t.Errorf("without the token: got %s", res)
	}
	err = s.Configure(t.Context(), func(config *stand.Config) {
		config.AuthResponseHeaders = append(stand.IdentityHeaders(), stand.TokenHeader)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, headers := range [][]string{nil, {"X-Authentik-Jwt: " + forgedToken}} {
		res := ask(headers...)
		found := expiresIn.FindStringSubmatch(res.Text)
		if !isProbed(res, res.Text) || found == nil {
			t.Fatalf("%s: got %s", headers, res)
		}
		if left, err := strconv.Atoi(found[1]); err != nil || left > 3600 || left < 3500 {
			t.Errorf("%s: an hour's session ends in %s seconds", headers, found[1])
		}
	}
	c.Expire(s.Authentik)
	if res := ask("X-Authentik-Jwt: " + forgedToken); !isProbed(res, `{"active":false}`) {
		t.Errorf("expired: got %s", res)
	}
}

// A tab that asks must not end the login in the other.
func TestProbesDoNotBreakALoginInFlight(t *testing.T) {
	c := newClient(t, overHTTP1, appHost)
	asked := newClient(t, overHTTP1, appHost).Send("GET", "/_reauth?probe", "", fetch...)
	page := c.Visit("/_reauth?login", navigation...)
	c.Jar.SetCookies(c.Root(), asked.Cookies())
	if res := c.Send("GET", "/_reauth?probe", "", fetch...); !isProbed(res, `{"active":false}`) {
		t.Errorf("during the login: got %s", res)
	}
	if res := c.Submit(page); !isPage(res, false) || res.Request.URL.String() != c.URL("/_reauth?login") {
		t.Errorf("the login ended at %s with %s", res.Request.URL, res)
	}
}

func TestVisitThatAsksForTheLoginEndsOnThePage(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		for _, host := range []string{appHost, oldHost} {
			c := newClient(t, p, host)
			if res := c.Send("GET", "/_reauth?login", "", navigation...); !res.IsLogin() {
				t.Errorf("%s, no session: got %s", host, res)
			}
			if res := c.LogIn("/_reauth?login"); !isPage(res, false) || res.Request.URL.String() != c.URL("/_reauth?login") {
				t.Errorf("%s: the login ended at %s with %s", host, res.Request.URL, res)
			}
			if res := c.Send("GET", "/_reauth?login", "", fromElsewhere...); !isPage(res, true) {
				t.Errorf("%s, back from the login: got %s", host, res)
			}
			if res := c.Send("HEAD", "/_reauth?login", "", navigation...); res.StatusCode != http.StatusOK || res.Text != "" || res.ContentLength <= 0 {
				t.Errorf("%s, HEAD: got %s", host, res)
			}
			c.Expire(shared.Authentik)
			if res := c.Send("GET", "/_reauth?login", "", fromElsewhere...); !res.IsLogin() {
				t.Errorf("%s, expired: got %s", host, res)
			}
			if res := c.Visit("/_reauth?login", navigation...); !isPage(res, false) {
				t.Errorf("%s, while the SSO session lives: ended at %s with %s", host, res.Request.URL, res)
			}
		}
	})
}

// Where the auth server forgets the query, whoever asked for the login or for a
// page of the app comes back to the bare path, and with a session: its page has to
// know the rest.
func TestLoginThatLosesTheQueryEndsOnThePage(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		for _, path := range []string{"/_reauth?login", visitor.RefreshPath("/budget")} {
			c := newClient(t, p, queryHost)
			if res := c.LogIn(path); !isPage(res, false) || res.Request.URL.String() != c.URL("/_reauth") {
				t.Errorf("%s: the login ended at %s with %s", path, res.Request.URL, res)
			}
			if res := c.Send("GET", "/_reauth?probe", "", fetch...); !isProbed(res, `{"active":true}`) {
				t.Errorf("%s: after it, got %s", path, res)
			}
		}
	})
}

// The worker renews a session before its end, by a login of which nothing is to be
// seen.
func TestLoginWhileTheSessionIsGoodKeepsItsCookie(t *testing.T) {
	c := newClient(t, overHTTP1, appHost).Enter()
	cookie := c.Session()
	res := c.Visit("/outpost.goauthentik.io/start?rd="+url.QueryEscape(c.URL("/_reauth")), "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty")
	if res.StatusCode != http.StatusNoContent || res.Request.URL.String() != c.URL("/_reauth") || c.Session() != cookie {
		t.Errorf("ended at %s with %s", res.Request.URL, res)
	}
}

func TestRefreshAnswersHEADLikeGET(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		c := newClient(t, p, appHost)
		if res := c.Send("HEAD", "/_reauth", "", fetch...); !res.IsLogin() {
			t.Errorf("expired: %s", res)
		}
		c.Enter()
		if res := c.Send("HEAD", visitor.RefreshPath("/budget"), "", navigation...); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/budget" {
			t.Errorf("visit: %s", res)
		}
		if res := c.Send("HEAD", "/_reauth", "", fetch...); res.StatusCode != http.StatusNoContent {
			t.Errorf("fetch: %s", res)
		}
	})
}

func TestRefreshIsOpenToListedOrigins(t *testing.T) {
	c := newClient(t, overHTTP1, corsHost).Enter()
	for origin, want := range map[string]string{listedOrigin: listedOrigin, unlistedOrigin: ""} {
		res := c.Send("GET", "/_reauth", "", append([]string{"Origin: " + origin}, fetch...)...)
		if res.StatusCode != http.StatusNoContent || res.Header.Get("Access-Control-Allow-Origin") != want {
			t.Errorf("fetch from %s: %s", origin, res)
		}
	}
	if res := c.Send("OPTIONS", "/_reauth", "", "Origin: "+listedOrigin, "Access-Control-Request-Method: GET"); res.StatusCode != http.StatusNoContent {
		t.Errorf("preflight of a listed origin: %s", res)
	}
	if res := c.Send("OPTIONS", "/_reauth", "", "Origin: "+unlistedOrigin, "Access-Control-Request-Method: GET"); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("preflight of another origin: %s", res)
	}
}

// A refusal that no login mends is the auth server's to show.
func TestRefreshShowsWhatTheAuthServerRefuses(t *testing.T) {
	c := newClient(t, overHTTP1, failingHost).Enter()
	c.Visit("/", navigation...)
	before := overHTTP1.behave(failingHost, authentik.Behaviour{Status: http.StatusForbidden})
	defer overHTTP1.behave(failingHost, before)
	res := c.Visit(visitor.RefreshPath("/budget"), navigation...)
	if res.StatusCode != http.StatusForbidden || res.Request.URL.Path != "/_reauth" {
		t.Errorf("ended at %s with %s", res.Request.URL, res)
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
				res := newClient(t, p, tt.host).Send(tt.method, visitor.RefreshPath("/budget"), "", headers...)
				allow := res.Header.Get("Allow")
				if res.StatusCode != tt.status || (allow == "GET, HEAD") != (tt.status == http.StatusMethodNotAllowed) {
					t.Errorf("%s, %s: got %s", tt.name, name, res)
				}
			}
		}
	})
}
