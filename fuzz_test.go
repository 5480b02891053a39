package reauth

import (
	"encoding/json"
	"errors"
	"html"
	"io"
	"math/big"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// This file holds the fuzz targets, each with another reading of its input to compare with:
// one of Go's library, or a naive one written here from the standard. What they begin with
// is beside them and under testdata/fuzz; go test tries that too.

// inHeader reports whether a server can receive this value in a header (RFC 9110, section
// 5.5). Go's refuses all others.
func inHeader(value string) bool {
	for _, b := range []byte(value) {
		if b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}

// lowerASCII returns s with its ASCII letters in lower case.
func lowerASCII(s string) string {
	lower := []byte(s)
	for i, b := range lower {
		if 'A' <= b && b <= 'Z' {
			lower[i] = b + 'a' - 'A'
		}
	}
	return string(lower)
}

// FuzzReturnPath checks where rd leads, by Go's parser and by a browser's, and that a path
// without any trick is followed.
func FuzzReturnPath(f *testing.F) {
	for rd := range returnPaths {
		f.Add(rd)
	}
	handlers := []*handler{parsed(f, nil), parsed(f, inFolder)}
	plain := regexp.MustCompile(`^(/[a-z0-9]+)+/?([?#][a-z0-9=&%/]*)?$`)
	f.Fuzz(func(t *testing.T, rd string) {
		for _, h := range handlers {
			got := returnPath(h, []string{rd})
			checkReturn(t, h, rd, got)
			if got != rd && len(rd) <= maxReturnPath && plain.MatchString(rd) {
				t.Errorf("rd %.99q leads to %.99q", rd, got)
			}
			if again := returnPath(h, []string{got}); again != got && len(got) <= maxReturnPath {
				t.Errorf("rd %.99q leads to %.99q, and that to %.99q", rd, got, again)
			}
		}
	})
}

var escape = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// formValues returns the values of name in a query, as they were sent: what a form means
// by each (https://url.spec.whatwg.org/#urlencoded-parsing), and nothing by one with a
// percent sign that encodes no byte.
func formValues(query, name string) []string {
	var values []string
	for _, pair := range strings.Split(query, "&") {
		key, value := strings.ReplaceAll(pair, "+", " "), ""
		if equals := strings.IndexByte(key, '='); equals >= 0 {
			key, value = key[:equals], key[equals+1:]
		}
		if percentDecoded(key) != name {
			continue
		}
		if strings.Contains(escape.ReplaceAllString(value, ""), "%") {
			value = ""
		}
		values = append(values, percentDecoded(value))
	}
	return values
}

// FuzzQuery checks what of a query is the value of rd.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{"rd=/a", "rd=/a&rd=/b", "%72d=/a+b%3D&x", "rd=/a;b", "rd=%zz", "rd", "rd==&=rd&rd", "RD=/a", "r%zzd=/a"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got := sentValues(query, "rd")
		if strings.Count(query, "&") >= maxPairs {
			if !reflect.DeepEqual(got, []string{""}) {
				t.Errorf("more than %d pairs mean %q", maxPairs, got)
			}
			return
		}
		if want := formValues(query, "rd"); !reflect.DeepEqual(got, want) {
			t.Errorf("%q means %q, want %q", query, got, want)
		}
		if parsed, err := url.ParseQuery(query); err == nil && !reflect.DeepEqual(got, parsed["rd"]) {
			t.Errorf("%q means %q, and %q to Go", query, got, parsed["rd"])
		}
	})
}

// segmentsOf returns the segments of a decoded path, without empty ones and dots.
func segmentsOf(p string) []string {
	segments := []string{}
	for _, segment := range strings.Split(p, "/") {
		switch segment {
		case "", ".":
		case "..":
			if len(segments) > 0 {
				segments = segments[:len(segments)-1]
			}
		default:
			segments = append(segments, segment)
		}
	}
	return segments
}

// startsWith reports whether a path lies under the one of these segments.
func startsWith(p string, want ...string) bool {
	segments := segmentsOf(p)
	return len(segments) >= len(want) && reflect.DeepEqual(segments[:len(want)], want)
}

// isOneOfManyLogins reports whether the place is one of manyLogins. The host has its port,
// unless that is the scheme's default.
func isOneOfManyLogins(to place) bool {
	if startsWith(to.path, "outpost.goauthentik.io", "start") {
		return true
	}
	if to.scheme != "https" {
		return false
	}
	switch to.host {
	case "auth.example.com":
		return startsWith(to.path, "application", "o", "authorize")
	case "login.example.net:8443":
		return true
	case "[2001:db8::1]":
		return startsWith(to.path, "login")
	}
	return false
}

