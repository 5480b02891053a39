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
	for i := range defaults.NumField() {
		value := ""
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
		all = append(all, option{defaults.Type().Field(i).Tag.Get("json"), value})
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
	"forwardAuth", "authSigninURL", "trustForwardHeader", "authResponseHeaders", "maxResponseBodySize", // Traefik's
	"skipWaiting", "clients.claim", // browsers'
	"kindOf", "outcomeOf", "responseWriter", // the plugin's
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
		language := strings.TrimPrefix(path.Ext(name), ".")
		if !slices.Contains([]string{"yml", "yaml", "toml"}, language) || strings.Contains(text, "goauthentik.io/blueprints") {
			continue // a blueprint has tags of its own
		}
		all, err := parse(language, text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, config := range all {
			pluginOptions(config, expect)
		}
	}
}
