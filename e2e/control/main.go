// Command control runs a stand for the browser tests, which are not written in
// Go. It reads one command per line from its standard input, as JSON, and
// answers each with one line: {"result": ...} or {"error": "..."}. It ends with
// its input, so it never outlives the test that started it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/traefik-reauth/reauth/e2e/authentik"
	"github.com/traefik-reauth/reauth/e2e/oidc"
	"github.com/traefik-reauth/reauth/e2e/stand"
)

const (
	appHost        = "app"
	ssoHost        = "sso"
	actualPassword = "budget"
	replacing      = "replacing" // the errors middleware
)

// settings is what the first command starts a stand with, and what configure
// changes while it runs.
type settings struct {
	// Actual is the version of Actual's client; without one TiddlyWiki is the app if Wiki
	// says so, which cannot be changed, and Upstream otherwise.
	Actual   string
	Wiki     bool
	Upstream string
	// Plugin puts the middleware before forwardAuth, with these options.
	Plugin  bool
	Options map[string]any
	// Older has an older version of the plugin stand there in its place, if it is true.
	// Whether that is there at all cannot be changed.
	Older *bool
	// Prefix has the paths that start with it go through a middleware of the plugin's own,
	// whose refresh path is under it. It cannot be changed.
	Prefix string
	// ForeignAuth puts the auth server on another site. It cannot be changed.
	ForeignAuth bool
	// AuthDown makes Traefik ask an auth server that is not there.
	AuthDown bool
	// Replaces has Traefik put a page of the app's in the place of every 4xx, by an errors
	// middleware before all others. Only with Authentik.
	Replaces bool
	// AppDown ends Actual's server. Its files stay.
	AppDown bool
	// KnownEnd has forwardAuth hand on the token, which tells the session's end.
	KnownEnd bool
	// TokenValidity is how long a proxy session lives, in seconds, 0 for an hour.
	// It cannot be changed.
	TokenValidity int
	// OAuth2Proxy has Traefik ask the real oauth2-proxy in place of the Authentik
	// stand-in, by one of its chains (see ../oidc). It can be changed for another.
	OAuth2Proxy string
	// Nginx starts the example with nginx in front, in which the plugin stands.
	// It takes Actual or Upstream, no KnownEnd, and only NginxLines can be changed.
	Nginx bool
	// NginxLines are added to nginx's configuration of the site.
	NginxLines string
}

// routes returns the app's routes.
func (s settings) routes(upstream string) []stand.Route {
	middlewares := []string{stand.ForwardAuth}
	switch {
	case s.AuthDown:
		middlewares = []string{stand.ForwardAuthDown}
	case s.OAuth2Proxy != "":
		middlewares = oidc.Chains[s.OAuth2Proxy]
	}
	var first []string
	if s.Replaces {
		first = []string{replacing}
	}
	behind := func(plugin string) []string {
		if s.Plugin {
			return slices.Concat(first, []string{plugin}, middlewares)
		}
		return slices.Concat(first, middlewares)
	}
	plugin := "reauth"
	if s.Older != nil && *s.Older {
		plugin = "reauth-older"
	}
	routes := []stand.Route{{Host: appHost, Middlewares: behind(plugin), Upstream: upstream}}
	if s.Prefix != "" {
		routes = append(routes, stand.Route{Host: appHost, Prefix: s.Prefix, Middlewares: behind("reauth-under"), Upstream: upstream})
	}
	return routes
}

// validity returns TokenValidity as a duration.
func (s settings) validity() time.Duration {
	if s.TokenValidity == 0 {
		return time.Hour
	}
	return time.Duration(s.TokenValidity) * time.Second
}

// identity returns the headers that forwardAuth hands on.
func (s settings) identity() []string {
	if s.KnownEnd {
		return append(stand.IdentityHeaders(), stand.TokenHeader)
	}
	return nil
}

func (s settings) plugins() map[string]map[string]any {
	plugins := map[string]map[string]any{"reauth": s.Options}
	if s.Prefix != "" {
		plugins["reauth-under"] = map[string]any{"refreshPath": s.Prefix + "_reauth"}
	}
	return plugins
}

// older returns the options of the older version's middleware, nil if there is none.
func (s settings) older() map[string]map[string]any {
	if s.Older == nil {
		return nil
	}
	return map[string]map[string]any{"reauth-older": s.Options}
}

// control is a running stand.
type control struct {
	dir     string
	current settings
	base    *stand.Base   // of the stand that runs
	stand   *stand.Stand  // nil with nginx
	nginx   *stand.Nginx  // nil without
	actual  *stand.Actual // nil if it is down or the app is another
	wiki    *stand.Wiki   // nil if the app is another
	auth    authServer
	oauth2  oauth2 // empty with Authentik
}

