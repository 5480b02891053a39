// Package fault has servers go wrong, as auth servers and apps do.
package fault

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault is a way to go wrong. A number is a status to answer with, and empty is none.
type Fault string

// The faults that are no status.
const (
	// Slow answers after Delay as it would without.
	Slow Fault = "slow"
	// Hang does not answer until it is over.
	Hang Fault = "hang"
	// Reset resets the connection in place of an answer.
	Reset Fault = "reset"
	// Garbage answers with what is not HTTP.
	Garbage Fault = "garbage"
	// Cut ends the connection in the middle of an answer.
	Cut Fault = "cut"
	// Loop redirects to where the request came from.
	Loop Fault = "loop"
	// Drop redirects there without the query.
	Drop Fault = "drop"
)

// Delay is how long Slow waits. It stands for what takes seconds: only who waits for
// whom is tried with it.
const Delay = 300 * time.Millisecond

// Answers are the faults that come to an answer, or to none, whatever the session. Cut is
// none of them: it begins with a 200, which is all that forwardAuth looks at.
var Answers = []Fault{"429", "500", "502", Reset, Garbage, Loop, Drop}

// Meet has f happen to a request for the URL self, and reports whether that was all:
// otherwise it is to be answered as without. For Hang it does not wait, but leaves that
// to AwaitEnd.
func (f Fault) Meet(rw http.ResponseWriter, req *http.Request, self string) bool {
	switch f {
	case "", Hang:
		return false
	case Slow:
		select {
		case <-time.After(Delay):
		case <-req.Context().Done():
		}
		return false
	case Reset:
		conn := take(rw, req)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	case Garbage:
		conn := take(rw, req)
		_, _ = conn.Write([]byte("garbage\r\n\r\n"))
		_ = conn.Close()
	case Cut:
		rw.Header().Set("Content-Type", "text/javascript")
		rw.Header().Set("Content-Length", "1000")
		_, _ = rw.Write([]byte(strings.Repeat("// cut\n", 10)))
		_ = http.NewResponseController(rw).Flush()
		panic(http.ErrAbortHandler)
	case Loop:
		redirect(rw, self)
	case Drop:
		path, _, _ := strings.Cut(self, "?")
		redirect(rw, path)
	default:
		status, err := strconv.Atoi(string(f))
		if err != nil {
			panic("no fault " + string(f))
		}
		http.Error(rw, "something went wrong", status)
	}
	return true
}

// redirect has no body, which would differ in length.
func redirect(rw http.ResponseWriter, location string) {
	rw.Header().Set("Location", location)
	rw.WriteHeader(http.StatusFound)
}

// take takes the connection from the server, once it has read all that the client has to
// say: who still writes hears of the end in another way.
func take(rw http.ResponseWriter, req *http.Request) net.Conn {
	_, _ = io.Copy(io.Discard, req.Body)
	conn, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		panic(err) // HTTP/1 lets go of its connections
	}
	return conn
}

// AwaitEnd waits until the fault is over, which changed tells, or the client has given
// up, and reports whether it has not.
func AwaitEnd(client context.Context, changed <-chan struct{}) bool {
	select {
	case <-changed:
		return true
	case <-client.Done():
		return false
	}
}
