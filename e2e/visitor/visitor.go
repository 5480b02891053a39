// Package visitor is a browser as far as HTTP goes, for tests in Go.
package visitor

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/traefik-reauth/reauth/e2e/authentik"
	"github.com/traefik-reauth/reauth/e2e/stand"
)

// How browsers mark their requests, on https and localhost.
var (
	Navigation = []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: text/html,*/*;q=0.8"}
	Fetch      = []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: */*"}
	ForWorker  = []string{"Service-Worker: script", "Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: serviceworker", "Accept: */*"}
)

// Forged is what a client may say in the name of a proxy.
var Forged = []string{
	"Forwarded: for=192.0.2.1;host=evil.example;proto=http",
	"X-Forwarded-For: 192.0.2.1",
	"X-Forwarded-Host: evil.example",
	"X-Forwarded-Method: OPTIONS",
	"X-Forwarded-Port: 1",
	"X-Forwarded-Prefix: /evil",
	"X-Forwarded-Proto: http",
	"X-Forwarded-Server: evil",
	"X-Forwarded-Tls-Client-Cert: evil",
	"X-Forwarded-Tls-Client-Cert-Info: evil",
	"X-Forwarded-Uri: /evil?X-authentik-auth-callback=true",
	"X-Real-Ip: 192.0.2.1",
}

// Visitor is one browser profile: cookies and connections. What goes wrong on
// the way ends its test.
type Visitor struct {
	T   testing.TB
	Jar *cookiejar.Jar
	// App is the URL of the app whose paths may be targets, without a path. Empty
	// if targets are whole URLs.
	App       string
	Transport *http.Transport

	version Version // 0 for any
}

// Version is a version of HTTP.
type Version int

// The versions there are here.
const (
	HTTP1 Version = 1
	HTTP2 Version = 2
)

// New returns a visitor without cookies.
func New(t testing.TB, transport *http.Transport) *Visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &Visitor{T: t, Jar: jar, Transport: transport}
	t.Cleanup(v.client().CloseIdleConnections)
	return v
}

// At returns a visitor of a stand's app, without cookies. It speaks one version
// of HTTP, and takes no answer that came over another.
func At(t testing.TB, app string, version Version, trusted *tls.Config) *Visitor {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP1(version == HTTP1)
	protocols.SetHTTP2(version == HTTP2)
	v := New(t, &http.Transport{
		DialContext:     stand.Dial,
		TLSClientConfig: trusted,
		Protocols:       &protocols,
		// A test compares bytes as they were sent.
		DisableCompression: true,
	})
	v.App, v.version = app, version
	return v
}

// only lets no answer pass that came over another version of HTTP. A request without a
// name gets a browser's, by which some auth servers know one.
type only struct {
	*http.Transport
	version Version
}

func (o only) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header["User-Agent"] == nil {
		req = req.Clone(req.Context())
		req.Header.Set("User-Agent", "Mozilla/5.0")
	}
	res, err := o.Transport.RoundTrip(req)
	if err == nil && o.version != 0 && res.ProtoMajor != int(o.version) {
		return nil, errors.Join(fmt.Errorf("the answer came over %s", res.Proto), res.Body.Close())
	}
	return res, err
}

func (v *Visitor) client() *http.Client {
	return &http.Client{Transport: only{v.Transport, v.version}, Jar: v.Jar, Timeout: 20 * time.Second}
}

// URL returns the URL of a path of the app. What is a whole URL stays.
func (v *Visitor) URL(target string) string {
	if target == "" || target[0] == '/' {
		return v.App + target
	}
	return target
}

// Root returns the URL of the app's root.
func (v *Visitor) Root() *url.URL {
	v.T.Helper()
	u, err := url.Parse(v.URL("/"))
	if err != nil {
		v.T.Fatal(err)
	}
	return u
}

// Cookie returns the value of a cookie at target, empty if there is none.
func (v *Visitor) Cookie(target, name string) string {
	v.T.Helper()
	u, err := url.Parse(v.URL(target))
	if err != nil {
		v.T.Fatal(err)
	}
	for _, cookie := range v.Jar.Cookies(u) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

// Session returns the value of the app's session cookie, empty if there is none.
func (v *Visitor) Session() string { return v.Cookie("/", v.sessionCookie()) }

// SetSession sets the app's session cookie.
func (v *Visitor) SetSession(value string) {
	v.Jar.SetCookies(v.Root(), []*http.Cookie{{Name: v.sessionCookie(), Value: value}})
}

func (v *Visitor) sessionCookie() string { return authentik.App{ExternalHost: v.App}.CookieName() }

// Expire ends the app's proxy session, as the end of its token does.
func (v *Visitor) Expire(server *authentik.Server) {
	v.T.Helper()
	if !server.ExpireSession(v.Session()) {
		v.T.Fatal("there was no session to expire")
	}
}

// Request returns a request with headers like "Accept: */*".
func Request(t testing.TB, method, target, body string, headers ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	return req
}

// Open sends a request and leaves the body to the caller.
func (v *Visitor) Open(req *http.Request, follow bool) (*http.Response, error) {
	client := v.client()
	if !follow {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return client.Do(req)
}

// Do sends a request.
func (v *Visitor) Do(req *http.Request, follow bool) Response {
	v.T.Helper()
	res, err := v.Open(req, follow)
	if err != nil {
		v.T.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return Response{res, ""} // what follows is no body, and does not end
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		v.T.Fatal(err)
	}
	return Response{res, string(text)}
}

// Send sends one request and follows no redirect.
func (v *Visitor) Send(method, target, body string, headers ...string) Response {
	v.T.Helper()
	return v.Do(Request(v.T, method, v.URL(target), body, headers...), false)
}

// Visit sends a GET and follows redirects.
func (v *Visitor) Visit(target string, headers ...string) Response {
	v.T.Helper()
	return v.Do(Request(v.T, http.MethodGet, v.URL(target), "", headers...), true)
}

// LogIn visits target, logs in at the page it is sent to and returns where that
// ends.
func (v *Visitor) LogIn(target string) Response {
	v.T.Helper()
	asked := v.Visit(target, Navigation...)
	if !strings.Contains(asked.Text, `name="password"`) {
		v.T.Fatalf("%s led to %s %s, not to a login page", target, asked.Status, asked.Request.URL)
	}
	return v.Submit(asked)
}

// Enter logs in on the way to the app, and returns v with a good session.
func (v *Visitor) Enter() *Visitor {
	v.T.Helper()
	if landed := v.LogIn("/"); landed.StatusCode != http.StatusOK || landed.Request.URL.String() != v.URL("/") {
		v.T.Fatalf("the login led to %s %s: %s", landed.Status, landed.Request.URL, landed.Text)
	}
	return v
}

// Submit sends the login or consent form of a page.
func (v *Visitor) Submit(page Response) Response {
	v.T.Helper()
	form := url.Values{"username": {authentik.Username}, "password": {authentik.Password}}
	headers := append([]string{"Content-Type: application/x-www-form-urlencoded"}, Navigation...)
	return v.Do(Request(v.T, http.MethodPost, page.Request.URL.String(), form.Encode(), headers...), true)
}
