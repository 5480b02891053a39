package providers

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// between are Traefik's middlewares that may stand between the plugin and forwardAuth.
var between = map[string]map[string]any{
	"strip":    {"stripPrefix": map[string]any{"prefixes": []string{"/stripped"}}},
	"headers":  {"headers": map[string]any{"customRequestHeaders": map[string]any{"X-Added": "1"}, "customResponseHeaders": map[string]any{"X-Answered": "1"}}},
	"compress": {"compress": map[string]any{}},
	"breaker":  {"circuitBreaker": map[string]any{"expression": "NetworkErrorRatio() > 0.9"}},
	"rate":     {"rateLimit": map[string]any{"average": 1000, "burst": 1000}},
	"inflight": {"inFlightReq": map[string]any{"amount": 100}},
	"broken":   {"errors": map[string]any{"status": []string{"500-599"}, "service": "oauth2-proxy", "query": "/ping"}},
	"chained":  {"chain": map[string]any{"middlewares": []string{"headers", "rate", "ask-root"}}},

	"retry":     {"retry": map[string]any{"attempts": 2}},
	"buffering": {"buffering": map[string]any{"maxRequestBodyBytes": 1 << 20}},

	"basic":  {"basicAuth": map[string]any{"users": []string{"demo:{SHA}ieSV55Qc+eQOaYDRSha/AjzNTJE="}, "removeHeader": true}}, // demo
	"moved":  {"redirectRegex": map[string]any{"regex": "^http://[^/]+/(moved|_reauth).*", "replacement": "https://elsewhere.example/"}},
	"secure": {"redirectScheme": map[string]any{"scheme": "https"}},
	"local":  {"ipAllowList": map[string]any{"sourceRange": []string{"127.0.0.1/32"}}},
	"three":  {"rateLimit": map[string]any{"average": 1, "period": "1h", "burst": 3}},
}

// chain is a chain of middlewares and the host of the app behind it.
type chain struct {
	host, prefix string
	middlewares  []string
	// own is what Traefik answers by itself where the test wants it to, 0 in chains
	// that always ask the auth server.
	own int
}

var chains = []chain{
	{host: "with-strip", prefix: "/stripped", middlewares: []string{"reauth", "strip", "ask-root"}},
	{host: "with-headers", middlewares: []string{"reauth", "headers", "ask-root"}},
	{host: "with-compress", middlewares: []string{"reauth", "compress", "ask-root"}},
	{host: "with-breaker", middlewares: []string{"reauth", "breaker", "ask-root"}},
	{host: "with-rate", middlewares: []string{"reauth", "rate", "ask-root"}},
	{host: "with-inflight", middlewares: []string{"reauth", "inflight", "ask-root"}},
	{host: "with-errors", middlewares: []string{"reauth", "broken", "ask-root"}},
	{host: "with-chain", middlewares: []string{"reauth", "chained"}},
	{host: "with-all", prefix: "/stripped", middlewares: []string{"reauth", "strip", "headers", "compress", "breaker", "rate", "inflight", "broken", "ask-auth"}},
	{host: "retry-before", middlewares: []string{"retry", "reauth", "ask-root"}},
	{host: "retry-after", middlewares: []string{"reauth", "ask-root", "retry"}},
	{host: "buffering-before", middlewares: []string{"buffering", "reauth", "ask-root"}},
	{host: "buffering-after", middlewares: []string{"reauth", "ask-root", "buffering"}},
	{host: "retry-between", middlewares: []string{"reauth-retry", "retry", "ask-root"}},
	{host: "buffering-between", middlewares: []string{"reauth-buffering", "buffering", "ask-root"}},
	{host: "own-basic", middlewares: []string{"reauth", "basic", "ask-root"}, own: http.StatusUnauthorized},
	{host: "own-moved", middlewares: []string{"reauth", "moved", "ask-root"}, own: http.StatusFound},
	{host: "own-secure", middlewares: []string{"reauth", "secure", "ask-root"}, own: http.StatusFound},
	{host: "own-local", middlewares: []string{"reauth", "local", "ask-root"}, own: http.StatusForbidden},
	{host: "own-three", middlewares: []string{"reauth", "three", "ask-root"}, own: http.StatusTooManyRequests},
}

// uncertain counts the plugin's complaints about a chain in Traefik's log.
func uncertain(name string) int {
	return strings.Count(shared.Log(), "reauth: "+name+"@file cannot tell for certain what forwardAuth refuses: list X-Auth-Request-User under its authResponseHeaders")
}

func TestMiddlewaresThatTheMarkSurvives(t *testing.T) {
	for _, chain := range chains {
		if chain.own != 0 || strings.HasSuffix(chain.host, "-between") {
			continue
		}
		t.Run(chain.host, func(t *testing.T) {
			c := newClient(t, chain.host)
			c.enter(good)
			for _, path := range []string{"/unauthorized", "/basic", "/openid-401", "/openid"} {
				if res := c.send("GET", chain.prefix+path, "", fetch...); res.IsChallenge() || res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusFound {
					t.Errorf("the app's own %s became %s", path, describe(res))
				}
			}
			if res := c.send("GET", "/_reauth?probe", "", jsonFetch...); !isProbed(res, "true") {
				t.Errorf("probe: got %s", describe(res))
			}
			c.expire()
			for name, headers := range fetches {
				if res := c.send("GET", chain.prefix+"/api", "", headers...); !res.IsChallenge() {
					t.Errorf("%s: got %s", name, describe(res))
				}
				if res := c.send("GET", "/_reauth?probe", "", headers...); !isProbed(res, "false") {
					t.Errorf("%s, probe: got %s", name, describe(res))
				}
			}
			if res := c.visit("/_reauth", jsonFetch...); res.StatusCode != http.StatusNoContent {
				t.Errorf("the renewal ended at %s with %s", res.Request.URL, describe(res))
			}
			if res := c.send("GET", chain.prefix+"/api", "", fetch...); res.StatusCode != http.StatusOK {
				t.Errorf("renewed: got %s", describe(res))
			}
		})
	}
	if count := uncertain("reauth"); count != 0 {
		t.Errorf("%d complaints", count)
	}
}

