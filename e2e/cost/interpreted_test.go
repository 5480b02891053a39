// Package cost measures the plugin as Traefik runs it, interpreted, by the requests of
// testdata/requests.json, and without Traefik around it.
package cost

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/rs/cors"
	"github.com/rs/zerolog"
	"github.com/traefik/traefik/v3/pkg/plugins"

	"github.com/traefik-reauth/reauth/e2e/stand"
)

// What plugins print goes to Traefik's log.
func init() { zerolog.SetGlobalLevel(zerolog.Disabled) }

// rows is what cost_test.go of the plugin describes.
type rows struct {
	Browser   http.Header
	Upstreams map[string]*upstream
	Requests  []*request
}

type upstream struct {
	Sets   http.Header
	Status int
	Header http.Header
	Length int
}

type request struct {
	Name     string
	Options  map[string]any
	Method   string
	URI      string
	Header   http.Header
	Upstream string
	Status   int
}

// floors are plugins that do the least: pass hands a request on, and wrap does so with a
// writer of its own. No plugin costs less than the first, and none that looks at answers
// less than the second.
const floors = `package floors

import (
	"context"
	"net/http"
)

type Config struct{ Wrap bool }

func CreateConfig() *Config { return &Config{} }

func New(_ context.Context, next http.Handler, config *Config, _ string) (http.Handler, error) {
	if config.Wrap {
		return &wrap{next}, nil
	}
	return &pass{next}, nil
}

type pass struct{ next http.Handler }

func (p *pass) ServeHTTP(rw http.ResponseWriter, req *http.Request) { p.next.ServeHTTP(rw, req) }

type wrap struct{ next http.Handler }

func (p *wrap) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	p.next.ServeHTTP(&writer{rw}, req)
}

type writer struct{ http.ResponseWriter }

func (w *writer) WriteHeader(status int)      { w.ResponseWriter.WriteHeader(status) }
func (w *writer) Write(b []byte) (int, error) { return w.ResponseWriter.Write(b) }
`

const floorsModule = "github.com/traefik-reauth/floors"

// load returns the requests and what builds the plugins, by Traefik's own code.
func load(t testing.TB) (*rows, *plugins.Builder) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(stand.Project(), "testdata", "requests.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := &rows{}
	if err := json.Unmarshal(text, r); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := stand.LinkPlugin(dir); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "plugins-local", "src", filepath.FromSlash(floorsModule))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"floors.go":    floors,
		"go.mod":       "module " + floorsModule + "\n",
		".traefik.yml": "displayName: floors\ntype: middleware\nimport: " + floorsModule + "\nsummary: none\ntestData: {wrap: true}\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	builder, err := plugins.NewBuilder(nil, nil, map[string]plugins.LocalDescriptor{
		"reauth": {ModuleName: stand.Module}, "floors": {ModuleName: floorsModule},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, builder
}

// build returns a plugin's middleware in front of next.
func build(t testing.TB, builder *plugins.Builder, plugin string, options map[string]any, next http.Handler) http.Handler {
	t.Helper()
	construct, err := builder.Build(plugin, options, "reauth@file")
	if err != nil {
		t.Fatal(err)
	}
	middleware, err := construct(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	return middleware
}

// handler answers as u does.
func (u *upstream) handler() http.Handler {
	sets, answer, body := u.Sets.Clone(), u.Header.Clone(), make([]byte, u.Length)
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		for name, values := range sets {
			req.Header[name] = values
		}
		header := rw.Header()
		for name, values := range answer {
			header[name] = values
		}
		rw.WriteHeader(u.Status)
		if len(body) > 0 {
			_, _ = rw.Write(body)
		}
	})
}

// discard keeps nothing but the status.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) Flush()                      {}

// from returns r as a browser sends it.
func (r *request) from(browser http.Header) *http.Request {
	method, uri := r.Method, r.URI
	if method == "" {
		method = http.MethodGet
	}
	if uri == "" {
		uri = "/api/data"
	}
	req := httptest.NewRequest(method, uri, nil)
	req.Host = "app.example.com"
	req.Header = browser.Clone()
	for name, values := range r.Header {
		req.Header[name] = values
	}
	return req
}

// sender returns what sends r to a middleware again and again.
func sender(r *request, browser http.Header, middleware http.Handler) func() int {
	req := r.from(browser)
	fresh := map[string][]string{}
	for _, name := range []string{"X-Authentik-Username", "X-Authentik-Jwt"} {
		fresh[name] = req.Header[name]
	}
	rw := &discard{header: http.Header{}}
	return func() int {
		for name, values := range fresh {
			if values == nil {
				delete(req.Header, name)
			} else {
				req.Header[name] = values
			}
		}
		clear(rw.header)
		middleware.ServeHTTP(rw, req)
		return rw.status
	}
}

