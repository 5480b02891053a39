package providers

import (
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/traefik-reauth/reauth/e2e/authentik"
)

// standInHosts are the hosts of the login pages of what is not to be had as a program
// here. The apps behind them have the same names with -app.
var standInHosts = []string{autheliaHost, tinyauthHost}

const (
	loginForm = `<!doctype html><form method="post"><input name="username"><input name="password" type="password"><button>Log in</button></form>`
	// standInUser is who logs in there.
	standInUser = authentik.Username
)

// hasSession reports whether the request bears the cookie of a session.
func hasSession(req *http.Request, name string) bool {
	cookie, err := req.Cookie(name)
	return err == nil && cookie.Value == "good"
}

// passWith answers a good session's question.
func passWith(rw http.ResponseWriter) {
	rw.Header().Set("Remote-User", standInUser)
	rw.Header().Set("Remote-Email", standInUser+"@example.com")
	rw.WriteHeader(http.StatusOK)
}

// askedURL returns the URL that Traefik asks about.
func askedURL(req *http.Request) string {
	return req.Header.Get("X-Forwarded-Proto") + "://" + req.Header.Get("X-Forwarded-Host") + req.Header.Get("X-Forwarded-Uri")
}

// servePortal serves the page at which a login starts, sets the cookie and leads back
// to the URL in the parameter. The real pages do the last by a script.
func servePortal(rw http.ResponseWriter, req *http.Request, cookie, parameter string) {
	if req.Method == http.MethodPost && req.FormValue("password") == authentik.Password {
		http.SetCookie(rw, &http.Cookie{Name: cookie, Value: "good", Path: "/", Domain: "example.localhost", HttpOnly: true})
		http.Redirect(rw, req, req.URL.Query().Get(parameter), http.StatusSeeOther)
		return
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(rw, loginForm)
}

// authelia is a stand-in for Authelia, made from its source: the answers of the
// endpoint that Traefik asks, and a portal that knows one user. It shows nothing of
// Authelia's rules, second factors or sliding sessions.
type authelia struct{}

const autheliaCookie = "authelia_session"

func (authelia) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	if req.URL.Path != "/api/authz/forward-auth" {
		servePortal(rw, req, autheliaCookie, "rd")
		return
	}
	if hasSession(req, autheliaCookie) {
		passWith(rw)
		return
	}
	method := req.Header.Get("X-Forwarded-Method")
	location := shared.URL(autheliaHost) + "/?rd=" + url.QueryEscape(askedURL(req)) + "&rm=" + method
	status := http.StatusSeeOther
	switch accept := req.Header.Get("Accept"); {
	case req.Header.Get("X-Requested-With") == "XMLHttpRequest",
		!strings.Contains(accept, "text/html") && strings.Contains(accept, "application/json"):
		status = http.StatusUnauthorized
	case method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions:
		status = http.StatusFound
	}
	rw.Header().Set("Location", location)
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.WriteHeader(status)
	_, _ = io.WriteString(rw, `<a href="`+url.PathEscape(location)+`">`+http.StatusText(status)+`</a>`)
}

// tinyauth is a stand-in for tinyauth, made from its source like that for Authelia. It
// knows a browser by its name.
type tinyauth struct{}

const (
	tinyauthCookie = "tinyauth-session"
	programRefused = `{"message":"Unauthorized","status":401}`
)

func (tinyauth) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	if req.URL.Path != "/api/auth/traefik" {
		servePortal(rw, req, tinyauthCookie, "redirect_uri")
		return
	}
	if hasSession(req, tinyauthCookie) {
		passWith(rw)
		return
	}
	if !strings.Contains(req.Header.Get("User-Agent"), "Mozilla") {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(rw, programRefused)
		return
	}
	http.Redirect(rw, req, shared.URL(tinyauthHost)+"/login?redirect_uri="+url.QueryEscape(askedURL(req)), http.StatusTemporaryRedirect)
}
