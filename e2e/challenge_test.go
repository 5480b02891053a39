package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

var dateLine = regexp.MustCompile(`(?m)^Date: .*\r\n`)

// raw sends text as it stands and returns what the server sends until it
// closes the connection, without its date.
func raw(t *testing.T, p protocol, host, text string) string {
	t.Helper()
	u, err := url.Parse(p.base(host))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := stand.Dial(t.Context(), "tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	if u.Scheme == "https" {
		config := shared.TLS()
		config.ServerName = u.Hostname()
		conn = tls.Client(conn, config)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, strings.ReplaceAll(text, "HOST", u.Host)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(bufio.NewReader(conn))
	if err != nil {
		t.Fatal(err)
	}
	return dateLine.ReplaceAllString(string(answer), "")
}

func TestChallengeByteForByte(t *testing.T) {
	const behind = "HTTP/1.1 401 Unauthorized\r\n"
	const end = "Www-Authenticate: Reauth realm=\"%s@file\", uri=\"/_reauth\"\r\nConnection: close\r\n\r\n%s"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(visitor.Challenge))
	own := "Cache-Control: private, no-store\r\n" + length + "Content-Type: application/json\r\n"
	allowed := "Access-Control-Allow-Credentials: true\r\nAccess-Control-Allow-Origin: " + listedOrigin + "\r\n" +
		"Access-Control-Expose-Headers: X-Request-Id, WWW-Authenticate\r\n"
	tests := []struct {
		name, host, request, origin, want string
	}{
		{"GET", appHost, "GET /api/data", "", behind + own + fmt.Sprintf(end, "reauth", visitor.Challenge)},
		{"HEAD", appHost, "HEAD /api/data", "", behind + own + fmt.Sprintf(end, "reauth", "")},
		{"no origin", corsHost, "GET /api/data", "", behind + own + "Vary: Origin\r\n" + fmt.Sprintf(end, "reauth-cors", visitor.Challenge)},
		{"other origin", corsHost, "GET /api/data", "Origin: " + unlistedOrigin + "\r\n", behind + own + "Vary: Origin\r\n" + fmt.Sprintf(end, "reauth-cors", visitor.Challenge)},
		{"listed origin", corsHost, "GET /api/data", "Origin: " + listedOrigin + "\r\n", behind + allowed + own + "Vary: Origin\r\n" + fmt.Sprintf(end, "reauth-cors", visitor.Challenge)},
	}
	for _, p := range []protocol{overHTTP1, overTLS1} {
		for _, tt := range tests {
			t.Run(p.name+" "+tt.name, func(t *testing.T) {
				got := raw(t, p, tt.host, tt.request+" HTTP/1.1\r\nHost: HOST\r\nSec-Fetch-Mode: cors\r\n"+tt.origin+"Connection: close\r\n\r\n")
				if got != tt.want {
					t.Errorf("got\n%q\nwant\n%q", got, tt.want)
				}
			})
		}
	}
}

func TestPreflightByteForByte(t *testing.T) {
	want := "HTTP/1.1 204 No Content\r\n" +
		"Access-Control-Allow-Credentials: true\r\n" +
		"Access-Control-Allow-Headers: Content-Type, X-Actual-Token\r\n" +
		"Access-Control-Allow-Methods: PUT, DELETE\r\n" +
		"Access-Control-Allow-Origin: " + listedOrigin + "\r\n" +
		"Access-Control-Max-Age: 600\r\n" +
		"Vary: Origin\r\n" +
		"Connection: close\r\n\r\n"
	got := raw(t, overHTTP1, corsHost, "OPTIONS /sync/sync HTTP/1.1\r\nHost: HOST\r\nOrigin: "+listedOrigin+
		"\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-evil\r\nConnection: close\r\n\r\n")
	if got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestPreflightsOfListedOriginsNeverReachTheAuthServer(t *testing.T) {
	c := newClient(t, overHTTP1, corsHost)
	ask := func(origin string) int {
		before := overHTTP1.asked(corsHost)
		c.Send("OPTIONS", "/api/data", "", "Origin: "+origin, "Access-Control-Request-Method: PUT")
		return overHTTP1.asked(corsHost) - before
	}
	if asked := ask(listedOrigin); asked != 0 {
		t.Errorf("the auth server was asked %d times", asked)
	}
	if asked := ask(unlistedOrigin); asked != 1 {
		t.Errorf("for an origin that is not listed the auth server was asked %d times, want 1", asked)
	}
}

// Actual allows every origin on everything, and the auth server's answer adds
// headers of its own: the browser must see one of each.
func TestAppsCORSHeadersAreReplacedForListedOrigins(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		c := newClient(t, p, corsHost).Enter()
		for origin, want := range map[string]string{listedOrigin: listedOrigin, unlistedOrigin: "*"} {
			res := c.Send("GET", "/api/data", "", append([]string{"Origin: " + origin}, fetch...)...)
			credentials := res.Header.Get("Access-Control-Allow-Credentials") == "true"
			if got := res.Header["Access-Control-Allow-Origin"]; len(got) != 1 || got[0] != want || credentials != (origin == listedOrigin) {
				t.Errorf("%s: got %s", origin, res)
			}
		}
	})
}

