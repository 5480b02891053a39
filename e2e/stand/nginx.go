package stand

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/traefik-reauth/reauth/e2e/authentik"
)

const (
	// behind is the entry point that nginx speaks to.
	behind = "behind"
	// nginxHost is the host of the app.
	nginxHost = "app"
	// nginxSite is the example's configuration of nginx.
	nginxSite = "site.conf"
)

// nginxMain is the configuration around the site's, with Debian's settings in http.
var nginxMain = NginxMain(`
	sendfile on;
	tcp_nopush on;
	types_hash_max_size 2048;
	default_type application/octet-stream;
	ssl_prefer_server_ciphers on;
	gzip on;
	include ` + nginxSite + `;
`)

// NginxMain returns a configuration of nginx with these lines in http. It keeps nginx in
// its folder and in one process, which ends with the one that started it.
func NginxMain(lines string) string {
	return `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path body;
	fastcgi_temp_path fastcgi;
	proxy_temp_path proxy;
	scgi_temp_path scgi;
	uwsgi_temp_path uwsgi;
` + lines + `}
`
}

// Nginx is what examples/nginx describes: nginx, Traefik behind it, and an app
// whose host is app. URL and SecureURL lead to nginx.
type Nginx struct {
	Base

	process *Process
	site    string // the configuration before Change
}

// StartNginx starts the example with the app at upstream. What it starts ends
// with Close.
func StartNginx(ctx context.Context, dir, upstream string, tokenValidity time.Duration) (*Nginx, error) {
	n := &Nginx{Base: newBase(dir)}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := n.start(ctx, upstream, tokenValidity); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Close ends everything that StartNginx started.
func (n *Nginx) Close() error {
	var err error
	if n.process != nil {
		err = n.process.Stop()
	}
	return errors.Join(err, n.Base.Close())
}

func (n *Nginx) start(ctx context.Context, upstream string, tokenValidity time.Duration) error {
	ports, release, err := HoldPorts(4)
	if err != nil {
		return err
	}
	defer release()
	n.ports["web"], n.ports["websecure"], n.ports["traefik"], n.ports[behind] = ports[0], ports[1], ports[2], ports[3]
	// The default port is not free to take, but a request can say that it came
	// there.
	byDefaultPort := authentik.App{ExternalHost: "https://" + n.name(nginxHost), AuthURL: "https://" + n.name(authHost)}
	n.Authentik = authentik.New(tokenValidity, append(n.apps(nginxHost), byDefaultPort)...)
	auth, err := n.serve(n.Authentik.Handler())
	if err != nil {
		return err
	}
	if n.roots, err = writeCertificate(n.dir, "*"+domain); err != nil {
		return err
	}
	if err := LinkPlugin(n.dir); err != nil {
		return err
	}
	if err := n.writeExample(upstream, auth); err != nil {
		return err
	}
	release()
	if n.traefik, err = RunTraefik(n.dir, n.ports["traefik"], "--configFile=traefik.yml"); err != nil {
		return err
	}
	if err := n.traefik.AwaitRouters(ctx, "actual@file", "authentik@file", "outpost@file"); err != nil {
		return err
	}
	return n.run(ctx)
}

// writeExample writes the example's files with the stand's addresses,
// names and certificate.
func (n *Nginx) writeExample(upstream, auth string) error {
	address := func(name string) string { return "127.0.0.1:" + strconv.Itoa(n.ports[name]) }
	names := func(times int) []Replacement {
		return []Replacement{
			{"budget.example.com", n.name(nginxHost), times},
			{"auth.example.com", n.name(authHost), times},
		}
	}
	files := map[string][]Replacement{
		nginxSite: append(names(2),
			Replacement{"listen 80;", "listen " + address("web") + ";", 1},
			Replacement{"listen 443 ssl", "listen " + address("websecure") + " ssl", 1},
			Replacement{"https://$host$request_uri", "https://$host:" + strconv.Itoa(n.ports["websecure"]) + "$request_uri", 1},
			Replacement{"/etc/nginx/tls/fullchain.pem", "cert.pem", 1},
			Replacement{"/etc/nginx/tls/privkey.pem", "key.pem", 1},
			Replacement{"127.0.0.1:8000", address(behind), 1}),
		"traefik.yml": {
			{"127.0.0.1:8000", address(behind), 1},
			// The working tree, as a local plugin, which has no version.
			{"  plugins:\n", "  localPlugins:\n", 1},
			{"      version:", "      #", 1},
			// What the stand looks at.
			{"entryPoints:\n", "global: { checkNewVersion: false, sendAnonymousUsage: false }\n" +
				"log: { level: DEBUG, noColor: true }\n" +
				"accessLog: { filePath: " + n.accessLog() + ", format: json }\n" +
				"api: { insecure: true, dashboard: false }\n" +
				"entryPoints:\n  traefik: { address: '" + address("traefik") + "' }\n", 1},
		},
		"dynamic.yml": {
			{"budget.example.com", n.name(nginxHost), 2},
			{"auth.example.com", n.name(authHost), 1},
			{"http://127.0.0.1:5006", upstream, 1},
			{"http://127.0.0.1:9000", auth, 2},
		},
	}
	for name, replacements := range files {
		text, err := os.ReadFile(filepath.Join(Project(), "examples", "nginx", name))
		if err != nil {
			return err
		}
		adapted, err := adapt(string(text), replacements)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(adapted), 0o644); err != nil {
			return err
		}
		if name == nginxSite {
			n.site = adapted
		}
	}
	return os.WriteFile(filepath.Join(n.dir, "nginx.conf"), []byte(nginxMain), 0o644)
}