// authServer is who forwardAuth asks, and ends its sessions.
type authServer interface {
	Expire(kind string) error
	ExpireAt(kind, path string) error
	Logins() int
}

// oauth2 is what there is besides the stand if oauth2-proxy is asked.
type oauth2 struct {
	routes []stand.Route
	closes []func() error
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() (err error) {
	dir, err := os.MkdirTemp("", "reauth-control-")
	if err != nil {
		return err
	}
	c := &control{dir: dir}
	defer func() { err = errors.Join(err, c.close(), os.RemoveAll(dir)) }()
	answers := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		result, err := c.obey(lines.Bytes())
		answer := map[string]any{"result": result}
		if err != nil {
			answer = map[string]any{"error": err.Error()}
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

// obey carries out one command, which is a name and what it is given.
func (c *control) obey(line []byte) (any, error) {
	var command struct {
		Name string
		With json.RawMessage
	}
	if err := json.Unmarshal(line, &command); err != nil {
		return nil, err
	}
	ctx := context.Background()
	switch command.Name {
	case "start":
		if err := json.Unmarshal(command.With, &c.current); err != nil {
			return nil, err
		}
		return c.start(ctx)
	case "configure":
		changed := c.current
		if err := json.Unmarshal(command.With, &changed); err != nil {
			return nil, err
		}
		return nil, c.configure(ctx, changed)
	case "expire":
		return nil, c.expire(command.With)
	case "behave":
		var behaviour authentik.Behaviour
		if err := json.Unmarshal(command.With, &behaviour); err != nil {
			return nil, err
		}
		c.base.Authentik.SetBehaviour(c.externalHost(), behaviour)
		return nil, nil
	case "hanging":
		return c.base.Authentik.Hanging(c.externalHost()), nil
	case "kill":
		_, err := c.stand.End(os.Kill)
		return nil, err
	case "revive":
		return nil, c.stand.Revive(ctx)
	case "requests":
		return c.requests(command.With)
	case "logins":
		return c.auth.Logins(), nil
	}
	return nil, fmt.Errorf("no command %q", command.Name)
}

func (c *control) start(ctx context.Context) (any, error) {
	upstream, err := c.startApp(ctx)
	if err != nil {
		return nil, err
	}
	if c.actual != nil {
		if err := c.actual.SetPassword(ctx, actualPassword); err != nil {
			return nil, err
		}
	}
	if c.current.Nginx {
		if c.nginx, err = stand.StartNginx(ctx, c.dir, upstream, c.current.validity()); err != nil {
			return nil, err
		}
		c.base = &c.nginx.Base
	} else {
		config := stand.Config{
			Dir:                 c.dir,
			Routes:              c.current.routes(upstream),
			Plugins:             c.current.plugins(),
			Older:               c.current.older(),
			AuthResponseHeaders: c.current.identity(),
			TokenValidity:       c.current.validity(),
			ForeignAuth:         c.current.ForeignAuth,
			AccessLog:           stand.ForRequests(),
			Middlewares: map[string]any{replacing: map[string]any{"errors": map[string]any{
				"status": []string{"400-499"}, "service": appHost, "query": "/replaced",
			}}},
		}
		if c.current.OAuth2Proxy != "" {
			if err := c.startOAuth2Proxy(&config); err != nil {
				return nil, err
			}
		}
		if c.stand, err = stand.Start(ctx, config); err != nil {
			return nil, err
		}
		c.base = &c.stand.Base
	}
	keyHash, err := c.base.KeyHash()
	if err != nil {
		return nil, err
	}
	story := map[string]string{
		"app":            c.url(appHost),
		"auth":           c.url("auth"),
		"authPath":       "/outpost.goauthentik.io/ping",
		"cookie":         authentik.App{ExternalHost: c.url(appHost)}.CookieName(),
		"username":       authentik.Username,
		"password":       authentik.Password,
		"actualPassword": actualPassword,
		"upstream":       upstream,
		"keyHash":        keyHash,
	}
	if c.auth == nil {
		c.auth = c.base.Authentik
	} else {
		maps.Copy(story, map[string]string{
			"auth":     c.url(ssoHost),
			"authPath": oidc.Prefix + "userinfo",
			"cookie":   oidc.SessionCookie,
			"username": oidc.Username,
			"password": oidc.Password,
		})
	}
	return story, nil
}

// startOAuth2Proxy starts oauth2-proxy and its provider, and adds to config what asks
// them.
func (c *control) startOAuth2Proxy(config *stand.Config) error {
	// The provider has to know where browsers find the app before Traefik runs.
	ports, release, err := stand.HoldPorts(1)
	if err != nil {
		return err
	}
	defer release()
	base := func(host string) string { return fmt.Sprintf("http://%s.example.localhost:%d", host, ports[0]) }
	provider, err := oidc.StartProvider(c.dir, base(ssoHost), []string{base(appHost) + "/oauth2/callback"})
	if err != nil {
		return err
	}
	c.oauth2.closes = append(c.oauth2.closes, provider.Stop)
	proxy, err := oidc.StartProxy(c.dir, oidc.Service, base(ssoHost), provider.URL)
	if err != nil {
		return err
	}
	c.oauth2.closes = append(c.oauth2.closes, proxy.Stop)
	sessions, err := oidc.NewSessions(provider, proxy)
	if err != nil {
		return err
	}
	url, server, err := stand.Serve(sessions)
	if err != nil {
		return err
	}
	c.oauth2.closes = append(c.oauth2.closes, server.Close)
	c.auth = sessions
	c.oauth2.routes = []stand.Route{{Host: ssoHost, Upstream: provider.URL}}
	config.Port = ports[0]
	config.Routes = append(config.Routes, c.oauth2.routes...)
	config.Middlewares = oidc.Middlewares(url)
	config.Paths = map[string]stand.Path{oidc.Service: {Prefix: oidc.Prefix, Upstream: url}}
	return nil
}

// url returns the URL of a host that browsers are sent to.
func (c *control) url(host string) string {
	if c.current.Nginx {
		return c.base.SecureURL(host)
	}
	return c.base.URL(host)
}

// externalHost returns what the auth server calls the app's host.
func (c *control) externalHost() string { return authentik.App{ExternalHost: c.url(appHost)}.Host() }

// startApp starts Actual or TiddlyWiki, if that is the app, and returns the app's URL.
func (c *control) startApp(ctx context.Context) (string, error) {
	if c.current.Actual == "" && !c.current.Wiki {
		return c.current.Upstream, nil
	}
	files := filepath.Join(c.dir, "app")
	err := os.MkdirAll(files, 0o755)
	if err != nil {
		return "", err
	}
	if c.current.Wiki {
		if c.wiki, err = stand.StartWiki(ctx, files); err != nil {
			return "", err
		}
		c.current.Upstream = c.wiki.URL
		return c.wiki.URL, nil
	}
	if c.actual, err = stand.StartActual(ctx, files, c.current.Actual); err != nil {
		return "", err
	}
	return c.actual.URL, nil
}

// configure brings the stand from its current settings to changed ones.
func (c *control) configure(ctx context.Context, changed settings) error {
	before := c.current
	c.current = changed
	if c.nginx != nil {
		return c.nginx.Change(ctx, stand.Replacement{Old: stand.NginxPlace, New: stand.NginxPlace + changed.NginxLines, Times: 1})
	}
	upstream := changed.Upstream
	if c.actual != nil {
		upstream = c.actual.URL
	}
	if changed.Actual != before.Actual || changed.AppDown != before.AppDown {
		if err := c.stopApp(); err != nil {
			return err
		}
		if !changed.AppDown {
			var err error
			if upstream, err = c.startApp(ctx); err != nil {
				return err
			}
		}
	}
	return c.stand.Configure(ctx, func(config *stand.Config) {
		config.Routes = append(changed.routes(upstream), c.oauth2.routes...)
		config.Plugins, config.Older = changed.plugins(), changed.older()
		config.AuthResponseHeaders = changed.identity()
	})
}

func (c *control) expire(with json.RawMessage) error {
	var what struct{ Session, At string }
	if err := json.Unmarshal(with, &what); err != nil {
		return err
	}
	if what.At != "" {
		return c.auth.ExpireAt(what.Session, what.At)
	}
	return c.auth.Expire(what.Session)
}

// requests returns what Traefik has answered, but for the first requests that were
// told before.
func (c *control) requests(with json.RawMessage) ([]stand.Request, error) {
	var what struct{ From int }
	if err := json.Unmarshal(with, &what); err != nil {
		return nil, err
	}
	requests, err := c.base.Requests()
	return requests[min(what.From, len(requests)):], err
}

func (c *control) stopApp() error {
	if c.actual == nil {
		return nil
	}
	actual := c.actual
	c.actual = nil
	return actual.Close()
}

func (c *control) close() error {
	var err error
	if c.nginx != nil {
		err = c.nginx.Close()
	} else if c.stand != nil {
		err = c.stand.Close()
	}
	for _, stop := range slices.Backward(c.oauth2.closes) {
		err = errors.Join(err, stop())
	}
	if c.wiki != nil {
		err = errors.Join(err, c.wiki.Close())
	}
	return errors.Join(err, c.stopApp())
}
