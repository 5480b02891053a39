package examples

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	kube "k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"github.com/traefik-reauth/reauth/e2e/stand"
)

// cluster is a Kubernetes without nodes: an API server and the etcd it keeps
// its objects in.
type cluster struct {
	url         string
	certificate string // file
	token       string // file
	server      *stand.Process
	objects     *kube.DynamicClient
	mapper      *restmapper.DeferredDiscoveryRESTMapper
}

// startCluster starts a cluster that ends with the test. controller-runtime's
// envtest would take half the lines, but its programs outlive a test that is killed,
// it keeps their logs to itself, and one that ends early is none of its errors.
func startCluster(t *testing.T, identity identity) *cluster {
	t.Helper()
	dir := t.TempDir()
	ports, release, err := stand.HoldPorts(2)
	if err != nil {
		t.Fatal(err)
	}
	etcdURL, peerURL := "http://"+address(ports[0]), "http://"+address(ports[1])
	release()
	etcd := startProgram(t, dir, "etcd",
		"--data-dir="+filepath.Join(dir, "etcd"),
		"--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
		"--listen-peer-urls="+peerURL, "--initial-advertise-peer-urls="+peerURL,
		"--initial-cluster=default="+peerURL,
		"--unsafe-no-fsync",
	)
	if err := etcd.Await(t.Context(), answersOK(t, http.DefaultClient, etcdURL+"/health")); err != nil {
		t.Fatal(err)
	}

	if ports, release, err = stand.HoldPorts(1); err != nil {
		t.Fatal(err)
	}
	c := &cluster{url: "https://" + address(ports[0]), certificate: identity.certificate, token: filepath.Join(dir, "token")}
	token := rand.Text()
	writeFile(t, c.token, token)
	tokens := filepath.Join(dir, "tokens.csv")
	writeFile(t, tokens, token+",test,test,system:masters\n")
	release()
	c.server = startProgram(t, dir, "kube-apiserver",
		"--etcd-servers="+etcdURL,
		"--bind-address=127.0.0.1", "--secure-port="+strconv.Itoa(ports[0]),
		"--tls-cert-file="+identity.certificate, "--tls-private-key-file="+identity.key,
		"--service-account-issuer="+c.url,
		"--service-account-key-file="+identity.certificate, "--service-account-signing-key-file="+identity.key,
		"--service-cluster-ip-range=10.0.0.0/24",
		"--token-auth-file="+tokens, "--authorization-mode=AlwaysAllow", "--anonymous-auth=false",
		// Each kind's cache would make its first reader wait for a second.
		"--watch-cache=false",
		// It would publish the address it is reached at, which may not be loopback.
		"--endpoint-reconciler-type=none",
	)
	config := &rest.Config{
		Host: c.url, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAFile: c.certificate},
		QPS: -1, // as fast as the server can
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.server.Await(t.Context(), answersOK(t, client, c.url+"/readyz")); err != nil {
		t.Fatal(err)
	}
	discoverer, err := discovery.NewDiscoveryClientForConfigAndClient(config, client)
	if err != nil {
		t.Fatal(err)
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(discoverer))
	if c.objects, err = kube.NewForConfigAndClient(config, client); err != nil {
		t.Fatal(err)
	}
	return c
}

// create creates the objects of manifests, in their order. As with kubectl, a
// field that the API does not know is an error.
func (c *cluster) create(ctx context.Context, manifests string, dryRun ...string) error {
	options := metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict, DryRun: dryRun}
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifests)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			return err
		}
		if string(text) == "null" {
			continue // comments alone
		}
		var object unstructured.Unstructured
		if err := object.UnmarshalJSON(text); err != nil {
			return err
		}
		kind := object.GroupVersionKind()
		mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return err
		}
		resource := kube.ResourceInterface(c.objects.Resource(mapping.Resource))
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			resource = c.objects.Resource(mapping.Resource).Namespace(object.GetNamespace())
		}
		if _, err := resource.Create(ctx, &object, options); err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
}

// define creates resource definitions and waits until what they define is there.
func (c *cluster) define(t *testing.T, manifests string) {
	t.Helper()
	if err := c.create(t.Context(), manifests); err != nil {
		t.Fatal(err)
	}
	definitions := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	err := c.server.Await(t.Context(), func() error {
		list, err := c.objects.Resource(definitions).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		c.mapper.Reset()
		for _, definition := range list.Items {
			group, _, err := unstructured.NestedString(definition.Object, "spec", "group")
			if err != nil {
				return err
			}
			kind, _, err := unstructured.NestedString(definition.Object, "spec", "names", "kind")
			if err != nil {
				return err
			}
			if _, err := c.mapper.RESTMapping(schema.GroupKind{Group: group, Kind: kind}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// identity is a certificate for example.com, its subdomains and 127.0.0.1.
type identity struct {
	*x509.Certificate
	certificate, key string // files
}

// newIdentity writes the certificate that httptest has for its servers.
func newIdentity(t *testing.T) identity {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	id := identity{server.Certificate(), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	writeFile(t, id.certificate, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Raw})))
	writeFile(t, id.key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	return id
}

// startProgram starts a program of e2e/bin that runs until the end of the test.
func startProgram(t *testing.T, dir, name string, args ...string) *stand.Process {
	t.Helper()
	binary := filepath.Join(stand.Root(), "bin", name)
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("%s is not built: run make e2e: %v", name, err)
	}
	process, err := stand.Run(exec.Command(binary, args...), dir, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Stop(); err != nil {
			t.Error(err)
		}
	})
	return process
}

// answersOK returns a check for a URL that answers 200.
func answersOK(t *testing.T, client *http.Client, url string) func() error {
	return func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, res.Status)
		}
		return nil
	}
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
