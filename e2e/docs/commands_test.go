package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/stand"
)

var (
	makeTarget  = regexp.MustCompile(`(?m)^([a-z0-9-]+):`)
	makeCommand = regexp.MustCompile(`\bmake ([a-z-]+)`)
)

// targets returns what make can make.
func targets(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, found := range makeTarget.FindAllStringSubmatch(source(t, "Makefile"), -1) {
		names = append(names, found[1])
	}
	return names
}

// TestCommandsExist finds what a command names that is not there. What commands
// answer is checked in TestAnswers.
func TestCommandsExist(t *testing.T) {
	all := targets(t)
	for name, page := range readPages(t) {
		folder := "."
		commands := page.Code
		for _, block := range page.Blocks {
			if block.Language == "sh" {
				commands = append(commands, strings.Split(block.Text, "\n")...)
			}
		}
		for _, command := range commands {
			if strings.HasPrefix(command, "make ") {
				for _, found := range makeCommand.FindAllStringSubmatch(command, -1) {
					if !slices.Contains(all, found[1]) {
						t.Errorf("%s: there is no make %s", name, found[1])
					}
				}
			}
			words := strings.Fields(strings.TrimSuffix(strings.TrimPrefix(command, "(umask 077; "), ")"))
			for i, word := range words {
				switch {
				case words[0] == "cd" && i == 1:
					folder = strings.TrimPrefix(word, "reauth") // the folder that git makes
				case words[0] == "cp" && i > 0 && i < len(words)-1, i > 0 && (words[i-1] == "-f" || words[i-1] == "--values"):
					if _, err := os.Stat(filepath.Join(stand.Project(), folder, word)); err != nil {
						t.Errorf("%s: %s: %v", name, command, err)
					}
					if (words[0] == "kubectl" || words[0] == "helm") && folder != "." {
						t.Errorf("%s: %s is for the project's folder, and stands in %s", name, command, folder)
					}
				case words[0] == "git" && words[1] == "clone" && i == 2 && word != "https://"+stand.Module,
					words[0] == "git" && words[1] == "clone" && i == 3 && word != "plugins-local/src/"+stand.Module:
					t.Errorf("%s: %s is not what Traefik looks for", name, command)
				}
			}
			if command == "" {
				folder = "."
			}
		}
	}
}
