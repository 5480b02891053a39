// Package bench measures what the plugin costs in the real Traefik. What it prints are
// ratios within one run: the machine, the load generator and the upstream are the same on
// both sides.
package bench

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/procfs"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

var into = flag.String("into", "", "the page whose tables are written anew")

const (
	// rounds is how many times each row has its turn, period how long a turn takes.
	rounds = 7
	period = time.Second
	// clients is how many requests are under way at a time.
	clients = 8
	// share is the part of what the floor can do at which latency is measured.
	share = 0.4
)

// The chains of middlewares that are compared, by the host that has them.
const (
	bare    = "bare"    // none
	alone   = "alone"   // forwardAuth
	floor   = "floor"   // forwardAuth behind a plugin that only hands on
	plugin  = "plugin"  // forwardAuth behind reauth
	list    = "list"    // the same with a list of origins
	own     = "own"     // the same with a worker of its own
	headers = "headers" // forwardAuth behind Traefik's headers, with that list
)

var origins = []string{"https://dashboard.example.com", "https://*.apps.example.com"}

// script is a worker's script of 15 KB.
var script = bytes.Repeat([]byte("addEventListener('fetch', () => {}) // 0123456789\n"), 15*1024/50)

// large is the size of a large body, in bytes.
const large = 200 << 20

// app is an upstream that costs next to nothing.
func app() http.Handler {
	page := []byte("<!doctype html><title>page</title>" + strings.Repeat("x", 1024))
	data := []byte(`{"data":"` + strings.Repeat("x", 256) + `"}`)
	fixed := func(contentType string, body []byte) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", contentType)
			_, _ = rw.Write(body)
		}
	}
	chunk := make([]byte, 32<<10)
	mux := http.NewServeMux()
	mux.HandleFunc("/", fixed("text/html", page))
	mux.HandleFunc("/api/data", fixed("application/json", data))
	mux.HandleFunc("/sw.js", fixed("text/javascript", script))
	mux.HandleFunc("/down", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Length", fmt.Sprint(large))
		for range large / len(chunk) {
			if _, err := rw.Write(chunk); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/up", func(rw http.ResponseWriter, req *http.Request) {
		n, err := io.Copy(io.Discard, req.Body)
		if err != nil || n != large {
			rw.WriteHeader(http.StatusBadRequest)
		}
	})
	mux.HandleFunc("/ws", probe.Echo)
	return mux
}

// start starts a stand with all chains.
func start(b *testing.B) *stand.Stand {
	b.Helper()
	upstream := probe.Serve(b, app())
	route := func(host string, middlewares ...string) stand.Route {
		return stand.Route{Host: host, Middlewares: middlewares, Upstream: upstream}
	}
	cors := map[string]any{
		"accessControlAllowOriginList":  origins[:1],
		"accessControlAllowCredentials": true,
		"accessControlAllowMethods":     []string{"PUT"},
		"accessControlAllowHeaders":     []string{"Content-Type"},
		"accessControlMaxAge":           600,
	}
	s, err := stand.Start(b.Context(), stand.Config{
		Dir:           b.TempDir(),
		TokenValidity: time.Hour,
		LogLevel:      "ERROR",
		Routes: []stand.Route{
			route(bare),
			route(alone, stand.ForwardAuth),
			route(floor, "noop", stand.ForwardAuth),
			route(plugin, "reauth", stand.ForwardAuth),
			route(list, "reauth-list", stand.ForwardAuth),
			route(own, "reauth-own", stand.ForwardAuth),
			route(headers, "headers", stand.ForwardAuth),
		},
		LocalPlugins: map[string]string{"noop": "bench/testdata/noop"},
		Middlewares: map[string]any{
			"noop":    map[string]any{"plugin": map[string]any{"noop": map[string]any{}}},
			"headers": map[string]any{"headers": withVary(cors)},
		},
		Plugins: map[string]map[string]any{"reauth": {}, "reauth-list": cors, "reauth-own": {"ownServiceWorker": true}},
	})
	if err != nil {
		b.Fatal(err)
	}
	probe.EndWith(b, s)
	return s
}

// withVary returns the options as Traefik's own middleware wants them to do the same.
func withVary(options map[string]any) map[string]any {
	same := map[string]any{"addVaryHeader": true}
	for name, value := range options {
		same[name] = value
	}
	return same
}

