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
//
// This file holds the options and what tells one request from another; refresh.go
// holds what becomes of answers, page.go what a person sees, and cors.go what other origins
// may do.
package reauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
)

// Config holds the options of the middleware. Traefik matches option names to
// field names, whatever their case, and ignores names it does not find here.
// The json tags only name the options in the log. Blanks around list entries are
// trimmed, so that "a, b" in a label means what it says.
type Config struct {
	// Provider names the forward-auth server: authentik, authelia, oauth2-proxy,
	// tinyauth or traefik-forward-auth. It stands for the defaults of HeaderField,
	// LoginURLs and AuthPaths, for the path at which a login starts, and for whether
	// a session can be renewed in silence. Default: authentik
	Provider string `json:"provider"`

	// HeaderField is the request header in which forwardAuth hands on who the user
	// is, one of its authResponseHeaders. Where it is listed there, the plugin knows
	// for certain which requests forwardAuth has refused, and nothing that the app
	// says is taken for an expired session. Default: the provider's,
	// X-authentik-username for Authentik
	HeaderField string `json:"headerField"`

	// RefreshPath is the one path of the app's host that belongs to the
	// plugin: a visit renews the session and leads back to the path given as
	// rd, or shows a page without one, and the refresh script asks there for
	// the state of the session. It is a clean absolute path of unreserved
	// characters outside of AuthPaths, in the folder of the app's home page: an app
	// under /budget/ has /budget/_reauth. Default: /_reauth
	RefreshPath string `json:"refreshPath"`

	// LoginURLs tells what a login redirect points to. An entry is a URL
	// prefix (https://auth.example.com/application/o/authorize/) or a path
	// prefix on any host (/outpost.goauthentik.io/start), matched at segment
	// boundaries against the resolved Location. A login URL that carries a
	// redirect_uri (RFC 6749, section 4.1.1) counts only if that leads under
	// AuthPaths: an app may use the same identity provider for a login of its
	// own. Default: the provider's, /outpost.goauthentik.io/start and
	// /application/o/authorize/ for Authentik
	LoginURLs []string `json:"loginURLs"`

	// AuthPaths are the path prefixes that belong to the auth server on the
	// app's host. Requests for them pass through untouched.
	// Default: the provider's, /outpost.goauthentik.io/ for Authentik
	AuthPaths []string `json:"authPaths"`

	// ServiceWorker puts the refresh script in front of the app's service worker
	// script: it renews the session and replays refused requests in the browser.
	// docs/trust.md lists what it does there. Default: true
	ServiceWorker bool `json:"serviceWorker"`

	// OwnServiceWorker gives an app without a service worker the plugin's own, with the
	// refresh script alone, in the scope of the folder that RefreshPath is in. A refused
	// visit then gets a page that registers it and goes on to the login, in place of the
	// login redirect. An app's own worker is never replaced. It takes ServiceWorker.
	// Default: false
	OwnServiceWorker bool `json:"ownServiceWorker"`

	// AccessControlAllowOriginList lists the origins that may read responses:
	// exact ones (https://example.com), https://*.example.com for one or more
	// labels in front of example.com (never example.com itself),
	// http://localhost:* for any port of a loopback name, or * alone for any
	// origin. Upgrades and AuthPaths are left out. Default: empty, and
	// then the plugin adds no CORS header and answers no preflight.
	AccessControlAllowOriginList []string `json:"accessControlAllowOriginList"`

	// AccessControlAllowCredentials lets allowed origins send cookies and read
	// the answer (https://fetch.spec.whatwg.org/#cors-protocol-and-credentials). It
	// excludes *, and origins over plain http that are not on loopback. Default: false
	AccessControlAllowCredentials bool `json:"accessControlAllowCredentials"`

	// AccessControlAllowMethods lists methods that allowed origins may use.
	// GET, HEAD and POST need no listing (https://fetch.spec.whatwg.org/#cors-safelisted-method).
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
// Authentik. What the provider stands for is left to New.
func CreateConfig() *Config {
	return &Config{
		Provider:      defaultProvider,
		RefreshPath:   "/_reauth",
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
	auth := parseProvider(&found, config.Provider)
	// The user's own options stay as Traefik has read them.
	set := *config
	if set.HeaderField == "" {
		set.HeaderField = auth.headerField
	}
	if set.LoginURLs == nil {
		set.LoginURLs = auth.loginURLs
	} else {
		auth.complete = true
	}
	if set.AuthPaths == nil {
		set.AuthPaths = auth.authPaths
	}
	headerField := parseHeaderField(&found, set.HeaderField)
	authPaths := parseAuthPaths(&found, set.AuthPaths)
	refreshPath := parseRefreshPath(&found, set.RefreshPath, authPaths)
	loginURLs := parseLoginURLs(&found, set.LoginURLs)
	if config.OwnServiceWorker && !config.ServiceWorker {
		found.add("ownServiceWorker", "true", "it needs the refresh script, which serviceWorker switches off",
			"leave serviceWorker out, or write false for both")
	}
	policy := parseCORSPolicy(&found, config)
	if len(found.list) > 0 {
		return nil, found.err()
	}
	announce(name, &set)

	authPath := prefixPattern(authPaths)
	h := &handler{
		next:          next,
		name:          name,
		auth:          auth,
		headerField:   headerField,
		refreshPath:   refreshPath,
		authPaths:     authPaths,
		authPath:      authPath,
		loginURLs:     loginURLs,
		startPath:     startPath(loginURLs, authPath),
		cors:          policy,
		challenge:     "Reauth realm=" + quote(name) + ", uri=" + quote(refreshPath),
		challengeBody: challengeBody(refreshPath),
		own:           config.OwnServiceWorker,
		passesVisits:  policy == nil && !config.OwnServiceWorker,
	}
	// Until something shows the contrary, who names a provider or a header is believed to
	// have listed it: what other providers' logins point to nobody knows beforehand.
	h.listed.Store(config.Provider != defaultProvider || config.HeaderField != "")
	if config.ServiceWorker {
		h.refreshScript = refreshScript(refreshPath, authPaths, h.startPath, auth.silent, false)
		h.recoveryScript = refreshScript(refreshPath, authPaths, h.startPath, auth.silent, true)
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

var (
	plainPath   = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)
	notURLBytes = regexp.MustCompile(`[^!-~]+`)
	nothing     = regexp.MustCompile(`[^\x00-\x{10FFFF}]`)
	overTLS     = regexp.MustCompile(`(?i)^[ \t]*(https|wss)[ \t]*(,|$)`)
)

// parseRefreshPath checks RefreshPath.
func parseRefreshPath(found *problems, value string, authPaths []string) string {
	const option = "refreshPath"
	if !plainPath.MatchString(value) || path.Clean(value) != value {
		found.add(option, value, "not a clean absolute path of letters, digits and . _ ~ -",
			`write a path of your host that the app does not use, like "/_reauth"`)
		return ""
	}
	for _, authPath := range authPaths {
		if under(authPath, value) {
			found.add(option, value, "lies under "+strconv.Quote(authPath)+" of authPaths, which belongs to the auth server",
				`write a path outside of it, like "/_reauth"`)
		}
	}
	return value
}

// parseAuthPaths checks AuthPaths and takes trailing slashes off.
func parseAuthPaths(found *problems, list []string) []string {
	const option = "authPaths"
	paths := []string{}
	for _, value := range entries(found, option, list) {
		if reason := pathFault(value); reason != "" {
			found.add(option, value, reason, `write a path prefix like "/outpost.goauthentik.io/"`)
			continue
		}
		paths = append(paths, strings.TrimSuffix(value, "/"))
	}
	return paths
}

// pathFault tells why value is no path prefix, if it is none.
func pathFault(value string) string {
	trimmed := strings.TrimSuffix(value, "/")
	switch {
	case strings.Contains(value, ","):
		return "an entry holds one prefix"
	case strings.ContainsAny(value, "?#"):
		return "a prefix has neither query nor fragment"
	case !strings.HasPrefix(value, "/"):
		return "does not start with a slash"
	case strings.Trim(value, "/") == "":
		return "matches every path"
	case strings.ContainsAny(value, `*%\`) || notURLBytes.MatchString(value):
		return "is compared with decoded paths as it stands: wildcards, percent signs, backslashes, blanks and non-ASCII letters never match"
	case path.Clean(value) != trimmed:
		return "is not a clean path"
	}
	return ""
}

// loginURL is a parsed entry of LoginURLs.
type loginURL struct {
	// scheme and host are empty for a path on any host.
	scheme, host string
	// path has no trailing slash and is empty for all paths of the host.
	path string
}

// parseLoginURLs checks LoginURLs.
func parseLoginURLs(found *problems, list []string) []loginURL {
	const option = "loginURLs"
	var logins []loginURL
	values := entries(found, option, list)
	for _, value := range values {
		login, reason := parseLoginURL(value)
		if reason != "" {
			found.add(option, value, reason, `write a URL prefix like "https://auth.example.com/application/o/authorize/" `+
				`or a path prefix like "/outpost.goauthentik.io/start"`)
			continue
		}
		logins = append(logins, login)
	}
	if list != nil && len(values) == 0 {
		found.add(option, "", "without an entry no expired session is recognised", "leave the option out for the provider's login URLs")
	}
	return logins
}

// parseLoginURL returns what value matches, or why it can be no login URL.
// The results have no names because Yaegi loses what is assigned to a named one
// that is a struct.
func parseLoginURL(value string) (loginURL, string) {
	if strings.HasPrefix(value, "/") {
		return loginURL{path: strings.TrimSuffix(value, "/")}, pathFault(value)
	}
	u, err := url.Parse(value)
	switch {
	case err != nil:
		return loginURL{}, "is not a URL"
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return loginURL{}, "is neither an http or https URL nor a path with a leading slash"
	case u.User != nil:
		return loginURL{}, "a URL prefix has no user name"
	case strings.Contains(u.Hostname(), ":") && u.Host[0] != '[':
		return loginURL{}, "an IPv6 address stands in brackets"
	case strings.Contains(u.Host, "*"):
		return loginURL{}, "a wildcard host is not supported"
	case notURLBytes.MatchString(u.Host):
		return loginURL{}, "the host is not ASCII: redirects carry its Punycode form, xn--..."
	case u.Port() != "" && !isPort(u.Port()):
		return loginURL{}, "the port is not a number from 1 to 65535"
	}
	host := canonicalHost(u)
	if strings.TrimSuffix(u.Path, "/") == "" && !strings.ContainsAny(value, "?#") {
		return loginURL{scheme: u.Scheme, host: host}, "" // a host of the auth server's own
	}
	_, afterScheme, _ := strings.Cut(value, "://")
	prefix := afterScheme[strings.IndexAny(afterScheme, "/?#"):]
	return loginURL{scheme: u.Scheme, host: host, path: strings.TrimSuffix(prefix, "/")}, pathFault(prefix)
}

// canonicalHost returns the host of u in lower case, without a default port.
func canonicalHost(u *url.URL) string {
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":"+defaultPorts[u.Scheme])
	return strings.TrimSuffix(host, ":")
}

// handler is the middleware. Nothing in it changes after New but what it has noticed
// of the chain that it stands in.
type handler struct {
	next http.Handler
	name string
	auth provider
	// headerField is the key of HeaderField.
	headerField string
	refreshPath string
	// authPaths are AuthPaths without trailing slashes, and authPath matches what is or lies
	// under one of them.
	authPaths     []string
	authPath      *regexp.Regexp
	loginURLs     []loginURL
	startPath     string
	cors          *corsPolicy // nil without a list of origins
	challenge     string
	challengeBody string
	// refreshScript goes in front of the app's service worker script, and
	// recoveryScript in its place. Both are empty if the option is off.
	refreshScript  string
	recoveryScript string
	// own tells whether an app without a worker gets the refresh script as one.
	own bool
	// passesVisits tells that no answer to a visit can need a change.
	passesVisits bool
	// reachable are the sources of CSP that either script needs.
	reachable []string

	// misplaced tells that the warning about the plugin's place is out, unlisted that
	// the one about headerField is, compressed the one about the worker's script, and
	// stripped the one about a prefix.
	misplaced  atomic.Bool
	unlisted   atomic.Bool
	compressed atomic.Bool
	stripped   atomic.Bool
	// listed tells that forwardAuth hands on headerField, as far as that was seen.
	listed atomic.Bool
}

// kind is what a request means to the plugin.
type kind int

const (
	// kindForeign is the auth server's: no business of the plugin's.
	kindForeign kind = iota
	// kindNavigation is a person's visit, which a login redirect serves well.
	kindNavigation
	// kindAPI is a request of a script or for a subresource.
	kindAPI
	// kindUpgrade is a WebSocket's handshake or any other upgrade, to which CORS
	// does not apply.
	kindUpgrade
	// What follows takes more than a look at the answer: see prepare.

	// kindVisit is a visit that may be answered by a page of the plugin's, if it is refused.
	kindVisit
	// kindRefresh is a request for the refresh path.
	kindRefresh
	// kindProbe is one that asks whether the session is good, and kindLogin a
	// visit that ends on the page once it is: kindOf leaves both to serveRefresh.
	kindProbe
	kindLogin
	// kindScript is the browser's request for a service worker's script, and kindOwnScript
	// that for the plugin's own.
	kindScript
	kindOwnScript
)

// ServeHTTP answers what is the plugin's to answer and passes all else on,
// with its original ResponseWriter where no header can need a change.
func (h *handler) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	header := req.Header
	mode := header.Get("Sec-Fetch-Mode")
	// Of the requests that need nothing most are visits of browsers.
	if mode == "navigate" && h.passesVisits && req.URL.Path != h.refreshPath && header[h.headerField] == nil && h.listed.Load() {
		h.next.ServeHTTP(rw, req)
		return
	}
	dispatch(h, mode, rw, req)
}

// dispatch decides what is to be done for a request of this Sec-Fetch-Mode.
func dispatch(h *handler, mode string, rw http.ResponseWriter, req *http.Request) {
	if req.Header[h.headerField] != nil && isOfAnother(h, req.Header) {
		h.next.ServeHTTP(rw, req)
		return
	}
	if h.cors != nil && req.Method == http.MethodOptions && answersPreflight(h, rw, req) {
		return
	}
	k := kindOf(h, mode, req)
	if k == kindForeign {
		h.next.ServeHTTP(rw, req)
		return
	}
	if h.cors != nil {
		serveCORS(h, k, rw, req)
		return
	}
	if k == kindNavigation {
		learn(h, rw, req)
		return
	}
	serve(h, k, nil, "", rw, req)
}

// isOfAnother reports whether a request that bears headerField is another instance's, listed
// before: no other leaves the header without a value.
func isOfAnother(h *handler, header http.Header) bool {
	if len(header[h.headerField]) == 0 {
		return true
	}
	warnMisplaced(h)
	return false
}

// warnMisplaced says, once, that the plugin cannot work where it stands.
func warnMisplaced(h *handler) {
	if h.misplaced.CompareAndSwap(false, true) {
		// Traefik shows what the log package prints at its default level.
		log.Printf("reauth: %s receives requests that already bear %s: if it is listed after forwardAuth "+
			"it never sees an expired session, so list it before forwardAuth in the router's middlewares", h.name, h.headerField)
	}
}

// kindOf tells what req, of this Sec-Fetch-Mode, means to the plugin.
func kindOf(h *handler, mode string, req *http.Request) kind {
	path := req.URL.Path
	if h.authPath.MatchString(path) {
		return kindForeign
	}
	header := req.Header
	// The mode alone is no upgrade: a store in front would keep an answer without CORS.
	if header["Upgrade"] != nil {
		return kindUpgrade
	}
	if path == h.refreshPath {
		return kindRefresh
	}
	if isNavigation(mode, header) {
		return kindOfNavigation(h, req)
	}
	if header["Service-Worker"] != nil {
		return kindOfScript(h, req)
	}
	return kindAPI
}

// kindOfNavigation tells whether an answer to a navigation may be a page of the plugin's.
func kindOfNavigation(h *handler, req *http.Request) kind {
	if h.own && isVisit(req) {
		return kindVisit
	}
	return kindNavigation
}

// kindOfScript tells whose worker's script is asked for, if one is.
func kindOfScript(h *handler, req *http.Request) kind {
	if !isWorkerScript(req) {
		return kindAPI
	}
	if req.URL.RawQuery == ownQuery {
		return kindOwnScript
	}
	if h.refreshScript != "" {
		return kindScript
	}
	return kindAPI
}

// under reports whether p is prefix or lies under it. The prefix has no
// trailing slash.
func under(prefix, p string) bool {
	return p == prefix || strings.HasPrefix(p, prefix) && p[len(prefix)] == '/'
}

// prefixPattern matches what is or lies under one of prefixes. Natively matched, it
// takes less time than a loop that is interpreted.
func prefixPattern(prefixes []string) *regexp.Regexp {
	quoted := make([]string, len(prefixes))
	for i, prefix := range prefixes {
		quoted[i] = regexp.QuoteMeta(prefix)
	}
	if len(quoted) == 0 {
		return nothing
	}
	return regexp.MustCompile("^(?:" + strings.Join(quoted, "|") + ")(?:/|$)")
}

// navigationDests are the destinations of a navigation request
// (https://fetch.spec.whatwg.org/#navigation-request). A mode other than navigate
// does not make them a script's.
var navigationDests = map[string]bool{
	"document":    true,
	"embed":       true,
	"fencedframe": true,
	"frame":       true,
	"iframe":      true,
	"object":      true,
}

// scriptHeaders are set by scripts alone: those of jQuery and others, of Actual, of htmx,
// and of Turbo, which both ask for HTML.
var scriptHeaders = []string{"X-Requested-With", "X-Actual-Token", "Hx-Request", "Turbo-Frame", "X-Turbo-Request-Id"}

// isNavigation reports whether a person navigates, rather than a script or a
// page asking for a part of it. Fetch metadata decides where the browser sends
// it, which is on https and localhost only.
func isNavigation(mode string, header http.Header) bool {
	dest := header.Get("Sec-Fetch-Dest")
	if mode == "" && dest == "" {
		return looksLikeNavigation(header)
	}
	return mode == "navigate" || navigationDests[dest]
}

// looksLikeNavigation goes by what scripts send and what people's browsers accept.
func looksLikeNavigation(header http.Header) bool {
	for _, name := range scriptHeaders {
		if header[name] != nil {
			return false
		}
	}
	if isDataType(header.Get("Content-Type")) {
		return false
	}
	return strings.Contains(strings.ToLower(strings.Join(header["Accept"], ",")), "text/html")
}

// isDataType reports whether a request body of this type comes from a script:
// no form has it.
func isDataType(contentType string) bool {
	essence, _, _ := strings.Cut(contentType, ";")
	essence = strings.ToLower(strings.TrimSpace(essence))
	return essence == "application/json" || essence == "application/actual-sync" ||
		strings.HasSuffix(essence, "+json")
}

// sentFromElsewhere reports whether a page of another origin has sent the browser
// here (https://w3c.github.io/webappsec-fetch-metadata/#sec-fetch-site-header): the auth server's after a login, or anybody's.
// The page at the refresh path goes on as a page of the app's. If it believed a
// stranger, that one could open any path of the app with SameSite=Strict cookies,
// past whatever looks at where a visit comes from.
func sentFromElsewhere(header http.Header) bool {
	site := header.Get("Sec-Fetch-Site")
	return site == "cross-site" || site == "same-site"
}

// isWorkerScript reports whether the browser asks for a service worker's script
// (https://w3c.github.io/ServiceWorker/#service-worker-script-request), which no worker answers.
// Firefox marks the scripts that a worker imports alike, against the standard,
// when it looks for an update, and takes what differs from its copies for one.
func isWorkerScript(req *http.Request) bool {
	value, dest := req.Header["Service-Worker"], req.Header.Get("Sec-Fetch-Dest")
	return len(value) == 1 && value[0] == "script" && req.Method == http.MethodGet && (dest == "" || dest == "serviceworker")
}

// serveCORS handles a request where there is a list of origins.
func serveCORS(h *handler, k kind, rw http.ResponseWriter, req *http.Request) {
	if k == kindUpgrade {
		serve(h, k, nil, "", rw, req)
		return
	}
	serve(h, k, h.cors, allowedOrigin(h.cors, req.Header), rw, req)
}

// serve handles a request whose answer the plugin may have to change.
func serve(h *handler, k kind, policy *corsPolicy, origin string, rw http.ResponseWriter, req *http.Request) {
	w := &responseWriter{
		ResponseWriter: rw,
		h:              h,
		kind:           k,
		cors:           policy,
		origin:         origin,
		req:            req,
		host:           req.Host,
		path:           req.URL.Path,
		forwardedProto: req.Header["X-Forwarded-Proto"],
	}
	if preset := rw.Header(); len(preset) > 0 {
		w.preset = preset.Clone()
	}
	if k > kindUpgrade && !prepare(w) {
		return
	}
	header := w.req.Header
	if header[h.headerField] == nil {
		header[h.headerField] = emptied
		w.marked = true
	}
	h.next.ServeHTTP(w, w.req)
	if w.flusher == nil {
		finish(w)
	}
}

// prepare notes what else the answer to a request depends on, and what of the request is to
// be handed on. It reports whether it is: the plugin may have answered.
func prepare(w *responseWriter) bool {
	req := w.req
	switch w.kind {
	case kindVisit:
		w.uri = req.URL.EscapedPath()
		if _, query, asks := strings.Cut(req.RequestURI, "?"); asks {
			w.uri += "?" + query
		}
		w.elsewhere = sentFromElsewhere(req.Header)
	case kindRefresh:
		return !serveRefresh(w, req)
	case kindScript:
		w.req = wholeScript(req)
	case kindOwnScript:
		answerOwnScript(w)
		return false
	}
	return true
}

// requestURL returns the URL the client asked for. Traefik has set
// X-Forwarded-Proto itself where the peer is not trusted to. From one that is it
// hands on whatever it gets: a list, of which the first is the client's, in any case.
// For a WebSocket Traefik says ws or wss.
func requestURL(w *responseWriter) *url.URL {
	scheme := "http"
	if w.req.TLS != nil || len(w.forwardedProto) > 0 && overTLS.MatchString(w.forwardedProto[0]) {
		scheme = "https"
	}
	return &url.URL{Scheme: scheme, Host: w.host, Path: w.path}
}

// wholeScript returns a request like req for the script as it is, all of it and
// whatever the browser has: what it has may lack the refresh script.
func wholeScript(req *http.Request) *http.Request {
	whole := req.WithContext(req.Context())
	whole.Header = req.Header.Clone()
	for _, name := range []string{"If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Range"} {
		whole.Header.Del(name)
	}
	whole.Header.Set("Accept-Encoding", "identity")
	return whole
}
