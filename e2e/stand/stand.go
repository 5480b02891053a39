// Package stand runs the parts the middleware works between: the real Traefik
// with the plugin from the working tree, the real Actual Budget, and the
// Authentik stand-in. Everything listens on loopback, under names of
// example.localhost, which browsers resolve by themselves.
package stand

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/traefik-reauth/reauth/e2e/authentik"
)

const (
	// Author is whose the plugin is, and Module is the plugin's.
	Author = "github.com/traefik-reauth"
	Module = Author + "/reauth"

	domain = ".example.localhost"
	// foreignDomain is of another site than domain (HTML, section 7.1.1.1).
	foreignDomain = ".example-auth.localhost"
	authHost      = "auth"
	nobody        = "nobody"
	startLimit    = 60 * time.Second
	// downAddress is where nobody listens: port 1 is no ephemeral port.
	downAddress = "http://127.0.0.1:1"
	// maxAuthBody is how many bytes the auth server's answer may have.
	maxAuthBody = 1 << 20
)

// Middleware names every stand has besides those of its Config.
const (
	// ForwardAuth asks the Authentik stand-in.
	ForwardAuth = "authentik"
	// ForwardAuthDown asks a server that is not there.
	ForwardAuthDown = "authentik-down"
	// Compress compresses what the browser takes compressed.
	Compress = "compress"
)

// TokenHeader tells the app the token of the session. It is none of
// IdentityHeaders, as it is long and few apps read it.
const TokenHeader = "X-authentik-jwt"

// IdentityHeaders are the outpost's headers that tell the app who its user is.
func IdentityHeaders() []string {
	return []string{"X-authentik-username", "X-authentik-groups", "X-authentik-email", "X-authentik-name", "X-authentik-uid"}
}

// Route is an app on a host of its own, or under a path of a host.
type Route struct {
	// Host is the first label of its name.
	Host string
	// Prefix is what the paths of the app start with, empty if it has the host.
	Prefix string
	// Middlewares are the names of what stands before it, outermost first.
	Middlewares []string
	// Upstream is the URL of the app.
	Upstream string
}

// name is what Traefik knows the route by.
func (r Route) name() string { return r.Host + strings.ReplaceAll(r.Prefix, "/", "-") }

// Path is a part of every host.
type Path struct {
	// Prefix is what its paths start with.
	Prefix string
	// Upstream is the URL of what serves it.
	Upstream string
}

// Config is what differs between stands.
type Config struct {
	// Dir is where files are kept; it has to exist.
	Dir string
	// Port is the port of the plain entry point, 0 for a free one.
	Port int
	// Routes are the apps.
	Routes []Route
	// Paths are what other auth servers serve on the host of every app, by the
	// name that middlewares know them by as a service.
	Paths map[string]Path
	// Outpost are the middlewares before the outpost's own paths and before Paths,
	// which need none.
	Outpost []string
	// Plugins are the options of the plugin's middlewares, by name.
	Plugins map[string]map[string]any
	// Older are the options of the middlewares of an older version of the plugin, by
	// name. Traefik only has that version if there were some at the start.
	Older map[string]map[string]any
	// Middlewares are more of Traefik's own, by name, as its configuration has
	// them.
	Middlewares map[string]any
	// AuthResponseHeaders are those of the auth server's answer that forwardAuth
	// hands to the app, nil for IdentityHeaders.
	AuthResponseHeaders []string
	// TokenValidity is how long a proxy session lives.
	TokenValidity time.Duration
	// ForeignAuth puts the auth server on another site than the apps.
	ForeignAuth bool
	// LocalPlugins are more plugins, by name: their folders, from this module's on. Each
	// has the module Author/name.
	LocalPlugins map[string]string
	// LogLevel is that of Traefik's log, empty for DEBUG.
	LogLevel string
	// AccessLog are the options of Traefik's access log but for its place, nil for none.
	// Requests takes those that ForRequests returns.
	AccessLog map[string]any
	// Version is what Traefik takes from the plugin catalog. Empty for the
	// working tree, as a local plugin.
	Version string
}

