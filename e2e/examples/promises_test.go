// Package examples runs what people copy: each example is read by the real
// Traefik and has to keep the promises of the README. Besides Authentik, the
// Docker engine is not real.
package examples

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/traefik-reauth/reauth/e2e/authentik"
	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/release"
	"github.com/traefik-reauth/reauth/e2e/stand"
)

// pluginVersion returns what the examples take from the catalog.
func pluginVersion(t *testing.T) string {
	t.Helper()
	version, err := release.Newest(stand.Project())
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// The hosts of the examples.
const (
	budgetHost = "budget.example.com"
	authHost   = "auth.example.com"
	budgetURL  = "https://" + budgetHost
	authURL    = "https://" + authHost
	listed     = "https://dashboard.example.com"
	unlisted   = "https://evil.example"
)

const (
	startURL      = budgetURL + "/outpost.goauthentik.io/start"
	authorizeURL  = authURL + "/application/o/authorize/?"
	tokenValidity = time.Hour
)

// newAuthentik serves an Authentik for the app of the examples until the test
// ends, and returns it with its URL.
func newAuthentik(t *testing.T, apps ...authentik.App) (*authentik.Server, string) {
	t.Helper()
	if len(apps) == 0 {
		apps = []authentik.App{{ExternalHost: budgetURL, AuthURL: authURL}}
	}
	server := authentik.New(tokenValidity, apps...)
	return server, probe.Serve(t, server.Handler())
}

// Parts of what the app has where Actual is not what matters.
const (
	page   = "page /"
	script = probe.WorkerScript
)

// setup is where the files of an example are put, and the ports of its Traefik.
type setup struct {
	dir                 string
	web, websecure, api int
}

func address(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// watching are arguments for what the tests look with.
var watching = []string{
	"--api.insecure=true", "--api.dashboard=false", "--global.checkNewVersion=false",
	"--log.level=DEBUG", "--log.noColor=true", "--providers.providersThrottleDuration=50ms",
}

// startTraefik runs Traefik until the test ends, with the arguments that args
// returns for where it is put, and returns it with a client that finds it. It
// has the plugin of the working tree.
func startTraefik(t *testing.T, args func(setup) []string) (*stand.Traefik, *client) {
	t.Helper()
	s := setup{dir: t.TempDir()}
	if err := stand.LinkPlugin(s.dir); err != nil {
		t.Fatal(err)
	}
	ports, release, err := stand.HoldPorts(3)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	s.web, s.websecure, s.api = ports[0], ports[1], ports[2]
	list := args(s)
	release()
	traefik, err := stand.RunTraefik(s.dir, s.api, list...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(stand.AboveDebug(traefik.Log()))
		}
		if err := traefik.Stop(); err != nil {
			t.Error(err)
		}
	})
	return traefik, newClient(t, s.web, s.websecure)
}

// promises checks what an installation has to do for the app at budgetURL.
type promises struct {
	authentik *authentik.Server
	// login is where a visit without a session is sent to.
	login string
	// landing is where a login ends that began at a path; none is that path.
	landing string
	// page and script are parts of what the app has at its paths and at /sw.js.
	page, script string
}

func (p promises) check(t *testing.T, b *client) {
	t.Helper()
	expect := func(what string, ok bool, res response) {
		t.Helper()
		if !ok {
			t.Errorf("%s: got %s %v\n%.200s", what, res.Status, res.Header, res.Text)
		}
	}

	res := b.Send("GET", "http://"+budgetHost+"/budget", "", navigation...)
	expect("plain http is for nothing", res.Header.Get("Location") == budgetURL+":"+b.websecure+"/budget", res)
	res = b.Send("GET", budgetURL+"/budget", "", navigation...)
	expect("a visit without a session goes to the login", res.StatusCode == http.StatusFound && strings.HasPrefix(res.Header.Get("Location"), p.login), res)
	res = b.Send("POST", budgetURL+"/sync/sync", "", fetch...)
	expect("a call without a session is challenged", res.IsChallenge(), res)
	res = b.Send("GET", budgetURL+"/outpost.goauthentik.io/ping", "", fetch...)
	expect("the outpost's paths lead to the outpost", res.StatusCode == http.StatusNoContent, res)
	res = b.Send("GET", authURL+"/if/flow/default-authentication-flow/", "", fetch...)
	expect("the auth server has its host", res.StatusCode == http.StatusOK && strings.Contains(res.Text, "authentik stand-in"), res)

	landing := p.landing
	if landing == "" {
		landing = budgetURL + "/budget?month=1"
	}
	res = b.LogIn(budgetURL + "/budget?month=1")
	expect("a login comes back", res.StatusCode == http.StatusOK && res.Request.URL.String() == landing && strings.Contains(res.Text, p.page), res)
	res = b.Send("GET", budgetURL+"/", "", navigation...)
	expect("a good session reaches the app", res.StatusCode == http.StatusOK && strings.Contains(res.Text, p.page), res)
	res = b.Send("GET", budgetURL+"/sw.js", "", forWorker...)
	expect("the refresh script goes in front of the app's", res.StatusCode == http.StatusOK && strings.Contains(res.Text, `("/_reauth",["/outpost.goauthentik.io"],"/outpost.goauthentik.io/start",true,false);`) &&
		strings.Contains(res.Text, p.script), res)

	p.authentik.ExpireSessions()
	res = b.Send("POST", budgetURL+"/sync/sync", "", fetch...)
	expect("a call with an expired session is challenged", res.IsChallenge(), res)
	res = b.Send("POST", budgetURL+"/sync/sync", "", append(fetch, "X-Forwarded-Uri: /?X-authentik-auth-callback=true")...)
	expect("nobody is believed what they say they ask for", res.IsChallenge(), res)
	res = b.Send("GET", budgetURL+"/sw.js", "", forWorker...)
	expect("the recovery script comes in place of the app's", res.StatusCode == http.StatusOK && strings.Contains(res.Text, `("/_reauth",["/outpost.goauthentik.io"],"/outpost.goauthentik.io/start",true,true);`) &&
		!strings.Contains(res.Text, p.script), res)
	logins := p.authentik.Logins()
	res = b.Visit(budgetURL+"/_reauth", fetch...)
	expect("the refresh path renews the session without a login", res.StatusCode < 300 && p.authentik.Logins() == logins, res)
	res = b.Send("GET", budgetURL+"/", "", fetch...)
	expect("the same call succeeds then", res.StatusCode == http.StatusOK, res)

	if err := p.authentik.Expire("both"); err != nil {
		t.Fatal(err)
	}
	if p.landing == "" {
		landing = budgetURL + "/budget#now"
	}
	res = b.LogIn(budgetURL + "/_reauth?rd=%2Fbudget%23now")
	expect("a trip through the login comes back", res.StatusCode == http.StatusOK && res.Request.URL.String() == landing && strings.Contains(res.Text, p.page), res)
}
