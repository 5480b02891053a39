package stand

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Traefik is a running Traefik, whoever wrote its configuration.
type Traefik struct {
	*Process
	api    string // URL
	client *http.Client
}

// RunTraefik starts Traefik in dir with args, which have to put its API on a
// loopback port, without authentication.
func RunTraefik(dir string, apiPort int, args ...string) (*Traefik, error) {
	binary := filepath.Join(Root(), "bin", "traefik")
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("traefik is not built: run make build: %w", err)
	}
	process, err := Run(exec.Command(binary, args...), dir, "traefik")
	if err != nil {
		return nil, err
	}
	return &Traefik{process, "http://127.0.0.1:" + strconv.Itoa(apiPort), &http.Client{Timeout: 5 * time.Second}}, nil
}

// HoldPorts takes n free loopback ports, which are free again once release is
// called. Traefik cannot say which port it was given, so it is told one.
func HoldPorts(n int) (ports []int, release func(), err error) {
	var held []net.Listener
	release = func() {
		for _, listener := range held {
			_ = listener.Close()
		}
		held = nil
	}
	for range n {
		listener, port, err := holdPort()
		if err != nil {
			release()
			return nil, nil, err
		}
		held, ports = append(held, listener), append(ports, port)
	}
	return ports, release, nil
}

// API reads an answer of Traefik's API.
func (t *Traefik) API(ctx context.Context, path string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.api+path, nil)
	if err != nil {
		return err
	}
	res, err := t.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(answer)
}

// part is a router, a middleware or a service as Traefik tells of it.
type part struct {
	Status string   `json:"status"`
	Error  []string `json:"error"`
}

// AwaitRouters returns once HasRouters says so.
func (t *Traefik) AwaitRouters(ctx context.Context, names ...string) error {
	return t.Await(ctx, func() error { return t.HasRouters(ctx, names...) })
}

// HasRouters returns nil if Traefik has exactly these routers besides its own,
// and nothing that is not enabled. Names are like app@docker.
func (t *Traefik) HasRouters(ctx context.Context, names ...string) error {
	var raw struct{ Routers, Middlewares, Services map[string]part }
	if err := t.API(ctx, "/api/rawdata", &raw); err != nil {
		return err
	}
	for kind, parts := range map[string]map[string]part{"router": raw.Routers, "middleware": raw.Middlewares, "service": raw.Services} {
		for name, p := range parts {
			if p.Status != "enabled" || len(p.Error) > 0 {
				return permanent{fmt.Errorf("%s %s is %s: %s", kind, name, p.Status, strings.Join(p.Error, "; "))}
			}
		}
	}
	found := slices.DeleteFunc(slices.Sorted(maps.Keys(raw.Routers)), func(name string) bool { return strings.HasSuffix(name, "@internal") })
	if slices.Sort(names); !slices.Equal(found, names) {
		return fmt.Errorf("routers %v, want %v", found, names)
	}
	return nil
}

// AboveDebug returns the last lines of Traefik's log that are no debug messages.
func AboveDebug(log string) string {
	lines := slices.DeleteFunc(strings.Split(log, "\n"), func(line string) bool { return strings.Contains(line, " DBG ") })
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}
