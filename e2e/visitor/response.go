package visitor

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/stand"
)

// Challenge is the body of the plugin's 401, at the default refreshPath.
const Challenge = `{"status":"error","reason":"network-failure","details":"session-expired","refresh":"/_reauth"}`

// RefreshPath returns the refresh path that leads back to rd.
func RefreshPath(rd string) string { return "/_reauth?rd=" + url.QueryEscape(rd) }

// Script returns the refresh script for the defaults, or the recovery script.
func Script(recovering bool) string {
	return pluginsScript() + `("/_reauth",["/outpost.goauthentik.io"],"/outpost.goauthentik.io/start",true,` + strconv.FormatBool(recovering) + ");"
}

var inPlugin = regexp.MustCompile("const refreshSource = `([^`]*)`\n")

var pluginsScript = sync.OnceValue(func() string {
	text, err := os.ReadFile(filepath.Join(stand.Project(), "browser.go"))
	if err != nil {
		panic(err)
	}
	return inPlugin.FindStringSubmatch(string(text))[1]
})

// Response is an answer that was read to its end.
type Response struct {
	*http.Response
	Text string
}

// String tells what r was, for a test that wanted another.
func (r Response) String() string {
	var header bytes.Buffer
	_ = r.Header.Write(&header)
	format := "%s\n%s\n%.300s"
	if r.Header.Get("Content-Encoding") != "" {
		format = "%s\n%s\n%.300q"
	}
	return fmt.Sprintf(format, r.Status, header.String(), r.Text)
}

// IsChallenge reports whether r is the plugin's 401.
func (r Response) IsChallenge() bool {
	return r.StatusCode == http.StatusUnauthorized &&
		strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Reauth ") &&
		(r.Text == Challenge || r.Request.Method == http.MethodHead && r.Text == "") &&
		len(r.Cookies()) == 0 && r.Header.Get("Location") == ""
}

// IsLogin reports whether r is the redirect to the login, untouched.
func (r Response) IsLogin() bool {
	location := r.Header.Get("Location")
	return r.StatusCode == http.StatusFound && len(r.Cookies()) == 1 &&
		(strings.Contains(location, "/application/o/authorize/?client_id=") || strings.Contains(location, "/outpost.goauthentik.io/start?rd="))
}

// IsPrefixed reports whether r is the app's script, script, behind the refresh
// script.
func (r Response) IsPrefixed(script string) bool {
	return r.StatusCode == http.StatusOK && r.Text == Script(false)+script &&
		r.Header.Get("Cache-Control") == "private, no-cache" && r.Header["Content-Encoding"] == nil &&
		r.Header["Etag"] == nil && r.Header["Last-Modified"] == nil && r.Header["Accept-Ranges"] == nil &&
		r.Header["Cross-Origin-Embedder-Policy"] == nil
}

// IsRecovery reports whether r is the recovery script, with what the plugin says
// about it and nothing else.
func (r Response) IsRecovery() bool {
	return r.StatusCode == http.StatusOK && r.Text == Script(true) && r.ContentLength == int64(len(r.Text)) &&
		r.Header.Get("Cache-Control") == "private, no-store" && r.Header.Get("Content-Type") == "text/javascript; charset=utf-8" &&
		r.Header.Get("Service-Worker-Allowed") == "/" && r.Header.Get("X-Content-Type-Options") == "nosniff" &&
		len(r.Cookies()) == 0 && r.Header["Location"] == nil && r.Header["Cross-Origin-Embedder-Policy"] == nil
}

// Unzip returns the body of a compressed answer.
func (r Response) Unzip(t testing.TB) string {
	t.Helper()
	if r.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("not compressed: %s", r)
	}
	reader, err := gzip.NewReader(strings.NewReader(r.Text))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
