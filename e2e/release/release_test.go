package release

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// releasable returns a project of which everything agrees on v1.2.3, committed
// after a v1.2.2.
func releasable(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"CHANGELOG.md": "# Changelog\n\n## [1.2.3] - 2026-11-24\n\nNew.\n\n## [1.2.2] - 2026-11-01\n\n" +
			"[1.2.3]: https://example.com/tag/v1.2.3\n[1.2.2]: https://example.com/tag/v1.2.2\n",
		workerFile:     "const VERSION = 'v1.2.3'\n",
		"README.md":    "moduleName: github.com/traefik-reauth/reauth\n  version: v1.2.3\n",
		"go.mod":       "module github.com/traefik-reauth/reauth\n",
		".traefik.yml": "import: github.com/traefik-reauth/reauth\niconPath: icon.png\n",
		"icon.png":     "",
		"docs/page.md": "text\n",
		"examples/a.yml": "- --experimental.plugins.reauth.modulename=github.com/traefik-reauth/reauth\n" +
			"- --experimental.plugins.reauth.version=v1.2.3\n- --experimental.plugins.other.version=v9.9.9\n",
		"examples/b/b.toml": "moduleName = \"github.com/traefik-reauth/reauth\"\n  version = \"v1.2.3\"\n",
	} {
		write(t, root, name, text)
	}
	run(t, root, "init", "--quiet")
	commit(t, root)
	run(t, root, "tag", "v1.2.2")
	return root
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, root string, arguments ...string) {
	t.Helper()
	if _, err := git(root, arguments...); err != nil {
		t.Fatal(err)
	}
}

func commit(t *testing.T, root string) {
	t.Helper()
	run(t, root, "add", ".")
	run(t, root, "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--allow-empty", "-m", "test")
}

func TestCheck(t *testing.T) {
	replace := func(name, from, to string) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			text, err := os.ReadFile(filepath.Join(root, name))
			if err != nil || !strings.Contains(string(text), from) {
				t.Fatalf("%s has no %q: %v", name, from, err)
			}
			write(t, root, name, strings.ReplaceAll(string(text), from, to))
			commit(t, root)
		}
	}
	tests := []struct {
		name   string
		change func(*testing.T, string)
		want   []string // how each problem starts
	}{
		{"nothing", func(*testing.T, string) {}, nil},
		{"tagged", func(t *testing.T, root string) { run(t, root, "tag", "v1.2.3") }, nil},
		{"tagged elsewhere", func(t *testing.T, root string) { run(t, root, "tag", "v1.2.3"); commit(t, root) },
			[]string{"the tag v1.2.3 is on another commit"}},
		{"newer tag", func(t *testing.T, root string) { run(t, root, "tag", "v1.10.0") }, []string{"the tag v1.10.0 is newer"}},
		{"tag that is no version", func(t *testing.T, root string) { run(t, root, "tag", "1.2.3") }, []string{"the tag 1.2.3 is no version"}},
		{"change", func(t *testing.T, root string) { write(t, root, "new", "") }, []string{"the working tree has changes"}},
		{"no date", replace("CHANGELOG.md", "2026-11-24", "unreleased"), []string{"CHANGELOG.md gives v1.2.3 no date"}},
		{"older changelog", replace("CHANGELOG.md", "## [1.2.3]", "## [1.2.1]"), []string{"CHANGELOG.md has v1.2.1 at its top"}},
		{"no link", replace("CHANGELOG.md", "tag/v1.2.3", "tag/"), []string{"CHANGELOG.md does not say where v1.2.3"}},
		{"older README", replace("README.md", "v1.2.3", "v1.2.2"), []string{"README.md pins v1.2.2"}},
		{"older worker", replace(workerFile, "v1.2.3", "v1.2.2"), []string{workerFile + " pins v1.2.2"}},
		{"README without", replace("README.md", "version:", "v:"), []string{"README.md or the examples pin no version"}},
		{"status", replace("README.md", "v1.2.3\n", "v1.2.3\nBefore its\nfirst release.\n"), []string{"README.md says what is so before its first release"}},
		{"status of a page", replace("docs/page.md", "text", "until the first release"), []string{"docs/page.md says what is so until the first release"}},
		{"older argument", replace("examples/a.yml", "reauth.version=v1.2.3", "reauth.version=v1.2.2"), []string{"examples/a.yml pins v1.2.2"}},
		{"older TOML", replace("examples/b/b.toml", "v1.2.3", "v1.2.2"), []string{"examples/b/b.toml pins v1.2.2"}},
		{"other import", replace(".traefik.yml", "-reauth/reauth", "-reauth/other"), []string{".traefik.yml imports github.com/traefik-reauth/other"}},
		{"no icon", replace(".traefik.yml", "icon.png", "banner.png"), []string{".traefik.yml has no icon"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := releasable(t)
			tt.change(t, root)
			got, err := Check(root, "v1.2.3")
			if err != nil || !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("got %q, %v\nwant %q", got, err, tt.want)
			}
		})
	}
	for _, version := range []string{"", "1.2.3", "v1.2", "v1.2.3-rc.1", "v01.2.3", "v1.2.3\n"} {
		if got, err := Check(".", version); err != nil || len(got) != 1 || !strings.Contains(got[0], "is no version") {
			t.Errorf("%q: %q, %v", version, got, err)
		}
	}
}
