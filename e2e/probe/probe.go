// Package probe is an app for tests, with an endpoint per thing an app may do
// that a middleware may break, and who tries them.
package probe

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/traefik-reauth/reauth/e2e/fault"
	"github.com/traefik-reauth/reauth/e2e/stand"
)

// WorkerScript is the script of the probe's service worker. It does not end in a
// line feed, and its length in bytes is not that in characters.
const WorkerScript = "'use strict'\n// für das Gerät\naddEventListener('fetch', () => {})"

// StrictPolicies are the content security policies of a worker that may not reach
// its own app.
var StrictPolicies = []string{"default-src 'none'", "connect-src https://api.example, img-src *"}

// EndWith closes what runs when the test ends, and shows its log if that has
// failed.
func EndWith(t testing.TB, runs interface {
	Close() error
	Log() string
}) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(stand.AboveDebug(runs.Log()))
		}
		if err := runs.Close(); err != nil {
			t.Error(err)
		}
	})
}

// StartActual starts an Actual Budget server that ends with the test.
func StartActual(t testing.TB) *stand.Actual {
	t.Helper()
	actual, err := stand.StartActual(t.Context(), t.TempDir(), stand.CurrentClient)
	if err != nil {
		t.Fatal(err)
	}
	EndWith(t, actual)
	return actual
}

// Serve serves h on loopback until the test ends and returns its URL.
func Serve(t testing.TB, h http.Handler) string {
	t.Helper()
	url, server, err := stand.Serve(h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return url
}

// ServeApp serves an app of its own until the test ends and returns its URL.
func ServeApp(t testing.TB) string {
	t.Helper()
	var app App
	return Serve(t, app.Handler())
}

// Kept is the Cache-Control of what lies under /kept/, which anybody may have from a cache.
const Kept = "public, max-age=3600"

// App stands for any web app. Actual Budget does only some of what it does.
type App struct {
	mu      sync.Mutex
	streams map[string]chan string
	hanging atomic.Int32
}

// FaultHeader has the app go wrong over a request as its value says (see fault).
const FaultHeader = "X-Fault"

// Hanging returns how many requests the app lets hang.
func (a *App) Hanging() int { return int(a.hanging.Load()) }

// stream returns the channel whose strings the streaming endpoints send, each
// as soon as it comes, for requests with ?id=id.
func (a *App) stream(id string) chan string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.streams == nil {
		a.streams = map[string]chan string{}
	}
	if a.streams[id] == nil {
		a.streams[id] = make(chan string)
	}
	return a.streams[id]
}

// end ends the streams with ?id=id.
func (a *App) end(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.streams[id])
	delete(a.streams, id)
}