// Base is what every kind of stand has.
type Base struct {
	Authentik *authentik.Server

	dir     string
	auth    string // name of the auth server
	traefik *Traefik
	servers []*http.Server
	ports   map[string]int // by entry point
	roots   *x509.CertPool
	log     requestLog
}

// Stand is a running Traefik with what it needs.
type Stand struct {
	Base

	config  Config
	version int          // of the dynamic configuration
	outpost string       // URL
	idp     string       // URL
	visitor *http.Client // of the entry points
}

// Root returns the folder of this module, wherever the caller runs.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(file))
}

// Project returns the folder of the project, which the plugin's module is in.
func Project() string { return filepath.Dir(Root()) }

// Start starts everything and returns once Traefik has loaded the plugin and
// the routes. What it starts ends with Close.
func Start(ctx context.Context, config Config) (*Stand, error) {
	s := &Stand{Base: newBase(config.Dir), config: config}
	if config.ForeignAuth {
		s.auth = authHost + foreignDomain
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stand) start(ctx context.Context) error {
	ports, release, err := HoldPorts(3)
	if err != nil {
		return err
	}
	defer release()
	s.ports["web"], s.ports["websecure"], s.ports["traefik"] = ports[0], ports[1], ports[2]
	if s.config.Port != 0 {
		s.ports["web"] = s.config.Port
	}
	var apps []authentik.App
	for _, route := range s.config.Routes {
		if route.Prefix != "" {
			continue // the host's session is the app's
		}
		apps = append(apps, s.apps(route.Host)...)
	}
	s.Authentik = authentik.New(s.config.TokenValidity, apps...)
	if s.outpost, err = s.serve(s.Authentik.Outpost()); err != nil {
		return err
	}
	if s.idp, err = s.serve(s.Authentik.IdentityProvider()); err != nil {
		return err
	}
	if s.roots, err = writeCertificate(s.dir, "*"+domain); err != nil {
		return err
	}
	s.visitor = &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{DialContext: Dial, TLSClientConfig: s.TLS(), DisableKeepAlives: true},
	}
	if s.config.Version == "" {
		if err := LinkPlugin(s.config.Dir); err != nil {
			return err
		}
	}
	for name, folder := range s.config.LocalPlugins {
		if err := linkModule(s.config.Dir, Author+"/"+name, filepath.Join(Root(), folder)); err != nil {
			return err
		}
	}
	if s.config.Older != nil {
		if err := writeOlder(s.config.Dir); err != nil {
			return err
		}
	}
	if err := s.writeYAML("traefik.yml", s.static()); err != nil {
		return err
	}
	if err := s.writeDynamic(); err != nil {
		return err
	}
	release()
	if s.traefik, err = RunTraefik(s.config.Dir, s.ports["traefik"], "--configFile=traefik.yml"); err != nil {
		return err
	}
	return s.traefik.AwaitRouters(ctx, s.routerNames()...)
}

func newBase(dir string) Base {
	return Base{dir: dir, auth: authHost + domain, ports: map[string]int{}}
}

// apps returns an application per entry point.
func (b *Base) apps(host string) []authentik.App {
	return []authentik.App{
		{ExternalHost: b.URL(host), AuthURL: b.URL(authHost)},
		{ExternalHost: b.SecureURL(host), AuthURL: b.SecureURL(authHost)},
	}
}

// URL returns the URL of a host at the plain entry point, without a path. The
// auth server's host is auth.
func (b *Base) URL(host string) string {
	return "http://" + b.name(host) + ":" + strconv.Itoa(b.ports["web"])
}

// SecureURL returns the URL of a host at the TLS entry point, without a path.
func (b *Base) SecureURL(host string) string {
	return "https://" + b.name(host) + ":" + strconv.Itoa(b.ports["websecure"])
}

// name returns the full name of a host.
func (b *Base) name(host string) string {
	if host == authHost {
		return b.auth
	}
	return host + domain
}

