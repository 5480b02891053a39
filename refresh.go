package reauth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// maxReturnPath is the longest rd that is followed, in bytes. Servers refuse
// request lines much longer than this.
const maxReturnPath = 8192

// maxDecodings is how many times a path is decoded in search of tricks.
const maxDecodings = 4

// maxPairs is how many pairs of a query are searched for rd.
const maxPairs = 100

// maxToken is the longest token that is read, in bytes. No server takes a header
// much longer than this.
const maxToken = 16384

// maxLifetime is how far the end of a session may lie ahead, in seconds. A token
// that lives for more than ten years tells nothing about its session.
const maxLifetime = 10 * 365 * 24 * 60 * 60

// tokenHeader is where Authentik's outpost puts the token of the session, whose
// end is the session's.
const tokenHeader = "X-Authentik-Jwt"

var (
	plainPath      = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)
	control        = regexp.MustCompile(`[\x00-\x1f\x7f]`)
	notURLBytes    = regexp.MustCompile(`[^!-~]+`)
	dotSegment     = regexp.MustCompile(`/\.{1,2}(/|$)`)
	quotedSpecials = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
)

// navigationDests are the destinations of a navigation request (Fetch, section
// 2.2.5). A mode other than navigate does not make them a script's.
var navigationDests = map[string]bool{
	"document":    true,
	"embed":       true,
	"fencedframe": true,
	"frame":       true,
	"iframe":      true,
	"object":      true,
}

// scriptTypes are the media types that a browser takes a worker's script in
// (MIME Sniffing, JavaScript MIME type).
var scriptTypes = map[string]bool{
	"application/ecmascript":   true,
	"application/javascript":   true,
	"application/x-ecmascript": true,
	"application/x-javascript": true,
	"text/ecmascript":          true,
	"text/javascript":          true,
	"text/javascript1.0":       true,
	"text/javascript1.1":       true,
	"text/javascript1.2":       true,
	"text/javascript1.3":       true,
	"text/javascript1.4":       true,
	"text/javascript1.5":       true,
	"text/jscript":             true,
	"text/livescript":          true,
	"text/x-ecmascript":        true,
	"text/x-javascript":        true,
}

// isNavigation reports whether a person navigates, rather than a script or a
// page asking for a part of it. Fetch metadata decides where the browser sends
// it, which is on https and localhost only.
func isNavigation(header http.Header) bool {
	mode, dest := header.Get("Sec-Fetch-Mode"), header.Get("Sec-Fetch-Dest")
	if mode != "" || dest != "" {
		return mode == "navigate" || navigationDests[dest]
	}
	if header["X-Requested-With"] != nil || header["X-Actual-Token"] != nil {
		return false
	}
	if isDataType(header.Get("Content-Type")) {
		return false
	}
	return strings.Contains(strings.ToLower(strings.Join(header["Accept"], ",")), "text/html")
}

// sentFromElsewhere reports whether a page of another origin has sent the browser
// here (Fetch Metadata, section 2.3): the auth server's after a login, or anybody's.
// The page at the refresh path goes on as a page of the app's. If it believed a
// stranger, that one could open any path of the app with SameSite=Strict cookies,
// past whatever looks at where a visit comes from.
func sentFromElsewhere(header http.Header) bool {
	site := header.Get("Sec-Fetch-Site")
	return site == "cross-site" || site == "same-site"
}

// isDataType reports whether a request body of this type comes from a script:
// no form has it.
func isDataType(contentType string) bool {
	essence, _, _ := strings.Cut(contentType, ";")
	essence = strings.ToLower(strings.TrimSpace(essence))
	return essence == "application/json" || essence == "application/actual-sync" ||
		strings.HasSuffix(essence, "+json")
}

// requestURL returns the URL the client asked for. Traefik has set
// X-Forwarded-Proto itself where the peer is not trusted to.
func requestURL(req *http.Request) url.URL {
	scheme := "http"
	if req.TLS != nil || req.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return url.URL{Scheme: scheme, Host: req.Host, Path: req.URL.Path}
}

// loginURL is a parsed entry of LoginURLs.
type loginURL struct {
	// scheme and host are empty for a path on any host.
	scheme, host string
	// path has no trailing slash and is empty for all paths of the host.
	path string
}

