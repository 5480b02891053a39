// Package e2e proves the middleware inside a real Traefik. See stand for what
// is real and what is not.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traefik-reauth/reauth/e2e/authentik"
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

const (
	listedOrigin   = "https://dashboard.example.com"
	unlistedOrigin = "https://evil.example"
)

var (
	shared *stand.Stand
	app    probe
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
	upstream, server, err := stand.Serve(app.handler())
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
		fmt.Printf("--- Traefik:\n%s\n", aboveDebug(log))
	}
	if strings.Contains(log, "panic") {
		return 1, fmt.Errorf("something in Traefik panicked:\n%s", aboveDebug(log))
	}
	return code, nil
}

// aboveDebug returns the last lines of a log that are no debug messages.
func aboveDebug(log string) string {
	lines := slices.DeleteFunc(strings.Split(log, "\n"), func(line string) bool { return strings.Contains(line, " DBG ") })
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}

// protocol is a way to reach Traefik.
type protocol struct {
	name  string
	base  func(host string) string
	major int
	http  *http.Protocols
}

var (
	overHTTP1 = http1(func(host string) string { return shared.URL(host) })
	overTLS1  = protocol{"HTTP/1.1 over TLS", func(host string) string { return shared.SecureURL(host) }, 1, overHTTP1.http}
	overTLS2  = protocol{"HTTP/2 over TLS", overTLS1.base, 2, oneProtocol((*http.Protocols).SetHTTP2)}

	allProtocols = []protocol{overHTTP1, overTLS1, overTLS2}
)

// http1 is plain HTTP/1.1 to hosts whose URLs base tells.
func http1(base func(host string) string) protocol {
	return protocol{"HTTP/1.1", base, 1, oneProtocol((*http.Protocols).SetHTTP1)}
}

func oneProtocol(set func(*http.Protocols, bool)) *http.Protocols {
	var p http.Protocols
	set(&p, true)
	return &p
}

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

// client is a visitor of one app.
type client struct {
	*visitor.Visitor
	protocol  protocol
	host      string
	transport *http.Transport
}

func newClient(t testing.TB, p protocol, host string) *client {
	t.Helper()
	transport := &http.Transport{
		DialContext:     stand.Dial,
		TLSClientConfig: shared.TLS(),
		Protocols:       p.http,
		// A test compares bytes as they were sent.
		DisableCompression: true,
	}
	return &client{visitor.New(t, only{transport, p.major}), p, host, transport}
}

// only lets no answer pass that came over another version of HTTP.
type only struct {
	*http.Transport
	major int
}

func (o only) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := o.Transport.RoundTrip(req)
	if err == nil && res.ProtoMajor != o.major {
		return nil, errors.Join(fmt.Errorf("the answer came over %s", res.Proto), res.Body.Close())
	}
	return res, err
}

// url returns the URL of a path on the client's app.
func (c *client) url(path string) string { return c.protocol.base(c.host) + path }

// cookie returns the value of the app's session cookie, empty if there is none.
func (c *client) cookie() string { return c.Cookie(c.url("/"), c.cookieName()) }

// setCookie sets the app's session cookie.
func (c *client) setCookie(value string) {
	c.Jar.SetCookies(c.root(), []*http.Cookie{{Name: c.cookieName(), Value: value}})
}

func (c *client) cookieName() string {
	return authentik.App{ExternalHost: c.url("")}.CookieName()
}

// root returns the URL of the app's root.
func (c *client) root() *url.URL {
	u, err := url.Parse(c.url("/"))
	if err != nil {
		c.T.Fatal(err)
	}
	return u
}

// response is an answer that was read to its end.
type response = visitor.Response

// send is Send to a path of the app.
func (c *client) send(method, path, body string, headers ...string) response {
	c.T.Helper()
	return c.Send(method, c.url(path), body, headers...)
}

// visit is Visit to a path of the app.
func (c *client) visit(path string, headers ...string) response {
	c.T.Helper()
	return c.Visit(c.url(path), headers...)
}

// How browsers mark their requests.
var navigation, fetch, forWorker = visitor.Navigation, visitor.Fetch, visitor.ForWorker

// logIn is LogIn on the way to a path of the app.
func (c *client) logIn(path string) response {
	c.T.Helper()
	return c.LogIn(c.url(path))
}

// session is the state of a client's proxy session.
type session string

const (
	good    session = "session good"
	expired session = "session expired"
	none    session = "no session"
)

// enter brings a client of the shared stand into a state, and one of another
// stand into a good session.
func (c *client) enter(state session) {
	c.T.Helper()
	if state == none {
		return
	}
	if landed := c.logIn("/"); landed.StatusCode != http.StatusOK || landed.Request.URL.String() != c.url("/") {
		c.T.Fatalf("the login led to %s %s: %s", landed.Status, landed.Request.URL, landed.Text)
	}
	if state == expired {
		c.expire(shared)
	}
}

// expire ends the client's proxy session, as the end of its token does.
func (c *client) expire(s *stand.Stand) {
	c.T.Helper()
	if !s.Authentik.ExpireSession(c.cookie()) {
		c.T.Fatal("there was no session to expire")
	}
}

// isLogin reports whether res is the redirect to the login, untouched.
func isLogin(res response) bool {
	location := res.Header.Get("Location")
	return res.StatusCode == http.StatusFound && len(res.Cookies()) == 1 &&
		(strings.Contains(location, "/application/o/authorize/?client_id=") || strings.Contains(location, "/outpost.goauthentik.io/start?rd="))
}

// describe tells what a response was, for a test that wanted another.
func describe(res response) string {
	var header bytes.Buffer
	_ = res.Header.Write(&header)
	format := "%s\n%s\n%.300s"
	if res.Header.Get("Content-Encoding") != "" {
		format = "%s\n%s\n%.300q"
	}
	return fmt.Sprintf(format, res.Status, header.String(), res.Text)
}
