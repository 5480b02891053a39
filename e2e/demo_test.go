package e2e

import (
	"bufio"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	openLine = regexp.MustCompile(`^Open +(http://\S+)$`)
	curlLine = regexp.MustCompile(`curl -d session=proxy (http://\S+)$`)
)

// TestDemoServesActualAndStopsCleanly follows what the demo prints: it opens the
// URL, logs in, expires the session and presses Ctrl-C.
func TestDemoServesActualAndStopsCleanly(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.Command("go", "build", "-o", binary, "./demo").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	demo := exec.Command(binary)
	demo.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	demo.Stderr = os.Stderr
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(2*time.Minute, func() { _ = demo.Process.Kill() })
	defer watchdog.Stop()

	var base, expire string
	lines := bufio.NewScanner(out)
	for (base == "" || expire == "") && lines.Scan() {
		if found := openLine.FindStringSubmatch(lines.Text()); found != nil {
			base = found[1]
		}
		if found := curlLine.FindStringSubmatch(lines.Text()); found != nil {
			expire = found[1]
		}
	}
	if base == "" || expire == "" {
		_ = demo.Process.Kill()
		t.Fatalf("the demo printed no URL: %v", demo.Wait())
	}

	c := newClient(t, protocol{"HTTP/1.1", func(string) string { return base }, 1, oneProtocol((*http.Protocols).SetHTTP1)}, appHost)
	if res := c.logIn("/"); !strings.Contains(res.body, "<title>Actual</title>") {
		t.Errorf("%s shows %s", base, describe(res))
	}
	if res := c.send("GET", "/account/needs-bootstrap", "", fetch...); !strings.Contains(res.body, `"bootstrapped":true`) {
		t.Errorf("Actual has no password: %s", describe(res))
	}
	form := url.Values{"session": {"proxy"}}.Encode()
	if res := c.do(request(t, "POST", expire, form, "Content-Type: application/x-www-form-urlencoded"), false); res.StatusCode != http.StatusNoContent {
		t.Errorf("%s: %s", expire, describe(res))
	}
	if res := c.send("GET", "/account/needs-bootstrap", "", fetch...); !isChallenge(res) {
		t.Errorf("expired: %s", describe(res))
	}

	if err := demo.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := demo.Wait(); err != nil {
		t.Errorf("the demo ended with %v", err)
	}
	if left, err := filepath.Glob(demo.Env[len(demo.Env)-1][len("TMPDIR="):] + "/*"); err != nil || len(left) > 0 {
		t.Errorf("the demo left %v behind, %v", left, err)
	}
}