// Handler returns what serves the app.
func (a *App) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(rw http.ResponseWriter, req *http.Request) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		rw.Header().Set("Set-Cookie", "app=1; Path=/")
		rw.Header().Set("Vary", "Accept-Encoding")
		answer(rw, "page "+req.URL.Path)
	})
	mux.HandleFunc("/api/", func(rw http.ResponseWriter, req *http.Request) {
		// Actual Budget allows every origin, on everything.
		rw.Header().Set("Access-Control-Allow-Origin", "*")
		rw.Header().Set("Content-Type", "application/json")
		answer(rw, `{"path":"`+req.URL.Path+`"}`)
	})
	mux.HandleFunc("/headers/", func(rw http.ResponseWriter, req *http.Request) {
		arrived := maps.Clone(req.Header)
		arrived["Host"] = []string{req.Host}
		arrived["Target"] = []string{req.RequestURI}
		_ = json.NewEncoder(rw).Encode(arrived)
	})
	mux.HandleFunc("/kept/", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Access-Control-Allow-Origin", "*")
		rw.Header().Set("Cache-Control", Kept)
		rw.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		answer(rw, WorkerScript)
	})
	mux.HandleFunc("/whoami", func(rw http.ResponseWriter, req *http.Request) {
		answer(rw, req.Header.Get("X-Authentik-Username"))
	})
	mux.Handle("/_reauth", http.NotFoundHandler())
	mux.HandleFunc("/sync/sync", func(rw http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		answer(rw, "synced "+string(body))
	})
	mux.HandleFunc("/sw.js", func(rw http.ResponseWriter, req *http.Request) {
		isolate(rw.Header())
		// Honours ranges and what a browser has already.
		http.ServeContent(rw, req, "", time.Unix(1e9, 0), strings.NewReader(WorkerScript))
	})
	mux.HandleFunc("/chunked/sw.js", func(rw http.ResponseWriter, _ *http.Request) {
		isolate(rw.Header())
		for _, line := range strings.SplitAfter(WorkerScript, "\n") {
			answer(rw, line)
			rw.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/negotiated/sw.js", func(rw http.ResponseWriter, req *http.Request) {
		rw.Header().Set("Vary", "Accept-Encoding")
		isolate(rw.Header())
		if strings.Contains(req.Header.Get("Accept-Encoding"), "gzip") {
			zip(rw, WorkerScript)
		} else {
			answer(rw, WorkerScript)
		}
	})
	mux.HandleFunc("/strict/sw.js", func(rw http.ResponseWriter, _ *http.Request) {
		isolate(rw.Header())
		rw.Header()["Content-Security-Policy"] = StrictPolicies
		answer(rw, WorkerScript)
	})
	mux.HandleFunc("/zipped/sw.js", func(rw http.ResponseWriter, _ *http.Request) {
		isolate(rw.Header())
		zip(rw, WorkerScript)
	})
	mux.HandleFunc("/unauthorized", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusUnauthorized)
		answer(rw, `{"status":"error","reason":"unauthorized"}`)
	})
	mux.Handle("/elsewhere", http.RedirectHandler("https://elsewhere.example/", http.StatusFound))
	mux.Handle("/openid", http.RedirectHandler(
		"https://auth.example.com/application/o/authorize/?client_id=app&redirect_uri=https%3A%2F%2Fapp.example.com%2Fopenid%2Fcallback", http.StatusFound))
	mux.HandleFunc("/events", func(rw http.ResponseWriter, req *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		a.send(rw, req, "data: %s\n\n")
	})
	mux.HandleFunc("/ended", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		answer(rw, "data: end\n\n")
	})
	mux.HandleFunc("/chunks", func(rw http.ResponseWriter, req *http.Request) {
		rw.Header().Set("Content-Type", "application/octet-stream")
		a.send(rw, req, "%s\n")
	})
	mux.HandleFunc("/hints", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Link", "</a.css>; rel=preload; as=style")
		rw.WriteHeader(http.StatusEarlyHints)
		rw.Header().Del("Link")
		answer(rw, "hinted")
	})
	mux.HandleFunc("/trailers", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Trailer", "X-Announced")
		answer(rw, "with trailers")
		rw.Header().Set("X-Announced", "1")
		rw.Header().Set(http.TrailerPrefix+"X-Unannounced", "2")
	})
	mux.HandleFunc("/down", func(rw http.ResponseWriter, req *http.Request) {
		size, err := strconv.ParseInt(req.FormValue("size"), 10, 64)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		rw.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		if _, err := io.CopyN(rw, zeros{}, size); err != nil {
			panic(http.ErrAbortHandler)
		}
	})
	mux.HandleFunc("/up", func(rw http.ResponseWriter, req *http.Request) {
		size, err := io.Copy(io.Discard, req.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		answer(rw, strconv.FormatInt(size, 10))
	})
	mux.HandleFunc("/ws", Echo)
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		happens := fault.Fault(req.Header.Get(FaultHeader))
		if happens == fault.Hang {
			// A server notices that a client is gone once it has read all that this sent.
			_, _ = io.Copy(io.Discard, req.Body)
			a.hanging.Add(1)
			defer a.hanging.Add(-1)
			fault.AwaitEnd(req.Context(), nil)
			panic(http.ErrAbortHandler)
		}
		if !happens.Meet(rw, req, req.URL.RequestURI()) {
			mux.ServeHTTP(rw, req)
		}
	})
}

// Echo takes a WebSocket and sends back what comes on it.
func Echo(rw http.ResponseWriter, req *http.Request) {
	var upgrader websocket.Upgrader
	conn, err := upgrader.Upgrade(rw, req, nil)
	if err != nil {
		return // the upgrader has answered
	}
	defer conn.Close()
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil || conn.WriteMessage(kind, message) != nil {
			return
		}
	}
}

// send sends what comes on the request's stream until that is closed.
func (a *App) send(rw http.ResponseWriter, req *http.Request, format string) {
	flusher := rw.(http.Flusher)
	flusher.Flush()
	stream := a.stream(req.FormValue("id"))
	for {
		select {
		case <-req.Context().Done():
			return
		case text, open := <-stream:
			if !open {
				return
			}
			_, _ = fmt.Fprintf(rw, format, text)
			flusher.Flush()
		}
	}
}

func answer(rw http.ResponseWriter, text string) {
	_, _ = io.WriteString(rw, text)
}

// isolate sets the headers of a worker's script as Actual Budget does, which
// isolates its pages.
func isolate(header http.Header) {
	header.Set("Content-Type", "text/javascript; charset=utf-8")
	header.Set("Cache-Control", "public, max-age=0")
	header.Set("Cross-Origin-Embedder-Policy", "require-corp")
	header.Set("ETag", `"1"`)
}

// zip answers with text, compressed.
func zip(rw http.ResponseWriter, text string) {
	rw.Header().Set("Content-Encoding", "gzip")
	compressor := gzip.NewWriter(rw)
	_, _ = io.WriteString(compressor, text)
	_ = compressor.Close()
}
