package reauth

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"testing"
)

// This file holds where a visit to the refresh path really ends, by an independent and
// naive reading of what browsers and servers do with a URL.

// place is where a URL leads, as far as these tests ask.
type place struct{ scheme, host, path string }

// specialSchemes are those whose URLs have a host in any case
// (https://url.spec.whatwg.org/#special-scheme).
var specialSchemes = map[string]bool{"http": true, "https": true, "ws": true, "wss": true, "ftp": true, "file": true}

// browserPlace resolves location, found at base, as browsers do
// (https://url.spec.whatwg.org/#concept-basic-url-parser). Hosts stay as they are written,
// but for their case and a default or an empty port.
func browserPlace(base place, location string) place {
	location = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(location)
	location = strings.TrimFunc(location, func(r rune) bool { return r <= ' ' })
	scheme, rest := base.scheme, location
	if name, after, found := strings.Cut(location, ":"); found && schemeSyntax.MatchString(strings.ToLower(name)) {
		scheme, rest = strings.ToLower(name), after
		if !specialSchemes[scheme] {
			return place{scheme: scheme, path: after}
		}
		if scheme != base.scheme {
			rest = "//" + strings.TrimLeft(after, `/\`)
		}
	}
	if end := strings.IndexAny(rest, "?#"); end >= 0 {
		rest = rest[:end]
	}
	rest = strings.ReplaceAll(rest, `\`, "/")
	if strings.HasPrefix(rest, "//") {
		authority, p, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		host := strings.ToLower(authority[strings.LastIndex(authority, "@")+1:])
		host = strings.TrimSuffix(strings.TrimSuffix(host, map[string]string{"http": ":80", "https": ":443"}[scheme]), ":")
		return place{scheme: scheme, host: host, path: browserPath("/" + p)}
	}
	if rest == "" {
		rest = base.path
	}
	if rest[0] != '/' {
		rest = base.path[:strings.LastIndex(base.path, "/")+1] + rest
	}
	return place{scheme: scheme, host: base.host, path: browserPath(rest)}
}

// browserPath resolves the dot segments of a path as browsers do (URL, path
// state): encoded dots too, and empty segments count.
func browserPath(p string) string {
	var kept []string
	segments := strings.Split(strings.TrimPrefix(p, "/"), "/")
	for i, segment := range segments {
		last := i == len(segments)-1
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		case ".":
		default:
			kept = append(kept, segment)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}

// percentDecoded decodes what is encoded and leaves all else alone, bare percent signs too
// (https://url.spec.whatwg.org/#percent-decode).
func percentDecoded(s string) string {
	decoded := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, low := hexDigit(s[i+1]), hexDigit(s[i+2])
			if high >= 0 && low >= 0 {
				decoded = append(decoded, byte(16*high+low))
				i += 2
				continue
			}
		}
		decoded = append(decoded, s[i])
	}
	return string(decoded)
}

// hexDigit returns the value of a digit, -1 for what is none.
func hexDigit(b byte) int {
	value := strings.IndexByte("0123456789abcdefABCDEF", b)
	if value > 15 {
		return value - 6
	}
	return value
}

// checkReturn checks that a visit to the refresh path with this rd ends on the app's host,
// outside of the refresh path and the auth server's, however often the path is decoded on
// the way.
func checkReturn(t *testing.T, h *handler, rd, location string) {
	t.Helper()
	for _, b := range []byte(location) {
		if b <= ' ' || b >= 0x7f {
			t.Fatalf("rd %.99q puts byte %#x into a header", rd, b)
		}
	}
	base := place{scheme: "https", host: "app.example.com", path: h.refreshPath}
	to := browserPlace(base, location)
	if to.scheme != base.scheme || to.host != base.host {
		t.Fatalf("rd %.99q leads to %.99q, which is %v to a browser", rd, location, to)
	}
	u, err := mustParse(t, appURL+h.refreshPath).Parse(location)
	if err != nil {
		// url.Parse refuses a bare percent sign in a fragment, browsers do not.
		head, _, _ := strings.Cut(location, "#")
		u, err = mustParse(t, appURL+h.refreshPath).Parse(head)
	}
	if err != nil || u.Scheme != base.scheme || u.Host != base.host || u.User != nil || u.Opaque != "" {
		t.Fatalf("rd %.99q leads to %.99q, which is %v to Go, %v", rd, location, u, err)
	}
	checkReadings(t, h, rd, to.path)
	checkReadings(t, h, rd, u.EscapedPath())
}

// checkReadings checks a path, and what comes of it when it is decoded again and again.
func checkReadings(t *testing.T, h *handler, rd, p string) {
	t.Helper()
	for {
		reading := strings.ReplaceAll(p, `\`, "/")
		if strings.HasPrefix(reading, "//") || strings.HasPrefix(browserPath(reading), "//") || control.MatchString(reading) {
			t.Fatalf("rd %.99q leads to a path that reads %.99q", rd, reading)
		}
		beforeQuery := reading
		if end := strings.IndexAny(reading, "?#"); end >= 0 {
			beforeQuery = reading[:end]
		}
		for _, asked := range []string{reading, path.Clean(reading), browserPath(reading), path.Clean(beforeQuery), browserPath(beforeQuery)} {
			for _, prefix := range []string{h.refreshPath, "/outpost.goauthentik.io"} {
				if asked == prefix || strings.HasPrefix(asked, prefix+"/") {
					t.Fatalf("rd %.99q leads to %.99q, which is not the app's", rd, asked)
				}
			}
		}
		decoded := percentDecoded(p)
		if decoded == p {
			return
		}
		p = decoded
	}
}

// inFolder is for an app that is one of several on its host.
func inFolder(c *Config) { c.RefreshPath = "/budget/_reauth" }

// openRedirects returns the lines of testdata/open-redirects.txt.
func openRedirects(t *testing.T) []string {
	t.Helper()
	file, err := os.Open("testdata/open-redirects.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var lines []string
	seen := map[string]bool{}
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		if strings.HasPrefix(scanner.Text(), "#") {
			continue
		}
		var line string
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatalf("%.99q: %v", scanner.Text(), err)
		}
		if seen[line] {
			t.Errorf("%.99q is there twice", line)
		}
		seen[line] = true
		lines = append(lines, line)
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestOpenRedirects tries each line as rd, as it stands and escaped, with a session that is
// good.
func TestOpenRedirects(t *testing.T) {
	lines := openRedirects(t)
	if len(lines) < 300 {
		t.Errorf("there are only %d", len(lines))
	}
	for name, change := range map[string]func(*Config){"default": nil, "in a folder": inFolder} {
		h := newHandler(t, passing("me", answering(200)), change).(*handler)
		visit := func(query string) string {
			req := request("GET", h.refreshPath, navigate, toDoc)
			// A server that takes more than Go's does hands on whatever it was sent.
			req.RequestURI = h.refreshPath + "?rd=" + query
			res := serveOnce(h, req)
			if res.StatusCode != http.StatusSeeOther || len(res.Header["Location"]) != 1 {
				t.Fatalf("%s: rd %.99q: %d with %v", name, query, res.StatusCode, res.Header)
			}
			return res.Header.Get("Location")
		}
		if got := visit("/a/b?c%26d"); got != "/a/b?c&d" {
			t.Fatalf("%s: a path of the app's leads to %q", name, got)
		}
		for _, line := range lines {
			checkReturn(t, h, line, visit(line))
			checkReturn(t, h, line, visit(url.QueryEscape(line)))
		}
	}
}