// FuzzLocation checks which redirects lead to the login and which to another host: by Go's
// parser, and where that and browsers agree on what a URL is, by a browser's.
func FuzzLocation(f *testing.F) {
	for location := range loginCases {
		f.Add(location)
	}
	h := parsed(f, manyLogins)
	agreed := regexp.MustCompile(`^((https?:)?//[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)*(:[1-9][0-9]{0,3})?)?(/[A-Za-z0-9._~-]+)*/?([?#][!-~]*)?$`)
	f.Fuzz(func(t *testing.T, location string) {
		target := mustParse(t, appURL+"/budget/x")
		login, away := leadsToLogin(h, target, location, true), leadsAway(target, location)
		u, err := target.Parse(location)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" {
			if login || away {
				t.Errorf("Location %q is no URL of a page, yet a login: %v, away: %v", location, login, away)
			}
			return
		}
		host, suffix := strings.ToLower(u.Host), map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
		host = strings.TrimSuffix(strings.TrimSuffix(host, suffix), ":")
		to := place{scheme: u.Scheme, host: host, path: u.Path}
		if want := location != "" && isOneOfManyLogins(to); login != want {
			t.Errorf("Location %q is a login: %v, want %v", location, login, want)
		}
		if want := to.host != "app.example.com"; away != want {
			t.Errorf("Location %q leads away: %v, want %v", location, away, want)
		}
		if location != "" && agreed.MatchString(location) {
			shown := browserPlace(place{scheme: "https", host: "app.example.com", path: "/budget/x"}, location)
			if login != isOneOfManyLogins(shown) || away != (shown.host != "app.example.com") {
				t.Errorf("Location %q leads to %v in a browser, yet a login: %v, away: %v", location, shown, login, away)
			}
		}
		comesBack := login
		uris := formValues(u.RawQuery, "redirect_uri")
		if len(uris) > 0 {
			back, err := url.Parse(uris[0])
			comesBack = login && len(uris) == 1 && err == nil && startsWith(back.Path, "outpost.goauthentik.io")
		}
		if strings.Count(u.RawQuery, "&") < maxPairs && leadsToLogin(h, target, location, false) != comesBack {
			t.Errorf("Location %q comes back to the auth server: %v, want %v", location, !comesBack, comesBack)
		}
	})
}

// FuzzLoginURLs checks that an entry that is accepted matches itself and what
// lies under it, and nothing that only starts with the same letters, and that it is what a
// browser reads there.
func FuzzLoginURLs(f *testing.F) {
	for _, entry := range []string{"/a", "/a/b/", "https://auth.example.com/x", "http://h:81", "https://[::1]/x", "//x", "https://h/?q", "https://h/%2e"} {
		f.Add(entry)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		login, reason := parseLoginURL(entry)
		if reason != "" {
			return
		}
		h := &handler{loginURLs: []loginURL{login}}
		target := mustParse(t, appURL+"/")
		whole := strings.TrimSuffix(entry, "/")
		for _, location := range []string{entry, whole + "/under", whole + "?query"} {
			if !leadsToLogin(h, target, location, false) {
				t.Errorf("%q does not match %q", entry, location)
			}
		}
		if login.path != "" && leadsToLogin(h, target, whole+"x", false) {
			t.Errorf("%q matches %q", entry, whole+"x")
		}
		shown := browserPlace(place{scheme: "https", host: "app.example.com", path: "/"}, entry)
		if want := place(login); login.host == "" {
			if shown != (place{"https", "app.example.com", shown.path}) || strings.TrimSuffix(shown.path, "/") != want.path {
				t.Errorf("%q is the path %q, and %v to a browser", entry, login.path, shown)
			}
		} else if shown.path = strings.TrimSuffix(shown.path, "/"); shown != want && !strings.Contains(login.host, "%") {
			t.Errorf("%q is %v, and %v to a browser", entry, want, shown)
		}
	})
}

// consistsOf reports whether s has 1 to most of these characters and no others.
func consistsOf(s, characters string, most int) bool {
	return s != "" && len(s) <= most && strings.Trim(s, characters) == ""
}

