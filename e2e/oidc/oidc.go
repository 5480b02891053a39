// Package oidc runs a real OpenID provider with an SSO session, and the real oauth2-proxy
// as its client.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/traefik-reauth/reauth/e2e/stand"
)

// Username and Password are those of the one user.
const (
	Username = "demo"
	Password = "demo"
)

// Provider is a running OpenID provider.
type Provider struct {
	*stand.Process
	// URL is where it listens, which is not where browsers find it.
	URL   string
	stdin io.WriteCloser
}

// StartProvider starts the provider that browsers find at issuer, with one client. What
// it prints is kept in dir.
func StartProvider(dir, issuer string, redirectURIs []string) (*Provider, error) {
	if _, err := os.Stat(filepath.Join(stand.Root(), "node_modules", "oidc-provider")); err != nil {
		return nil, fmt.Errorf("the OpenID provider is not installed: run make build: %w", err)
	}
	script := filepath.Join(stand.Root(), "oidc", "provider.mjs")
	command := exec.Command("node", append([]string{script, issuer}, redirectURIs...)...)
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	process, err := stand.Run(command, dir, "openid")
	if err != nil {
		return nil, err
	}
	o := &Provider{process, "", stdin}
	err = process.Await(context.Background(), func() error {
		_, after, found := strings.Cut(process.Log(), "listening on ")
		line, _, ended := strings.Cut(after, "\n")
		if !found || !ended {
			return errors.New("it does not listen yet")
		}
		o.URL = line
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, process.Stop())
	}
	return o, nil
}

// Logins returns how many times the password was accepted.
func (o *Provider) Logins() int { return strings.Count(o.Log(), "logged in\n") }

// EndSessions makes the provider forget who is logged in.
func (o *Provider) EndSessions(ctx context.Context) error {
	const done = "sessions ended\n"
	before := strings.Count(o.Log(), done)
	if _, err := io.WriteString(o.stdin, "end sessions\n"); err != nil {
		return err
	}
	return o.Await(ctx, func() error {
		if strings.Count(o.Log(), done) == before {
			return errors.New("the sessions have not ended yet")
		}
		return nil
	})
}

// SessionCookie is the name of oauth2-proxy's.
const SessionCookie = "_oauth2_proxy"

// Proxy is a running oauth2-proxy.
type Proxy struct {
	*stand.Process
	// URL is where Traefik asks it, and finds its own paths.
	URL string
}

// StartProxy starts oauth2-proxy for every app, as a client of the provider that
// browsers find at issuer and that listens at provider.
func StartProxy(dir, name, issuer, provider string, options ...string) (*Proxy, error) {
	arguments := []string{
		"--provider=oidc",
		"--oidc-issuer-url=" + issuer,
		"--client-id=oauth2-proxy",
		"--client-secret=oauth2-proxy",
		"--code-challenge-method=S256",
		"--approval-prompt=auto",
		"--email-domain=*",
		"--cookie-secret=0123456789abcdef0123456789abcdef",
		"--cookie-secure=false",
		"--whitelist-domain=.example.localhost:*",
		"--reverse-proxy",
		"--trusted-proxy-ip=127.0.0.1",
		"--set-xauthrequest",
		"--skip-provider-button",
		"--upstream=static://202",
	}
	// No resolver but the browsers' knows the names of the stand.
	arguments = append(arguments, Endpoints(issuer, provider)...)
	return RunProxy(dir, name, nil, append(arguments, options...)...)
}

// Endpoints are oauth2-proxy's arguments for a provider that browsers find at issuer and
// that it cannot ask there for the rest.
func Endpoints(issuer, provider string) []string {
	return []string{
		"--skip-oidc-discovery",
		"--login-url=" + issuer + "/auth",
		"--redeem-url=" + provider + "/token",
		"--oidc-jwks-url=" + provider + "/jwks",
	}
}

// RunProxy starts oauth2-proxy on a port of its own, with these arguments and variables
// like "NAME=value".
func RunProxy(dir, name string, env []string, arguments ...string) (*Proxy, error) {
	binary := filepath.Join(stand.Root(), "bin", "oauth2-proxy")
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("oauth2-proxy is not built: run make e2e/bin/oauth2-proxy: %w", err)
	}
	ports, release, err := stand.HoldPorts(1)
	if err != nil {
		return nil, err
	}
	address := "127.0.0.1:" + strconv.Itoa(ports[0])
	command := exec.Command(binary, append([]string{"--http-address=" + address}, arguments...)...)
	command.Env = append(os.Environ(), env...)
	release()
	process, err := stand.Run(command, dir, name)
	if err != nil {
		return nil, err
	}
	p := &Proxy{process, "http://" + address}
	client := http.Client{Timeout: 5 * time.Second}
	err = process.Await(context.Background(), func() error {
		res, err := client.Get(p.URL + "/ping")
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
	if err != nil {
		return nil, errors.Join(err, process.Stop())
	}
	return p, nil
}
