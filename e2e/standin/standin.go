// Package standin has stand-ins for forward-auth servers that are not to be had as
// programs here, made from their sources: what they answer Traefik, and a login that
// knows one user. They show nothing of the real ones' rules or second factors, and no
// session of theirs ends by itself.
package standin

import (
	"crypto/rand"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/traefik-reauth/reauth/e2e/authentik"
)

const (
	// User is who logs in.
	User = authentik.Username
	// Email is the address of User.
	Email = User + "@example.com"
	// Form is the page at which a login starts.
	Form = `<!doctype html><form method="post"><input name="username"><input name="password" type="password"><button>Log in</button></form>`
)

// The cookies of their sessions. Those of Authelia and tinyauth are for the domain above
// their own host, that of traefik-forward-auth for the app's host.
const (
	AutheliaCookie    = "authelia_session"
	TinyauthCookie    = "tinyauth-session"
	ForwardAuthCookie = "_forward_auth"
)

// hasSession reports whether the request bears the cookie of a session.
func hasSession(req *http.Request, name string) bool {
	cookie, err := req.Cookie(name)
	return err == nil && cookie.Value == "good"
}

// passWith answers a good session's question.
func passWith(rw http.ResponseWriter) {
	rw.Header().Set("Remote-User", User)
	rw.Header().Set("Remote-Email", Email)
	rw.WriteHeader(http.StatusOK)
}

// askedURL returns the URL that Traefik asks about.
func askedURL(req *http.Request) string {
	return req.Header.Get("X-Forwarded-Proto") + "://" + req.Header.Get("X-Forwarded-Host") + req.Header.Get("X-Forwarded-Uri")
}

// isLogin reports whether the request logs in. It shows the form otherwise.
func isLogin(rw http.ResponseWriter, req *http.Request) bool {
	if req.Method == http.MethodPost && req.FormValue("password") == authentik.Password {
		return true
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(rw, Form)
	return false
}

// servePortal serves the page at which a login starts, sets the cookie and leads back
// to the URL in the parameter. The real pages do the last by a script.
func servePortal(rw http.ResponseWriter, req *http.Request, cookie, parameter string) {
	if isLogin(rw, req) {
		host, _, _ := strings.Cut(req.Host, ":")
		_, domain, _ := strings.Cut(host, ".")
		http.SetCookie(rw, &http.Cookie{Name: cookie, Value: "good", Path: "/", Domain: domain, HttpOnly: true})
		http.Redirect(rw, req, req.URL.Query().Get(parameter), http.StatusSeeOther)
	}
}

// isRefusal reports whether Traefik asks, at path, about a request without a session. It
// answers what is anything else.
func isRefusal(rw http.ResponseWriter, req *http.Request, path, cookie, parameter string) bool {
	switch {
	case req.URL.Path != path:
		servePortal(rw, req, cookie, parameter)
	case hasSession(req, cookie):
		passWith(rw)
	default:
		return true
	}
	return false
}

// Authelia is a stand-in for Authelia. Its session does not slide.
type Authelia struct {
	// URL is where browsers find its portal.
	URL string
}

func (a Authelia) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	if !isRefusal(rw, req, "/api/authz/forward-auth", AutheliaCookie, "rd") {
		return
	}
	method := req.Header.Get("X-Forwarded-Method")
	location := a.URL + "/?rd=" + url.QueryEscape(askedURL(req)) + "&rm=" + method
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

// Tinyauth is a stand-in for tinyauth. It knows a browser by its name, as version 5 does.
// Version 4 goes by what is accepted, and answers alike.
type Tinyauth struct {
	// URL is where browsers find its page.
	URL string
}

// TinyauthRefusal is what tinyauth answers a program.
const TinyauthRefusal = `{"message":"Unauthorized","status":401}`

func (t Tinyauth) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	if !isRefusal(rw, req, "/api/auth/traefik", TinyauthCookie, "redirect_uri") {
		return
	}
	if !strings.Contains(req.Header.Get("User-Agent"), "Mozilla") {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(rw, TinyauthRefusal)
		return
	}
	http.Redirect(rw, req, t.URL+"/login?redirect_uri="+url.QueryEscape(askedURL(req)), http.StatusTemporaryRedirect)
}

// ForwardAuth is a stand-in for traefik-forward-auth, without an auth host. The answers
// to a login are asked about like anything else of the app, at /_oauth.
type ForwardAuth struct {
	// LoginURL is where browsers find the Provider that it sends them to.
	LoginURL string
}

const csrfCookie = "_forward_auth_csrf"

func (f ForwardAuth) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	asked, err := url.Parse(askedURL(req))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	if asked.Path == "/_oauth" {
		f.comeBack(rw, req, asked.Query())
		return
	}
	switch _, err := req.Cookie(ForwardAuthCookie); {
	case hasSession(req, ForwardAuthCookie):
		rw.Header().Set("X-Forwarded-User", Email)
		rw.WriteHeader(http.StatusOK)
	case err == nil:
		// A cookie that is none of its own, which it does not replace.
		http.Error(rw, "Not authorized", http.StatusUnauthorized)
	default:
		nonce := rand.Text()
		http.SetCookie(rw, &http.Cookie{Name: csrfCookie, Value: nonce, Path: "/", HttpOnly: true})
		query := url.Values{"redirect_uri": {asked.Scheme + "://" + asked.Host + "/_oauth"}, "response_type": {"code"}, "state": {nonce + ":" + asked.String()}}
		http.Redirect(rw, req, f.LoginURL+"?"+query.Encode(), http.StatusTemporaryRedirect)
	}
}

// comeBack ends a login that this browser began.
func (ForwardAuth) comeBack(rw http.ResponseWriter, req *http.Request, query url.Values) {
	nonce, target, _ := strings.Cut(query.Get("state"), ":")
	cookie, err := req.Cookie(csrfCookie)
	if err != nil || cookie.Value != nonce || query.Get("code") != "good" {
		http.Error(rw, "Not authorized", http.StatusUnauthorized)
		return
	}
	http.SetCookie(rw, &http.Cookie{Name: csrfCookie, Path: "/", MaxAge: -1})
	http.SetCookie(rw, &http.Cookie{Name: ForwardAuthCookie, Value: "good", Path: "/", HttpOnly: true})
	http.Redirect(rw, req, target, http.StatusTemporaryRedirect)
}

// Provider is a stand-in for the identity provider that ForwardAuth sends browsers to.
// While its SSO session lives it sends them back at once.
type Provider struct{}

const ssoCookie = "sso"

func (Provider) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	if !hasSession(req, ssoCookie) && !isLogin(rw, req) {
		return
	}
	http.SetCookie(rw, &http.Cookie{Name: ssoCookie, Value: "good", Path: "/", HttpOnly: true})
	asked := req.URL.Query()
	answer := url.Values{"code": {"good"}, "state": {asked.Get("state")}}
	http.Redirect(rw, req, asked.Get("redirect_uri")+"?"+answer.Encode(), http.StatusSeeOther)
}
