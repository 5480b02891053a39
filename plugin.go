// Package reauth is a Traefik middleware that ends the offline trap of web apps
// behind a login proxy. Listed before a forwardAuth middleware, it turns the
// login redirect that an expired session brings to a script's request into a
// 401 the app can recover from, owns one path at which the session is renewed,
// and answers CORS preflights without asking the auth server.
//
// Traefik interprets the package with Yaegi, so the code keeps to what Yaegi
// 0.16 can do. Three habits follow from its costs: package functions in place
// of methods, a small function on the way of every request with the rare work
// behind it, and native library calls in place of loops over bytes.
package reauth

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
)

// Config holds the options of the middleware. Traefik matches option names to
// field names, whatever their case, and ignores names it does not find here.
// The json tags only name the options in the log. Blanks around list entries are
// trimmed, so that "a, b" in a label means what it says.
type Config struct {
	// RefreshPath is the one path of the app's host that belongs to the
	// plugin: a visit renews the session and leads back to the path given as
	// rd, or shows a page without one, and the refresh script asks there for
	// the state of the session. It is a clean absolute path of unreserved
	// characters outside of AuthPaths. Default: /_reauth
	RefreshPath string `json:"refreshPath"`

	// LoginURLs tells what a login redirect points to. An entry is a URL
	// prefix (https://auth.example.com/application/o/authorize/) or a path
	// prefix on any host (/outpost.goauthentik.io/start), matched at segment
	// boundaries against the resolved Location. A login URL that carries a
	// redirect_uri (RFC 6749, section 4.1.1) counts only if that leads under
	// AuthPaths: an app may use the same identity provider for a login of its
	// own. Default: Authentik's /outpost.goauthentik.io/start and
	// /application/o/authorize/
	LoginURLs []string `json:"loginURLs"`

	// AuthPaths are the path prefixes that belong to the auth server on the
	// app's host. Requests for them pass through untouched.
	// Default: /outpost.goauthentik.io/
	AuthPaths []string `json:"authPaths"`

	// ServiceWorker puts the refresh script in front of the app's service worker
	// script: it renews the session and replays refused requests in the browser.
	// What it may do there is listed in the README. Default: true
	ServiceWorker bool `json:"serviceWorker"`

	// AccessControlAllowOriginList lists the origins that may read responses:
	// exact ones (https://example.com), https://*.example.com for one or more
	// labels in front of example.com (never example.com itself), or * alone
	// for any origin. Upgrades and AuthPaths are left out. Default: empty, and
	// then the plugin adds no CORS header and answers no preflight.
	AccessControlAllowOriginList []string `json:"accessControlAllowOriginList"`

	// AccessControlAllowCredentials lets allowed origins send cookies and read
	// the answer (Fetch, section 3.3.5). It excludes every wildcard but a
	// subdomain's. Default: false
	AccessControlAllowCredentials bool `json:"accessControlAllowCredentials"`

	// AccessControlAllowMethods lists methods that allowed origins may use.
	// GET, HEAD and POST need no listing (Fetch, CORS-safelisted method).
	// Default: empty
	AccessControlAllowMethods []string `json:"accessControlAllowMethods"`

	// AccessControlAllowHeaders lists request headers that allowed origins may
	// send. Default: empty
	AccessControlAllowHeaders []string `json:"accessControlAllowHeaders"`

	// AccessControlExposeHeaders lists response headers that allowed origins
	// may read. It replaces the app's list; the 401 exposes WWW-Authenticate
	// besides. Default: empty, and then the app's list stays.
	AccessControlExposeHeaders []string `json:"accessControlExposeHeaders"`

	// AccessControlMaxAge is the number of seconds a browser may remember the
	// answer to a preflight. 0 is sent as 0 and forbids remembering. Default:
	// unset, which sends nothing and leaves browsers at 5 seconds.
	AccessControlMaxAge *int64 `json:"accessControlMaxAge"`
}

// debug prints to Traefik's log at its DEBUG level, where Yaegi sends what the
// fmt package prints.
var debug = fmt.Println

