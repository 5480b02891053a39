// Package catalog stands in for Traefik's plugin catalog. Traefik asks it the
// way it asks the real one, by its real name over TLS, and is served what the
// catalog would serve of the working tree: the module zip of the tracked files.
package catalog

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/traefik/traefik/v3/pkg/tls/generate"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/traefik-reauth/reauth/e2e/stand"
)

// host is where Traefik looks for the catalog. The address is not to be
// configured, but Traefik takes a proxy from its environment.
const host = "plugins.traefik.io"

// trackedFile is a file of the working tree.
type trackedFile struct{ root, path string }

func (f trackedFile) Path() string                 { return f.path }
func (f trackedFile) Lstat() (os.FileInfo, error)  { return os.Lstat(f.name()) }
func (f trackedFile) Open() (io.ReadCloser, error) { return os.Open(f.name()) }
func (f trackedFile) name() string                 { return filepath.Join(f.root, filepath.FromSlash(f.path)) }

// trackedFiles returns the files under root that git tracks, as they are now: a
// commit of all changes would hold the same.
func trackedFiles(root string) ([]zip.File, error) {
	// The tree may belong to another user, as in a container.
	command := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z")
	command.Dir = root
	list, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	var files []zip.File
	for _, path := range strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		file := trackedFile{root, path}
		_, err := file.Lstat()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was removed
		}
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// archive returns the module zip that the Go module proxy, and from there the
// catalog, would serve of files.
func archive(files []zip.File, version string) ([]byte, error) {
	var b bytes.Buffer
	err := zip.Create(&b, module.Version{Path: stand.Module, Version: version}, files)
	return b.Bytes(), err
}

// catalog is a running stand-in that serves one archive.
type catalog struct {
	// environment are the variables that make Traefik find it.
	environment map[string]string
	version     string
	archive     []byte
	hash        string

	server, proxy *httptest.Server
	mu            sync.Mutex
	asked         []string
}

// start serves archive as a version until close. It writes its certificate to
// dir.
func start(dir, version string, archive []byte) (*catalog, error) {
	sum := sha256.Sum256(archive)
	c := &catalog{version: version, archive: archive, hash: hex.EncodeToString(sum[:])}
	certificate, key, err := generate.KeyPair(host, time.Now().Add(time.Hour))
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	trusted := filepath.Join(dir, "catalog.pem")
	if err := os.WriteFile(trusted, certificate, 0o644); err != nil {
		return nil, err
	}
	c.server = httptest.NewUnstartedServer(http.HandlerFunc(c.answer))
	c.server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	c.server.StartTLS()
	c.proxy = httptest.NewServer(http.HandlerFunc(c.connect))
	c.environment = map[string]string{
		"HTTPS_PROXY": c.proxy.URL, "https_proxy": c.proxy.URL, "NO_PROXY": "", "no_proxy": "",
		"SSL_CERT_FILE": trusted, "SSL_CERT_DIR": dir,
	}
	return c, nil
}

func (c *catalog) close() {
	c.proxy.Close()
	c.server.Close()
}

// answer does what the catalog does: it hands out the archive and tells whether
// the hash of one is right.
func (c *catalog) answer(rw http.ResponseWriter, req *http.Request) {
	c.mu.Lock()
	c.asked = append(c.asked, req.Method+" "+req.URL.Path)
	c.mu.Unlock()
	plugin := stand.Module + "/" + c.version
	switch {
	case req.URL.Path == "/public/download/"+plugin:
		_, _ = rw.Write(c.archive)
	case req.URL.Path == "/public/validate/"+plugin && req.Header.Get("X-Plugin-Hash") == c.hash:
	default:
		http.Error(rw, "unknown plugin", http.StatusNotFound)
	}
}

// connect is the proxy: it leads to the stand-in and nowhere else.
func (c *catalog) connect(rw http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodConnect || req.Host != host+":443" {
		http.Error(rw, "only the catalog is there", http.StatusForbidden)
		return
	}
	behind, err := net.Dial("tcp", c.server.Listener.Addr().String())
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadGateway)
		return
	}
	defer behind.Close()
	rw.WriteHeader(http.StatusOK)
	front, buffered, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return
	}
	defer front.Close()
	go func() { _, _ = io.Copy(behind, buffered) }()
	_, _ = io.Copy(front, behind)
}