// Upgrades and the auth server's paths aside, which are left alone.
func TestVaryOnEveryResponseWithAList(t *testing.T) {
	c := newClient(t, overHTTP1, corsHost)
	check := func(name string, res response) {
		vary := strings.Join(res.Header["Vary"], ", ")
		if strings.Count(vary, "Origin") != 1 {
			t.Errorf("%s: Vary %q", name, vary)
		}
	}
	check("login redirect", c.Send("GET", "/", "", navigation...))
	check("challenge", c.Send("GET", "/api/data", "", fetch...))
	check("refresh, expired", c.Send("GET", "/_reauth", "", fetch...))
	check("refresh page", c.Send("GET", "/_reauth", "", navigation...))
	check("recovery script", c.Send("GET", "/sw.js", "", forWorker...))
	check("405", c.Send("POST", "/_reauth", "", fetch...))
	c.Enter()
	page := c.Send("GET", "/", "", navigation...)
	check("page", page)
	if got := page.Header["Vary"]; len(got) != 2 || got[0] != "Accept-Encoding" {
		t.Errorf("the app's own Vary became %q", got)
	}
	check("refresh", c.Send("GET", "/_reauth", "", fetch...))
	check("worker script", c.Send("GET", "/sw.js", "", forWorker...))
}

// Every refused request without a session gets a session and a cookie of its
// own from the outpost. A tab that polls, or opens its WebSocket again and again, must
// not end the login in the other.
func TestRefusedCallsDoNotBreakALoginInFlight(t *testing.T) {
	for name, headers := range map[string][]string{
		"call":      fetch,
		"WebSocket": {"Sec-Fetch-Mode: websocket", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="},
	} {
		t.Run(name, func(t *testing.T) { expectLoginToOutlive(t, "/ws", headers) })
	}
}

func expectLoginToOutlive(t *testing.T, path string, headers []string) {
	login := func(t *testing.T, host string) response {
		c := newClient(t, overHTTP1, host)
		// The poll leaves the browser before the login's cookie is there, and
		// its answer arrives after it.
		poll := newClient(t, overHTTP1, host).Send("GET", path, "", headers...)
		page := c.Visit("/budget", navigation...)
		c.Jar.SetCookies(c.Root(), poll.Cookies())
		return c.Submit(page)
	}
	if res := login(t, plainHost); res.StatusCode != 400 || !strings.Contains(res.Text, "mismatched session ID") {
		t.Errorf("without the plugin the login should break, got %s", res)
	}
	if res := login(t, appHost); res.StatusCode != 200 || res.Text != "page /budget" {
		t.Errorf("with the plugin: got %s", res)
	}
}

// A client that could take the plugin's mark off its request would pass for one with a
// session. Traefik drops what Connection names before any middleware sees it.
func TestNobodyTakesTheMarkOff(t *testing.T) {
	c := newClient(t, overHTTP1, appHost).Enter()
	c.Send("GET", "/api/data", "", fetch...)
	c.Expire(shared.Authentik)
	taking := append([]string{"Connection: X-Authentik-Username"}, fetch...)
	if res := c.Send("GET", "/api/data", "", taking...); !res.IsChallenge() {
		t.Errorf("call: %s", res)
	}
	if res := c.Send("GET", "/_reauth?probe", "", taking...); res.Text != `{"active":false}` {
		t.Errorf("probe: %s", res)
	}
}
