//go:build gc && !race
// +build gc,!race

package reauth

// This file holds the limits on cost that mean something only where the plugin is compiled,
// and without the race detector, which allocates by itself. Yaegi reads the second of the
// lines above, and knows no gc.

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"regexp/syntax"
	"runtime"
	"strings"
	"testing"
)

// allocations is how often the plugin may allocate for each of the requests of
// testdata/requests.json.
var allocations = map[string]float64{
	"navigation":                        0,
	"navigation refused":                0,
	"navigation untold":                 0,
	"navigation with a list":            2,
	"visit with an own worker":          1,
	"visit with an own worker refused":  31,
	"path of the auth server":           0,
	"behind another instance":           0,
	"call":                              1,
	"call untold":                       1,
	"call refused":                      22,
	"call without fetch metadata":       1,
	"call of a listed origin":           3,
	"call of a wildcard's origin":       3,
	"call of an origin not listed":      2,
	"call of a listed origin refused":   24,
	"preflight":                         2,
	"preflight of an origin not listed": 23,
	"upgrade":                           1,
	"upgrade refused":                   22,
	"probe":                             14,
	"probe refused":                     22,
	"refresh by a visit":                14,
	"refresh by a visit refused":        26,
	"refresh by a fetch":                2,
	"page at the refresh path":          13,
	"page that tells how things stand":  13,
	"worker's script":                   15,
	"worker's script refused":           32,
	"own worker's script":               8,
}

func TestCostInAllocations(t *testing.T) {
	rows := readCost(t)
	if len(rows.Requests) != len(allocations) {
		t.Errorf("%d requests, and limits for %d", len(rows.Requests), len(allocations))
	}
	for _, r := range rows.Requests {
		limit, there := allocations[r.Name]
		if !there {
			t.Errorf("%s: has no limit", r.Name)
		}
		got := testing.AllocsPerRun(100, r.loop(t, rows).once)
		if got > limit {
			t.Errorf("%s: %v allocations, and no more than %v are allowed", r.Name, got, limit)
		}
		if got < limit {
			t.Logf("%s: %v allocations: the limit of %v can be lowered", r.Name, got, limit)
		}
	}
}

// TestCostOfAListOfOrigins holds it to the length of the list at most for New, and to
// nothing for a request.
func TestCostOfAListOfOrigins(t *testing.T) {
	for kind, wildcard := range map[string]bool{"exact": false, "wildcard": true} {
		each := func(origins int) float64 {
			change := listing(origins, wildcard)
			return testing.AllocsPerRun(1, func() { newHandler(t, http.NotFoundHandler(), change) }) / float64(origins)
		}
		if few, many := each(100), each(2000); many > few {
			t.Errorf("%s: New allocates %v times for each of 2000 origins, and %v times for each of 100", kind, many, few)
		}
		policy := parsed(t, listing(2000, wildcard)).cors
		for _, host := range []string{listedHost(0), listedHost(1999), "dashboard.example.com"} {
			listed := host != "dashboard.example.com"
			if wildcard {
				host = "a." + host
			}
			header := http.Header{"Origin": {"https://" + host}}
			if got := allowedOrigin(policy, header) != ""; got != listed {
				t.Errorf("%s: %s is allowed: %v", kind, host, got)
			}
			if got := testing.AllocsPerRun(100, func() { allowedOrigin(policy, header) }); got > 0 {
				t.Errorf("%s: %s takes %v allocations", kind, host, got)
			}
		}
	}
	// One for each letter, figure and sign that a host starts with, the labels of the wildcard,
	// and the port.
	if got := widest(t, parsed(t, listing(2000, true)).cors.wildcards); got > 40 {
		t.Errorf("with 2000 wildcards %d are tried at one character", got)
	}
}

// widest returns among how many characters or classes a match has to choose at most at one
// place. What a match costs is that, times the length of what is matched.
func widest(t *testing.T, re *regexp.Regexp) int {
	t.Helper()
	parsed, err := syntax.Parse(re.String(), syntax.Perl)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	for _, from := range prog.Inst {
		seen, runes := map[uint32]bool{}, 0
		next := []uint32{from.Out}
		for len(next) > 0 {
			pc := next[len(next)-1]
			next = next[:len(next)-1]
			if seen[pc] {
				continue
			}
			seen[pc] = true
			switch inst := prog.Inst[pc]; inst.Op {
			case syntax.InstAlt, syntax.InstAltMatch:
				next = append(next, inst.Out, inst.Arg)
			case syntax.InstCapture, syntax.InstEmptyWidth, syntax.InstNop:
				next = append(next, inst.Out)
			case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
				runes++
			}
		}
		if runes > most {
			most = runes
		}
	}
	return most
}

