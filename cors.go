package reauth

// This file holds what other origins may do: the preflight, the headers of all other
// answers, and the options for both.

import (
	"net/http"
	"net/netip"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// maxOrigin is the length of the longest origin a browser can send with a
// scheme of 20 letters, in bytes: the scheme, ://, a host name, : and a port.
const maxOrigin = 20 + 3 + 253 + 1 + 5

var (
	schemeSyntax = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)
	labelSyntax  = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)
	portSyntax   = regexp.MustCompile(`^[1-9][0-9]{0,4}$`)
	numeric      = regexp.MustCompile(`^([0-9]+|0x[0-9a-f]*)$`)
	nonASCII     = regexp.MustCompile(`[^\x00-\x7f]`)
	upperCase    = regexp.MustCompile(`[A-Z]`)
	blank        = regexp.MustCompile(`[\x00-\x20\x7f]`)
	token        = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	variesByAny  = regexp.MustCompile(`(?i)(^|,)[ \t]*(\*|origin)[ \t]*(,|$)`)
)

// anyLabels matches the labels a wildcard stands for, and anyPort the port.
const (
	anyLabels = `([a-z0-9_-]+\.)+`
	anyPort   = `(:[1-9][0-9]{0,4})?`
)

// defaultPorts are the ports an origin leaves out (https://url.spec.whatwg.org/#special-scheme).
var defaultPorts = map[string]string{"http": "80", "https": "443"}

// opaqueSchemes are those whose pages have an opaque origin, which is sent as
// null (https://url.spec.whatwg.org/#concept-url-origin), or the origin of the page that opened them.
var opaqueSchemes = map[string]bool{"about": true, "blob": true, "data": true, "file": true, "javascript": true}

// publicSuffixes are common two-label suffixes under which strangers register
// names. The list is partial, for the whole one needs a package of its own: a
// wildcard under a suffix that is missing here is believed.
var publicSuffixes = suffixSet(`
	ac.uk co.uk gov.uk ltd.uk me.uk net.uk org.uk plc.uk
	asn.au com.au edu.au id.au net.au org.au
	ac.nz co.nz net.nz org.nz
	ac.jp co.jp go.jp ne.jp or.jp
	ac.kr co.kr or.kr
	com.br net.br org.br
	com.cn net.cn org.cn
	ac.in co.in net.in org.in
	ac.il co.il org.il
	ac.za co.za org.za
	co.at or.at co.id co.th com.ar com.co com.es com.hk com.mx com.my com.ph com.pl com.pt
	com.sa com.sg com.tr com.tw com.ua com.vn
	azurewebsites.net cloudfront.net firebaseapp.com fly.dev github.io gitlab.io herokuapp.com
	netlify.app ngrok.app ngrok.io onrender.com pages.dev trycloudflare.com vercel.app web.app workers.dev
	ddns.net dedyn.io duckdns.org dynv6.net freeddns.org hopto.org myds.me mynetgear.com myqnapcloud.com
	no-ip.org nip.io sslip.io synology.me sytes.net ts.net zapto.org
`)

func suffixSet(list string) map[string]bool {
	set := map[string]bool{}
	for _, suffix := range strings.Fields(list) {
		set[suffix] = true
	}
	return set
}

// corsPolicy is what a list of origins was made into.
type corsPolicy struct {
	// any allows every origin, without credentials.
	any bool
	// exact holds the origins without a wildcard.
	exact map[string]bool
	// wildcards matches the others, nil if there is none.
	wildcards   *regexp.Regexp
	credentials bool
	// The values of the headers, nil where none is sent. Nobody changes one in place.
	methods, headers, expose, maxAge []string
	// exposeChallenge is expose with the header of the 401.
	exposeChallenge []string
}

// allowedOrigin returns the value for Access-Control-Allow-Origin, empty if the
// request has no origin or one that is not allowed.
func allowedOrigin(policy *corsPolicy, header http.Header) string {
	values := header["Origin"]
	if values == nil {
		return ""
	}
	return matchOrigin(policy, values)
}

// matchOrigin is allowedOrigin for the values of the header. A browser sends one line;
// what has more is not believed.
func matchOrigin(policy *corsPolicy, values []string) string {
	if len(values) != 1 || values[0] == "" || len(values[0]) > maxOrigin {
		return ""
	}
	if policy.any {
		return "*"
	}
	origin := values[0]
	if policy.exact[origin] || policy.wildcards != nil && policy.wildcards.MatchString(origin) {
		return origin
	}
	return ""
}

// answersPreflight answers a preflight (https://fetch.spec.whatwg.org/#cors-preflight-request) of an
// allowed origin, and reports whether it has.
func answersPreflight(h *handler, rw http.ResponseWriter, req *http.Request) bool {
	header := req.Header
	if header.Get("Access-Control-Request-Method") == "" || header["Upgrade"] != nil {
		return false
	}
	origin := allowedOrigin(h.cors, header)
	if origin == "" || h.authPath.MatchString(req.URL.Path) {
		return false
	}
	answerPreflight(h.cors, origin, rw)
	return true
}

