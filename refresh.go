package reauth

// This file holds what becomes of answers: the writer that decides about them, what tells
// an expired session, the 401, the refresh path, and the scripts of workers.

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	control        = regexp.MustCompile(`[\x00-\x1f\x7f]`)
	dotSegment     = regexp.MustCompile(`/\.{1,2}(/|$)`)
	encoded        = regexp.MustCompile(`(%[0-9A-Fa-f]{2})+`)
	quotedSpecials = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
)

// responseWriter decides, when the status is known, whether the answer passes
// or the plugin's own takes its place.
//
// Handed to native code, an interpreted type shows the three methods of
// http.ResponseWriter and Hijack, and never Flush. So it flushes after every
// write: what is streamed stays streamed.
type responseWriter struct {
	http.ResponseWriter

	h    *handler
	kind kind
	// req is the request as it is handed on.
	req *http.Request
	// cors is what other origins may do, nil for nothing.
	cors *corsPolicy
	// origin is the value for Access-Control-Allow-Origin, empty for none.
	origin string
	// What makes the URL that was asked for, before anything rewrites it: see requestURL.
	host, path     string
	forwardedProto []string
	// returnTo is where a visit to the refresh path ends, empty for a fetch.
	returnTo string
	// elsewhere tells that a page of another origin sent the browser here, and framed
	// that it shows the refresh path in a frame.
	elsewhere bool
	framed    bool
	// marked tells whether the request's headerField was emptied, and said what forwardAuth
	// has made of it.
	marked bool
	said   verdict
	// uri is the path and the query of a visit, or of a request for the refresh path.
	uri string
	// preset holds the headers that stood before next was called.
	preset http.Header

	flusher     http.Flusher
	wroteHeader bool
	// replaced tells that the plugin has answered and all else is dropped.
	replaced bool
}

// WriteHeader passes informational statuses on and decides at the final one.
func (w *responseWriter) WriteHeader(status int) {
	if w.wroteHeader || status < 200 {
		writeOther(w, status)
		return
	}
	w.wroteHeader = true
	w.said = verdictOf(w, status)
	if status <= 299 && w.kind <= kindVisit {
		pass(w, status)
		return
	}
	decide(w, status)
}

