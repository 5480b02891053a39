package providers

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/standin"
)

// forEachStandIn runs a test with the host of each login page. The plugin's only option
// is the name of the provider.
func forEachStandIn(t *testing.T, test func(t *testing.T, host, app string)) {
	for _, host := range standInHosts {
		t.Run(host, func(t *testing.T) {
			app := host + "-app"
			seen := newClient(t, app)
			seen.LogIn(seen.url("/"))
			seen.send("GET", "/seen", "", fetch...)
			test(t, host, app)
		})
	}
}

func TestOthersWithGoodSession(t *testing.T) {
	forEachStandIn(t, func(t *testing.T, login, host string) {
		user, email := standin.User, standin.Email
		if login == forwardAuthHost {
			user, email = standin.Email, "" // all that it tells
		}
		c := newClient(t, host)
		c.LogIn(c.url("/budget"))
		without := &client{c.Visitor, twin(host)} // of the same session
		without.visit("/", navigation...)         // but for traefik-forward-auth's, of the same SSO session
		for _, path := range []string{"/budget", "/unauthorized", "/basic", "/openid-401", "/openid"} {
			for name, headers := range fetches {
				plain := without.send("GET", path, "", headers...)
				app.take()
				res := c.send("GET", path, "", headers...)
				if got := outcomeOf(res, plain); got != untouched {
					t.Errorf("%s, %s: got %s", path, name, got)
				}
				want := []received{{res.Request.URL.Host, "GET", path, "", user, email}}
				if got := app.take(); !reflect.DeepEqual(got, want) {
					t.Errorf("%s, %s: the app got %v, want %v", path, name, got, want)
				}
			}
		}
		if res := c.send("GET", "/sw.js", "", forWorker...); !isPrefixed(res) {
			t.Errorf("worker script: got %s", describe(res))
		}
		if res := c.send("GET", "/_reauth", "", fetch...); res.StatusCode != http.StatusNoContent {
			t.Errorf("renewal: got %s", describe(res))
		}
		if res := c.send("GET", "/_reauth?probe", "", jsonFetch...); !isProbed(res, "true") {
			t.Errorf("probe: got %s", describe(res))
		}
		if res := c.send("GET", "/_reauth?rd=/a%3Fb", "", navigation...); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/a?b" {
			t.Errorf("visit: got %s", describe(res))
		}
	})
}

func TestOthersWithoutSession(t *testing.T) {
	forEachStandIn(t, func(t *testing.T, _, host string) {
		c, without := newClient(t, host), newClient(t, twin(host))
		calls := map[string][]string{"XMLHttpRequest": {"X-Requested-With: XMLHttpRequest", "Accept: text/html"}}
		for name, headers := range fetches {
			calls[name] = headers
		}
		app.take()
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
			for name, headers := range calls {
				if res := c.send(method, "/budget", "", headers...); !res.IsChallenge() {
					t.Errorf("%s, %s: got %s", method, name, describe(res))
				}
			}
			plain := without.send(method, "/budget", "", navigation...)
			if got := outcomeOf(c.send(method, "/budget", "", navigation...), plain); got != untouched {
				t.Errorf("%s, visit: got %s", method, got)
			}
		}
		if res := c.send("GET", "/ws", "", upgrade...); !res.IsChallenge() {
			t.Errorf("WebSocket: got %s", describe(res))
		}
		if res := c.send("GET", "/sw.js", "", forWorker...); !isRecovery(res) {
			t.Errorf("worker script: got %s", describe(res))
		}
		for name, headers := range fetches {
			if res := c.send("GET", "/_reauth?probe", "", headers...); !isProbed(res, "false") {
				t.Errorf("probe, %s: got %s", name, describe(res))
			}
		}
		if got := app.take(); len(got) > 0 {
			t.Errorf("the app got %v", got)
		}
	})
}

