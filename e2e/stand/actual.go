package stand

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Actual is a running Actual Budget server.
type Actual struct {
	// URL is where it listens, without a path.
	URL     string
	process *Process
}

// The web clients of Actual Budget that a server can serve.
const (
	CurrentClient = "26.9.0"
	OldClient     = "25.2.0"
)

// clients are the packages of the clients, by version.
var clients = map[string]string{CurrentClient: "@actual-app/web", OldClient: "actual-web-25.2.0"}

// StartActual starts an Actual Budget server that keeps its files under dir and
// serves a version of the client, and returns once it answers.
func StartActual(ctx context.Context, dir, version string) (*Actual, error) {
	script, err := installed("@actual-app", "sync-server", "build", "bin", "actual-server.js")
	if err != nil {
		return nil, err
	}
	listener, port, err := holdPort()
	if err != nil {
		return nil, err
	}
	command := exec.Command("node", script)
	command.Env = append(os.Environ(),
		"NODE_ENV=production",
		"ACTUAL_DATA_DIR="+dir,
		"ACTUAL_PORT="+strconv.Itoa(port),
		"ACTUAL_HOSTNAME=127.0.0.1",
		"ACTUAL_WEB_ROOT="+filepath.Join(Root(), "node_modules", clients[version], "build"),
	)
	if err := listener.Close(); err != nil {
		return nil, err
	}
	url := "http://127.0.0.1:" + strconv.Itoa(port)
	process, err := startServer(ctx, command, dir, "actual", url+"/info")
	if err != nil {
		return nil, err
	}
	return &Actual{url, process}, nil
}

// installed returns the path of a file that npm has installed.
func installed(parts ...string) (string, error) {
	file := filepath.Join(append([]string{Root(), "node_modules"}, parts...)...)
	if _, err := os.Stat(file); err != nil {
		return "", fmt.Errorf("npm has not installed everything: run make build: %w", err)
	}
	return file, nil
}

// startServer starts a program that keeps its log in dir, and returns once it answers at
// url.
func startServer(ctx context.Context, command *exec.Cmd, dir, name, url string) (*Process, error) {
	process, err := Run(command, dir, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	client := &http.Client{Timeout: 5 * time.Second}
	err = await(ctx, process, func() error {
		res, err := client.Get(url)
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
	if err != nil {
		_ = process.Stop()
		return nil, err
	}
	return process, nil
}

// SetPassword ends the first start of the server.
func (a *Actual) SetPassword(ctx context.Context, password string) error {
	body, err := json.Marshal(map[string]string{"password": password})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL+"/account/bootstrap", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("setting Actual's password: %s", res.Status)
	}
	return nil
}

// Ended is closed when the server has ended.
func (a *Actual) Ended() <-chan struct{} { return a.process.Ended() }

// Log returns what the server has printed so far.
func (a *Actual) Log() string { return a.process.Log() }

// Close ends the server.
func (a *Actual) Close() error { return a.process.Stop() }
