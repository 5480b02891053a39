package authentik

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	appURL  = "https://app.example.com"
	authURL = "https://auth.example.com"
)

// traefik asks the outpost about a request for uri, as forwardAuth does.
func traefik(s *Server, uri string, cookies ...*http.Cookie) *http.Response {
	return forward(s, "traefik", "app.example.com", uri, nil, cookies...)
}

// forward asks an endpoint of the outpost about a request for uri on host.
func forward(s *Server, endpoint, host, uri string, header http.Header, cookies ...*http.Cookie) *http.Response {
	req := httptest.NewRequest("GET", "http://outpost/outpost.goauthentik.io/auth/"+endpoint, nil)
	maps.Copy(req.Header, header)
	req.Header.Set("X-Forwarded-Proto", "https")
	req.Header.Set("X-Forwarded-Host", host)
	req.Header.Set("X-Forwarded-Uri", uri)
	return ask(s.Handler(), req, cookies)
}

// outpost requests one of the outpost's own pages.
func outpost(s *Server, path string, cookies ...*http.Cookie) *http.Response {
	req := httptest.NewRequest("GET", appURL+path, nil)
	req.Header.Set("X-Forwarded-Proto", "https")
	return ask(s.Outpost(), req, cookies)
}

// idp requests a page of the identity provider, or posts form to it.
func idp(s *Server, target string, form url.Values, cookies ...*http.Cookie) *http.Response {
	req := httptest.NewRequest("GET", target, nil)
	if form != nil {
		req = httptest.NewRequest("POST", target, strings.NewReader(form.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return ask(s.IdentityProvider(), req, cookies)
}

func ask(h http.Handler, req *http.Request, cookies []*http.Cookie) *http.Response {
	for _, cookie := range cookies {
		req.AddCookie(cookie)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec.Result()
}

func newServer(validity time.Duration) *Server {
	return New(validity, App{ExternalHost: appURL, AuthURL: authURL})
}

func oneCookie(t *testing.T, res *http.Response) *http.Cookie {
	t.Helper()
	if len(res.Cookies()) != 1 {
		t.Fatalf("%s sets cookies %v", res.Status, res.Cookies())
	}
	return res.Cookies()[0]
}

// logIn goes through a whole login for uri and returns the outpost's cookie and
// the identity provider's.
func logIn(t *testing.T, s *Server, uri string) (proxy, sso *http.Cookie) {
	t.Helper()
	refused := traefik(s, uri)
	proxy = oneCookie(t, refused)
	flow := idp(s, refused.Header.Get("Location"), nil)
	loggedIn := idp(s, authURL+flow.Header.Get("Location"), url.Values{"username": {Username}, "password": {Password}})
	sso = oneCookie(t, loggedIn)
	granted := idp(s, authURL+loggedIn.Header.Get("Location"), nil, sso)
	back := outpost(s, strings.TrimPrefix(granted.Header.Get("Location"), appURL), proxy)
	if back.StatusCode != 302 || back.Header.Get("Location") != appURL+uri {
		t.Fatalf("the login ended with %s to %q", back.Status, back.Header.Get("Location"))
	}
	return oneCookie(t, back), sso
}

func TestRefusedRequestGetsACookieAndTheAuthorizeRedirect(t *testing.T) {
	s := newServer(5 * time.Minute)
	res := traefik(s, "/budget?a=1")
	cookie := oneCookie(t, res)
	if !strings.HasPrefix(cookie.Name, "authentik_proxy_") || len(cookie.Name) != len("authentik_proxy_")+8 ||
		!cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge != 300 {
		t.Errorf("cookie %+v", cookie)
	}
	u, err := res.Location()
	if err != nil || res.StatusCode != 302 || u.Host != "auth.example.com" || u.Path != "/application/o/authorize/" {
		t.Fatalf("%s to %v, %v", res.Status, u, err)
	}
	query := u.Query()
	if query.Get("redirect_uri") != appURL+"/outpost.goauthentik.io/callback?X-authentik-auth-callback=true" ||
		query.Get("response_type") != "code" || query.Get("client_id") == "" || query.Get("scope") == "" {
		t.Errorf("query %v", query)
	}
	var st state
	if _, _, err := jwt.NewParser().ParseUnverified(query.Get("state"), &st); err != nil || st.SessionID != cookie.Value || st.Redirect != appURL+"/budget?a=1" {
		t.Errorf("state %+v, %v", st, err)
	}
	if again := oneCookie(t, traefik(s, "/")); again.Value == cookie.Value {
		t.Error("two requests without a session got the same one")
	}
	if res := traefik(s, "/", cookie); len(res.Cookies()) != 0 {
		t.Errorf("a session that waits for its login was replaced: %v", res.Cookies())
	}
}

func TestGoodSessionNamesItsUserUntilItsTokenEnds(t *testing.T) {
	s := newServer(time.Hour)
	proxy, _ := logIn(t, s, "/budget")
	if proxy.MaxAge != 3600 {
		t.Errorf("cookie %+v", proxy)
	}
	res := traefik(s, "/", proxy)
	if res.StatusCode != 200 || res.Header.Get("X-authentik-username") != Username || len(res.Cookies()) != 0 {
		t.Fatalf("%s %v", res.Status, res.Header)
	}
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(res.Header.Get("X-authentik-jwt"), &claims); err != nil || time.Until(claims.ExpiresAt.Time) > time.Hour {
		t.Errorf("claims %+v, %v", claims, err)
	}
	if other := New(time.Hour, App{ExternalHost: appURL, AuthURL: authURL}); traefik(other, "/", proxy).StatusCode != 302 {
		t.Error("another server knows the session")
	}

	brief := newServer(0) // the token ends as it is given
	proxy, _ = logIn(t, brief, "/")
	if res := traefik(brief, "/", proxy); res.StatusCode != 302 || oneCookie(t, res).Value == proxy.Value {
		t.Errorf("after its end: %s %v", res.Status, res.Header)
	}
}

func TestCallbackRefusals(t *testing.T) {
	s := newServer(time.Hour)
	_, sso := logIn(t, s, "/")
	refused := traefik(s, "/")
	mine, foreign := oneCookie(t, refused), oneCookie(t, traefik(s, "/"))
	granted := idp(s, refused.Header.Get("Location"), nil, sso).Header.Get("Location")
	callback := strings.TrimPrefix(granted, appURL)
	for name, res := range map[string]*http.Response{
		"no session":      outpost(s, callback),
		"foreign session": outpost(s, callback, foreign),
		"forged state":    outpost(s, callback+"x", mine),
		"unknown code":    outpost(s, strings.Replace(callback, "code=", "code=x", 1), mine),
	} {
		if res.StatusCode != 400 {
			t.Errorf("%s: %s", name, res.Status)
		}
	}
	if res := outpost(s, callback, mine); res.StatusCode != 302 {
		t.Errorf("the right session: %s", res.Status)
	}
	if res := outpost(s, callback, mine); res.StatusCode != 400 {
		t.Errorf("the same code again: %s", res.Status)
	}
}

func TestCallbackOnAnyPath(t *testing.T) {
	s := newServer(time.Hour)
	_, sso := logIn(t, s, "/")
	refused := traefik(s, "/budget")
	granted := idp(s, refused.Header.Get("Location"), nil, sso).Header.Get("Location")
	_, query, _ := strings.Cut(granted, "?")
	if res := traefik(s, "/any/path?"+query, oneCookie(t, refused)); res.StatusCode != 302 || res.Header.Get("Location") != appURL+"/budget" {
		t.Errorf("%s to %q", res.Status, res.Header.Get("Location"))
	}
}

func TestStartRedirectAndItsReturnURL(t *testing.T) {
	s := newServer(time.Hour)
	s.SetBehaviour("app.example.com", Behaviour{StartRedirect: true})
	res := traefik(s, "/budget")
	if want := appURL + "/outpost.goauthentik.io/start?rd=https%3A%2F%2Fapp.example.com%2Fbudget"; res.Header.Get("Location") != want {
		t.Errorf("to %q", res.Header.Get("Location"))
	}
	for rd, want := range map[string]string{
		"https://app.example.com/budget?a=1": appURL + "/budget?a=1",
		"/budget":                            appURL + "/budget",
		"https://evil.example/":              appURL,
		"//evil.example/":                    appURL,
		"%":                                  appURL,
		"":                                   appURL,
	} {
		u, err := outpost(s, "/outpost.goauthentik.io/start?rd="+url.QueryEscape(rd)).Location()
		if err != nil {
			t.Fatal(err)
		}
		var st state
		if _, _, err := jwt.NewParser().ParseUnverified(u.Query().Get("state"), &st); err != nil || st.Redirect != want {
			t.Errorf("rd %q comes back to %q, %v", rd, st.Redirect, err)
		}
	}
}

func TestStartRedirectWithoutTheQuery(t *testing.T) {
	s := newServer(time.Hour)
	s.SetBehaviour("app.example.com", Behaviour{DropQuery: true})
	res := traefik(s, "/a%20b?rd=%2Fbudget")
	if want := appURL + "/outpost.goauthentik.io/start?rd=https%3A%2F%2Fapp.example.com%2Fa%2520b"; res.StatusCode != 302 || res.Header.Get("Location") != want {
		t.Errorf("%s to %q", res.Status, res.Header.Get("Location"))
	}
	oneCookie(t, res)
}

// ends returns when the session with this cookie ends.
func ends(t *testing.T, s *Server, proxy *http.Cookie) time.Time {
	t.Helper()
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(traefik(s, "/", proxy).Header.Get("X-authentik-jwt"), &claims); err != nil {
		t.Fatal(err)
	}
	return claims.ExpiresAt.Time
}

func TestLoginWhileTheSessionIsGoodMovesItsEnd(t *testing.T) {
	s := newServer(time.Hour)
	proxy, sso := logIn(t, s, "/")
	s.mu.Lock()
	s.sessions[proxy.Value].expires = time.Now().Add(time.Minute)
	s.mu.Unlock()
	started := outpost(s, "/outpost.goauthentik.io/start?rd="+url.QueryEscape("/_reauth"), proxy)
	if len(started.Cookies()) != 0 || !strings.HasPrefix(started.Header.Get("Location"), authURL+"/application/o/authorize/?") {
		t.Fatalf("%s to %q with %v", started.Status, started.Header.Get("Location"), started.Cookies())
	}
	if left := time.Until(ends(t, s, proxy)); left > time.Minute {
		t.Errorf("the start alone leaves the session %s", left)
	}
	granted := idp(s, started.Header.Get("Location"), nil, sso)
	back := outpost(s, strings.TrimPrefix(granted.Header.Get("Location"), appURL), proxy)
	if back.Header.Get("Location") != appURL+"/_reauth" || oneCookie(t, back).Value != proxy.Value {
		t.Errorf("the login ended with %s to %q and %v", back.Status, back.Header.Get("Location"), back.Cookies())
	}
	if left := time.Until(ends(t, s, proxy)); left < 59*time.Minute {
		t.Errorf("after the login the session has %s left", left)
	}
}

func TestResourcePolicyOfTheIdentityProvider(t *testing.T) {
	s := newServer(time.Hour)
	authorize := traefik(s, "/").Header.Get("Location")
	for _, want := range []string{"", "same-origin"} {
		s.SetBehaviour("app.example.com", Behaviour{ResourcePolicy: want})
		for _, target := range []string{authorize, authURL + loginFlowPath, authURL + "/missing"} {
			if got := idp(s, target, nil).Header.Get("Cross-Origin-Resource-Policy"); got != want {
				t.Errorf("%s: %q, want %q", target, got, want)
			}
		}
		if got := traefik(s, "/").Header.Get("Cross-Origin-Resource-Policy"); got != "" {
			t.Errorf("the outpost says %q", got)
		}
	}
}

func TestAuthorize(t *testing.T) {
	s := newServer(time.Hour)
	_, sso := logIn(t, s, "/")
	authorize := traefik(s, "/").Header.Get("Location")
	leadsTo := func(cookies ...*http.Cookie) string {
		u, err := idp(s, authorize, nil, cookies...).Location()
		if err != nil {
			t.Fatal(err)
		}
		return u.Path
	}
	if got := leadsTo(sso); got != "/outpost.goauthentik.io/callback" {
		t.Errorf("with an SSO session: %s", got)
	}
	s.SetBehaviour("app.example.com", Behaviour{ExplicitConsent: true})
	if got := leadsTo(sso); got != consentFlowPath {
		t.Errorf("with explicit consent: %s", got)
	}
	s.ExpireSSO()
	if got := leadsTo(sso); got != loginFlowPath {
		t.Errorf("without an SSO session: %s", got)
	}
	for _, wrong := range []string{
		strings.Replace(authorize, "app.example.com", "evil.example", 1),
		strings.Replace(authorize, "client_id=", "client_id=x", 1),
	} {
		if res := idp(s, wrong, nil, sso); res.StatusCode != 400 || res.Header.Get("Location") != "" {
			t.Errorf("%s: %s", wrong, res.Status)
		}
	}
	login := authURL + loginFlowPath + "?next=" + url.QueryEscape(strings.TrimPrefix(authorize, authURL))
	if res := idp(s, login, url.Values{"username": {Username}, "password": {"wrong"}}); res.StatusCode != 200 || len(res.Cookies()) != 0 {
		t.Errorf("a wrong password: %s", res.Status)
	}
	elsewhere := authURL + loginFlowPath + "?next=" + url.QueryEscape("https://evil.example/application/o/authorize/")
	if res := idp(s, elsewhere, url.Values{"username": {Username}, "password": {Password}}); res.StatusCode != 400 {
		t.Errorf("a login that leads elsewhere: %s", res.Status)
	}
}

func TestSignOutAndControlEndSessions(t *testing.T) {
	s := newServer(time.Hour)
	isGood := func(cookie *http.Cookie) bool { return traefik(s, "/", cookie).StatusCode == 200 }

	proxy, _ := logIn(t, s, "/")
	if res := outpost(s, "/outpost.goauthentik.io/sign_out", proxy); res.StatusCode != 302 || oneCookie(t, res).MaxAge >= 0 || isGood(proxy) {
		t.Errorf("after sign_out: %s", res.Status)
	}
	waiting := oneCookie(t, traefik(s, "/"))
	s.ExpireSessions()
	if res := traefik(s, "/", waiting); len(res.Cookies()) != 0 {
		t.Error("a session that waits for its login has no token to expire, and ended")
	}
	for _, which := range []string{"proxy", "sso", "both"} {
		proxy, sso := logIn(t, s, "/")
		if res := idp(s, authURL+"/-/expire", url.Values{"session": {which}}); res.StatusCode != 204 {
			t.Errorf("%s: %s", which, res.Status)
		}
		silent := idp(s, traefik(s, "/").Header.Get("Location"), nil, sso).Header.Get("Location")
		if isGood(proxy) != (which == "sso") || strings.Contains(silent, "/callback") != (which == "proxy") {
			t.Errorf("%s: session good %v, then to %s", which, isGood(proxy), silent)
		}
	}
	if res := idp(s, authURL+"/-/expire", url.Values{"session": {"all"}}); res.StatusCode != 400 {
		t.Errorf("an unknown session: %s", res.Status)
	}
}

func TestSessionsEndAtARequest(t *testing.T) {
	s := newServer(time.Hour)
	proxy, sso := logIn(t, s, "/")
	if err := s.ExpireAt("both", "/sync"); err != nil {
		t.Fatal(err)
	}
	if got := traefik(s, "/other", proxy).StatusCode; got != http.StatusOK {
		t.Errorf("before the request: got %d", got)
	}
	refused := traefik(s, "/sync?x=1", proxy)
	if refused.StatusCode != http.StatusFound {
		t.Errorf("at the request: got %d", refused.StatusCode)
	}
	if got := idp(s, refused.Header.Get("Location"), nil, sso).Header.Get("Location"); !strings.HasPrefix(got, loginFlowPath) {
		t.Errorf("the SSO session lives: got %q", got)
	}
	proxy, _ = logIn(t, s, "/")
	if got := traefik(s, "/sync", proxy).StatusCode; got != http.StatusOK {
		t.Errorf("it ends sessions more than once: got %d", got)
	}
	if err := s.ExpireAt("all", "/"); err == nil {
		t.Error("an unknown kind is accepted")
	}
}

func TestDomainLevelSharesOneSession(t *testing.T) {
	s := New(time.Hour,
		App{ExternalHost: authURL, AuthURL: authURL, CookieDomain: "example.com"},
		App{ExternalHost: "https://own.example.com", AuthURL: authURL})
	refused := forward(s, "traefik", "app.example.com", "/budget?a=1", nil)
	cookie := oneCookie(t, refused)
	u, err := refused.Location()
	if err != nil || cookie.Domain != "example.com" ||
		u.Query().Get("redirect_uri") != authURL+"/outpost.goauthentik.io/callback?X-authentik-auth-callback=true" {
		t.Fatalf("cookie %+v, to %v, %v", cookie, u, err)
	}
	login := idp(s, authURL+idp(s, u.String(), nil).Header.Get("Location"), url.Values{"username": {Username}, "password": {Password}})
	granted := idp(s, authURL+login.Header.Get("Location"), nil, oneCookie(t, login)).Header.Get("Location")
	callback := httptest.NewRequest("GET", granted, nil)
	callback.Header.Set("X-Forwarded-Proto", "https")
	back := ask(s.Handler(), callback, []*http.Cookie{cookie})
	if back.StatusCode != 302 || back.Header.Get("Location") != "https://app.example.com/budget?a=1" {
		t.Errorf("the login ended with %s to %q", back.Status, back.Header.Get("Location"))
	}
	for host, want := range map[string]int{
		"app.example.com":   200,
		"other.example.com": 200,
		"own.example.com":   302, // has a provider of its own
		"example.net":       404,
	} {
		if res := forward(s, "traefik", host, "/", nil, oneCookie(t, back)); res.StatusCode != want {
			t.Errorf("%s: %s", host, res.Status)
		}
	}
	if s.Asked("other.example.com") != 1 {
		t.Error("what was asked is not counted by its host")
	}
	domain := App{ExternalHost: authURL, CookieDomain: ".example.com"}
	for rd, want := range map[string]string{
		"https://app.example.com/budget": "https://app.example.com/budget",
		"https://evil.example/":          authURL,
		"https://example.net/":           authURL,
		"/budget":                        authURL, // of which host?
	} {
		if got := domain.returnURL(rd); got != want {
			t.Errorf("rd %q comes back to %q", rd, got)
		}
	}
}

func TestNginxEndpointNeverRedirects(t *testing.T) {
	s := newServer(time.Hour)
	proxy, _ := logIn(t, s, "/")
	for name, tt := range map[string]struct {
		header  http.Header
		cookies []*http.Cookie
		want    int
	}{
		"no session":        {http.Header{"X-Original-Uri": {"/budget"}}, nil, 401},
		"a session":         {http.Header{"X-Original-Uri": {"/budget"}}, []*http.Cookie{proxy}, 200},
		"the other header":  {http.Header{"X-Original-Url": {appURL + "/budget"}}, nil, 401},
		"neither":           {nil, []*http.Cookie{proxy}, 500},
		"the outpost's own": {http.Header{"X-Original-Uri": {"/outpost.goauthentik.io/start"}}, nil, 200},
	} {
		res := forward(s, "nginx", "app.example.com", "/", tt.header, tt.cookies...)
		if res.StatusCode != tt.want || len(res.Cookies()) != 0 {
			t.Errorf("%s: %s %v", name, res.Status, res.Header)
		}
	}
	if res := forward(s, "nginx", "example.net", "/", http.Header{"X-Original-Uri": {"/"}}); res.StatusCode != 404 {
		t.Errorf("another host: %s", res.Status)
	}
}

func TestRequestsThatWereNotForwarded(t *testing.T) {
	s := newServer(time.Hour)
	bare := httptest.NewRequest("GET", "http://outpost/outpost.goauthentik.io/auth/traefik", nil)
	if res := ask(s.Outpost(), bare, nil); res.StatusCode != 500 {
		t.Errorf("nothing forwarded: %s", res.Status)
	}
	foreign := httptest.NewRequest("GET", "http://outpost/outpost.goauthentik.io/auth/traefik", nil)
	foreign.Header.Set("X-Forwarded-Proto", "https")
	foreign.Header.Set("X-Forwarded-Host", "other.example.com")
	foreign.Header.Set("X-Forwarded-Uri", "/")
	if res := ask(s.Outpost(), foreign, nil); res.StatusCode != 404 {
		t.Errorf("another host: %s", res.Status)
	}
	s.SetBehaviour("app.example.com", Behaviour{Status: 503})
	if res := traefik(s, "/"); res.StatusCode != 503 || len(res.Cookies()) != 0 {
		t.Errorf("failing: %s", res.Status)
	}
}