// A fetch ends at the page where a login takes a person, and does not renew.
func TestOthersLeadThroughTheLogin(t *testing.T) {
	forEachStandIn(t, func(t *testing.T, host, app string) {
		isForm := func(res response) bool {
			return res.StatusCode == http.StatusOK && res.Text == standin.Form && strings.HasPrefix(res.Request.URL.String(), shared.URL(host))
		}
		for name, headers := range fetches {
			if res := newClient(t, app).visit("/_reauth", headers...); !isForm(res) {
				t.Errorf("%s: ended at %s with %s", name, res.Request.URL, describe(res))
			}
		}
		for target, end := range map[string]string{
			"/_reauth?rd=/a%3Fb":                        "/a?b",
			"/_reauth?rd=%2Fbudget%3Fa%3D1%26b%3D%252F": "/budget?a=1&b=%2F",
			"/_reauth?login":                            "/_reauth?login",
		} {
			c := newClient(t, app)
			form := c.visit(target, navigation...)
			if !isForm(form) {
				t.Errorf("%s: ended at %s with %s", target, form.Request.URL, describe(form))
				continue
			}
			if res := c.Submit(form); res.StatusCode != http.StatusOK || res.Request.URL.String() != c.url(end) {
				t.Errorf("%s: the login ended at %s with %s", target, res.Request.URL, describe(res))
			}
		}
	})
}

// What tinyauth takes for no browser gets a 401 that leads nowhere, and so does every call
// up to its version 4: it is an expired session, but no login begins with it.
func TestTinyauthRefusesPrograms(t *testing.T) {
	const host = tinyauthHost + "-app"
	seen := newClient(t, host)
	seen.LogIn(seen.url("/"))
	seen.send("GET", "/seen", "", fetch...)
	ask := func(path string, headers ...string) response {
		return newClient(t, host).send("GET", path, "", append(headers, "User-Agent: curl/8.0.0")...)
	}
	if res := ask("/budget", fetch...); !res.IsChallenge() {
		t.Errorf("call: got %s", describe(res))
	}
	if res := ask("/_reauth?probe", fetch...); !isProbed(res, "false") {
		t.Errorf("probe: got %s", describe(res))
	}
	if res := ask("/sw.js", forWorker...); !isRecovery(res) {
		t.Errorf("worker script: got %s", describe(res))
	}
	for _, headers := range [][]string{fetch, navigation} {
		if res := ask("/_reauth?rd=/a", headers...); res.StatusCode != http.StatusUnauthorized || res.IsChallenge() || res.Text != standin.TinyauthRefusal {
			t.Errorf("refresh path: got %s", describe(res))
		}
	}
}

// Its login goes by redirects alone, the last of which is its answer about /_oauth.
func TestTraefikForwardAuthRenews(t *testing.T) {
	for name, headers := range fetches {
		c := newClient(t, forwardAuthHost+"-app")
		c.LogIn(c.url("/"))
		c.dropCookie(standin.ForwardAuthCookie)
		if res := c.send("POST", "/sync", "edits", headers...); !res.IsChallenge() {
			t.Errorf("%s, expired: got %s", name, describe(res))
		}
		if res := c.visit("/_reauth", headers...); res.StatusCode != http.StatusNoContent || res.Request.URL.String() != c.url("/_reauth") {
			t.Errorf("%s: the renewal ended at %s with %s", name, res.Request.URL, describe(res))
		}
		if res := c.send("POST", "/sync", "edits", headers...); res.StatusCode != http.StatusOK {
			t.Errorf("%s, renewed: got %s", name, describe(res))
		}
	}
}

// A callback that nobody has asked for is refused by traefik-forward-auth itself.
func TestTraefikForwardAuthAnswersItsCallback(t *testing.T) {
	const host = forwardAuthHost + "-app"
	c, without := newClient(t, host), newClient(t, twin(host))
	for name, headers := range fetches {
		const path = "/_oauth?code=good&state=forged"
		plain := without.send("GET", path, "", headers...)
		if got := outcomeOf(c.send("GET", path, "", headers...), plain); got != untouched || plain.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: got %s", name, got)
		}
	}
}
