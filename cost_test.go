package reauth

// This file holds what is asked at a cost: the requests of testdata/requests.json, by which
// the plugin is measured, compiled and interpreted, and one by one as well as all at once.

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
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
