package e2e

import (
	"net/http"
	"testing"
)

// BenchmarkRequest measures a request through Traefik, one after the other on
// one connection. Only ratios within one run say anything; the plugin's share
// is what reauth adds to forwardAuth alone.
func BenchmarkRequest(b *testing.B) {
	fromListed := append([]string{"Origin: " + listedOrigin}, fetch...)
	for _, bm := range []struct {
		name, host, method string
		session            session
		headers            []string
		status             int
	}{
		{"forwardAuth/navigation", plainHost, "GET", good, navigation, http.StatusOK},
		{"reauth/navigation", appHost, "GET", good, navigation, http.StatusOK},
		{"reauth/navigation-with-list", corsHost, "GET", good, navigation, http.StatusOK},
		{"forwardAuth/fetch", plainHost, "GET", good, fetch, http.StatusOK},
		{"reauth/fetch", appHost, "GET", good, fetch, http.StatusOK},
		{"reauth/fetch-with-list", corsHost, "GET", good, fromListed, http.StatusOK},
		{"forwardAuth/expired", plainHost, "GET", none, fetch, http.StatusFound},
		{"reauth/expired", appHost, "GET", none, fetch, http.StatusUnauthorized},
		{"forwardAuth/preflight", plainHost, "OPTIONS", none, fromListed, http.StatusFound},
		{"reauth/preflight", corsHost, "OPTIONS", none, append([]string{"Access-Control-Request-Method: PUT"}, fromListed...), http.StatusNoContent},
	} {
		b.Run(bm.name, func(b *testing.B) {
			c := enter(newClient(b, overHTTP1, bm.host), bm.session)
			for b.Loop() {
				if bm.session == none {
					c.SetSession("") // the cookie of a refused request would be sent with the next
				}
				if res := c.Send(bm.method, "/api/data", "", bm.headers...); res.StatusCode != bm.status {
					b.Fatal(res)
				}
			}
		})
	}
}