// covers reports whether an accepted entry of the list of origins means this origin.
func covers(entry, origin string) bool {
	const digits, letters = "0123456789", "abcdefghijklmnopqrstuvwxyz0123456789_-"
	if origin == entry {
		return !strings.Contains(entry, "*")
	}
	host, anyPort := strings.CutSuffix(entry, ":*")
	if anyPort && origin != host {
		last := strings.LastIndex(origin, ":")
		if last > len("https:") && consistsOf(origin[last+1:], digits, 5) && origin[last+1] != '0' {
			origin = origin[:last]
		}
	}
	scheme, domain, wildcard := strings.Cut(host, "://*.")
	if !wildcard {
		return anyPort && origin == host
	}
	rest, sameScheme := strings.CutPrefix(origin, scheme+"://")
	labels, under := strings.CutSuffix(rest, "."+domain)
	if !sameScheme || !under {
		return false
	}
	for _, label := range strings.Split(labels, ".") {
		if !consistsOf(label, letters, maxOrigin) {
			return false
		}
	}
	return true
}

// FuzzOrigin checks which origins an accepted entry allows, alone and among others, and
// that it is written as Go writes it.
func FuzzOrigin(f *testing.F) {
	for _, entry := range []string{listedOrigin, wildcardOrigin, "http://[::1]:1", "https://10.0.0.1", "capacitor://localhost", "http://localhost:*", "https://*.dev.localhost:*"} {
		for _, origin := range []string{listedOrigin, "https://a.apps.example.com", "https://evil.example/.apps.example.com", "null", "http://localhost:3000"} {
			f.Add(entry, origin)
		}
	}
	others := []string{"https://*.other.example:8443", "http://[::1]:*"}
	f.Fuzz(func(t *testing.T, entry, origin string) {
		if len(parseOrigin(entry, true).faults) > 0 {
			return
		}
		policyOf := func(list ...string) *corsPolicy {
			var found problems
			policy := &corsPolicy{exact: map[string]bool{}, credentials: true}
			parseOrigins(&found, list, policy)
			if len(found.list) > 0 {
				t.Fatalf("%q has no fault, yet %q", list, found.list)
			}
			return policy
		}
		alone, among := policyOf(entry), policyOf(others[0], entry, others[1])
		for _, value := range []string{origin, entry, strings.Replace(entry, "*.", "", 1), strings.Replace(entry, "*", "a.b", 1), entry + ".evil.example", entry + ":1"} {
			want := ""
			if len(value) <= maxOrigin && covers(entry, value) {
				want = value
			}
			if got := allowedOrigin(alone, http.Header{"Origin": {value}}); got != want {
				t.Errorf("%q answers %q with %q, want %q", entry, value, got, want)
			}
			if len(value) <= maxOrigin && (covers(others[0], value) || covers(others[1], value)) {
				want = value
			}
			if got := allowedOrigin(among, http.Header{"Origin": {value}}); got != want {
				t.Errorf("%q among others answers %q with %q, want %q", entry, value, got, want)
			}
		}
		u, err := url.Parse(strings.TrimSuffix(strings.Replace(entry, "*.", "", 1), ":*"))
		if err != nil || u.Scheme+"://"+u.Host != strings.TrimSuffix(strings.Replace(entry, "*.", "", 1), ":*") || u.User != nil ||
			u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && !isLoopback(u.Hostname()) {
			t.Errorf("%q is accepted: %v, %v", entry, u, err)
		}
	})
}

// FuzzVary checks that an answer says once that it depends on Origin, in two lines of Vary.
func FuzzVary(f *testing.F) {
	for _, line := range []string{"", "Origin", "*", "Cookie, origin", "X-Origin", "Origin-X,\t* ,", "ori, gin", "\"Origin\""} {
		f.Add(line, "Accept-Encoding")
		f.Add("Cookie", line)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		lines := []string{first, second}
		told := false
		for _, line := range lines {
			for _, member := range strings.Split(line, ",") {
				member = lowerASCII(strings.Trim(member, " \t"))
				told = told || member == "*" || member == "origin"
			}
		}
		want := []string{first, second}
		if !told {
			want = append(want, "Origin")
		}
		header := http.Header{"Vary": lines}
		addVary(header)
		if !reflect.DeepEqual(header["Vary"], want) {
			t.Errorf("%q becomes %q, want %q", lines, header["Vary"], want)
		}
	})
}

