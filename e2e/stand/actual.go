package stand

import (
	"context"
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

// StartActual starts an Actual Budget server that keeps its files under dir,
// and returns once it answers.
func StartActual(ctx context.Context, dir string) (*Actual, error) {
	script := filepath.Join(Root(), "node_modules", "@actual-app", "sync-server", "build", "bin", "actual-server.js")
	if _, err := os.Stat(script); err != nil {
		return nil, fmt.Errorf("Actual Budget is not installed: run make build: %w", err)
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
	)
	if err := listener.Close(); err != nil {
		return nil, err
	}
	process, err := Run(command, dir, "actual")
	if err != nil {
		return nil, err
	}
	a := &Actual{URL: "http://127.0.0.1:" + strconv.Itoa(port), process: process}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	client := &http.Client{Timeout: 5 * time.Second}
	err = await(ctx, process, func() error {
		res, err := client.Get(a.URL + "/info")
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
	if err != nil {
		_ = process.Stop()
		return nil, err
	}
	return a, nil
}

// Ended is closed when the server has ended.
func (a *Actual) Ended() <-chan struct{} { return a.process.Ended() }

// Log returns what the server has printed so far.
func (a *Actual) Log() string { return a.process.Log() }

// Close ends the server.
func (a *Actual) Close() error { return a.process.Stop() }
