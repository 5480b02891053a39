package examples

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/authentik"
	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/stand"
)

const appsURL = "https://apps.example.com"

// strippedWarning is what the plugin logs where stripPrefix stands before forwardAuth.
const strippedWarning = "list stripPrefix after forwardAuth"

// startPrefixes runs the example of path prefixes with changes to its text.
func startPrefixes(t *testing.T, changes map[string]string) (*authentik.Server, *stand.Traefik, *client) {
	t.Helper()
	idp, idpURL := newAuthentik(t, authentik.App{ExternalHost: appsURL, AuthURL: authURL})
	// Budget knows its prefix and has nothing elsewhere.
	var app probe.App
	budget := http.NewServeMux()
	budget.Handle("/budget/", http.StripPrefix("/budget", app.Handler()))
	text := dynamic(t, "path-prefixes.yml", probe.Serve(t, budget), idpURL, "traefik", map[string]string{
		"http://127.0.0.1:9925": probe.ServeApp(t),
	})
	traefik, b := startFile(t, "traefik.yml", replace(t, text, changes))
	if err := traefik.AwaitRouters(t.Context(), "authentik@file", "budget@file", "outpost@file", "recipes@file"); err != nil {
		t.Fatal(err)
	}
	return idp, traefik, b
}

// isActive asks a refresh path for the state of the session.
func isActive(b *client, app string) bool {
	b.T.Helper()
	res := b.Send("GET", app+"/_reauth?probe", "", fetch...)
	var said struct{ Active *bool }
	if err := json.Unmarshal([]byte(res.Text), &said); err != nil || said.Active == nil {
		b.T.Fatalf("the probe of %s got %s", app, res)
	}
	return *said.Active
}

// TestPathPrefixes has two apps on one host, which share a session and nothing else.
func TestPathPrefixes(t *testing.T) {
	idp, traefik, b := startPrefixes(t, nil)
	prefixes := []string{"/budget", "/recipes"}
	for _, prefix := range prefixes {
		// Each app starts with nobody logged in.
		if err := idp.Expire("both"); err != nil {
			t.Fatal(err)
		}
		expectPrefix(t, b, prefix)
	}
	for _, prefix := range prefixes {
		idp.ExpireSessions()
		for _, other := range prefixes {
			if isActive(b, appsURL+other) {
				t.Errorf("%s has a session that has ended", other)
			}
		}
		renew(b, idp, appsURL+prefix)
		for _, other := range prefixes {
			res := b.Send("GET", appsURL+other+"/a", "", fetch...)
			if !isActive(b, appsURL+other) || res.StatusCode != http.StatusOK {
				t.Errorf("renewed at %s, %s got %s", prefix, other, res)
			}
		}
	}
	if strings.Contains(traefik.Log(), strippedWarning) {
		t.Error("warned without cause")
	}
}

// expectPrefix checks what the app under a prefix gets, from its first visit on.
func expectPrefix(t *testing.T, b *client, prefix string) {
	app := appsURL + prefix
	expect := func(what string, ok bool, res response) {
		t.Helper()
		if !ok {
			t.Errorf("%s: got %s at %s", what, res, res.Request.URL)
		}
	}
	settings := `("` + prefix + `/_reauth",["/outpost.goauthentik.io"],"/outpost.goauthentik.io/start",true,`

	res := b.Send("POST", app+"/sync/sync", "", fetch...)
	expect("a refused call is told of the app's refresh path", res.StatusCode == http.StatusUnauthorized &&
		strings.HasSuffix(res.Header.Get("WWW-Authenticate"), `, uri="`+prefix+`/_reauth"`) &&
		strings.Contains(res.Text, `"refresh":"`+prefix+`/_reauth"`), res)
	res = b.Send("GET", app+"/sw.js", "", forWorker...)
	expect("the recovery script comes in place of the app's", res.StatusCode == http.StatusOK && strings.HasSuffix(res.Text, settings+"true);"), res)
	if isActive(b, app) {
		t.Errorf("nobody is logged in, and the probe of %s says that the session is good", app)
	}
	res = b.Send("GET", app+"/a?b=c", "", navigation...)
	expect("a visit goes to the login", res.StatusCode == http.StatusFound && strings.HasPrefix(res.Header.Get("Location"), authorizeURL), res)

	res = b.LogIn(app + "/a?b=c")
	expect("the login leads back", res.StatusCode == http.StatusOK && res.Request.URL.String() == app+"/a?b=c", res)
	expect("and to the app, by its own paths", res.Text == "page /a", res)
	res = b.Send("GET", app+"/sw.js", "", forWorker...)
	expect("the refresh script goes in front of the app's", res.StatusCode == http.StatusOK && strings.HasSuffix(res.Text, settings+"false);"+script), res)
	if !isActive(b, app) {
		t.Errorf("the probe of %s says that a good session is not", app)
	}
	for rd, want := range map[string]string{"": prefix + "/", "/recipes/a": "/recipes/a", "/budget/a": "/budget/a", prefix + "/_reauth": prefix + "/"} {
		res = b.Send("GET", app+"/_reauth?rd="+url.QueryEscape(rd), "", navigation...)
		expect("a visit with rd="+rd, res.StatusCode == http.StatusSeeOther && res.Header.Get("Location") == want, res)
	}
}

// TestStrippedTooEarly lists stripPrefix where it does harm.
func TestStrippedTooEarly(t *testing.T) {
	for _, order := range []string{"strip-recipes, reauth-recipes, authentik", "reauth-recipes, strip-recipes, authentik"} {
		t.Run(order, func(t *testing.T) {
			_, traefik, b := startPrefixes(t, map[string]string{"[reauth-recipes, authentik, strip-recipes]": "[" + order + "]"})
			const rounds = 10
			for range rounds {
				for _, prefix := range []string{"/budget", "/recipes"} {
					if res := b.Send("GET", appsURL+prefix+"/a", "", fetch...); res.StatusCode != http.StatusUnauthorized {
						t.Errorf("%s got %s", prefix, res)
					}
				}
			}
			// An instance logs it once, before the answer. Traefik makes new ones with
			// the configuration of each of three providers, in any order: the file, its
			// own and the certificates resolver.
			if n := strings.Count(traefik.Log(), strippedWarning); n < 1 || n > 3 {
				t.Errorf("warned %d times in %d rounds", n, rounds)
			}
			if res := b.LogIn(appsURL + "/recipes/a"); res.StatusCode != http.StatusNotFound || res.Request.URL.String() != appsURL+"/a" {
				t.Errorf("the login led to %s %s", res.Status, res.Request.URL)
			}
		})
	}
}
