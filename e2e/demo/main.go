// Command demo starts Actual Budget behind Traefik with the plugin and the
// Authentik stand-in, and ends sessions at the press of a key.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/traefik-reauth/reauth/e2e/authentik"
	"github.com/traefik-reauth/reauth/e2e/stand"
)

// actualPassword is set at the first start, so that nobody has to.
const actualPassword = "demo"

// refreshPath is the plugin's default.
const refreshPath = "/_reauth"

// What to do once sessions have expired.
const (
	proxyExpired = `the proxy session has expired: edit something or press Sync in the tab;
nothing should be noticed
`
	bothExpired = `both sessions have expired: edit something or press Sync in the tab;
the tab goes to the login once and comes back. Who cancels that login is not
sent there again for 5 minutes.
`
)

func main() {
	port := flag.Int("port", 0, "port to listen on, 0 for a free one")
	validity := flag.Duration("token-validity", time.Hour, "how long a proxy session lives")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *port, *validity); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, port int, validity time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "reauth-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	budget := filepath.Join(dir, "actual")
	if err := os.Mkdir(budget, 0o755); err != nil {
		return err
	}

	fmt.Println("starting Actual Budget")
	actual, err := stand.StartActual(ctx, budget, stand.CurrentClient)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, actual.Close()) }()
	if err := actual.SetPassword(ctx, actualPassword); err != nil {
		return err
	}

	fmt.Println("starting Traefik with the plugin")
	s, err := stand.Start(ctx, stand.Config{
		Dir:           dir,
		Port:          port,
		TokenValidity: validity,
		Routes:        []stand.Route{{Host: "app", Middlewares: []string{"reauth", stand.ForwardAuth}, Upstream: actual.URL}},
		Plugins:       map[string]map[string]any{"reauth": {}},
		AccessLog:     true,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	fmt.Printf(`
Open        %s
Log in      %s / %s at the login proxy, then %s at Actual Budget

Expire      p + Enter   the proxy session, as its token does after %s
            b + Enter   the proxy session and the SSO session
or          curl -d session=proxy %s/-/expire
            curl -d session=both %s/-/expire
Stop        Ctrl-C

What the browser does shows below.

`, s.URL("app"), authentik.Username, authentik.Password, actualPassword, validity, s.URL("auth"), s.URL("auth"))

	keys := make(chan string)
	go readKeys(os.Stdin, keys)
	told := story{refused: map[string]bool{}}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for seen := 0; ; {
		select {
		case <-ctx.Done():
			fmt.Println("\nstopping")
			return nil
		case <-s.Ended():
			return errors.New("the Traefik server has ended")
		case <-actual.Ended():
			return errors.New("the Actual Budget server has ended")
		case <-tick.C:
			requests, err := s.Requests()
			if err != nil {
				return err
			}
			for _, line := range told.lines(requests[seen:]) {
				fmt.Println(line)
			}
			seen = len(requests)
		case key := <-keys:
			switch key {
			case "p":
				s.Authentik.ExpireSessions()
				fmt.Print(proxyExpired)
			case "b":
				s.Authentik.ExpireSessions()
				s.Authentik.ExpireSSO()
				fmt.Print(bothExpired)
			default:
				fmt.Println("p, b or Ctrl-C")
			}
		}
	}
}

// readKeys sends the lines of r. Without a terminal there are none, and the
// demo runs on.
func readKeys(r io.Reader, keys chan<- string) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		keys <- strings.TrimSpace(lines.Text())
	}
}

// story tells in plain words what requests are about.
type story struct {
	// refused holds the requests that were refused and not served since: the
	// worker and the app send them again and again.
	refused map[string]bool
	// renewal counts the requests of the worker's renewal that is under way.
	renewal int
	// loginWanted tells that the last renewal has met a login.
	loginWanted bool
	// loggedIn tells that somebody has logged in and is on the way back.
	loggedIn bool
}

// lines returns a line for each thing that requests add to the story.
func (s *story) lines(requests []stand.Request) []string {
	var lines []string
	for _, request := range requests {
		if text := s.next(request); text != "" {
			lines = append(lines, request.Start.Add(request.Duration).Local().Format(time.TimeOnly)+"  "+text)
		}
	}
	return lines
}

// next returns what a request adds to the story, if it adds anything. No query
// is shown: they bear codes and tokens.
func (s *story) next(request stand.Request) string {
	path, query, _ := strings.Cut(request.Path, "?")
	name := request.Method + " " + path
	toAuth := strings.HasPrefix(request.Host, "auth.")
	asks := toAuth && request.Method == http.MethodGet && request.Status == http.StatusOK
	served := request.Origin >= 200 && request.Origin < 400
	switch {
	case asks && s.renewal == 0:
		return "the tab went to the login"
	case asks && s.loginWanted:
		s.renewal = 0
	case asks:
		s.renewal, s.loginWanted = 0, true
		return "the worker could not renew the session: Authentik wants a login"
	case toAuth && request.Method == http.MethodPost && request.Status == http.StatusFound:
		s.loggedIn = true
	case toAuth || strings.HasPrefix(path, "/outpost.goauthentik.io/"):
		if s.renewal > 0 {
			s.renewal++
		}
	case path == refreshPath:
		return s.refreshed(query, request.Status)
	case request.ServiceWorker == "script" && request.Status == http.StatusOK && request.Origin == 0:
		return "the recovery script was served in place of " + path
	case request.ServiceWorker == "script" && request.Status == http.StatusOK:
		return path + " was served behind the refresh script"
	case s.loggedIn && served:
		return s.back(path)
	case request.Status == http.StatusUnauthorized && request.Origin == 0 && !s.refused[name]:
		s.refused[name] = true
		return name + " was refused with 401"
	case served && s.refused[name]:
		delete(s.refused, name)
		return name + " was sent again and served"
	}
	return ""
}

// refreshed tells what a request for the refresh path has come to. Only a tab
// says where it goes from there.
func (s *story) refreshed(query string, status int) string {
	// What cannot be read says nothing to the plugin either.
	values, _ := url.ParseQuery(query)
	requests := s.renewal + 1
	s.renewal = 0
	switch {
	case status == http.StatusSeeOther:
		path, _, _ := strings.Cut(strings.ReplaceAll(values.Get("rd"), "#", "?"), "?")
		return s.back(path)
	case status == http.StatusFound && !values.Has("rd"):
		s.renewal = 1
	case status == http.StatusNoContent && requests > 1:
		s.loginWanted = false
		return fmt.Sprintf("the worker renewed the session: %s → Authentik → back (%d requests)", refreshPath, requests)
	}
	return ""
}

// back tells that a tab is back in the app.
func (s *story) back(path string) string {
	text := "the tab is back at " + path
	if s.loggedIn {
		text = "logged in, back at " + path
	}
	s.loginWanted, s.loggedIn = false, false
	return text
}