// isLoginRedirect reports whether an answer with this status and the headers
// in w is a redirect to a login.
func isLoginRedirect(w *responseWriter, status int) bool {
	if status != http.StatusFound && status != http.StatusSeeOther && status != http.StatusTemporaryRedirect &&
		status != http.StatusMovedPermanently && status != http.StatusPermanentRedirect {
		return false
	}
	return leadsToLogin(w.h, &w.target, w.Header().Get("Location"))
}

// leadsToLogin reports whether location, found at target, is a login URL.
func leadsToLogin(h *handler, target *url.URL, location string) bool {
	if location == "" {
		return false
	}
	u, err := target.Parse(location)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	host, cleaned := canonicalHost(u), path.Clean("/"+u.Path)
	for _, login := range h.loginURLs {
		if login.host != "" && (login.host != host || login.scheme != u.Scheme) {
			continue
		}
		if under(login.path, cleaned) {
			return comesBack(h, u)
		}
	}
	return false
}

// comesBack reports whether a login at u ends on a path of the auth server's,
// as far as u tells.
func comesBack(h *handler, u *url.URL) bool {
	query, err := url.ParseQuery(u.RawQuery)
	redirectURIs, carries := query["redirect_uri"]
	if !carries {
		// What cannot be parsed is missing from query, yet it was carried.
		return err == nil || !strings.Contains(u.RawQuery, "redirect_uri=")
	}
	if len(redirectURIs) != 1 {
		return false
	}
	back, err := url.Parse(redirectURIs[0])
	return err == nil && underAny(h.authPaths, path.Clean("/"+back.Path))
}

// canonicalHost returns the host of u in lower case, without a default port.
func canonicalHost(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "" || port == defaultPorts[u.Scheme] {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, port)
}

// under reports whether p is prefix or lies under it. The prefix has no
// trailing slash.
func under(prefix, p string) bool {
	return p == prefix || strings.HasPrefix(p, prefix) && p[len(prefix)] == '/'
}

// underAny reports whether p is or lies under one of prefixes.
func underAny(prefixes []string, p string) bool {
	for _, prefix := range prefixes {
		if under(prefix, p) {
			return true
		}
	}
	return false
}

// challengeBody returns the body of the 401. Of the reasons that Actual Budget
// knows, network-failure is the one that neither signs its user out nor locks
// the budget.
func challengeBody(refreshPath string) string {
	// Strings always marshal.
	body, _ := json.Marshal(struct {
		Status  string `json:"status"`
		Reason  string `json:"reason"`
		Details string `json:"details"`
		Refresh string `json:"refresh"`
	}{"error", "network-failure", "session-expired", refreshPath})
	return string(body)
}

// quote returns s as a quoted-string (RFC 9110, section 5.6.4).
func quote(s string) string {
	return `"` + quotedSpecials.Replace(control.ReplaceAllString(s, "")) + `"`
}

// answerChallenge answers 401 (RFC 9110, section 15.5.2) in place of a login
// redirect. None of the redirect's headers stays: its cookies, one for each
// refused request, would end a login that is under way in another tab.
func answerChallenge(w *responseWriter) {
	header := replaceHeader(w)
	header.Set("WWW-Authenticate", w.h.challenge)
	header.Set("Content-Type", "application/json")
	if w.origin != "" {
		header.Set("Access-Control-Expose-Headers", w.h.cors.exposeChallenge)
	}
	answer(w, http.StatusUnauthorized, w.h.challengeBody)
}

// answer sends an answer of the plugin's own, whose header is ready.
func answer(w *responseWriter, status int, body string) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.ResponseWriter.WriteHeader(status)
	if w.method != http.MethodHead {
		// A client that is gone does not read the error either.
		_, _ = w.ResponseWriter.Write([]byte(body))
	}
	sendNow(w)
}

// sendNow sends what there is of an answer of the plugin's own: the app may take
// its time over the one that is dropped.
func sendNow(w *responseWriter) {
	if flusher, ok := w.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}

// serveRefresh answers a request for the refresh path, or notes what is to become
// of the answer from behind. It reports whether it has answered.
func serveRefresh(w *responseWriter, req *http.Request) bool {
	// Traefik makes an ampersand of each semicolon in URL.RawQuery, and none here.
	_, query, _ := strings.Cut(req.RequestURI, "?")
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		refuseMethod(w)
		return true
	}
	if !isNavigation(req.Header) {
		if query == "probe" {
			// ForwardAuth sets it in this very map, and leaves a client's own alone
			// unless it is told to.
			req.Header.Del(tokenHeader)
			w.kind, w.asked = kindProbe, req.Header
		}
		return false
	}
	w.elsewhere = sentFromElsewhere(req.Header)
	if query == "login" {
		w.kind = kindLogin
		return false
	}
	rd := rdValues(query)
	if len(rd) == 0 {
		// Asking first would set off a login that the page could not follow.
		answerPage(w)
		return true
	}
	w.returnTo = returnPath(w.h, rd)
	return false
}

