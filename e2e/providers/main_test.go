// Package providers proves the middleware inside a real Traefik with forward-auth
// servers other than Authentik: the real oauth2-proxy with a real OpenID provider, and
// stand-ins for Authelia, tinyauth and traefik-forward-auth.
package providers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/traefik-reauth/reauth/e2e/oidc"
	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/standin"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// The hosts of the identity provider and of the login pages.
const (
	ssoHost         = "sso"
	autheliaHost    = "authelia"
	tinyauthHost    = "tinyauth"
	forwardAuthHost = "traefik-forward-auth"
)

// standInHosts are the hosts of the login pages of what is not to be had as a program
// here. The apps behind them have the same names with -app.
var standInHosts = []string{autheliaHost, tinyauthHost, forwardAuthHost}

// modeNames are the ways to have Traefik ask oauth2-proxy, which are the hosts of the apps
// behind it. Each has a twin that lacks the plugin.
var modeNames = slices.Sorted(maps.Keys(oidc.Chains))

// twin returns the host of the same app without the plugin.
func twin(host string) string { return host + "-plain" }

// Hosts of apps whose chains are of a kind of their own.
const (
	unseenRootHost = "unseen-root" // nobody logs in here
	unseenAuthHost = "unseen-auth" // nor here, where every refusal is a 401
	cookieHost     = "cookie"      // forwardAuth hands the browser a renewed cookie
)

