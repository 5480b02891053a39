package docs

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// The hosts of the stand: one where all is well, and one for each thing that
// goes wrong under a heading of docs/troubleshooting.md.
const (
	wellHost       = "budget"
	misplacedHost  = "misplaced"  // the plugin behind forwardAuth
	wrongReturn    = "return"     // a login that leads back to another host
	strippedHost   = "stripped"   // a path that forwardAuth does not see
	wrongCookie    = "cookie"     // a session whose cookie is another domain's
	foreignHost    = "foreign"    // an auth server on another site
	offHost        = "off"        // without the refresh script
	redirectedHost = "redirected" // plain http leads to https
	limitedHost    = "limited"    // few requests in a second
	openIDHost     = "openid"     // authPaths has the app's callback, and nothing is certain
	misspeltHost   = "misspelt"   // an option that Traefik does not know
	tokenlessHost  = "tokenless"  // the session's token does not arrive
	ownHost        = "own"        // the plugin's own worker
	replacedHost   = "replaced"   // the same, behind an errors middleware
	basicHost      = "basic"      // a password that Traefik asks for, and no plugin
)

// authServer answers Traefik's forwardAuth as an auth server does that is set up
// wrongly. The first segment of the path tells how.
func authServer(rw http.ResponseWriter, req *http.Request) {
	host := req.Header.Get("X-Forwarded-Host")
	app := req.Header.Get("X-Forwarded-Proto") + "://" + host
	authorize := "/application/o/authorize/?" + url.Values{"client_id": {"app"}, "redirect_uri": {app + "/outpost.goauthentik.io/callback"}}.Encode()
	switch req.URL.Path {
	case "/" + wrongReturn:
		http.Redirect(rw, req, app+"/outpost.goauthentik.io/start?rd="+url.QueryEscape("https://other.example.com/"), http.StatusFound)
	case "/" + wrongCookie:
		rw.Header().Set("Set-Cookie", "authentik_proxy_0123abcd=x; Path=/; Domain=other.example.localhost; HttpOnly; Secure; SameSite=Lax")
		http.Redirect(rw, req, "https://auth.example.com"+authorize, http.StatusFound)
	case "/" + foreignHost:
		http.Redirect(rw, req, "https://auth.example.net"+authorize, http.StatusFound)
	default:
		http.NotFound(rw, req)
	}
}

// app is an app with a worker and an OpenID login of its own.
func app() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "the app") })
	mux.HandleFunc("/sw.js", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/javascript")
		_, _ = io.WriteString(rw, "addEventListener('fetch', () => {})\n")
	})
	mux.HandleFunc("/unauthorized", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusUnauthorized) })
	mux.HandleFunc("/login", func(rw http.ResponseWriter, req *http.Request) {
		back := url.QueryEscape("https://" + req.Host + "/openid/callback")
		http.Redirect(rw, req, "https://auth.example.com/application/o/authorize/?client_id=own&redirect_uri="+back, http.StatusFound)
	})
	return mux
}

// cdn is a cache in front of the app that keeps scripts for all, whatever is said
// of them.
type cdn struct {
	s *stand.Stand

	mu   sync.Mutex
	kept map[string][]byte
}

func (c *cdn) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept, ok := c.kept[req.URL.Path]; ok {
		rw.Header().Set("Cache-Control", "max-age=14400")
		rw.Header().Set("Age", "7")
		_, _ = rw.Write(kept)
		return
	}
	forwarded, err := http.NewRequestWithContext(req.Context(), req.Method, c.s.SecureURL(wellHost)+req.URL.RequestURI(), nil)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	forwarded.Header = req.Header
	res, err := (&http.Client{Transport: &http.Transport{DialContext: stand.Dial, TLSClientConfig: c.s.TLS(), DisableKeepAlives: true}}).Do(forwarded)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if strings.HasSuffix(req.URL.Path, ".js") && res.StatusCode == http.StatusOK {
		c.kept[req.URL.Path] = body
	}
	_, _ = rw.Write(body)
}

