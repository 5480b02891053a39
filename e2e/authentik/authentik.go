// Package authentik stands for an Authentik server with its embedded outpost,
// which needs a PostgreSQL, a worker and minutes to start. It does what a proxy
// provider in forward auth mode does to a browser and to Traefik: the redirects,
// cookies, state checks and refusals, the unfriendly ones included. It does not
// stand for Authentik's flows, policies or user management: there is one user.
package authentik

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The one user of the identity provider.
const (
	Username = "demo"
	Password = "demo"
)

const (
	ssoCookie       = "authentik_session"
	callbackMark    = "X-authentik-auth-callback"
	outpostPrefix   = "/outpost.goauthentik.io"
	authorizePath   = "/application/o/authorize/"
	loginFlowPath   = "/if/flow/default-authentication-flow/"
	consentFlowPath = "/if/flow/default-provider-authorization-explicit-consent/"
)

// App is an application with a proxy provider in forward auth mode.
type App struct {
	// ExternalHost is the URL of the app, without a path; at domain level it is
	// the host that logins come back to for all apps.
	ExternalHost string
	// AuthURL is the URL of the Authentik server that browsers are sent to.
	AuthURL string
	// CookieDomain makes the provider one of the domain level: it is responsible
	// for every host of that domain, and they share one session. Empty for a
	// single application.
	CookieDomain string
}

// Behaviour is what can be changed while a Server runs. The zero value is a
// current Authentik with implicit consent.
type Behaviour struct {
	// StartRedirect makes the outpost redirect to its own start path, as old
	// versions and authSigninURL do, in place of the authorize endpoint.
	StartRedirect bool
	// DropQuery redirects to the start path with a return URL that lacks the query
	// of the refused request, as drafts of Authentik 2026.8 do.
	DropQuery bool
	// ExplicitConsent shows a page even while the SSO session lives.
	ExplicitConsent bool
	// Status, if not 0, is what the forward auth endpoint answers everything
	// with, without a session or a cookie.
	Status int
	// ResourcePolicy, if not empty, is the Cross-Origin-Resource-Policy of whatever
	// the identity provider answers, for every host alike.
	ResourcePolicy string
}

// Server is the stand-in. Its methods may be called at any time.
type Server struct {
	apps          []App
	tokenValidity time.Duration
	secret        []byte

	mu        sync.Mutex
	behaviour map[string]Behaviour // by host of the app
	// sessions are the outpost's, by the value of their cookie.
	sessions map[string]*session
	// sso holds the sessions at the identity provider.
	sso map[string]bool
	// codes are authorization codes that are not yet redeemed, by client.
	codes  map[string]string
	asked  map[string]int
	logins int
	due    expiry
}

// expiry is an end of sessions that waits for a request.
type expiry struct{ kind, path string }

// session is a session at the outpost: one that waits for its login, or one
// that has claims until they expire.
type session struct {
	clientID string
	expires  time.Time // zero before the login
}

func (s session) loggedIn() bool { return !s.expires.IsZero() }

// New returns a Server for apps whose proxy sessions live for tokenValidity.
func New(tokenValidity time.Duration, apps ...App) *Server {
	return &Server{
		apps:          apps,
		tokenValidity: tokenValidity,
		secret:        []byte(token()),
		behaviour:     map[string]Behaviour{},
		sessions:      map[string]*session{},
		sso:           map[string]bool{},
		codes:         map[string]string{},
		asked:         map[string]int{},
	}
}

// SetBehaviour changes how the provider acts towards host and returns how it
// acted before; host carries a port that is not the scheme's default. What the
// authorize endpoint does goes by the provider's external host.
func (s *Server) SetBehaviour(host string, b Behaviour) (before Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.behaviour[host] = s.behaviour[host], b
	return before
}

// Asked returns how many requests for host the forward auth endpoint has seen.
func (s *Server) Asked(host string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[host]
}

// Logins returns how many times a password was accepted.
func (s *Server) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// ExpireSession ends the outpost session with the given cookie value, as the
// end of its token does. It reports whether there was one with a login.
func (s *Server) ExpireSession(cookie string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.sessions[cookie]
	delete(s.sessions, cookie)
	return ok && found.loggedIn()
}

// ExpireSessions ends every outpost session that has had its login.
func (s *Server) ExpireSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.sessions, func(_ string, found *session) bool { return found.loggedIn() })
}

// ExpireSSO ends every session at the identity provider.
func (s *Server) ExpireSSO() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sso)
}

// Expire ends every session of a kind: proxy, sso or both.
func (s *Server) Expire(kind string) error {
	if err := checkKind(kind); err != nil {
		return err
	}
	if kind != "sso" {
		s.ExpireSessions()
	}
	if kind != "proxy" {
		s.ExpireSSO()
	}
	return nil
}

// ExpireAt is Expire once a request for path asks for its session, which that
// request is the first to miss. It replaces an earlier ExpireAt.
func (s *Server) ExpireAt(kind, path string) error {
	if err := checkKind(kind); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.due = expiry{kind, path}
	return nil
}

func checkKind(kind string) error {
	switch kind {
	case "proxy", "sso", "both":
		return nil
	}
	return fmt.Errorf("session %q is none of proxy, sso, both", kind)
}

// expireDue does what ExpireAt has promised, if path is what it waits for.
func (s *Server) expireDue(path string) {
	s.mu.Lock()
	due := s.due
	if due.kind == "" || due.path != path {
		s.mu.Unlock()
		return
	}
	s.due = expiry{}
	s.mu.Unlock()
	if err := s.Expire(due.kind); err != nil {
		panic(err) // ExpireAt has checked it
	}
}

// CookieName returns the name of the app's session cookie.
func (a App) CookieName() string {
	return "authentik_proxy_" + digest(a.clientID())[:8]
}

func (a App) clientID() string { return digest(a.ExternalHost)[:40] }

// digest returns an identifier that is the same for the same s.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// Host returns the host of the app, with a port that is not the default.
func (a App) Host() string {
	_, host, _ := strings.Cut(a.ExternalHost, "://")
	return host
}

func (a App) secure() bool { return strings.HasPrefix(a.ExternalHost, "https:") }

func (a App) callbackURL() string {
	return a.ExternalHost + outpostPrefix + "/callback?" + callbackMark + "=true"
}

func token() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
}

// state is what travels through the login: the session it belongs to, and the
// URL to come back to.
type state struct {
	SessionID string `json:"sid"`
	State     string `json:"state"`
	Redirect  string `json:"redirect"`
	jwt.RegisteredClaims
}

// Handler returns the handler of a whole Authentik server, whose one port serves
// the embedded outpost as well.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(outpostPrefix+"/", s.Outpost())
	mux.Handle("/", s.IdentityProvider())
	return mux
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
