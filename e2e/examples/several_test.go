package examples

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/authentik"
	"github.com/traefik-reauth/reauth/e2e/probe"
)

const recipesURL = "https://recipes.example.com"

// startSeveral runs the example of several apps in front of an Authentik with
// these providers.
func startSeveral(t *testing.T, providers ...authentik.App) (*authentik.Server, *client) {
	t.Helper()
	idp, idpURL := newAuthentik(t, providers...)
	text := dynamic(t, "several-apps.yml", probe.ServeApp(t), idpURL, "traefik", map[string]string{
		"http://127.0.0.1:9925": probe.ServeApp(t),
	})
	traefik, b := startFile(t, "traefik.yml", text)
	if err := traefik.AwaitRouters(t.Context(), "authentik@file", "budget@file", "outpost@file", "recipes@file"); err != nil {
		t.Fatal(err)
	}
	if res := b.Send("GET", recipesURL+"/outpost.goauthentik.io/ping", "", fetch...); res.StatusCode != http.StatusNoContent {
		t.Errorf("the outpost's paths lead to %s", res.Status)
	}
	return idp, b
}

// statuses asks both apps as a script does.
func statuses(b *client) (budget, recipes int) {
	b.T.Helper()
	return b.Send("GET", budgetURL+"/", "", fetch...).StatusCode, b.Send("GET", recipesURL+"/", "", fetch...).StatusCode
}

// expectStatuses checks what statuses says.
func expectStatuses(b *client, when string, budget, recipes int) {
	b.T.Helper()
	if gotBudget, gotRecipes := statuses(b); gotBudget != budget || gotRecipes != recipes {
		b.T.Errorf("%s: budget %d, recipes %d", when, gotBudget, gotRecipes)
	}
}

// renew asks for the refresh path as the refresh script does, and checks that
// nobody had to log in.
func renew(b *client, idp *authentik.Server, app string) {
	b.T.Helper()
	logins := idp.Logins()
	res := b.Visit(app+"/_reauth", fetch...)
	if res.StatusCode != http.StatusNoContent || res.Request.URL.String() != app+"/_reauth" || idp.Logins() != logins {
		b.T.Errorf("the renewal ended at %s with %s", res.Request.URL, res.Status)
	}
}

// TestSingleApplicationsExpireByThemselves has a provider for each app.
func TestSingleApplicationsExpireByThemselves(t *testing.T) {
	budget := authentik.App{ExternalHost: budgetURL, AuthURL: authURL}
	recipes := authentik.App{ExternalHost: recipesURL, AuthURL: authURL}
	idp, b := startSeveral(t, budget, recipes)
	promises{authentik: idp, login: authorizeURL, page: page, script: script}.check(t, b)

	expectStatuses(b, "logged in to one app", http.StatusOK, http.StatusUnauthorized)
	renew(b, idp, recipesURL)
	expectStatuses(b, "logged in to both", http.StatusOK, http.StatusOK)
	if !idp.ExpireSession(b.Cookie(recipesURL, recipes.CookieName())) {
		t.Fatal("there was no session to expire")
	}
	expectStatuses(b, "one has expired", http.StatusOK, http.StatusUnauthorized)
	renew(b, idp, recipesURL)
	expectStatuses(b, "and is renewed", http.StatusOK, http.StatusOK)
}

// TestDomainLevelExpiresForAll has one provider for the domain. Its logins come
// back by way of the auth server's host.
func TestDomainLevelExpiresForAll(t *testing.T) {
	idp, b := startSeveral(t, authentik.App{ExternalHost: authURL, AuthURL: authURL, CookieDomain: "example.com"})
	promises{authentik: idp, login: authorizeURL, page: page, script: script}.check(t, b)

	expectStatuses(b, "logged in to one app", http.StatusOK, http.StatusOK)
	idp.ExpireSessions()
	expectStatuses(b, "the session has expired", http.StatusUnauthorized, http.StatusUnauthorized)
	for _, res := range []response{
		b.Send("GET", budgetURL+"/", "", navigation...),
		b.Send("GET", recipesURL+"/_reauth", "", fetch...),
	} {
		u, err := url.Parse(res.Header.Get("Location"))
		if err != nil || !strings.HasPrefix(u.Query().Get("redirect_uri"), authURL+"/outpost.goauthentik.io/callback?") {
			t.Errorf("%s is sent to %s", res.Request.URL, u)
		}
	}
	// As older versions redirect.
	before := idp.SetBehaviour(budgetHost, authentik.Behaviour{StartRedirect: true})
	if res := b.Send("GET", budgetURL+"/", "", navigation...); !strings.HasPrefix(res.Header.Get("Location"), authURL+"/outpost.goauthentik.io/start?rd=https%3A%2F%2Fbudget.") {
		t.Errorf("%s is sent to %s", res.Request.URL, res.Header.Get("Location"))
	}
	if res := b.Send("GET", budgetURL+"/", "", fetch...); !res.IsChallenge() {
		t.Errorf("got %s to %s", res.Status, res.Header.Get("Location"))
	}
	idp.SetBehaviour(budgetHost, before)

	renew(b, idp, recipesURL)
	expectStatuses(b, "renewed at one app", http.StatusOK, http.StatusOK)
}