// FuzzForwardedProto checks which scheme a request had before a proxy in front.
func FuzzForwardedProto(f *testing.F) {
	for _, line := range []string{"", "https", "http", "HTTPS , http", "http, https", "\thttps", "wss", "https;", "https://", ",https"} {
		f.Add(line, "https")
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		if !inHeader(first) || nonASCII.MatchString(first) {
			return
		}
		want := "http"
		switch textproto.TrimString(lowerASCII(strings.Split(first, ",")[0])) {
		case "https", "wss":
			want = "https"
		}
		req := httptest.NewRequest("GET", "http://app.example.com/a", nil)
		req.Header["X-Forwarded-Proto"] = []string{first, second}
		w := &responseWriter{req: req, host: req.Host, path: req.URL.Path, forwardedProto: req.Header["X-Forwarded-Proto"]}
		if got := requestURL(w); got.String() != want+"://app.example.com/a" {
			t.Errorf("%q means %v, want %s", first, got, want)
		}
	})
}

// isASCIIBlank reports whether r stands between the parts of a policy
// (https://infra.spec.whatwg.org/#ascii-whitespace).
func isASCIIBlank(r rune) bool {
	return r == ' ' || r == '\t' || r == '\n' || r == '\f' || r == '\r'
}

// directivesOf reads a policy as browsers do (https://w3c.github.io/webappsec-csp/#parse-serialized-policy),
// and returns the names in their order and the words of each.
func directivesOf(policy string) ([]string, map[string][]string) {
	var names []string
	values := map[string][]string{}
	for _, directive := range strings.Split(policy, ";") {
		words := strings.FieldsFunc(directive, isASCIIBlank)
		if len(words) == 0 || nonASCII.MatchString(directive) {
			continue
		}
		name := lowerASCII(words[0])
		if _, there := values[name]; !there {
			names = append(names, name)
			values[name] = append([]string{}, words[1:]...)
		}
	}
	return names, values
}

// FuzzContentSecurityPolicy checks that what a worker's policy lets it reach grows by what
// is needed, and that nothing else changes in it.
func FuzzContentSecurityPolicy(f *testing.F) {
	for policy := range policies {
		f.Add(policy)
	}
	h := parsed(f, manyLogins)
	sources := []string{"'self'", "https://auth.example.com", "https://login.example.net:8443", "https://[2001:db8::1]"}
	f.Fuzz(func(t *testing.T, line string) {
		if !inHeader(line) {
			return
		}
		header := http.Header{"Content-Security-Policy": {"img-src 'none'", line}}
		allowRenewal(h, header)
		got := header["Content-Security-Policy"]
		if len(got) != 2 || got[0] != "img-src 'none'" {
			t.Fatalf("%q becomes %q", line, got)
		}
		before, after := strings.Split(line, ","), strings.Split(got[1], ",")
		if len(before) != len(after) {
			t.Fatalf("%q has %d policies, and %q has %d", line, len(before), got[1], len(after))
		}
		for i := range before {
			names, values := directivesOf(before[i])
			reached, bounded := values["connect-src"]
			if !bounded {
				reached, bounded = values["default-src"]
				names = append(names, "connect-src")
			}
			if !bounded {
				if before[i] != after[i] {
					t.Errorf("%q bounds nothing, and becomes %q", before[i], after[i])
				}
				continue
			}
			var want []string
			there := map[string]bool{}
			for _, source := range reached {
				if lowerASCII(source) != "'none'" {
					want = append(want, source)
					there[lowerASCII(source)] = true
				}
			}
			for _, source := range sources {
				if !there[source] {
					want = append(want, source)
				}
			}
			values["connect-src"] = want
			gotNames, gotValues := directivesOf(after[i])
			if !reflect.DeepEqual(gotNames, names) || !reflect.DeepEqual(gotValues, values) {
				t.Errorf("%q becomes %q: %q, want %q", before[i], after[i], gotValues, values)
			}
		}
	})
}

// javaScriptType matches the media types of JavaScript
// (https://mimesniff.spec.whatwg.org/#javascript-mime-type).
var javaScriptType = regexp.MustCompile(`^((application|text)/(x-)?(ecma|java)script|text/(javascript1\.[0-5]|jscript|livescript))$`)