// answerPreflight lets the browser compare what it wants with what is allowed.
// The answer is the same whatever is asked for, so nothing of it is echoed.
func answerPreflight(policy *corsPolicy, origin string, rw http.ResponseWriter) {
	header := rw.Header()
	setAllowed(policy, header, origin)
	addVary(header)
	if policy.methods != nil {
		header["Access-Control-Allow-Methods"] = policy.methods
	}
	if policy.headers != nil {
		header["Access-Control-Allow-Headers"] = policy.headers
	}
	if policy.maxAge != nil {
		header["Access-Control-Max-Age"] = policy.maxAge
	}
	rw.WriteHeader(http.StatusNoContent)
}

// setCORS readies the headers of a response to anything but a preflight. For
// an origin that is not allowed the app's own headers stay: it may know better.
func setCORS(policy *corsPolicy, header http.Header, origin string) {
	addVary(header)
	if origin == "" {
		return
	}
	setAllowed(policy, header, origin)
	if policy.expose != nil {
		header["Access-Control-Expose-Headers"] = policy.expose
	}
}

// isAllowed is the value of Access-Control-Allow-Credentials.
var isAllowed = []string{"true"}

// setAllowed replaces what the auth server and the app say about the origin:
// a second Access-Control-Allow-Origin fails the check (https://fetch.spec.whatwg.org/#concept-cors-check).
func setAllowed(policy *corsPolicy, header http.Header, origin string) {
	header["Access-Control-Allow-Origin"] = []string{origin}
	if policy.credentials {
		header["Access-Control-Allow-Credentials"] = isAllowed
	} else {
		delete(header, "Access-Control-Allow-Credentials")
	}
}

// addVary notes that the response depends on Origin. It does so for every
// origin and for none, or a cache would hand one origin's answer to another
// (https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches).
func addVary(header http.Header) {
	if header["Vary"] == nil || !variesByAny.MatchString(strings.Join(header["Vary"], ",")) {
		header.Add("Vary", "Origin")
	}
}

// parseCORSPolicy checks the options that are named as in Traefik's headers
// middleware. It returns nil if no origin is listed.
func parseCORSPolicy(found *problems, config *Config) *corsPolicy {
	credentialed := config.AccessControlAllowCredentials
	methods := parseMethods(found, config.AccessControlAllowMethods, credentialed)
	headers := parseHeaders(found, "accessControlAllowHeaders", config.AccessControlAllowHeaders, credentialed)
	exposed := parseHeaders(found, "accessControlExposeHeaders", config.AccessControlExposeHeaders, credentialed)
	policy := &corsPolicy{
		credentials: credentialed,
		exact:       map[string]bool{},
		methods:     line(methods),
		headers:     line(headers),
		expose:      line(exposed),
	}
	policy.exposeChallenge = line("WWW-Authenticate")
	if exposed != "" {
		policy.exposeChallenge = line(exposed + ", WWW-Authenticate")
	}
	if age := config.AccessControlMaxAge; age != nil {
		seconds := strconv.FormatInt(*age, 10)
		policy.maxAge = line(seconds)
		if *age < 0 {
			found.add("accessControlMaxAge", seconds, "is negative",
				"write 0 to forbid remembering, or leave it out for the browser's default")
		}
	}
	parseOrigins(found, config.AccessControlAllowOriginList, policy)
	if len(config.AccessControlAllowOriginList) == 0 {
		return nil
	}
	return policy
}

