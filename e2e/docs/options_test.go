package docs

import (
	"fmt"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth"
)

// option is an option of the plugin with its default, as the README says it.
type option struct{ Name, Default string }

// options returns the options that the plugin has.
func options() []option {
	var all []option
	defaults := reflect.ValueOf(reauth.CreateConfig()).Elem()
	// What is left to New.
	providers := []string{"headerField", "loginURLs", "authPaths"}
	for i := range defaults.NumField() {
		value, name := "", defaults.Type().Field(i).Tag.Get("json")
		switch field := defaults.Field(i); field.Kind() {
		case reflect.String, reflect.Bool:
			value = fmt.Sprintf("`%v`", field)
		case reflect.Slice:
			for _, entry := range field.Interface().([]string) {
				value += ", `" + entry + "`"
			}
			value = strings.TrimPrefix(value, ", ")
			if value == "" {
				value = "empty"
			}
		case reflect.Pointer:
			value = "unset"
			if !field.IsNil() {
				value = fmt.Sprintf("`%v`", field.Elem())
			}
		}
		if slices.Contains(providers, name) && defaults.Field(i).IsZero() {
			value = "the provider's"
		}
		all = append(all, option{name, value})
	}
	return all
}

func isOption(name string) bool {
	return slices.ContainsFunc(options(), func(o option) bool { return o.Name == name })
}

func TestOptionsAreDocumented(t *testing.T) {
	var got []option
	for _, row := range readme(t).table(t, "Options") {
		value := row[1].Text
		if len(row[1].Code) > 0 {
			value = "`" + strings.Join(row[1].Code, "`, `") + "`"
		}
		got = append(got, option{row[0].Text, value})
	}
	if want := options(); !slices.Equal(got, want) {
		t.Errorf("the README has\n%v\nthe plugin has\n%v", got, want)
	}
}

// foreignNames are names in camel case that belong to others.
var foreignNames = []string{
	"forwardAuth", "authSigninURL", "trustForwardHeader", "authResponseHeaders", "maxResponseBodySize", "trustedIPs", "addAuthCookiesToResponse", "stripPrefix", "abortOnPluginFailure", "statusRewrites", "basicAuth", // Traefik's
	"skipWaiting", "clients.claim", "cache.addAll", "sessionStorage", // browsers'
	"kindOf", "responseWriter", // the plugin's
}

var camelCase = regexp.MustCompile(`^([a-z.]+[A-Z]\w*)(?:: .*|=.*)?$`)

// TestNamesInTextExist finds options that were renamed, in what is said of them.
func TestNamesInTextExist(t *testing.T) {
	for name, page := range readPages(t) {
		found := 0
		for _, code := range page.Code {
			match := camelCase.FindStringSubmatch(code)
			if match == nil {
				continue
			}
			found++
			if !isOption(match[1]) && !slices.Contains(foreignNames, match[1]) {
				t.Errorf("%s speaks of %s, which is no option", name, match[1])
			}
		}
		if name == "README.md" && found < 10 {
			t.Errorf("the README names only %d options", found)
		}
	}
}

// pluginOptions calls visit with the name of each option of the plugin in a
// configuration of Traefik's, wherever it stands.
func pluginOptions(config any, visit func(name string)) {
	switch node := config.(type) {
	case map[string]any:
		if plugin, ok := node["plugin"].(map[string]any); ok {
			if options, ok := plugin["reauth"].(map[string]any); ok {
				for name := range options {
					visit(name)
				}
			}
		}
		for _, child := range node {
			pluginOptions(child, visit)
		}
	case []any:
		for _, child := range node {
			pluginOptions(child, visit)
		}
	}
}

var labelOption = regexp.MustCompile(`\.plugin\.reauth\.(\w+)`)

// TestOptionsInExamplesExist looks at labels too, which are no configuration to
// the one who parses the file.
func TestOptionsInExamplesExist(t *testing.T) {
	for _, name := range exampleFiles(t) {
		text := source(t, name)
		expect := func(option string) {
			if !isOption(option) {
				t.Errorf("%s: %s is no option", name, option)
			}
		}
		for _, found := range labelOption.FindAllStringSubmatch(text, -1) {
			expect(found[1])
		}
		for _, config := range exampleConfigs(t, name) {
			pluginOptions(config, expect)
		}
	}
}

// exampleConfigs returns the configurations in an example, none if it is no file
// of such.
func exampleConfigs(t *testing.T, name string) []any {
	t.Helper()
	language, text := strings.TrimPrefix(path.Ext(name), "."), source(t, name)
	if !slices.Contains([]string{"yml", "yaml", "toml"}, language) || strings.Contains(text, "goauthentik.io/blueprints") {
		return nil // a blueprint has tags of its own
	}
	all, err := parse(language, text)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return all
}

// forwardAuths calls visit with the settings of each forwardAuth middleware in a
// configuration, wherever it stands, be it as labels.
func forwardAuths(config any, visit func(settings map[string]any)) {
	switch node := config.(type) {
	case map[string]any:
		if settings, ok := node["forwardAuth"].(map[string]any); ok {
			visit(settings)
		}
		labels := map[string]any{}
		for name, child := range node {
			if _, setting, ok := strings.Cut(name, ".forwardauth."); ok {
				labels[setting] = child
			}
			forwardAuths(child, visit)
		}
		if len(labels) > 0 {
			visit(labels)
		}
	case []any:
		for _, child := range node {
			forwardAuths(child, visit)
		}
	}
}

// TestForwardAuthsAgree holds what people copy to one way of asking Authentik.
// Of an answer without a limit Traefik warns from 3.6.9 on, which knows the option.
func TestForwardAuthsAgree(t *testing.T) {
	want := map[string]string{
		"trustForwardHeader":  "true",
		"maxResponseBodySize": "1048576",
		"authResponseHeaders": "X-authentik-username X-authentik-groups X-authentik-email X-authentik-name X-authentik-uid X-authentik-jwt",
	}
	asWords := strings.NewReplacer("[", "", "]", "", ",", "")
	expect := func(name string, configs []any) {
		found := false
		for _, config := range configs {
			forwardAuths(config, func(settings map[string]any) {
				found = true
				for setting, value := range want {
					if got := asWords.Replace(fmt.Sprint(settings[setting])); got != value {
						t.Errorf("%s: %s is %s, not %s", name, setting, got, value)
					}
				}
			})
		}
		if !found {
			t.Errorf("%s: there is no forwardAuth", name)
		}
	}
	for _, name := range exampleFiles(t) {
		if configs := exampleConfigs(t, name); configs != nil && strings.Contains(source(t, name), "/outpost.goauthentik.io/auth/") {
			expect(name, configs)
		}
	}
	var shown []any
	for _, block := range readme(t).Blocks {
		if block.Language == "yaml" {
			configs, err := parse(block.Language, block.Text)
			if err != nil {
				t.Error(err)
			}
			shown = append(shown, configs...)
		}
	}
	expect("README.md", shown)
}
