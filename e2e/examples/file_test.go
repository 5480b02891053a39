package examples

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/authentik"
	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/stand"
)

// replace returns text with each key of changes replaced by its value. Every key
// has to be there, once.
func replace(t *testing.T, text string, changes map[string]string) string {
	t.Helper()
	for old, changed := range changes {
		if n := strings.Count(text, old); n != 1 {
			t.Fatalf("%q is there %d times", old, n)
		}
		text = strings.Replace(text, old, changed, 1)
	}
	return text
}

// static changes the static configuration of an example: its ports, folder,
// and where the plugin and the certificates come from. It adds what the test
// looks with.
func (s setup) static(t *testing.T, name string) string {
	t.Helper()
	example := readExample(t, filepath.Join("file", name))
	const nowhere = "https://127.0.0.1:1/" // in place of Let's Encrypt
	if filepath.Ext(name) == ".toml" {
		return replace(t, example, map[string]string{
			`address = ":80"`:                          fmt.Sprintf("address = %q", address(s.web)),
			`address = ":443"`:                         fmt.Sprintf("address = %q", address(s.websecure)),
			`certResolver = "letsencrypt"`:             "",
			`storage = "/etc/traefik`:                  fmt.Sprintf("caServer = %q\nstorage = \"%s", nowhere, s.dir),
			`filename = "/etc/traefik`:                 `filename = "` + s.dir,
			"[experimental.plugins.reauth]":            "[experimental.localPlugins.reauth]",
			"version = \"" + pluginVersion(t) + "\"\n": "",
			"[providers.file]\n":                       fmt.Sprintf("[entryPoints.traefik]\naddress = %q\n[providers]\nprovidersThrottleDuration = \"50ms\"\n[providers.file]\n", address(s.api)),
			"[experimental]\n":                         "[api]\ninsecure = true\ndashboard = false\n[global]\ncheckNewVersion = false\n[log]\nnoColor = true\n[experimental]\n",
		})
	}
	return replace(t, example, map[string]string{
		`address: ":80"`:                            fmt.Sprintf("address: %q", address(s.web)),
		`address: ":443"`:                           fmt.Sprintf("address: %q", address(s.websecure)),
		"certResolver: letsencrypt":                 "{}",
		"storage: /etc/traefik":                     fmt.Sprintf("caServer: %s\n      storage: %s", nowhere, s.dir),
		"filename: /etc/traefik":                    "filename: " + s.dir,
		"providers:\n":                              "providers:\n  providersThrottleDuration: 50ms\n",
		"  plugins:\n":                              "  localPlugins:\n",
		"      version: " + pluginVersion(t) + "\n": "",
		"entryPoints:\n  web:\n":                    fmt.Sprintf("entryPoints:\n  traefik:\n    address: %q\n  web:\n", address(s.api)),
		"experimental:\n":                           "api:\n  insecure: true\n  dashboard: false\nglobal:\n  checkNewVersion: false\nlog:\n  noColor: true\nexperimental:\n",
	})
}

// dynamic changes where an example finds the app and Authentik.
func dynamic(t *testing.T, name, app, idp, endpoint string, changes map[string]string) string {
	t.Helper()
	const quotes = `"`
	equals := ": "
	if filepath.Ext(name) == ".toml" {
		equals = " = " + quotes
	}
	text := replace(t, readExample(t, filepath.Join("file", name)), map[string]string{
		"url" + equals + "http://127.0.0.1:5006":                                             "url" + equals + app,
		"url" + equals + "http://127.0.0.1:9000":                                             "url" + equals + idp,
		"address" + equals + "http://127.0.0.1:9000/outpost.goauthentik.io/auth/" + endpoint: "address" + equals + idp + "/outpost.goauthentik.io/auth/" + endpoint,
	})
	return replace(t, text, changes)
}

// startFile starts Traefik with a static example and the dynamic configuration
// that it names.
func startFile(t *testing.T, name, dynamicText string) (*stand.Traefik, *client) {
	t.Helper()
	return startTraefik(t, func(s setup) []string {
		writeFile(t, filepath.Join(s.dir, name), s.static(t, name))
		writeFile(t, filepath.Join(s.dir, "dynamic"+filepath.Ext(name)), dynamicText)
		return []string{"--configFile=" + name}
	})
}