// rdValues returns the values of rd in query as they were sent: Go leaves out what
// has a semicolon in it. One that cannot be read is empty, which leads nowhere.
func rdValues(query string) []string {
	pairs := strings.SplitN(query, "&", maxPairs+1)
	if len(pairs) > maxPairs {
		return []string{""}
	}
	var values []string
	for _, pair := range pairs {
		name, sent, _ := strings.Cut(pair, "=")
		if name, _ = url.QueryUnescape(name); name == "rd" {
			value, _ := url.QueryUnescape(sent) // empty with an error
			values = append(values, value)
		}
	}
	return values
}

// answerProbe tells whether the session is good, and for how many seconds yet if
// that is known: seconds, as the browser's clock may be wrong. The members are
// those of an introspection (RFC 7662, section 2.2) and of a token response (RFC
// 6749, section 5.1). None of the auth server's headers stays: the cookie of a
// refused probe would end a login that is under way in another tab.
func answerProbe(w *responseWriter, active bool) {
	header := replaceHeader(w)
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	body := `{"active":` + strconv.FormatBool(active)
	if token := w.asked[tokenHeader]; active && len(token) == 1 {
		if left, known := secondsLeft(token[0], time.Now()); known {
			body += `,"expires_in":` + strconv.FormatInt(left, 10)
		}
	}
	answer(w, http.StatusOK, body+"}")
}

// secondsLeft returns how many whole seconds there are until a token ends (RFC
// 7519, section 4.1.4), and whether it tells. Nothing is verified: it comes from
// the auth server.
func secondsLeft(token string, now time.Time) (int64, bool) {
	if len(token) > maxToken || strings.Count(token, ".") != 2 {
		return 0, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		return 0, false
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return 0, false
	}
	left := claims.Exp - float64(now.UnixMilli())/1000
	if left < 0 || left > maxLifetime {
		return 0, false
	}
	return int64(left), true
}

// answerRefreshed ends a visit to the refresh path that brought no login: a
// person goes back to the page they left, a script is told that there is
// nothing to read.
func answerRefreshed(w *responseWriter) {
	header := replaceHeader(w)
	status := http.StatusNoContent
	if w.returnTo != "" {
		status = http.StatusSeeOther
		header.Set("Location", w.returnTo)
		header.Set("Content-Length", "0")
	}
	w.ResponseWriter.WriteHeader(status)
	sendNow(w)
}

// refuseMethod answers 405 for what the refresh path cannot do.
func refuseMethod(w *responseWriter) {
	header := replaceHeader(w)
	header.Set("Allow", "GET, HEAD")
	header.Set("Content-Type", "text/plain; charset=utf-8")
	w.ResponseWriter.WriteHeader(http.StatusMethodNotAllowed)
	_, _ = w.ResponseWriter.Write([]byte("The session is renewed with GET.\n"))
}

// isWorkerScript reports whether the browser asks for a service worker's script
// (Service Workers, section 5.1.1, Service-Worker), which no worker answers.
// Firefox marks the scripts that a worker imports alike, against the standard,
// when it looks for an update, and takes what differs from its copies for one.
func isWorkerScript(req *http.Request) bool {
	value, dest := req.Header["Service-Worker"], req.Header.Get("Sec-Fetch-Dest")
	return len(value) == 1 && value[0] == "script" && req.Method == http.MethodGet && (dest == "" || dest == "serviceworker")
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

// isPlainScript reports whether a body with this header is JavaScript that text
// can be put in front of.
func isPlainScript(header http.Header) bool {
	essence, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	encoding := header.Get("Content-Encoding")
	return scriptTypes[strings.ToLower(strings.TrimSpace(essence))] && (encoding == "" || encoding == "identity")
}

// passScript sends the app's worker script on behind the refresh script.
func passScript(w *responseWriter) {
	header := w.Header()
	script := w.h.refreshScript
	if length, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64); err == nil {
		header.Set("Content-Length", strconv.FormatInt(length+int64(len(script)), 10))
	}
	// They tell about the app's script alone. Without them the browser compares
	// bytes, which is how it finds an update in any case.
	for _, name := range []string{"ETag", "Last-Modified", "Accept-Ranges", "Content-Digest", "Repr-Digest", "Digest"} {
		header.Del(name)
	}
	// A store that looks at the URL only would mix up what a page and what the
	// browser is given for it.
	header.Set("Cache-Control", "private, no-cache")
	header.Del("CDN-Cache-Control")
	header.Del("Surrogate-Control")
	allowRenewal(w.h, header)
	pass(w, http.StatusOK)
	_, _ = w.Write([]byte(script))
}

