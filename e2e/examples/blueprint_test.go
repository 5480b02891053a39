package examples

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// What the blueprint schema of Authentik 2025.12 says of the models that the
// example uses: their fields, and what a value has to be.
var (
	aString    = map[string]any{"type": "string"}
	someString = map[string]any{"type": "string", "minLength": 1}
	aBool      = map[string]any{"type": "boolean"}
	anInt      = map[string]any{"type": "integer"}
	aUUID      = map[string]any{"type": "string", "format": "uuid"}
	anObject   = map[string]any{"type": "object"}
	listOf     = func(items any) any { return map[string]any{"type": "array", "items": items} }
	oneOf      = func(values ...any) any { return map[string]any{"enum": values} }
	schemata   = map[string]map[string]any{
		"authentik_blueprints.metaapplyblueprint": {"identifiers": anObject, "required": aBool},
		"authentik_core.application": {
			"name": someString, "slug": someString, "provider": anInt, "backchannel_providers": listOf(anInt), "open_in_new_tab": aBool,
			"meta_launch_url": aString, "meta_icon": aString, "meta_description": aString, "meta_publisher": aString,
			"policy_engine_mode": oneOf("all", "any"), "group": aString, "icon": someString,
		},
		"authentik_outposts.outpost": {
			"name": someString, "type": oneOf("proxy", "ldap", "radius", "rac"), "providers": listOf(anInt),
			"service_connection": aUUID, "config": anObject, "managed": someString,
		},
		"authentik_providers_proxy.proxyprovider": {
			"name": someString, "authentication_flow": aUUID, "authorization_flow": aUUID, "invalidation_flow": aUUID,
			"property_mappings": listOf(aUUID), "internal_host": aString, "external_host": someString, "internal_host_ssl_validation": aBool,
			"certificate": aUUID, "skip_path_regex": aString, "basic_auth_enabled": aBool, "basic_auth_password_attribute": aString,
			"basic_auth_user_attribute": aString, "mode": oneOf("proxy", "forward_single", "forward_domain"), "intercept_header_auth": aBool,
			"cookie_domain": aString, "jwt_federation_sources": listOf(anInt), "jwt_federation_providers": listOf(anInt),
			"access_token_validity": someString, "refresh_token_validity": someString,
		},
	}
)

