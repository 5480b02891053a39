package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/traefik-reauth/reauth/e2e/authentik"
	"github.com/traefik-reauth/reauth/e2e/fault"
	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// sent is a request, as all those of its kind.
type sent struct {
	kind    string
	method  string
	target  string
	body    string
	headers []string
}

// sentToApp are requests that the app answers, and sentToRefreshPath those that the plugin
// does, if nothing is wrong.
var (
	sentToApp = []sent{
		{kind: "visit", method: "GET", target: "/budget?a=1", headers: navigation},
		{kind: "call", method: "GET", target: "/api/data", headers: fetch},
		{kind: "edit", method: "POST", target: "/sync/sync", body: "edit", headers: append([]string{"Content-Type: application/actual-sync"}, fetch...)},
		{kind: "preflight", method: "OPTIONS", target: "/api/data", headers: append([]string{"Origin: " + unlistedOrigin, "Access-Control-Request-Method: PUT"}, fetch...)},
		{kind: workerScript, method: "GET", target: "/sw.js", headers: forWorker},
	}
	sentToRefreshPath = []sent{
		{kind: "probe", method: "GET", target: "/_reauth?probe", headers: fetch},
		{kind: "renewal", method: "GET", target: "/_reauth", headers: fetch},
		{kind: "refresh visit", method: "GET", target: visitor.RefreshPath("/budget"), headers: navigation},
		{kind: "login visit", method: "GET", target: "/_reauth?login", headers: navigation},
	}
)

const workerScript = "worker script"

// sentAtAll are all of them.
var sentAtAll = slices.Concat(sentToApp, sentToRefreshPath)

// request returns s with more headers.
func (s sent) request(c *visitor.Visitor, headers ...string) *http.Request {
	c.T.Helper()
	return visitor.Request(c.T, s.method, c.URL(s.target), s.body, slices.Concat(s.headers, headers)...)
}

// brokenOff is an answer that is not there, or not to its end. How much of one there is
// depends on who has buffered it.
const brokenOff = "broken off"

// outcome sends s and returns all that the client gets for it, in the same words for every
// host: of a redirect to the login only that it is one, and of a script not what stands
// in front of the app's, nor what is said about the two together.
func (s sent) outcome(c *visitor.Visitor, headers ...string) string {
	c.T.Helper()
	res, err := c.Open(s.request(c, headers...), false)
	if err != nil {
		return brokenOff
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return brokenOff
	}
	if res.StatusCode == http.StatusFound && strings.Contains(res.Header.Get("Location"), "/application/o/authorize/?client_id=") {
		return "the redirect to the login"
	}
	for _, name := range []string{
		"Date",
		"Content-Length", // what is streamed has none
		"Connection",     // of a server that is about to end
	} {
		res.Header.Del(name)
	}
	answer := response{Response: res, Text: string(body)}
	if s.kind == workerScript && res.StatusCode == http.StatusOK {
		res.Header = nil
		answer.Text = strings.TrimPrefix(answer.Text, visitor.Script(false))
	}
	return strings.ReplaceAll(answer.String(), c.Root().Host, "HOST")
}

// outcomes sends everything of requests at once, from each client, and returns what each
// gets. Meanwhile it calls then, which may be nil.
func outcomes(requests []sent, clients []*visitor.Visitor, then func(), headers ...string) []string {
	got := make([]string, len(requests)*len(clients))
	var ended sync.WaitGroup
	for i := range got {
		ended.Go(func() { got[i] = requests[i/len(clients)].outcome(clients[i%len(clients)], headers...) })
	}
	if then != nil {
		then()
	}
	ended.Wait()
	return got
}

// withFault has a fault happen to the auth server's answers for hosts while run does.
func (p protocol) withFault(happens fault.Fault, run func(), hosts ...string) {
	for _, host := range hosts {
		before := p.behave(host, authentik.Behaviour{Fault: happens})
		defer p.behave(host, before)
	}
	run()
}