var (
	shared *stand.Stand
	sso    *oidc.Provider
	app    recorder
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
	dir, err := os.MkdirTemp("", "reauth-providers-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	closes := func(close func() error) { err = errors.Join(err, close()) }
	// The provider has to know where browsers find the apps before Traefik runs.
	ports, release, err := stand.HoldPorts(1)
	if err != nil {
		return 1, err
	}
	port := ports[0]
	base := func(host string) string { return "http://" + host + ".example.localhost:" + strconv.Itoa(port) }
	var urls []string
	for _, handler := range []http.Handler{
		app.handler(), standin.Authelia{URL: base(autheliaHost)}, standin.Tinyauth{URL: base(tinyauthHost)},
		standin.ForwardAuth{LoginURL: base(forwardAuthHost) + "/auth"}, standin.Provider{},
	} {
		url, server, err := stand.Serve(handler)
		if err != nil {
			return 1, err
		}
		defer closes(server.Close)
		urls = append(urls, url)
	}
	upstream, portal, login, forward, provider := urls[0], urls[1], urls[2], urls[3], urls[4]
	config := stand.Config{
		Dir:         dir,
		Port:        port,
		Plugins:     plugins(base(ssoHost)),
		Middlewares: middlewares(portal, login, forward),
		Outpost:     []string{"reauth"},
	}
	route := func(host string, middlewares ...string) {
		config.Routes = append(config.Routes, stand.Route{Host: host, Middlewares: middlewares, Upstream: upstream})
	}
	for host, asking := range oidc.Chains {
		route(host, append([]string{"reauth"}, asking...)...)
		route(twin(host), asking...)
	}
	unseen := func(host, plugin, asking string) {
		route(host, plugin, asking)
		route(twin(host), asking)
	}
	unseen(unseenRootHost, "reauth", "ask-root")
	unseen(unseenAuthHost, "reauth", "ask-auth")
	route(cookieHost, "reauth", "ask-renewing")
	for _, chain := range chains {
		route(chain.host, chain.middlewares...)
	}
	for _, host := range standInHosts {
		route(host+"-app", "reauth-"+host, "ask-"+host)
		route(twin(host+"-app"), "ask-"+host)
		unseen("unseen-"+host, "reauth-"+host, "ask-"+host)
	}
	var redirectURIs []string
	for _, route := range config.Routes {
		redirectURIs = append(redirectURIs, base(route.Host)+"/oauth2/callback")
	}

	if sso, err = oidc.StartProvider(dir, base(ssoHost), redirectURIs); err != nil {
		return 1, err
	}
	defer closes(sso.Stop)
	proxy, err := oidc.StartProxy(dir, "oauth2-proxy", base(ssoHost), sso.URL)
	if err != nil {
		return 1, err
	}
	defer closes(proxy.Stop)
	// Of the same sessions, which it renews as soon as they are a second old.
	renewing, err := oidc.StartProxy(dir, "oauth2-proxy-renewing", base(ssoHost), sso.URL, "--cookie-refresh=1ms")
	if err != nil {
		return 1, err
	}
	defer closes(renewing.Stop)
	maps.Copy(config.Middlewares, oidc.Middlewares(proxy.URL))
	reauth, asking, err := example()
	if err != nil {
		return 1, err
	}
	config.Plugins["reauth"] = reauth
	asking["address"] = proxy.URL + "/"
	config.Middlewares["ask-root"] = map[string]any{"forwardAuth": asking}
	// What forwardAuth hands on to the app goes by authResponseHeaders, and what it
	// hands on to the browser by this.
	config.Middlewares["ask-renewing"] = oidc.Ask(renewing.URL+"/oauth2/auth", oidc.SessionCookie)
	config.Paths = map[string]stand.Path{oidc.Service: {Prefix: oidc.Prefix, Upstream: proxy.URL}}
	config.Routes = append(config.Routes,
		stand.Route{Host: ssoHost, Upstream: sso.URL},
		stand.Route{Host: autheliaHost, Upstream: portal},
		stand.Route{Host: tinyauthHost, Upstream: login},
		stand.Route{Host: forwardAuthHost, Upstream: provider})
	release()
	if shared, err = stand.Start(context.Background(), config); err != nil {
		return 1, err
	}
	defer closes(shared.Close)

	code = m.Run()
	log := shared.Log()
	if code != 0 {
		lines := slices.DeleteFunc(strings.Split(log, "\n"), func(line string) bool { return strings.Contains(line, " DBG ") })
		fmt.Printf("--- Traefik:\n%s\n--- oauth2-proxy:\n%s\n", strings.Join(lines[max(0, len(lines)-40):], "\n"), tail(proxy.Log(), 20))
	}
	if strings.Contains(log, "panic") {
		return 1, fmt.Errorf("something in Traefik panicked")
	}
	return code, nil
}

// example returns the options of the plugin and of forwardAuth that people copy.
func example() (reauth, forwardAuth map[string]any, err error) {
	text, err := os.ReadFile(filepath.Join(stand.Project(), "examples", "file", "oauth2-proxy.yml"))
	if err != nil {
		return nil, nil, err
	}
	var config struct {
		HTTP struct {
			Routers     map[string]struct{ Middlewares []string }
			Middlewares map[string]struct {
				Plugin      map[string]map[string]any
				ForwardAuth map[string]any `yaml:"forwardAuth"`
			}
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return nil, nil, err
	}
	order := config.HTTP.Routers["app"].Middlewares
	if len(order) != 2 {
		return nil, nil, fmt.Errorf("the example has the middlewares %v", order)
	}
	reauth = config.HTTP.Middlewares[order[0]].Plugin["reauth"]
	forwardAuth = config.HTTP.Middlewares[order[1]].ForwardAuth
	if len(reauth) != 1 || len(forwardAuth) == 0 {
		return nil, nil, fmt.Errorf("the example has %v and %v", reauth, forwardAuth)
	}
	return reauth, forwardAuth, nil
}

// tail returns the last lines of a text.
func tail(text string, count int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

// plugins are the options of the plugin's middlewares.
func plugins(sso string) map[string]map[string]any {
	return map[string]map[string]any{
		// Where nothing is certain, these tell a login redirect.
		"reauth-retry":     {"provider": "oauth2-proxy", "loginURLs": []string{sso + "/auth"}},
		"reauth-buffering": {"provider": "oauth2-proxy", "loginURLs": []string{sso + "/auth"}},
		"reauth-authelia":  {"provider": "authelia"},
		"reauth-tinyauth":  {"provider": "tinyauth"},

		"reauth-traefik-forward-auth": {"provider": "traefik-forward-auth"},
	}
}

// forwardAuth returns the options of one that asks address, and hands these headers of
// its answer to the app.
func forwardAuth(address string, headers ...string) map[string]any {
	return map[string]any{
		"address":             address,
		"trustForwardHeader":  true,
		"maxResponseBodySize": 1 << 20,
		"authResponseHeaders": headers,
	}
}

// middlewares are Traefik's own, but for those that ask oauth2-proxy.
func middlewares(authelia, tinyauth, forward string) map[string]any {
	all := map[string]any{
		"ask-authelia": map[string]any{"forwardAuth": forwardAuth(authelia+"/api/authz/forward-auth", "Remote-User", "Remote-Groups", "Remote-Email", "Remote-Name")},
		"ask-tinyauth": map[string]any{"forwardAuth": forwardAuth(tinyauth+"/api/auth/traefik", "Remote-User", "Remote-Name", "Remote-Email")},

		"ask-traefik-forward-auth": map[string]any{"forwardAuth": forwardAuth(forward, "X-Forwarded-User")},
	}
	for name, options := range between {
		all[name] = options
	}
	return all
}

// client is a visitor of one app.
type client struct {
	*visitor.Visitor
	host string
}

func newClient(t testing.TB, host string) *client {
	t.Helper()
	return &client{visitor.New(t, &http.Transport{DialContext: stand.Dial, DisableCompression: true}), host}
}

// response is an answer that was read to its end.
type response = visitor.Response

// url returns the URL of a path on the client's app.
func (c *client) url(path string) string { return shared.URL(c.host) + path }

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

// logIn logs in by way of oauth2-proxy, past the app.
func (c *client) logIn() {
	c.T.Helper()
	const end = "/oauth2/userinfo"
	res := c.LogIn(c.url("/oauth2/start?rd=" + end))
	if res.StatusCode != http.StatusOK || res.Request.URL.String() != c.url(end) {
		c.T.Fatalf("the login ended at %s with %s", res.Request.URL, describe(res))
	}
}

// setCookie sets a cookie of the app's host.
func (c *client) setCookie(name, value string) {
	c.T.Helper()
	u, err := url.Parse(c.url("/"))
	if err != nil {
		c.T.Fatal(err)
	}
	c.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value}})
}

