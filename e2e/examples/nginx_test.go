package examples

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// nginxHost is the host of the app behind nginx.
const nginxHost = "app"

// startNginx starts nginx, Traefik and the probe as examples/nginx says, until
// the test ends.
func startNginx(t *testing.T) (*stand.Nginx, *probe.App) {
	t.Helper()
	app := &probe.App{}
	s, err := stand.StartNginx(t.Context(), t.TempDir(), probe.Serve(t, app.Handler()), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	probe.EndWith(t, s)
	return s, app
}

// throughNginx returns a visitor of the app behind nginx.
func throughNginx(t *testing.T, s *stand.Nginx, version visitor.Version) *visitor.Visitor {
	t.Helper()
	return visitor.At(t, s.SecureURL(nginxHost), version, s.TLS())
}

// TestNginx runs the example as it stands, but for addresses, names and the
// certificate, on a port that is not the default.
func TestNginx(t *testing.T) {
	s, app := startNginx(t)
	for name, version := range map[string]visitor.Version{"HTTP/1.1": visitor.HTTP1, "HTTP/2": visitor.HTTP2} {
		t.Run(name, func(t *testing.T) {
			for name, test := range map[string]func(*testing.T, *stand.Nginx, *visitor.Visitor){
				"the login leads to the public URL":     expectLogin,
				"the login at the default port":         expectLoginAtDefaultPort,
				"an expired session is renewed":         expectRenewal,
				"a long way back":                       expectLongWayBack,
				"the worker's script":                   expectWorkerScript,
				"what arrives":                          expectHeaders,
				"what a client says about itself":       expectNoForgedHeaders,
				"a large upload":                        expectUpload,
				"a large upload with a session expired": expectRefusedUpload,
			} {
				t.Run(name, func(t *testing.T) { test(t, s, throughNginx(t, s, version)) })
			}
			for _, path := range []string{"/events", "/chunks"} {
				t.Run("stream "+path, func(t *testing.T) {
					c := throughNginx(t, s, version).Enter()
					// Over HTTP/2 and TLS nginx sends a head with the first bytes.
					app.ExpectStreamed(t, c, path, version == visitor.HTTP1)
				})
			}
		})
	}
	t.Run("WebSocket", func(t *testing.T) {
		c := throughNginx(t, s, visitor.HTTP1).Enter()
		probe.ExpectEcho(t, c)
	})
	t.Run("no other upgrade", func(t *testing.T) {
		c := throughNginx(t, s, visitor.HTTP1)
		// The plugin leaves upgrades alone, and calls are its own.
		h2c := append([]string{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"}, fetch...)
		if res := c.Send("GET", "/api/data", "", h2c...); !res.IsChallenge() {
			t.Errorf("got %s", res)
		}
	})
	t.Run("plain http", func(t *testing.T) {
		res := visitor.At(t, s.URL(nginxHost), visitor.HTTP1, s.TLS()).Send("GET", "/budget?month=2026-11", "", navigation...)
		if want := s.SecureURL(nginxHost) + "/budget?month=2026-11"; res.StatusCode != http.StatusMovedPermanently || res.Header.Get("Location") != want {
			t.Errorf("want a redirect to %s, got %s", want, res)
		}
	})
	t.Run("Traefik believes nginx alone", func(t *testing.T) { expectOnlyNginxTrusted(t, s) })
}

// callback is where a login comes back to.
const callback = "/outpost.goauthentik.io/callback?X-authentik-auth-callback=true"

// comesBackTo returns where the login comes back to that res leads to.
func comesBackTo(t *testing.T, res response) string {
	t.Helper()
	location, err := res.Location()
	if err != nil {
		t.Fatalf("%v: %s", err, res)
	}
	return location.Query().Get("redirect_uri")
}

func expectLogin(t *testing.T, s *stand.Nginx, c *visitor.Visitor) {
	res := c.Send("GET", "/budget?month=2026-11", "", navigation...)
	if !res.IsLogin() || !res.Cookies()[0].Secure {
		t.Fatalf("got %s", res)
	}
	if got := comesBackTo(t, res); got != c.URL(callback) || !strings.HasPrefix(res.Header.Get("Location"), s.SecureURL("auth")+"/") {
		t.Errorf("the login comes back to %s: %s", got, res)
	}
	landed := c.LogIn("/budget?month=2026-11")
	if landed.StatusCode != http.StatusOK || landed.Request.URL.String() != c.URL("/budget?month=2026-11") || landed.Text != "page /budget" {
		t.Errorf("the login ended at %s with %s", landed.Request.URL, landed)
	}
}

func expectLoginAtDefaultPort(t *testing.T, _ *stand.Nginx, c *visitor.Visitor) {
	req := visitor.Request(t, "GET", c.URL("/"), "", navigation...)
	req.Host = req.URL.Hostname()
	res := c.Do(req, false)
	if got := comesBackTo(t, res); got != "https://"+req.Host+callback || !res.IsLogin() {
		t.Errorf("the login comes back to %s: %s", got, res)
	}
}

func expectRenewal(t *testing.T, s *stand.Nginx, c *visitor.Visitor) {
	c.Enter()
	c.Expire(s.Authentik)
	for _, method := range []string{"GET", "HEAD", "POST"} {
		if res := c.Send(method, "/api/data", "", fetch...); !res.IsChallenge() || res.ContentLength != int64(len(visitor.Challenge)) {
			t.Errorf("%s: got %s", method, res)
		}
	}
	if res := c.Send("GET", "/sw.js", "", forWorker...); !res.IsRecovery() {
		t.Errorf("the worker's script: got %s", res)
	}
	if res := c.Send("GET", "/_reauth", "", navigation...); res.StatusCode != http.StatusOK ||
		!strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'sha256-") {
		t.Errorf("the page: got %s", res)
	}
	if res := c.Visit("/_reauth", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty"); res.StatusCode != http.StatusNoContent || res.Request.URL.String() != c.URL("/_reauth") {
		t.Fatalf("the renewal ended at %s with %s", res.Request.URL, res)
	}
	if res := c.Send("POST", "/sync/sync", "edits", fetch...); res.StatusCode != http.StatusOK || res.Text != "synced edits" {
		t.Errorf("after the renewal: got %s", res)
	}
	back := "/a%2Fb/c?month=2026-11&x=%2F#table"
	if res := c.Send("GET", visitor.RefreshPath(back), "", navigation...); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != back {
		t.Errorf("the way back: got %s", res)
	}
	c.Expire(s.Authentik)
	if res := c.Visit(visitor.RefreshPath("/budget"), navigation...); res.StatusCode != http.StatusOK || res.Request.URL.String() != c.URL("/budget") {
		t.Errorf("the way back by a renewal ended at %s with %s", res.Request.URL, res)
	}
}

// The longest rd that is followed has to come through the whole login.
func expectLongWayBack(t *testing.T, s *stand.Nginx, c *visitor.Visitor) {
	back := "/" + strings.Repeat("a", 8191)
	if res := c.LogIn(visitor.RefreshPath(back)); res.StatusCode != http.StatusOK || res.Request.URL.String() != c.URL(back) {
		t.Errorf("ended at %.100s with %s", res.Request.URL, res)
	}
}

func expectWorkerScript(t *testing.T, s *stand.Nginx, c *visitor.Visitor) {
	c.Enter()
	for _, path := range []string{"/sw.js", "/chunked/sw.js", "/negotiated/sw.js"} {
		if res := c.Send("GET", path, "", append([]string{"Accept-Encoding: gzip, br"}, forWorker...)...); !res.IsPrefixed(probe.WorkerScript) {
			t.Errorf("%s: got %s", path, res)
		}
		if res := c.Send("GET", path, "", fetch...); res.Text != probe.WorkerScript || res.Header.Get("Cross-Origin-Embedder-Policy") != "require-corp" {
			t.Errorf("%s, for a page: got %s", path, res)
		}
	}
}

// target is a path that is another one when it is decoded.
const target = "/headers/a%2Fb%20c?x=%2F&y=+"

// arrived returns what the app is told about a request.
func arrived(t *testing.T, c *visitor.Visitor, headers ...string) http.Header {
	t.Helper()
	res := c.Send("GET", target, "", append(headers, fetch...)...)
	var header http.Header
	if err := json.Unmarshal([]byte(res.Text), &header); err != nil {
		t.Fatalf("%v: %s", err, res)
	}
	return header
}

func expectHeaders(t *testing.T, _ *stand.Nginx, c *visitor.Visitor) {
	c.Enter()
	public := c.Root()
	header := arrived(t, c)
	for name, want := range map[string]string{
		"Target":               target,
		"Host":                 public.Host,
		"X-Forwarded-Host":     public.Host,
		"X-Forwarded-Port":     public.Port(),
		"X-Forwarded-Proto":    "https",
		"X-Forwarded-For":      "127.0.0.1, 127.0.0.1", // the browser, nginx
		"X-Real-Ip":            "127.0.0.1",
		"X-Authentik-Username": "demo",
	} {
		if got := header[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func expectNoForgedHeaders(t *testing.T, s *stand.Nginx, c *visitor.Visitor) {
	c.Enter()
	if got, want := arrived(t, c, visitor.Forged...), arrived(t, c); !reflect.DeepEqual(got, want) {
		t.Errorf("%v\nbecame\n%v", want, got)
	}
	// The auth server judges by the forwarded URL, which may be one without a login.
	c.Expire(s.Authentik)
	if res := c.Send("GET", "/api/data", "", append(visitor.Forged, fetch...)...); !res.IsChallenge() {
		t.Errorf("expired: got %s", res)
	}
}

const uploadSize = 40 << 20

func expectUpload(t *testing.T, _ *stand.Nginx, c *visitor.Visitor) {
	c.Enter()
	if res := probe.Upload(c, uploadSize); res.StatusCode != http.StatusOK || res.Text != "41943040" {
		t.Errorf("got %s", res)
	}
}

func expectRefusedUpload(t *testing.T, s *stand.Nginx, c *visitor.Visitor) {
	c.Enter()
	c.Expire(s.Authentik)
	// Nginx may still be sending when Traefik has answered and closes.
	for range 4 {
		if res := probe.Upload(c, uploadSize); !res.IsChallenge() {
			t.Fatalf("got %s", res)
		}
	}
}

// expectOnlyNginxTrusted asks Traefik past nginx, from nginx's address and from
// another one.
func expectOnlyNginxTrusted(t *testing.T, s *stand.Nginx) {
	public, err := url.Parse(s.SecureURL(nginxHost))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(from string) response {
		c := visitor.At(t, s.URL(nginxHost), visitor.HTTP1, s.TLS())
		c.Transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			return d.DialContext(ctx, network, address)
		}
		req := visitor.Request(t, "GET", "http://"+s.Behind()+"/", "", append([]string{"X-Forwarded-Proto: https"}, navigation...)...)
		req.Host = public.Host
		return c.Do(req, false)
	}
	if res := ask("127.0.0.1"); !res.IsLogin() {
		t.Errorf("from nginx's address: got %s", res)
	}
	// Authentik has no application at the plain URL.
	if res := ask("127.0.0.2"); res.StatusCode != http.StatusNotFound {
		t.Errorf("from another address: got %s", res)
	}
}
