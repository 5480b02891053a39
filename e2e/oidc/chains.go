package oidc

import (
	"maps"
	"net/http"
)

// Service is the name that middlewares know oauth2-proxy's own paths by, and Prefix what
// these start with.
const (
	Service = "oauth2-proxy"
	Prefix  = "/oauth2/"
)

// Chains are the ways to have Traefik ask oauth2-proxy, by name: those of Middlewares
// that stand between the plugin and the app.
var Chains = map[string][]string{
	"root":    {"ask-root"},
	"auth":    {"ask-auth"},
	"errors":  {"sign-in", "ask-auth"},
	"rewrite": {"sign-in-302", "ask-auth"},
}

// Middlewares returns Traefik's configuration of what Chains name, which ask at address.
func Middlewares(address string) map[string]any {
	// As oauth2-proxy's documentation has them for Traefik.
	signIn := map[string]any{"status": []string{"401"}, "service": Service, "query": "/oauth2/sign_in?rd={url}"}
	rewriting := maps.Clone(signIn)
	rewriting["statusRewrites"] = map[string]any{"401": http.StatusFound}
	return map[string]any{
		"ask-root":    Ask(address + "/"),
		"ask-auth":    Ask(address + "/oauth2/auth"),
		"sign-in":     map[string]any{"errors": signIn},
		"sign-in-302": map[string]any{"errors": rewriting},
	}
}

// Ask returns Traefik's configuration of a forwardAuth that asks address, and hands the
// browser these cookies of its answer.
func Ask(address string, cookies ...string) map[string]any {
	return map[string]any{"forwardAuth": map[string]any{
		"address":                  address,
		"trustForwardHeader":       true,
		"maxResponseBodySize":      1 << 20,
		"authResponseHeaders":      []string{"X-Auth-Request-User", "X-Auth-Request-Email"},
		"addAuthCookiesToResponse": cookies,
	}}
}
