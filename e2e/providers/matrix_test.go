package providers

import (
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/traefik-reauth/reauth/e2e/stand"
)

// outcome is what a client gets.
type outcome string

const (
	// untouched is what the app's twin without the plugin answers.
	untouched outcome = "what comes without the plugin"
	challenge outcome = "the plugin's 401"
	prefixed  outcome = "the refresh script and the app's"
	recovery  outcome = "the recovery script"
)

// outcomeOf tells what res is; plain is what the twin answers.
func outcomeOf(res, plain response) outcome {
	switch {
	case res.IsChallenge():
		return challenge
	case shape(res) == shape(plain):
		return untouched
	case isPrefixed(res):
		return prefixed
	case isRecovery(res):
		return recovery
	}
	return outcome(describe(res) + "\nwithout the plugin:\n" + describe(plain))
}

// isScript reports whether res holds a script of the plugin's.
func isScript(res response) bool {
	return res.StatusCode == http.StatusOK && strings.HasPrefix(res.Header.Get("Content-Type"), "text/javascript") &&
		strings.Contains(res.Text, `"/_reauth"`)
}

// isPrefixed reports whether res is the app's worker script behind the refresh script.
func isPrefixed(res response) bool {
	return isScript(res) && strings.HasSuffix(res.Text, ";"+workerScript)
}

// isRecovery reports whether res is the recovery script.
func isRecovery(res response) bool {
	return isScript(res) && !isPrefixed(res) && len(res.Cookies()) == 0 && res.Header["Location"] == nil
}

var once = regexp.MustCompile(`(state|nonce|code_challenge)=[^&"]*`)

// shape is what two answers have in common that differ in what is made anew for each
// and in the host that was asked.
func shape(res response) string {
	header := http.Header{}
	for name, values := range res.Header {
		switch name {
		case "Date", "Content-Length":
		case "Set-Cookie":
			for _, cookie := range res.Cookies() {
				header.Add(name, cookie.Name)
			}
			slices.Sort(header[name])
		default:
			header[name] = values
		}
	}
	var text strings.Builder
	_ = header.Write(&text)
	same := strings.ReplaceAll(res.Status+"\n"+text.String()+res.Text, res.Request.URL.Hostname(), "HOST")
	return once.ReplaceAllString(same, "$1=")
}

var upgrade = []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}

// TestAnswerMatrix sends every kind of request in every state of the session.
func TestAnswerMatrix(t *testing.T) {
	ifGood := func(want outcome, otherwise outcome) map[session]outcome {
		return map[session]outcome{good: want, expired: otherwise, none: otherwise}
	}
	call := ifGood(untouched, challenge)
	rows := []struct {
		name, method, path, body string
		headers                  []string
		want                     map[session]outcome
	}{
		{name: "navigation", headers: navigation, want: ifGood(untouched, untouched)},
		{name: "navigation without fetch metadata", headers: []string{"Accept: text/html,*/*;q=0.8"}, want: ifGood(untouched, untouched)},
		{name: "fetch", headers: fetch, want: call},
		{name: "fetch without fetch metadata", headers: []string{"Accept: */*"}, want: call},
		{name: "fetch of JSON", headers: jsonFetch, want: call},
		{name: "fetch of JSON without fetch metadata", headers: []string{"Accept: application/json"}, want: call},
		{name: "XMLHttpRequest", headers: []string{"X-Requested-With: XMLHttpRequest", "Accept: text/html"}, want: call},
		{name: "POST", method: "POST", body: "edits", headers: fetch, want: call},
		{name: "POST of JSON", method: "POST", body: "{}", headers: append([]string{"Content-Type: application/json"}, jsonFetch...), want: call},
		{name: "OPTIONS", method: "OPTIONS", headers: fetch, want: call},
		{name: "HEAD", method: "HEAD", headers: fetch, want: call},
		{name: "WebSocket", path: "/ws", headers: upgrade, want: call},
		{name: "worker script", path: "/sw.js", headers: forWorker, want: ifGood(prefixed, recovery)},
		{name: "the app's own 401", path: "/unauthorized", headers: fetch, want: call},
		{name: "the app's own 401, for JSON", path: "/unauthorized", headers: jsonFetch, want: call},
		{name: "the app's own 401 with a challenge", path: "/basic", headers: fetch, want: call},
		{name: "the app's own 401 that leads to the same provider", path: "/openid-401", headers: fetch, want: call},
		{name: "the app's own login at the same provider", path: "/openid", headers: fetch, want: call},
	}
	for _, mode := range modeNames {
		for _, state := range []session{good, expired, none} {
			t.Run(mode+", "+string(state), func(t *testing.T) {
				c, without := newClient(t, mode), newClient(t, twin(mode))
				c.enter(state)
				without.enter(state)
				for _, row := range rows {
					if row.method == "" {
						row.method = http.MethodGet
					}
					if row.path == "" {
						row.path = "/budget?month=2026-11&a=%2Fb"
					}
					plain := without.send(row.method, row.path, row.body, row.headers...)
					app.take()
					res := c.send(row.method, row.path, row.body, row.headers...)
					if got := outcomeOf(res, plain); got != row.want[state] {
						t.Errorf("%s: want %s, got %s", row.name, row.want[state], got)
					}
					var want []received
					if state == good {
						want = []received{{res.Request.URL.Host, row.method, row.path, row.body, "demo", "demo@example.com"}}
					}
					if got := app.take(); !reflect.DeepEqual(got, want) {
						t.Errorf("%s: the app got %v, want %v", row.name, got, want)
					}
				}
			})
		}
	}
}

