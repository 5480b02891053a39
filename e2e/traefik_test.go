package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/traefik/traefik/v3/pkg/plugins"

	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/release"
	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// linkPlugin changes to a folder with the working tree as a local plugin.
func linkPlugin(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	if err := stand.LinkPlugin(dir); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
}

// TestManifestTestDataBuilds decodes and builds as Traefik and the catalog do,
// by Traefik's own code.
func TestManifestTestDataBuilds(t *testing.T) {
	linkPlugin(t)
	manifest, err := release.ReadManifest(stand.Project())
	if err != nil {
		t.Fatal(err)
	}
	if manifest.Import != stand.Module || len(manifest.TestData) == 0 {
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
		"serviceworker":                 "false",
		"accesscontrolalloworiginlist":  "https://a.example.com, https://b.example.com",
		"accesscontrolallowcredentials": "true",
		"accesscontrolallowmethods":     "PUT, DELETE",
		"accesscontrolallowheaders":     "X-A, X-B",
		"accesscontrolexposeheaders":    "X-C, X-D",
		"accesscontrolmaxage":           "0",
	}, func(req *http.Request) {
		req.Header.Set("Origin", "https://b.example.com")
		req.Header.Set("Service-Worker", "script")
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
	builder, err := plugins.NewBuilder(nil, nil, map[string]plugins.LocalDescriptor{"reauth": {ModuleName: stand.Module}})
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

// startStand starts a stand of its own for app, with the plugin's options, and
// ends it after the test. Without middlewares the plugin is where it belongs.
func startStand(t *testing.T, upstream string, options map[string]any, middlewares ...string) (*stand.Stand, error) {
	t.Helper()
	if len(middlewares) == 0 {
		middlewares = []string{"reauth", stand.ForwardAuth}
	}
	s, err := stand.Start(t.Context(), stand.Config{
		Dir:           t.TempDir(),
		TokenValidity: time.Hour,
		Routes:        []stand.Route{{Host: appHost, Middlewares: middlewares, Upstream: upstream}},
		Plugins:       map[string]map[string]any{"reauth": options},
	})
	if err == nil {
		probe.EndWith(t, s)
	}
	return s, err
}

func TestWrongOptionsAreReportedByTraefik(t *testing.T) {
	_, err := startStand(t, probe.ServeApp(t), map[string]any{
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

// TestMisplacedPluginSaysSoOnce counts in Traefik's log. A router has an
// instance of the plugin at each of the two entry points.
func TestMisplacedPluginSaysSoOnce(t *testing.T) {
	s, err := startStand(t, probe.ServeApp(t), nil, stand.ForwardAuth, "reauth")
	if err != nil {
		t.Fatal(err)
	}
	c := visitor.At(t, s.URL(appHost), visitor.HTTP1, s.TLS())
	c.Send("GET", "/", "", navigation...)
	if log := s.Log(); strings.Contains(log, "list it before forwardAuth") {
		t.Errorf("warned of a request that forwardAuth did not pass on: %s", stand.AboveDebug(log))
	}
	c.Enter()
	c.Send("GET", "/api/data", "", fetch...)
	var warnings []string
	for _, line := range strings.Split(s.Log(), "\n") {
		if strings.Contains(line, "list it before forwardAuth in the router's middlewares") {
			warnings = append(warnings, line)
		}
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], " ERR ") || !strings.Contains(warnings[0], "reauth@file") {
		t.Errorf("warnings %q", warnings)
	}
}

// TestReloadUnderLoad changes the plugin's options again and again while
// clients work, and waits for each change to take hold.
func TestReloadUnderLoad(t *testing.T) {
	const clients, reloads = 4, 10
	options := func(age int) map[string]any {
		return map[string]any{"accessControlAllowOriginList": []string{listedOrigin}, "accessControlMaxAge": age}
	}
	s, err := startStand(t, probe.ServeApp(t), options(0))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var served atomic.Int64
	var failure atomic.Value
	var working sync.WaitGroup
	for range clients {
		c := visitor.At(t, s.URL(appHost), visitor.HTTP1, s.TLS()).Enter()
		working.Go(func() {
			for ctx.Err() == nil && failure.Load() == nil {
				req, err := http.NewRequest(http.MethodGet, c.URL("/api/data"), nil)
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
	asking := visitor.At(t, s.URL(appHost), visitor.HTTP1, s.TLS())
	for age := 1; age <= reloads; age++ {
		err := s.Configure(t.Context(), func(c *stand.Config) { c.Plugins["reauth"] = options(age) })
		if err != nil {
			t.Fatal(err)
		}
		res := asking.Send("OPTIONS", "/", "", "Origin: "+listedOrigin, "Access-Control-Request-Method: PUT")
		if res.Header.Get("Access-Control-Max-Age") != fmt.Sprint(age) {
			t.Fatalf("reload %d did not take hold: %s", age, res)
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

func expectOK(c *visitor.Visitor, req *http.Request) error {
	res, err := c.Open(req, false)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || string(body) != `{"path":"/api/data"}`) {
		err = fmt.Errorf("%s with %q", res.Status, body)
	}
	return err
}
