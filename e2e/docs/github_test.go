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
