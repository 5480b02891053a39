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
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/traefik-reauth/reauth/e2e/fault"
)

// The one user of the identity provider.
const (
	Username = "demo"
	Password = "demo"
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
	// Fault is what is wrong with the forward auth endpoint, and LoginFault what is with
	// the authorize endpoint. What hangs goes on when the behaviour changes.
	Fault      fault.Fault
	LoginFault fault.Fault
}

// Server is the stand-in. Its methods may be called at any time.
type Server struct {
	apps          []App
	tokenValidity time.Duration
	secret        []byte

	mu        sync.Mutex
	behaviour map[string]Behaviour // by host of the app
	changed   chan struct{}        // closed when the behaviour towards some host changes
	hanging   map[string]int       // requests that hang, by host of the app
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

// New returns a Server for apps whose proxy sessions live for tokenValidity.
func New(tokenValidity time.Duration, apps ...App) *Server {
	return &Server{
		apps:          apps,
		tokenValidity: tokenValidity,
		secret:        []byte(token()),
		behaviour:     map[string]Behaviour{},
		changed:       make(chan struct{}),
		hanging:       map[string]int{},
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
	close(s.changed)
	s.changed = make(chan struct{})
	return before
}

// Hanging returns how many requests hang that are for host, or for a login there.
func (s *Server) Hanging(host string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hanging[host]
}

// meet has a fault happen that the behaviour towards host has, and reports whether that
// was all of the request.
func (s *Server) meet(rw http.ResponseWriter, r *http.Request, host, self string, which func(Behaviour) fault.Fault) bool {
	for {
		s.mu.Lock()
		happens, changed := which(s.behaviour[host]), s.changed
		if happens != fault.Hang {
			s.mu.Unlock()
			return happens.Meet(rw, r, self)
		}
		s.hanging[host]++
		s.mu.Unlock()
		goesOn := fault.AwaitEnd(r.Context(), changed)
		s.mu.Lock()
		s.hanging[host]--
		s.mu.Unlock()
		if !goesOn {
			return true
		}
	}
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

// Handler returns the handler of a whole Authentik server, whose one port serves
// the embedded outpost as well.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(outpostPrefix+"/", s.Outpost())
	mux.Handle("/", s.IdentityProvider())
	return mux
}
