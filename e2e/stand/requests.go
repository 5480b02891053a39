package stand

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
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

// requestLog is what has been read of the access log.
type requestLog struct {
	mu       sync.Mutex
	size     int64 // in bytes
	requests []Request
}

// Requests returns the requests that Traefik has answered so far, in the order
// of their ends. A Stand needs ForRequests as Config.AccessLog for it. What it has read once
// it does not read again, so it can be asked often for as long as a stand runs.
func (b *Base) Requests() ([]Request, error) {
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	file, err := os.Open(b.accessLog())
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, b.log.size, math.MaxInt64-b.log.size))
	if err != nil {
		return nil, err
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	decoder := json.NewDecoder(bytes.NewReader(text))
	var requests []Request
	for decoder.More() {
		var request Request
		if err := decoder.Decode(&request); err != nil {
			return nil, err
		}
		requests = append(requests, request)
	}
	b.log.size += int64(len(text))
	b.log.requests = append(b.log.requests, requests...)
	return slices.Clone(b.log.requests), nil
}