// TLS returns a configuration that trusts the stand's certificate.
func (b *Base) TLS() *tls.Config { return &tls.Config{RootCAs: b.roots} }

// Dial connects to the stand whatever name of its domain is asked for.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(host, domain) {
		return nil, fmt.Errorf("%s is no host of the stand", host)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}

// serve serves h on a free port until Close and returns its URL.
func (b *Base) serve(h http.Handler) (string, error) {
	url, server, err := Serve(h)
	if err == nil {
		b.servers = append(b.servers, server)
	}
	return url, err
}

// Serve serves h on a free loopback port and returns its URL and the server,
// which the caller closes.
func Serve(h http.Handler) (string, *http.Server, error) {
	listener, port, err := holdPort()
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return "http://127.0.0.1:" + strconv.Itoa(port), server, nil
}

// Loopback ports are taken from below those that Linux gives to whoever asks for any, in
// blocks: a process has one to itself while it lives. So nobody takes a port that is let go
// for a program to take.
const (
	firstPort  = 15000
	blockSize  = 100
	blockCount = 150
)

// block is the ports behind the one that is held for all of them.
type block struct {
	net.Listener
	first int
	given atomic.Int64
}

var ownBlock = sync.OnceValues(func() (*block, error) {
	var err error
	for range blockCount {
		first := firstPort + blockSize*rand.IntN(blockCount)
		var listener net.Listener
		if listener, err = listen(first); err == nil {
			return &block{Listener: listener, first: first + 1}, nil
		}
	}
	return nil, err
})

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
}

// holdPort takes a free loopback port, which is free again once the listener is
// closed, and comes round again last.
func holdPort() (net.Listener, int, error) {
	b, err := ownBlock()
	if err != nil {
		return nil, 0, err
	}
	for range blockSize - 1 {
		port := b.first + int(b.given.Add(1)%(blockSize-1))
		var listener net.Listener
		if listener, err = listen(port); err == nil {
			return listener, port, nil
		}
	}
	return nil, 0, err
}

// LinkPlugin makes the working tree a local plugin of a program that runs in
// dir.
func LinkPlugin(dir string) error { return linkModule(dir, Module, Project()) }

func linkModule(dir, module, folder string) error {
	link := filepath.Join(dir, "plugins-local", "src", filepath.FromSlash(module))
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return err
	}
	return os.Symlink(folder, link)
}

// olderModule is where Traefik finds the older version of the plugin. It may not have two
// of one name.
const olderModule = "example.localhost/older/reauth"

// writeOlder makes an older version of the plugin a local plugin of a program that runs in
// dir: the working tree under another name, whose scripts say another version. There is no
// real one yet.
func writeOlder(dir string) error {
	folder := filepath.Join(dir, "plugins-local", "src", filepath.FromSlash(olderModule))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	names, err := filepath.Glob(filepath.Join(Project(), "*.go"))
	if err != nil {
		return err
	}
	rename := strings.NewReplacer(Module, olderModule, "'v0.1.0'", "'v0.0.9'", `"v0.1.0"`, `"v0.0.9"`)
	for _, name := range append(names, filepath.Join(Project(), "go.mod"), filepath.Join(Project(), ".traefik.yml")) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		changed := rename.Replace(string(text))
		if filepath.Base(name) == "browser.go" && changed == string(text) {
			return fmt.Errorf("%s says no version that could be an older one's", name)
		}
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(name)), []byte(changed), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// static returns Traefik's static configuration.
func (s *Stand) static() map[string]any {
	address := func(entryPoint string) map[string]any {
		return map[string]any{"address": "127.0.0.1:" + strconv.Itoa(s.ports[entryPoint])}
	}
	local := map[string]any{"reauth": map[string]any{"moduleName": Module}}
	for name := range s.config.LocalPlugins {
		local[name] = map[string]any{"moduleName": Author + "/" + name}
	}
	if s.config.Older != nil {
		local["reauth-older"] = map[string]any{"moduleName": olderModule}
	}
	static := map[string]any{
		"global":      map[string]any{"checkNewVersion": false, "sendAnonymousUsage": false},
		"log":         map[string]any{"level": cmp.Or(s.config.LogLevel, "DEBUG"), "noColor": true},
		"api":         map[string]any{"insecure": true, "dashboard": false},
		"entryPoints": map[string]any{"web": address("web"), "websecure": address("websecure"), "traefik": address("traefik")},
		"providers": map[string]any{
			"providersThrottleDuration": "50ms",
			"file":                      map[string]any{"filename": "dynamic.yml", "watch": true},
		},
		"experimental": map[string]any{"abortOnPluginFailure": true, "localPlugins": local},
	}
	if s.config.Version != "" {
		static["experimental"] = map[string]any{
			"abortOnPluginFailure": true,
			"plugins":              map[string]any{"reauth": map[string]any{"moduleName": Module, "version": s.config.Version}},
		}
	}
	if s.config.AccessLog != nil {
		options := maps.Clone(s.config.AccessLog)
		options["filePath"] = s.accessLog()
		static["accessLog"] = options
	}
	return static
}

