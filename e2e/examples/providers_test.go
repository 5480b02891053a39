package examples

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/traefik-reauth/reauth/e2e/oidc"
	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/standin"
)

// The app of the examples for forward-auth servers, and the OpenID provider behind one.
const (
	appURL = "https://app.example.com"
	issuer = "https://sso.example.com"
)

// forwardAuth is a forward-auth server with its examples.
type forwardAuth struct {
	// name is that of the examples, of their option and of their service.
	name string
	// port is where it listens, and path what Traefik asks there.
	port, path string
	// routers are those of the examples. The second, if any, leads to the server.
	routers []string
	// settings are the first that the scripts of workers are given, and silent the next.
	settings string
	silent   bool
	// field is the header by which the app knows the user.
	field string
	// cookie is that of its session, for a domain or for the app's host alone.
	cookie, domain string
	// start starts it until the test ends, as its container says if there is one. It
	// returns its URL, and the beginning of those of its login.
	start func(t *testing.T, container *types.ServiceConfig) (server, login string)
}

var forwardAuths = []forwardAuth{
	{
		name: "oauth2-proxy", port: "4180", path: "/",
		routers:  []string{"app", "oauth2"},
		settings: `"/_reauth",["/oauth2"],"/oauth2/start",`, silent: true,
		field: "X-Auth-Request-User", cookie: oidc.SessionCookie, start: startProxy,
	},
	{
		name: "authelia", port: "9091", path: "/api/authz/forward-auth",
		routers:  []string{"app", "authelia"},
		settings: `"/_reauth",[],"",`,
		field:    "Remote-User", cookie: standin.AutheliaCookie, domain: "example.com",
		start: serve(func(t *testing.T) (http.Handler, string) { return standin.Authelia{URL: authURL}, authURL }),
	},
	{
		name: "tinyauth", port: "3000", path: "/api/auth/traefik",
		routers:  []string{"app", "tinyauth"},
		settings: `"/_reauth",[],"",`,
		field:    "Remote-User", cookie: standin.TinyauthCookie, domain: "example.com",
		start: serve(func(t *testing.T) (http.Handler, string) { return standin.Tinyauth{URL: authURL}, authURL + "/login" }),
	},
	{
		name: "traefik-forward-auth", port: "4181",
		routers:  []string{"app"},
		settings: `"/_reauth",["/_oauth"],"",`, silent: true,
		field: "X-Forwarded-User", cookie: standin.ForwardAuthCookie,
		start: serve(func(t *testing.T) (http.Handler, string) {
			login := probe.Serve(t, standin.Provider{}) + "/auth"
			return standin.ForwardAuth{LoginURL: login}, login
		}),
	},
}

// serve starts a stand-in.
func serve(standIn func(*testing.T) (http.Handler, string)) func(*testing.T, *types.ServiceConfig) (string, string) {
	return func(t *testing.T, _ *types.ServiceConfig) (string, string) {
		handler, login := standIn(t)
		return probe.Serve(t, handler), login
	}
}

// startProxy starts the real oauth2-proxy with the arguments and the variables of its
// container, and the provider that it asks.
func startProxy(t *testing.T, container *types.ServiceConfig) (server, login string) {
	t.Helper()
	dir := t.TempDir()
	sso, err := oidc.StartProvider(dir, issuer, []string{appURL + "/oauth2/callback"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sso.Stop(); err != nil {
			t.Error(err)
		}
	})
	var proxy *oidc.Proxy
	// Browsers go to the provider past Traefik. By its own name nobody finds it here.
	endpoints := oidc.Endpoints(sso.URL, sso.URL)
	if container == nil {
		proxy, err = oidc.StartProxy(dir, "oauth2-proxy", issuer, sso.URL, endpoints...)
	} else {
		var env []string
		for name, value := range container.Environment {
			env = append(env, name+"="+*value)
		}
		proxy, err = oidc.RunProxy(dir, "oauth2-proxy", env, adapt(t, container.Command, map[string][]string{
			"--http-address=0.0.0.0:4180": endpoints,
		})...)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(proxy.Log())
		}
		if err := proxy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return proxy.URL, sso.URL + "/auth"
}

// TestProviders runs the examples of each provider.
func TestProviders(t *testing.T) {
	for _, f := range forwardAuths {
		t.Run(f.name+", file", f.testFile)
		t.Run(f.name+", docker", f.testDocker)
	}
}

