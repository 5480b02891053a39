package reauth

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

const (
	wildcardOrigin = "https://*.apps.example.com"
	asksMethod     = "Access-Control-Request-Method: PUT"
)

func fullCORS(c *Config) {
	age := int64(600)
	c.AccessControlAllowOriginList = []string{listedOrigin, wildcardOrigin}
	c.AccessControlAllowCredentials = true
	c.AccessControlAllowMethods = []string{"PUT", "DELETE"}
	c.AccessControlAllowHeaders = []string{"Content-Type", "X-Actual-Token"}
	c.AccessControlExposeHeaders = []string{"X-Request-Id"}
	c.AccessControlMaxAge = &age
}

func TestPreflight(t *testing.T) {
	zero := int64(0)
	tests := []struct {
		name   string
		change func(*Config)
		origin string
		want   http.Header
	}{
		{"everything", fullCORS, listedOrigin, http.Header{
			"Vary":                             {"Origin"},
			"Access-Control-Allow-Origin":      {listedOrigin},
			"Access-Control-Allow-Credentials": {"true"},
			"Access-Control-Allow-Methods":     {"PUT, DELETE"},
			"Access-Control-Allow-Headers":     {"Content-Type, X-Actual-Token"},
			"Access-Control-Max-Age":           {"600"},
		}},
		{"origins alone", withOrigins, listedOrigin, http.Header{
			"Vary":                        {"Origin"},
			"Access-Control-Allow-Origin": {listedOrigin},
		}},
		{"any origin, not to be remembered", func(c *Config) {
			c.AccessControlAllowOriginList = []string{"*"}
			c.AccessControlAllowMethods = []string{"*"}
			c.AccessControlAllowHeaders = []string{"*", "Authorization"}
			c.AccessControlMaxAge = &zero
		}, "https://evil.example", http.Header{
			"Vary":                         {"Origin"},
			"Access-Control-Allow-Origin":  {"*"},
			"Access-Control-Allow-Methods": {"*"},
			"Access-Control-Allow-Headers": {"*, Authorization"},
			"Access-Control-Max-Age":       {"0"},
		}},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the preflight reached next") })
			for _, target := range []string{"/sync/sync", "/_reauth"} {
				res := serveOnce(newHandler(t, next, tt.change), request("OPTIONS", target, "Origin: "+tt.origin, asksMethod))
				if res.StatusCode != 204 || !reflect.DeepEqual(res.Header, tt.want) {
					t.Errorf("%d with\n     %v\nwant %v", res.StatusCode, res.Header, tt.want)
				}
			}
		})
	}
}

func TestOtherOPTIONSGoOn(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*Config)
		headers []string
	}{
		{"no list", nil, []string{"Origin: " + listedOrigin, asksMethod}},
		{"origin that is not listed", fullCORS, []string{"Origin: https://evil.example", asksMethod}},
		{"no origin", fullCORS, []string{asksMethod}},
		{"null", fullCORS, []string{"Origin: null", asksMethod}},
		{"empty origin", fullCORS, []string{"Origin: ", asksMethod}},
		{"two origins", fullCORS, []string{"Origin: " + listedOrigin, "Origin: " + listedOrigin, asksMethod}},
		{"no method asked for", fullCORS, []string{"Origin: " + listedOrigin}},
	}
	for _, tt := range tests {
		tt := tt
		t.Run(tt.name, func(t *testing.T) {
			res := serveOnce(newHandler(t, answering(200), tt.change), request("OPTIONS", "/", tt.headers...))
			if bodyOf(res) != "from upstream" {
				t.Errorf("did not go on: %d", res.StatusCode)
			}
		})
	}
}

