package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// sharedCaches are two that nginx keeps in front of Traefik. The first keeps what it may by
// RFC 9111, whether or not a cookie comes along, and asks anew if the browser wants that, as
// it does for a worker's script. The second keeps whatever nobody forbids it to. Each pair
// of requests has a cache of its own. The ports are those of the two and of Traefik.
const sharedCaches = `
	proxy_cache_path honest keys_zone=honest:1m;
	proxy_cache_path eager keys_zone=eager:1m;
	proxy_cache_key "$http_x_pair $request_method $host$request_uri";
	proxy_ignore_headers Set-Cookie;
	proxy_http_version 1.1;
	proxy_set_header Host $host:%[3]d;
	add_header X-Cache $upstream_cache_status always;
	map $http_cache_control $anew {
		default "";
		max-age=0 1;
	}
	server {
		listen 127.0.0.1:%[1]d;
		location / {
			proxy_cache honest;
			proxy_cache_bypass $anew;
			proxy_cache_valid 200 203 204 206 300 301 308 404 405 410 414 501 1h;
			proxy_pass http://127.0.0.1:%[3]d;
		}
	}
	server {
		listen 127.0.0.1:%[2]d;
		location / {
			proxy_cache eager;
			proxy_cache_valid any 1h;
			proxy_pass http://127.0.0.1:%[3]d;
		}
	}
`

// startCaches starts both caches until the test ends, and returns functions that tell the
// URL of a host at each.
func startCaches(t *testing.T) (honest, eager func(host string) string) {
	t.Helper()
	ports, release, err := stand.HoldPorts(2)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	at := func(port int) func(string) string {
		return func(host string) string { return fmt.Sprintf("http://%s.example.localhost:%d", host, port) }
	}
	honest, eager = at(ports[0]), at(ports[1])
	var behind int
	if _, err := fmt.Sscanf(shared.URL(appHost), "http://"+appHost+".example.localhost:%d", &behind); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := stand.NginxMain(fmt.Sprintf(sharedCaches, ports[0], ports[1], behind))
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	release()
	nginx, err := stand.RunNginx(t.Context(), dir, fmt.Sprintf("%s.example.localhost:%d", appHost, ports[1]))
	if nginx != nil {
		t.Cleanup(func() {
			if err := nginx.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return honest, eager
}

// asked is a kind of request by somebody.
type asked struct {
	name    string
	state   session
	headers []string
}

// Whoever asks second through a shared cache gets the answer that is for them: nobody else's
// that the plugin has made, or that differs by its doing.
func TestSharedCacheMixesNobodyUp(t *testing.T) {
	honest, eager := startCaches(t)
	of := func(origin string) []string { return append([]string{"Origin: " + origin}, fetch...) }
	// Browsers ask for a worker's script past their own cache, and say so.
	forWorker := append([]string{"Cache-Control: max-age=0"}, forWorker...)
	var asks []asked
	clients := map[session]map[string]*visitor.Visitor{}
	for _, state := range []session{good, none} {
		asks = append(asks,
			asked{"call", state, fetch},
			asked{"call of a listed origin", state, of(listedOrigin)},
			asked{"call of another origin", state, of(unlistedOrigin)},
			asked{"worker script", state, forWorker},
			asked{"visit", state, navigation},
		)
		clients[state] = map[string]*visitor.Visitor{}
		for _, host := range []string{appHost, corsHost} {
			clients[state][host] = enter(newClient(t, overHTTP1, host), state)
		}
	}
	paths := []string{"/kept/sw.js", "/api/data", "/_reauth", "/_reauth?probe", "/_reauth?login", "/_reauth?status", "/_reauth?reauth-worker", "/_reauth?rd=%2Fa"}
	pair := 0
	for _, host := range []string{appHost, corsHost} {
		for _, path := range paths {
			send := func(base string, ask asked) response {
				headers := append([]string{fmt.Sprint("X-Pair: ", pair)}, ask.headers...)
				return clients[ask.state][host].Send("GET", base+path, "", headers...)
			}
			straight := map[string]essence{}
			for _, ask := range asks {
				straight[ask.name+string(ask.state)] = essenceOf(send("", ask))
			}
			for _, first := range asks {
				before := straight[first.name+string(first.state)]
				for _, then := range asks {
					want := straight[then.name+string(then.state)]
					for base, isEager := range map[string]bool{honest(host): false, eager(host): true} {
						if anybodys(before, first, then, isEager) {
							continue
						}
						pair++
						send(base, first)
						res := send(base, then)
						if got := essenceOf(res); got != want {
							t.Errorf("%s%s, eager %t: after a %s, %s, a %s, %s, got %+v\nwant %+v",
								host, path, isEager, first.name, first.state, then.name, then.state, got, want)
						}
					}
				}
			}
		}
	}
	t.Logf("%d pairs", pair)
}

// anybodys reports whether the first answer is for whoever asks, without the plugin as with
// it: by the word of the app, or because it says nothing, and a cache may keep a 200 then (RFC
// 9111, section 4.2.2), or, as the second one does, anything.
func anybodys(before essence, first, then asked, isEager bool) bool {
	switch before.cacheControl {
	case probe.Kept:
		return first.state != then.state || isEager && then.name == "worker script"
	case "":
		return first.state != then.state || isEager && before.status != http.StatusOK
	}
	return false
}

// What is not kept at all is mixed up with nothing.
func TestSharedCachesKeep(t *testing.T) {
	honest, eager := startCaches(t)
	c := newClient(t, overHTTP1, appHost).Enter()
	for base, paths := range map[string][]string{honest(appHost): {"/kept/sw.js", "/api/data"}, eager(appHost): {"/kept/sw.js", "/api/data", "/unauthorized"}} {
		for _, path := range paths {
			c.Send("GET", base+path, "", fetch...)
			if res := c.Send("GET", base+path, "", fetch...); res.Header.Get("X-Cache") != "HIT" {
				t.Errorf("%s%s: %s", base, path, res)
			}
		}
	}
	if res := c.Send("GET", honest(appHost)+"/unauthorized", "", fetch...); res.Header.Get("X-Cache") != "MISS" {
		t.Errorf("got %s", res)
	}
}
