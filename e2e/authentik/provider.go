package authentik

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"

	"github.com/traefik-reauth/reauth/e2e/fault"
)

const (
	ssoCookie       = "authentik_session"
	authorizePath   = "/application/o/authorize/"
	loginFlowPath   = "/if/flow/default-authentication-flow/"
	consentFlowPath = "/if/flow/default-provider-authorization-explicit-consent/"
)

// IdentityProvider returns the handler of the host that browsers log in at. Besides what
// Authentik has there, POST /-/expire with session=proxy, sso or both is the
// control endpoint that ends sessions.
func (s *Server) IdentityProvider() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+authorizePath, s.authorize)
	mux.HandleFunc("GET "+loginFlowPath, func(rw http.ResponseWriter, _ *http.Request) {
		showPage(rw, http.StatusOK, page{Title: "Log in", Ask: true})
	})
	mux.HandleFunc("POST "+loginFlowPath, s.logIn)
	mux.HandleFunc("GET "+consentFlowPath, func(rw http.ResponseWriter, _ *http.Request) {
		showPage(rw, http.StatusOK, page{Title: "Continue to the app?"})
	})
	mux.HandleFunc("POST "+consentFlowPath, s.consent)
	mux.HandleFunc("GET /application/o/app/end-session/", func(rw http.ResponseWriter, _ *http.Request) {
		showPage(rw, http.StatusOK, page{Title: "You have logged out of the app", Done: true})
	})
	mux.HandleFunc("POST /-/expire", s.expire)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if policy := s.resourcePolicy(); policy != "" {
			rw.Header().Set("Cross-Origin-Resource-Policy", policy)
		}
		mux.ServeHTTP(rw, r)
	})
}

// resourcePolicy returns what any of the behaviours says of it.
func (s *Server) resourcePolicy() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, behaviour := range s.behaviour {
		if behaviour.ResourcePolicy != "" {
			return behaviour.ResourcePolicy
		}
	}
	return ""
}

// expire is the control endpoint.
func (s *Server) expire(rw http.ResponseWriter, r *http.Request) {
	if err := s.Expire(r.FormValue("session")); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	rw.WriteHeader(http.StatusNoContent)
}

// request returns the application that an authorization request is for, if its
// redirect_uri is the one that is registered.
func (s *Server) request(query url.Values) (App, bool) {
	for _, app := range s.apps {
		if app.clientID() == query.Get("client_id") {
			return app, query.Get("redirect_uri") == app.callbackURL() && query.Get("response_type") == "code"
		}
	}
	return App{}, false
}

func (s *Server) hasSSO(r *http.Request) bool {
	cookie, err := r.Cookie(ssoCookie)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sso[cookie.Value]
}

// authorize redirects straight back while the SSO session lives and consent is
// implicit, and to a page of a flow otherwise.
func (s *Server) authorize(rw http.ResponseWriter, r *http.Request) {
	app, ok := s.request(r.URL.Query())
	if !ok {
		showPage(rw, http.StatusBadRequest, page{Title: "Redirect URI Error", Done: true})
		return
	}
	if s.meet(rw, r, app.Host(), app.AuthURL+r.URL.RequestURI(), func(b Behaviour) fault.Fault { return b.LoginFault }) {
		return
	}
	s.mu.Lock()
	explicit := s.behaviour[app.Host()].ExplicitConsent
	s.mu.Unlock()
	next := "?next=" + url.QueryEscape(r.URL.RequestURI())
	switch {
	case !s.hasSSO(r):
		http.Redirect(rw, r, loginFlowPath+next, http.StatusFound)
	case explicit:
		http.Redirect(rw, r, consentFlowPath+next, http.StatusFound)
	default:
		s.grant(rw, r, app, r.URL.Query().Get("state"))
	}
}

// grant ends an authorization request with a code.
func (s *Server) grant(rw http.ResponseWriter, r *http.Request, app App, state string) {
	code := token()
	s.mu.Lock()
	s.codes[code] = app.clientID()
	s.mu.Unlock()
	http.Redirect(rw, r, app.callbackURL()+"&code="+code+"&state="+url.QueryEscape(state), http.StatusFound)
}

// next returns the authorization request that a flow interrupts.
func (s *Server) next(r *http.Request) (*url.URL, bool) {
	next, err := url.Parse(r.URL.Query().Get("next"))
	return next, err == nil && next.Host == "" && next.Path == authorizePath
}

func (s *Server) logIn(rw http.ResponseWriter, r *http.Request) {
	next, ok := s.next(r)
	switch {
	case !ok:
		showPage(rw, http.StatusBadRequest, page{Title: "Nothing to continue to", Done: true})
		return
	case r.FormValue("username") != Username || r.FormValue("password") != Password:
		showPage(rw, http.StatusOK, page{Title: "Invalid password", Ask: true})
		return
	}
	id := token()
	s.mu.Lock()
	s.sso[id] = true
	s.logins++
	s.mu.Unlock()
	http.SetCookie(rw, &http.Cookie{Name: ssoCookie, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(rw, r, next.String(), http.StatusFound)
}

func (s *Server) consent(rw http.ResponseWriter, r *http.Request) {
	next, ok := s.next(r)
	if !ok || !s.hasSSO(r) {
		showPage(rw, http.StatusBadRequest, page{Title: "Nothing to continue to", Done: true})
		return
	}
	app, ok := s.request(next.Query())
	if !ok {
		showPage(rw, http.StatusBadRequest, page{Title: "Redirect URI Error", Done: true})
		return
	}
	s.grant(rw, r, app, next.Query().Get("state"))
}

// page is what the pages of the identity provider show.
type page struct {
	Title string
	Ask   bool // for name and password
	Done  bool // nothing is left to do
}

var pageTemplate = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{{.Title}} - authentik stand-in</title>
<style>body { font: 1.1em sans-serif; max-width: 20em; margin: 4em auto } label, button { display: block; margin: 1em 0 }</style>
<h1>{{.Title}}</h1>
{{if not .Done}}<form method="post">
{{if .Ask}}<label>User name <input name="username" autocomplete="username" autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label>
{{end}}<button>Continue</button>
</form>{{end}}
</html>
`))

func showPage(rw http.ResponseWriter, status int, p page) {
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.Header().Set("Cache-Control", "no-store")
	rw.Header().Set("X-Frame-Options", "DENY")
	rw.WriteHeader(status)
	if err := pageTemplate.Execute(rw, p); err != nil {
		panic(fmt.Errorf("page %q: %w", p.Title, err))
	}
}
