package oidc

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
)

// Sessions stands in front of a Proxy and ends its sessions when a test wants that. They
// are kept in cookies, which a browser does not send once they have ended: Sessions takes
// them out of the requests from then on.
type Sessions struct {
	provider *Provider
	proxy    http.Handler

	mu sync.Mutex
	// begun are the values of the cookies, each with whether it has ended.
	begun map[string]bool
	// dueKind and duePath are what ExpireAt waits for.
	dueKind, duePath string
}

// NewSessions returns what is served in place of proxy, whose SSO sessions are provider's.
func NewSessions(provider *Provider, proxy *Proxy) (*Sessions, error) {
	target, err := url.Parse(proxy.URL)
	if err != nil {
		return nil, err
	}
	s := &Sessions{provider: provider, begun: map[string]bool{}}
	s.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			// These are Traefik's, and say what oauth2-proxy is asked about.
			for name, values := range r.In.Header {
				if strings.HasPrefix(name, "X-Forwarded-") {
					r.Out.Header[name] = values
				}
			}
		},
		ModifyResponse: s.note,
	}
	return s, nil
}

// note keeps the sessions that begin with an answer.
func (s *Sessions) note(res *http.Response) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cookie := range res.Cookies() {
		if cookie.Name == SessionCookie && cookie.Value != "" {
			s.begun[cookie.Value] = false
		}
	}
	return nil
}

// ServeHTTP hands a request on to oauth2-proxy, without a session that has ended.
func (s *Sessions) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	asked, _, _ := strings.Cut(req.Header.Get("X-Forwarded-Uri"), "?")
	if err := s.expireDue(req.Context(), asked); err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	cookies := req.Cookies()
	req.Header.Del("Cookie")
	for _, cookie := range cookies {
		if !s.hasEnded(cookie) {
			req.AddCookie(cookie)
		}
	}
	s.proxy.ServeHTTP(rw, req)
}

func (s *Sessions) hasEnded(cookie *http.Cookie) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cookie.Name == SessionCookie && s.begun[cookie.Value]
}

// Expire ends every session of a kind: proxy, sso or both.
func (s *Sessions) Expire(kind string) error { return s.expire(context.Background(), kind) }

func (s *Sessions) expire(ctx context.Context, kind string) error {
	switch kind {
	case "proxy", "both":
		s.mu.Lock()
		for value := range s.begun {
			s.begun[value] = true
		}
		s.mu.Unlock()
	case "sso":
	default:
		return fmt.Errorf("session %q is none of proxy, sso, both", kind)
	}
	if kind == "proxy" {
		return nil
	}
	return s.provider.EndSessions(ctx)
}

// ExpireAt is Expire once a request for path asks for its session, which that request is
// the first to miss. It replaces an earlier ExpireAt.
func (s *Sessions) ExpireAt(kind, path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dueKind, s.duePath = kind, path
	return nil
}

func (s *Sessions) expireDue(ctx context.Context, path string) error {
	s.mu.Lock()
	kind, isDue := s.dueKind, s.duePath != "" && s.duePath == path
	if isDue {
		s.duePath = ""
	}
	s.mu.Unlock()
	if !isDue {
		return nil
	}
	return s.expire(ctx, kind)
}

// Logins returns how many times the password was accepted.
func (s *Sessions) Logins() int { return s.provider.Logins() }
