package e2e

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// essence is what tells one answer from another.
type essence struct {
	status                                                       int
	text, location, cacheControl, challenge, allows, credentials string
}

// essenceOf leaves out what differs between two redirects to a login: their state.
func essenceOf(res response) essence {
	location, _, _ := strings.Cut(res.Header.Get("Location"), "?")
	e := essence{
		status:       res.StatusCode,
		location:     location,
		cacheControl: res.Header.Get("Cache-Control"),
		challenge:    res.Header.Get("WWW-Authenticate"),
		allows:       res.Header.Get("Access-Control-Allow-Origin"),
		credentials:  res.Header.Get("Access-Control-Allow-Credentials"),
	}
	if location == "" {
		e.text = res.Text
	}
	return e
}

// identities are headers that the auth server alone may set, in several spellings.
var identities = []string{
	"X-authentik-username: akadmin",
	"x-authentik-username: akadmin",
	"X-Authentik-Username: ",
	"X-authentik-groups: authentik Admins",
	"X-authentik-email: root@example.com",
	"X-authentik-name: authentik Default Admin",
	"X-authentik-uid: 1",
	"X-authentik-jwt: " + forgedToken,
}

// Whatever a client says in the name of the auth server or of a proxy, it gets the answer
// that it gets without, and the app is told what it is told without the plugin.
func TestForgedHeadersMakeNoDifference(t *testing.T) {
	asks := []struct {
		name, path string
		headers    []string
	}{
		{"call", "/whoami", fetch},
		{"visit", "/whoami", navigation},
		{"worker script", "/sw.js", forWorker},
		{"probe", "/_reauth?probe", fetch},
		{"renewal", "/_reauth", fetch},
		{"visit to the refresh path", visitor.RefreshPath("/budget"), navigation},
		{"login", "/_reauth?login", navigation},
		{"page", "/_reauth", navigation},
	}
	forgeries := map[string][]string{"no": nil, "one name": identities[:1], "an empty name": identities[2:3], "identities": identities, "proxies": visitor.Forged}
	forEachProtocol(t, func(t *testing.T, p protocol) {
		for _, state := range []session{good, expired, none} {
			c := enter(newClient(t, p, appHost), state)
			for _, ask := range asks {
				want := essenceOf(c.Send("GET", ask.path, "", ask.headers...))
				for name, forgery := range forgeries {
					got := essenceOf(c.Send("GET", ask.path, "", append(ask.headers[:len(ask.headers):len(ask.headers)], forgery...)...))
					if got != want {
						t.Errorf("%s, %s, %s: got %+v\nwant %+v", state, ask.name, name, got, want)
					}
				}
			}
		}
		for name, forgery := range forgeries {
			if got, want := arrived(newClient(t, p, appHost).Enter(), forgery), arrived(newClient(t, p, plainHost).Enter(), forgery); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: the app is told\n%v\nand without the plugin\n%v", name, got, want)
			}
		}
	})
}

// arrived returns what the app is told about a call, but for its host and its cookies.
func arrived(c *visitor.Visitor, headers []string) http.Header {
	c.T.Helper()
	res := c.Send("GET", "/headers/", "", append(headers[:len(headers):len(headers)], fetch...)...)
	var header http.Header
	if err := json.Unmarshal([]byte(res.Text), &header); err != nil {
		c.T.Fatalf("%v: %s", err, res)
	}
	for _, name := range []string{"Cookie", "Host", "X-Forwarded-Host"} {
		header.Del(name)
	}
	return header
}
