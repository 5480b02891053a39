package catalog

import (
	"fmt"
	"image/png"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/zip"

	"github.com/traefik-reauth/reauth/e2e/authentik"
	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/release"
	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// version is what the tracked files are served as. Any will do.
const version = "v1.2.3"

func readManifest(t *testing.T) release.Manifest {
	t.Helper()
	m, err := release.ReadManifest(stand.Project())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func tracked(t *testing.T) []zip.File {
	t.Helper()
	files, err := trackedFiles(stand.Project())
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestManifestIsWhatTheCatalogWants holds to the rules of the catalog's crawler
// that Traefik itself does not check.
func TestManifestIsWhatTheCatalogWants(t *testing.T) {
	problems, err := release.CheckManifest(stand.Project())
	if err != nil || len(problems) > 0 {
		t.Errorf("%q, %v", problems, err)
	}
	m := readManifest(t)
	if m.DisplayName == "" || m.Summary == "" || m.Type != "middleware" || len(m.TestData) == 0 {
		t.Errorf("incomplete: %+v", m)
	}
	paths := map[string]bool{}
	for _, file := range tracked(t) {
		paths[file.Path()] = true
	}
	for _, path := range []string{m.IconPath, "README.md", "LICENSE", "go.mod"} {
		if !paths[path] {
			t.Errorf("%q is not tracked", path)
		}
	}
	icon, err := os.Open(filepath.Join(stand.Project(), filepath.FromSlash(m.IconPath)))
	if err != nil {
		t.Fatal(err)
	}
	defer icon.Close()
	picture, err := png.DecodeConfig(icon)
	if err != nil || picture.Width != picture.Height || picture.Width < 128 {
		t.Errorf("the icon is %d by %d: %v", picture.Width, picture.Height, err)
	}
	text, err := os.ReadFile(filepath.Join(stand.Project(), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", text, nil)
	if err != nil || len(mod.Require) > 0 {
		t.Errorf("go.mod: %v\n%s", err, text)
	}
}

// TestArchiveLeavesOutTheOtherModule shows what of the tracked files gets to
// those who install the plugin: all but the module of the end-to-end tests.
func TestArchiveLeavesOutTheOtherModule(t *testing.T) {
	files := tracked(t)
	checked, err := zip.CheckFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, left := range checked.Omitted {
		if !strings.HasPrefix(left.Path, "e2e/") {
			t.Errorf("left out: %v", left)
		}
	}
	if len(checked.Omitted) == 0 || len(checked.Omitted)+len(checked.Valid) != len(files) {
		t.Errorf("%d files are %d and %d left out", len(files), len(checked.Valid), len(checked.Omitted))
	}
}

// TestTraefikRunsWhatTheCatalogServes installs the archive of the tracked files
// by the way of the catalog, with the options of the manifest.
func TestTraefikRunsWhatTheCatalogServes(t *testing.T) {
	packed, err := archive(tracked(t), version)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c, err := start(dir, version, packed)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for name, value := range c.environment {
		t.Setenv(name, value)
	}
	app := probe.ServeApp(t)
	s, err := stand.Start(t.Context(), stand.Config{
		Dir:           dir,
		Version:       version,
		TokenValidity: time.Hour,
		Plugins:       map[string]map[string]any{"reauth": readManifest(t).TestData},
		Routes: []stand.Route{
			{Host: "app", Middlewares: []string{"reauth", stand.ForwardAuth}, Upstream: app},
			{Host: "open", Middlewares: []string{"reauth"}, Upstream: app},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	probe.EndWith(t, s)

	want := []string{"GET /public/download/" + stand.Module + "/" + version, "GET /public/validate/" + stand.Module + "/" + version}
	if !slices.Equal(c.asked, want) {
		t.Errorf("the catalog was asked for %q, want %q", c.asked, want)
	}
	expectInstalled(t, dir)

	// Of the manifest's login URLs this is the one on the app's own host.
	_, host, _ := strings.Cut(s.URL("app"), "://")
	s.Authentik.SetBehaviour(host, authentik.Behaviour{StartRedirect: true})
	v := visitor.New(t, &http.Transport{DialContext: stand.Dial, DisableKeepAlives: true})
	refused := v.Send("GET", s.URL("app")+"/", "", "Sec-Fetch-Mode: cors")
	if refused.StatusCode != http.StatusUnauthorized || refused.Header.Get("WWW-Authenticate") != `Reauth realm="reauth@file", uri="/_reauth"` {
		t.Errorf("without a session: %s %v", refused.Status, refused.Header)
	}
	script := v.Send("GET", s.URL("open")+"/sw.js", "", "Service-Worker: script")
	if !strings.HasSuffix(script.Text, probe.WorkerScript) || len(script.Text) < 1000 {
		t.Errorf("the worker's script is %q", script.Text)
	}
	// The options are the manifest's, and Traefik's log says so.
	options := fmt.Sprintf(`"accessControlMaxAge":%v}`, readManifest(t).TestData["accessControlMaxAge"])
	if !slices.ContainsFunc(strings.Split(s.Log(), "\n"), func(line string) bool {
		return strings.Contains(line, " DBG ") && strings.Contains(line, "reauth: options of reauth@file: {") && strings.Contains(line, options)
	}) {
		t.Errorf("no line of the log has the options, %s among them:\n%s", options, s.Log())
	}
}

// expectInstalled holds the folder that Traefik has unpacked the plugin to, to
// the tracked files.
func expectInstalled(t *testing.T, dir string) {
	t.Helper()
	checked, err := zip.CheckFiles(tracked(t))
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob(filepath.Join(dir, "plugins-storage", "sources", "gop-*", "src", filepath.FromSlash(stand.Module)))
	if err != nil || len(sources) != 1 {
		t.Fatalf("sources %q, %v", sources, err)
	}
	var installed []string
	err = fs.WalkDir(os.DirFS(sources[0]), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			installed = append(installed, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(installed)
	slices.Sort(checked.Valid)
	if !slices.Equal(installed, checked.Valid) {
		t.Errorf("installed are %q\nwant %q", installed, checked.Valid)
	}
}