// FuzzContentType checks which bodies are a worker's script, and which a script of a page
// has sent, by Go's parser of media types.
func FuzzContentType(f *testing.F) {
	for _, value := range []string{"", "text/javascript", "Text/JScript ; charset=utf-8", "application/x-javascript;;", "text/javascript1.6", "text/html, text/javascript",
		"application/json", "application/problem+JSON; a=\"b;c\"", "application/actual-sync", "text/plain;application/json", "+json", "a b+json"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		essence, _, err := mime.ParseMediaType(value)
		if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
			// Nothing is said about what has no type, but that it is no script.
			essence = ""
		} else if got, want := isDataType(value), essence == "application/json" || essence == "application/actual-sync" || strings.HasSuffix(essence, "+json"); got != want {
			t.Errorf("%q is sent by a script: %v, want %v", value, got, want)
		}
		if got, want := isScript(http.Header{"Content-Type": {value}}), javaScriptType.MatchString(essence); got != want {
			t.Errorf("%q is a script: %v, want %v", value, got, want)
		}
	})
}

// base64URLDecoded decodes base64url without padding (RFC 4648, section 5).
func base64URLDecoded(s string) ([]byte, bool) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	var decoded []byte
	bits, count := 0, 0
	for i := 0; i < len(s); i++ {
		value := strings.IndexByte(alphabet, s[i])
		if value < 0 {
			return nil, false
		}
		bits, count = bits<<6|value, count+6
		if count >= 8 {
			count -= 8
			decoded = append(decoded, byte(bits>>count))
			bits &= 1<<count - 1
		}
	}
	return decoded, len(s)%4 != 1
}

// endOf returns the end that a token tells, and whether it does. It reads the payload
// member by member. As with Go's own reading the case of a name does not count, the last
// of several does, and null is none.
func endOf(token string) (*big.Float, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, false
	}
	payload, ok := base64URLDecoded(parts[1])
	if !ok || !json.Valid(payload) {
		return nil, false
	}
	decoder := json.NewDecoder(strings.NewReader(string(payload)))
	decoder.UseNumber()
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, false
	}
	var end *big.Float
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, false
		}
		var value any
		if err := decoder.Decode(&value); err != nil {
			return nil, false
		}
		if lowerASCII(name.(string)) != "exp" || value == nil {
			continue
		}
		number, isNumber := value.(json.Number)
		if !isNumber {
			return nil, false
		}
		end, _, err = big.ParseFloat(number.String(), 10, 512, big.ToNearestEven)
		if err != nil {
			return nil, false
		}
	}
	return end, end != nil
}

// FuzzSecondsLeft checks when a token ends, by another decoder and without the rounding of
// floats.
func FuzzSecondsLeft(f *testing.F) {
	for token := range tokens {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if !inHeader(token) {
			return
		}
		got, known := secondsLeft(token, time.Unix(tokenNow, 0))
		end, tells := endOf(token)
		if !tells || len(token) > maxToken {
			if known {
				t.Errorf("%.99q ends in %d seconds, and tells no end", token, got)
			}
			return
		}
		left, _ := end.Sub(end, big.NewFloat(tokenNow)).Float64()
		const rounding = 1e-6
		switch {
		case left < -rounding || left > maxLifetime+rounding:
			if known {
				t.Errorf("%.99q ends in %d seconds, want in %v, which means nothing", token, got, left)
			}
		case left > rounding && left < maxLifetime-rounding && (!known || float64(got) > left+rounding || float64(got) < left-1-rounding):
			t.Errorf("%.99q ends in %d seconds, %v, want in %v", token, got, known, left)
		}
	})
}

// FuzzVisitPage checks that the page in place of a refused visit says where the login is in
// two attributes, which no Location ends, and holds nothing else of the answer.
func FuzzVisitPage(f *testing.F) {
	for _, query := range []string{"", "?state=s&rd=/a%3Fb", "?\"><script>alert(1)</script>", "/'onload='", "#&quot;&#34;&", "?a;url=//evil.example", "?\u00fc\xff\t"} {
		f.Add(query)
	}
	location := ""
	h := newHandler(f, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Location", location)
		rw.WriteHeader(http.StatusFound)
	}), withOwn)
	visit := func(to string) (int, string) {
		location = to
		res := serveOnce(h, request("GET", "/", navigate, toDoc))
		return res.StatusCode, bodyOf(res)
	}
	const login = "https://auth.example.com/application/o/authorize"
	_, page := visit(login)
	around := strings.Split(page, login)
	if len(around) != 3 || !strings.HasSuffix(around[0], `content="0;url=`) || !strings.HasSuffix(around[1], `href="`) || around[1][0] != '"' || around[2][0] != '"' {
		f.Fatalf("the login is not in two attributes: %q", around)
	}
	f.Fuzz(func(t *testing.T, query string) {
		status, page := visit(login + query)
		if status == http.StatusFound {
			return
		}
		left := len(page) - len(strings.Join(around, ""))
		if status != http.StatusUnauthorized || left%2 != 0 || left < 0 {
			t.Fatalf("%q: %d with %q", location, status, page)
		}
		written := page[len(around[0]):][:left/2]
		if page != strings.Join(around, written) || strings.ContainsAny(written, `"<>`) || html.UnescapeString(written) != location {
			t.Errorf("%q is %q in %q", location, written, page)
		}
	})
}

