package e2e

import (
	"net/http"
	"slices"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/authentik"
)

// outcome is what a client gets.
type outcome string

const (
	fromApp   outcome = "the app's answer"
	challenge outcome = "the plugin's 401"
	login     outcome = "the redirect to the login"
	preflight outcome = "the plugin's answer to a preflight"
	fromAuth  outcome = "the auth server's own error"
	prefixed  outcome = "the refresh script and the app's"
	recovery  outcome = "the recovery script"
)

// outcomeOf tells what res is; straight is what the app answers by itself.
func outcomeOf(res, straight response, authStatus int) outcome {
	switch {
	case res.IsChallenge():
		return challenge
	case res.IsLogin():
		return login
	case res.IsRecovery():
		return recovery
	case res.IsPrefixed(straight.Text):
		return prefixed
	case authStatus != 0 && res.StatusCode == authStatus:
		return fromAuth
	case res.StatusCode == http.StatusNoContent && res.Header.Get("Access-Control-Allow-Methods") != "":
		return preflight
	case res.StatusCode == straight.StatusCode && res.Text == straight.Text &&
		res.Header.Get("Location") == straight.Header.Get("Location") && res.Header.Get("WWW-Authenticate") == "":
		return fromApp
	}
	return outcome(res.String())
}

// TestAnswerMatrix sends every kind of request in every state of the session.
func TestAnswerMatrix(t *testing.T) {
	asksFor := func(origin string) []string {
		return append([]string{"Origin: " + origin, "Access-Control-Request-Method: PUT"}, fetch...)
	}
	ifGood := func(want outcome, otherwise outcome) map[session]outcome {
		return map[session]outcome{good: want, expired: otherwise, none: otherwise}
	}
	always := func(want outcome) map[session]outcome { return ifGood(want, want) }
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}

	rows := []struct {
		name       string
		host       string
		method     string
		path       string
		headers    []string
		body       string
		want       map[session]outcome
		authStatus int // what the auth server answers, 0 for what it should
	}{
		{name: "navigation", headers: navigation, want: ifGood(fromApp, login)},
		{name: "navigation without fetch metadata", headers: []string{"Accept: text/html,*/*;q=0.8"}, want: ifGood(fromApp, login)},
		{name: "navigation in an iframe", headers: []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}, want: ifGood(fromApp, login)},
		{name: "posted form", method: "POST", headers: append([]string{"Content-Type: application/x-www-form-urlencoded"}, navigation...), body: "a=b", want: ifGood(fromApp, login)},
		{name: "fetch", path: "/api/data", headers: fetch, want: ifGood(fromApp, challenge)},
		{name: "fetch without fetch metadata", path: "/api/data", headers: []string{"Accept: */*"}, want: ifGood(fromApp, challenge)},
		{name: "request without Accept", path: "/api/data", want: ifGood(fromApp, challenge)},
		{name: "XMLHttpRequest without fetch metadata", path: "/api/data", headers: []string{"X-Requested-With: XMLHttpRequest", "Accept: text/html"}, want: ifGood(fromApp, challenge)},
		{name: "Actual's call without fetch metadata", path: "/api/data", headers: []string{"X-ACTUAL-TOKEN: t", "Accept: text/html"}, want: ifGood(fromApp, challenge)},
		{name: "image", path: "/api/a.png", headers: []string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, want: ifGood(fromApp, challenge)},
		{name: "sync POST", method: "POST", path: "/sync/sync", headers: append([]string{"Content-Type: application/actual-sync"}, fetch...), body: "x", want: ifGood(fromApp, challenge)},
		{name: "sync POST without fetch metadata", method: "POST", path: "/sync/sync", headers: []string{"Content-Type: application/actual-sync", "Accept: text/html"}, body: "x", want: ifGood(fromApp, challenge)},
		{name: "JSON POST without fetch metadata", method: "POST", path: "/api/data", headers: []string{"Content-Type: application/json", "Accept: text/html"}, body: "{}", want: ifGood(fromApp, challenge)},
		{name: "worker script", path: "/sw.js", headers: forWorker, want: ifGood(prefixed, recovery)},
		{name: "worker script with a list", host: corsHost, path: "/sw.js", headers: forWorker, want: ifGood(prefixed, recovery)},
		{name: "worker script that is none", path: "/budget", headers: forWorker, want: ifGood(fromApp, recovery)},
		{name: "worker script by a fetch", path: "/sw.js", headers: fetch, want: ifGood(fromApp, challenge)},
		{name: "worker script, option off", host: offHost, path: "/sw.js", headers: forWorker, want: ifGood(fromApp, challenge)},
		{name: "worker script, redirect to the outpost's start", host: oldHost, path: "/sw.js", headers: forWorker, want: ifGood(prefixed, recovery)},
		{name: "event stream", path: "/ended", headers: []string{"Sec-Fetch-Mode: cors", "Accept: text/event-stream"}, want: ifGood(fromApp, challenge)},
		{name: "event stream without fetch metadata", path: "/ended", headers: []string{"Accept: text/event-stream"}, want: ifGood(fromApp, challenge)},
		{name: "HEAD", method: "HEAD", path: "/api/data", headers: fetch, want: ifGood(fromApp, challenge)},
		{name: "preflight of a listed origin", host: corsHost, method: "OPTIONS", path: "/api/data", headers: asksFor(listedOrigin), want: always(preflight)},
		{name: "preflight of a listed subdomain", host: corsHost, method: "OPTIONS", path: "/api/data", headers: asksFor("https://a.b.apps.example.com"), want: always(preflight)},
		{name: "preflight of another origin", host: corsHost, method: "OPTIONS", path: "/api/data", headers: asksFor(unlistedOrigin), want: ifGood(fromApp, challenge)},
		{name: "preflight without a list", method: "OPTIONS", path: "/api/data", headers: asksFor(listedOrigin), want: ifGood(fromApp, challenge)},
		{name: "OPTIONS of a listed origin", host: corsHost, method: "OPTIONS", path: "/api/data", headers: append([]string{"Origin: " + listedOrigin}, fetch...), want: ifGood(fromApp, challenge)},
		{name: "fetch of a listed origin", host: corsHost, path: "/api/data", headers: append([]string{"Origin: " + listedOrigin}, fetch...), want: ifGood(fromApp, challenge)},
		{name: "navigation with a list", host: corsHost, headers: navigation, want: ifGood(fromApp, login)},
		{name: "WebSocket by its mode", path: "/api/ws", headers: []string{"Sec-Fetch-Mode: websocket", "Sec-Fetch-Dest: empty"}, want: ifGood(fromApp, challenge)},
		{name: "WebSocket by its upgrade", path: "/ws", headers: upgrade, want: ifGood(fromApp, challenge)},
		{name: "redirect to the outpost's start, fetch", host: oldHost, path: "/api/data", headers: fetch, want: ifGood(fromApp, challenge)},
		{name: "redirect to the outpost's start, navigation", host: oldHost, headers: navigation, want: ifGood(fromApp, login)},
		{name: "the app redirects elsewhere", path: "/elsewhere", headers: fetch, want: ifGood(fromApp, challenge)},
		{name: "the app redirects to its own OpenID login", path: "/openid", headers: fetch, want: ifGood(fromApp, challenge)},
		{name: "the app's own 401", path: "/unauthorized", headers: fetch, want: ifGood(fromApp, challenge)},
		{name: "auth server answers 503, fetch", host: failingHost, path: "/api/data", headers: fetch, want: always(fromAuth), authStatus: http.StatusServiceUnavailable},
		{name: "auth server answers 503, navigation", host: failingHost, headers: navigation, want: always(fromAuth), authStatus: http.StatusServiceUnavailable},
		{name: "auth server answers 403, fetch", host: failingHost, path: "/api/data", headers: fetch, want: always(fromAuth), authStatus: http.StatusForbidden},
		{name: "auth server answers 400, fetch", host: failingHost, path: "/api/data", headers: fetch, want: always(fromAuth), authStatus: http.StatusBadRequest},
		{name: "auth server answers 503, worker script", host: failingHost, path: "/sw.js", headers: forWorker, want: always(fromAuth), authStatus: http.StatusServiceUnavailable},
		{name: "auth server down, worker script", host: downHost, path: "/sw.js", headers: forWorker, want: always(fromAuth), authStatus: http.StatusInternalServerError},
		{name: "auth server down, fetch", host: downHost, path: "/api/data", headers: fetch, want: always(fromAuth), authStatus: http.StatusInternalServerError},
		{name: "auth server down, navigation", host: downHost, headers: navigation, want: always(fromAuth), authStatus: http.StatusInternalServerError},
	}
	forEachProtocol(t, func(t *testing.T, p protocol) {
		for _, row := range rows {
			if p.name == overTLS2.name && slices.Contains(row.headers, "Upgrade: websocket") {
				continue // RFC 9113, section 8.2.2: HTTP/2 has no Upgrade
			}
			if row.host == "" {
				row.host = appHost
			}
			if row.method == "" {
				row.method = http.MethodGet
			}
			if row.path == "" {
				row.path = "/budget"
			}
			straight := newClient(t, p, bareHost).Send(row.method, row.path, row.body, row.headers...)
			for _, state := range []session{good, expired, none} {
				t.Run(row.name+", "+string(state), func(t *testing.T) {
					c := newClient(t, p, row.host)
					if row.host == downHost {
						// Who logs in somewhere has a cookie to send here.
						c.SetSession(enter(newClient(t, p, appHost), state).Session())
					} else {
						enter(c, state)
					}
					if row.host == failingHost {
						before := p.behave(failingHost, authentik.Behaviour{Status: row.authStatus})
						defer p.behave(failingHost, before)
					}
					got := outcomeOf(c.Send(row.method, row.path, row.body, row.headers...), straight, row.authStatus)
					if want := row.want[state]; got != want {
						t.Errorf("want %s, got %s", want, got)
					}
				})
			}
		}
	})
}

// What the matrix calls the app's answer knows the user, and the request's body
// has reached the app.
func TestAppKnowsItsUserAndGetsTheBody(t *testing.T) {
	c := newClient(t, overHTTP1, appHost).Enter()
	if got := c.Send("GET", "/whoami", "", fetch...).Text; got != authentik.Username {
		t.Errorf("the user is %q", got)
	}
	sync := append([]string{"Content-Type: application/actual-sync"}, fetch...)
	if got := c.Send("POST", "/sync/sync", "edits", sync...).Text; got != "synced edits" {
		t.Errorf("got %s", got)
	}
}