// CreateConfig returns the default options, which suit Actual Budget behind
// Authentik. Every call makes new slices, because Traefik decodes the user's
// options into them.
func CreateConfig() *Config {
	return &Config{
		RefreshPath:   "/_reauth",
		LoginURLs:     []string{"/outpost.goauthentik.io/start", "/application/o/authorize/"},
		AuthPaths:     []string{"/outpost.goauthentik.io/"},
		ServiceWorker: true,
	}
}

// New returns the middleware that stands in front of next; name becomes the
// realm of its challenges. Its error lists every problem of config at once,
// each with the option, the value, the reason and what to write instead.
func New(_ context.Context, next http.Handler, config *Config, name string) (middleware http.Handler, err error) {
	// A panic here would keep Traefik from taking any further configuration.
	defer func() {
		if r := recover(); r != nil {
			middleware, err = nil, fmt.Errorf("reauth: reading the configuration failed: %v", r)
		}
	}()

	var found problems
	authPaths := parseAuthPaths(&found, config.AuthPaths)
	refreshPath := parseRefreshPath(&found, config.RefreshPath, authPaths)
	loginURLs := parseLoginURLs(&found, config.LoginURLs)
	policy := parseCORSPolicy(&found, config)
	if len(found.list) > 0 {
		return nil, found.err()
	}
	announce(name, config)

	h := &handler{
		next:          next,
		name:          name,
		refreshPath:   refreshPath,
		authPaths:     authPaths,
		loginURLs:     loginURLs,
		cors:          policy,
		challenge:     "Reauth realm=" + quote(name) + ", uri=" + quote(refreshPath),
		challengeBody: challengeBody(refreshPath),
	}
	if config.ServiceWorker {
		start := startPath(loginURLs, authPaths)
		h.refreshScript = refreshScript(refreshPath, authPaths, start, false)
		h.recoveryScript = refreshScript(refreshPath, authPaths, start, true)
		h.reachable = reachable(loginURLs)
	}
	return h, nil
}

// announce says on one line what every option is, since Traefik drops a
// misspelt one without a word. An option that is not set shows as null.
func announce(name string, config *Config) {
	// Strings, numbers and bools always marshal.
	options, _ := json.Marshal(config)
	debug("reauth: options of " + name + ": " + string(options))
}

// problems collects what is wrong with a configuration.
type problems struct {
	list []string
}

// add notes that value is wrong for option because of reason, and what mends it.
func (p *problems) add(option, value, reason, mend string) {
	p.list = append(p.list, option+" "+strconv.Quote(value)+": "+reason+"; "+mend)
}

// err puts all problems on one line, since Traefik logs an error as one.
func (p *problems) err() error {
	if len(p.list) == 1 {
		return errors.New("reauth: invalid configuration: " + p.list[0])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "reauth: invalid configuration, %d problems:", len(p.list))
	for i, text := range p.list {
		fmt.Fprintf(&b, " (%d) %s", i+1, text)
	}
	return errors.New(b.String())
}

// entries returns list with the blanks around its entries trimmed. An entry
// that is blank is reported and left out.
func entries(found *problems, option string, list []string) []string {
	trimmed := make([]string, 0, len(list))
	for _, entry := range list {
		value := strings.TrimSpace(entry)
		if value == "" {
			found.add(option, entry, "the entry is blank", "remove it or the comma beside it")
			continue
		}
		trimmed = append(trimmed, value)
	}
	return trimmed
}

// handler is the middleware. Nothing in it changes after New but misplaced.
type handler struct {
	next          http.Handler
	name          string
	refreshPath   string
	authPaths     []string
	loginURLs     []loginURL
	cors          *corsPolicy // nil without a list of origins
	challenge     string
	challengeBody string
	// refreshScript goes in front of the app's service worker script, and
	// recoveryScript in its place. Both are empty if the option is off.
	refreshScript  string
	recoveryScript string
	// reachable are the sources of CSP that either script needs.
	reachable []string

	// misplaced tells that the warning about the plugin's place is out.
	misplaced atomic.Bool
}

// kind is what a request means to the plugin.
type kind int