// serveApp serves an app that says who the user is until the test ends, and returns
// its URL.
func (f forwardAuth) serveApp(t *testing.T) string {
	var app probe.App
	mux := http.NewServeMux()
	mux.Handle("/", app.Handler())
	mux.HandleFunc("/user", func(rw http.ResponseWriter, req *http.Request) { _, _ = io.WriteString(rw, req.Header.Get(f.field)) })
	return probe.Serve(t, mux)
}

func (f forwardAuth) testFile(t *testing.T) {
	server, login := f.start(t, nil)
	const host = "http://127.0.0.1:"
	changes := map[string]string{
		"url: " + host + "8080":              "url: " + f.serveApp(t),
		"address: " + host + f.port + f.path: "address: " + server + f.path,
	}
	if len(f.routers) > 1 {
		changes["url: "+host+f.port] = "url: " + server
	}
	traefik, b := startFile(t, "traefik.yml", replace(t, readExample(t, filepath.Join("file", f.name+".yml")), changes))
	f.check(t, traefik, b, "file", login)
}

// dockerFile returns the path of an example for Docker.
func (f forwardAuth) dockerFile() string {
	return filepath.Join(examplesDir(), "docker", f.name+".yml")
}

// env returns something for each variable that the example for Docker asks for.
func (f forwardAuth) env(t *testing.T) map[string]string {
	t.Helper()
	known := map[string]string{
		"DOMAIN": "example.com", "EMAIL_DOMAIN": "example.com", "OIDC_ISSUER_URL": issuer,
		"OIDC_CLIENT_ID": "oauth2-proxy", "OIDC_CLIENT_SECRET": "oauth2-proxy", "COOKIE_SECRET": strings.Repeat("0f", 16),
	}
	env := map[string]string{}
	for _, found := range regexp.MustCompile(`\$\{(\w+)`).FindAllStringSubmatch(readFile(t, f.dockerFile()), -1) {
		name := found[1]
		if env[name] = known[name]; env[name] == "" {
			env[name] = "of-" + strings.ToLower(name)
		}
	}
	return env
}

func (f forwardAuth) testDocker(t *testing.T) {
	project, err := loadCompose(t.Context(), f.dockerFile(), f.env(t))
	if err != nil {
		t.Fatal(err)
	}
	container := project.Services[f.name]
	server, login := f.start(t, &container)
	// Containers have their ports to themselves, and names in their network.
	app := project.Services["app"].Labels
	set(t, app, "traefik.http.services.app.loadbalancer.server.port", "80", port(t, f.serveApp(t)))
	set(t, app, "traefik.http.middlewares."+f.name+".forwardauth.address", "http://"+f.name+":"+f.port+f.path, server+f.path)
	if len(f.routers) > 1 {
		set(t, container.Labels, "traefik.http.services."+f.name+".loadbalancer.server.port", f.port, port(t, server))
	}
	traefik, b, _ := startCompose(t, project, startDocker(t, project))
	f.check(t, traefik, b, "docker", login)
}