// row is a request that is sent through a chain.
type row struct {
	// kind is what is compared, host the chain.
	kind, host   string
	method, path string
	headers      []string
	// refused tells that there is no session.
	refused bool
	status  int
}

// rows returns what is compared: each kind has a row for the floor.
func rows() []row {
	fromListed := append([]string{"Origin: " + origins[0]}, visitor.Fetch...)
	preflight := append([]string{"Access-Control-Request-Method: PUT"}, fromListed...)
	type chain struct {
		host   string
		status int
	}
	ok := func(hosts ...string) []chain {
		var chains []chain
		for _, host := range hosts {
			chains = append(chains, chain{host, http.StatusOK})
		}
		return chains
	}
	var all []row
	for _, k := range []struct {
		kind, method, path string
		headers            []string
		refused            bool
		chains             []chain
	}{
		{"a visit", "GET", "/", visitor.Navigation, false, ok(floor, bare, alone, plugin, list, own)},
		{"a call", "GET", "/api/data", visitor.Fetch, false, ok(floor, bare, alone, plugin)},
		{"a call of a listed origin", "GET", "/api/data", fromListed, false, ok(floor, list, headers)},
		{"a call, refused", "GET", "/api/data", visitor.Fetch, true,
			[]chain{{floor, http.StatusFound}, {alone, http.StatusFound}, {plugin, http.StatusUnauthorized}}},
		{"a preflight", "OPTIONS", "/api/data", preflight, true,
			[]chain{{floor, http.StatusFound}, {alone, http.StatusFound}, {list, http.StatusNoContent}, {headers, http.StatusOK}}},
		{"a worker's script", "GET", "/sw.js", visitor.ForWorker, false, ok(floor, alone, plugin)},
	} {
		for _, c := range k.chains {
			all = append(all, row{k.kind, c.host, k.method, k.path, k.headers, k.refused, c.status})
		}
	}
	return all
}

// bench sends requests to a stand.
type bench struct {
	b        *testing.B
	s        *stand.Stand
	sessions map[string]string // cookies by host
}

// newBench starts a stand of its own.
func newBench(b *testing.B) *bench {
	b.Helper()
	return &bench{b, start(b), map[string]string{}}
}

// once is for what repeats by itself.
func once(b *testing.B) {
	b.Helper()
	if b.N > 1 {
		b.Skip("once is enough: it repeats by itself")
	}
}

// session returns the cookies of somebody who is logged in at host.
func (x *bench) session(host string) string {
	if x.sessions[host] == "" && host != bare {
		v := visitor.At(x.b, x.s.URL(host), visitor.HTTP1, x.s.TLS())
		// Without Fetch metadata no page takes the place of the login's redirect.
		v.Submit(v.Visit("/", "Accept: text/html"))
		// The plugin has seen then that forwardAuth hands its header on.
		v.Send("GET", "/api/data", "", visitor.Fetch...)
		var cookies []string
		for _, cookie := range v.Jar.Cookies(v.Root()) {
			cookies = append(cookies, cookie.Name+"="+cookie.Value)
		}
		x.sessions[host] = strings.Join(cookies, "; ")
	}
	return x.sessions[host]
}

// result is what came of a turn.
type result struct {
	perSecond float64
	// cpu is Traefik's CPU time per request, in seconds.
	cpu      float64
	p50, p99 time.Duration
}

// attack sends a row's request for a while, at a rate per second, 0 for as fast as it gets.
func (x *bench) attack(r row, rate float64) result {
	x.b.Helper()
	target := vegeta.Target{Method: r.method, URL: x.s.URL(r.host) + r.path, Header: http.Header{"User-Agent": {"Mozilla/5.0"}}}
	for _, line := range r.headers {
		name, value, _ := strings.Cut(line, ": ")
		target.Header.Set(name, value)
	}
	cookies := x.session(r.host)
	if !r.refused && cookies != "" {
		target.Header.Set("Cookie", cookies)
	}
	transport := &http.Transport{DialContext: stand.Dial, MaxIdleConnsPerHost: clients, DisableCompression: true}
	defer transport.CloseIdleConnections()
	attacker := vegeta.NewAttacker(
		vegeta.Client(&http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}),
		vegeta.Workers(clients), vegeta.MaxWorkers(clients),
	)
	before := x.cpu()
	var metrics vegeta.Metrics
	pace := vegeta.Pacer(vegeta.Rate{Freq: int(rate), Per: time.Second})
	for res := range attacker.Attack(vegeta.NewStaticTargeter(target), pace, period, r.kind) {
		if int(res.Code) != r.status {
			x.b.Fatalf("%s, %s: status %d, want %d: %s", r.kind, r.host, res.Code, r.status, res.Error)
		}
		metrics.Add(res)
	}
	metrics.Close()
	return result{
		perSecond: metrics.Rate,
		cpu:       (x.cpu() - before) / float64(metrics.Requests),
		p50:       metrics.Latencies.P50,
		p99:       metrics.Latencies.P99,
	}
}