func TestCORSHeadersOfOtherResponses(t *testing.T) {
	upstream := []string{
		"Access-Control-Allow-Origin: *",
		"Access-Control-Allow-Origin: https://idp.example.com",
		"Access-Control-Allow-Credentials: true",
		"Access-Control-Expose-Headers: X-App",
	}
	appsOwn := http.Header{
		"Access-Control-Allow-Origin":      {"*", "https://idp.example.com"},
		"Access-Control-Allow-Credentials": {"true"},
		"Access-Control-Expose-Headers":    {"X-App"},
	}
	tests := []struct {
		name   string
		change func(*Config)
		origin string
		want   http.Header
	}{
		{"listed", withOrigins, listedOrigin, http.Header{
			"Access-Control-Allow-Origin":   {listedOrigin},
			"Access-Control-Expose-Headers": {"X-App"},
		}},
		{"listed, with everything", fullCORS, "https://a.b.apps.example.com", http.Header{
			"Access-Control-Allow-Origin":      {"https://a.b.apps.example.com"},
			"Access-Control-Allow-Credentials": {"true"},
			"Access-Control-Expose-Headers":    {"X-Request-Id"},
		}},
		{"not listed", fullCORS, "https://evil.example", appsOwn},
		{"no origin", fullCORS, "", appsOwn},
	}
	for _, tt := range tests {
		for _, kindHeader := range []string{scripted, navigate, "Sec-Fetch-Mode: websocket"} {
			for _, status := range []int{200, 302, 403, 500} {
				tt, kindHeader, status := tt, kindHeader, status
				// One that is named is believed to be listed.
				named := func(c *Config) { tt.change(c); c.HeaderField = "Remote-User" }
				t.Run(tt.name+" "+kindHeader+" "+http.StatusText(status), func(t *testing.T) {
					req := request("GET", "/", kindHeader)
					if tt.origin != "" {
						req.Header.Set("Origin", tt.origin)
					}
					want := tt.want.Clone()
					want.Set("Vary", "Origin")
					for _, change := range []func(*Config){tt.change, named} {
						res := serveOnce(newHandler(t, answering(status, upstream...), change), req.Clone(context.Background()))
						if !reflect.DeepEqual(res.Header, want) {
							t.Errorf("headers\n got %v\nwant %v", res.Header, want)
						}
					}
				})
			}
		}
	}
}

func TestVary(t *testing.T) {
	tests := []struct{ have, want []string }{
		{nil, []string{"Origin"}},
		{[]string{"Accept-Encoding"}, []string{"Accept-Encoding", "Origin"}},
		{[]string{"Accept-Encoding", "Cookie, X-Origin"}, []string{"Accept-Encoding", "Cookie, X-Origin", "Origin"}},
		{[]string{"Accept-Encoding", "Cookie, origin"}, []string{"Accept-Encoding", "Cookie, origin"}},
		{[]string{"Origin ,Cookie"}, []string{"Origin ,Cookie"}},
		{[]string{"*"}, []string{"*"}},
		{[]string{"Cookie", "*"}, []string{"Cookie", "*"}},
	}
	for _, tt := range tests {
		header := http.Header{"Vary": tt.have}
		addVary(header)
		if !reflect.DeepEqual(header["Vary"], tt.want) {
			t.Errorf("%q became %q, want %q", tt.have, header["Vary"], tt.want)
		}
	}
}

func TestNoListAddsNothing(t *testing.T) {
	rec := httptest.NewRecorder()
	newHandler(t, answering(200), nil).ServeHTTP(rec, request("GET", "/", scripted, "Origin: "+listedOrigin))
	if len(rec.Header()) > 0 {
		t.Errorf("headers %v", rec.Header())
	}
}

func TestAllowedOrigin(t *testing.T) {
	h := parsed(t, func(c *Config) {
		c.AccessControlAllowOriginList = []string{
			listedOrigin, wildcardOrigin, "https://*.example.org:8443", "capacitor://localhost", "http://[::1]:3000", "http://*.localhost",
			"http://localhost:*", "https://*.dev.localhost:*",
		}
	})
	for origin, want := range map[string]bool{
		listedOrigin:                             true,
		"https://a.apps.example.com":             true,
		"https://a-b.c_d.apps.example.com":       true,
		"https://a.example.org:8443":             true,
		"capacitor://localhost":                  true,
		"http://[::1]:3000":                      true,
		"http://app.localhost":                   true,
		"http://localhost":                       true,
		"http://localhost:1":                     true,
		"http://localhost:65535":                 true,
		"https://a.dev.localhost:3000":           true,
		"http://localhost:":                      false,
		"http://localhost:0":                     false,
		"http://localhost:30000000":              false,
		"http://localhost:3000.evil.example":     false,
		"http://localhost:3000@evil.example":     false,
		"https://localhost:3000":                 false,
		"https://dev.localhost:3000":             false,
		"":                                       false,
		"null":                                   false,
		"*":                                      false,
		wildcardOrigin:                           false,
		"https://apps.example.com":               false,
		"https://.apps.example.com":              false,
		"https://a..apps.example.com":            false,
		"http://a.apps.example.com":              false,
		"https://a.apps.example.com:8443":        false,
		"https://a.apps.example.com.evil":        false,
		"https://evil.example/.apps.example.com": false,
		"https://evil@a.apps.example.com":        false,
		"https://a.apps.example.com\n":           false,
		"https://evilapps.example.com":           false,
		"https://a.appsxexample.com":             false,
		"https://A.apps.example.com":             false,
		"HTTPS://dashboard.example.com":          false,
		"https://a.example.org":                  false,
		"https://dashboard.example.com/":         false,
		// 282 bytes, and one more.
		"https://" + strings.Repeat("a.", 129) + "apps.example.com":  true,
		"https://a" + strings.Repeat("a.", 129) + "apps.example.com": false,
	} {
		got := allowedOrigin(h.cors, http.Header{"Origin": {origin}})
		if (got == origin && got != "") != want || got != origin && got != "" {
			t.Errorf("%q: answered with %q, want allowed %v", origin, got, want)
		}
	}
}

