package reauth

// This file holds the pages that a person may see: the one at the refresh path that goes
// through the login and back, what it is in place of a refused visit and in a frame, and
// the one that tells how things stand.

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/url"
	"strings"
)

// The pages are the same for everyone and need no session, but for the login of a visit.
// Their scripts find out the rest. What differs is told by attributes of the root: which
// paths are the login's, and what kind of visit it was.
const (
	// attrElsewhere is for a visit that was sent from elsewhere, of which the script must
	// believe neither the fragment nor where the tab was before.
	attrElsewhere = " data-elsewhere"
	// attrVisit is for a page in place of one of the app's, attrFramed for one in a frame.
	attrVisit  = " data-visit"
	attrFramed = " data-framed"
)

const pageMeta = `
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
`

const pageStyle = `body{font:1.1em/1.5 sans-serif;max-width:26em;margin:4em auto;padding:0 1em}`

const pageBody = `<title>Session expired</title>
<style>` + pageStyle + `</style>
<h1>Your session has expired</h1>
<p id="going">You are taken to the login, and from there back to where you were.
<p id="back" hidden>You have come back without being logged in.
<p id="in" hidden>You are logged in. What you asked for may be among your downloads.
<p><a href="?rd=" id="login">Log in</a><span id="home"> and start at the home page if nothing happens</span>.
` + pageScript

const framedBody = `<title>Session expired</title>
<style>` + pageStyle + `</style>
<h1>Your session has expired</h1>
<p><a href="?rd=" id="login" target="_blank">Log in</a> in another tab. Then it goes on here by itself.
` + pageScript

const visitBody = `<style>` + pageStyle + `</style>
<h1>You are not logged in</h1>
<p id="going">You are taken to the login, and from there to where you are going.
`

const pageScript = `<script>` + pageSource + `</script>
</html>
`

const statusBody = `<title>How reauth stands</title>
<style>` + statusStyle + `</style>
<h1>How reauth stands</h1>
<p id="app">
<dl aria-live="polite">
<dt>Session<dd id="session">is asked for
<dt>Service worker<dd id="worker">is asked for
<dt>Last renewal<dd id="renewal">
<dt>Login<dd id="trip">
<dt>In silence<dd id="silence">
</dl>
<p><button id="renew" disabled>Renew now</button> <button id="login">Log in</button>
<p id="done" role="status">
<noscript><p>This page takes JavaScript, as renewals do.</noscript>
<script>` + statusSource + `</script>
</html>
`

const statusStyle = `body{font:1.1em/1.5 sans-serif;max-width:36em;margin:3em auto;padding:0 1em}` +
	`h1{font-size:1.4em}dt{font-weight:bold;margin-top:.8em}dd{margin:0}button{font:inherit;padding:.4em 1em;margin:0 .4em .4em 0}` +
	`.good::before{content:"\2714\a0";color:#2a8a3a}.bad::before{content:"\2718\a0";color:#d33}`

// What each page may do, and nothing else (https://w3c.github.io/webappsec-csp/).
var (
	framedPolicy = policyOf(pageSource, pageStyle)
	pagePolicy   = framedPolicy + unframed
	visitPolicy  = pagePolicy + "; worker-src 'self'"
	statusPolicy = policyOf(statusSource, statusStyle) + unframed
)

const unframed = "; frame-ancestors 'none'"

func policyOf(script, style string) string {
	return "default-src 'none'; script-src " + sourceHash(script) + "; style-src " + sourceHash(style) +
		"; connect-src 'self'; base-uri 'none'; form-action 'none'"
}

func sourceHash(source string) string {
	sum := sha256.Sum256([]byte(source))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// pageTop returns how a page begins. A refresh path has no character that HTML knows, and
// a path of the auth server's no blank.
func pageTop(h *handler, attributes string) string {
	return `<!doctype html>
<html lang="en" data-refresh="` + h.refreshPath + `" data-auth="` + html.EscapeString(strings.Join(h.authPaths, " ")) + `"` + attributes + `>` + pageMeta
}

// showPage answers with a page.
func showPage(w *responseWriter, header http.Header, status int, policy, text string) {
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", policy)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	if policy != framedPolicy {
		header.Set("X-Frame-Options", "DENY")
	}
	answer(w, status, text)
}

// answerPage shows the page that finds the way back. In a frame it only offers a login in
// another tab, which any page may, so any page may have it in a frame.
func answerPage(w *responseWriter) {
	attributes := ""
	if w.elsewhere {
		attributes = attrElsewhere
	}
	if w.framed {
		showPage(w, replaceHeader(w), http.StatusOK, framedPolicy, pageTop(w.h, attributes+attrFramed)+framedBody)
		return
	}
	showPage(w, replaceHeader(w), http.StatusOK, pagePolicy, pageTop(w.h, attributes)+pageBody)
}

// answerVisit shows the page in place of a login redirect, so that it registers the
// plugin's own worker and goes on. It is a 401, which no cache and no worker of the app's
// takes for what the app has there. Without a script the browser follows the redirect as
// ever, with its cookies.
func answerVisit(w *responseWriter) {
	login, cookies := loginOf(w)
	header := replaceHeader(w)
	keepCookies(header, cookies)
	header.Set("WWW-Authenticate", w.h.challenge)
	attributes := attrVisit
	if w.elsewhere {
		attributes += attrElsewhere
	}
	escaped := html.EscapeString(login)
	showPage(w, header, http.StatusUnauthorized, visitPolicy, pageTop(w.h, attributes)+`<title>Log in</title>
<noscript><meta http-equiv="refresh" content="0;url=`+escaped+`"></noscript>
`+visitBody+`<p><a href="`+escaped+`" id="login">Log in</a> if nothing happens.
`+pageScript)
}

// loginOf returns the URL at which a refused request is to go on, and the cookies that the
// login needs.
func loginOf(w *responseWriter) (string, []string) {
	header := w.Header()
	location := header.Get("Location")
	if location == "" {
		// Two slashes at its start would make a host of it.
		location = w.h.startPath + "?rd=" + url.QueryEscape("/"+strings.TrimLeft(w.uri, "/"))
	}
	return location, header["Set-Cookie"]
}

// answerStatus shows the page that tells how things stand.
func answerStatus(w *responseWriter) {
	showPage(w, replaceHeader(w), http.StatusOK, statusPolicy, pageTop(w.h, "")+statusBody)
}

// isFramed reports whether a navigation is for a frame of another page
// (https://fetch.spec.whatwg.org/#concept-request-destination).
func isFramed(header http.Header) bool {
	dest := header.Get("Sec-Fetch-Dest")
	return dest != "" && dest != "document"
}

// isVisit reports whether a browser asks for a page to show in a tab, and says so: what
// says nothing may have no service worker. If a page of the app's went on where another site
// has begun, SameSite=Strict cookies would go along. And what is asked for beforehand
// (https://html.spec.whatwg.org/#the-sec-purpose-header) or beside an app's worker
// (https://w3c.github.io/ServiceWorker/#navigation-preload-manager) is not shown at once.
func isVisit(req *http.Request) bool {
	header := req.Header
	return req.Method == http.MethodGet && header.Get("Sec-Fetch-Dest") == "document" && header.Get("Sec-Fetch-Mode") == "navigate" &&
		header.Get("Sec-Fetch-Site") != "cross-site" && header["Sec-Purpose"] == nil && header["Service-Worker-Navigation-Preload"] == nil
}
