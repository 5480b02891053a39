package authentik

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/traefik-reauth/reauth/e2e/fault"
)

const (
	callbackMark  = "X-authentik-auth-callback"
	outpostPrefix = "/outpost.goauthentik.io"
)

// session is a session at the outpost: one that waits for its login, or one
// that has claims until they expire.
type session struct {
	clientID string
	expires  time.Time // zero before the login
}

func (s session) loggedIn() bool { return !s.expires.IsZero() }

// state is what travels through the login: the session it belongs to, and the
// URL to come back to.
type state struct {
	SessionID string `json:"sid"`
	State     string `json:"state"`
	Redirect  string `json:"redirect"`
	jwt.RegisteredClaims
}

// Outpost returns the handler of everything under /outpost.goauthentik.io/.
func (s *Server) Outpost() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(outpostPrefix+"/ping", func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc(outpostPrefix+"/auth/traefik", s.forwardAuth)
	mux.HandleFunc(outpostPrefix+"/auth/nginx", s.nginxAuth)
	mux.HandleFunc(outpostPrefix+"/start", s.withApp(func(rw http.ResponseWriter, r *http.Request, app App) {
		s.startLogin(rw, r, app, app.returnURL(r.URL.Query().Get("rd")))
	}))
	mux.HandleFunc(outpostPrefix+"/callback", s.withApp(s.callback))
	mux.HandleFunc(outpostPrefix+"/sign_out", s.withApp(s.signOut))
	return mux
}

// origin returns the origin of a request that Traefik forwarded, or asks about.
func origin(r *http.Request) url.URL {
	host := r.Header.Get("X-Forwarded-Host")
	if host == "" {
		host = r.Host
	}
	// Traefik forwards a WebSocket's request as ws or wss.
	return url.URL{Scheme: strings.Replace(r.Header.Get("X-Forwarded-Proto"), "ws", "http", 1), Host: host}
}

// app returns the application of a request: the one of its very host, else the
// one with the longest domain that it is of.
func (s *Server) app(r *http.Request) (App, bool) {
	asked := origin(r)
	var best App
	for _, app := range s.apps {
		if app.ExternalHost == asked.String() {
			return app, true
		}
		if app.covers(asked) && len(app.domain()) > len(best.domain()) {
			best = app
		}
	}
	return best, best != App{}
}

// covers reports whether u is on a host that a provider of the domain level is
// responsible for.
func (a App) covers(u url.URL) bool {
	scheme, _, _ := strings.Cut(a.ExternalHost, ":")
	return a.CookieDomain != "" && u.Scheme == scheme && strings.HasSuffix(u.Hostname(), a.domain())
}

// domain returns the cookie domain as cookies carry it.
func (a App) domain() string { return strings.TrimPrefix(a.CookieDomain, ".") }

func (s *Server) withApp(handle func(http.ResponseWriter, *http.Request, App)) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		app, ok := s.app(r)
		if !ok {
			http.Error(rw, "no application for this host", http.StatusNotFound)
			return
		}
		handle(rw, r, app)
	}
}

// forwardAuth answers Traefik's question about a request.
func (s *Server) forwardAuth(rw http.ResponseWriter, r *http.Request) {
	app, ok := s.app(r)
	uri, err := url.ParseRequestURI(r.Header.Get("X-Forwarded-Uri"))
	switch {
	case r.Header.Get("X-Forwarded-Host") == "" || err != nil:
		http.Error(rw, "the request was not forwarded", http.StatusInternalServerError)
		return
	case !ok:
		http.Error(rw, "no application for this host", http.StatusNotFound)
		return
	}
	s.expireDue(uri.Path)
	asked := origin(r)
	s.mu.Lock()
	s.asked[asked.Host]++
	s.mu.Unlock()
	if s.meet(rw, r, asked.Host, asked.String()+uri.String(), func(b Behaviour) fault.Fault { return b.Fault }) {
		return
	}
	s.mu.Lock()
	behaviour := s.behaviour[asked.Host]
	s.mu.Unlock()
	if behaviour.Status != 0 {
		http.Error(rw, "something went wrong", behaviour.Status)
		return
	}
	if uri.Query().Get(callbackMark) == "true" {
		r = r.Clone(r.Context())
		r.URL = uri
		s.callback(rw, r, app)
		return
	}
	if _, current, ok := s.session(r, app); ok && current.loggedIn() {
		s.identify(rw.Header(), app, current.expires)
		rw.WriteHeader(http.StatusOK)
		return
	}
	back := asked.String() + uri.String()
	if behaviour.DropQuery {
		back = app.ExternalHost + uri.EscapedPath()
	}
	if behaviour.StartRedirect || behaviour.DropQuery {
		s.ensureSession(rw, r, app)
		http.Redirect(rw, r, app.ExternalHost+outpostPrefix+"/start?rd="+url.QueryEscape(back), http.StatusFound)
		return
	}
	s.startLogin(rw, r, app, back)
}

// nginxAuth answers as nginx wants it, 200 or 401 and never a redirect. It goes
// by a header that nginx sets, and lets everything through that this says is a
// path of the outpost's own.
func (s *Server) nginxAuth(rw http.ResponseWriter, r *http.Request) {
	app, ok := s.app(r)
	original := r.Header.Get("X-Original-URI")
	if original == "" {
		original = r.Header.Get("X-Original-URL")
	}
	u, err := url.Parse(original)
	switch {
	case !ok:
		http.Error(rw, "no application for this host", http.StatusNotFound)
		return
	case original == "" || err != nil:
		http.Error(rw, "configuration error", http.StatusInternalServerError)
		return
	}
	if _, current, ok := s.session(r, app); ok && current.loggedIn() {
		s.identify(rw.Header(), app, current.expires)
		rw.WriteHeader(http.StatusOK)
		return
	}
	if strings.HasPrefix(u.Path, outpostPrefix) {
		rw.WriteHeader(http.StatusOK)
		return
	}
	http.Error(rw, "unauthorized request", http.StatusUnauthorized)
}

