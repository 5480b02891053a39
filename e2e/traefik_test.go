package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/traefik/traefik/v3/pkg/plugins"
	"go.yaml.in/yaml/v3"

	"github.com/traefik-reauth/reauth/e2e/stand"
)

const pluginModule = "github.com/traefik-reauth/reauth"

// linkPlugin makes the working tree a local plugin of a program that runs in
// an empty folder, and changes there.
func linkPlugin(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	link := filepath.Join("plugins-local", "src", filepath.FromSlash(pluginModule))
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(stand.Root()), link); err != nil {
		t.Fatal(err)
	}
}

// TestManifestTestDataBuilds decodes and builds as Traefik and the catalog do,
// by Traefik's own code.
func TestManifestTestDataBuilds(t *testing.T) {
	linkPlugin(t)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(stand.Root()), ".traefik.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Import   string         `yaml:"import"`
		TestData map[string]any `yaml:"testData"`
	}
	if err := yaml.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Import != pluginModule || len(manifest.TestData) == 0 {
		t.Fatalf("import %q, testData %v", manifest.Import, manifest.TestData)
	}
	res := buildAndServe(t, manifest.TestData, func(req *http.Request) {
		req.Method = http.MethodOptions
		req.Header.Set("Origin", "https://a.apps.example.com")
		req.Header.Set("Access-Control-Request-Method", "PUT")
	})
	want := http.Header{
		"Vary":                             {"Origin"},
		"Access-Control-Allow-Origin":      {"https://a.apps.example.com"},
		"Access-Control-Allow-Credentials": {"true"},
		"Access-Control-Allow-Methods":     {"PUT, DELETE"},
		"Access-Control-Allow-Headers":     {"Content-Type, X-Actual-Token"},
		"Access-Control-Max-Age":           {"600"},
	}
	if res.StatusCode != http.StatusNoContent || fmt.Sprint(res.Header) != fmt.Sprint(want) {
		t.Errorf("got %d %v\nwant %v", res.StatusCode, res.Header, want)
	}
}

// TestOptionsAsLabels gives every option the way labels do: as strings.
func TestOptionsAsLabels(t *testing.T) {
	linkPlugin(t)
	res := buildAndServe(t, map[string]any{
		"refreshpath":                   "/renew",
		"loginurls":                     "https://login.example.com/, /start",
		"authpaths":                     "/auth/, /outpost.goauthentik.io/",
		"accesscontrolalloworiginlist":  "https://a.example.com, https://b.example.com",
		"accesscontrolallowcredentials": "true",
		"accesscontrolallowmethods":     "PUT, DELETE",
		"accesscontrolallowheaders":     "X-A, X-B",
		"accesscontrolexposeheaders":    "X-C, X-D",
		"accesscontrolmaxage":           "0",
	}, func(req *http.Request) {
		req.Header.Set("Origin", "https://b.example.com")
	})
	if res.StatusCode != http.StatusUnauthorized ||
		res.Header.Get("WWW-Authenticate") != `Reauth realm="test@file", uri="/renew"` ||
		res.Header.Get("Access-Control-Allow-Origin") != "https://b.example.com" ||
		res.Header.Get("Access-Control-Expose-Headers") != "X-C, X-D, WWW-Authenticate" {
		t.Errorf("got %d %v", res.StatusCode, res.Header)
	}
}

// buildAndServe builds the plugin with options in front of an expired session
// and returns its answer to a fetch.
func buildAndServe(t *testing.T, options map[string]any, change func(*http.Request)) *http.Response {
	t.Helper()
	builder, err := plugins.NewBuilder(nil, nil, map[string]plugins.LocalDescriptor{"reauth": {ModuleName: pluginModule}})
	if err != nil {
		t.Fatal(err)
	}
	construct, err := builder.Build("reauth", options, "test@file")
	if err != nil {
		t.Fatal(err)
	}
	handler, err := construct(t.Context(), http.RedirectHandler("https://login.example.com/?x", http.StatusFound))
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodGet, "https://app.example.com/api", nil)
	req.Header.Set("Sec-Fetch-Mode", "cors")
	change(req)
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, req)
	return rec.Result()
}

