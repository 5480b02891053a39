package e2e

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

var (
	printed = regexp.MustCompile(`(?s)Open +(http://\S+)\n.*or +(http://\S+)\n.*and (http://\S+)\n.*curl -d session=proxy (http://\S+)\n.*Ctrl-C\n`)
	told    = regexp.MustCompile(`\n\d\d:\d\d:\d\d  GET /account/needs-bootstrap was refused with 401\n`)
	private = regexp.MustCompile(`code=|state=|authentik_`)
)

// TestDemoServesActualAndStopsCleanly follows what the demo prints: it opens the
// URL, logs in, expires the session, reads of the refusal and presses Ctrl-C.
func TestDemoServesActualAndStopsCleanly(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.Command("go", "build", "-o", binary, "./demo").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files := t.TempDir()
	command := exec.Command(binary)
	command.Env = append(os.Environ(), "TMPDIR="+files)
	demo, err := stand.Run(command, t.TempDir(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = demo.Stop() })

	await := func(what string, line *regexp.Regexp) []string {
		t.Helper()
		deadline, tick := time.After(time.Minute), time.Tick(20*time.Millisecond)
		for {
			select {
			case <-tick:
				if found := line.FindStringSubmatch(demo.Log()); found != nil {
					return found
				}
			case <-demo.Ended():
				t.Fatalf("the demo ended: %s", demo.Log())
			case <-deadline:
				t.Fatalf("the demo printed no %s: %s", what, demo.Log())
			}
		}
	}
	found := await("URL", printed)
	base, wiki, status, expire := found[1], found[2], found[3], found[4]

	c := visitor.At(t, base, visitor.HTTP1, nil)
	if res := c.LogIn("/"); !strings.Contains(res.Text, "<title>Actual</title>") {
		t.Errorf("%s shows %s", base, res)
	}
	if res := c.Send("GET", "/account/needs-bootstrap", "", fetch...); !strings.Contains(res.Text, `"bootstrapped":true`) {
		t.Errorf("Actual has no password: %s", res)
	}
	w := visitor.At(t, wiki, visitor.HTTP1, nil)
	if res := w.Send("GET", "/", "", navigation...); !strings.Contains(res.Text, `data-visit`) {
		t.Errorf("%s shows %s", wiki, res)
	}
	if res := w.LogIn("/_reauth?rd=/"); !strings.Contains(res.Text, "TiddlyWiki") {
		t.Errorf("%s shows %s", wiki, res)
	}
	if res := c.Do(visitor.Request(t, "GET", status, "", navigation...), false); !strings.Contains(res.Text, "<title>How reauth stands</title>") {
		t.Errorf("%s shows %s", status, res)
	}
	form := url.Values{"session": {"proxy"}}.Encode()
	if res := c.Do(visitor.Request(t, "POST", expire, form, "Content-Type: application/x-www-form-urlencoded"), false); res.StatusCode != http.StatusNoContent {
		t.Errorf("%s: %s", expire, res)
	}
	if res := c.Send("GET", "/account/needs-bootstrap", "", fetch...); !res.IsChallenge() {
		t.Errorf("expired: %s", res)
	}
	await("refusal", told)
	if secret := private.FindString(demo.Log()); secret != "" {
		t.Errorf("the demo printed %s: %s", secret, demo.Log())
	}

	if code, err := demo.End(os.Interrupt); code != 0 || err != nil {
		t.Errorf("the demo ended with %d, %v: %s", code, err, demo.Log())
	}
	if left, err := os.ReadDir(files); err != nil || len(left) > 0 {
		t.Errorf("the demo left %v behind, %v", left, err)
	}
}