// identify sets the headers that tell the app who its user is.
func (s *Server) identify(header http.Header, app App, expires time.Time) {
	uid := digest(Username)
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer:    app.AuthURL + "/application/o/app/",
		Subject:   uid,
		ExpiresAt: jwt.NewNumericDate(expires),
	}).SignedString(s.secret)
	if err != nil {
		panic(err) // an HMAC key signs
	}
	header.Set("X-authentik-username", Username)
	header.Set("X-authentik-groups", "users")
	header.Set("X-authentik-email", Username+"@example.com")
	header.Set("X-authentik-name", "Demo User")
	header.Set("X-authentik-uid", uid)
	header.Set("X-authentik-jwt", signed)
}

// session returns the session that the request's cookie names and that has not
// ended.
func (s *Server) session(r *http.Request, app App) (string, session, bool) {
	cookie, err := r.Cookie(app.CookieName())
	if err != nil {
		return "", session{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.sessions[cookie.Value]
	if !ok || found.clientID != app.clientID() {
		return "", session{}, false
	}
	if found.loggedIn() && time.Now().After(found.expires) {
		delete(s.sessions, cookie.Value)
		return "", session{}, false
	}
	return cookie.Value, *found, true
}

// ensureSession returns the session of the request. Without one it makes one
// and sets its cookie: every refused request that has none gets its own.
func (s *Server) ensureSession(rw http.ResponseWriter, r *http.Request, app App) string {
	if id, _, ok := s.session(r, app); ok {
		return id
	}
	id := token()
	s.mu.Lock()
	s.sessions[id] = &session{clientID: app.clientID()}
	s.mu.Unlock()
	s.setCookie(rw, app, id, s.tokenValidity)
	return id
}

func (s *Server) setCookie(rw http.ResponseWriter, app App, value string, age time.Duration) {
	http.SetCookie(rw, &http.Cookie{
		Name:     app.CookieName(),
		Value:    value,
		Path:     "/",
		Domain:   app.domain(),
		MaxAge:   int(age.Seconds()),
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
		Secure:   app.secure(),
	})
}

// startLogin redirects to the authorize endpoint; back is where the login ends.
func (s *Server) startLogin(rw http.ResponseWriter, r *http.Request, app App, back string) {
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, state{
		SessionID:        s.ensureSession(rw, r, app),
		State:            token(),
		Redirect:         back,
		RegisteredClaims: jwt.RegisteredClaims{Issuer: app.issuer()},
	}).SignedString(s.secret)
	if err != nil {
		panic(err) // an HMAC key signs
	}
	query := url.Values{
		"client_id":     {app.clientID()},
		"redirect_uri":  {app.callbackURL()},
		"response_type": {"code"},
		"scope":         {"openid profile email ak_proxy"},
		"state":         {signed},
	}
	http.Redirect(rw, r, app.AuthURL+authorizePath+"?"+query.Encode(), http.StatusFound)
}

func (a App) issuer() string { return "goauthentik.io/outpost/" + a.clientID() }

// returnURL returns rd if it is on the external host, which a path is too, or on
// another host of the domain, and the external host for everything else.
func (a App) returnURL(rd string) string {
	u, err := url.Parse(rd)
	switch {
	case rd == "" || err != nil:
		return a.ExternalHost
	case a.CookieDomain != "" && strings.HasSuffix(u.Hostname(), a.domain()):
		return u.String()
	case a.CookieDomain != "":
		return a.ExternalHost
	case u.Host == "":
		return a.ExternalHost + u.RequestURI()
	case u.Host != a.Host():
		return a.ExternalHost
	}
	return u.String()
}

// callback ends a login: it redeems the code and gives the session its claims.
func (s *Server) callback(rw http.ResponseWriter, r *http.Request, app App) {
	query := r.URL.Query()
	var st state
	_, err := jwt.ParseWithClaims(query.Get("state"), &st, func(*jwt.Token) (any, error) { return s.secret, nil },
		jwt.WithIssuer(app.issuer()), jwt.WithValidMethods([]string{"HS256"}))
	if err != nil {
		http.Error(rw, "invalid state", http.StatusBadRequest)
		return
	}
	id, _, ok := s.session(r, app)
	if !ok || id != st.SessionID {
		http.Error(rw, "mismatched session ID", http.StatusBadRequest)
		return
	}
	code := query.Get("code")
	s.mu.Lock()
	waiting := s.sessions[id]
	redeemed := code != "" && s.codes[code] == app.clientID() && waiting != nil
	if redeemed {
		delete(s.codes, code)
		waiting.expires = time.Now().Add(s.tokenValidity)
	}
	s.mu.Unlock()
	if !redeemed {
		http.Error(rw, "failed to redeem code", http.StatusBadRequest)
		return
	}
	s.setCookie(rw, app, id, s.tokenValidity)
	http.Redirect(rw, r, st.Redirect, http.StatusFound)
}

// signOut ends the outpost session.
func (s *Server) signOut(rw http.ResponseWriter, r *http.Request, app App) {
	if id, _, ok := s.session(r, app); ok {
		s.ExpireSession(id)
	}
	s.setCookie(rw, app, "", -time.Second)
	http.Redirect(rw, r, app.AuthURL+"/application/o/app/end-session/", http.StatusFound)
}
