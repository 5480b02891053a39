package docs

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// matches reports whether a line is what the README says, where … stands for
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
	page := readme(t)
	well := trial{app: sh.s.SecureURL(wellHost), cookie: sh.logIn(t, wellHost), middleware: "reauth"}

	checked := 0
	for _, block := range page.Blocks {
		if block.Language != "sh" || block.Answer == "" {
			continue
		}
		checked++
		got := lines(sh.run(t, well, block.Text))
		if want := lines(block.Answer); !allMatch(want, got) {
			t.Errorf("%s\ngot  %q\nwant %q", block.Text, got, want)
		}
	}
	if checked < 5 {
		t.Errorf("only %d commands have an answer", checked)
	}
	t.Run("401", func(t *testing.T) { expectChallenge(t, sh, well, page) })
	t.Run("options", func(t *testing.T) { expectOptions(t, sh, well, page) })
	t.Run("troubleshooting", func(t *testing.T) { expectTroubles(t, sh, well, page) })
}

// expectChallenge holds the README's 401 to the real one.
func expectChallenge(t *testing.T, sh *shell, well trial, page *Page) {
	var said []string
	for _, block := range page.Blocks {
		if block.Language == "http" {
			said = append(said, lines(block.Text)...)
		}
	}
	well.app = sh.s.SecureURL(wellHost)
	got := lines(strings.ReplaceAll(sh.run(t, well, "curl -si --http1.1 -H 'Sec-Fetch-Mode: cors' $APP/"), "reauth@docker", "reauth@file"))
	got = slices.DeleteFunc(got, func(line string) bool { return strings.HasPrefix(line, "Date: ") })
	if !allMatch(said, got) {
		t.Errorf("got  %q\nwant %q", got, said)
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

// trouble is how a row of the README's table is tried: where all is well, and
// where it goes wrong.
type trouble struct {
	symptom string // the start of it
	well    trial
	wrong   trial
}

func expectTroubles(t *testing.T, sh *shell, well trial, page *Page) {
	at := func(host string) trial { return trial{app: sh.s.SecureURL(host)} }
	with := func(on trial, change func(*trial)) trial { change(&on); return on }
	// The cache is filled by somebody without a session.
	sh.run(t, trial{app: sh.cdn}, "curl -s -o /dev/null -H 'Service-Worker: script' $APP/sw.js")
	troubles := []trouble{
		{"The app goes offline", well, at(misplacedHost)},
		{"Traefik's log says once that requests already bear", well, at(misplacedHost)},
		{"Behind nginx the login comes back on http", well, trial{app: sh.s.URL(wellHost)}},
		{"After the login people are on the app's start page", well, at(wrongReturn)},
		{"A link to /_reauth?rd=… leads to the start page", well, well},
		{"The login comes again and again", well, at(wrongCookie)},
		{"Each expiry takes a visible trip", well, at(foreignHost)},
		{"The app gets the 401 and does nothing", well, at(offHost)},
		{"Nobody's session is ever renewed", trial{app: sh.s.URL(redirectedHost)}, trial{app: sh.s.URL(wellHost)}},
		{"Some browsers recover, others do not", well, trial{app: sh.cdn}},
		{"Calls fail for a minute", well, with(at(limitedHost), func(on *trial) { on.cookie = sh.logIn(t, limitedHost) })},
		{"The app's own OpenID login answers 401", well, with(at(openIDHost), func(on *trial) { on.cookie = sh.logIn(t, openIDHost) })},
		{"An option has no effect", with(at(offHost), func(on *trial) { on.middleware = "reauth-off" }),
			with(at(misspeltHost), func(on *trial) { on.middleware = "reauth-misspelt" })},
	}
	functions := ""
	for _, block := range page.Blocks {
		if block.Section == "Troubleshooting" && block.Language == "sh" {
			for _, line := range strings.Split(block.Text, "\n") {
				if strings.Contains(line, "() {") {
					functions += line + "\n"
				}
			}
		}
	}
	rows := page.table(t, "Troubleshooting")
	if len(rows) != len(troubles) {
		t.Fatalf("%d rows, %d of them tried", len(rows), len(troubles))
	}
	for i, tt := range troubles {
		t.Run(tt.symptom, func(t *testing.T) {
			if !strings.HasPrefix(rows[i][0].Text, tt.symptom) {
				t.Fatalf("the row is about %q", rows[i][0].Text)
			}
			command := functions + rows[i][2].Code[0]
			right, wrong := answersOf(t, rows[i][3])
			tt.well.assign, tt.wrong.assign = right.assign, wrong.assign
			got, gone := lines(sh.run(t, tt.well, command)), lines(sh.run(t, tt.wrong, command))
			if !allMatch(right.lines, got) || wrong.in(got) {
				t.Errorf("where all is well\ngot  %q\nwant %q", got, right.lines)
			}
			if !wrong.in(gone) || allMatch(right.lines, gone) {
				t.Errorf("where it goes wrong\ngot  %q\nwant %q", gone, wrong.lines)
			}
		})
	}
}

// answer is what the README says that a command prints.
type answer struct {
	assign string // the variable it is the answer for
	lines  []string
}

// in reports whether each line is among those of an output.
func (a answer) in(output []string) bool {
	for _, said := range a.lines {
		if !slices.ContainsFunc(output, func(line string) bool { return matches(said, line) }) {
			return false
		}
	}
	return true
}

// answersOf reads a cell: the right answer comes first, and all else are lines
// of the other. A variable stands behind the answer that it is for.
func answersOf(t *testing.T, cell Cell) (right, wrong answer) {
	t.Helper()
	for _, code := range cell.Code {
		switch {
		case strings.HasPrefix(code, "RD="):
			if wrong.lines == nil {
				right.assign = code
			} else {
				wrong.assign = code
			}
		case right.lines == nil:
			right.lines = []string{code}
		default:
			wrong.lines = append(wrong.lines, code)
		}
	}
	if len(right.lines) == 0 || len(wrong.lines) == 0 {
		t.Fatalf("no two answers in %q", cell.Text)
	}
	return right, wrong
}
