package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/stand"
)

var (
	goTest = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	// scriptTest finds what is given to test, and the keys of the tables that tests are made of.
	scriptTest = regexp.MustCompile("(?m)^\\s*test\\(\\s*(?:'((?:\\\\.|[^'])*)'|\"((?:\\\\.|[^\"])*)\"|`([^`]*)`)|^\t(?:'([^'\n]+)'|\"([^\"\n]+)\"): ")
	variable   = regexp.MustCompile(`\$\{[^}]*\}`)
)

// testNames returns the names of the tests in files. What differs between the tests that
// are made by one call is an ellipsis, and an engine or a client in front is left out.
func testNames(t *testing.T, globs ...string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, glob := range globs {
		files, err := filepath.Glob(filepath.Join(stand.Project(), filepath.FromSlash(glob)))
		if err != nil || len(files) == 0 {
			t.Fatal(glob, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			pattern := scriptTest
			if filepath.Ext(file) == ".go" {
				pattern = goTest
			}
			for _, found := range pattern.FindAllStringSubmatch(string(text), -1) {
				name := variable.ReplaceAllString(strings.Join(found[1:], ""), "…")
				names[strings.ReplaceAll(strings.TrimPrefix(name, "…: "), `\'`, `'`)] = true
			}
		}
	}
	return names
}

// allTests returns the names of all tests of the project.
func allTests(t *testing.T) map[string]bool {
	t.Helper()
	return testNames(t, "*_test.go", "e2e/*_test.go", "e2e/*/*_test.go", "browser/*.test.mjs", "e2e/browser/*.js")
}

// TestFaultsAreHeld finds in the table of what goes wrong tests that are gone, and tests of
// that which the table lacks.
func TestFaultsAreHeld(t *testing.T) {
	all := allTests(t)
	missing := testNames(t, "e2e/faults_test.go", "e2e/browser/faults.test.js")
	rows := 0
	for _, table := range readPages(t)["docs/faults.md"].Tables {
		for _, row := range table.Rows {
			rows++
			if len(row) != 3 || row[1].Text == "" || len(row[2].Code) == 0 {
				t.Errorf("%q has no outcome, or no test holds it", row[0].Text)
				continue
			}
			for _, name := range row[2].Code {
				if !all[name] {
					t.Errorf("%q: there is no test %q", row[0].Text, name)
				}
				delete(missing, name)
			}
		}
	}
	if rows < 20 {
		t.Errorf("there are %d rows", rows)
	}
	for name := range missing {
		t.Errorf("%q is held, and the table does not say so", name)
	}
}

// TestThreatsAreHeld finds in the table of threats tests that are gone.
func TestThreatsAreHeld(t *testing.T) {
	all := allTests(t)
	rows := readPages(t)["SECURITY.md"].table(t, "Threats, and what holds them off")
	if len(rows) < 10 {
		t.Errorf("there are %d rows", len(rows))
	}
	for _, row := range rows {
		if len(row) != 2 || len(row[1].Code) == 0 {
			t.Errorf("no test holds %q off", row[0].Text)
			continue
		}
		for _, name := range row[1].Code {
			if !all[name] {
				t.Errorf("%q: there is no test %q", row[0].Text, name)
			}
		}
	}
}