// TestRequestsInterpreted holds what is measured to its answers.
func TestRequestsInterpreted(t *testing.T) {
	rows, builder := load(t)
	for _, r := range rows.Requests {
		send := sender(r, rows.Browser, build(t, builder, "reauth", r.Options, rows.Upstreams[r.Upstream].handler()))
		for range 2 {
			if status := send(); status != r.Status {
				t.Errorf("%s: status %d, want %d", r.Name, status, r.Status)
			}
		}
	}
	for _, wrap := range []bool{false, true} {
		next := rows.Upstreams["passed"].handler()
		send := sender(rows.Requests[0], rows.Browser, build(t, builder, "floors", map[string]any{"wrap": wrap}, next))
		if status := send(); status != http.StatusOK {
			t.Errorf("floor: status %d", status)
		}
	}
	r, compiled := compiledPreflight(t, rows)
	rec := httptest.NewRecorder()
	compiled.ServeHTTP(rec, r.from(rows.Browser))
	want := r.Options["accessControlAllowOriginList"].([]any)[0]
	if got := rec.Header().Get("Access-Control-Allow-Origin"); got != want {
		t.Errorf("compiled preflight: origin %q, want %q", got, want)
	}
}

// compiledPreflight returns the preflight of the rows, and a middleware for it that is
// compiled into a server: what the answer costs by itself.
func compiledPreflight(t testing.TB, rows *rows) (*request, http.Handler) {
	t.Helper()
	i := slices.IndexFunc(rows.Requests, func(r *request) bool { return r.Name == "preflight" })
	if i < 0 {
		t.Fatal("there is no preflight among the rows")
	}
	r := rows.Requests[i]
	list := func(option string) (values []string) {
		for _, value := range r.Options[option].([]any) {
			values = append(values, value.(string))
		}
		return values
	}
	return r, cors.New(cors.Options{
		AllowedOrigins:   list("accessControlAllowOriginList"),
		AllowedMethods:   list("accessControlAllowMethods"),
		AllowedHeaders:   list("accessControlAllowHeaders"),
		AllowCredentials: true,
		MaxAge:           int(r.Options["accessControlMaxAge"].(float64)),
	}).Handler(rows.Upstreams[r.Upstream].handler())
}

// processor returns the processor time that this program has used, in nanoseconds.
func processor() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// measure runs do, and reports its allocations and the processor time as well: that
// is there to compare where other programs are at work.
func measure(b *testing.B, do func()) {
	b.ReportAllocs()
	before := processor()
	for b.Loop() {
		do()
	}
	b.ReportMetric(float64(processor()-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkServeHTTPInterpreted is what a request of each kind costs where the plugin
// is interpreted. What stands for forwardAuth and the app is compiled, as in Traefik, and
// "nothing" is its share.
func BenchmarkServeHTTPInterpreted(b *testing.B) {
	rows, builder := load(b)
	passed := rows.Upstreams["passed"].handler()
	floor := func(wrap bool) http.Handler {
		return build(b, builder, "floors", map[string]any{"wrap": wrap}, passed)
	}
	run := func(name string, r *request, middleware http.Handler) {
		b.Run(name, func(b *testing.B) {
			send := sender(r, rows.Browser, middleware)
			send() // forwardAuth has been seen
			measure(b, func() { send() })
		})
	}
	run("nothing", rows.Requests[0], passed)
	run("floor: hands on", rows.Requests[0], floor(false))
	run("floor: wraps", rows.Requests[0], floor(true))
	r, compiled := compiledPreflight(b, rows)
	run("preflight, by rs/cors", r, compiled)
	for _, r := range rows.Requests {
		run(r.Name, r, build(b, builder, "reauth", r.Options, rows.Upstreams[r.Upstream].handler()))
	}
}

// BenchmarkNewInterpreted is what it costs to make the middleware of a router at one
// entry point.
func BenchmarkNewInterpreted(b *testing.B) {
	_, builder := load(b)
	run := func(name string, options map[string]any) {
		b.Run(name, func(b *testing.B) {
			measure(b, func() { build(b, builder, "reauth", options, http.NotFoundHandler()) })
		})
	}
	run("defaults", nil)
	for kind, prefix := range map[string]string{"exact": "https://", "wildcard": "https://*."} {
		for _, origins := range []int{1, 10, 100, 500, 2000} {
			var list []string
			for i := range origins {
				list = append(list, prefix+"app"+strconv.Itoa(i)+".example.com")
			}
			run(strconv.Itoa(origins)+" "+kind, map[string]any{"accessControlAllowOriginList": list})
		}
	}
}
