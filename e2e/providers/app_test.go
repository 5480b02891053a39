package providers

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"

	"github.com/traefik-reauth/reauth/e2e/probe"
)

// workerScript is the script of the app's service worker.
const workerScript = "addEventListener('fetch', () => {})"

// received is a request as it reached the app.
type received struct {
	Host, Method, URI, Body string
	// User and Email are who the auth server says it is of.
	User, Email string
}

// recorder is an app that remembers what reached it.
type recorder struct {
	mu   sync.Mutex
	list []received
}

// take returns what has reached the app since it was asked last.
func (r *recorder) take() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}

func (r *recorder) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(rw http.ResponseWriter, req *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(map[string]string{"method": req.Method, "uri": req.URL.RequestURI()})
	})
	mux.HandleFunc("/sw.js", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/javascript")
		_, _ = io.WriteString(rw, workerScript)
	})
	mux.HandleFunc("/unauthorized", func(rw http.ResponseWriter, _ *http.Request) {
		http.Error(rw, "the app's own", http.StatusUnauthorized)
	})
	mux.HandleFunc("/basic", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("WWW-Authenticate", `Basic realm="app"`)
		http.Error(rw, "the app's own", http.StatusUnauthorized)
	})
	// The identity provider that oauth2-proxy asks, for a login of the app's own.
	mux.HandleFunc("/openid", func(rw http.ResponseWriter, req *http.Request) {
		http.Redirect(rw, req, shared.URL(ssoHost)+"/auth?client_id=app&redirect_uri=https%3A%2F%2Fapp.example.com%2Fopenid%2Fcallback", http.StatusFound)
	})
	mux.Handle("/openid-401", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Location", shared.URL(ssoHost)+"/auth?client_id=app")
		http.Error(rw, "the app's own", http.StatusUnauthorized)
	}))
	mux.HandleFunc("/ws", probe.Echo)
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		body := ""
		if req.Header.Get("Upgrade") == "" {
			sent, err := io.ReadAll(req.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			body = string(sent)
		}
		user, email := req.Header.Get("X-Auth-Request-User"), req.Header.Get("X-Auth-Request-Email")
		if user == "" {
			user, email = req.Header.Get("Remote-User"), req.Header.Get("Remote-Email")
		}
		if user == "" {
			user = req.Header.Get("X-Forwarded-User")
		}
		r.mu.Lock()
		r.list = append(r.list, received{req.Host, req.Method, req.RequestURI, body, user, email})
		r.mu.Unlock()
		mux.ServeHTTP(rw, req)
	})
}