// Write passes b on at once, or drops it if the plugin has answered.
func (w *responseWriter) Write(b []byte) (int, error) {
	if w.flusher == nil {
		return writeOdd(w, b)
	}
	n, err := w.ResponseWriter.Write(b)
	w.flusher.Flush()
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

// decide sends an answer with this status on, or what comes in its place.
func decide(w *responseWriter, status int) {
	if status > 299 && w.kind != kindNavigation && w.said != verdictPassed && isExpired(w, status) {
		replaceExpired(w, status)
		return
	}
	if w.kind <= kindVisit || !replaceServed(w, status) {
		pass(w, status)
	}
}

// replaceExpired answers in place of the auth server, which has answered with this status.
func replaceExpired(w *responseWriter, status int) {
	if w.req.Header["X-Forwarded-Prefix"] != nil {
		warnStripped(w.h)
	}
	switch w.kind {
	case kindVisit:
		answerVisit(w)
	case kindScript:
		answerRecovery(w)
	case kindProbe:
		answerProbe(w, false)
	case kindRefresh, kindLogin:
		if status == http.StatusUnauthorized {
			answerLogin(w)
		} else {
			pass(w, status)
		}
	default:
		answerChallenge(w)
	}
}

// replaceServed answers in place of the app, or puts the refresh script in front of its
// own. It reports whether it has.
func replaceServed(w *responseWriter, status int) bool {
	if w.kind == kindScript {
		return status == http.StatusOK && isScript(w.Header()) && prefixScript(w)
	}
	if !isGood(w, status) {
		return false
	}
	switch w.kind {
	case kindProbe:
		answerProbe(w, true)
	case kindLogin:
		answerPage(w)
	default:
		answerRefreshed(w)
	}
	return true
}

// isGood reports whether an answer that is no expired session's means a good one. Where
// nobody can tell, a server's error, a 401 and what Traefik has refused itself mean
// nothing. Of a provider whose login may be anywhere, no other refusal does.
func isGood(w *responseWriter, status int) bool {
	if w.said != verdictUnknown {
		return w.said == verdictPassed
	}
	if status <= 299 {
		return true
	}
	header := w.Header()
	if status >= 500 || status == http.StatusUnauthorized || !isFromServer(header) {
		return false
	}
	if w.h.auth.complete {
		return true
	}
	return status != http.StatusForbidden && status != http.StatusProxyAuthRequired && status != http.StatusTooManyRequests &&
		!(redirects[status] && leadsAway(requestURL(w), header.Get("Location")))
}

// redirects are the statuses whose Location a browser follows (RFC 9110, section 15.4).
var redirects = map[int]bool{
	http.StatusMovedPermanently:  true,
	http.StatusFound:             true,
	http.StatusSeeOther:          true,
	http.StatusTemporaryRedirect: true,
	http.StatusPermanentRedirect: true,
}

// writeOther passes on a status that is not the final one.
func writeOther(w *responseWriter, status int) {
	if w.replaced {
		return
	}
	if status == http.StatusSwitchingProtocols {
		w.wroteHeader = true
	}
	// The server's own complaint about a second status is the clearest.
	w.ResponseWriter.WriteHeader(status)
}

// writeOdd is Write where nothing was passed on yet, or nothing is, or the server cannot
// flush.
func writeOdd(w *responseWriter, b []byte) (int, error) {
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
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

// pass sends the status on, with the headers that came from upstream.
func pass(w *responseWriter, status int) {
	if w.cors != nil {
		setCORS(w.cors, w.Header(), w.origin)
	}
	w.ResponseWriter.WriteHeader(status)
	if flusher, ok := w.ResponseWriter.(http.Flusher); ok {
		w.flusher = flusher
		// The head of a stream says that it is open, before anything is sent. An
		// error or a redirect is no stream, and one without a body keeps the length
		// that the server works out for it.
		if status <= 299 && w.Header()["Content-Length"] == nil {
			flusher.Flush()
		}
	}
}

// replaceHeader readies the header of an answer of the plugin's own: what
// stood there before next was called, that nobody is to store it, and CORS. There is a
// CDN, Fastly, that takes no notice of no-store, but does of private.
func replaceHeader(w *responseWriter) http.Header {
	w.replaced = true
	header := w.Header()
	for name := range header {
		delete(header, name)
	}
	for name, values := range w.preset {
		header[name] = values
	}
	header.Set("Cache-Control", "private, no-store")
	if w.cors != nil {
		setCORS(w.cors, header, w.origin)
	}
	return header
}

// answer sends an answer of the plugin's own, whose header is ready.
func answer(w *responseWriter, status int, body string) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.ResponseWriter.WriteHeader(status)
	if w.req.Method != http.MethodHead {
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

// finish ends what next may have left open.
func finish(w *responseWriter) {
	if !w.wroteHeader {
		w.WriteHeader(http.StatusOK)
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

// verdict is what forwardAuth has made of a request, as far as that can be told.
type verdict int

const (
	verdictUnknown verdict = iota
	verdictPassed
	verdictRefused
)

// emptied is what a request's headerField is made: when forwardAuth lets the request pass
// it fills that in or takes it away, if it is among its authResponseHeaders, and leaves it
// alone when it refuses. No server sees a header without a value. One that has a value
// already is not the plugin's to take: the request may come from forwardAuth.
var emptied = []string{}

// learn hands a visit on as it is, and looks afterwards whether forwardAuth has touched
// the header. Visits come first, and what is refused next is certain then.
func learn(h *handler, rw http.ResponseWriter, req *http.Request) {
	header := req.Header
	if h.listed.Load() || header[h.headerField] != nil {
		h.next.ServeHTTP(rw, req)
		return
	}
	header[h.headerField] = emptied
	h.next.ServeHTTP(rw, req)
	if !isUntouched(header[h.headerField]) {
		h.listed.Store(true)
	}
}

// isUntouched reports whether forwardAuth has left alone what was emptied.
func isUntouched(values []string) bool { return values != nil && len(values) == 0 }

// verdictOf tells what the mark says.
func verdictOf(w *responseWriter, status int) verdict {
	if !w.marked {
		return verdictUnknown
	}
	values := w.req.Header[w.h.headerField]
	if len(values) == 0 && isUntouched(values) {
		return verdictOfUntouched(w, status)
	}
	if !w.h.listed.Load() {
		w.h.listed.Store(true)
	}
	return verdictPassed
}

// verdictOfUntouched tells what it means that nobody has touched the mark: a refusal, unless
// the header is not listed or something in between has copied the request. Then it is
// untouched beside a 2xx as well, which forwardAuth never refuses with.
func verdictOfUntouched(w *responseWriter, status int) verdict {
	// Traefik's own headers middleware answers preflights with 200.
	if status <= 299 && w.req.Method != http.MethodOptions {
		w.h.listed.Store(false)
		warnUnlisted(w.h)
	}
	if w.h.listed.Load() {
		return verdictRefused
	}
	return verdictUnknown
}

// warnUnlisted says, once, what makes the plugin certain.
func warnUnlisted(h *handler) {
	if h.unlisted.CompareAndSwap(false, true) {
		log.Printf("reauth: %s cannot tell for certain what forwardAuth refuses: list %s under its authResponseHeaders, "+
			"with neither retry nor buffering between the two, or set headerField to one that is listed", h.name, h.headerField)
	}
}

// isExpired reports whether an answer with this status and the headers in w is the auth
// server's to a session that is not good.
func isExpired(w *responseWriter, status int) bool {
	header := w.Header()
	known := w.said == verdictRefused && isFromServer(header)
	if !redirects[status] {
		return known && status == http.StatusUnauthorized && hasLogin(w, header)
	}
	location := header.Get("Location")
	target := requestURL(w)
	return known && leadsAway(target, location) || leadsToLogin(w.h, target, location, w.said == verdictRefused)
}

// hasLogin reports whether a 401 of the auth server's has a login for what comes next,
// and none that the browser shows by itself.
func hasLogin(w *responseWriter, header http.Header) bool {
	return header["Www-Authenticate"] == nil && (header.Get("Location") != "" || w.h.auth.bare401 && hasNext(w))
}

// hasNext reports whether a 401 alone can be answered: a visit, to the refresh path or in
// place of which its page goes on, and what follows it, has to come to a login.
func hasNext(w *responseWriter) bool {
	return w.h.startPath != "" || w.kind != kindRefresh && w.kind != kindLogin && w.kind != kindVisit
}

// isFromServer reports whether a refusal comes from a server, and was not made by Traefik
// itself, which dates nothing (RFC 9110, section 6.6.1).
func isFromServer(header http.Header) bool { return header["Date"] != nil }

// leadsAway reports whether location, found at target, is on another host.
func leadsAway(target *url.URL, location string) bool {
	u, err := target.Parse(location)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && canonicalHost(u) != canonicalHost(target)
}

// leadsToLogin reports whether location, found at target, is a login URL. Where it is
// not certain that the auth server said so, it has to come back to that.
func leadsToLogin(h *handler, target *url.URL, location string, certain bool) bool {
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
			return certain || comesBack(h, u)
		}
	}
	return false
}

// comesBack reports whether a login at u ends on a path of the auth server's,
// as far as u tells.
func comesBack(h *handler, u *url.URL) bool {
	query, err := url.ParseQuery(u.RawQuery)
	redirectURIs := query["redirect_uri"]
	if err != nil {
		// What cannot be parsed is missing from query, yet it was carried.
		redirectURIs = sentValues(u.RawQuery, "redirect_uri")
	}
	if len(redirectURIs) == 0 {
		return true
	}
	if len(redirectURIs) != 1 {
		return false
	}
	back, err := url.Parse(redirectURIs[0])
	return err == nil && h.authPath.MatchString(path.Clean("/"+back.Path))
}

// answerChallenge answers 401 (RFC 9110, section 15.5.2) in place of a login
// redirect. None of the redirect's headers stays: its cookies, one for each
// refused request, would end a login that is under way in another tab.
func answerChallenge(w *responseWriter) {
	header := replaceHeader(w)
	header.Set("WWW-Authenticate", w.h.challenge)
	header.Set("Content-Type", "application/json")
	if w.origin != "" {
		header["Access-Control-Expose-Headers"] = w.cors.exposeChallenge
	}
	answer(w, http.StatusUnauthorized, w.h.challengeBody)
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

// serveRefresh answers a request for the refresh path, or notes what is to become
// of the answer from upstream. It reports whether it has answered.
func serveRefresh(w *responseWriter, req *http.Request) bool {
	// Traefik makes an ampersand of each semicolon in URL.RawQuery, and none here.
	_, query, asks := strings.Cut(req.RequestURI, "?")
	w.uri = w.h.refreshPath
	if asks {
		w.uri += "?" + query
	}
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		refuseMethod(w)
		return true
	}
	if !isNavigation(req.Header.Get("Sec-Fetch-Mode"), req.Header) {
		if query == "probe" {
			// ForwardAuth sets it in this very map, and leaves a client's own alone
			// unless it is told to.
			req.Header.Del(tokenHeader)
			w.kind = kindProbe
		}
		if query == ownQuery && isWorkerScript(req) {
			answerOwnScript(w)
			return true
		}
		return false
	}
	w.elsewhere = sentFromElsewhere(req.Header)
	switch query {
	case "login":
		w.kind = kindLogin
		return false
	case "status":
		answerStatus(w)
		return true
	}
	rd := sentValues(query, "rd")
	if len(rd) == 0 {
		// Asking first would set off a login that the page could not follow.
		w.framed = isFramed(req.Header)
		answerPage(w)
		return true
	}
	w.returnTo = returnPath(w.h, rd)
	return false
}

// refuseMethod answers 405 for what the refresh path cannot do.
func refuseMethod(w *responseWriter) {
	header := replaceHeader(w)
	header.Set("Allow", "GET, HEAD")
	header.Set("Content-Type", "text/plain; charset=utf-8")
	w.ResponseWriter.WriteHeader(http.StatusMethodNotAllowed)
	_, _ = w.ResponseWriter.Write([]byte("The session is renewed with GET.\n"))
}

// warnStripped says, once, why nobody finds the refresh path or back from the login.
func warnStripped(h *handler) {
	if h.stripped.CompareAndSwap(false, true) {
		log.Printf("reauth: %s or forwardAuth receives requests whose path has lost a prefix: a browser then finds neither the "+
			"refresh path nor back from the login, so list stripPrefix after forwardAuth in the router's middlewares", h.name)
	}
}

// maxPairs is how many pairs of a query are searched for a name.
const maxPairs = 100

// sentValues returns the values of name in query as they were sent: Go leaves out what
// has a semicolon in it. One that cannot be read is empty, which leads nowhere.
func sentValues(query, name string) []string {
	pairs := strings.SplitN(query, "&", maxPairs+1)
	if len(pairs) > maxPairs {
		return []string{""}
	}
	var values []string
	for _, pair := range pairs {
		key, sent, _ := strings.Cut(pair, "=")
		if key, _ = url.QueryUnescape(key); key == name {
			value, _ := url.QueryUnescape(sent) // empty with an error
			values = append(values, value)
		}
	}
	return values
}

// maxReturnPath is the longest rd that is followed, in bytes. Servers refuse
// request lines much longer than this.
const maxReturnPath = 8192

// maxDecodings is how many times a path is decoded in search of tricks.
const maxDecodings = 4

// returnPath returns the path that a visit to the refresh path ends on: the one
// value of rd if it is a path of this host, outside of the refresh path and the
// auth server's, and the app's home page for everything else.
func returnPath(h *handler, rd []string) string {
	if len(rd) != 1 || len(rd[0]) > maxReturnPath || control.MatchString(rd[0]) {
		return homePath(h)
	}
	target := notURLBytes.ReplaceAllStringFunc(rd[0], url.PathEscape)
	reading := target
	if end := strings.IndexAny(reading, "?#"); end >= 0 {
		reading = reading[:end]
	}
	if _, err := url.PathUnescape(reading); err != nil {
		return homePath(h)
	}
	// A proxy or an app may decode a path once more than it should, so every
	// reading of it has to be harmless. One with more layers is a trick.
	for i := 0; i < maxDecodings; i++ {
		if !staysOnHost(h, reading) {
			return homePath(h)
		}
		// A browser resolves dot segments before anybody decodes, and counts
		// empty segments. Where that makes a difference they are a trick too.
		if dotSegment.MatchString(reading) && (i > 0 || strings.Contains(reading, "//")) {
			return homePath(h)
		}
		decoded := encoded.ReplaceAllStringFunc(reading, decode)
		if decoded == reading {
			return target
		}
		reading = decoded
	}
	return homePath(h)
}

// decode returns what stands encoded in s, which holds nothing else: Go refuses a percent
// sign that encodes no byte, and others leave it alone.
func decode(s string) string {
	decoded, _ := url.PathUnescape(s)
	return decoded
}

// homePath returns the path of the app's home page: the folder that the refresh path is
// in, as the app may be one of several on its host.
func homePath(h *handler) string {
	return h.refreshPath[:strings.LastIndexByte(h.refreshPath, '/')+1]
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
	// Decoded once too often, a path may end before a query.
	cleaned := path.Clean(p[:strings.IndexAny(p+"?", "?#")])
	return !under(h.refreshPath, cleaned) && !h.authPath.MatchString(cleaned)
}

// answerLogin sends the browser where the auth server's 401 means it to go, with the
// cookies that the login needs.
func answerLogin(w *responseWriter) {
	location, cookies := loginOf(w)
	redirect(w, http.StatusFound, location, cookies)
}

// redirect sends the browser elsewhere.
func redirect(w *responseWriter, status int, location string, cookies []string) {
	header := replaceHeader(w)
	header.Set("Location", location)
	header.Set("Content-Length", "0")
	keepCookies(header, cookies)
	w.ResponseWriter.WriteHeader(status)
	sendNow(w)
}

// keepCookies keeps an answer's cookies in one of the plugin's own.
func keepCookies(header http.Header, cookies []string) {
	if cookies != nil {
		header["Set-Cookie"] = cookies
	}
}

// goodCookies returns the cookies of an answer to a session that is good for certain,
// which the auth server may have renewed.
func goodCookies(w *responseWriter) []string {
	if w.said != verdictPassed {
		return nil
	}
	return w.Header()["Set-Cookie"]
}

// answerRefreshed ends a visit to the refresh path that brought no login: a
// person goes back to the page they left, a script is told that there is
// nothing to read.
func answerRefreshed(w *responseWriter) {
	cookies := goodCookies(w)
	if w.returnTo != "" {
		redirect(w, http.StatusSeeOther, w.returnTo, cookies)
		return
	}
	keepCookies(replaceHeader(w), cookies)
	w.ResponseWriter.WriteHeader(http.StatusNoContent)
	sendNow(w)
}

// tokenHeader is where Authentik's outpost puts the token of the session, whose
// end is the session's.
const tokenHeader = "X-Authentik-Jwt"

// maxToken is the longest token that is read, in bytes. No server takes a header
// much longer than this.
const maxToken = 16384

// maxLifetime is how far the end of a session may lie ahead, in seconds. A token
// that lives for more than ten years tells nothing about its session.
const maxLifetime = 10 * 365 * 24 * 60 * 60

// answerProbe tells whether the session is good, and for how many seconds yet if
// that is known: seconds, as the browser's clock may be wrong. The members are
// those of an introspection (RFC 7662, section 2.2) and of a token response (RFC
// 6749, section 5.1). No header stays but the cookies of a good answer: that of a
// refused one would end a login that is under way in another tab.
func answerProbe(w *responseWriter, active bool) {
	cookies := goodCookies(w)
	header := replaceHeader(w)
	keepCookies(header, cookies)
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	body := `{"active":` + strconv.FormatBool(active)
	if token := w.req.Header[tokenHeader]; active && len(token) == 1 {
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

// scriptTypes are the media types that a browser takes a worker's script in
// (https://mimesniff.spec.whatwg.org/#javascript-mime-type).
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

// isScript reports whether a body with this header is JavaScript.
func isScript(header http.Header) bool {
	essence, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	return scriptTypes[strings.ToLower(strings.TrimSpace(essence))]
}

// warnCompressed says, once, why an app goes without the refresh script.
func warnCompressed(h *handler) {
	if h.compressed.CompareAndSwap(false, true) {
		log.Printf("reauth: %s gets a service worker's script compressed, though it asks for it as it is, and cannot put the "+
			"refresh script in front: if a middleware after it compresses, list that one before it", h.name)
	}
}

// prefixScript sends the app's worker script on, with the refresh script in front. It
// reports whether it has: nothing can be put in front of what is compressed.
func prefixScript(w *responseWriter) bool {
	header := w.Header()
	if encoding := header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		warnCompressed(w.h)
		return false
	}
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
	// browser is given for it, and there are fields for some stores alone (RFC 9213,
	// section 2, and older ones).
	for name := range header {
		if strings.HasSuffix(name, "-Cache-Control") {
			header.Del(name)
		}
	}
	for _, name := range []string{"Edge-Control", "Surrogate-Control", "X-Accel-Expires"} {
		header.Del(name)
	}
	header.Set("Cache-Control", "private, no-cache")
	allowRenewal(w.h, header)
	pass(w, http.StatusOK)
	_, _ = w.Write([]byte(script))
	return true
}

// ownQuery is the query of the script of the plugin's own worker, at the refresh path.
const ownQuery = "reauth-worker"

// answerOwnScript answers with the script of the plugin's own worker, whoever asks: it
// holds nothing secret. Without the option, or at a refresh path that was given up, it is
// the script that takes the worker away.
func answerOwnScript(w *responseWriter) {
	script := retireSource
	if w.h.own && w.path == w.h.refreshPath {
		script = w.h.refreshScript
	}
	scriptHeader(w)
	answer(w, http.StatusOK, script)
}

// scriptHeader readies the header of a worker's script that is all the plugin's own. As
// it is not stored, an update is found at once.
func scriptHeader(w *responseWriter) http.Header {
	header := replaceHeader(w)
	header.Set("Content-Type", "text/javascript; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	return header
}

// answerRecovery answers with the recovery script in place of a login redirect.
func answerRecovery(w *responseWriter) {
	header := scriptHeader(w)
	// The worker in charge may have a scope that the app allows by this header.
	header.Set("Service-Worker-Allowed", "/")
	allowRenewal(w.h, header)
	answer(w, http.StatusOK, w.h.recoveryScript)
}

// allowRenewal lets a worker do what the refresh script does. A worker lives under
// the policies that its script comes with, and the app's pages keep theirs.
//
// The embedder policy (https://html.spec.whatwg.org/#coep) goes: under it the worker may not
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
// as it was (https://w3c.github.io/webappsec-csp/#directive-connect-src). An app's policy may forbid
// its worker to ask for the session, to renew it and to send a request again. By
// this nothing becomes reachable but the app itself and the auth servers that are
// listed by their URLs.
func widenPolicy(policy string, sources []string) string {
	directives := strings.Split(policy, ";")
	var fallback []string
	for i, directive := range directives {
		words := strings.Fields(directive)
		// Browsers ignore a directive that is not ASCII, and a name's second one.
		if len(words) == 0 || nonASCII.MatchString(directive) {
			continue
		}
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
func startPath(logins []loginURL, authPath *regexp.Regexp) string {
	for _, login := range logins {
		if login.host == "" && authPath.MatchString(login.path) {
			return login.path
		}
	}
	return ""
}

// refreshScript returns the refresh script for these settings, or the recovery
// script.
func refreshScript(refreshPath string, authPaths []string, start string, silent, recovery bool) string {
	// Strings and bools always marshal, to what JavaScript reads as well.
	settings, _ := json.Marshal([]any{refreshPath, authPaths, start, silent, recovery})
	arguments := strings.TrimSuffix(strings.TrimPrefix(string(settings), "["), "]")
	return refreshSource + "(" + arguments + ");"
}
