package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/traefik-reauth/reauth/e2e/stand"
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
				t.Run(host+path, func(t *testing.T) { expectStreamed(t, streamClient(t, p, host), path, true) })
			}
		}
	})
}

// expectStreamed reads a stream of the probe's event by event. Unless its head
// comes alone, a first event goes out before that is read.
func expectStreamed(t *testing.T, c *visitor.Visitor, path string, headAlone bool) {
	t.Helper()
	stream := app.stream(t.Name())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req := visitor.Request(t, "GET", c.URL(path), "", fetch...).WithContext(ctx)
	req.URL.RawQuery = "id=" + t.Name()
	if !headAlone {
		go func() {
			select {
			case stream <- "":
			case <-ctx.Done():
			}
		}()
	}
	res, err := c.Open(req, false)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	var slowest time.Duration
	for i := range 20 {
		sent, event := time.Now(), fmt.Sprint("event ", i)
		select {
		case stream <- event:
		case <-ctx.Done():
			t.Fatalf("nobody took %q", event)
		}
		for lines.Scan() && strings.TrimPrefix(lines.Text(), "data: ") == "" {
		}
		if got := strings.TrimPrefix(lines.Text(), "data: "); got != event {
			t.Fatalf("read %q after %q was sent: %v", got, event, lines.Err())
		}
		slowest = max(slowest, time.Since(sent))
	}
	app.end(t.Name())
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Error(err)
	}
	t.Logf("slowest of 20 events: %s", slowest.Round(10*time.Microsecond))
}

func TestWebSocketEcho(t *testing.T) {
	for _, p := range []protocol{overHTTP1, overTLS1} {
		for _, host := range streamHosts {
			t.Run(p.name+" "+host, func(t *testing.T) { expectEcho(t, streamClient(t, p, host)) })
		}
	}
}

// expectEcho sends messages to the probe's WebSocket and reads them back.
func expectEcho(t *testing.T, c *visitor.Visitor) {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: stand.Dial, TLSClientConfig: c.Transport.TLSClientConfig.Clone(), Jar: c.Jar, HandshakeTimeout: 20 * time.Second}
	header := http.Header{"Sec-Fetch-Mode": {"websocket"}, "Origin": {c.URL("")}}
	conn, _, err := dialer.DialContext(t.Context(), strings.Replace(c.URL("/ws"), "http", "ws", 1), header)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		want := strings.Repeat("echo ", 1+i*100)
		if err := conn.WriteMessage(websocket.TextMessage, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.ReadMessage(); err != nil || string(got) != want {
			t.Fatalf("message %d came back as %.40q, %v", i, got, err)
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
		c := newClient(t, overHTTP1, host)
		c.Enter()
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
	req := visitor.Request(t, "POST", c.URL("/up"), "", append([]string{"Content-Type: application/octet-stream"}, fetch...)...)
	req.Body, req.ContentLength = io.NopCloser(io.LimitReader(zeros{}, size)), size
	if res := c.Do(req, false); res.Text != strconv.FormatInt(size, 10) {
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
