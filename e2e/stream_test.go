package e2e

import (
	"fmt"
	"io"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/probe"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// streamHosts are the ways a response may take: without anything, through
// forwardAuth, and through the plugin with and without CORS.
var streamHosts = []string{bareHost, plainHost, appHost, corsHost}

// streamClient returns a client that one of streamHosts lets in.
func streamClient(t *testing.T, p protocol, host string) *visitor.Visitor {
	t.Helper()
	c := newClient(t, p, host)
	if host != bareHost {
		c.Enter()
	}
	return c
}

// TestStreamsReachTheClientAsSent sends one event at a time and the next only
// when the client has read it: whatever holds an event back ends the test.
func TestStreamsReachTheClientAsSent(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		for _, path := range []string{"/events", "/chunks"} {
			for _, host := range streamHosts {
				t.Run(host+path, func(t *testing.T) { app.ExpectStreamed(t, streamClient(t, p, host), path, true) })
			}
		}
	})
}

func TestWebSocketEcho(t *testing.T) {
	for _, p := range []protocol{overHTTP1, overTLS1} {
		for _, host := range streamHosts {
			t.Run(p.name+" "+host, func(t *testing.T) { probe.ExpectEcho(t, streamClient(t, p, host)) })
		}
	}
}

func TestEarlyHintsAndTrailersPass(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		for _, host := range streamHosts {
			c := streamClient(t, p, host)
			var hints []string
			req := visitor.Request(t, "GET", c.URL("/hints"), "", append([]string{"Origin: " + listedOrigin}, fetch...)...)
			req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
					hints = append(hints, fmt.Sprint(code, " ", header.Get("Link"), header.Get("Access-Control-Allow-Origin"), header.Get("Vary")))
					return nil
				},
			}))
			if res := c.Do(req, false); res.Text != "hinted" || strings.Join(hints, "|") != "103 </a.css>; rel=preload; as=style" {
				t.Errorf("%s: hints %q, then %s", host, hints, res)
			}
			if res := c.Send("GET", "/trailers", "", fetch...); res.Trailer.Get("X-Announced") != "1" || res.Trailer.Get("X-Unannounced") != "2" {
				t.Errorf("%s: trailers %v after %s", host, res.Trailer, res)
			}
		}
	})
}

// TestLargeBodiesAreNotBuffered moves 200 MB each way and looks how far
// Traefik's memory rises over what it was: less than a quarter of that.
func TestLargeBodiesAreNotBuffered(t *testing.T) {
	const size, limit = 200 << 20, 50 << 20
	for _, host := range []string{appHost, corsHost} {
		c := newClient(t, overHTTP1, host).Enter()
		// A first transfer grows the pools of buffers, once.
		transfer(t, c, 1<<20)
		before := resetPeakMemory(t)
		transfer(t, c, size)
		growth := peakMemory(t) - before
		t.Logf("%s: 200 MB each way, peak memory %+.1f MB", host, float64(growth)/(1<<20))
		if growth > limit {
			t.Errorf("%s: Traefik grew by %d bytes", host, growth)
		}
	}
}

func transfer(t *testing.T, c *visitor.Visitor, size int64) {
	t.Helper()
	res, err := c.Open(visitor.Request(t, "GET", c.URL("/down?size="+strconv.FormatInt(size, 10)), "", fetch...), false)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
		t.Fatalf("read %d of %d bytes: %v", n, size, err)
	}
	if res := probe.Upload(c, size, "Content-Type: application/octet-stream"); res.Text != strconv.FormatInt(size, 10) {
		t.Fatalf("of %d bytes sent: %s", size, res)
	}
}

var peakLine = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMemory returns the most that Traefik has held in memory, in bytes.
func peakMemory(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", shared.PID()))
	if err != nil {
		t.Fatal(err)
	}
	found := peakLine.FindSubmatch(status)
	if found == nil {
		t.Fatalf("no peak in %s", status)
	}
	kilobytes, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// resetPeakMemory makes what Traefik holds now its peak, and returns it.
func resetPeakMemory(t *testing.T) int64 {
	t.Helper()
	// 5 resets the peak, says proc_pid_clear_refs(5).
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", shared.PID()), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	return peakMemory(t)
}
