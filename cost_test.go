package reauth

// This file holds what is asked at a cost: the requests of testdata/requests.json, by which
// the plugin is measured, compiled and interpreted, and one by one as well as all at once.

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// costRows is what is read of testdata/requests.json.
type costRows struct {
	// Browser are headers that go along with every request.
	Browser   http.Header              `json:"browser"`
	Upstreams map[string]*costUpstream `json:"upstreams"`
	Requests  []*costRequest           `json:"requests"`
}

// costUpstream is what forwardAuth and the app make of a request.
type costUpstream struct {
	// Sets are the headers of the request that forwardAuth fills in.
	Sets   http.Header `json:"sets"`
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	// Length is that of the body, in bytes.
	Length int `json:"length"`
}

// costRequest is a request with what it takes and is answered.
type costRequest struct {
	Name string `json:"name"`
	// Options are those of the middleware that differ from the defaults.
	Options json.RawMessage `json:"options"`
	// Method is GET by default, and URI the path /api/data.
	Method   string      `json:"method"`
	URI      string      `json:"uri"`
	Header   http.Header `json:"header"`
	Upstream string      `json:"upstream"`
	Status   int         `json:"status"`
}

// readCost returns the requests that the plugin's cost is measured by.
func readCost(t testing.TB) *costRows {
	t.Helper()
	text, err := os.ReadFile("testdata/requests.json")
	if err != nil {
		t.Fatal(err)
	}
	rows := &costRows{}
	if err := json.Unmarshal(text, rows); err != nil {
		t.Fatal(err)
	}
	if len(rows.Requests) == 0 {
		t.Fatal("there are no requests")
	}
	for _, r := range rows.Requests {
		if rows.Upstreams[r.Upstream] == nil {
			t.Fatalf("%s: there is no upstream %q", r.Name, r.Upstream)
		}
	}
	return rows
}

// handler answers as u does, and allocates nothing.
func (u *costUpstream) handler() http.Handler {
	// What the plugin appends to a header must not reach the next answer.
	sets, answer, body := u.Sets.Clone(), u.Header.Clone(), make([]byte, u.Length)
	status := u.Status
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		for name, values := range sets {
			req.Header[name] = values
		}
		header := rw.Header()
		for name, values := range answer {
			header[name] = values
		}
		rw.WriteHeader(status)
		if len(body) > 0 {
			_, _ = rw.Write(body)
		}
	})
}

// middleware returns the plugin in front of next, with the options of r.
func (r *costRequest) middleware(t testing.TB, next http.Handler) http.Handler {
	t.Helper()
	return newHandler(t, next, func(c *Config) {
		if r.Options == nil {
			return
		}
		if err := json.Unmarshal(r.Options, c); err != nil {
			t.Fatal(err)
		}
	})
}

// request returns the request, as Traefik hands it on.
func (r *costRequest) request(browser http.Header) *http.Request {
	method, uri := r.Method, r.URI
	if method == "" {
		method = http.MethodGet
	}
	if uri == "" {
		uri = "/api/data"
	}
	req := httptest.NewRequest(method, uri, nil)
	req.Host = "app.example.com"
	req.Header = withHeader(browser, r.Header)
	return req
}

// discard is a writer that keeps nothing but the status, and allocates nothing.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) Flush()                      {}

// costLoop sends one request again and again, through the same handler.
type costLoop struct {
	middleware http.Handler
	req        *http.Request
	rw         *discard
	// fresh are the headers of the request that a run may leave otherwise.
	fresh http.Header
}

// loop readies r for being sent again and again: forwardAuth has been seen to hand on
// the header, if it does.
func (r *costRequest) loop(t testing.TB, rows *costRows) *costLoop {
	t.Helper()
	u := rows.Upstreams[r.Upstream]
	req := r.request(rows.Browser)
	l := &costLoop{middleware: r.middleware(t, u.handler()), req: req, rw: &discard{header: http.Header{}}, fresh: http.Header{}}
	for _, name := range []string{"X-Authentik-Username", tokenHeader} {
		l.fresh[name] = req.Header[name]
	}
	if l.once(); l.rw.status != r.Status {
		t.Fatalf("%s: status %d, want %d", r.Name, l.rw.status, r.Status)
	}
	return l
}

