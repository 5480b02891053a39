// Package visitor is a browser as far as HTTP goes, for tests in Go.
package visitor

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/traefik-reauth/reauth/e2e/authentik"
)

// How browsers mark their requests, on https and localhost.
var (
	Navigation = []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: text/html,*/*;q=0.8"}
	Fetch      = []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: */*"}
	ForWorker  = []string{"Service-Worker: script", "Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: serviceworker", "Accept: */*"}
)

// Challenge is the body of the plugin's 401, at the default refreshPath.
const Challenge = `{"status":"error","reason":"network-failure","details":"session-expired","refresh":"/_reauth"}`

// Visitor is one browser profile: cookies and connections. What goes wrong on
// the way ends its test.
type Visitor struct {
	T   testing.TB
	Jar *cookiejar.Jar

	transport http.RoundTripper
}

// New returns a visitor without cookies.
func New(t testing.TB, transport http.RoundTripper) *Visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &Visitor{t, jar, transport}
	t.Cleanup(v.client().CloseIdleConnections)
	return v
}

func (v *Visitor) client() *http.Client {
	return &http.Client{Transport: v.transport, Jar: v.Jar, Timeout: 20 * time.Second}
}

// Cookie returns the value of a cookie at target, empty if there is none.
func (v *Visitor) Cookie(target, name string) string {
	v.T.Helper()
	u, err := url.Parse(target)
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

// Response is an answer that was read to its end.
type Response struct {
	*http.Response
	Text string
}

// IsChallenge reports whether r is the plugin's 401.
func (r Response) IsChallenge() bool {
	return r.StatusCode == http.StatusUnauthorized &&
		strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Reauth ") &&
		(r.Text == Challenge || r.Request.Method == http.MethodHead && r.Text == "") &&
		len(r.Cookies()) == 0 && r.Header.Get("Location") == ""
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
	return v.Do(Request(v.T, method, target, body, headers...), false)
}

// Visit sends a GET and follows redirects.
func (v *Visitor) Visit(target string, headers ...string) Response {
	v.T.Helper()
	return v.Do(Request(v.T, http.MethodGet, target, "", headers...), true)
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

// Submit sends the login or consent form of a page.
func (v *Visitor) Submit(page Response) Response {
	v.T.Helper()
	form := url.Values{"username": {authentik.Username}, "password": {authentik.Password}}
	headers := append([]string{"Content-Type: application/x-www-form-urlencoded"}, Navigation...)
	return v.Do(Request(v.T, http.MethodPost, page.Request.URL.String(), form.Encode(), headers...), true)
}