// Configure changes routes and options of the plugin while Traefik runs, and
// returns once that works with them. Hosts stay as they are.
func (s *Stand) Configure(ctx context.Context, change func(*Config)) error {
	change(&s.config)
	s.version++
	if err := s.writeDynamic(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return await(ctx, s.traefik.Process, func() error {
		for _, url := range []string{s.URL(s.versionHost()), s.SecureURL(s.versionHost())} {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				return err
			}
			res, err := s.visitor.Do(req)
			if err != nil {
				return err
			}
			if err := res.Body.Close(); err != nil {
				return err
			}
			if res.StatusCode != http.StatusForbidden {
				return fmt.Errorf("%s: %s", url, res.Status)
			}
		}
		return nil
	})
}

// End ends Traefik by a signal: SIGTERM lets what is under way end, and SIGKILL does not.
func (s *Stand) End(signal os.Signal) (code int, err error) { return s.traefik.End(signal) }

// Revive starts Traefik anew where it was before End. Its log begins anew as well.
func (s *Stand) Revive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	traefik, err := RunTraefik(s.config.Dir, s.ports["traefik"], "--configFile=traefik.yml")
	if err != nil {
		return err
	}
	s.traefik = traefik
	return s.traefik.AwaitRouters(ctx, s.routerNames()...)
}

// versionHost returns a host that is there from this version of the dynamic
// configuration on.
func (s *Stand) versionHost() string { return "version-" + strconv.Itoa(s.version) }

// writeDynamic writes the dynamic configuration.
func (s *Stand) writeDynamic() error {
	identity := s.config.AuthResponseHeaders
	if identity == nil {
		identity = IdentityHeaders()
	}
	middlewares := map[string]any{
		ForwardAuth: map[string]any{"forwardAuth": map[string]any{
			"address":             s.outpost + "/outpost.goauthentik.io/auth/traefik",
			"maxResponseBodySize": maxAuthBody,
			"authResponseHeaders": identity,
		}},
		ForwardAuthDown: map[string]any{"forwardAuth": map[string]any{"address": downAddress, "maxResponseBodySize": maxAuthBody}},
		Compress:        map[string]any{"compress": map[string]any{}},
		// Answers 403, which nothing else here does.
		nobody: map[string]any{"ipAllowList": map[string]any{"sourceRange": []string{"192.0.2.0/32"}}},
	}
	maps.Copy(middlewares, s.config.Middlewares)
	for name, options := range s.config.Plugins {
		middlewares[name] = map[string]any{"plugin": map[string]any{"reauth": options}}
	}
	for name, options := range s.config.Older {
		middlewares[name] = map[string]any{"plugin": map[string]any{"reauth-older": options}}
	}
	services := map[string]any{authHost: service(s.idp), "outpost": service(s.outpost)}
	for _, route := range s.config.Routes {
		services[route.name()] = service(route.Upstream)
	}
	for name, path := range s.config.Paths {
		services[name] = service(path.Upstream)
	}
	return s.writeYAML("dynamic.yml", map[string]any{
		"http": map[string]any{"routers": s.routers(), "middlewares": middlewares, "services": services},
		"tls": map[string]any{"certificates": []any{map[string]any{
			"certFile": filepath.Join(s.config.Dir, "cert.pem"), "keyFile": filepath.Join(s.config.Dir, "key.pem"),
		}}},
	})
}

