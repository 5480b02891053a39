// Package release reads what belongs to a version of the plugin, and tells
// whether one can be released.
package release

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// Unreleased stands in the changelog in place of the date of a version that is
// not there yet.
const Unreleased = "unreleased"

// Entry is a version in the changelog.
type Entry struct {
	Version string // with the v of its tag
	Date    string // or Unreleased
}

// Manifest is what the plugin catalog reads of .traefik.yml.
type Manifest struct {
	DisplayName string         `yaml:"displayName"`
	Type        string         `yaml:"type"`
	Import      string         `yaml:"import"`
	IconPath    string         `yaml:"iconPath"`
	Summary     string         `yaml:"summary"`
	TestData    map[string]any `yaml:"testData"`
}

// workerFile says on the status page which version it is of.
const workerFile = "browser/worker.js"

// Pin is a place where users are told which version of the plugin to run.
type Pin struct {
	File    string
	Version string
}

var (
	// tagForm is all that the plugin catalog takes.
	tagForm        = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$`)
	changelogEntry = regexp.MustCompile(`(?m)^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d|` + Unreleased + `)$`)
	// pinForms are how Traefik is told, by an argument and in a file, and how the worker
	// says which it is.
	pinForms = []*regexp.Regexp{
		regexp.MustCompile(`(?i)experimental\.plugins\.reauth\.version[=:]\s*["']?(v[^\s"']+)`),
		regexp.MustCompile(`(?i)modulename["']?\s*[:=]\s*["']?github\.com/traefik-reauth/reauth["']?,?\s+["']?version["']?\s*[:=]\s*["']?(v[^\s"']+)`),
		regexp.MustCompile(`\bVERSION = '(v[^']+)'`),
	}
)

// Changelog returns the versions in the changelog, as they stand.
func Changelog(root string) ([]Entry, error) {
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, found := range changelogEntry.FindAllStringSubmatch(string(text), -1) {
		entries = append(entries, Entry{"v" + found[1], found[2]})
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("CHANGELOG.md has no version")
	}
	return entries, nil
}

// Newest returns the version at the top of the changelog, which is what users
// are told to run.
func Newest(root string) (string, error) {
	entries, err := Changelog(root)
	if err != nil {
		return "", err
	}
	return entries[0].Version, nil
}

// Pins returns where README.md and the examples pin the plugin, and the worker names it.
func Pins(root string) ([]Pin, error) {
	files := []string{"README.md", workerFile}
	err := filepath.WalkDir(filepath.Join(root, "examples"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			path, err = filepath.Rel(root, path)
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var pins []Pin
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return nil, err
		}
		for _, form := range pinForms {
			for _, found := range form.FindAllStringSubmatch(string(text), -1) {
				pins = append(pins, Pin{file, found[1]})
			}
		}
	}
	return pins, nil
}

// Check returns what keeps the project at root from being released as a
// version, nothing if it can be.
func Check(root, version string) ([]string, error) {
	if !tagForm.MatchString(version) {
		return []string{fmt.Sprintf("%q is no version of the form v1.2.3", version)}, nil
	}
	manifest := func(root, _ string) ([]string, error) { return CheckManifest(root) }
	var problems []string
	for _, check := range []func(root, version string) ([]string, error){checkChangelog, checkPins, checkStatus, manifest, checkGit} {
		found, err := check(root, version)
		if err != nil {
			return nil, err
		}
		problems = append(problems, found...)
	}
	return problems, nil
}

