package examples

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// TestNginxGuide does what README.md of the example says.
func TestNginxGuide(t *testing.T) {
	s, _ := startNginx(t)
	guide := readExample(t, "nginx/README.md")
	t.Run("commands", func(t *testing.T) { expectCommands(t, s, guide) })
	expectHarm(t, s, guide)
	t.Run("gzip_types may stay", func(t *testing.T) { expectNoHarm(t, s, guide) })
	// Else a change to the example could pass the tests by.
	if err := s.Change(t.Context(), stand.Replacement{Old: "server_name", New: "#", Times: 1}); err == nil {
		t.Error("a part that is there twice was taken for one")
	}
}

// command finds the commands of the guide, and the status each is to bring.
var command = regexp.MustCompile(`(?m)^curl -si -H '([^']+)' https://budget\.example\.com(/\S*) +# (\d+)\D`)

func expectCommands(t *testing.T, s *stand.Nginx, guide string) {
	commands := command.FindAllStringSubmatch(guide, -1)
	if len(commands) != 2 {
		t.Errorf("there are %d commands", len(commands))
	}
	for _, c := range commands {
		res := throughNginx(t, s, visitor.HTTP1).Send("GET", c[2], "", c[1])
		if strconv.Itoa(res.StatusCode) != c[3] || !res.IsChallenge() && !res.IsLogin() {
			t.Errorf("%s: got %s", c[0], res)
		}
	}
}