// TestAuthServerFaults compares with the answers that there are without the plugin. When
// the fault is over it is as if nothing had been.
func TestAuthServerFaults(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		for _, state := range []session{good, expired} {
			plugged, plain := enter(newClient(t, p, failingHost), state), enter(newClient(t, p, plainHost), state)
			for _, happens := range fault.Answers {
				p.withFault(happens, func() {
					for _, s := range sentAtAll {
						got, want := s.outcome(plugged), s.outcome(plain)
						if got != want {
							t.Errorf("%s, %s, %s:\n%s\nwithout the plugin:\n%s", happens, state, s.kind, got, want)
						}
					}
				}, failingHost, plainHost)
				after := plugged.Send("GET", "/api/data", "", fetch...)
				if after.IsChallenge() != (state == expired) || state == good && after.StatusCode != http.StatusOK {
					t.Errorf("after %s, %s: %s", happens, state, after)
				}
			}
		}
	})
}

// TestPreflightsOutliveTheAuthServer has the auth server do everything but answer.
func TestPreflightsOutliveTheAuthServer(t *testing.T) {
	asks := sent{method: "OPTIONS", target: "/api/data", headers: append([]string{"Origin: " + listedOrigin, "Access-Control-Request-Method: PUT"}, fetch...)}
	forEachProtocol(t, func(t *testing.T, p protocol) {
		c := newClient(t, p, corsHost)
		want, before := asks.outcome(c), p.asked(corsHost)
		if !strings.HasPrefix(want, "204") {
			t.Fatal(want)
		}
		for _, happens := range append([]fault.Fault{fault.Hang}, fault.Answers...) {
			p.withFault(happens, func() {
				if got := asks.outcome(c); got != want {
					t.Errorf("%s: %s", happens, got)
				}
			}, corsHost)
		}
		if p.asked(corsHost) != before {
			t.Error("the auth server was asked")
		}
	})
}

// TestSlowServers compares with the same servers when they are quick.
func TestSlowServers(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		clients := []*visitor.Visitor{enter(newClient(t, p, failingHost), good), enter(newClient(t, p, failingHost), expired)}
		want := outcomes(sentAtAll, clients, nil)
		expect := func(who string, got []string) {
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("%s, %s: %s\nwhen it is quick: %s", who, sentAtAll[i/len(clients)].kind, got[i], want[i])
				}
			}
		}
		p.withFault(fault.Slow, func() {
			began, before := time.Now(), p.asked(failingHost)
			expect("the auth server", outcomes(sentAtAll, clients, nil))
			if time.Since(began) < fault.Delay || p.asked(failingHost) != before+len(want) {
				t.Error("the auth server was not asked, or not waited for")
			}
		}, failingHost)
		began := time.Now()
		expect("the app", outcomes(sentAtAll, clients, nil, probe.FaultHeader+": "+string(fault.Slow)))
		if time.Since(began) < fault.Delay {
			t.Error("the app was not waited for")
		}
	})
}

// TestAppFaults compares with the answers that there are without the plugin, and those of
// the plugin's own with what they are when nothing is wrong: the session is as good.
func TestAppFaults(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		for _, state := range []session{good, expired} {
			plugged, plain := enter(newClient(t, p, appHost), state), enter(newClient(t, p, plainHost), state)
			for _, happens := range append([]fault.Fault{fault.Cut}, fault.Answers...) {
				header := probe.FaultHeader + ": " + string(happens)
				for _, s := range sentToApp {
					got := s.outcome(plugged, header)
					want := s.outcome(plugged)
					if state == good {
						want = s.outcome(plain, header)
					}
					if got != want {
						t.Errorf("%s, %s, %s:\n%s\nwant:\n%s", happens, state, s.kind, got, want)
					}
				}
				for _, s := range sentToRefreshPath {
					got, want := s.outcome(plugged, header), s.outcome(plugged)
					// There the end of an answer comes when the app is done, and not by its length.
					if happens == fault.Cut && state == good && p.version == visitor.HTTP2 {
						want = brokenOff
					}
					if got != want {
						t.Errorf("%s, %s, %s:\n%s\nwithout the fault:\n%s", happens, state, s.kind, got, want)
					}
				}
			}
		}
	})
}

