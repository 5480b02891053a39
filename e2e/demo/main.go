// Command demo starts Actual Budget and TiddlyWiki, an app without a service worker,
// behind Traefik with the plugin and the Authentik stand-in, and ends sessions at the
// press of a key.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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

// What to do once sessions have expired.
const (
	proxyExpired = `the proxy sessions have expired: edit something, or press Sync, in a tab;
nothing should be noticed
`
	bothExpired = `all sessions have expired: edit something, or press Sync, in a tab;
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
	budget, notes := filepath.Join(dir, "actual"), filepath.Join(dir, "wiki")
	for _, folder := range []string{budget, notes} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
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

	fmt.Println("starting TiddlyWiki")
	wiki, err := stand.StartWiki(ctx, notes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, wiki.Close()) }()

	fmt.Println("starting Traefik with the plugin")
	s, err := stand.Start(ctx, stand.Config{
		Dir:           dir,
		Port:          port,
		TokenValidity: validity,
		Routes: []stand.Route{
			{Host: "app", Middlewares: []string{"reauth", stand.ForwardAuth}, Upstream: actual.URL},
			{Host: "wiki", Middlewares: []string{"reauth-own", stand.ForwardAuth}, Upstream: wiki.URL},
		},
		Plugins:   map[string]map[string]any{"reauth": {}, "reauth-own": {"ownServiceWorker": true}},
		AccessLog: stand.ForRequests(),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	fmt.Printf(`
Open        %s
            Actual Budget, which has a service worker
        or  %s
            TiddlyWiki, which has none: it gets the plugin's own
        and %s
            how things stand; the same of TiddlyWiki at its /_reauth?status
Log in      %s / %s at the login proxy, then %s at Actual Budget

Expire      p + Enter   the proxy sessions, as their tokens do after %s
            b + Enter   the proxy sessions and the SSO session
or          curl -d session=proxy %s/-/expire
            curl -d session=both %s/-/expire
Stop        Ctrl-C

What the browser does shows below.

`, s.URL("app"), s.URL("wiki"), s.URL("app")+"/_reauth?status", authentik.Username, authentik.Password, actualPassword, validity, s.URL("auth"), s.URL("auth"))

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
		case <-wiki.Ended():
			return errors.New("the TiddlyWiki server has ended")
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