func TestWebSocketWorks(t *testing.T) {
	for _, mode := range modeNames {
		c := newClient(t, mode)
		c.enter(good)
		dialer := websocket.Dialer{NetDialContext: stand.Dial, Jar: c.Jar}
		conn, _, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(c.url("/ws"), "http"), nil)
		if err != nil {
			t.Errorf("%s: %v", mode, err)
			continue
		}
		defer conn.Close()
		if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
			t.Error(err)
		}
		if _, message, err := conn.ReadMessage(); err != nil || string(message) != "hello" {
			t.Errorf("%s: got %q, %v", mode, message, err)
		}
	}
}

// Nothing has passed an instance when Traefik has just started, and the sessions of
// everybody may have ended. Who names a provider is believed to have listed its header.
func TestProviderIsBelievedBeforeAGoodAnswer(t *testing.T) {
	hosts := []string{unseenRootHost, unseenAuthHost}
	for _, host := range standInHosts {
		hosts = append(hosts, "unseen-"+host)
	}
	for _, host := range hosts {
		c, without := newClient(t, host), newClient(t, twin(host))
		leads := func(how, path string, headers []string) {
			t.Helper()
			res := c.send("GET", path, "", headers...)
			if res.StatusCode < 302 || res.StatusCode > 307 || res.Header.Get("Location") == "" {
				t.Errorf("%s, %s, %s: got %s", host, path, how, describe(res))
			}
		}
		for name, headers := range fetches {
			if res := c.send("GET", "/budget", "", headers...); !res.IsChallenge() {
				t.Errorf("%s, %s: got %s", host, name, describe(res))
			}
			if res := c.send("GET", "/_reauth?probe", "", headers...); !isProbed(res, "false") {
				t.Errorf("%s, probe, %s: got %s", host, name, describe(res))
			}
			leads(name, "/_reauth", headers)
		}
		leads("visit", "/_reauth?login", navigation)
		leads("visit", "/_reauth?rd=%2Fbudget", navigation)
		plain := without.send("GET", "/budget", "", navigation...)
		if got := outcomeOf(c.send("GET", "/budget", "", navigation...), plain); got != untouched {
			t.Errorf("%s, visit: got %s", host, got)
		}
		if res := c.send("GET", "/sw.js", "", forWorker...); !isRecovery(res) {
			t.Errorf("%s, worker script: got %s", host, describe(res))
		}
	}
}