// line returns the lines of a header with this value, nil for none.
func line(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// parseOrigins checks the list of origins and readies policy for matching.
func parseOrigins(found *problems, list []string, policy *corsPolicy) {
	const option = "accessControlAllowOriginList"
	wildcards := map[string][]string{}
	for _, value := range entries(found, option, list) {
		if value == "*" {
			policy.any = true
			if policy.credentials {
				found.add(option, value, "any site could act with the user's cookies",
					"list the origins, or leave accessControlAllowCredentials out")
			}
			continue
		}
		o := parseOrigin(value, policy.credentials)
		if len(o.faults) > 0 {
			found.add(option, value, strings.Join(o.faults, "; "), o.mend())
			continue
		}
		if o.wildcard || o.port == "*" {
			start, host := o.pattern()
			wildcards[start] = append(wildcards[start], host)
			continue
		}
		policy.exact[value] = true
	}
	var patterns []string
	for start, hosts := range wildcards {
		// Of sorted hosts the compiler makes a tree. Side by side they would all be tried at
		// each label of whatever origin a stranger sends, which took milliseconds.
		sort.Strings(hosts)
		patterns = append(patterns, start+"("+strings.Join(hosts, "|")+")")
	}
	if len(patterns) > 0 {
		policy.wildcards = regexp.MustCompile(`^(` + strings.Join(patterns, "|") + `)$`)
	}
}

// origin is an entry of accessControlAllowOriginList, with the parts as they
// would be right and the faults that were found in it.
type origin struct {
	scheme   string
	wildcard bool
	host     string // without the wildcard
	port     string // empty for the scheme's default, * for any
	faults   []string
	// advice mends what no other spelling can.
	advice string
}

func (o *origin) hostPort() string {
	if o.port == "" {
		return o.host
	}
	return o.host + ":" + o.port
}

// pattern matches what an origin with a wildcard stands for: how it starts, and the host
// with the port.
func (o *origin) pattern() (string, string) {
	labels, host := "", regexp.QuoteMeta(o.hostPort())
	if o.wildcard {
		labels = anyLabels
	}
	if o.port == "*" {
		host = regexp.QuoteMeta(o.host) + anyPort
	}
	return regexp.QuoteMeta(o.scheme+"://") + labels, host
}

func (o *origin) fault(reason, advice string) {
	o.faults = append(o.faults, reason)
	if o.advice == "" {
		o.advice = advice
	}
}

// mend tells what to write instead: the advice of a fault that needs one, or
// else the origin as it would be right.
func (o *origin) mend() string {
	if o.advice != "" {
		return o.advice
	}
	if o.wildcard {
		return `write "` + o.scheme + "://*." + o.hostPort() + `"`
	}
	return `write "` + o.scheme + "://" + o.hostPort() + `"`
}

// originAdvice is for what is too far from an origin to be put right.
const originAdvice = `write scheme, host and any port that is not the default, like "https://app.example.com:8443"`

// parseOrigin checks one entry against the serialisation that browsers send
// (https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin), the wildcard aside.
func parseOrigin(value string, credentialed bool) *origin {
	o := &origin{}
	switch {
	case value == "null":
		o.fault("null is what every sandboxed or local page sends, an attacker's too", "leave it out")
		return o
	case blank.MatchString(value):
		o.fault("has a blank in it", originAdvice)
		return o
	case nonASCII.MatchString(value):
		o.fault("the host is not ASCII", "write the host in Punycode, as browsers send it: xn--...")
		return o
	}
	if upperCase.MatchString(value) {
		o.fault("browsers send origins in lower case", "")
		value = strings.ToLower(value)
	}
	if scheme, _, _ := strings.Cut(value, ":"); opaqueSchemes[scheme] {
		o.fault("pages of the "+scheme+" scheme have no origin of their own", "serve the page over https and list that origin")
		return o
	}
	scheme, rest, hasScheme := strings.Cut(value, "://")
	switch {
	case !hasScheme && len(parseOrigin("https://"+value, credentialed).faults) == 0:
		o.fault("has no scheme", `write "https://`+value+`"`)
		return o
	case !hasScheme:
		o.fault("has no scheme", originAdvice)
		return o
	case !schemeSyntax.MatchString(scheme):
		o.fault("the scheme is not valid", originAdvice)
		return o
	}
	o.scheme = scheme
	if scheme == "ws" || scheme == "wss" {
		o.fault("a WebSocket carries the origin of the page that opens it", "")
		o.scheme = strings.Replace(scheme, "ws", "http", 1)
	}
	authority := cutTail(o, rest)
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		o.fault("an origin has no user info", "")
		authority = authority[at+1:]
	}
	parseHostPort(o, authority)
	if credentialed && o.scheme == "http" && !isLoopback(o.host) {
		o.fault("with accessControlAllowCredentials, whoever is on the network could read what the cookies open",
			"serve that origin over https, or leave accessControlAllowCredentials out")
	}
	return o
}

// cutTail returns the authority that rest starts with and faults what follows.
func cutTail(o *origin, rest string) string {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		return rest
	}
	tail := rest[end:]
	if tail == "/" {
		o.fault("an origin has no trailing slash", "")
		return rest[:end]
	}
	if tail[0] == '/' {
		o.fault("an origin has no path", "")
	}
	if strings.Contains(tail, "?") {
		o.fault("an origin has no query", "")
	}
	if strings.Contains(tail, "#") {
		o.fault("an origin has no fragment", "")
	}
	return rest[:end]
}