// Both copy the headers of the request, and the plugin looks at its own. Login URLs
// then tell an expired session, as far as they can.
func TestMiddlewaresThatTheMarkDoesNotSurvive(t *testing.T) {
	for _, name := range []string{"retry", "buffering"} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, name+"-between")
			plugin := "reauth-" + name
			if count := uncertain(plugin); count != 0 {
				t.Errorf("%d complaints before a good answer", count)
			}
			c.enter(good)
			for range 3 {
				if res := c.send("GET", "/api", "", fetch...); res.StatusCode != http.StatusOK {
					t.Errorf("good: got %s", describe(res))
				}
			}
			if count := uncertain(plugin); count != 1 {
				t.Errorf("%d complaints, want 1", count)
			}
			if res := c.send("GET", "/unauthorized", "", fetch...); res.StatusCode != http.StatusUnauthorized || res.IsChallenge() {
				t.Errorf("the app's own 401 became %s", describe(res))
			}
			if res := c.send("GET", "/openid", "", fetch...); res.StatusCode != http.StatusFound {
				t.Errorf("the app's own login became %s", describe(res))
			}
			if res := c.send("GET", "/_reauth?probe", "", fetch...); !isProbed(res, "true") {
				t.Errorf("probe: got %s", describe(res))
			}
			c.expire()
			if res := c.send("GET", "/api", "", fetch...); !res.IsChallenge() {
				t.Errorf("a login redirect became %s", describe(res))
			}
			if res := c.send("GET", "/_reauth?probe", "", fetch...); !isProbed(res, "false") {
				t.Errorf("probe, expired: got %s", describe(res))
			}
			for _, path := range []string{"/api", "/_reauth", "/_reauth?probe"} {
				if res := c.send("GET", path, "", jsonFetch...); res.StatusCode != http.StatusUnauthorized || res.Text != "{}" {
					t.Errorf("%s, a 401 became %s", path, describe(res))
				}
			}
			if res := c.visit("/_reauth", fetch...); res.StatusCode != http.StatusNoContent {
				t.Errorf("the renewal ended at %s with %s", res.Request.URL, describe(res))
			}
		})
	}
}

// What Traefik answers before it asks the auth server says nothing of the session.
func TestTraefiksOwnAnswersAreNoExpiredSession(t *testing.T) {
	credentials := "Authorization: Basic ZGVtbzpkZW1v"
	// seen has forwardAuth let a request of each host pass, so that all is certain.
	seen := map[string]func(*client) response{
		"own-basic": func(c *client) response {
			return c.send("GET", "/seen", "", append([]string{credentials}, fetch...)...)
		},
		"own-moved": func(c *client) response { return c.send("GET", "/seen", "", fetch...) },
		"own-local": func(c *client) response { return c.send("GET", "/seen", "", fetch...) },
		"own-three": func(c *client) response {
			c.send("GET", "/seen", "", fetch...)
			c.send("GET", "/seen", "", fetch...)
			return c.send("GET", "/seen", "", fetch...)
		},
	}
	for _, chain := range chains {
		if chain.own == 0 {
			continue
		}
		t.Run(chain.host, func(t *testing.T) {
			c := newClient(t, chain.host)
			c.logIn()
			if see := seen[chain.host]; see != nil {
				if res := see(c); res.StatusCode != http.StatusOK {
					t.Fatalf("good: got %s", describe(res))
				}
			}
			if chain.host == "own-local" {
				from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
				_, port, _ := net.SplitHostPort(strings.TrimPrefix(c.url(""), "http://"))
				jar := c.Jar
				c.Visitor = visitor.New(t, &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return from.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
				}})
				c.Jar = jar
			}
			for _, state := range []session{good, expired} {
				if state == expired {
					c.expire()
				}
				for name, headers := range fetches {
					for _, path := range []string{"/moved", "/_reauth", "/_reauth?probe"} {
						if res := c.send("GET", path, "", headers...); res.StatusCode != chain.own || res.IsChallenge() {
							t.Errorf("%s, %s, %s: got %s", state, path, name, describe(res))
						}
					}
				}
				if res := c.send("GET", "/moved", "", forWorker...); res.StatusCode != chain.own {
					t.Errorf("%s, worker script: got %s", state, describe(res))
				}
				for _, path := range []string{"/_reauth?rd=%2Fmoved", "/_reauth?login"} {
					if res := c.send("GET", path, "", navigation...); res.StatusCode != chain.own {
						t.Errorf("%s, visit of %s: got %s", state, path, describe(res))
					}
				}
			}
			if chain.host == "own-basic" {
				if res := c.send("GET", "/api", "", append([]string{credentials}, fetch...)...); !res.IsChallenge() {
					t.Errorf("what oauth2-proxy refuses became %s", describe(res))
				}
			}
		})
	}
}
