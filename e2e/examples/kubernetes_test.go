package examples

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/traefik-reauth/reauth/e2e/authentik"
	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/stand"
)

// surroundings are what the example expects to find in a cluster. There are no
// nodes, so the Services of the app and of Authentik lead to loopback: endpoints
// there are refused as IP addresses, and taken as names.
const surroundings = `
apiVersion: v1
kind: Namespace
metadata: {name: actual}
---
apiVersion: v1
kind: Namespace
metadata: {name: authentik}
---
apiVersion: v1
kind: Secret
metadata: {name: budget-example-com, namespace: actual}
type: kubernetes.io/tls
stringData: {tls.crt: %q, tls.key: %q}
---
apiVersion: v1
kind: Service
metadata: {name: actual, namespace: actual}
spec: {ports: [{name: http, port: 5006}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: actual, namespace: actual, labels: {kubernetes.io/service-name: actual}}
addressType: FQDN
endpoints: [{addresses: [127.0.0.1]}]
ports: [{name: http, port: %s}]
---
apiVersion: v1
kind: Service
metadata: {name: authentik-server, namespace: authentik}
spec: {ports: [{name: http, port: 80}, {name: https, port: 443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: authentik-server, namespace: authentik, labels: {kubernetes.io/service-name: authentik-server}}
addressType: FQDN
endpoints: [{addresses: [127.0.0.1]}]
ports: [{name: http, port: %s}]
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: authentik, namespace: authentik}
spec:
  entryPoints: [websecure]
  routes: [{kind: Rule, match: "Host(` + "`" + authHost + "`" + `)", services: [{name: authentik-server, port: 80}]}]
  tls: {}
`

// definitions returns the resource definitions of the Traefik that is tested.
func definitions(t *testing.T) string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/traefik/traefik/v3")
	list.Dir = stand.Root()
	dir, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	return readFile(t, filepath.Join(strings.TrimSpace(string(dir)),
		"docs", "content", "reference", "dynamic-configuration", "kubernetes-crd-definition-v1.yml"))
}

// TestKubernetes applies the example to a real API server, which refuses what
// Traefik's definitions do not know, and has the real Traefik read it there.
func TestKubernetes(t *testing.T) {
	id := newIdentity(t)
	c := startCluster(t, id)
	c.define(t, definitions(t))
	create := func(manifests string) {
		t.Helper()
		if err := c.create(t.Context(), manifests); err != nil {
			t.Fatal(err)
		}
	}
	idp, idpURL := newAuthentik(t,
		authentik.App{ExternalHost: budgetURL, AuthURL: authURL},
		authentik.App{ExternalHost: forwardedURL, AuthURL: authURL})
	upstream := probe.ServeApp(t)
	create(fmt.Sprintf(surroundings, readFile(t, id.certificate), readFile(t, id.key), port(t, upstream), port(t, idpURL)))

	// No name server knows the names that Services have in a cluster.
	middlewares := replace(t, readExample(t, "kubernetes/middlewares.yaml"),
		map[string]string{"http://authentik-server.authentik.svc.cluster.local/": idpURL + "/"})
	routes := readExample(t, "kubernetes/ingressroute.yaml")
	t.Run("misspelt", func(t *testing.T) {
		for _, tt := range []struct{ manifests, field, misspelt string }{
			{middlewares, "trustForwardHeader", "trustForwardHeaders"},
			{middlewares, "plugin", "plugins"},
			{routes, "secretName", "secret"},
			{routes, "priority", "prio"},
		} {
			err := c.create(t.Context(), replace(t, tt.manifests, map[string]string{tt.field + ":": tt.misspelt + ":"}), metav1.DryRunAll)
			if err == nil || !strings.Contains(err.Error(), `unknown field "spec.`) || !strings.Contains(err.Error(), tt.misspelt+`"`) {
				t.Errorf("%s: %v", tt.misspelt, err)
			}
		}
	})
	create(middlewares)
	create(routes)

	values := readExample(t, "kubernetes/helm-values.yaml")
	b := startChart(t, c, values)
	// The example lets Authentik believe what Traefik forwards, so Traefik must
	// not forward what just anybody says.
	t.Run("forwarded by anybody", func(t *testing.T) {
		checkReturn(t, b, budgetURL)
	})
	t.Run("promises", func(t *testing.T) {
		promises{authentik: idp, login: authorizeURL, page: page, script: script}.check(t, b)
		res := b.Send("GET", budgetURL+"/whoami", "", navigation...)
		if res.Text != authentik.Username {
			t.Errorf("the app takes the user for %q", res.Text)
		}
		if !res.TLS.PeerCertificates[0].Equal(id.Certificate) {
			t.Error("the certificate is not the one that the example names")
		}
	})
	t.Run("forwarded by a trusted proxy", func(t *testing.T) {
		trusting := startChart(t, c, replace(t, values, map[string]string{"192.0.2.10/32": "127.0.0.1/32"}))
		checkReturn(t, trusting, forwardedURL)
	})
}

// What a proxy in front of Traefik may say the browser asked for.
const (
	forwardedHost = "forwarded.example.com"
	forwardedURL  = "https://" + forwardedHost
)

