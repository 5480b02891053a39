package stand

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// serviceWorker is the header that marks the request for a worker's script.
const serviceWorker = "Service-Worker"

// Request is a request that Traefik has answered.
type Request struct {
	Host   string    `json:"RequestHost"`
	Method string    `json:"RequestMethod"`
	Path   string    `json:"RequestPath"` // with the query
	Status int       `json:"DownstreamStatus"`
	Size   int64     `json:"RequestContentSize"` // of the body, in bytes
	Origin int       `json:"OriginStatus"`       // what the app answered, 0 if it was not asked
	Start  time.Time `json:"StartUTC"`
	// Duration runs until the end of the answer.
	Duration time.Duration
	// ServiceWorker is script for the script of a service worker.
	ServiceWorker string `json:"request_Service-Worker"`
}

// ForRequests returns the options of an access log that Requests understands.
func ForRequests() map[string]any {
	return map[string]any{
		"format": "json",
		"fields": map[string]any{"headers": map[string]any{"names": map[string]any{serviceWorker: "keep"}}},
	}
}

func (b *Base) accessLog() string { return filepath.Join(b.dir, "access.log") }

// AccessLog returns the lines that Traefik has written about requests so far.
func (b *Base) AccessLog() (string, error) {
	text, err := os.ReadFile(b.accessLog())
	return string(text[:bytes.LastIndexByte(text, '\n')+1]), err
}

// Requests returns the requests that Traefik has answered so far, in the order
// of their ends. A Stand needs ForRequests as Config.AccessLog for it.
func (b *Base) Requests() ([]Request, error) {
	text, err := b.AccessLog()
	if err != nil {
		return nil, err
	}
	var requests []Request
	decoder := json.NewDecoder(strings.NewReader(text))
	for decoder.More() {
		var request Request
		if err := decoder.Decode(&request); err != nil {
			return nil, err
		}
		requests = append(requests, request)
	}
	return requests, nil
}
