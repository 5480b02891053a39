package examples

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// client is a visitor that finds all names of hosts at Traefik, on the ports that
// URLs have by default.
type client struct {
	*visitor.Visitor
	websecure string // port
}

func newClient(t *testing.T, web, websecure int) *client {
	ports := map[string]int{"80": web, "443": websecure}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			var d net.Dialer
			if net.ParseIP(host) != nil {
				return d.DialContext(ctx, network, address) // a stand-in past Traefik
			}
			if ports[port] == 0 {
				return nil, fmt.Errorf("nobody listens at %s", address)
			}
			return d.DialContext(ctx, network, "127.0.0.1:"+strconv.Itoa(ports[port]))
		},
		// Let's Encrypt has no certificate for these names.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	return &client{visitor.New(t, transport), strconv.Itoa(websecure)}
}

// response is an answer that was read to its end.
type response = visitor.Response

// How browsers mark their requests.
var navigation, fetch, forWorker = visitor.Navigation, visitor.Fetch, visitor.ForWorker