// routers returns the routers of the dynamic configuration, by name: each is
// there for both entry points.
func (s *Stand) routers() map[string]map[string]any {
	router := func(rule, service string, middlewares []string) map[string]any {
		r := map[string]any{"rule": rule, "service": service}
		if len(middlewares) > 0 {
			r["middlewares"] = middlewares
		}
		return r
	}
	onEveryHost := func(prefix, service string) map[string]any {
		r := router("PathPrefix(`"+prefix+"`)", service, s.config.Outpost)
		r["priority"] = 1000
		return r
	}
	routers := map[string]map[string]any{
		"auth":    router("Host(`"+s.name(authHost)+"`)", authHost, nil),
		"outpost": onEveryHost("/outpost.goauthentik.io/", "outpost"),
		"version": router("Host(`"+s.name(s.versionHost())+"`)", authHost, []string{nobody}),
	}
	for _, route := range s.config.Routes {
		rule := "Host(`" + route.Host + domain + "`)"
		if route.Prefix != "" {
			rule += " && PathPrefix(`" + route.Prefix + "`)"
		}
		routers[route.name()] = router(rule, route.name(), route.Middlewares)
	}
	for name, path := range s.config.Paths {
		routers[name] = onEveryHost(path.Prefix, name)
	}
	both := map[string]map[string]any{}
	for name, plain := range routers {
		secure := maps.Clone(plain)
		plain["entryPoints"] = []string{"web"}
		secure["entryPoints"] = []string{"websecure"}
		secure["tls"] = map[string]any{}
		both[name], both[name+"-tls"] = plain, secure
	}
	return both
}

// routerNames returns the names of the routers as Traefik has them.
func (s *Stand) routerNames() []string {
	var names []string
	for name := range s.routers() {
		names = append(names, name+"@file")
	}
	return names
}

func service(url string) map[string]any {
	return map[string]any{"loadBalancer": map[string]any{"servers": []any{map[string]any{"url": url}}}}
}

// writeYAML replaces a file at once, so that Traefik never reads half of one.
func (s *Stand) writeYAML(name string, content any) error {
	text, err := yaml.Marshal(content)
	if err != nil {
		return err
	}
	path := filepath.Join(s.config.Dir, name)
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// API reads an answer of Traefik's API.
func (b *Base) API(ctx context.Context, path string, answer any) error {
	return b.traefik.API(ctx, path, answer)
}

// Ended is closed when Traefik has ended.
func (b *Base) Ended() <-chan struct{} { return b.traefik.Ended() }

// Log returns what Traefik has printed so far.
func (b *Base) Log() string { return b.traefik.Log() }

// PID returns Traefik's process id.
func (b *Base) PID() int { return b.traefik.cmd.Process.Pid }

// Close ends everything that Start started.
func (b *Base) Close() error {
	var errs []error
	if b.traefik != nil {
		errs = append(errs, b.traefik.Stop())
	}
	for _, server := range slices.Backward(b.servers) {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

// permanent is an error that waiting does not mend.
type permanent struct{ error }

// await calls check until it returns nil. It gives up when ctx ends, the
// process ends or the error is permanent, and then shows the process's log.
func await(ctx context.Context, process *Process, check func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		var final permanent
		if errors.As(err, &final) {
			return process.explain(err)
		}
		select {
		case <-process.done:
			return process.explain(fmt.Errorf("%s ended: %w", process.name, err))
		case <-ctx.Done():
			return process.explain(fmt.Errorf("%s is not ready: %w", process.name, errors.Join(ctx.Err(), err)))
		case <-tick.C:
		}
	}
}