// dropCookie ends a session whose cookie ends with it.
func (c *client) dropCookie(name string) {
	c.T.Helper()
	if c.Cookie(c.url("/"), name) == "" {
		c.T.Fatal("there was no session to expire")
	}
	u, err := url.Parse(c.url("/"))
	if err != nil {
		c.T.Fatal(err)
	}
	c.Jar.SetCookies(u, []*http.Cookie{{Name: name, Path: "/", MaxAge: -1}})
}

// expire makes the session what oauth2-proxy has no use for, as its end does. The one
// at the identity provider lives on.
func (c *client) expire() {
	c.T.Helper()
	if c.Cookie(c.url("/"), oidc.SessionCookie) == "" {
		c.T.Fatal("there was no session to expire")
	}
	c.setCookie(oidc.SessionCookie, "expired")
}

// session is the state of a client's session.
type session string

const (
	good    session = "session good"
	expired session = "session expired"
	none    session = "no session"
)

// enter brings a client into a state. The plugin has seen a good answer then.
func (c *client) enter(state session) {
	c.T.Helper()
	newcomer := c
	if state == none {
		newcomer = newClient(c.T, c.host)
	}
	newcomer.logIn()
	if res := newcomer.send("GET", "/seen", "", fetch...); res.StatusCode != http.StatusOK {
		c.T.Fatalf("logged in: got %s", describe(res))
	}
	if state == expired {
		c.expire()
	}
}

// describe tells what a response was, for a test that wanted another.
func describe(res response) string {
	var header strings.Builder
	_ = res.Header.Write(&header)
	return fmt.Sprintf("%s\n%s\n%.300s", res.Status, header.String(), res.Text)
}

var (
	navigation, fetch, forWorker = visitor.Navigation, visitor.Fetch, visitor.ForWorker

	// jsonFetch is a call by a library that asks for JSON, as axios does.
	jsonFetch = []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: application/json, text/plain, */*"}
)