// once sends the request.
func (l *costLoop) once() {
	for name, values := range l.fresh {
		if values == nil {
			delete(l.req.Header, name)
		} else {
			l.req.Header[name] = values
		}
	}
	for name := range l.rw.header {
		delete(l.rw.header, name)
	}
	l.middleware.ServeHTTP(l.rw, l.req)
}

// BenchmarkServeHTTP is what a request of each kind costs, with what stands for forwardAuth
// and the app: "nothing" is the share of these.
func BenchmarkServeHTTP(b *testing.B) {
	rows := readCost(b)
	b.Run("nothing", func(b *testing.B) {
		l := rows.Requests[0].loop(b, rows)
		l.middleware = rows.Upstreams[rows.Requests[0].Upstream].handler()
		b.ReportAllocs()
		b.ResetTimer()
		for i := 0; i < b.N; i++ {
			l.once()
		}
	})
	for _, r := range rows.Requests {
		r := r
		b.Run(r.Name, func(b *testing.B) {
			l := r.loop(b, rows)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i++ {
				l.once()
			}
		})
	}
}

// told is what a client gets for a request.
type told struct {
	status int
	header http.Header
	body   string
}

func (told told) String() string {
	return fmt.Sprintf("%d %v %.80q", told.status, told.header, told.body)
}

func tell(h http.Handler, req *http.Request) told {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return told{rec.Code, rec.Header(), rec.Body.String()}
}

// TestTrafficAtOnce sends requests of every kind through one handler at once, and holds
// each answer to the one that the same request gets alone. What says so differs between
// the clients: the origin, the place to return to, and what upstream answers.
func TestTrafficAtOnce(t *testing.T) {
	const clients, rounds = 8, 5
	rows := readCost(t)
	upstreams := map[string]http.Handler{}
	for name, u := range rows.Upstreams {
		for id := 0; id < clients; id++ {
			own := *u
			own.Header = u.Header.Clone()
			own.Header.Add("Set-Cookie", "client="+strconv.Itoa(id))
			upstreams[name+strconv.Itoa(id)] = own.handler()
		}
	}
	next := http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		runtime.Gosched() // the others come in between, however few processors there are
		upstreams[req.Header.Get("X-Upstream")].ServeHTTP(rw, req)
	})
	sent := func(r *costRequest, id int) *http.Request {
		own := *r
		if strings.Contains(r.URI, "?rd=") {
			own.URI += strconv.Itoa(id)
		}
		req := own.request(rows.Browser)
		req.Header.Set("X-Upstream", r.Upstream+strconv.Itoa(id))
		if origin := req.Header.Get("Origin"); strings.HasPrefix(origin, "https://a.") {
			req.Header.Set("Origin", "https://client"+strconv.Itoa(id)+strings.TrimPrefix(origin, "https://a"))
		}
		return req
	}
	for name, change := range map[string]func(*Config){
		"defaults":    nil,
		"with a list": fullCORS,
		"with an own worker": func(c *Config) {
			c.OwnServiceWorker = true
		},
		"with a list and an own worker": func(c *Config) {
			fullCORS(c)
			c.OwnServiceWorker = true
		},
	} {
		change := change
		t.Run(name, func(t *testing.T) {
			alone, shared := newHandler(t, next, change), newHandler(t, next, change)
			want := map[string]told{}
			for _, r := range rows.Requests {
				for id := 0; id < clients; id++ {
					want[r.Name+strconv.Itoa(id)] = tell(alone, sent(r, id))
				}
			}
			var ready, done sync.WaitGroup
			ready.Add(clients)
			done.Add(clients)
			for id := 0; id < clients; id++ {
				go func(id int) {
					defer done.Done()
					ready.Done()
					ready.Wait()
					for i := 0; i < rounds*len(rows.Requests); i++ {
						r := rows.Requests[(i+id*len(rows.Requests)/clients)%len(rows.Requests)]
						if got := tell(shared, sent(r, id)); !reflect.DeepEqual(got, want[r.Name+strconv.Itoa(id)]) {
							t.Errorf("%s of client %d\n got %s\nwant %s", r.Name, id, got, want[r.Name+strconv.Itoa(id)])
						}
					}
				}(id)
			}
			done.Wait()
		})
	}
}