// answerRecovery answers with the recovery script in place of a login redirect.
func answerRecovery(w *responseWriter) {
	header := replaceHeader(w)
	header.Set("Content-Type", "text/javascript; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	// The worker in charge may have a scope that the app allows by this header.
	header.Set("Service-Worker-Allowed", "/")
	allowRenewal(w.h, header)
	answer(w, http.StatusOK, w.h.recoveryScript)
}

// allowRenewal lets a worker do what the refresh script does. A worker lives under
// the policies that its script comes with, and the app's pages keep theirs.
//
// The embedder policy (HTML, section 7.1.4) goes: under it the worker may not
// follow the renewal's redirects, as the auth server's answers do not opt in.
func allowRenewal(h *handler, header http.Header) {
	header.Del("Cross-Origin-Embedder-Policy")
	const name = "Content-Security-Policy"
	var widened []string
	for _, line := range header[name] {
		policies := strings.Split(line, ",")
		for i, policy := range policies {
			policies[i] = widenPolicy(policy, h.reachable)
		}
		widened = append(widened, strings.Join(policies, ","))
	}
	if widened != nil {
		header[name] = widened
	}
}

// widenPolicy returns policy with sources among what may be fetched, and all else
// as it was (CSP Level 3, section 6.1.2, connect-src). An app's policy may forbid
// its worker to ask for the session, to renew it and to send a request again. By
// this nothing becomes reachable but the app itself and the auth servers that are
// listed by their URLs.
func widenPolicy(policy string, sources []string) string {
	directives := strings.Split(policy, ";")
	var fallback []string
	for i, directive := range directives {
		words := strings.Fields(directive)
		if len(words) == 0 {
			continue
		}
		// Browsers ignore a name's second directive.
		switch name := strings.ToLower(words[0]); {
		case name == "connect-src":
			start := directive[:strings.Index(directive, words[0])]
			directives[i] = start + words[0] + " " + widenList(words[1:], sources)
			return strings.Join(directives, ";")
		case name == "default-src" && fallback == nil:
			fallback = words
		}
	}
	if fallback == nil {
		return policy
	}
	return policy + "; connect-src " + widenList(fallback[1:], sources)
}

// widenList returns a source list with sources in it, which are in lower case.
func widenList(list, sources []string) string {
	var widened []string
	present := map[string]bool{}
	for _, source := range list {
		lower := strings.ToLower(source)
		if lower != "'none'" {
			widened = append(widened, source)
			present[lower] = true
		}
	}
	for _, source := range sources {
		if !present[source] {
			widened = append(widened, source)
			present[source] = true
		}
	}
	return strings.Join(widened, " ")
}

// reachable returns the sources of CSP for the app itself and for the auth servers
// that have a host in logins.
func reachable(logins []loginURL) []string {
	sources := []string{"'self'"}
	for _, login := range logins {
		if login.host != "" {
			sources = append(sources, login.scheme+"://"+login.host)
		}
	}
	return sources
}

// startPath returns the path at which a login starts even while the session is
// good: the auth server's own on the app's host, empty if none is listed.
func startPath(logins []loginURL, authPaths []string) string {
	for _, login := range logins {
		if login.host == "" && underAny(authPaths, login.path) {
			return login.path
		}
	}
	return ""
}

// refreshScript returns the refresh script for these paths, or the recovery
// script.
func refreshScript(refreshPath string, authPaths []string, start string, recovery bool) string {
	// Strings and a bool always marshal, to what JavaScript reads as well.
	settings, _ := json.Marshal([]any{refreshPath, authPaths, start, recovery})
	arguments := strings.TrimSuffix(strings.TrimPrefix(string(settings), "["), "]")
	return workerScript + "(" + arguments + ");"
}

// page is what a visit to the refresh path shows that does not say where to go
// from there: its script finds out and goes on. It is the same for everyone, so
// it needs no session.
const page = `<!doctype html>
<html lang="en">` + pageContent

// pageElsewhere is page for a visit that was sent from elsewhere, of which its
// script must believe neither the fragment nor where the tab was before.
const pageElsewhere = `<!doctype html>
<html lang="en" data-elsewhere>` + pageContent

const pageContent = `
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Session expired</title>
<style>` + pageStyle + `</style>
<h1>Your session has expired</h1>
<p id="going">You are taken to the login, and from there back to where you were.
<p id="back" hidden>You have come back without being logged in.
<p><a href="?rd=/" id="login">Log in</a><span id="home"> and start at the home page if nothing happens</span>.
<script>` + pageScript + `</script>
</html>
`

const pageStyle = `body{font:1.1em/1.5 sans-serif;max-width:26em;margin:4em auto;padding:0 1em}`

// pagePolicy lets the page do what it does and nothing else (CSP Level 3).
var pagePolicy = "default-src 'none'; script-src " + sourceHash(pageScript) + "; style-src " + sourceHash(pageStyle) +
	"; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func sourceHash(source string) string {
	sum := sha256.Sum256([]byte(source))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// answerPage shows the page that finds the way back.
func answerPage(w *responseWriter) {
	header := replaceHeader(w)
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", pagePolicy)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	if w.elsewhere {
		answer(w, http.StatusOK, pageElsewhere)
		return
	}
	answer(w, http.StatusOK, page)
}