// startStand starts a stand of its own with one app.
func startStand(t *testing.T, options map[string]any) (*stand.Stand, error) {
	t.Helper()
	upstream, server, err := stand.Serve(app.handler())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	s, err := stand.Start(t.Context(), stand.Config{
		Dir:           t.TempDir(),
		TokenValidity: time.Hour,
		Routes:        []stand.Route{{Host: appHost, Middlewares: []string{"reauth", stand.ForwardAuth}, Upstream: upstream}},
		Plugins:       map[string]map[string]any{"reauth": options},
	})
	if err == nil {
		t.Cleanup(func() {
			if t.Failed() {
				t.Log(aboveDebug(s.Log()))
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return s, err
}

func TestWrongOptionsAreReportedByTraefik(t *testing.T) {
	_, err := startStand(t, map[string]any{
		"refreshPath":                   "reauth",
		"accessControlAllowOriginList":  []string{"https://app.example.com/", "*"},
		"accessControlAllowCredentials": true,
	})
	if err == nil {
		t.Fatal("Traefik took the options")
	}
	for _, part := range []string{
		"invalid configuration, 3 problems: (1) refreshPath \"reauth\": ",
		`accessControlAllowOriginList "https://app.example.com/": an origin has no trailing slash; write "https://app.example.com"`,
		`accessControlAllowOriginList "*": any site could act with the user's cookies`,
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("not in the error: %s", part)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

// TestMisplacedPluginSaysSo counts in Traefik's log: each router has an
// instance at each of the two entry points.
func TestMisplacedPluginSaysSo(t *testing.T) {
	count := func() (lines int) {
		for _, line := range strings.Split(shared.Log(), "\n") {
			if strings.Contains(line, "list it before forwardAuth in the router's middlewares") {
				if !strings.Contains(line, "ERR") || !strings.Contains(line, "reauth-behind@file") {
					t.Errorf("not what people will find: %s", line)
				}
				lines++
			}
		}
		return lines
	}
	for i, p := range []protocol{overHTTP1, overTLS2} {
		c := newClient(t, p, behindHost)
		c.enter(good)
		c.send("GET", "/api/data", "", fetch...)
		if got, want := count(), i+1; got != want {
			t.Errorf("%d warnings after use of %d instances", got, want)
		}
	}
}

// TestReloadUnderLoad changes the plugin's options again and again while
// clients work, and waits for each change to take hold.
func TestReloadUnderLoad(t *testing.T) {
	const clients, reloads = 4, 10
	options := func(age int) map[string]any {
		return map[string]any{"accessControlAllowOriginList": []string{listedOrigin}, "accessControlMaxAge": age}
	}
	s, err := startStand(t, options(0))
	if err != nil {
		t.Fatal(err)
	}
	p := protocol{"HTTP/1.1", s.URL, 1, oneProtocol((*http.Protocols).SetHTTP1)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var served atomic.Int64
	var failure atomic.Value
	var working sync.WaitGroup
	for range clients {
		c := newClient(t, p, appHost)
		c.enter(good)
		working.Go(func() {
			for ctx.Err() == nil && failure.Load() == nil {
				req, err := http.NewRequest(http.MethodGet, c.url("/api/data"), nil)
				if err == nil {
					req.Header.Set("Sec-Fetch-Mode", "cors")
					err = expectOK(c, req)
				}
				if err != nil {
					failure.Store(err)
				}
				served.Add(1)
			}
		})
	}
	asking := newClient(t, p, appHost)
	for age := 1; age <= reloads; age++ {
		if err := s.Configure(map[string]map[string]any{"reauth": options(age)}); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(20 * time.Second)
		for {
			res := asking.send("OPTIONS", "/", "", "Origin: "+listedOrigin, "Access-Control-Request-Method: PUT")
			if res.Header.Get("Access-Control-Max-Age") == fmt.Sprint(age) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("reload %d did not take hold: %s", age, describe(res))
			}
		}
	}
	cancel()
	working.Wait()
	if err, failed := failure.Load().(error); failed {
		t.Error(err)
	}
	t.Logf("%d requests during %d reloads", served.Load(), reloads)
	if served.Load() < 10*reloads {
		t.Error("there was hardly a load")
	}
}

func expectOK(c *client, req *http.Request) error {
	res, err := c.open(req, false)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}