// ReadManifest returns the manifest, which may have nothing else in it.
func ReadManifest(root string) (Manifest, error) {
	var m Manifest
	text, err := os.ReadFile(filepath.Join(root, ".traefik.yml"))
	if err != nil {
		return m, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	err = decoder.Decode(&m)
	return m, err
}

func checkChangelog(root, version string) ([]string, error) {
	entries, err := Changelog(root)
	if err != nil {
		return nil, err
	}
	var problems []string
	if entries[0].Version != version {
		problems = append(problems, fmt.Sprintf("CHANGELOG.md has %s at its top, not %s", entries[0].Version, version))
	}
	for _, entry := range entries {
		if entry.Date == Unreleased {
			problems = append(problems, fmt.Sprintf("CHANGELOG.md gives %s no date", entry.Version))
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return nil, err
	}
	link := regexp.MustCompile(`(?m)^\[` + regexp.QuoteMeta(version[1:]) + `\]: https://\S+/` + regexp.QuoteMeta(version) + `$`)
	if !link.Match(text) {
		problems = append(problems, "CHANGELOG.md does not say where "+version+" is to be found, on a line like ["+version[1:]+"]: https://…/"+version)
	}
	return problems, nil
}

func checkPins(root, version string) ([]string, error) {
	pins, err := Pins(root)
	if err != nil {
		return nil, err
	}
	var problems []string
	inReadme, inExamples := false, false
	for _, pin := range pins {
		if pin.Version != version {
			problems = append(problems, fmt.Sprintf("%s pins %s", pin.File, pin.Version))
		}
		inReadme = inReadme || pin.File == "README.md"
		inExamples = inExamples || pin.File != "README.md"
	}
	if !inReadme || !inExamples {
		problems = append(problems, "README.md or the examples pin no version")
	}
	return problems, nil
}

func checkStatus(root, _ string) ([]string, error) {
	var problems []string
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*/*.md"} {
		pages, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			return nil, err
		}
		for _, page := range pages {
			text, err := os.ReadFile(page)
			if err != nil {
				return nil, err
			}
			said := strings.ToLower(strings.Join(strings.Fields(string(text)), " "))
			for _, phrase := range []string{"before its first release", "until the first release"} {
				if strings.Contains(said, phrase) {
					name, _ := filepath.Rel(root, page)
					problems = append(problems, filepath.ToSlash(name)+" says what is so "+phrase)
				}
			}
		}
	}
	return problems, nil
}

// CheckManifest returns what in the manifest does not agree with the project at
// root.
func CheckManifest(root string) ([]string, error) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	manifest, err := ReadManifest(root)
	if err != nil {
		return nil, err
	}
	var problems []string
	if module := modfile.ModulePath(mod); manifest.Import != module {
		problems = append(problems, fmt.Sprintf(".traefik.yml imports %s, the module is %s", manifest.Import, module))
	}
	if _, err := os.Stat(filepath.Join(root, manifest.IconPath)); manifest.IconPath == "" || err != nil {
		problems = append(problems, fmt.Sprintf(".traefik.yml has no icon at %q", manifest.IconPath))
	}
	return problems, nil
}

// checkGit looks at the tags, which the plugin catalog wants to be versions
// all, and at what is not committed.
func checkGit(root, version string) ([]string, error) {
	var problems []string
	changes, err := git(root, "status", "--porcelain")
	if err != nil {
		return nil, err
	}
	if changes != "" {
		problems = append(problems, "the working tree has changes that are not committed:\n"+changes)
	}
	list, err := git(root, "tag", "--list")
	if err != nil {
		return nil, err
	}
	tags := strings.Fields(list)
	for _, tag := range tags {
		switch {
		case !tagForm.MatchString(tag):
			problems = append(problems, fmt.Sprintf("the tag %s is no version, and the catalog refuses a repository with one", tag))
		case semver.Compare(tag, version) > 0:
			problems = append(problems, fmt.Sprintf("the tag %s is newer", tag))
		}
	}
	if slices.Contains(tags, version) {
		tagged, err := git(root, "rev-parse", version+"^{commit}")
		if err != nil {
			return nil, err
		}
		head, err := git(root, "rev-parse", "HEAD")
		if err != nil {
			return nil, err
		}
		if tagged != head {
			problems = append(problems, fmt.Sprintf("the tag %s is on another commit", version))
		}
	}
	return problems, nil
}

// git returns what a git command prints, without the last newline.
func git(root string, arguments ...string) (string, error) {
	// The tree may belong to another user, as in a container.
	command := exec.Command("git", append([]string{"-c", "safe.directory=*"}, arguments...)...)
	command.Dir = root
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", strings.Join(arguments, " "), err)
	}
	return strings.TrimSuffix(string(output), "\n"), nil
}