func TestParseOrigin(t *testing.T) {
	const name, clear = "the host is not a valid name", "with accessControlAllowCredentials, whoever is on the network could read what the cookies open"
	const notIP, lower, whole = "the host is not an IP address in canonical form", "browsers send origins in lower case", "* can only stand for whole labels at the start of the host"
	const noPort = "the port is not a number from 1 to 65535"
	public := func(suffix string) []string { return []string{`anyone can register a name under "` + suffix + `"`} }
	tests := []struct {
		value  string
		faults []string
		mend   string // what the mend has to contain
	}{
		{"https://example.com", nil, ""},
		{"https://example.com:8443", nil, ""},
		{"https://example.com:80", nil, ""},
		{"https://example.com:65535", nil, ""},
		{"https://" + strings.Repeat("a.", 125) + "com", nil, ""},
		{"https://nas", nil, ""},
		{"https://xn--bcher-kva.example", nil, ""},
		{"https://*.example.com", nil, ""},
		{"https://*.a.example.co.uk:1", nil, ""},
		{"https://10.0.0.1:8006", nil, ""},
		{"https://[2001:db8::1]", nil, ""},
		{"http://localhost:3000", nil, ""},
		{"http://app.localhost", nil, ""},
		{"http://*.localhost", nil, ""},
		{"http://127.0.0.2", nil, ""},
		{"http://[::1]:8080", nil, ""},
		{"capacitor://localhost", nil, ""},
		{"chrome-extension://abcdefghijklmnop", nil, ""},

		{"https://example.com/a", []string{"an origin has no path"}, `write "https://example.com"`},
		{"https://example.com/", []string{"an origin has no trailing slash"}, `write "https://example.com"`},
		{"https://example.com?a", []string{"an origin has no query"}, `write "https://example.com"`},
		{"https://example.com/a?b#c", []string{"an origin has no path", "an origin has no query", "an origin has no fragment"}, `write "https://example.com"`},
		{"https://u:p@example.com", []string{"an origin has no user info"}, `write "https://example.com"`},
		{"https://@example.com", []string{"an origin has no user info"}, `write "https://example.com"`},
		{"https://exa mple.com", []string{"has a blank in it"}, originAdvice},
		{"https://Example.com", []string{lower}, `write "https://example.com"`},
		{"HTTPS://*.Example.com:443/", []string{lower, "an origin has no trailing slash", "browsers leave the default port out"}, `write "https://*.example.com"`},
		{"https://b\u00fccher.example", []string{"the host is not ASCII"}, "Punycode"},
		{"https://example.com:443", []string{"browsers leave the default port out"}, `write "https://example.com"`},
		{"http://localhost:80", []string{"browsers leave the default port out"}, `write "http://localhost"`},
		{"https://example.com:0", []string{"no server listens on port 0"}, originAdvice},
		{"https://example.com:", []string{noPort}, originAdvice},
		{"https://example.com:65536", []string{noPort}, originAdvice},
		{"https://example.com:08443", []string{noPort}, originAdvice},
		{"https://example.com:*", []string{"only on localhost may a port be *, where development servers take any"}, "list the ports"},
		{"http://localhost:*", nil, ""},
		{"http://*.localhost:*", nil, ""},
		{"http://127.0.0.1:*", nil, ""},
		{"https://example.com:+1", []string{noPort}, originAdvice},
		{"https://127.1", []string{notIP}, "address bar"},
		{"https://127.000.0.1", []string{notIP}, "address bar"},
		{"https://0x7f000001", []string{notIP}, "address bar"},
		{"https://2130706433", []string{notIP}, "address bar"},
		{"https://[127.0.0.1]", []string{"the IP address is not in canonical form"}, `write "https://127.0.0.1"`},
		{"https://[2001:DB8:0::1]", []string{lower, "the IP address is not in canonical form"}, `write "https://[2001:db8::1]"`},
		{"https://[fe80::1%25eth0]", []string{notIP}, "address bar"},
		{"https://[::ffff:1.2.3.4]", []string{"an IPv4 address in an IPv6 one is not supported"}, "list the IPv4 address"},
		{"https://[::ffff:102:304]", []string{"an IPv4 address in an IPv6 one is not supported"}, "list the IPv4 address"},
		{"wss://app.example.com:443", []string{"a WebSocket carries the origin of the page that opens it", "browsers leave the default port out"}, `write "https://app.example.com"`},
		{"ws://localhost:3000", []string{"a WebSocket carries the origin of the page that opens it"}, `write "http://localhost:3000"`},
		{"https://[::1", []string{notIP}, "address bar"},
		{"https://::1", []string{name}, originAdvice},
		{"null", []string{"null is what every sandboxed or local page sends, an attacker's too"}, "leave it out"},
		{"file:///home", []string{"pages of the file scheme have no origin of their own"}, "over https"},
		{"file:", []string{"pages of the file scheme have no origin of their own"}, "over https"},
		{"Data://x", []string{lower, "pages of the data scheme have no origin of their own"}, "over https"},
		{"example.com", []string{"has no scheme"}, `write "https://example.com"`},
		{"/", []string{"has no scheme"}, originAdvice},
		{"1a://example.com", []string{"the scheme is not valid"}, originAdvice},
		{"://example.com", []string{"the scheme is not valid"}, originAdvice},
		{"https://", []string{name}, originAdvice},
		{"https:///a", []string{"an origin has no path", name}, originAdvice},
		{"https://a..b", []string{name}, originAdvice},
		{"https://example.com.", []string{name}, originAdvice},
		{"https://-a.example.com", []string{name}, originAdvice},
		{"https://" + strings.Repeat("a", 64) + ".com", []string{name}, originAdvice},
		{"https://" + strings.Repeat("a.", 125) + "name", []string{name}, originAdvice},
		{"https://*", []string{whole}, "all subdomains"},
		{"https://a.*.example.com", []string{whole}, "all subdomains"},
		{"https://a*.example.com", []string{whole}, "all subdomains"},
		{"https://*.*.example.com", []string{whole}, "all subdomains"},
		{"https://*.10.0.0.1", []string{"an IP address has no subdomains"}, "list the addresses"},
		{"https://*.com", []string{"a wildcard needs two labels after it"}, "domain of your own"},
		{"https://*.co.uk", public("co.uk"), "domain of your own"},
		{"https://*.duckdns.org", public("duckdns.org"), "domain of your own"},
		{"http://example.com", []string{clear}, "over https"},
		{"http://*.example.com", []string{clear}, "over https"},
		{"http://10.0.0.1", []string{clear}, "over https"},
	}
	for _, tt := range tests {
		o := parseOrigin(tt.value, true)
		if !reflect.DeepEqual(o.faults, tt.faults) {
			t.Errorf("%q: faults %q, want %q", tt.value, o.faults, tt.faults)
		}
		if len(o.faults) > 0 && !strings.Contains(o.mend(), tt.mend) {
			t.Errorf("%q: mend %q, want %q", tt.value, o.mend(), tt.mend)
		}
	}
	for _, value := range []string{"http://example.com", "http://*.example.com"} {
		if o := parseOrigin(value, false); len(o.faults) > 0 {
			t.Errorf("%q is refused without credentials: %q", value, o.faults)
		}
	}
}

