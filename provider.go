package reauth

import (
	"net/http"
	"regexp"
	"strings"
)

// This file holds what differs between forward-auth servers, for those that have a name
// here.

// defaultProvider is the name of Provider's default.
const defaultProvider = "authentik"

// provider is what there is to know of a forward-auth server. Of its fields those that
// are options as well give way to them.
type provider struct {
	// headerField is the header of its good answers that says who the user is.
	headerField string
	// authPaths are its paths on the app's host, and loginURLs what its login
	// redirects point to, as far as that is the same for everyone.
	authPaths []string
	loginURLs []string
	// complete tells that no login redirect of its points anywhere else.
	complete bool
	// bare401 tells that it may refuse by a 401 alone, which does not say where the
	// login is: that starts at the first of its login URLs under authPaths, if there is
	// one, and ends at the path given as rd.
	bare401 bool
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
		bare401:     true,
		silent:      true,
	},
	// Its login page is like Authelia's. Whom it takes for a program, by the name or, up to
	// version 4, by what it accepts, gets a 401.
	"tinyauth": {headerField: "Remote-User", bare401: true},
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

// needed are the headers that somebody else than forwardAuth has to tell.
var needed = regexp.MustCompile(`(?i)^(accept|access-control|authorization|cache-control|connection|content|cookie|date|expect|host|if|` +
	`keep-alive|origin|proxy|range|referer|sec|service-worker|set-cookie|te|trailer|transfer-encoding|upgrade|user-agent|` +
	`x-actual-token|x-forwarded-(for|host|method|port|prefix|proto|server|uri)|x-real-ip|x-requested-with)(-|$)`)

// parseHeaderField checks HeaderField and returns the key of the header.
func parseHeaderField(found *problems, value string) string {
	const mend = `write one of forwardAuth's authResponseHeaders that says who the user is, like "X-authentik-username"`
	name := strings.TrimSpace(value)
	switch {
	case name != "" && !token.MatchString(name):
		found.add("headerField", value, "is not the name of a header (RFC 9110, section 5.1)", mend)
	case needed.MatchString(name):
		found.add("headerField", value, "is sent by browsers or by Traefik itself, and the plugin empties it", mend)
	}
	return http.CanonicalHeaderKey(name)
}