// process returns what Linux knows of Traefik.
func (x *bench) process() procfs.ProcStat {
	x.b.Helper()
	process, err := procfs.NewProc(x.s.PID())
	if err != nil {
		x.b.Fatal(err)
	}
	stat, err := process.Stat()
	if err != nil {
		x.b.Fatal(err)
	}
	return stat
}

// cpu returns the CPU time that Traefik has taken, in seconds.
func (x *bench) cpu() float64 { return x.process().CPUTime() }

// ratios are those of the rounds, each within its round.
type ratios []float64

// String tells the median and the middle half.
func (r ratios) String() string {
	if len(r) == 0 {
		return "–"
	}
	sorted := slices.Sorted(slices.Values(r))
	n := len(sorted)
	return fmt.Sprintf("%.2f (%.2f–%.2f)", sorted[n/2], sorted[n/4], sorted[(3*n-1)/4])
}

// BenchmarkTraefik compares the chains.
func BenchmarkTraefik(b *testing.B) {
	once(b)
	x := newBench(b)
	all := rows()
	key := func(r row) string { return r.kind + "|" + r.host }
	type found struct{ perSecond, cpu, p50, p99 ratios }
	table := map[string]*found{}
	for _, r := range all {
		table[key(r)] = &found{}
		x.attack(r, 0) // warms up
	}
	for range rounds {
		fast, even := map[string]result{}, map[string]result{}
		for _, i := range rand.Perm(len(all)) {
			fast[key(all[i])] = x.attack(all[i], 0)
		}
		for _, i := range rand.Perm(len(all)) {
			r := all[i]
			even[key(r)] = x.attack(r, share*fast[r.kind+"|"+floor].perSecond)
		}
		for _, r := range all {
			base, found := r.kind+"|"+floor, table[key(r)]
			found.perSecond = append(found.perSecond, fast[key(r)].perSecond/fast[base].perSecond)
			found.cpu = append(found.cpu, fast[key(r)].cpu/fast[base].cpu)
			found.p50 = append(found.p50, ratio(even[key(r)].p50, even[base].p50))
			found.p99 = append(found.p99, ratio(even[key(r)].p99, even[base].p99))
		}
	}
	var t strings.Builder
	t.WriteString("| request | through | requests per second | CPU time of Traefik | p50 | p99 |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, r := range all {
		if r.host == floor {
			continue
		}
		f := table[key(r)]
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s | %s |\n", r.kind, names[r.host], f.perSecond, f.cpu, f.p50, f.p99)
	}
	publish(b, "requests", t.String())
}