// checkReturn visits the app as such a proxy does, and checks which host the
// login would come back to.
func checkReturn(t *testing.T, b *client, external string) {
	t.Helper()
	res := b.Send("GET", budgetURL+"/", "", slices.Concat(navigation, []string{"X-Forwarded-Proto: https", "X-Forwarded-Host: " + forwardedHost})...)
	location, err := res.Location()
	if err != nil || !strings.HasPrefix(location.Query().Get("redirect_uri"), external+"/outpost.goauthentik.io/callback?") {
		t.Errorf("got %s to %s, not back to %s", res.Status, res.Header.Get("Location"), external)
	}
}

// startChart starts Traefik as its chart does with values, and returns a client
// that finds it once it has the routes of the example.
func startChart(t *testing.T, c *cluster, values string) *client {
	t.Helper()
	traefik, b := startTraefik(t, func(s setup) []string {
		args := adapt(t, chartArgs(t, values), map[string][]string{
			"--entryPoints.web.address=:8000/tcp":                       {"--entryPoints.web.address=" + address(s.web)},
			"--entryPoints.websecure.address=:8443/tcp":                 {"--entryPoints.websecure.address=" + address(s.websecure)},
			"--entryPoints.traefik.address=:8080/tcp":                   {"--entryPoints.traefik.address=" + address(s.api)},
			"--entryPoints.web.http.redirections.entryPoint.to=:443":    {"--entryPoints.web.http.redirections.entryPoint.to=:" + strconv.Itoa(s.websecure)},
			"--experimental.plugins.reauth.moduleName=" + stand.Module:  {"--experimental.localPlugins.reauth.moduleName=" + stand.Module},
			"--experimental.plugins.reauth.version=" + pluginVersion(t): nil,
		})
		// What a pod finds by itself.
		args = append(args,
			"--providers.kubernetesCRD.endpoint="+c.url,
			"--providers.kubernetesCRD.certAuthFilePath="+c.certificate,
			"--providers.kubernetesCRD.token="+c.token)
		return append(args, watching...)
	})
	checkRouters(t, traefik)
	return b
}

// chartArgs returns the arguments that Traefik's chart makes of values, told from
// its schema and templates, which no Go module brings along. It knows the names of
// the values in the example, from 39.0 of the chart on, and refuses others.
func chartArgs(t *testing.T, text string) []string {
	t.Helper()
	type port struct {
		HTTP struct {
			Redirections struct {
				EntryPoint struct {
					To, Scheme string
				} `yaml:"entryPoint"`
			}
		}
		ForwardedHeaders struct {
			TrustedIPs []string `yaml:"trustedIPs"`
		} `yaml:"forwardedHeaders"`
	}
	var values struct {
		Experimental struct {
			Plugins map[string]struct {
				ModuleName string `yaml:"moduleName"`
				Version    string
			}
		}
		Ports struct{ Web, Websecure port }
	}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&values); err != nil {
		t.Fatal(err)
	}

	// What the chart sets for everyone, as far as it matters here.
	args := []string{
		"--entryPoints.traefik.address=:8080/tcp",
		"--entryPoints.web.address=:8000/tcp",
		"--entryPoints.websecure.address=:8443/tcp",
		"--entryPoints.websecure.http.tls=true",
		"--providers.kubernetescrd",
	}
	for name, plugin := range values.Experimental.Plugins {
		prefix := "--experimental.plugins." + name
		args = append(args, prefix+".moduleName="+plugin.ModuleName, prefix+".version="+plugin.Version)
	}
	exposed := map[string]string{"web": "80", "websecure": "443"}
	for name, port := range map[string]port{"web": values.Ports.Web, "websecure": values.Ports.Websecure} {
		prefix := "--entryPoints." + name
		if to := port.HTTP.Redirections.EntryPoint; to.To != "" {
			prefix := prefix + ".http.redirections.entryPoint"
			args = append(args, prefix+".to=:"+exposed[to.To], prefix+".scheme="+to.Scheme)
		}
		if trusted := port.ForwardedHeaders.TrustedIPs; len(trusted) > 0 {
			args = append(args, prefix+".forwardedHeaders.trustedIPs="+strings.Join(trusted, ","))
		}
	}
	return args
}

// router is what Traefik tells of one.
type router struct {
	Status, Rule, Provider string
	EntryPoints            []string
	Middlewares, Error     []string
	Priority               int
}

// checkRouters waits until Traefik has read the cluster, and checks what it has
// made of the example.
func checkRouters(t *testing.T, traefik *stand.Traefik) {
	t.Helper()
	got := map[string]router{}
	err := traefik.Await(t.Context(), func() error {
		var all []router
		if err := traefik.API(t.Context(), "/api/http/routers", &all); err != nil {
			return err
		}
		for _, r := range all {
			if r.Provider == "kubernetescrd" {
				got[r.Rule] = r
			}
		}
		if len(got) == 0 {
			return errors.New("it has no routers yet")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	const rule = "Host(`" + budgetHost + "`)"
	for _, want := range []router{
		{Rule: rule, Priority: len(rule), Middlewares: []string{"actual-reauth@kubernetescrd", "actual-authentik@kubernetescrd"}},
		{Rule: rule + " && PathPrefix(`/outpost.goauthentik.io/`)", Priority: 1000},
	} {
		want.Status, want.Provider, want.EntryPoints = "enabled", "kubernetescrd", []string{"websecure"}
		if !reflect.DeepEqual(got[want.Rule], want) {
			t.Errorf("router %+v, want %+v", got[want.Rule], want)
		}
	}
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
