package stand

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
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

// nginxMain is the configuration around the site's. Debian's has the same
// settings in http; the rest keeps nginx in its folder and in one process, which
// ends with the one that started it.
const nginxMain = `
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

	sendfile on;
	tcp_nopush on;
	types_hash_max_size 2048;
	default_type application/octet-stream;
	ssl_prefer_server_ciphers on;
	gzip on;
	include ` + nginxSite + `;
}
`

// StartNginx starts what examples/nginx describes: nginx, Traefik behind it, and
// the app at upstream, whose host is app. URL and SecureURL lead to nginx. What
// it starts ends with Close; Configure does not work on it.
func StartNginx(ctx context.Context, dir, upstream string, tokenValidity time.Duration) (*Stand, error) {
	s := &Stand{
		config: Config{Dir: dir, TokenValidity: tokenValidity, Routes: []Route{{Host: nginxHost}}, AccessLog: true},
		ports:  map[string]int{},
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := s.startNginx(ctx, upstream); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stand) startNginx(ctx context.Context, upstream string) error {
	ports, release, err := HoldPorts(4)
	if err != nil {
		return err
	}
	defer release()
	s.ports["web"], s.ports["websecure"], s.ports["traefik"], s.ports[behind] = ports[0], ports[1], ports[2], ports[3]
	// The default port is not free to take, but a request can say that it came
	// there.
	byDefaultPort := authentik.App{ExternalHost: "https://" + s.name(nginxHost), AuthURL: "https://" + s.name(authHost)}
	s.Authentik = authentik.New(s.config.TokenValidity, append(s.apps(), byDefaultPort)...)
	auth, err := s.serve(s.Authentik.Handler())
	if err != nil {
		return err
	}
	if s.roots, err = writeCertificate(s.config.Dir, "*"+domain); err != nil {
		return err
	}
	if err := LinkPlugin(s.config.Dir); err != nil {
		return err
	}
	if err := s.writeNginxExample(upstream, auth); err != nil {
		return err
	}
	release()
	if s.traefik, err = RunTraefik(s.config.Dir, s.ports["traefik"], "--configFile=traefik.yml"); err != nil {
		return err
	}
	if err := s.traefik.AwaitRouters(ctx, "actual@file", "authentik@file", "outpost@file"); err != nil {
		return err
	}
	return s.runNginx(ctx)
}

// writeNginxExample writes the example's files with the stand's addresses,
// names and certificate.
func (s *Stand) writeNginxExample(upstream, auth string) error {
	address := func(name string) string { return "127.0.0.1:" + strconv.Itoa(s.ports[name]) }
	names := func(times int) []Replacement {
		return []Replacement{
			{"budget.example.com", s.name(nginxHost), times},
			{"auth.example.com", s.name(authHost), times},
		}
	}
	files := map[string][]Replacement{
		nginxSite: append(names(2),
			Replacement{"listen 80;", "listen " + address("web") + ";", 1},
			Replacement{"listen 443 ssl", "listen " + address("websecure") + " ssl", 1},
			Replacement{"https://$host$request_uri", "https://$host:" + strconv.Itoa(s.ports["websecure"]) + "$request_uri", 1},
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
				"accessLog: { filePath: " + s.accessLog() + ", format: json }\n" +
				"api: { insecure: true, dashboard: false }\n" +
				"entryPoints:\n  traefik: { address: '" + address("traefik") + "' }\n", 1},
		},
		"dynamic.yml": {
			{"budget.example.com", s.name(nginxHost), 2},
			{"auth.example.com", s.name(authHost), 1},
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
		if err := os.WriteFile(filepath.Join(s.config.Dir, name), []byte(adapted), 0o644); err != nil {
			return err
		}
		if name == nginxSite {
			s.site = adapted
		}
	}
	return os.WriteFile(filepath.Join(s.config.Dir, "nginx.conf"), []byte(nginxMain), 0o644)
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

// runNginx starts nginx and returns once it answers.
func (s *Stand) runNginx(ctx context.Context) error {
	binary := filepath.Join(Root(), "bin", "nginx")
	if _, err := os.Stat(binary); err != nil {
		return fmt.Errorf("nginx is not there: run make prerequisites: %w", err)
	}
	var err error
	command := exec.Command(binary, "-p", s.config.Dir, "-c", "nginx.conf", "-e", "stderr")
	if s.nginx, err = Run(command, s.config.Dir, "nginx"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return await(ctx, s.nginx, func() error {
		connection, err := Dial(ctx, "tcp", strings.TrimPrefix(s.SecureURL(nginxHost), "https://"))
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

// ChangeNginx starts nginx anew with changes to the site's configuration, which
// take the place of earlier ones.
func (s *Stand) ChangeNginx(ctx context.Context, changes ...Replacement) error {
	changed, err := adapt(s.site, changes)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.config.Dir, nginxSite), []byte(changed), 0o644); err != nil {
		return err
	}
	if err := s.nginx.Stop(); err != nil {
		return err
	}
	return s.runNginx(ctx)
}

// Behind returns the address of the entry point that nginx speaks to.
func (s *Stand) Behind() string { return "127.0.0.1:" + strconv.Itoa(s.ports[behind]) }

// KeyHash returns the hash by which Chromium can be told to trust the stand's
// certificate.
func (s *Stand) KeyHash() (string, error) {
	text, err := os.ReadFile(filepath.Join(s.config.Dir, "cert.pem"))
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}

// NginxLog returns what nginx has printed since it was started last.
func (s *Stand) NginxLog() string { return s.nginx.Log() }
