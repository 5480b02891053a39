package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// startActual starts an Actual Budget server and a stand before it, and returns
// both with a client.
func startActual(t *testing.T) (*stand.Stand, *stand.Actual, *visitor.Visitor) {
	t.Helper()
	actual := probe.StartActual(t)
	s, err := startStand(t, actual.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, actual, visitor.At(t, s.URL(appHost), visitor.HTTP1, s.TLS())
}

// TestActualBudgetExpiresAndComesBack is the main job: the real server, its
// session expiring while the app is open, and working again after a login.
func TestActualBudgetExpiresAndComesBack(t *testing.T) {
	s, _, c := startActual(t)
	asJSON := append([]string{"Content-Type: application/json"}, fetch...)
	call := func(method, path, body string, headers ...string) map[string]any {
		t.Helper()
		res := c.Send(method, path, body, append(headers, asJSON...)...)
		var answer struct {
			Status string
			Data   map[string]any
		}
		if err := json.Unmarshal([]byte(res.Text), &answer); err != nil || res.StatusCode != http.StatusOK || answer.Status != "ok" {
			t.Fatalf("%s %s: %s", method, path, res)
		}
		return answer.Data
	}
	listFiles := func(token string) response {
		return c.Send("GET", "/sync/list-user-files", "", append([]string{"X-ACTUAL-TOKEN: " + token}, fetch...)...)
	}
	isFiles := func(res response) bool {
		return res.StatusCode == http.StatusOK && res.Text == `{"status":"ok","data":[]}`
	}

	if res := c.LogIn("/"); res.StatusCode != http.StatusOK || !strings.Contains(res.Text, "<title>Actual</title>") {
		t.Fatalf("the app did not load: %s", res)
	}
	if data := call("GET", "/account/needs-bootstrap", ""); data["bootstrapped"] != false {
		t.Fatalf("the server is not new: %v", data)
	}
	call("POST", "/account/bootstrap", `{"password":"budget"}`)
	token, _ := call("POST", "/account/login", `{"loginMethod":"password","password":"budget"}`)["token"].(string)
	if token == "" {
		t.Fatal("Actual's login gave no token")
	}
	if res := listFiles(token); !isFiles(res) {
		t.Fatalf("list files: %s", res)
	}

	c.Expire(s.Authentik)
	if res := listFiles(token); !res.IsChallenge() {
		t.Errorf("list files, expired: %s", res)
	}
	sync := []string{"Content-Type: application/actual-sync", "X-ACTUAL-TOKEN: " + token}
	if res := c.Send("POST", "/sync/sync", "edits", append(sync, fetch...)...); !res.IsChallenge() {
		t.Errorf("sync, expired: %s", res)
	}
	if res := c.Send("GET", "/sw.js", "", forWorker...); !res.IsRecovery() {
		t.Errorf("worker script, expired: %s", res)
	}

	if res := c.Visit(visitor.RefreshPath("/accounts"), navigation...); res.StatusCode != http.StatusOK || res.Request.URL.String() != c.URL("/accounts") {
		t.Errorf("the way back ended at %s with %s", res.Request.URL, res)
	}
	if res := listFiles(token); !isFiles(res) {
		t.Errorf("list files after the renewal: %s", res)
	}

	c.Expire(s.Authentik)
	s.Authentik.ExpireSSO()
	if res := listFiles(token); !res.IsChallenge() {
		t.Errorf("list files, both expired: %s", res)
	}
	if res := c.LogIn(visitor.RefreshPath("/accounts")); res.StatusCode != http.StatusOK || res.Request.URL.String() != c.URL("/accounts") {
		t.Errorf("the login ended at %s with %s", res.Request.URL, res)
	}
	if res := listFiles(token); !isFiles(res) {
		t.Errorf("list files after the login: %s", res)
	}
	// Actual's own refusal stays its own.
	if res := listFiles("wrong"); res.StatusCode != http.StatusUnauthorized || res.IsChallenge() || !strings.Contains(res.Text, "token-not-found") {
		t.Errorf("list files with a wrong token: %s", res)
	}
}

func TestActualBudgetsWorkerScriptComesBehindTheRefreshScript(t *testing.T) {
	_, _, c := startActual(t)
	c.Enter()
	alone := c.Send("GET", "/sw.js", "", fetch...)
	if res := c.Send("GET", "/sw.js", "", forWorker...); alone.Text == "" || !res.IsPrefixed(alone.Text) || res.ContentLength != int64(len(res.Text)) {
		t.Errorf("got %s", res)
	}
}

// But for the worker's script, the plugin adds nothing to what Actual answers,
// and takes nothing away.
func TestActualBudgetsAnswersAreUntouched(t *testing.T) {
	_, actual, c := startActual(t)
	c.Enter()
	straight := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	for _, path := range []string{"/", "/sw.js", "/info", "/account/needs-bootstrap"} {
		for _, headers := range [][]string{navigation, fetch} {
			direct, err := straight.Do(visitor.Request(t, "GET", actual.URL+path, "", headers...))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(direct.Body)
			direct.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			through := c.Send("GET", path, "", headers...)
			if through.StatusCode != direct.StatusCode || through.Text != string(body) {
				t.Errorf("%s: %s with %d bytes became %s with %d", path, direct.Status, len(body), through.Status, len(through.Text))
			}
			for _, header := range []http.Header{direct.Header, through.Header} {
				for name := range header {
					// Of the moment, or of the one connection.
					if name == "Date" || name == "Connection" || name == "Keep-Alive" || strings.Contains(name, "Ratelimit") {
						header.Del(name)
					}
				}
			}
			if !reflect.DeepEqual(direct.Header, through.Header) {
				t.Errorf("%s: %v became %v", path, direct.Header, through.Header)
			}
		}
	}
}