const (
	// kindForeign is the auth server's, a WebSocket or any other upgrade: no
	// business of the plugin's.
	kindForeign kind = iota
	// kindNavigation is a person's visit, which a login redirect serves well.
	kindNavigation
	// kindAPI is a request of a script or for a subresource.
	kindAPI
	// kindRefresh is a request for the refresh path.
	kindRefresh
	// kindProbe is one that asks whether the session is good, and kindLogin a
	// visit that ends on the page once it is: kindOf leaves both to serveRefresh.
	kindProbe
	kindLogin
	// kindScript is the browser's request for a service worker's script.
	kindScript
)

// ServeHTTP answers what is the plugin's to answer and passes all else on,
// with its original ResponseWriter where no header can need a change.
func (h *handler) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	if identified(req.Header) {
		warnMisplaced(h)
	}
	k := kindOf(h, req)
	if k == kindForeign || k == kindNavigation && h.cors == nil {
		h.next.ServeHTTP(rw, req)
		return
	}
	serve(h, k, rw, req)
}

// identified reports whether the request says who its user is, as forwardAuth
// does when it passes one on with the headers Authentik's outpost gave it.
func identified(header http.Header) bool {
	return header["X-Authentik-Username"] != nil || header["X-Authentik-Groups"] != nil ||
		header["X-Authentik-Email"] != nil || header["X-Authentik-Name"] != nil ||
		header["X-Authentik-Uid"] != nil || header["X-Authentik-Jwt"] != nil
}

// warnMisplaced says, once, that the plugin cannot work where it stands.
func warnMisplaced(h *handler) {
	if h.misplaced.CompareAndSwap(false, true) {
		// Traefik shows what the log package prints at its default level.
		log.Printf("reauth: %s receives requests that already bear X-Authentik headers: if it is listed after forwardAuth "+
			"it never sees an expired session, so list it before forwardAuth in the router's middlewares", h.name)
	}
}

// kindOf tells what req means to the plugin.
func kindOf(h *handler, req *http.Request) kind {
	header := req.Header
	if header["Upgrade"] != nil || header.Get("Sec-Fetch-Mode") == "websocket" {
		return kindForeign
	}
	path := req.URL.Path
	if path == h.refreshPath {
		return kindRefresh
	}
	if underAny(h.authPaths, path) {
		return kindForeign
	}
	if isNavigation(header) {
		return kindNavigation
	}
	if h.refreshScript != "" && isWorkerScript(req) {
		return kindScript
	}
	return kindAPI
}

// serve handles a request that the plugin may have to answer or to change the
// answer of.
func serve(h *handler, k kind, rw http.ResponseWriter, req *http.Request) {
	origin := ""
	if h.cors != nil {
		origin = allowedOrigin(h.cors, req.Header)
		if origin != "" && isPreflight(req) {
			answerPreflight(h.cors, origin, rw)
			return
		}
	}
	w := &responseWriter{
		ResponseWriter: rw,
		h:              h,
		kind:           k,
		method:         req.Method,
		origin:         origin,
		target:         requestURL(req),
	}
	if k != kindNavigation {
		w.preset = rw.Header().Clone()
	}
	if k == kindScript {
		req = wholeScript(req)
	}
	if k == kindRefresh && serveRefresh(w, req) {
		return
	}
	h.next.ServeHTTP(w, req)
	finish(w)
}

// responseWriter decides, when the status is known, whether the answer passes
// or the plugin's own takes its place.
//
// Handed to native code, an interpreted type shows the three methods of
// http.ResponseWriter and Hijack, and never Flush. So it flushes after every
// write: what is streamed stays streamed.
type responseWriter struct {
	http.ResponseWriter

	h      *handler
	kind   kind
	method string
	// origin is the value for Access-Control-Allow-Origin, empty for none.
	origin string
	// target is the URL that was asked for, before anything rewrote it.
	target url.URL
	// returnTo is where a visit to the refresh path ends, empty for a fetch.
	returnTo string
	// elsewhere tells that a page of another origin sent the browser to the
	// refresh path.
	elsewhere bool
	// asked is the header of a probe, in which forwardAuth says whose it is.
	asked http.Header
	// preset holds the headers that stood before next was called.
	preset http.Header

	flusher     http.Flusher
	wroteHeader bool
	// replaced tells that the plugin has answered and all else is dropped.
	replaced bool
}

