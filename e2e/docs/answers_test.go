package docs

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// matches reports whether a line is what a page says, where … stands for
// whatever there is.
func matches(said, line string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(said), "…", ".*")
	return regexp.MustCompile("(?i)^" + pattern + "$").MatchString(line)
}

// lines returns the lines of an output, without the blanks around and between.
func lines(output string) []string {
	var all []string
	for _, line := range strings.Split(strings.ReplaceAll(output, "\r", ""), "\n") {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// allMatch reports whether the lines are what is said, line by line.
func allMatch(said, got []string) bool { return slices.EqualFunc(said, got, matches) }

func TestAnswers(t *testing.T) {
	sh := startShell(t)
	pages := readPages(t)
	well := trial{app: sh.s.SecureURL(wellHost), cookie: sh.logIn(t, wellHost), middleware: "reauth"}

	checked := 0
	for _, block := range pages["README.md"].Blocks {
		if block.Language != "sh" || block.Answer == "" {
			continue
		}
		checked++
		got := lines(sh.run(t, well, block.Text))
		if want := lines(block.Answer); !allMatch(want, got) {
			t.Errorf("%s\ngot  %q\nwant %q", block.Text, got, want)
		}
	}
	if checked < 3 {
		t.Errorf("only %d commands have an answer", checked)
	}
	t.Run("401", func(t *testing.T) { expectChallenge(t, sh, well, shown(t, pages, "http")) })
	t.Run("options", func(t *testing.T) { expectOptions(t, sh, well, pages["README.md"]) })
	t.Run("troubleshooting", func(t *testing.T) { expectTroubles(t, sh, well, pages["docs/troubleshooting.md"]) })
	// It forges lines, so nothing is looked for in the logs after it.
	t.Run("access log", func(t *testing.T) { expectTold(t, sh, pages["docs/in-between.md"]) })
}

// expectChallenge holds the 401 that is said to the real one.
func expectChallenge(t *testing.T, sh *shell, well trial, said string) {
	well.app = sh.s.SecureURL(wellHost)
	got := lines(strings.ReplaceAll(sh.run(t, well, "curl -si --http1.1 -H 'Sec-Fetch-Mode: cors' $APP/"), "reauth@docker", "reauth@file"))
	got = slices.DeleteFunc(got, func(line string) bool { return strings.HasPrefix(line, "Date: ") })
	if want := lines(said); !allMatch(want, got) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// expectOptions holds the line that the README shows of the log to the real one.
func expectOptions(t *testing.T, sh *shell, well trial, page *Page) {
	logged := lines(sh.run(t, well, "docker compose logs traefik"))
	for _, block := range page.Blocks {
		if !strings.HasPrefix(block.Text, "reauth: options of ") {
			continue
		}
		isSaid := func(line string) bool {
			return strings.Contains(line, " DBG ") && strings.Contains(line, " "+strings.TrimSpace(block.Text))
		}
		if len(logged) == 0 || slices.ContainsFunc(logged, func(line string) bool { return !isSaid(line) }) {
			t.Errorf("got  %q\nwant %s", logged[:min(1, len(logged))], block.Text)
		}
		var said map[string]any
		_, text, _ := strings.Cut(block.Text, ": {")
		if err := json.Unmarshal([]byte("{"+text), &said); err != nil || len(said) != len(options()) {
			t.Errorf("%v, %v", said, err)
		}
		return
	}
	t.Error("the README does not show the line")
}

// trouble is how a symptom is tried: where all is well, and where it goes wrong.
type trouble struct {
	symptom string // the start of its heading
	well    trial
	wrong   trial
}

func expectTroubles(t *testing.T, sh *shell, well trial, page *Page) {
	at := func(host string) trial { return trial{app: sh.s.SecureURL(host)} }
	as := func(host string) trial { return trial{app: sh.s.SecureURL(host), cookie: sh.logIn(t, host)} }
	logOf := func(middleware string) trial { return trial{app: sh.s.SecureURL(offHost), middleware: middleware} }
	// The cache is filled by somebody without a session.
	sh.run(t, trial{app: sh.cdn}, "curl -s -o /dev/null -H 'Service-Worker: script' $APP/sw.js")
	// What Traefik writes of a request it writes once that is over.
	lineOf(t, sh.s, seen{host: wellHost, path: "/", method: "GET", header: visitor.Fetch, status: http.StatusUnauthorized})
	troubles := []trouble{
		{symptom: "The app goes offline", well: well, wrong: at(misplacedHost)},
		{symptom: "Traefik's log says that requests already bear", well: well, wrong: at(misplacedHost)},
		{symptom: "Behind nginx the login comes back on http", well: well, wrong: trial{app: sh.s.URL(wellHost)}},
		{symptom: "After the login I am on the start page", well: well, wrong: at(wrongReturn)},
		{symptom: "After the login the page is not found", well: well, wrong: at(strippedHost)},
		{symptom: "A link to /_reauth?rd=… leads to the start page", well: well, wrong: well},
		{symptom: "Redirect loop", well: well, wrong: at(wrongCookie)},
		{symptom: "Each expiry takes a visible trip", well: well, wrong: at(foreignHost)},
		{symptom: "The app gets the 401 and does nothing", well: well, wrong: at(offHost)},
		{symptom: "No session is ever renewed", well: trial{app: sh.s.URL(redirectedHost)}, wrong: trial{app: sh.s.URL(wellHost)}},
		{symptom: "Each expiry is met", well: well, wrong: as(tokenlessHost)},
		{symptom: "Some browsers recover, others do not", well: well, wrong: trial{app: sh.cdn}},
		{
			symptom: "CrowdSec or fail2ban locks people out",
			well:    trial{app: well.app, accessLog: sh.told},
			wrong:   trial{app: sh.common.URL(wellHost), accessLog: sh.untold},
		},
		{symptom: "With ownServiceWorker people see an error page", well: at(ownHost), wrong: at(replacedHost)},
		{symptom: "429 Too Many Requests", well: well, wrong: as(limitedHost)},
		{symptom: "The app's own OpenID login answers 401", well: well, wrong: as(openIDHost)},
		{symptom: "An option has no effect", well: logOf("reauth-off"), wrong: logOf("reauth-misspelt")},
	}
	var functions []string
	sections := []section{}
	for _, block := range page.Blocks {
		switch {
		case block.Section == "Troubleshooting":
			for _, line := range strings.Split(block.Text, "\n") {
				if strings.Contains(line, "() {") {
					functions = append(functions, line)
				}
			}
			continue
		case len(sections) == 0 || sections[len(sections)-1].heading != block.Section:
			sections = append(sections, section{heading: block.Section})
		}
		last := &sections[len(sections)-1]
		if block.Language == "sh" {
			last.commands = append(last.commands, strings.Join(functions, "\n")+"\n"+block.Text)
		} else {
			last.answers = append(last.answers, lines(block.Text))
		}
	}
	if len(sections) != len(troubles) {
		t.Fatalf("%d headings, %d of them tried", len(sections), len(troubles))
	}
	for i, tt := range troubles {
		t.Run(tt.symptom, func(t *testing.T) {
			said := sections[i]
			if !strings.HasPrefix(said.heading, tt.symptom) || len(said.commands) == 0 || len(said.answers) != 2 {
				t.Fatalf("%q has %d commands and %d answers", said.heading, len(said.commands), len(said.answers))
			}
			right, wrong := said.answers[0], said.answers[1]
			got := lines(sh.run(t, tt.well, said.commands[0]))
			gone := lines(sh.run(t, tt.wrong, said.commands[len(said.commands)-1]))
			if !allMatch(right, got) || allIn(wrong, got) {
				t.Errorf("where all is well\ngot  %q\nwant %q", got, right)
			}
			if !allIn(wrong, gone) || allMatch(right, gone) {
				t.Errorf("where it goes wrong\ngot  %q\nwant %q", gone, wrong)
			}
		})
	}
}

// section is what stands under a symptom's heading: a command, what it prints where all
// is well and what it prints where not, which may take a command of its own.
type section struct {
	heading  string
	commands []string
	answers  [][]string
}

// allIn reports whether each line that is said is among those of an output.
func allIn(said, output []string) bool {
	for _, want := range said {
		if !slices.ContainsFunc(output, func(line string) bool { return matches(want, line) }) {
			return false
		}
	}
	return true
}
