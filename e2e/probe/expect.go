package probe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/traefik-reauth/reauth/e2e/stand"
	"github.com/traefik-reauth/reauth/e2e/visitor"
)

// ExpectStreamed reads a stream of the app's event by event. Unless its head
// comes alone, a first event goes out before that is read.
func (a *App) ExpectStreamed(t *testing.T, v *visitor.Visitor, path string, headAlone bool) {
	t.Helper()
	stream := a.stream(t.Name())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req := visitor.Request(t, "GET", v.URL(path), "", visitor.Fetch...).WithContext(ctx)
	req.URL.RawQuery = "id=" + t.Name()
	if !headAlone {
		go func() {
			select {
			case stream <- "":
			case <-ctx.Done():
			}
		}()
	}
	res, err := v.Open(req, false)
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
	a.end(t.Name())
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Error(err)
	}
	t.Logf("slowest of 20 events: %s", slowest.Round(10*time.Microsecond))
}

// ExpectEcho sends messages to the app's WebSocket and reads them back.
func ExpectEcho(t *testing.T, v *visitor.Visitor) {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: stand.Dial, TLSClientConfig: v.Transport.TLSClientConfig.Clone(), Jar: v.Jar, HandshakeTimeout: 20 * time.Second}
	header := http.Header{"Sec-Fetch-Mode": {"websocket"}, "Origin": {v.URL("")}}
	conn, _, err := dialer.DialContext(t.Context(), strings.Replace(v.URL("/ws"), "http", "ws", 1), header)
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

// Upload sends so many bytes to the app, which answers with their number.
func Upload(v *visitor.Visitor, size int64, headers ...string) visitor.Response {
	v.T.Helper()
	req := visitor.Request(v.T, "POST", v.URL("/up"), "", append(headers, visitor.Fetch...)...)
	req.Body, req.ContentLength = io.NopCloser(io.LimitReader(zeros{}, size)), size
	return v.Do(req, false)
}

// zeros is a source of any length.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
