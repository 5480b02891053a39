package docs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/expr-lang/expr"
	"go.yaml.in/yaml/v3"

	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// basicAuth knows one user, whose password is demo.
var basicAuth = map[string]any{"basicAuth": map[string]any{"users": []string{"demo:{SHA}ieSV55Qc+eQOaYDRSha/AjzNTJE="}}}

// commonLog are the options of an access log in the common format, with all that a client
// can write into it.
var commonLog = map[string]any{
	"format": "common",
	"fields": map[string]any{"headers": map[string]any{"names": map[string]any{"User-Agent": "keep", "Referer": "keep"}}},
}

// block returns the text of the one block of a page that has a text in it.
func (p *Page) block(t *testing.T, has string) string {
	t.Helper()
	var found []string
	for _, block := range p.Blocks {
		if strings.Contains(block.Text, has) {
			found = append(found, block.Text)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d blocks have %q", len(found), has)
	}
	return found[0]
}

// accessLogOptions returns those that the page says.
func accessLogOptions(t *testing.T) map[string]any {
	t.Helper()
	var static struct {
		AccessLog map[string]any `yaml:"accessLog"`
	}
	if err := yaml.Unmarshal([]byte(readPages(t)["docs/in-between.md"].block(t, "accessLog:")), &static); err != nil {
		t.Fatal(err)
	}
	return static.AccessLog
}

// whitelist is what CrowdSec is told to leave out.
type whitelist struct {
	Filter    string
	Whitelist struct {
		Expression []string
	}
}

// leavesOut reports whether CrowdSec leaves out a line with a status, which its parser of
// either format has found in it.
func (w whitelist) leavesOut(t *testing.T, line string, status int) bool {
	t.Helper()
	event := map[string]any{"evt": map[string]any{
		"Line": map[string]string{"Raw": line},
		"Meta": map[string]string{"log_type": "http_access-log", "http_status": fmt.Sprint(status)},
	}}
	holds := func(text string) bool {
		program, err := expr.Compile(text, expr.Env(event), expr.AsBool())
		if err != nil {
			t.Fatal(err)
		}
		result, err := expr.Run(program, event)
		if err != nil {
			t.Fatal(err)
		}
		return result.(bool)
	}
	for _, text := range w.Whitelist.Expression {
		if holds(w.Filter) && holds(text) {
			return true
		}
	}
	return false
}

// ignoreRegexes returns the patterns of lines that fail2ban is told to ignore.
func ignoreRegexes(t *testing.T, config string) []*regexp.Regexp {
	t.Helper()
	_, list, found := strings.Cut(config, "ignoreregex = ")
	if !found {
		t.Fatalf("no ignoreregex in %s", config)
	}
	var all []*regexp.Regexp
	for _, line := range strings.Split(strings.TrimSpace(list), "\n") {
		all = append(all, regexp.MustCompile(strings.TrimSpace(line)))
	}
	return all
}

// seen is a request of which an access log tells.
type seen struct {
	what   string
	host   string
	path   string
	method string
	header []string
	status int
	// ours tells that the plugin has answered with its 401.
	ours bool
}

// expectTold has the filters of the page tell the plugin's 401 from all else, in the lines
// that Traefik writes in either format, and holds its table to them.
func expectTold(t *testing.T, sh *shell, page *Page) {
	wrong := "Authorization: Basic bWFsbG9yeTp3cm9uZw==" // mallory:wrong
	requests := []seen{
		{what: "a call", host: wellHost, path: "/api", method: "GET", header: visitor.Fetch, status: 401, ours: true},
		{what: "the app", host: wellHost, path: "/unauthorized", method: "GET", header: visitor.Fetch, status: 401},
		{what: "basicAuth", host: basicHost, path: "/", method: "GET", header: []string{wrong}, status: 401},
		{what: "a visit", host: wellHost, path: "/", method: "GET", header: visitor.Navigation, status: 302},
		{what: "an edit", host: wellHost, path: "/api", method: "POST", header: visitor.Fetch, status: 401, ours: true},
		{what: "basicAuth without a user", host: basicHost, path: "/", method: "GET", status: 401},
		{what: "a forged line", host: basicHost, path: "/", method: "GET", status: 401, header: []string{
			wrong, `User-Agent: x" 1 "actual@docker" "-" 1ms`, `Referer: "downstream_Www-Authenticate":"Reauth realm`,
		}},
	}
	for _, format := range []struct {
		name string
		s    *stand.Stand
	}{
		{name: "json", s: sh.s},
		{name: "common", s: sh.common},
	} {
		t.Run(format.name, func(t *testing.T) {
			var lines []string
			for _, request := range requests {
				lines = append(lines, lineOf(t, format.s, request))
			}
			expectLeftOut(t, page, requests, lines)
			if format.name == "json" {
				expectColumns(t, page, lines[:4])
			}
		})
	}
}

// lineOf makes a request and returns the line that the access log has for it.
func lineOf(t *testing.T, s *stand.Stand, request seen) string {
	t.Helper()
	v := visitor.New(t, &http.Transport{DialContext: stand.Dial, TLSClientConfig: s.TLS(), DisableKeepAlives: true})
	v.App = s.URL(request.host)
	if request.what == "the app" {
		v.LogIn("/")
	}
	logged := func() []string {
		text, err := s.AccessLog()
		if err != nil {
			t.Fatal(err)
		}
		// Others may still ask.
		return regexp.MustCompile(`(?m)^.*\b`+request.host+`@file\b.*$`).FindAllString(text, -1)
	}
	before := len(logged())
	if res := v.Send(request.method, request.path, "", request.header...); res.StatusCode != request.status {
		t.Fatalf("%s: %s", request.what, res)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if lines := logged(); len(lines) > before {
			// The page names the router of the Compose example.
			return strings.NewReplacer(wellHost+"@file", "actual@docker", "@file", "@docker").Replace(lines[len(lines)-1])
		}
	}
	t.Fatalf("%s: nothing is logged", request.what)
	return ""
}

func expectLeftOut(t *testing.T, page *Page, requests []seen, lines []string) {
	var crowdSec whitelist
	if err := yaml.Unmarshal([]byte(page.block(t, "whitelist:")), &crowdSec); err != nil {
		t.Fatal(err)
	}
	ignored := ignoreRegexes(t, page.block(t, "ignoreregex"))
	if len(crowdSec.Whitelist.Expression) != 2 || len(ignored) != 2 {
		t.Errorf("%d expressions and %d patterns, want one for each format", len(crowdSec.Whitelist.Expression), len(ignored))
	}
	for i, line := range lines {
		request := requests[i]
		if left := crowdSec.leavesOut(t, line, request.status); left != request.ours {
			t.Errorf("CrowdSec, %s: left out is %v\n%s", request.what, left, line)
		}
		left := false
		for _, pattern := range ignored {
			left = left || pattern.MatchString(line)
		}
		if left != request.ours {
			t.Errorf("fail2ban, %s: ignored is %v\n%s", request.what, left, line)
		}
	}
}

// expectColumns holds the table of the page to lines in JSON, row by row.
func expectColumns(t *testing.T, page *Page, lines []string) {
	rows := page.table(t, "CrowdSec and fail2ban")
	if len(rows) != len(lines) {
		t.Fatalf("%d rows", len(rows))
	}
	for i, row := range rows {
		got := map[string]any{"downstream_Www-Authenticate": "none"}
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatal(err)
		}
		challenge := got["downstream_Www-Authenticate"]
		if fmt.Sprint(got["DownstreamStatus"]) != row[1].Text || fmt.Sprint(got["OriginStatus"]) != row[2].Text ||
			challenge != row[3].Text && challenge != "none" {
			t.Errorf("%s\nis %s", row, lines[i])
		}
	}
}
