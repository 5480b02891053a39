package docs

import (
	"path"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// decodeGitHub reads a file under .github. GitHub refuses a file with a name that
// it does not know, and says so to nobody who could change it.
func decodeGitHub(t *testing.T, name string, value any) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(source(t, path.Join(".github", name))))
	decoder.KnownFields(true)
	if err := decoder.Decode(value); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// TestIssueForm holds the form to what GitHub takes, and what it shows to what the
// plugin and the README say.
func TestIssueForm(t *testing.T) {
	var form struct {
		Name, Description string
		Labels            []string
		Body              []struct {
			Type, ID    string
			Attributes  struct{ Label, Description, Placeholder, Value, Render string }
			Validations struct{ Required bool }
		}
	}
	decodeGitHub(t, "ISSUE_TEMPLATE/bug.yml", &form)
	ids := map[string]bool{}
	for _, element := range form.Body {
		switch element.Type {
		case "markdown":
			if element.Attributes.Value == "" {
				t.Error("there is a markdown without text")
			}
		case "input", "textarea":
			if ids[element.ID] || element.ID == "" || element.Attributes.Label == "" {
				t.Errorf("%+v has no id of its own, or no label", element)
			}
			ids[element.ID] = true
		default:
			t.Errorf("there is no element %q", element.Type)
		}
		if line, _, _ := strings.Cut(element.Attributes.Placeholder, "…"); element.ID == "options" && !strings.Contains(source(t, "README.md"), strings.TrimSpace(line)) {
			t.Errorf("the README shows no %s", line)
		}
	}

	var chooser struct {
		BlankIssuesEnabled bool                                `yaml:"blank_issues_enabled"`
		ContactLinks       []struct{ Name, URL, About string } `yaml:"contact_links"`
	}
	decodeGitHub(t, "ISSUE_TEMPLATE/config.yml", &chooser)
	for _, link := range chooser.ContactLinks {
		if _, page, found := strings.Cut(link.URL, "/blob/main/"); found && readPages(t)[page] == nil {
			t.Errorf("there is no page for %s", link.URL)
		}
	}
}

// TestDependabot finds what the bot would look for in vain.
func TestDependabot(t *testing.T) {
	type names []struct {
		Name string `yaml:"dependency-name"`
		Type string `yaml:"dependency-type"`
	}
	var config struct {
		Version int
		Updates []struct {
			Ecosystem     string `yaml:"package-ecosystem"`
			Directory     string
			Schedule      struct{ Interval string }
			Cooldown      map[string]int
			Allow, Ignore names
			Groups        map[string]map[string][]string
		}
	}
	decodeGitHub(t, "dependabot.yml", &config)
	manifests := map[string]string{"gomod": "go.mod", "npm": "package.json", "github-actions": ".github/workflows/test.yml"}
	for _, update := range config.Updates {
		manifest := path.Join(update.Directory, manifests[update.Ecosystem])
		text := source(t, manifest)
		for _, dependency := range append(update.Allow, update.Ignore...) {
			if !strings.Contains(text, dependency.Name) {
				t.Errorf("%s does not name %s", manifest, dependency.Name)
			}
		}
	}
}
