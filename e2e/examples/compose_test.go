package examples

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/stand"
)

// examplesDir returns the folder of the examples.
func examplesDir() string { return filepath.Join(stand.Project(), "examples") }

// loadCompose reads the example with the variables of env, as docker compose
// does with those of a .env file.
func loadCompose(ctx context.Context, file string, env map[string]string) (*types.Project, error) {
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	options, err := cli.NewProjectOptions([]string{file}, cli.WithEnv(list))
	if err != nil {
		return nil, err
	}
	return options.LoadProject(ctx)
}

// exampleEnv returns the variables of .env.example.
func exampleEnv(t *testing.T) map[string]string {
	t.Helper()
	env, err := dotenv.Read(filepath.Join(examplesDir(), ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// filledEnv returns them with something for those that are empty.
func filledEnv(t *testing.T) map[string]string {
	t.Helper()
	env := exampleEnv(t)
	for name, value := range env {
		if value == "" {
			env[name] = "of-" + strings.ToLower(name)
		}
	}
	return env
}

// composeFile returns the path of the example.
func composeFile() string { return filepath.Join(examplesDir(), "docker-compose.yml") }

// readExample returns the text of an example.
func readExample(t *testing.T, name string) string {
	t.Helper()
	return readFile(t, filepath.Join(examplesDir(), name))
}

func TestComposeAsksForWhatIsMissing(t *testing.T) {
	if _, err := loadCompose(t.Context(), composeFile(), exampleEnv(t)); err == nil || !strings.Contains(err.Error(), "see .env.example") {
		t.Errorf("with .env.example as it is: %v", err)
	}
	for name := range exampleEnv(t) {
		for _, state := range []string{"missing", "empty"} {
			env := filledEnv(t)
			if delete(env, name); state == "empty" {
				env[name] = ""
			}
			_, err := loadCompose(t.Context(), composeFile(), env)
			if err == nil || !strings.Contains(err.Error(), "see .env.example") || !strings.Contains(err.Error(), name) {
				t.Errorf("%s %s: %v", name, state, err)
			}
		}
	}
	if _, err := loadCompose(t.Context(), composeFile(), filledEnv(t)); err != nil {
		t.Error(err)
	}
}

// TestSecretsAreFilledIn runs the commands that .env.example tells.
func TestSecretsAreFilledIn(t *testing.T) {
	text := readExample(t, ".env.example")
	copied := regexp.MustCompile(`(?m)^#   (\(umask .*\))$`).FindStringSubmatch(text)
	loop := regexp.MustCompile(`(?ms)^#   (for .*?^#   done)$`).FindStringSubmatch(text)
	if copied == nil || loop == nil {
		t.Fatal("the commands are not there")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".env.example"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	shell := exec.CommandContext(t.Context(), "sh", "-euc", copied[1]+"\n"+strings.ReplaceAll(loop[1], "\n# ", "\n"))
	shell.Dir = dir
	if output, err := shell.CombinedOutput(); err != nil || len(output) > 0 {
		t.Fatalf("%v: %s", err, output)
	}
	info, err := os.Stat(filepath.Join(dir, ".env"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	before := exampleEnv(t)
	env, err := dotenv.Read(filepath.Join(dir, ".env"))
	if err != nil || len(env) != len(before) {
		t.Fatalf("%d variables, %v", len(env), err)
	}
	seen := map[string]bool{}
	for name, value := range env {
		switch {
		case name == "ACME_EMAIL" || before[name] != "":
			if value != before[name] {
				t.Errorf("%s has changed", name)
			}
		case !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(value) || seen[value]:
			t.Errorf("%s is no fresh secret", name)
		}
		seen[value] = true
	}
	env["ACME_EMAIL"] = "me@example.com"
	if _, err := loadCompose(t.Context(), composeFile(), env); err != nil {
		t.Error(err)
	}
}

func TestComposeIsPinnedAndKeepsToItself(t *testing.T) {
	project, err := loadCompose(t.Context(), composeFile(), filledEnv(t))
	if err != nil {
		t.Fatal(err)
	}
	// These images bring a check.
	checked := regexp.MustCompile(`^ghcr\.io/goauthentik/server:`)
	for name, service := range project.Services {
		if !regexp.MustCompile(`:v?\d+\.\d+(\.\d+)?(-[a-z]+)?$`).MatchString(service.Image) {
			t.Errorf("%s is not pinned: %s", name, service.Image)
		}
		if service.HealthCheck == nil || len(service.HealthCheck.Test) == 0 && !checked.MatchString(service.Image) {
			t.Errorf("%s has no health check", name)
		}
		if len(service.Ports) > 0 && name != "traefik" {
			t.Errorf("%s is reachable past Traefik", name)
		}
		for _, volume := range service.Volumes {
			if volume.Source == "/var/run/docker.sock" && (name != "traefik" || !volume.ReadOnly) {
				t.Errorf("%s has the Docker socket, read-only %v", name, volume.ReadOnly)
			}
			if volume.Type == types.VolumeTypeBind && volume.Source != "/var/run/docker.sock" {
				if _, err := os.Stat(volume.Source); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
	if project.Services["actual-server"].Image != "docker.io/actualbudget/actual-server:"+stand.CurrentClient {
		t.Errorf("the tests are about Actual %s", stand.CurrentClient)
	}
	if project.Services["authentik-server"].Image != project.Services["authentik-worker"].Image {
		t.Error("Authentik's server and worker have to be of one version")
	}
	// What they share, and what people upload.
	for _, name := range []string{"authentik-server", "authentik-worker"} {
		kept := map[string]string{}
		for _, volume := range project.Services[name].Volumes {
			if volume.Type == types.VolumeTypeVolume {
				kept[volume.Target] = volume.Source
			}
		}
		if want := map[string]string{"/data": "authentik-data", "/media": "authentik-media"}; !maps.Equal(kept, want) {
			t.Errorf("%s keeps %v, want %v", name, kept, want)
		}
	}
}

// adapt returns args with each one that is a key of changes replaced by its
// values. Every change has to happen once.
func adapt(t *testing.T, args []string, changes map[string][]string) []string {
	t.Helper()
	var adapted []string
	left := maps.Clone(changes)
	for _, arg := range args {
		values, found := left[arg]
		if !found {
			values = []string{arg}
		}
		delete(left, arg)
		adapted = append(adapted, values...)
	}
	if len(left) > 0 {
		t.Fatalf("not among the arguments: %v", slices.Sorted(maps.Keys(left)))
	}
	return adapted
}

// set changes a label that has to be there, with the value that is expected.
func set(t *testing.T, labels types.Labels, name, expected, value string) {
	t.Helper()
	if labels[name] != expected {
		t.Fatalf("label %s is %q", name, labels[name])
	}
	labels[name] = value
}

// startCompose starts Traefik with the flags of its service in a project, whose
// containers it asks the Docker API for.
func startCompose(t *testing.T, project *types.Project, docker *dockerAPI) (*stand.Traefik, *client, setup) {
	t.Helper()
	var at setup
	traefik, b := startTraefik(t, func(s setup) []string {
		at = s
		args := adapt(t, project.Services["traefik"].Command, map[string][]string{
			"--entrypoints.web.address=:80":        {"--entrypoints.web.address=" + address(s.web)},
			"--entrypoints.websecure.address=:443": {"--entrypoints.websecure.address=" + address(s.websecure)},
			// Nothing asks for a certificate, and would not find Let's Encrypt if it did:
			// Traefik has one of its own.
			"--entrypoints.websecure.http.tls.certresolver=letsencrypt":               {"--entrypoints.websecure.http.tls=true"},
			"--certificatesresolvers.letsencrypt.acme.storage=/letsencrypt/acme.json": {"--certificatesresolvers.letsencrypt.acme.storage=" + s.dir + "/acme.json", "--certificatesresolvers.letsencrypt.acme.caserver=https://127.0.0.1:1/"},
			"--experimental.plugins.reauth.modulename=" + stand.Module:                {"--experimental.localplugins.reauth.modulename=" + stand.Module},
			"--experimental.plugins.reauth.version=" + pluginVersion(t):               nil,
		})
		// What a container brings.
		args = append(args, "--providers.docker.endpoint="+docker.endpoint, "--entrypoints.traefik.address="+address(s.api))
		return append(args, watching...)
	})
	return traefik, b, at
}

// TestCompose starts Traefik with the flags of the example, in which its real
// Docker provider reads the labels of the example from a Docker API.
func TestCompose(t *testing.T) {
	project, err := loadCompose(t.Context(), composeFile(), filledEnv(t))
	if err != nil {
		t.Fatal(err)
	}
	idp, idpURL := newAuthentik(t)
	actual := probe.StartActual(t)

	// Containers have their ports to themselves, and names in their network.
	containers := project.Services
	actualPort, idpPort := port(t, actual.URL), port(t, idpURL)
	set(t, containers["actual-server"].Labels, "traefik.http.services.actual.loadbalancer.server.port", "5006", actualPort)
	set(t, containers["authentik-server"].Labels, "traefik.http.services.authentik.loadbalancer.server.port", "9000", idpPort)
	set(t, containers["actual-server"].Labels, "traefik.http.middlewares.authentik.forwardauth.address",
		"http://authentik-server:9000/outpost.goauthentik.io/auth/traefik", idpURL+"/outpost.goauthentik.io/auth/traefik")
	docker := startDocker(t, project)
	traefik, b, at := startCompose(t, project, docker)
	if err := traefik.AwaitRouters(t.Context(), "actual@docker", "authentik@docker", "outpost@docker"); err != nil {
		t.Fatal(err)
	}

	t.Run("promises", func(t *testing.T) {
		promises{authentik: idp, login: authorizeURL, page: "<title>Actual</title>", script: "workbox"}.check(t, b)
	})
	t.Run("health", func(t *testing.T) { checkHealth(t, project, at.dir, actualPort, address(at.api)) })
	t.Run("origins", func(t *testing.T) {
		b := newClient(t, at.web, at.websecure) // a preflight carries no cookie
		preflight := []string{"Origin: " + listed, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-actual-token"}
		if res := b.Send("OPTIONS", budgetURL+"/sync/sync", "", preflight...); res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("nobody asked for CORS: %v", res.Header)
		}
		uncommented, err := loadCompose(t.Context(), uncomment(t, "accessControl", 3), filledEnv(t))
		if err != nil {
			t.Fatal(err)
		}
		added := maps.Clone(uncommented.Services["actual-server"].Labels)
		maps.DeleteFunc(added, func(name, _ string) bool { return !strings.Contains(name, ".accessControl") })
		docker.start(t, "actual-server", added)
		err = traefik.Await(t.Context(), func() error {
			res := b.Send("OPTIONS", budgetURL+"/sync/sync", "", preflight...)
			return describeUnless(res.StatusCode == 204 && res.Header.Get("Access-Control-Allow-Origin") == listed &&
				res.Header.Get("Access-Control-Allow-Credentials") == "true" && res.Header.Get("Access-Control-Allow-Headers") != "", res)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// checkHealth runs the health checks that run in containers, with the ports of
// this test.
func checkHealth(t *testing.T, project *types.Project, dir, actualPort, api string) {
	run := func(name string, args ...string) error {
		command := exec.CommandContext(t.Context(), name, args...)
		command.Dir = dir
		output, err := command.CombinedOutput()
		t.Logf("%s", output)
		return err
	}
	test := project.Services["actual-server"].HealthCheck.Test
	if len(test) != 4 || test[0] != "CMD" || strings.Count(test[3], ":5006/") != 1 {
		t.Fatalf("the check of actual-server is %v", test)
	}
	if err := run(test[1], test[2], strings.Replace(test[3], ":5006/", ":"+actualPort+"/", 1)); err != nil {
		t.Errorf("Actual is healthy: %v", err)
	}
	if err := run(test[1], test[2], strings.Replace(test[3], ":5006/", ":1/", 1)); err == nil {
		t.Error("nobody is healthy on port 1")
	}
	test = project.Services["traefik"].HealthCheck.Test
	if len(test) < 2 || test[0] != "CMD" || test[1] != "traefik" {
		t.Fatalf("the check of traefik is %v", test)
	}
	binary := filepath.Join(stand.Root(), "bin", "traefik")
	if err := run(binary, append(test[2:], "--entrypoints.traefik.address="+api)...); err != nil {
		t.Errorf("Traefik is healthy: %v", err)
	}
	if err := run(binary, append(test[2:], "--entrypoints.traefik.address=127.0.0.1:1")...); err == nil {
		t.Error("nobody is healthy on port 1")
	}
}

// uncomment writes the example without the comment signs before labels that
// hold a word, of which there are n, and returns the file's path.
func uncomment(t *testing.T, word string, n int) string {
	t.Helper()
	commented := regexp.MustCompile(`(?m)^( +)# (traefik\.\S*` + word + `\S*: .*)$`)
	text := readExample(t, "docker-compose.yml")
	if found := len(commented.FindAllString(text, -1)); found != n {
		t.Fatalf("%d labels to uncomment, not %d", found, n)
	}
	path := filepath.Join(t.TempDir(), "docker-compose.yml")
	writeFile(t, path, commented.ReplaceAllString(text, "$1$2"))
	return path
}
