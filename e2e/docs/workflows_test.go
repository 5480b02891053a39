package docs

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/traefik-reauth/reauth/e2e/stand"
)

// workflow is what GitHub reads of a file under .github/workflows, as far as the
// project uses it. A name that is not here is refused: it could be rights for one
// job, or a step whose failure does not count.
type workflow struct {
	Name        string            `yaml:"name"`
	On          map[string]any    `yaml:"on"`
	Permissions map[string]string `yaml:"permissions"`
	Jobs        map[string]struct {
		RunsOn    string `yaml:"runs-on"`
		Timeout   int    `yaml:"timeout-minutes"`
		Container struct {
			Image   string `yaml:"image"`
			Options string `yaml:"options"`
		} `yaml:"container"`
		Steps []struct {
			Name string            `yaml:"name"`
			Uses string            `yaml:"uses"`
			With map[string]string `yaml:"with"`
			Run  string            `yaml:"run"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

// pinnedAction is an action of GitHub's own at a commit, with the version that
// is at.
var pinnedAction = regexp.MustCompile(`uses: actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+\n`)

// TestWorkflows holds what runs elsewhere to the commands that everybody has,
// and to rights that cannot do harm. Their form is for actionlint to judge, in make
// lint, which has nothing against the rest of this.
func TestWorkflows(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(stand.Project(), ".github", "workflows", "*"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	all, commands := targets(t), []string{}
	for _, path := range names {
		name := filepath.Base(path)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var w workflow
		decoder := yaml.NewDecoder(strings.NewReader(string(text)))
		decoder.KnownFields(true)
		if err := decoder.Decode(&w); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for event := range w.On {
			if !slices.Contains([]string{"push", "pull_request", "schedule", "workflow_dispatch"}, event) {
				t.Errorf("%s runs on %s", name, event)
			}
		}
		if !maps.Equal(w.Permissions, map[string]string{"contents": "read"}) {
			t.Errorf("%s has the permissions %v", name, w.Permissions)
		}
		if strings.Contains(string(text), "${{") {
			// actionlint refuses some of them, and not github.ref_name.
			t.Errorf("%s has an expression, into which a name of a branch could write", name)
		}
		if uses := strings.Count(string(text), "uses:"); uses != len(pinnedAction.FindAllString(string(text), -1)) {
			t.Errorf("%s does not pin each of its %d actions", name, uses)
		}
		for job, j := range w.Jobs {
			if j.Timeout == 0 {
				t.Errorf("%s: %s may run for the six hours that GitHub allows", name, job)
			}
			for _, step := range j.Steps {
				if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != "false" {
					t.Errorf("%s: %s leaves its token in the working tree", name, job)
				}
				if step.Uses != "" || j.Container.Image != "" && strings.HasPrefix(step.Run, "apt-get ") {
					continue
				}
				target, _, _ := strings.Cut(strings.TrimPrefix(step.Run, "make "), " ")
				if !strings.HasPrefix(step.Run, "make ") || !slices.Contains(all, target) {
					t.Errorf("%s: %s runs %q", name, job, step.Run)
				}
				commands = append(commands, target)
			}
		}
	}
	slices.Sort(commands)
	if want := []string{"fuzz", "fuzz", "release-check", "test"}; !slices.Equal(commands, want) {
		t.Errorf("run are %q, want %q", commands, want)
	}
}

// TestFuzzingHasTheTime holds the limit of the weekly run to how long make fuzz takes, which
// grows with each target.
func TestFuzzingHasTheTime(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(stand.Project(), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	fuzzTargets := 0
	for _, file := range files {
		fuzzTargets += len(regexp.MustCompile(`(?m)^func Fuzz`).FindAllString(source(t, filepath.Base(file)), -1))
	}
	each := regexp.MustCompile(`(?m)^FUZZTIME \?= (\d+)m$`).FindStringSubmatch(source(t, "Makefile"))
	limit := regexp.MustCompile(`timeout-minutes: (\d+)`).FindStringSubmatch(source(t, ".github/workflows/fuzz.yml"))
	if fuzzTargets == 0 || each == nil || limit == nil {
		t.Fatalf("%d targets, %q for each, %q in all", fuzzTargets, each, limit)
	}
	minutes, _ := strconv.Atoi(each[1])
	most, _ := strconv.Atoi(limit[1])
	const toStart = 15 // to get Go and to build all targets
	if fuzzTargets*minutes+toStart > most {
		t.Errorf("%d targets take %d minutes each, and the workflow ends after %d", fuzzTargets, minutes, most)
	}
}