var fileRouters = []string{"actual@file", "authentik@file", "outpost@file"}

// TestFile runs the YAML and the TOML example, which have to be the same to
// Traefik.
func TestFile(t *testing.T) {
	idp, idpURL := newAuthentik(t)
	app := probe.ServeApp(t)
	var read []map[string]map[string]any
	for _, ext := range []string{"yml", "toml"} {
		t.Run(ext, func(t *testing.T) {
			text := dynamic(t, "dynamic."+ext, app, idpURL, "traefik", nil)
			traefik, b := startFile(t, "traefik."+ext, text)
			if err := traefik.AwaitRouters(t.Context(), fileRouters...); err != nil {
				t.Fatal(err)
			}
			promises{authentik: idp, login: authorizeURL, page: page, script: script}.check(t, b)
			if res := b.Send("GET", budgetURL+"/whoami", "", append(navigation, "X-Authentik-Username: admin")...); res.Text != authentik.Username {
				t.Errorf("the app takes the user for %q", res.Text)
			}
			var raw map[string]map[string]any
			if err := traefik.API(t.Context(), "/api/rawdata", &raw); err != nil {
				t.Fatal(err)
			}
			for _, parts := range raw {
				// They hold a port that is another one each time.
				maps.DeleteFunc(parts, func(name string, _ any) bool { return strings.HasSuffix(name, "@internal") })
			}
			read = append(read, raw)
		})
	}
	if len(read) == 2 && !reflect.DeepEqual(read[0], read[1]) {
		t.Errorf("YAML: %v\nTOML: %v", read[0], read[1])
	}
}

// redirecting does to a refusal of next what Traefik does with authSigninURL:
// nothing of it is left, and the redirect leads to the one URL.
func redirecting(next http.Handler, signinURL string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		check := &checked{ResponseWriter: rw}
		next.ServeHTTP(check, r)
		if check.refused {
			http.Redirect(rw, r, signinURL, http.StatusFound)
		}
	})
}

// checked drops a 401.
type checked struct {
	http.ResponseWriter
	refused bool
}

func (c *checked) WriteHeader(status int) {
	if c.refused = status == http.StatusUnauthorized; c.refused {
		clear(c.Header())
		return
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *checked) Write(b []byte) (int, error) {
	if c.refused {
		return len(b), nil
	}
	return c.ResponseWriter.Write(b)
}

// TestAuthSigninURL runs the example as it is if Traefik knows the option, which
// 3.6 does not. There it takes the option out, and has the auth server do what
// the option does.
func TestAuthSigninURL(t *testing.T) {
	const option = "        authSigninURL: " + startURL + "\n"
	idp, idpURL := newAuthentik(t)
	app := probe.ServeApp(t)
	text := dynamic(t, "auth-signin-url.yml", app, idpURL, "nginx", nil)
	traefik, b := startFile(t, "traefik.yml", text)
	knows := true
	err := traefik.Await(t.Context(), func() error {
		knows = !strings.Contains(traefik.Log(), `"field not found, node: authSigninURL"`)
		if !knows {
			return nil
		}
		return traefik.HasRouters(t.Context(), fileRouters...)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Traefik knows authSigninURL: %v", knows)
	if !knows {
		text = dynamic(t, "auth-signin-url.yml", app, probe.Serve(t, redirecting(idp.Handler(), startURL)), "nginx", map[string]string{option: ""})
		traefik, b = startFile(t, "traefik.yml", text)
		if err := traefik.AwaitRouters(t.Context(), fileRouters...); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/outpost.goauthentik.io/start", "/"} {
		res := b.Send("GET", budgetURL+"/", "", append(fetch, "X-Original-URI: "+path, "X-Original-URL: "+budgetURL+path)...)
		if !res.IsChallenge() {
			t.Errorf("a client that says it asks for %s gets %s", path, res.Status)
		}
	}
	promises{authentik: idp, login: startURL, landing: budgetURL, page: page, script: script}.check(t, b)
}
