package examples

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	compose "github.com/compose-spec/compose-go/v2/types"
	docker "github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
)

// apiVersion is what the client in Traefik agrees on.
const apiVersion = "1.51"

// dockerAPI stands for a Docker engine that runs the services of a compose
// project: it answers what Traefik's Docker provider asks one for, and runs
// nothing. What it is asked beyond that is an error.
type dockerAPI struct {
	endpoint string
	project  *compose.Project
	started  chan events.Message

	mu sync.Mutex // of the services' labels
}

// startDocker serves the API on a socket until the test ends.
func startDocker(t *testing.T, project *compose.Project) *dockerAPI {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "docker.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	d := &dockerAPI{endpoint: "unix://" + socket, project: project, started: make(chan events.Message)}
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("Api-Version", apiVersion) })
	mux.HandleFunc("GET /v"+apiVersion+"/version", func(rw http.ResponseWriter, _ *http.Request) {
		reply(rw, docker.Version{Version: "28.5.2", APIVersion: apiVersion, MinAPIVersion: "1.24"})
	})
	mux.HandleFunc("GET /v"+apiVersion+"/containers/json", d.list)
	mux.HandleFunc("GET /v"+apiVersion+"/containers/{id}/json", d.inspect)
	mux.HandleFunc("GET /v"+apiVersion+"/events", d.events)
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		t.Errorf("the Docker API was asked for %s %s", r.Method, r.URL)
		http.NotFound(rw, r)
	})
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return d
}

func reply(rw http.ResponseWriter, answer any) {
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(answer)
}

// start adds labels to a service and tells Traefik that its container has
// started, once it listens.
func (d *dockerAPI) start(t *testing.T, service string, labels map[string]string) {
	t.Helper()
	d.mu.Lock()
	maps.Copy(d.project.Services[service].Labels, labels)
	d.mu.Unlock()
	select {
	case d.started <- events.Message{Type: events.ContainerEventType, Action: events.ActionStart, Actor: events.Actor{ID: service}}:
	case <-time.After(20 * time.Second):
		t.Fatal("Traefik does not listen to the Docker API's events")
	}
}

func (d *dockerAPI) events(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(http.StatusOK)
	for {
		_ = http.NewResponseController(rw).Flush()
		select {
		case message := <-d.started:
			_ = json.NewEncoder(rw).Encode(message)
		case <-r.Context().Done():
			return
		}
	}
}

func (d *dockerAPI) list(rw http.ResponseWriter, _ *http.Request) {
	summaries := []container.Summary{}
	for name := range d.project.Services {
		summaries = append(summaries, container.Summary{ID: name})
	}
	reply(rw, summaries)
}

// inspect describes a container that runs and is healthy. What one reaches in
// the network that Traefik is in is at 127.0.0.1, and at 127.0.0.2 nobody is.
func (d *dockerAPI) inspect(rw http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	service, found := d.project.Services[r.PathValue("id")]
	if !found {
		http.NotFound(rw, r)
		return
	}
	networks := map[string]*network.EndpointSettings{}
	for name := range service.Networks {
		ip := "127.0.0.2"
		if _, shared := d.project.Services["traefik"].Networks[name]; shared {
			ip = "127.0.0.1"
		}
		networks[d.project.Networks[name].Name] = &network.EndpointSettings{IPAddress: ip}
	}
	settings := &container.NetworkSettings{Networks: networks}
	// Images say that they listen somewhere, whatever is meant for the public.
	settings.Ports = nat.PortMap{"80/tcp": nil}
	// Compose adds labels of its own.
	labels := maps.Clone(service.Labels)
	if labels == nil {
		labels = compose.Labels{}
	}
	labels["com.docker.compose.project"] = d.project.Name
	labels["com.docker.compose.service"] = service.Name
	reply(rw, container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{
			ID:         service.Name,
			Name:       fmt.Sprintf("/%s-%s-1", d.project.Name, service.Name),
			State:      &container.State{Status: container.StateRunning, Running: true, Health: &container.Health{Status: container.Healthy}},
			HostConfig: &container.HostConfig{},
		},
		Config:          &container.Config{Labels: labels},
		NetworkSettings: settings,
	})
}

// port returns the port of a URL.
func port(t *testing.T, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil || u.Port() == "" {
		t.Fatalf("%s: %v", target, err)
	}
	return u.Port()
}

// describeUnless returns an error that tells what res was, unless all is well.
func describeUnless(well bool, res response) error {
	if well {
		return nil
	}
	return fmt.Errorf("got %s %v", res.Status, res.Header)
}