// listing returns options with so many origins, exact ones or wildcards.
func listing(origins int, wildcard bool) func(*Config) {
	return func(c *Config) {
		for i := 0; i < origins; i++ {
			entry := "https://" + listedHost(i)
			if wildcard {
				entry = "https://*." + listedHost(i)
			}
			c.AccessControlAllowOriginList = append(c.AccessControlAllowOriginList, entry)
		}
	}
}

// listedHost returns the host of an entry, which has little in common with the others.
func listedHost(i int) string {
	return strconv.FormatInt(int64(i+1)*2654435761%(1<<32), 36) + ".example.com"
}

// listLengths are how many origins are listed where it is told how cost grows.
var listLengths = []int{1, 10, 100, 500, 2000}

// BenchmarkListedOrigins tells how the cost of a handler and of a request grows with the
// list. live-B/op is what a handler keeps in memory, in bytes.
func BenchmarkListedOrigins(b *testing.B) {
	for _, origins := range listLengths {
		for kind, wildcard := range map[string]bool{"exact": false, "wildcard": true} {
			origins, wildcard := origins, wildcard
			change := listing(origins, wildcard)
			name := strconv.Itoa(origins) + " " + kind
			b.Run(name+"/New", func(b *testing.B) {
				b.ReportAllocs()
				handlers := make([]http.Handler, b.N)
				before := liveBytes()
				b.ResetTimer()
				for i := range handlers {
					handlers[i] = newHandler(b, http.NotFoundHandler(), change)
				}
				b.StopTimer()
				b.ReportMetric(float64(liveBytes()-before)/float64(b.N), "live-B/op")
				runtime.KeepAlive(handlers)
			})
			for which, origin := range map[string]string{
				"last": map[bool]string{false: "https://", true: "https://a."}[wildcard] + listedHost(origins-1),
				"none": "https://a.dashboard.example.com",
				"long": "https://" + strings.Repeat("a.", 120) + "com",
			} {
				origin := origin
				b.Run(name+"/"+which, func(b *testing.B) {
					policy := parsed(b, change).cors
					header := http.Header{"Origin": {origin}}
					b.ReportAllocs()
					b.ResetTimer()
					for i := 0; i < b.N; i++ {
						allowedOrigin(policy, header)
					}
				})
			}
		}
	}
}

// liveBytes returns how much memory is in use, in bytes.
func liveBytes() int64 {
	var stats runtime.MemStats
	// What pools keep goes with the second.
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// BenchmarkLongRequest is what the longest requests cost that servers take.
func BenchmarkLongRequest(b *testing.B) {
	for name, req := range map[string]*http.Request{
		"call with a cookie of 8 KB":   request("GET", "/api/data", scripted, "Cookie: "+strings.Repeat("a", 8000)),
		"script with a cookie of 8 KB": request("GET", "/sw.js", append([]string{"Cookie: " + strings.Repeat("a", 8000)}, asWorker...)...),
		"rd of 8 KB":                   request("GET", "/_reauth?rd=/"+strings.Repeat("a", 8000), navigate),
		"rd of 8 KB in layers":         request("GET", "/_reauth?rd=/"+strings.Repeat("%25252541", 888), navigate),
		"rd of 8 KB of segments":       request("GET", "/_reauth?rd="+strings.Repeat("/a", 4000), navigate),
		"rd of 8 KB to be encoded":     request("GET", "/_reauth?rd=/"+strings.Repeat("%20", 2666), navigate),
		"rd among 100 pairs":           request("GET", "/_reauth?rd=/a"+strings.Repeat("&a=b", 99), navigate),
		"100 times rd":                 request("GET", "/_reauth?rd=/a"+strings.Repeat("&%72d=/a", 99), navigate),
	} {
		req := req
		b.Run(name, func(b *testing.B) {
			h := newHandler(b, passing("me", answering(200)), nil)
			l := &costLoop{middleware: h, req: req, rw: &discard{header: http.Header{}}, fresh: http.Header{"X-Authentik-Username": nil}}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i++ {
				l.once()
			}
		})
	}
}
