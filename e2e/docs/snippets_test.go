package docs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/traefik/paerser/file"
	"github.com/traefik/paerser/flag"
	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/config/static"
	"go.yaml.in/yaml/v3"

	"github.com/traefik-reauth/reauth/e2e/stand"
)

// parse returns what a text in a language says, one value for each document.
func parse(language, text string) ([]any, error) {
	switch language {
	case "toml":
		var value map[string]any
		_, err := toml.Decode(text, &value)
		return []any{value}, err
	case "yaml", "yml", "json": // JSON is YAML
		var all []any
		for decoder := yaml.NewDecoder(strings.NewReader(text)); ; {
			var value any
			err := decoder.Decode(&value)
			if errors.Is(err, io.EOF) {
				return all, nil
			}
			if err != nil {
				return nil, err
			}
			all = append(all, value)
		}
	}
	return nil, fmt.Errorf("%q is no language of configurations", language)
}

// understood has Traefik's own reader decode a configuration, which refuses
// names that it does not know.
func understood(language, text string, config any) error {
	if config.(map[string]any)["http"] != nil {
		return file.DecodeContent(text, "."+language, &dynamic.Configuration{})
	}
	return file.DecodeContent(text, "."+language, &static.Configuration{})
}

func TestSnippets(t *testing.T) {
	for name, page := range readPages(t) {
		for _, block := range page.Blocks {
			switch block.Language {
			case "yaml", "toml", "json":
				all, err := parse(block.Language, block.Text)
				if err != nil {
					t.Errorf("%s: %v in\n%s", name, err, block.Text)
				}
				for _, config := range all {
					pluginOptions(config, func(option string) {
						if !isOption(option) {
							t.Errorf("%s: %s is no option", name, option)
						}
					})
				}
				if block.Source != "" {
					expectPart(t, name, block)
				}
				first := all[0].(map[string]any)
				if services := first["services"]; services != nil {
					expectMounted(t, name, services)
				} else if first["whitelist"] != nil {
					// CrowdSec's, which the real lines of the access log are held to.
				} else if err := understood(block.Language, block.Text, first); err != nil {
					t.Errorf("%s: Traefik does not understand it: %v\n%s", name, err, block.Text)
				}
			case "sh":
				if output, err := exec.Command("bash", "-n", "-c", block.Text).CombinedOutput(); err != nil {
					t.Errorf("%s: %s\n%s", name, output, block.Text)
				}
			case "js":
				// The browser tests run those of this page.
				if name != "docs/apps.md" {
					t.Errorf("%s: nobody runs a block of %q", name, block.Language)
				}
			case "ini":
				// fail2ban's, likewise.
				ignoreRegexes(t, block.Text)
			case "http", "text", "mermaid", "nginx":
			default:
				t.Errorf("%s: nobody checks a block of %q", name, block.Language)
			}
		}
	}
}

// expectMounted holds what is put over the example of Docker Compose to what is
// there: the service, the source, and where Traefik looks for local plugins.
func expectMounted(t *testing.T, name string, services any) {
	t.Helper()
	example, err := parse("yml", source(t, "examples/docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for service, over := range services.(map[string]any) {
		if example[0].(map[string]any)["services"].(map[string]any)[service] == nil {
			t.Errorf("%s: the example has no service %s", name, service)
		}
		want := map[string]any{"volumes": []any{"..:/plugins-local/src/" + stand.Module + ":ro"}}
		if !reflect.DeepEqual(over, want) {
			t.Errorf("%s: %s has %v, want %v", name, service, over, want)
		}
	}
}

// TestExampleRunsTheSource does to a copy of the example what the page says
// for those who go without the catalog, and has Traefik's own reader look at the
// arguments.
func TestExampleRunsTheSource(t *testing.T) {
	var edits []string
	for _, page := range readPages(t) {
		for _, block := range page.Blocks {
			if strings.HasPrefix(block.Text, "sed -i ") {
				edits = append(edits, block.Text)
			}
		}
	}
	if len(edits) != 1 {
		t.Fatalf("edits %q", edits)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker-compose.yml"), []byte(source(t, "examples/docker-compose.yml")), 0o644); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("bash", "-c", edits[0])
	command.Dir = dir
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	edited, err := os.ReadFile(filepath.Join(dir, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Command any `yaml:"command"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(edited, &compose); err != nil {
		t.Fatal(err)
	}
	var arguments []string
	for _, argument := range compose.Services["traefik"].Command.([]any) {
		arguments = append(arguments, argument.(string))
	}
	var config static.Configuration
	if err := flag.Decode(arguments, &config); err != nil {
		t.Fatal(err)
	}
	experimental := config.Experimental
	if experimental == nil || len(experimental.Plugins) > 0 || experimental.LocalPlugins["reauth"].ModuleName != stand.Module {
		t.Errorf("Traefik's plugins are %+v", experimental)
	}
}

// expectPart holds a block to the file it is a part of.
func expectPart(t *testing.T, name string, block Block) {
	t.Helper()
	part, err := parse(block.Language, block.Text)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := parse(strings.TrimPrefix(path.Ext(block.Source), "."), source(t, block.Source))
	if err != nil {
		t.Fatalf("%s: %v", block.Source, err)
	}
	if !slices.ContainsFunc(whole, func(document any) bool { return contains(document, part[0]) }) {
		t.Errorf("%s: this is no part of %s:\n%s", name, block.Source, block.Text)
	}
}

// contains reports whether whole has everything that part has: of a mapping all
// keys, and of everything else the same.
func contains(whole, part any) bool {
	parts, ok := part.(map[string]any)
	if !ok {
		return reflect.DeepEqual(whole, part)
	}
	all, ok := whole.(map[string]any)
	if !ok {
		return false
	}
	for key, value := range parts {
		if found, ok := all[key]; !ok || !contains(found, value) {
			return false
		}
	}
	return true
}

func TestContains(t *testing.T) {
	whole := map[string]any{"a": map[string]any{"b": 1, "c": []any{"x", "y"}}, "d": "e"}
	for _, tt := range []struct {
		part any
		want bool
	}{
		{map[string]any{"a": map[string]any{"c": []any{"x", "y"}}}, true},
		{map[string]any{"a": map[string]any{"c": []any{"x"}}}, false},
		{map[string]any{"a": map[string]any{"b": 2}}, false},
		{map[string]any{"d": map[string]any{}}, false},
		{map[string]any{"f": nil}, false},
		{whole, true},
	} {
		if got := contains(whole, tt.part); got != tt.want {
			t.Errorf("%v: %v", tt.part, got)
		}
	}
}
