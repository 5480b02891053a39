package stand

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
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

func (b *Base) accessLog() string { return filepath.Join(b.dir, "access.log") }

// Requests returns the requests that Traefik has answered so far, in the order
// of their ends. A Stand needs Config.AccessLog for it.
func (b *Base) Requests() ([]Request, error) {
	text, err := os.ReadFile(b.accessLog())
	if err != nil {
		return nil, err
	}
	var requests []Request
	decoder := json.NewDecoder(bytes.NewReader(text[:bytes.LastIndexByte(text, '\n')+1]))
	for decoder.More() {
		var request Request
		if err := decoder.Decode(&request); err != nil {
			return nil, err
		}
		requests = append(requests, request)
	}
	return requests, nil
}