// parseHostPort checks what is left of an origin after its scheme.
func parseHostPort(o *origin, authority string) {
	host, port := authority, ""
	colon := strings.LastIndex(authority, ":")
	if colon > strings.LastIndex(authority, "]") {
		host, port = authority[:colon], authority[colon+1:]
		parsePort(o, port)
	}
	o.host = strings.TrimPrefix(host, "*.")
	o.wildcard = o.host != host
	switch {
	case strings.Contains(o.host, "*"):
		o.fault("* can only stand for whole labels at the start of the host",
			`write "https://*.example.com" for all subdomains, or list the origins`)
	case strings.HasPrefix(o.host, "["):
		parseIP(o, strings.Trim(o.host, "[]"))
	case numeric.MatchString(o.host[strings.LastIndex(o.host, ".")+1:]):
		parseIP(o, o.host)
	default:
		parseDomain(o)
	}
	if o.port == "*" && !isLoopback(o.host) {
		o.fault("only on localhost may a port be *, where development servers take any", "list the ports")
	}
}

func parsePort(o *origin, port string) {
	switch {
	case port == "*":
		o.port = port
	case port == "0":
		o.fault("no server listens on port 0", originAdvice)
	case !isPort(port):
		o.fault("the port is not a number from 1 to 65535", originAdvice)
	case port == defaultPorts[o.scheme]:
		o.fault("browsers leave the default port out", "")
	default:
		o.port = port
	}
}

// isPort reports whether s is a port a server can have, as browsers write it.
func isPort(s string) bool {
	number, err := strconv.Atoi(s)
	return err == nil && portSyntax.MatchString(s) && number <= 65535
}

// parseIP checks that an address is written as browsers do.
func parseIP(o *origin, literal string) {
	addr, err := netip.ParseAddr(literal)
	canonical := ""
	if err == nil && addr.Zone() == "" {
		canonical = addr.String()
		if addr.Is6() {
			canonical = "[" + canonical + "]"
		}
	}
	switch {
	case o.wildcard:
		o.fault("an IP address has no subdomains", "list the addresses")
	case err == nil && addr.Is4In6():
		o.fault("an IPv4 address in an IPv6 one is not supported", "list the IPv4 address")
	case canonical == "":
		o.fault("the host is not an IP address in canonical form", "write it as the browser's address bar shows it")
	case canonical != o.host:
		o.fault("the IP address is not in canonical form", "")
		o.host = canonical
	}
}

// parseDomain checks a host name, and how much its wildcard takes in.
func parseDomain(o *origin) {
	labels := strings.Split(o.host, ".")
	valid := len(o.host) <= 253
	for _, label := range labels {
		valid = valid && labelSyntax.MatchString(label)
	}
	switch {
	case !valid:
		o.fault("the host is not a valid name", originAdvice)
	case o.wildcard && len(labels) < 2 && !isLoopback(o.host):
		o.fault("a wildcard needs two labels after it", "list the origins, or put the wildcard before a domain of your own")
	case o.wildcard && publicSuffixes[o.host]:
		o.fault("anyone can register a name under "+strconv.Quote(o.host), "list the origins, or put the wildcard before a domain of your own")
	}
}

// isLoopback reports whether host never leaves the machine
// (https://w3c.github.io/webappsec-secure-contexts/#is-origin-trustworthy).
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil && addr.IsLoopback()
}

// standardMethods are the methods that are written in upper case. Browsers do
// not fold the case of a method they do not know (https://fetch.spec.whatwg.org/#concept-method-normalize).
var standardMethods = map[string]bool{
	"DELETE": true, "GET": true, "HEAD": true, "OPTIONS": true, "PATCH": true, "POST": true, "PUT": true,
}

// parseMethods checks AccessControlAllowMethods and returns the header's value.
func parseMethods(found *problems, list []string, credentialed bool) string {
	const option = "accessControlAllowMethods"
	methods := parseTokens(found, option, list, credentialed)
	for _, method := range methods {
		upper := strings.ToUpper(method)
		switch {
		case upper == "CONNECT" || upper == "TRACE" || upper == "TRACK":
			found.add(option, method, "is a method that browsers forbid (Fetch, forbidden method)", "remove it")
		case method != upper && standardMethods[upper]:
			found.add(option, method, "methods are compared with their case", `write "`+upper+`"`)
		}
	}
	return strings.Join(methods, ", ")
}

// parseHeaders checks a list of header names and returns the header's value.
func parseHeaders(found *problems, option string, list []string, credentialed bool) string {
	return strings.Join(parseTokens(found, option, list, credentialed), ", ")
}

// parseTokens returns the entries of list that are tokens (RFC 9110, section
// 5.6.2).
func parseTokens(found *problems, option string, list []string, credentialed bool) []string {
	var tokens []string
	for _, value := range entries(found, option, list) {
		switch {
		case strings.Contains(value, ","):
			found.add(option, value, "an entry holds one name", "write each name as an entry of its own")
		case !token.MatchString(value):
			found.add(option, value, "is not a token (RFC 9110, section 5.6.2)", "write the name as it stands in a request, without blanks")
		case value == "*" && credentialed:
			found.add(option, value, "with accessControlAllowCredentials, browsers take * for a name", "list the names")
		default:
			tokens = append(tokens, value)
		}
	}
	return tokens
}