// WriteHeader passes informational statuses on and decides at the final one.
func (w *responseWriter) WriteHeader(status int) {
	writeHeader(w, status)
}

// Write passes b on at once, or drops it if the plugin has answered.
func (w *responseWriter) Write(b []byte) (int, error) {
	if !w.wroteHeader {
		writeHeader(w, http.StatusOK)
	}
	if w.replaced {
		return len(b), nil
	}
	n, err := w.ResponseWriter.Write(b)
	if w.flusher != nil {
		w.flusher.Flush()
	}
	return n, err
}

// Hijack hands the connection over where the server can.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	hijacker, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("reauth: the connection cannot be hijacked")
	}
	conn, buffered, err := hijacker.Hijack()
	if err == nil {
		w.wroteHeader = true
	}
	return conn, buffered, err
}

// outcome is what becomes of an answer from behind.
type outcome int

const (
	// outcomePass lets it through.
	outcomePass outcome = iota
	// outcomeChallenge puts the 401 in place of a login redirect.
	outcomeChallenge
	// outcomeRefreshed ends a visit to the refresh path that met no login. What
	// else the auth server refuses shows again where the visit leads.
	outcomeRefreshed
	// outcomeActive and outcomeInactive tell a probe of the session.
	outcomeActive
	outcomeInactive
	// outcomePage shows the page where there is no login to go through.
	outcomePage
	// outcomePrefix puts the refresh script in front of the app's worker script.
	outcomePrefix
	// outcomeRecovery puts the recovery script in place of a login redirect.
	outcomeRecovery
)

// outcomeOf decides about an answer with this status and the headers in w.
func outcomeOf(w *responseWriter, status int) outcome {
	switch w.kind {
	case kindAPI:
		if isLoginRedirect(w, status) {
			return outcomeChallenge
		}
	case kindRefresh:
		if status < 500 && !isLoginRedirect(w, status) {
			return outcomeRefreshed
		}
	case kindProbe:
		if isLoginRedirect(w, status) {
			return outcomeInactive
		}
		if status < 500 {
			return outcomeActive
		}
	case kindLogin:
		if status < 500 && !isLoginRedirect(w, status) {
			return outcomePage
		}
	case kindScript:
		if isLoginRedirect(w, status) {
			return outcomeRecovery
		}
		if status == http.StatusOK && isPlainScript(w.Header()) {
			return outcomePrefix
		}
	}
	return outcomePass
}

func writeHeader(w *responseWriter, status int) {
	if w.replaced {
		return
	}
	if w.wroteHeader {
		// The server's own complaint about a second status is the clearest.
		w.ResponseWriter.WriteHeader(status)
		return
	}
	if status >= 100 && status <= 199 && status != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.wroteHeader = true
	switch outcomeOf(w, status) {
	case outcomeChallenge:
		answerChallenge(w)
	case outcomeRefreshed:
		answerRefreshed(w)
	case outcomeActive:
		answerProbe(w, true)
	case outcomeInactive:
		answerProbe(w, false)
	case outcomePage:
		answerPage(w)
	case outcomePrefix:
		passScript(w)
	case outcomeRecovery:
		answerRecovery(w)
	default:
		pass(w, status)
	}
}

// pass sends the status on, with the headers that came from behind.
func pass(w *responseWriter, status int) {
	header := w.Header()
	if w.h.cors != nil {
		setCORS(w.h.cors, header, w.origin)
	}
	w.ResponseWriter.WriteHeader(status)
	flusher, ok := w.ResponseWriter.(http.Flusher)
	if !ok {
		return
	}
	w.flusher = flusher
	// The head of a stream says that it is open, before anything is sent. An
	// error or a redirect is no stream, and one without a body keeps the length
	// that the server works out for it.
	if status <= 299 && header.Get("Content-Length") == "" {
		flusher.Flush()
	}
}