// expectHarm adds to the example what the guide says to take out, and looks for
// the harm.
func expectHarm(t *testing.T, s *stand.Nginx, guide string) {
	get := func(c *visitor.Visitor, path string) response { return c.Send("GET", path, "", fetch...) }
	tests := []struct {
		line    string
		instead string              // of which line it stands, if not beside all of them
		more    []stand.Replacement // what the line needs
		harm    func(t *testing.T, c *visitor.Visitor) bool
	}{
		{line: "add_header Access-Control-Allow-Origin *;", harm: func(t *testing.T, c *visitor.Visitor) bool {
			passed := get(c, "/api/data").Header["Access-Control-Allow-Origin"]
			c.Expire(s.Authentik)
			refused := get(c, "/api/data")
			return len(passed) == 2 && refused.IsChallenge() && refused.Header["Access-Control-Allow-Origin"] == nil
		}},
		{line: "add_header Access-Control-Allow-Credentials true always;",
			more: []stand.Replacement{{Old: stand.NginxPlace, New: stand.NginxPlace + "add_header Access-Control-Allow-Origin * always;", Times: 1}},
			harm: func(t *testing.T, c *visitor.Visitor) bool {
				c.Expire(s.Authentik)
				header := get(c, "/api/data").Header
				return header.Get("Access-Control-Allow-Credentials") == "true" && header.Get("Access-Control-Allow-Origin") == "*"
			}},
		{line: "if ($request_method = OPTIONS) { return 204; }", harm: func(t *testing.T, c *visitor.Visitor) bool {
			asked := s.Authentik.Asked(c.Root().Host)
			res := c.Send("OPTIONS", "/api/data", "", "Origin: "+unlisted, "Access-Control-Request-Method: PUT")
			return res.StatusCode == http.StatusNoContent && s.Authentik.Asked(c.Root().Host) == asked
		}},
		{line: "add_header Cross-Origin-Embedder-Policy require-corp;", harm: func(t *testing.T, c *visitor.Visitor) bool {
			return c.Send("GET", "/sw.js", "", forWorker...).Header.Get("Cross-Origin-Embedder-Policy") == "require-corp"
		}},
		{line: "proxy_intercept_errors on; error_page 401 https://auth.example.com/;", harm: func(t *testing.T, c *visitor.Visitor) bool {
			c.Expire(s.Authentik)
			res := get(c, "/api/data")
			return res.StatusCode == http.StatusFound && res.Header.Get("Location") == "https://auth.example.com/"
		}},
		// Without a header that says what is asked for, which the recipe sets
		// elsewhere, Authentik has no answer for nginx, which then refuses everything.
		{line: "auth_request /outpost.goauthentik.io/auth/nginx;", harm: func(t *testing.T, c *visitor.Visitor) bool {
			asked := s.Authentik.Asked(c.Root().Host)
			return get(c, "/api/data").StatusCode >= 400 && s.Authentik.Asked(c.Root().Host) == asked
		}},
		{line: "expires 30d;", harm: func(t *testing.T, c *visitor.Visitor) bool {
			return c.Send("GET", "/sw.js", "", forWorker...).Header.Get("Cache-Control") == "max-age=2592000"
		}},
		{line: "proxy_cache budget; proxy_cache_valid 200 1h;",
			more: []stand.Replacement{
				{Old: "map $http_upgrade", New: "proxy_cache_path cache keys_zone=budget:1m;\nmap $http_upgrade", Times: 1},
				{Old: "proxy_buffering off;", New: "", Times: 1},
			},
			harm: func(t *testing.T, c *visitor.Visitor) bool {
				mine := get(c, "/api/data")
				theirs := get(throughNginx(t, s, visitor.HTTP1), "/api/data")
				return mine.StatusCode == http.StatusOK && theirs.StatusCode == http.StatusOK && theirs.Text == mine.Text
			}},
		{line: "proxy_set_header X-Forwarded-Host $host;", instead: "proxy_set_header X-Forwarded-Host $http_host;", harm: func(t *testing.T, c *visitor.Visitor) bool {
			c.Expire(s.Authentik)
			return comesBackTo(t, c.Send("GET", "/", "", navigation...)) != c.URL(callback)
		}},
		{line: "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;", instead: "proxy_set_header X-Forwarded-For $remote_addr;", harm: func(t *testing.T, c *visitor.Visitor) bool {
			return strings.HasPrefix(arrived(t, c, visitor.Forged...).Get("X-Forwarded-For"), "192.0.2.1, ")
		}},
	}
	_, recipe, _ := strings.Cut(guide, "## If you come from the nginx recipe")
	recipe, _, _ = strings.Cut(recipe, "###")
	var told, tested []string
	for _, row := range firstCell.FindAllStringSubmatch(recipe, -1) {
		told = append(told, row[1])
	}
	for _, tt := range tests {
		tested = append(tested, tt.line)
	}
	if !slices.Equal(told, tested) {
		t.Errorf("the guide tells of\n%q\nand these are tested:\n%q", told, tested)
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			c := throughNginx(t, s, visitor.HTTP1).Enter()
			if tt.harm(t, c) {
				t.Error("there is harm without it")
			}
			c = throughNginx(t, s, visitor.HTTP1).Enter()
			change := stand.Replacement{Old: stand.NginxPlace, New: stand.NginxPlace + tt.line, Times: 1}
			if tt.instead != "" {
				change = stand.Replacement{Old: tt.instead, New: tt.line, Times: 1}
			}
			if err := s.Change(t.Context(), append(tt.more, change)...); err != nil {
				t.Fatal(err)
			}
			if !tt.harm(t, c) {
				t.Error("it does no harm")
			}
			if err := s.Change(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func expectNoHarm(t *testing.T, s *stand.Nginx, guide string) {
	if !strings.Contains(guide, "`gzip_types` may stay") {
		t.Error("the guide does not say so")
	}
	c := throughNginx(t, s, visitor.HTTP1).Enter()
	if err := s.Change(t.Context(), stand.Replacement{Old: stand.NginxPlace, New: stand.NginxPlace + "gzip_types text/javascript;", Times: 1}); err != nil {
		t.Fatal(err)
	}
	res := c.Send("GET", "/sw.js", "", append([]string{"Accept-Encoding: gzip"}, forWorker...)...)
	if got := res.Unzip(t); got != visitor.Script(false)+probe.WorkerScript {
		t.Errorf("got %s", res)
	}
}

// firstCell finds the code in the first cell of a table's rows.
var firstCell = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ")

// envName finds the environment variables that Actual's server reads.
var envName = regexp.MustCompile(`\benv: "(\w+)"|\bprocess\.env\.(\w+)`)

// The variables of the guide, in the server that has its version.
func TestNginxGuideKnowsActualsVariables(t *testing.T) {
	_, variables, _ := strings.Cut(readExample(t, "nginx/README.md"), "### Variables of the container")
	if !strings.Contains(variables, "Actual "+stand.CurrentClient) {
		t.Errorf("the guide speaks of another version than %s", stand.CurrentClient)
	}
	var named []string
	for _, row := range firstCell.FindAllStringSubmatch(variables, -1) {
		named = append(named, row[1])
	}
	if want := []string{"CORS_ALLOWED_ORIGINS", "ACTUAL_CORS_PROXY_ENABLED", "ACTUAL_TRUSTED_PROXIES"}; !slices.Equal(named, want) {
		t.Errorf("the guide names %q, and these are tested: %q", named, want)
	}
	read := map[string]bool{}
	server := filepath.Join(stand.Root(), "node_modules", "@actual-app", "sync-server", "build")
	err := filepath.WalkDir(server, func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".js" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, match := range envName.FindAllStringSubmatch(string(text), -1) {
			read[match[1]+match[2]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"ACTUAL_DATA_DIR": true, "ACTUAL_TRUSTED_PROXIES": true, "ACTUAL_CORS_PROXY_ENABLED": true, "CORS_ALLOWED_ORIGINS": false} {
		if read[name] != want {
			t.Errorf("Actual reads %s: %t", name, read[name])
		}
	}
	for name := range read {
		if name != "ACTUAL_CORS_PROXY_ENABLED" && (strings.Contains(name, "CORS") || strings.Contains(name, "ORIGIN")) {
			t.Errorf("Actual reads %s, too", name)
		}
	}
}

// Behind a Traefik on loopback, as in the example, Actual has to be told whom to
// believe, or all browsers share one limit. About origins it cannot be told.
func TestNginxGuideIsRightAboutActual(t *testing.T) {
	origins, left := askActual(t)
	if !strings.Contains(origins, "Access-Control-Allow-Origin: *") {
		t.Errorf("got %s", origins)
	}
	if left[1] != left[0]-1 {
		t.Errorf("two addresses have %d requests left", left)
	}
	t.Setenv("CORS_ALLOWED_ORIGINS", listed)
	t.Setenv("ACTUAL_TRUSTED_PROXIES", "127.0.0.1")
	same, left := askActual(t)
	if same != origins {
		t.Errorf("%s\nbecame\n%s", origins, same)
	}
	if left[1] != left[0] {
		t.Errorf("two addresses have %d requests left", left)
	}
}

// askActual starts an Actual server and returns what it says about origins, and
// how many requests it leaves to each of two addresses that Traefik tells of.
func askActual(t *testing.T) (origins string, left [2]int) {
	t.Helper()
	actual := probe.StartActual(t)
	for i, address := range []string{"192.0.2.1", "192.0.2.2"} {
		res := straight(t, visitor.Request(t, "GET", actual.URL+"/info", "", "X-Forwarded-For: "+address+", 127.0.0.1"))
		var err error
		if left[i], err = strconv.Atoi(res.Header.Get("Ratelimit-Remaining")); err != nil {
			t.Fatal(err)
		}
	}
	var said strings.Builder
	for _, method := range []string{"GET", "OPTIONS"} {
		for _, origin := range []string{listed, unlisted} {
			res := straight(t, visitor.Request(t, method, actual.URL+"/info", "", "Origin: "+origin, "Access-Control-Request-Method: PUT"))
			fmt.Fprintln(&said, method, origin, res.StatusCode)
			for _, name := range slices.Sorted(maps.Keys(res.Header)) {
				if strings.HasPrefix(name, "Access-Control-") || name == "Vary" {
					fmt.Fprintf(&said, "%s: %s\n", name, strings.Join(res.Header[name], ", "))
				}
			}
		}
	}
	return said.String(), left
}

// straight sends a request as it stands.
func straight(t *testing.T, req *http.Request) *http.Response {
	t.Helper()
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return res
}