// becomes waits until count returns want.
func becomes(t *testing.T, what string, count func() int, want int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for got := count(); got != want; got = count() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d, want %d", what, got, want)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestWhoGivesUpIsNotWaitedFor has both servers hang until the client has gone, which they
// have to hear of.
func TestWhoGivesUpIsNotWaitedFor(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		c := newClient(t, p, failingHost).Enter()
		giveUp := func(who string, s sent, hanging func() int, headers ...string) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error)
			go func() {
				res, err := c.Open(s.request(c, headers...).WithContext(ctx), false)
				if err == nil {
					err = errors.Join(fmt.Errorf("answered %s", res.Status), res.Body.Close())
				}
				ended <- err
			}()
			becomes(t, who+" hangs over a "+s.kind, hanging, 1)
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("%s, %s: %v", who, s.kind, err)
			}
			becomes(t, who+" still hangs over a "+s.kind, hanging, 0)
		}
		p.withFault(fault.Hang, func() {
			for _, s := range sentAtAll {
				// Over HTTP/1 Go hears nothing of a client whose body nobody has read yet.
				if s.body == "" {
					giveUp("the auth server", s, func() int { return shared.Authentik.Hanging(p.external(failingHost)) })
				}
			}
		}, failingHost)
		for _, s := range sentAtAll {
			giveUp("the app", s, app.Hanging, probe.FaultHeader+": "+string(fault.Hang))
		}
	})
}

// TestTraefikChangesInMidRequest reloads the configuration, ends Traefik as an update does,
// and kills it, while requests wait for the auth server. What is under way ends as it would
// have, unless Traefik is killed, and what comes next is as ever.
func TestTraefikChangesInMidRequest(t *testing.T) {
	s, err := startStand(t, probe.ServeApp(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	external := strings.TrimPrefix(s.URL(appHost), "http://")
	hanging := func() int { return s.Authentik.Hanging(external) }
	goOn := func() { s.Authentik.SetBehaviour(external, authentik.Behaviour{}) }
	visit := func() *visitor.Visitor { return visitor.At(t, s.URL(appHost), visitor.HTTP1, s.TLS()).Enter() }
	// Each kind with a good session, and with one that has expired.
	loggedIn, loggedOut := visit(), visit()
	loggedOut.Expire(s.Authentik)
	clients := []*visitor.Visitor{loggedIn, loggedOut}
	want := outcomes(sentAtAll, clients, nil)
	accepts := func() int {
		conn, err := stand.Dial(t.Context(), "tcp", external)
		if err != nil {
			return 0
		}
		_ = conn.Close()
		return 1
	}
	reload := func() error {
		return s.Configure(t.Context(), func(c *stand.Config) {
			c.Plugins["reauth"] = map[string]any{"loginURLs": "/outpost.goauthentik.io/start, /application/o/authorize/, /other"}
		})
	}
	restart := func(signal os.Signal) func() error {
		return func() error {
			if _, err := s.End(signal); err != nil {
				return err
			}
			return s.Revive(t.Context())
		}
	}
	for _, tt := range []struct {
		name   string
		change func() error
		// refuses tells that what is new is refused while what is under way ends.
		refuses bool
		killed  bool
	}{
		{name: "reload", change: reload},
		{name: "restart", change: restart(syscall.SIGTERM), refuses: true},
		{name: "kill", change: restart(syscall.SIGKILL), killed: true},
	} {
		s.Authentik.SetBehaviour(external, authentik.Behaviour{Fault: fault.Hang})
		got := outcomes(sentAtAll, clients, func() {
			becomes(t, tt.name+": requests that wait", hanging, len(want))
			changed := make(chan error)
			go func() { changed <- tt.change() }()
			if tt.refuses {
				becomes(t, "Traefik takes connections", accepts, 0)
				goOn()
			}
			if err := <-changed; err != nil {
				t.Fatal(err)
			}
			goOn()
		})
		for i := range got {
			if (got[i] == want[i]) == tt.killed {
				t.Errorf("%s, %s: %s\nwithout it: %s", tt.name, sentAtAll[i/len(clients)].kind, got[i], want[i])
			}
		}
		if after := outcomes(sentAtAll, clients, nil); fmt.Sprint(after) != fmt.Sprint(want) {
			t.Errorf("after the %s: %s\nwant: %s", tt.name, after, want)
		}
	}
}
