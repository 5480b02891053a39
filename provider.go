package reauth

import (
	"net/http"
	"strings"
)

// This file holds what differs between forward-auth servers, for those that have a name
// here.

// defaultProvider is the name of Provider's default.
const defaultProvider = "authentik"

// provider is what there is to know of a forward-auth server. The options of the same
// names override it.
type provider struct {
	// headerField is the header of its good answers that says who the user is.
	headerField string
	// authPaths are its paths on the app's host, and loginURLs what its login
	// redirects point to, as far as that is the same for everyone.
	authPaths []string
	loginURLs []string
	// complete tells that no login redirect of its points anywhere else.
	complete bool
	// startPath is its path on the app's host at which a login starts that ends at
	// the path given as rd, empty if it has none. One that refuses by a 401 alone
	// says nothing else of where the login is.
	startPath string
	// silent tells that a login goes by redirects alone while the SSO session lives.
	silent bool
}

// providers are the forward-auth servers that have a name, by it.
var providers = map[string]provider{
	defaultProvider: {
		headerField: "X-authentik-username",
		authPaths:   []string{"/outpost.goauthentik.io/"},
		loginURLs:   []string{"/outpost.goauthentik.io/start", "/application/o/authorize/"},
		complete:    true,
		silent:      true,
	},
	// Its login page is on a host of its own, at any path, and goes on by a script.
	"authelia": {headerField: "Remote-User"},
	"oauth2-proxy": {
		headerField: "X-Auth-Request-User",
		authPaths:   []string{"/oauth2/"},
		loginURLs:   []string{"/oauth2/start", "/oauth2/sign_in"},
		startPath:   "/oauth2/start",
		silent:      true,
	},
	"tinyauth": {headerField: "Remote-User"},
	"traefik-forward-auth": {
		headerField: "X-Forwarded-User",
		authPaths:   []string{"/_oauth"},
		silent:      true,
	},
}

// providerNames are their names, as an error lists them.
const providerNames = "authentik, authelia, oauth2-proxy, tinyauth or traefik-forward-auth"

// parseProvider checks Provider.
func parseProvider(found *problems, name string) provider {
	known, ok := providers[name]
	if !ok {
		found.add("provider", name, "is not known",
			"write "+providerNames+", or leave it out and set loginURLs, authPaths and headerField for another")
	}
	return known
}

// parseHeaderField checks HeaderField and returns the key of the header.
func parseHeaderField(found *problems, value string) string {
	if value != "" && !token.MatchString(value) {
		found.add("headerField", value, "is not the name of a header (RFC 9110, section 5.1)",
			`write one of forwardAuth's authResponseHeaders, like "X-authentik-username"`)
	}
	return http.CanonicalHeaderKey(strings.TrimSpace(value))
}