func TestMethodsAndHeaders(t *testing.T) {
	tests := []struct {
		list         []string
		credentialed bool
		want         string
		faults       int
	}{
		{nil, true, "", 0},
		{[]string{"PUT", " X-CUSTOM "}, true, "PUT, X-CUSTOM", 0},
		{[]string{"*"}, false, "*", 0},
		{[]string{"*"}, true, "", 1},
		{[]string{"A,B"}, false, "", 1},
		{[]string{"A B", "C:", "\u00fc", "()"}, false, "", 4},
		{[]string{""}, false, "", 1},
	}
	for _, tt := range tests {
		for option, parse := range map[string]func(*problems) string{
			"methods": func(p *problems) string { return parseMethods(p, tt.list, tt.credentialed) },
			"headers": func(p *problems) string { return parseHeaders(p, "headers", tt.list, tt.credentialed) },
		} {
			var found problems
			if got := parse(&found); got != tt.want || len(found.list) != tt.faults {
				t.Errorf("%s %q: %q with %q", option, tt.list, got, found.list)
			}
		}
	}
	for method, wrong := range map[string]bool{"CONNECT": true, "trace": true, "Track": true, "patch": true, "Put": true, "PROPFIND": false, "custom": false} {
		var found problems
		if parseMethods(&found, []string{method}, false); (len(found.list) > 0) != wrong {
			t.Errorf("%s: %q", method, found.list)
		}
	}
}
