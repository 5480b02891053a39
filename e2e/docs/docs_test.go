package docs

import (
	"go/parser"
	"go/token"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/stand"
)

// source returns a file of the project.
func source(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(stand.Project(), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// exampleFiles returns the files of the examples, by their paths in the project.
func exampleFiles(t *testing.T) []string {
	t.Helper()
	return filesUnder(t, "examples")
}

// filesUnder returns the files of a folder, by their paths in the project.
func filesUnder(t *testing.T, folder string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(stand.Project()), folder, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// readPages returns every page of the project, by its path.
func readPages(t *testing.T) map[string]*Page {
	t.Helper()
	names := []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
	for _, name := range append(filesUnder(t, "docs"), exampleFiles(t)...) {
		if path.Ext(name) == ".md" {
			names = append(names, name)
		}
	}
	pages := map[string]*Page{}
	for _, name := range names {
		page, err := ReadPage(filepath.Join(stand.Project(), filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		pages[name] = page
	}
	return pages
}

func readme(t *testing.T) *Page {
	t.Helper()
	return readPages(t)["README.md"]
}

// shown returns the one text of a block of a language in the pages.
func shown(t *testing.T, pages map[string]*Page, language string) string {
	t.Helper()
	var texts []string
	for _, page := range pages {
		for _, block := range page.Blocks {
			if block.Language == language {
				texts = append(texts, block.Text)
			}
		}
	}
	if len(texts) != 1 {
		t.Fatalf("there are %d blocks of %s", len(texts), language)
	}
	return texts[0]
}

// table returns the rows of the first table under a heading.
func (p *Page) table(t *testing.T, section string) [][]Cell {
	t.Helper()
	for _, table := range p.Tables {
		if table.Section == section {
			return table.Rows
		}
	}
	t.Fatalf("there is no table under %q", section)
	return nil
}

func TestLinksLead(t *testing.T) {
	pages := readPages(t)
	for name, page := range pages {
		for _, link := range page.Links {
			u, err := url.Parse(link)
			if err != nil || u.Scheme != "" && u.Scheme != "https" {
				t.Errorf("%s: %s is no link", name, link)
				continue
			}
			if u.Scheme != "" {
				continue
			}
			target := name
			if u.Path != "" {
				target = path.Join(path.Dir(name), u.Path)
			}
			if _, err := os.Stat(filepath.Join(stand.Project(), filepath.FromSlash(target))); err != nil {
				t.Errorf("%s: %s leads nowhere: %v", name, link, err)
			} else if u.Fragment != "" && (pages[target] == nil || !pages[target].Anchors[u.Fragment]) {
				t.Errorf("%s: %s has no heading for %s", name, target, u.Fragment)
			}
		}
	}
}

// TestNumbersAgree compares what the pages say in passing with where it is
// decided.
func TestNumbersAgree(t *testing.T) {
	text := ""
	for name := range readPages(t) {
		text += strings.Join(strings.Fields(source(t, name)), " ") + " "
	}
	for _, tt := range []struct {
		said string
		file string
		want string
	}{
		{`with Go (1\.\d+) and`, "e2e/oauth2proxy/go.mod", `(?m)^go (1\.\d+)\.`},
		{`with Go (1\.\d+) and`, "e2e/prerequisites", `newest "\$\{go#go\}" (1\.\d+)`},
		{`Node\.js ([\d.]+) or later`, "e2e/prerequisites", `newest "\$\{node#v\}" ([\d.]+)`},
		{`all of Go (1\.\d+)`, "go.mod", `(?m)^go (1\.\d+)`},
		{`Traefik\*\* is ([\d.]+), built`, "e2e/go.mod", `traefik/traefik/v3 v(\S+)`},
		{`The example pins ([\d.]+) of Traefik`, "examples/docker-compose.yml", `library/traefik:v(\S+)`},
		{`traefik/traefik --version ([\d.]+) `, "examples/kubernetes/helm-values.yaml", `traefik/traefik --version ([\d.]+) `},
		{`Yaegi (\d+\.\d+)`, "e2e/go.mod", `traefik/yaegi v(\d+\.\d+)\.`},
		{`with Actual (\S+) in Chromium`, "e2e/stand/actual.go", `CurrentClient = "(.*)"`},
		{`and with (\d\S+) in Chromium`, "e2e/stand/actual.go", `OldClient     = "(.*)"`},
		{`there again for (\d+) minutes`, "browser/worker.js", `TRIP_PAUSE = (\d+) \* MINUTE`},
		{`the (\d+) minutes after a login that was cancelled`, "browser/worker.js", `TRIP_PAUSE = (\d+) \* MINUTE`},
		{`trusted until (\d+) seconds before`, "browser/worker.js", `MARGIN = (\d+) \* SECOND`},
		{`trusted for (\d+) seconds after a look`, "browser/worker.js", `const TRUST = (\d+) \* SECOND`},
		{`looked at again after (\d+) seconds`, "browser/worker.js", `LOOK_PAUSE = (\d+) \* SECOND`},
		{`nothing is asked for (\d+) seconds`, "browser/worker.js", `FIRST_WAIT = (\d+) \* SECOND`},
		{`each time, up to (\d+) minutes`, "browser/worker.js", `LONGEST_WAIT = (\d+) \* MINUTE`},
		{`say so within (\d+) seconds`, "browser/worker.js", `ANSWER_LIMIT = (\d+) \* SECOND`},
		{`among (\d+) pairs of a query`, "refresh.go", `maxPairs = (\d+)`},
		{`longer than (\d+) bytes is not read`, "refresh.go", `maxToken = (\d+)`},
		{`after up to (\d+) decodings`, "refresh.go", `maxDecodings = (\d+)`},
		{"Traefik's log says once `(list .*?)`", "refresh.go", `so (list stripPrefix .*) in the router`},
		{`at most (\d+) bytes`, "refresh.go", `maxReturnPath = (\d+)`},
	} {
		all := regexp.MustCompile(tt.said).FindAllStringSubmatch(text, -1)
		want := regexp.MustCompile(tt.want).FindStringSubmatch(source(t, tt.file))
		if all == nil || want == nil {
			t.Errorf("%q is said %d times, %s says %q", tt.said, len(all), tt.file, want)
		}
		for _, said := range all {
			if said[1] != want[1] {
				t.Errorf("a page says %q, %s says %q", said, tt.file, want)
			}
		}
	}
}

// TestPluginKeepsToItself holds the plugin to what the pages say it never
// does: it has no means to open a connection or a file, or to start a program.
func TestPluginKeepsToItself(t *testing.T) {
	harmless := []string{"bufio", "context", "crypto/sha256", "encoding/base64", "encoding/json", "errors", "fmt", "html", "log", "net", "net/http",
		"net/netip", "net/url", "path", "regexp", "sort", "strconv", "strings", "sync/atomic", "time"}
	outgoing := regexp.MustCompile(`\bnet\.(Dial|Listen|Lookup|Resolver)|\bhttp\.(Get|Post|Head|Client|Dir|(Default|Transport|Listen|Serve|File)\w*)\b|\bgo (func\b|\w+\()`)
	names, err := filepath.Glob(filepath.Join(stand.Project(), "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range parsed.Imports {
			if !slices.Contains(harmless, strings.Trim(spec.Path.Value, `"`)) {
				t.Errorf("%s imports %s", name, spec.Path.Value)
			}
		}
		for _, found := range outgoing.FindAll(text, -1) {
			t.Errorf("%s has %s", name, found)
		}
	}
}
