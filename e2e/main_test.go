// Package e2e proves the middleware inside a real Traefik. See stand for what
// is real and what is not.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/traefik-reauth/reauth/e2e/authentik"
	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// The hosts of the shared stand.
const (
	appHost     = "app"     // the defaults
	corsHost    = "cors"    // the plugin with a list of origins
	plainHost   = "plain"   // forwardAuth without the plugin
	bareHost    = "bare"    // neither
	oldHost     = "old"     // the outpost redirects to its start path
	consentHost = "consent" // the identity provider asks for consent
	failingHost = "failing" // the auth server answers what the test says
	downHost    = "down"    // the auth server is not there
	queryHost   = "query"   // the outpost forgets the query of what it refuses
	offHost     = "off"     // the plugin leaves worker scripts alone
	zipHost     = "zip"     // Traefik compresses what the plugin answers
)

// Hosts with an errors middleware of Traefik's, and with the plugin's own worker but for
// the first two.
const (
	replacedHost     = "replaced"      // before the plugin, for all errors
	replacedCORSHost = "replaced-cors" // the same, and a list of origins
	replacedOwnHost  = "replaced-own"  // the same
	spared401Host    = "spared-401"    // before the plugin, for all errors but the 401
	errorsAfterHost  = "errors-after"  // after the plugin, for all errors
)

// errorPath is where errors middlewares find their page.
const errorPath = "/error"

const (
	listedOrigin   = "https://dashboard.example.com"
	unlistedOrigin = "https://evil.example"
)

var (
	shared *stand.Stand
	app    probe.App
)

func TestMain(m *testing.M) {
	code, err := runShared(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runShared(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "reauth-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	upstream, server, err := stand.Serve(app.Handler())
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()

	route := func(host string, middlewares ...string) stand.Route {
		return stand.Route{Host: host, Middlewares: middlewares, Upstream: upstream}
	}
	shared, err = stand.Start(context.Background(), stand.Config{
		Dir:           dir,
		TokenValidity: time.Hour,
		Routes: []stand.Route{
			route(appHost, "reauth", stand.ForwardAuth),
			route(corsHost, "reauth-cors", stand.ForwardAuth),
			route(plainHost, stand.ForwardAuth),
			route(bareHost),
			route(oldHost, "reauth", stand.ForwardAuth),
			route(consentHost, "reauth", stand.ForwardAuth),
			route(failingHost, "reauth", stand.ForwardAuth),
			route(downHost, "reauth", stand.ForwardAuthDown),
			route(queryHost, "reauth", stand.ForwardAuth),
			route(offHost, "reauth-off", stand.ForwardAuth),
			route(zipHost, stand.Compress, "reauth", stand.ForwardAuth),
			route(replacedHost, "all-errors", "reauth", stand.ForwardAuth),
			route(replacedCORSHost, "all-errors", "reauth-cors", stand.ForwardAuth),
			route(replacedOwnHost, "all-errors", "reauth-own", stand.ForwardAuth),
			route(spared401Host, "all-but-401", "reauth-own", stand.ForwardAuth),
			route(errorsAfterHost, "reauth-own", "all-errors", stand.ForwardAuth),
		},
		Middlewares: map[string]any{
			"all-errors":  errorsMiddleware("400-599"),
			"all-but-401": errorsMiddleware("400", "402-599"),
		},
		// One that lists the plugin everywhere must not lose the login.
		Outpost: []string{"reauth"},
		Plugins: map[string]map[string]any{
			"reauth": {},
			"reauth-cors": {
				"accessControlAllowOriginList":  []string{listedOrigin, "https://*.apps.example.com"},
				"accessControlAllowCredentials": true,
				"accessControlAllowMethods":     "PUT, DELETE",
				"accessControlAllowHeaders":     []string{"Content-Type", "X-Actual-Token"},
				"accessControlExposeHeaders":    []string{"X-Request-Id"},
				"accessControlMaxAge":           600,
			},
			"reauth-own": {"ownServiceWorker": true},
			// As a label gives it.
			"reauth-off": {"serviceWorker": "false"},
		},
	})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, shared.Close()) }()
	for _, p := range []protocol{overHTTP1, overTLS1} {
		p.behave(oldHost, authentik.Behaviour{StartRedirect: true})
		p.behave(consentHost, authentik.Behaviour{ExplicitConsent: true})
		p.behave(queryHost, authentik.Behaviour{DropQuery: true})
	}
	code = m.Run()
	log := shared.Log()
	if code != 0 {
		fmt.Printf("--- Traefik:\n%s\n", stand.AboveDebug(log))
	}
	if strings.Contains(log, "panic") {
		return 1, fmt.Errorf("something in Traefik panicked:\n%s", stand.AboveDebug(log))
	}
	return code, nil
}

// errorsMiddleware is one that puts a page of the app's in the place of these statuses.
func errorsMiddleware(statuses ...string) any {
	return map[string]any{"errors": map[string]any{"status": statuses, "service": bareHost, "query": errorPath}}
}

// protocol is a way to reach Traefik.
type protocol struct {
	name    string
	base    func(host string) string
	version visitor.Version
}

var (
	overHTTP1 = protocol{"HTTP/1.1", func(host string) string { return shared.URL(host) }, visitor.HTTP1}
	overTLS1  = protocol{"HTTP/1.1 over TLS", func(host string) string { return shared.SecureURL(host) }, visitor.HTTP1}
	overTLS2  = protocol{"HTTP/2 over TLS", overTLS1.base, visitor.HTTP2}

	allProtocols = []protocol{overHTTP1, overTLS1, overTLS2}
)

// behave changes how the auth server acts towards a host and returns how it
// acted before.
func (p protocol) behave(host string, behaviour authentik.Behaviour) authentik.Behaviour {
	return shared.Authentik.SetBehaviour(p.external(host), behaviour)
}

// asked returns how many requests for a host the auth server was asked about.
func (p protocol) asked(host string) int { return shared.Authentik.Asked(p.external(host)) }

// external returns what the auth server calls a host.
func (p protocol) external(host string) string {
	_, external, _ := strings.Cut(p.base(host), "://")
	return external
}

// forEachProtocol runs a test over each protocol.
func forEachProtocol(t *testing.T, test func(*testing.T, protocol)) {
	for _, p := range allProtocols {
		t.Run(p.name, func(t *testing.T) { test(t, p) })
	}
}

// newClient returns a visitor of an app of the shared stand.
func newClient(t testing.TB, p protocol, host string) *visitor.Visitor {
	t.Helper()
	return visitor.At(t, p.base(host), p.version, shared.TLS())
}

// response is an answer that was read to its end.
type response = visitor.Response

// How browsers mark their requests.
var navigation, fetch, forWorker = visitor.Navigation, visitor.Fetch, visitor.ForWorker

// session is the state of a client's proxy session.
type session string

const (
	good    session = "session good"
	expired session = "session expired"
	none    session = "no session"
)

// enter returns a client of the shared stand that it has brought into a state.
func enter(c *visitor.Visitor, state session) *visitor.Visitor {
	c.T.Helper()
	if state != none {
		c.Enter()
	}
	if state == expired {
		c.Expire(shared.Authentik)
	}
	return c
}