// adapt makes the replacements, each as often as it says.
func adapt(text string, replacements []Replacement) (string, error) {
	for _, r := range replacements {
		if found := strings.Count(text, r.Old); found != r.Times {
			return "", fmt.Errorf("%q is there %d times, not %d", r.Old, found, r.Times)
		}
		text = strings.ReplaceAll(text, r.Old, r.New)
	}
	return text, nil
}

// run starts nginx and returns once it answers.
func (n *Nginx) run(ctx context.Context) error {
	var err error
	n.process, err = RunNginx(ctx, n.dir, strings.TrimPrefix(n.SecureURL(nginxHost), "https://"))
	return err
}

// RunNginx runs nginx by the configuration nginx.conf in dir, and returns once somebody
// listens at address.
func RunNginx(ctx context.Context, dir, address string) (*Process, error) {
	binary := filepath.Join(Root(), "bin", "nginx")
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("nginx is not there: run make prerequisites: %w", err)
	}
	process, err := Run(exec.Command(binary, "-p", dir, "-c", "nginx.conf", "-e", "stderr"), dir, "nginx")
	if err != nil {
		return nil, err
	}
	return process, process.Await(ctx, func() error {
		connection, err := Dial(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return connection.Close()
	})
}

// NginxPlace is a part of the site's configuration that lines may be added to.
const NginxPlace = "proxy_http_version 1.1;"

// Replacement changes a part of a file, which has to be there as often as Times
// says.
type Replacement struct {
	Old, New string
	Times    int
}

// Change starts nginx anew with changes to the site's configuration, which
// take the place of earlier ones.
func (n *Nginx) Change(ctx context.Context, changes ...Replacement) error {
	changed, err := adapt(n.site, changes)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(n.dir, nginxSite), []byte(changed), 0o644); err != nil {
		return err
	}
	if err := n.process.Stop(); err != nil {
		return err
	}
	return n.run(ctx)
}

// Behind returns the address of the entry point that nginx speaks to.
func (n *Nginx) Behind() string { return "127.0.0.1:" + strconv.Itoa(n.ports[behind]) }

// Log returns what Traefik has printed so far, and nginx since it was started
// last.
func (n *Nginx) Log() string { return n.Base.Log() + "--- nginx:\n" + n.process.Log() }
