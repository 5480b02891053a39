package examples

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/traefik-reauth/reauth/e2e/authentik"
)

// browser is a browser as far as HTTP goes. It finds all hosts at Traefik, on
// the ports that URLs have by default.
type browser struct {
	t         *testing.T
	client    *http.Client
	websecure string // port
}

func newBrowser(t *testing.T, web, websecure int) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	ports := map[string]int{"80": web, "443": websecure}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			if ports[port] == 0 {
				return nil, fmt.Errorf("nobody listens at %s", address)
			}
			var d net.Dialer
			return d.DialContext(ctx, network, "127.0.0.1:"+strconv.Itoa(ports[port]))
		},
		// Let's Encrypt has no certificate for these names.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t, &http.Client{Transport: transport, Jar: jar, Timeout: 20 * time.Second}, strconv.Itoa(websecure)}
}

// response is an answer that has been read.
type response struct {
	*http.Response
	body string
}

// location returns where a redirect leads.
func (r response) location() string { return r.Header.Get("Location") }

// How browsers mark their requests.
var (
	navigation = []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: text/html,*/*;q=0.8"}
	fetch      = []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: */*"}
	forWorker  = []string{"Service-Worker: script", "Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: serviceworker", "Accept: */*"}
)

// ask sends a request and follows no redirect.
func (b *browser) ask(method, target string, headers ...string) response {
	b.t.Helper()
	once := *b.client
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b.do(&once, method, target, "", headers)
}

// follow sends a GET request and follows redirects to their end.
func (b *browser) follow(target string, headers ...string) response {
	b.t.Helper()
	return b.do(b.client, http.MethodGet, target, "", headers)
}

func (b *browser) do(client *http.Client, method, target, body string, headers []string) response {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response{res, string(text)}
}

// logIn visits target, logs in at the page that this leads to and returns where
// that ends.
func (b *browser) logIn(target string) response {
	b.t.Helper()
	asked := b.follow(target, navigation...)
	if !strings.Contains(asked.body, `name="password"`) {
		b.t.Fatalf("%s led to %s %s, not to a login page", target, asked.Status, asked.Request.URL)
	}
	form := url.Values{"username": {authentik.Username}, "password": {authentik.Password}}
	headers := append([]string{"Content-Type: application/x-www-form-urlencoded"}, navigation...)
	return b.do(b.client, http.MethodPost, asked.Request.URL.String(), form.Encode(), headers)
}

// cookie returns the value of a cookie at target, empty if there is none.
func (b *browser) cookie(target, name string) string {
	b.t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, cookie := range b.client.Jar.Cookies(u) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}