// blueprintSchema returns the schema of a blueprint with these models.
func blueprintSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	closed := func(properties map[string]any, required ...any) map[string]any {
		return map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
	}
	var entries []any
	for model, fields := range schemata {
		required := []any{"model", "identifiers"}
		if strings.HasPrefix(model, "authentik_blueprints.") {
			required = required[:1]
		}
		entries = append(entries, closed(map[string]any{
			"model": map[string]any{"const": model}, "id": aString, "state": oneOf("absent", "created", "must_created", "present"),
			"identifiers": closed(fields), "attrs": closed(fields),
		}, required...))
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	err := compiler.AddResource("blueprint.json", closed(map[string]any{
		"version":  map[string]any{"const": 1},
		"metadata": closed(map[string]any{"name": aString, "labels": anObject}, "name"),
		"context":  anObject,
		"entries":  listOf(map[string]any{"oneOf": entries}),
	}, "version", "entries"))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("blueprint.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// What a fresh Authentik has, that the example may refer to.
var (
	defaultFlows = []string{
		"default-provider-authorization-explicit-consent",
		"default-provider-authorization-implicit-consent",
		"default-provider-invalidation-flow",
	}
	defaultBlueprints = []string{
		"Default - Provider authorization flow (implicit consent)",
		"Default - Provider invalidation flow",
		"System - OAuth2 Provider - Scopes",
		"System - Proxy Provider - Scopes",
	}
)

// applier puts values in place of Authentik's tags, like Authentik does where it
// applies a blueprint.
type applier struct {
	env map[string]*string
	ids map[string]int // of the entries so far, with their primary keys
}

func (a *applier) resolve(node *yaml.Node) (any, error) {
	if node.Kind == yaml.DocumentNode {
		return a.resolve(node.Content[0])
	}
	switch tag := node.Tag; {
	case tag == "!KeyOf":
		key, found := a.ids[node.Value]
		if !found {
			return nil, fmt.Errorf("line %d: no entry before has the id %s", node.Line, node.Value)
		}
		return key, nil
	case tag == "!Env":
		value := a.env[node.Value]
		if value == nil || *value == "" {
			return nil, fmt.Errorf("line %d: %s is not in the environment", node.Line, node.Value)
		}
		return *value, nil
	case tag == "!Format" || tag == "!Find":
		arguments, err := a.list(node)
		if err != nil || len(arguments) != 2 {
			return nil, fmt.Errorf("line %d: %v, %v", node.Line, arguments, err)
		}
		if tag == "!Format" {
			return fmt.Sprintf(arguments[0].(string), arguments[1]), nil
		}
		condition, ok := arguments[1].([]any)
		if arguments[0] != "authentik_flows.flow" || !ok || len(condition) != 2 || condition[0] != "slug" || !slices.Contains(defaultFlows, fmt.Sprint(condition[1])) {
			return nil, fmt.Errorf("line %d: nothing is found by %v", node.Line, arguments)
		}
		return fmt.Sprintf("00000000-0000-4000-8000-%012d", slices.Index(defaultFlows, condition[1].(string))), nil
	case !strings.HasPrefix(tag, "!!"):
		return nil, fmt.Errorf("line %d: tag %s", node.Line, tag)
	case node.Kind == yaml.SequenceNode:
		return a.list(node)
	case node.Kind == yaml.MappingNode:
		fields := map[string]any{}
		for i := 0; i < len(node.Content); i += 2 {
			value, err := a.resolve(node.Content[i+1])
			if err != nil {
				return nil, err
			}
			fields[node.Content[i].Value] = value
		}
		if id, ok := fields["id"].(string); ok {
			a.ids[id] = len(a.ids) + 1
		}
		return fields, nil
	}
	var scalar any
	err := node.Decode(&scalar)
	return scalar, err
}

func (a *applier) list(node *yaml.Node) ([]any, error) {
	var values []any
	for _, item := range node.Content {
		value, err := a.resolve(item)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// TestBlueprint applies the blueprint to nothing, in the environment that the
// compose example gives Authentik's worker.
func TestBlueprint(t *testing.T) {
	project, err := loadCompose(t.Context(), composeFile(), filledEnv(t))
	if err != nil {
		t.Fatal(err)
	}
	worker := project.Services["authentik-worker"]
	mounted := false
	for _, volume := range worker.Volumes {
		if volume.Source == filepath.Join(examplesDir(), "authentik-blueprint.yaml") {
			mounted = strings.HasPrefix(volume.Target, "/blueprints/custom/") && strings.HasSuffix(volume.Target, ".yaml") && volume.ReadOnly
		}
	}
	if !mounted {
		t.Error("Authentik's worker does not find the blueprint")
	}

	var document yaml.Node
	if err := yaml.Unmarshal([]byte(readExample(t, "authentik-blueprint.yaml")), &document); err != nil {
		t.Fatal(err)
	}
	a := applier{env: worker.Environment, ids: map[string]int{}}
	resolved, err := a.resolve(&document)
	if err != nil {
		t.Fatal(err)
	}
	if err := blueprintSchema(t).Validate(resolved); err != nil {
		t.Fatalf("%#v", err)
	}

	entries := map[string][]map[string]any{}
	for _, entry := range resolved.(map[string]any)["entries"].([]any) {
		entry := entry.(map[string]any)
		model := entry["model"].(string)
		entries[model] = append(entries[model], entry)
	}
	var applied []string
	for _, entry := range entries["authentik_blueprints.metaapplyblueprint"] {
		attrs := entry["attrs"].(map[string]any)
		if attrs["required"] != true {
			t.Errorf("%v is not required", attrs)
		}
		applied = append(applied, fmt.Sprint(attrs["identifiers"].(map[string]any)["name"]))
	}
	if slices.Sort(applied); !slices.Equal(applied, defaultBlueprints) {
		t.Errorf("it waits for %q", applied)
	}
	for model, want := range map[string]map[string]any{
		"authentik_providers_proxy.proxyprovider": {
			"mode": "forward_single", "external_host": budgetURL,
			"authorization_flow": "00000000-0000-4000-8000-000000000001",
			"invalidation_flow":  "00000000-0000-4000-8000-000000000002",
		},
		"authentik_core.application": {"provider": a.ids["provider"]},
		"authentik_outposts.outpost": {
			// Authentik looks at the type before it takes providers, and keeps the name.
			"type": "proxy", "name": "authentik Embedded Outpost",
			"providers": []any{a.ids["provider"]}, "config": map[string]any{"authentik_host": authURL},
		},
	} {
		if len(entries[model]) != 1 {
			t.Fatalf("%d entries of %s", len(entries[model]), model)
		}
		attrs := entries[model][0]["attrs"].(map[string]any)
		for field, value := range want {
			if fmt.Sprint(attrs[field]) != fmt.Sprint(value) {
				t.Errorf("%s of %s is %v, not %v", field, model, attrs[field], value)
			}
		}
	}
	if managed := entries["authentik_outposts.outpost"][0]["identifiers"].(map[string]any)["managed"]; managed != "goauthentik.io/outposts/embedded" {
		t.Errorf("the outpost is %v", managed)
	}
}