// FuzzWorkerScript has an app send its worker's script in pieces, as sizes says, through a
// server of Go's. Whatever they are, the browser gets the refresh script and all of the app's.
func FuzzWorkerScript(f *testing.F) {
	const (
		withLength   = 1 << iota // the app says how long its script is
		withStatus               // it sends the status by itself
		withHints                // it sends an informational status before
		isHead                   // the request is for the header alone
		isCompressed             // the script cannot be had in front
		isRefused                // the session has expired
		isPageScript             // it is not for a worker
	)
	for how := 0; how < 2*isPageScript; how++ {
		f.Add([]byte("self.a = 1"), []byte{0, 1, 0, 0, 3}, byte(how))
		f.Add([]byte{}, []byte{0}, byte(how))
		f.Add([]byte{}, []byte{}, byte(how))
	}
	var app atomic.Value
	h := newHandler(f, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		app.Load().(http.HandlerFunc)(rw, req)
	}), nil)
	server := httptest.NewServer(h)
	f.Cleanup(server.Close)
	transport := &http.Transport{DisableCompression: true}
	f.Cleanup(func() { transport.CloseIdleConnections() })
	script, recovery := h.(*handler).refreshScript, h.(*handler).recoveryScript
	f.Fuzz(func(t *testing.T, body, sizes []byte, how byte) {
		app.Store(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			header := rw.Header()
			if how&withHints != 0 {
				header.Set("Link", "</a.js>; rel=preload")
				rw.WriteHeader(http.StatusEarlyHints)
			}
			header.Set("Content-Type", "text/javascript")
			if how&withLength != 0 {
				header.Set("Content-Length", strconv.Itoa(len(body)))
			}
			if how&isCompressed != 0 {
				header.Set("Content-Encoding", "br")
			}
			if how&isRefused != 0 {
				header.Set("Location", authorizeURL)
				rw.WriteHeader(http.StatusFound)
			} else if how&withStatus != 0 {
				rw.WriteHeader(http.StatusOK)
			}
			write := func(piece []byte) {
				if n, err := rw.Write(piece); n != len(piece) || err != nil {
					t.Errorf("of %d bytes %d are written: %v", len(piece), n, err)
				}
			}
			rest := body
			for _, size := range sizes {
				if int(size) > len(rest) {
					break
				}
				write(rest[:size])
				rest = rest[size:]
			}
			if len(rest) > 0 {
				write(rest)
			}
		}))
		method, want := http.MethodGet, script+string(body)
		status := http.StatusOK
		if how&isCompressed != 0 {
			want = string(body)
		}
		if how&isRefused != 0 {
			want = recovery
		}
		if how&(isPageScript|isHead) != 0 {
			want = string(body)
			if how&isRefused != 0 {
				want, status = h.(*handler).challengeBody, http.StatusUnauthorized
			}
		}
		length := int64(len(want))
		if how&isHead != 0 {
			method, want = http.MethodHead, ""
		}
		req, err := http.NewRequest(method, server.URL+"/sw.js", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Sec-Fetch-Dest", "script")
		if how&isPageScript == 0 {
			req.Header.Set("Sec-Fetch-Dest", "serviceworker")
			req.Header.Set("Service-Worker", "script")
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != status || string(got) != want {
			t.Errorf("%d with %d bytes, %v, want %d with %d: %.40q … %.40q", res.StatusCode, len(got), err, status, len(want), got, got[len(got)*9/10:])
		}
		if (how&(withLength|isRefused) != 0) && res.ContentLength != length {
			t.Errorf("said to have %d bytes, want %d", res.ContentLength, length)
		}
	})
}