// check checks what an installation has to do for the app at appURL.
func (f forwardAuth) check(t *testing.T, traefik *stand.Traefik, b *client, provider, login string) {
	t.Helper()
	var routers []string
	for _, name := range f.routers {
		routers = append(routers, name+"@"+provider)
	}
	if err := traefik.AwaitRouters(t.Context(), routers...); err != nil {
		t.Fatal(err)
	}
	expect := func(what string, ok bool, res response) {
		t.Helper()
		if !ok {
			t.Errorf("%s: %s: got %s", what, res.Request.URL, res)
		}
	}
	isForm := func(res response) bool {
		return res.StatusCode == http.StatusOK && strings.Contains(res.Text, `name="password"`)
	}
	json := []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: application/json"}
	refused := func(when string) {
		t.Helper()
		for _, headers := range [][]string{fetch, json} {
			for _, method := range []string{"GET", "POST"} {
				res := b.Send(method, appURL+"/sync/sync", "", headers...)
				expect(when+", a call is challenged", res.IsChallenge(), res)
			}
			res := b.Send("GET", appURL+"/_reauth?probe", "", headers...)
			expect(when+", the probe says so", res.StatusCode == http.StatusOK && res.Text == `{"active":false}`, res)
		}
		res := b.Send("GET", appURL+"/sw.js", "", forWorker...)
		expect(when+", the recovery script comes in place of the app's",
			strings.HasSuffix(res.Text, fmt.Sprintf("(%s%v,true);", f.settings, f.silent)), res)
	}
	good := func(when string) {
		t.Helper()
		for _, headers := range [][]string{fetch, json} {
			res := b.Send("POST", appURL+"/sync/sync", "edits", headers...)
			expect(when+", a call reaches the app", res.StatusCode == http.StatusOK && res.Text == "synced edits", res)
			res = b.Send("GET", appURL+"/_reauth?probe", "", headers...)
			expect(when+", the probe says so", res.StatusCode == http.StatusOK && res.Text == `{"active":true}`, res)
		}
		res := b.Send("GET", appURL+"/sw.js", "", forWorker...)
		expect(when+", the refresh script goes in front of the app's",
			strings.HasSuffix(res.Text, fmt.Sprintf("(%s%v,false);%s", f.settings, f.silent, script)), res)
	}

	refused("without a session")
	res := b.Send("GET", appURL+"/budget", "", navigation...)
	expect("without a session, a visit goes to the login", strings.HasPrefix(res.Header.Get("Location"), login+"?") || strings.HasPrefix(res.Header.Get("Location"), login+"/?"), res)

	res = b.LogIn(appURL + "/budget?month=1")
	expect("a login comes back", res.StatusCode == http.StatusOK && res.Request.URL.String() == appURL+"/budget?month=1" && strings.Contains(res.Text, "page /budget"), res)
	good("logged in")
	res = b.Send("GET", appURL+"/user", "", fetch...)
	expect("the app is told who it is", strings.HasPrefix(res.Text, standin.User), res)
	res = b.Send("GET", appURL+"/openid", "", fetch...)
	expect("the app's own login passes", res.StatusCode == http.StatusFound, res)
	res = b.Send("GET", appURL+"/unauthorized", "", fetch...)
	expect("the app's own 401 passes", res.StatusCode == http.StatusUnauthorized && !res.IsChallenge(), res)
	if strings.Contains(traefik.Log(), "cannot tell for certain") {
		t.Error("what was refused is not known for certain")
	}

	if b.Cookie(appURL, f.cookie) == "" {
		t.Fatal("there was no session to expire")
	}
	app, err := url.Parse(appURL)
	if err != nil {
		t.Fatal(err)
	}
	b.Jar.SetCookies(app, []*http.Cookie{{Name: f.cookie, Path: "/", Domain: f.domain, MaxAge: -1}})
	refused("expired")
	res = b.Visit(appURL+"/_reauth", fetch...)
	if f.silent {
		expect("the refresh path renews the session without a login", res.StatusCode == http.StatusNoContent, res)
	} else {
		expect("a renewal ends at the login", isForm(res), res)
		res = b.LogIn(appURL + "/_reauth?rd=%2Fbudget%23now")
		expect("a trip through the login comes back", res.StatusCode == http.StatusOK && res.Request.URL.String() == appURL+"/budget#now", res)
	}
	good("renewed")
}

// TestDockerExamplesArePinnedAndKeepToThemselves looks at what no request tells.
func TestDockerExamplesArePinnedAndKeepToThemselves(t *testing.T) {
	reference, err := loadCompose(t.Context(), composeFile(), filledEnv(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range forwardAuths {
		t.Run(f.name, func(t *testing.T) {
			for name := range f.env(t) {
				env := f.env(t)
				delete(env, name)
				if _, err := loadCompose(t.Context(), f.dockerFile(), env); err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("%s is missing: %v", name, err)
				}
			}
			project, err := loadCompose(t.Context(), f.dockerFile(), f.env(t))
			if err != nil {
				t.Fatal(err)
			}
			for name, service := range project.Services {
				if !regexp.MustCompile(`:v?\d+\.\d+(\.\d+)*$`).MatchString(service.Image) {
					t.Errorf("%s is not pinned: %s", name, service.Image)
				}
				if len(service.Ports) > 0 && name != "traefik" {
					t.Errorf("%s is reachable past Traefik", name)
				}
			}
			if image := reference.Services["traefik"].Image; project.Services["traefik"].Image != image {
				t.Errorf("Traefik is another one than %s", image)
			}
		})
	}
}