// shell runs the commands of the pages against the stand.
type shell struct {
	s    *stand.Stand
	home string
	cdn  string // URL
	// common is a stand whose access log is in the common format.
	common *stand.Stand
	// The access logs of both stands.
	told, untold string
}

// startShell starts the stand and returns a shell whose curl reaches it.
func startShell(t *testing.T) *shell {
	t.Helper()
	serve := func(h http.Handler) string {
		address, server, err := stand.Serve(h)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		return address
	}
	behind, auth := serve(app()), serve(http.HandlerFunc(authServer))
	route := func(host string, middlewares ...string) stand.Route {
		return stand.Route{Host: host, Middlewares: middlewares, Upstream: behind}
	}
	askAuth := func(path string) any {
		return map[string]any{"forwardAuth": map[string]any{"address": auth + "/" + path}}
	}
	dir := t.TempDir()
	s, err := stand.Start(t.Context(), stand.Config{
		Dir:                 dir,
		TokenValidity:       time.Hour,
		AuthResponseHeaders: append(stand.IdentityHeaders(), stand.TokenHeader),
		AccessLog:           accessLogOptions(t),
		Plugins: map[string]map[string]any{
			"reauth":          {},
			"reauth-off":      {"serviceWorker": false},
			"reauth-openid":   {"authPaths": []string{"/outpost.goauthentik.io/", "/openid/"}, "headerField": "X-Unlisted"},
			"reauth-misspelt": {"serviceWorkers": false},
			"reauth-own":      {"ownServiceWorker": true},
		},
		Middlewares: map[string]any{
			wrongReturn: askAuth(wrongReturn),
			wrongCookie: askAuth(wrongCookie),
			foreignHost: askAuth(foreignHost),
			basicHost:   basicAuth,
			"strip":     map[string]any{"stripPrefix": map[string]any{"prefixes": []string{"/budget"}}},
			"to-https":  map[string]any{"redirectRegex": map[string]any{"regex": "^http://([^:/]*)(:[0-9]*)?/(.*)", "replacement": "https://$1/$3", "permanent": true}},
			"tokenless": map[string]any{"headers": map[string]any{"customRequestHeaders": map[string]any{stand.TokenHeader: ""}}},
			"errors":    map[string]any{"errors": map[string]any{"status": []string{"400-599"}, "service": wellHost, "query": "/"}},
			"limit":     map[string]any{"rateLimit": map[string]any{"average": 1, "burst": 20}},
		},
		Routes: []stand.Route{
			route(wellHost, "reauth", stand.ForwardAuth),
			route(misplacedHost, stand.ForwardAuth, "reauth"),
			route(wrongReturn, "reauth", wrongReturn),
			route(strippedHost, "strip", "reauth", stand.ForwardAuth),
			route(wrongCookie, "reauth", wrongCookie),
			route(foreignHost, "reauth", foreignHost),
			route(offHost, "reauth-off", stand.ForwardAuth),
			route(redirectedHost, "to-https", "reauth", stand.ForwardAuth),
			route(limitedHost, "limit", "reauth", stand.ForwardAuth),
			route(openIDHost, "reauth-openid", stand.ForwardAuth),
			route(misspeltHost, "reauth-misspelt", stand.ForwardAuth),
			// As if forwardAuth had not handed it on.
			route(tokenlessHost, "reauth", stand.ForwardAuth, "tokenless"),
			route(basicHost, basicHost),
			route(ownHost, "reauth-own", stand.ForwardAuth),
			route(replacedHost, "errors", "reauth-own", stand.ForwardAuth),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	probe.EndWith(t, s)
	commonDir := t.TempDir()
	common, err := stand.Start(t.Context(), stand.Config{
		Dir:           commonDir,
		TokenValidity: time.Hour,
		AccessLog:     commonLog,
		Plugins:       map[string]map[string]any{"reauth": {}},
		Middlewares:   map[string]any{basicHost: basicAuth},
		Routes:        []stand.Route{route(wellHost, "reauth", stand.ForwardAuth), route(basicHost, basicHost)},
	})
	if err != nil {
		t.Fatal(err)
	}
	probe.EndWith(t, common)
	sh := &shell{
		s: s, home: t.TempDir(), cdn: serve(&cdn{s: s, kept: map[string][]byte{}}),
		common: common, told: filepath.Join(dir, "access.log"), untold: filepath.Join(commonDir, "access.log"),
	}
	// Nothing of what is asked here leaves the machine.
	curlrc := "connect-to = \"::127.0.0.1:\"\ncacert = \"" + filepath.Join(dir, "cert.pem") + "\"\nnoproxy = \"*\"\nmax-time = 20\n"
	if err := os.WriteFile(filepath.Join(sh.home, ".curlrc"), []byte(curlrc), 0o600); err != nil {
		t.Fatal(err)
	}
	// There is no Docker: docker compose logs prints what Traefik has logged.
	docker := "#!/bin/sh\n[ \"$*\" = 'compose logs traefik' ] || exit 1\n" +
		"[ -n \"$ACCESS_LOG\" ] && exec cat \"$ACCESS_LOG\"\n" +
		"grep -F \"options of $MIDDLEWARE@\" \"" + filepath.Join(dir, "traefik.log") + "\"\n"
	if err := os.WriteFile(filepath.Join(sh.home, "docker"), []byte(docker), 0o700); err != nil {
		t.Fatal(err)
	}
	return sh
}

// trial is what a command is run for.
type trial struct {
	app        string // the URL of the app
	cookie     string
	middleware string // whose lines docker compose logs prints
	accessLog  string // what it prints instead, a file
}

// run runs commands and returns what they print, in the names of the pages.
func (sh *shell) run(t *testing.T, on trial, commands string) string {
	t.Helper()
	commands = strings.ReplaceAll(commands, "https://budget.example.com", on.app)
	command := exec.Command("bash", "-c", "APP="+on.app+"\nCOOKIE='"+on.cookie+"'\n"+commands)
	command.Env = append(os.Environ(), "CURL_HOME="+sh.home, "PATH="+sh.home+":"+os.Getenv("PATH"), "MIDDLEWARE="+on.middleware, "ACCESS_LOG="+on.accessLog)
	output, err := command.CombinedOutput()
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		t.Fatal(err)
	}
	return sh.translate(on, string(output))
}

// translate puts the names of the pages in the place of the stand's.
func (sh *shell) translate(on trial, text string) string {
	_, host, _ := strings.Cut(on.app, "://")
	name, _, _ := strings.Cut(host, ":")
	for _, pair := range [][2]string{
		{sh.s.SecureURL("auth"), "https://auth.example.com"},
		{sh.s.URL("auth"), "http://auth.example.com"},
		{host, "budget.example.com"},
		{name, "budget.example.com"},
		{"reauth@file", "reauth@docker"},
	} {
		text = strings.ReplaceAll(text, pair[0], pair[1])
		text = strings.ReplaceAll(text, url.QueryEscape(pair[0]), url.QueryEscape(pair[1]))
	}
	return text
}

// logIn returns the session of somebody who logs in at a host, as a cookie.
func (sh *shell) logIn(t *testing.T, host string) string {
	t.Helper()
	v := visitor.New(t, &http.Transport{DialContext: stand.Dial, TLSClientConfig: sh.s.TLS(), DisableKeepAlives: true})
	landed := v.LogIn(sh.s.SecureURL(host) + "/")
	cookies := v.Jar.Cookies(landed.Request.URL)
	if landed.StatusCode != http.StatusOK || len(cookies) != 1 {
		t.Fatalf("the login led to %s %s with %v", landed.Status, landed.Request.URL, cookies)
	}
	return cookies[0].String()
}