// replaceHeader readies the header of an answer of the plugin's own: what
// stood there before next was called, no-store, and CORS.
func replaceHeader(w *responseWriter) http.Header {
	w.replaced = true
	header := w.Header()
	for name := range header {
		delete(header, name)
	}
	for name, values := range w.preset {
		header[name] = values
	}
	header.Set("Cache-Control", "no-store")
	if w.h.cors != nil {
		setCORS(w.h.cors, header, w.origin)
	}
	return header
}

// finish ends what next may have left open.
func finish(w *responseWriter) {
	if !w.wroteHeader {
		writeHeader(w, http.StatusOK)
	}
	if !w.replaced {
		return
	}
	// The trailers of a dropped answer are none of the plugin's.
	for name := range w.Header() {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			delete(w.Header(), name)
		}
	}
}

// returnPath returns the path that a visit to the refresh path ends on: the one
// value of rd if it is a path of this host, outside of the refresh path and the
// auth server's, and / for everything else.
func returnPath(h *handler, rd []string) string {
	if len(rd) != 1 || len(rd[0]) > maxReturnPath || control.MatchString(rd[0]) {
		return "/"
	}
	target := notURLBytes.ReplaceAllStringFunc(rd[0], url.PathEscape)
	reading := target
	if end := strings.IndexAny(reading, "?#"); end >= 0 {
		reading = reading[:end]
	}
	// A proxy or an app may decode a path once more than it should, so every
	// reading of it has to be harmless. One with more layers is a trick.
	for i := 0; i < maxDecodings; i++ {
		if !staysOnHost(h, reading) {
			return "/"
		}
		// A browser resolves dot segments before anybody decodes, and counts
		// empty segments. Where that makes a difference they are a trick too.
		if dotSegment.MatchString(reading) && (i > 0 || strings.Contains(reading, "//")) {
			return "/"
		}
		decoded, err := url.PathUnescape(reading)
		if err != nil && i == 0 {
			return "/"
		}
		if err != nil || decoded == reading {
			return target
		}
		reading = decoded
	}
	return "/"
}

// staysOnHost reports whether p, taken as it stands, is a path that a browser
// and a server both look for on this host, outside of what is not the app's.
func staysOnHost(h *handler, p string) bool {
	if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.Contains(p, `\`) || control.MatchString(p) {
		return false
	}
	relative := path.Clean(p[1:])
	if relative == ".." || strings.HasPrefix(relative, "../") {
		return false
	}
	cleaned := path.Clean(p)
	return !under(h.refreshPath, cleaned) && !underAny(h.authPaths, cleaned)
}

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
	if len(values) == 0 {
		found.add(option, "", "without an entry no expired session is recognised", "leave the option out for Authentik's login URLs")
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
