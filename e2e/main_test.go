// Package e2e proves the middleware inside a real Traefik. See stand for what
// is real and what is not.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traefik-reauth/reauth/e2e/authentik"
	"github.com/traefik-reauth/reauth/e2e/stand"
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
	offHost     = "off"     // the plugin leaves worker scripts alone
	zipHost     = "zip"     // Traefik compresses what the plugin answers
)

const (
	listedOrigin   = "https://dashboard.example.com"
	unlistedOrigin = "https://evil.example"
	challengeJSON  = `{"status":"error","reason":"network-failure","details":"session-expired","refresh":"/_reauth"}`
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

// client is one browser profile, as far as HTTP goes: cookies and connections.
type client struct {
	t         testing.TB
	protocol  protocol
	host      string
	jar       *cookiejar.Jar
	transport *http.Transport
}

func newClient(t testing.TB, p protocol, host string) *client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		DialContext:     stand.Dial,
		TLSClientConfig: shared.TLS(),
		Protocols:       p.http,
		// A test compares bytes as they were sent.
		DisableCompression: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t, p, host, jar, transport}
}

// url returns the URL of a path on the client's app.
func (c *client) url(path string) string { return c.protocol.base(c.host) + path }

// cookie returns the value of the app's session cookie, empty if there is none.
func (c *client) cookie() string {
	for _, cookie := range c.jar.Cookies(c.root()) {
		if cookie.Name == c.cookieName() {
			return cookie.Value
		}
	}
	return ""
}

// setCookie sets the app's session cookie.
func (c *client) setCookie(value string) {
	c.jar.SetCookies(c.root(), []*http.Cookie{{Name: c.cookieName(), Value: value}})
}

func (c *client) cookieName() string {
	return authentik.App{ExternalHost: c.url("")}.CookieName()
}

// root returns the URL of the app's root.
func (c *client) root() *url.URL {
	u, err := url.Parse(c.url("/"))
	if err != nil {
		c.t.Fatal(err)
	}
	return u
}

// response is an answer that was read to its end.
type response struct {
	*http.Response
	body string
}

func request(t testing.TB, method, url, body string, headers ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	return req
}

// send sends one request and follows no redirect.
func (c *client) send(method, path, body string, headers ...string) response {
	c.t.Helper()
	return c.do(request(c.t, method, c.url(path), body, headers...), false)
}

// visit sends a GET and follows redirects.
func (c *client) visit(path string, headers ...string) response {
	c.t.Helper()
	return c.do(request(c.t, http.MethodGet, c.url(path), "", headers...), true)
}

func (c *client) do(req *http.Request, follow bool) response {
	c.t.Helper()
	res, err := c.open(req, follow)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ProtoMajor != c.protocol.major {
		c.t.Fatalf("the answer came over %s", res.Proto)
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return response{res, ""} // what follows is no body, and does not end
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response{res, string(body)}
}

// open sends a request and leaves the body to the caller.
func (c *client) open(req *http.Request, follow bool) (*http.Response, error) {
	client := &http.Client{Transport: c.transport, Jar: c.jar, Timeout: 20 * time.Second}
	if !follow {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return client.Do(req)
}

// How browsers mark their requests, on https and localhost.
var (
	navigation = []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: text/html,*/*;q=0.8"}
	fetch      = []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: */*"}
	forWorker  = []string{"Service-Worker: script", "Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: serviceworker", "Accept: */*"}
)

// logIn visits path, logs in at the page it is sent to and returns where that
// ends.
func (c *client) logIn(path string) response {
	c.t.Helper()
	asked := c.visit(path, navigation...)
	if !strings.Contains(asked.body, `name="password"`) {
		c.t.Fatalf("%s led to %s %s, not to a login page", path, asked.Status, asked.Request.URL)
	}
	return c.submit(asked)
}

// submit sends the login or consent form of a page.
func (c *client) submit(page response) response {
	c.t.Helper()
	form := url.Values{"username": {authentik.Username}, "password": {authentik.Password}}
	headers := append([]string{"Content-Type: application/x-www-form-urlencoded"}, navigation...)
	return c.do(request(c.t, http.MethodPost, page.Request.URL.String(), form.Encode(), headers...), true)
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
	c.t.Helper()
	if state == none {
		return
	}
	if landed := c.logIn("/"); landed.StatusCode != http.StatusOK || landed.Request.URL.String() != c.url("/") {
		c.t.Fatalf("the login led to %s %s: %s", landed.Status, landed.Request.URL, landed.body)
	}
	if state == expired {
		c.expire(shared)
	}
}

// expire ends the client's proxy session, as the end of its token does.
func (c *client) expire(s *stand.Stand) {
	c.t.Helper()
	if !s.Authentik.ExpireSession(c.cookie()) {
		c.t.Fatal("there was no session to expire")
	}
}

// isChallenge reports whether res is the plugin's 401.
func isChallenge(res response) bool {
	return res.StatusCode == http.StatusUnauthorized &&
		strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Reauth ") &&
		(res.body == challengeJSON || res.Request.Method == http.MethodHead && res.body == "") &&
		len(res.Cookies()) == 0 && res.Header.Get("Location") == ""
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
	return fmt.Sprintf(format, res.Status, header.String(), res.body)
}
