// Package noop hands requests on: what it costs is the least that any plugin costs.
package noop

import (
	"context"
	"net/http"
)

// Config has no options.
type Config struct{}

// CreateConfig returns no options.
func CreateConfig() *Config { return &Config{} }

type handler struct{ next http.Handler }

// New returns the middleware.
func New(_ context.Context, next http.Handler, _ *Config, _ string) (http.Handler, error) {
	return &handler{next}, nil
}

func (h *handler) ServeHTTP(rw http.ResponseWriter, req *http.Request) { h.next.ServeHTTP(rw, req) }