// TestCostOfALongRequest holds it to the length of what a stranger may send.
func TestCostOfALongRequest(t *testing.T) {
	refresh := func(query string) *http.Request { return request("GET", "/_reauth?"+query, navigate) }
	tests := []struct {
		name    string
		request func(length int) *http.Request
		status  int
		leads   bool // elsewhere than to the home page
	}{
		{"cookie", func(length int) *http.Request {
			return request("GET", "/api/data", scripted, "Cookie: "+strings.Repeat("a", length))
		}, http.StatusOK, false},
		{"cookies", func(length int) *http.Request {
			return request("GET", "/api/data", scripted, "Cookie: "+strings.Repeat("a=b; ", length/5))
		}, http.StatusOK, false},
		{"rd", func(length int) *http.Request {
			return refresh("rd=/" + strings.Repeat("a", length))
		}, http.StatusSeeOther, true},
		{"rd of many segments", func(length int) *http.Request {
			return refresh("rd=" + strings.Repeat("/a", length/2))
		}, http.StatusSeeOther, true},
		{"rd that leads up", func(length int) *http.Request {
			return refresh("rd=" + strings.Repeat("/a/..", length/5))
		}, http.StatusSeeOther, true},
		{"rd encoded in layers", func(length int) *http.Request {
			return refresh("rd=/" + strings.Repeat("%25252541", length/9))
		}, http.StatusSeeOther, true},
		{"rd to be encoded", func(length int) *http.Request {
			return refresh("rd=/" + strings.Repeat("a%20", length/4))
		}, http.StatusSeeOther, true},
		{"pairs", func(length int) *http.Request {
			return refresh("rd=/a" + strings.Repeat("&rd=/a", length*(maxPairs-1)/8000))
		}, http.StatusSeeOther, false},
		{"names to be decoded", func(length int) *http.Request {
			return refresh("rd=/a" + strings.Repeat("&%72%64=/a", length*(maxPairs-1)/8000))
		}, http.StatusSeeOther, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHandler(t, passing("me", answering(http.StatusOK)), nil)
			allocated := func(length int) uint64 {
				req := tt.request(length)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, req)
				runtime.ReadMemStats(&after)
				if leads := len(rec.Header().Get("Location")) > 1; rec.Code != tt.status || leads != tt.leads {
					t.Errorf("%d with %.80v", rec.Code, rec.Header())
				}
				return after.TotalAlloc - before.TotalAlloc
			}
			allocated(1000)
			// A buffer that doubles may be half empty. What grows faster takes 64 times as much.
			if short, long := allocated(1000), allocated(8000); long > 16*short {
				t.Errorf("8 KB take %d bytes of memory, and 1 KB takes %d", long, short)
			}
		})
	}
}

// leavesNothing runs each so many times, and reports what is kept of every run, and any
// goroutine. It looks at three windows after a first, in which caches and pools fill: what
// happens once does not grow in all of them.
func leavesNothing(t *testing.T, times int, each func(i int)) {
	t.Helper()
	const windows = 4
	bytes, objects := math.Inf(1), math.Inf(1)
	goroutines := runtime.NumGoroutine()
	var before runtime.MemStats
	for i := 0; i < windows; i++ {
		for j := 0; j < times/windows; j++ {
			each(i*times/windows + j)
		}
		liveBytes()
		var after runtime.MemStats
		runtime.ReadMemStats(&after)
		if i > 0 {
			bytes = min(bytes, (float64(after.HeapAlloc)-float64(before.HeapAlloc))/float64(times/windows))
			objects = min(objects, (float64(after.HeapObjects)-float64(before.HeapObjects))/float64(times/windows))
		}
		before = after
	}
	if bytes > 8 || objects > 0.5 {
		t.Errorf("each of %d has left %.2f bytes in %.2f objects", times, bytes, objects)
	}
	if now := runtime.NumGoroutine(); now > goroutines {
		t.Errorf("there were %d goroutines, and now there are %d", goroutines, now)
	}
}

// TestCostOfReloads makes the middleware anew 10,000 times as Traefik does when its configuration
// changes: the context of the one before is cancelled first.
func TestCostOfReloads(t *testing.T) {
	rows := readCost(t)
	next := rows.Upstreams["refused"].handler()
	wrong := CreateConfig()
	wrong.RefreshPath = "reauth"
	wrong.AccessControlAllowOriginList = []string{"https://*.example.com", "https://example.com/"}
	cancel := func() {}
	leavesNothing(t, 10_000, func(i int) {
		cancel()
		var ctx context.Context
		ctx, cancel = context.WithCancel(context.Background())
		config := CreateConfig()
		fullCORS(config)
		config.OwnServiceWorker = true
		h, err := New(ctx, next, config, "reauth@docker")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(ctx, next, wrong, "reauth@docker"); err == nil {
			t.Fatal("wrong options were taken")
		}
		if i%100 == 0 {
			for _, r := range rows.Requests {
				h.ServeHTTP(&discard{header: http.Header{}}, r.request(rows.Browser))
			}
		}
	})
	cancel()
}

// TestCostOfManyRequests sends 100,000 requests, and as many of each kind.
func TestCostOfManyRequests(t *testing.T) {
	rows := readCost(t)
	next := map[string]http.Handler{}
	for name, u := range rows.Upstreams {
		next[name] = u.handler()
	}
	upstream := ""
	full := newHandler(t, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		next[upstream].ServeHTTP(rw, req)
	}), func(c *Config) {
		fullCORS(c)
		c.OwnServiceWorker = true
	})
	leavesNothing(t, 100_000/len(rows.Requests), func(int) {
		for _, r := range rows.Requests {
			upstream = r.Upstream
			full.ServeHTTP(&discard{header: http.Header{}}, r.request(rows.Browser))
		}
	})
}