// names are the chains in words.
var names = map[string]string{
	bare:    "nothing",
	alone:   "forwardAuth alone",
	plugin:  "**reauth**",
	list:    "**reauth** with a list of origins",
	own:     "**reauth** with `ownServiceWorker`",
	headers: "Traefik's `headers` with the same list",
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

// publish prints a table, and writes it into the page between its marks if there is one.
func publish(b *testing.B, name, table string) {
	b.Helper()
	fmt.Printf("\n%s\n%s\n", name, table)
	if *into == "" {
		return
	}
	page, err := os.ReadFile(*into)
	if err != nil {
		b.Fatal(err)
	}
	opening, closing := "<!-- bench: "+name+" -->\n", "<!-- /bench -->"
	before, rest, opened := strings.Cut(string(page), opening)
	_, after, closed := strings.Cut(rest, closing)
	if !opened || !closed {
		b.Fatalf("%s has no place for %s", *into, name)
	}
	if err := os.WriteFile(*into, []byte(before+opening+table+closing+after), 0o644); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkLarge compares large bodies.
func BenchmarkLarge(b *testing.B) {
	once(b)
	x := newBench(b)
	var t strings.Builder
	t.WriteString("| body | through | throughput |\n| --- | --- | --- |\n")
	for _, direction := range []struct {
		name, method, path string
		size               int64
	}{{"200 MB down", "GET", "/down", 0}, {"200 MB up", "PUT", "/up", large}} {
		found := map[string]ratios{}
		hosts := []string{floor, alone, plugin}
		for round := range rounds + 1 {
			took := map[string]time.Duration{}
			for _, i := range rand.Perm(len(hosts)) {
				took[hosts[i]] = x.transfer(hosts[i], direction.method, direction.path, direction.size)
			}
			for _, host := range hosts {
				if round > 0 { // the first warms up
					found[host] = append(found[host], ratio(took[floor], took[host]))
				}
			}
		}
		for _, host := range hosts[1:] {
			fmt.Fprintf(&t, "| %s | %s | %s |\n", direction.name, names[host], found[host])
		}
	}
	publish(b, "bodies", t.String())
}

// zeros is a body of so many bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// transfer sends one request and reads its answer, and returns how long both took.
func (x *bench) transfer(host, method, path string, size int64) time.Duration {
	x.b.Helper()
	req, err := http.NewRequestWithContext(x.b.Context(), method, x.s.URL(host)+path, io.LimitReader(zeros{}, size))
	if err != nil {
		x.b.Fatal(err)
	}
	req.ContentLength = size
	if size == 0 {
		req.Body = nil
	}
	for _, line := range visitor.Fetch {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	req.Header.Set("Cookie", x.session(host))
	transport := &http.Transport{DialContext: stand.Dial, DisableCompression: true}
	defer transport.CloseIdleConnections()
	began := time.Now()
	res, err := transport.RoundTrip(req)
	if err != nil {
		x.b.Fatal(err)
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err != nil || res.StatusCode != http.StatusOK || method == http.MethodGet && n != large {
		x.b.Fatalf("%s: %s with %d bytes: %v", host, res.Status, n, err)
	}
	return time.Since(began)
}

// BenchmarkSockets compares what Traefik's memory grows by with idle WebSockets, each time
// in a Traefik that has just started.
func BenchmarkSockets(b *testing.B) {
	once(b)
	const sockets = 1000
	found := ratios{}
	for range 3 {
		growth := map[string]float64{}
		for _, host := range []string{floor, plugin} {
			x := newBench(b)
			session := x.session(host)
			dialer := websocket.Dialer{NetDialContext: stand.Dial}
			open := func() *websocket.Conn {
				header := http.Header{"Cookie": {session}, "Origin": {x.s.URL(host)}}
				conn, _, err := dialer.DialContext(b.Context(), strings.Replace(x.s.URL(host), "http", "ws", 1)+"/ws", header)
				if err != nil {
					b.Fatal(err)
				}
				return conn
			}
			conns := []*websocket.Conn{open()}
			before := x.process().ResidentMemory()
			for len(conns) < sockets {
				conns = append(conns, open())
			}
			for _, conn := range conns {
				if err := conn.WriteMessage(websocket.TextMessage, []byte("there")); err != nil {
					b.Fatal(err)
				}
				if _, message, err := conn.ReadMessage(); err != nil || string(message) != "there" {
					b.Fatalf("%q, %v", message, err)
				}
			}
			growth[host] = float64(x.process().ResidentMemory() - before)
			for _, conn := range conns {
				_ = conn.Close()
			}
		}
		found = append(found, growth[plugin]/growth[floor])
	}
	publish(b, "sockets", fmt.Sprintf("| what | ratio |\n| --- | --- |\n| memory that 1,000 idle WebSockets take in Traefik | %s |\n", found))
}

// BenchmarkMillion looks at Traefik's memory over a million requests, and over as many
// through the floor: Go's heap grows and shrinks by itself.
func BenchmarkMillion(b *testing.B) {
	once(b)
	var t strings.Builder
	t.WriteString("| through | memory of Traefik in the second half million of requests, by that in the first |\n| --- | --- |\n")
	for _, mix := range []struct {
		through string
		hosts   []string
	}{
		{"a plugin that only hands on", []string{floor}},
		{"**reauth**", []string{plugin, list, own}},
	} {
		early, late := million(b, mix.hosts)
		fmt.Fprintf(&t, "| %s | %.2f |\n", mix.through, late/early)
	}
	publish(b, "million", t.String())
}

// million sends a million requests of all kinds to hosts in turn, and returns the memory of
// Traefik in the first half, once it has warmed up, and in the second.
func million(b *testing.B, hosts []string) (early, late float64) {
	const total, tenth = 1_000_000, 100_000
	x := newBench(b)
	var mixed []row
	for _, r := range rows() {
		if slices.Contains(hosts, r.host) {
			mixed = append(mixed, r)
		}
	}
	sent := 0
	memory := []float64{}
	for i := 0; sent < total; i++ {
		sent += int(x.attack(mixed[i%len(mixed)], 0).perSecond * period.Seconds())
		if sent >= tenth*(len(memory)+1) {
			memory = append(memory, float64(x.process().ResidentMemory()))
		}
	}
	middle := func(memory []float64) float64 { return slices.Sorted(slices.Values(memory))[len(memory)/2] }
	half := len(memory) / 2
	return middle(memory[1:half]), middle(memory[half:])
}

// BenchmarkGrowth compares how cost grows.
func BenchmarkGrowth(b *testing.B) {
	once(b)
	var t strings.Builder
	t.WriteString("| what | ratio |\n| --- | --- |\n")
	for _, n := range []int{1, 100, 500} {
		times, memory := ratios{}, ratios{}
		for range 3 {
			plain, plainMemory := reload(b, "noop", n)
			took, tookMemory := reload(b, "reauth", n)
			times, memory = append(times, ratio(took, plain)), append(memory, tookMemory/plainMemory)
		}
		fmt.Fprintf(&t, "| time until a configuration with %d more routers is served | %s |\n", n, times)
		fmt.Fprintf(&t, "| memory of Traefik with it | %s |\n", memory)
	}
	x := newBench(b)
	find := func(kind, host string) row {
		all := rows()
		return all[slices.IndexFunc(all, func(r row) bool { return r.kind == kind && r.host == host })]
	}
	call, preflight := find("a call of a listed origin", list), find("a preflight", list)
	few := map[string]float64{}
	for _, n := range []int{1, 100, 1000} {
		listed := []string{}
		for i := range n - 1 {
			listed = append(listed, fmt.Sprintf("https://app-%d.example.com", i), fmt.Sprintf("https://*.apps-%d.example.com", i))
		}
		err := x.s.Configure(b.Context(), func(c *stand.Config) {
			c.Plugins["reauth-list"]["accessControlAllowOriginList"] = append(listed, origins...)
		})
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range []row{call, preflight} {
			cpu := ratios{}
			for range 3 {
				cpu = append(cpu, x.attack(r, 0).cpu)
			}
			middle := slices.Sorted(slices.Values(cpu))[1]
			if n == 1 {
				few[r.kind] = middle
				continue
			}
			fmt.Fprintf(&t, "| CPU time of %s with %d origins in the list, by that with 2 | %.2f |\n", r.kind, 2*n, middle/few[r.kind])
		}
	}
	long := strings.Repeat("x", 8<<10)
	padded := func(r row) row {
		r.headers = append([]string{"X-Pad: " + long}, r.headers...)
		return r
	}
	visit := func(host string, status int) row {
		return row{"a visit to the refresh path", host, "GET", "/_reauth?rd=/" + long[:8000], visitor.Navigation, false, status}
	}
	for _, pair := range []struct {
		name          string
		floor, plugin row
	}{
		{"a call with a header of 8 KB", padded(find("a call", floor)), padded(find("a call", plugin))},
		{"a visit to the refresh path with an `rd` of 8,000 letters", visit(floor, http.StatusOK), visit(plugin, http.StatusSeeOther)},
	} {
		cpu := ratios{}
		for range 3 {
			cpu = append(cpu, x.attack(pair.plugin, 0).cpu/x.attack(pair.floor, 0).cpu)
		}
		fmt.Fprintf(&t, "| CPU time of %s | %s |\n", pair.name, cpu)
	}
	publish(b, "growth", t.String())
}

// reload tells how long it takes until n more routers with a middleware are served, and
// how much memory Traefik has then, in bytes.
func reload(b *testing.B, middleware string, n int) (time.Duration, float64) {
	b.Helper()
	x := newBench(b)
	began := time.Now()
	err := x.s.Configure(b.Context(), func(c *stand.Config) {
		upstream := c.Routes[0].Upstream
		for i := range n {
			more := stand.Route{Host: fmt.Sprintf("more-%d", i), Middlewares: []string{middleware, stand.ForwardAuth}, Upstream: upstream}
			c.Routes = append(c.Routes, more)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	return time.Since(began), float64(x.process().ResidentMemory())
}
