package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traefik-reauth/reauth/e2e/stand"
)

const (
	app       = "app.example.localhost"
	auth      = "auth.example.localhost"
	authorize = "/application/o/authorize/?client_id=secret&state=secret"
	flow      = "/if/flow/default-authentication-flow/?next=secret"
	callback  = "/outpost.goauthentik.io/callback?code=secret&state=secret"
	trip      = "/_reauth?rd=%2Faccounts%2F1%3Fq%3Dsecret%23secret"
)

// from returns what Traefik notes of a request; origin is what the app answered,
// 0 if it was not asked.
func from(host, method, path string, status, origin int) stand.Request {
	return stand.Request{Host: host, Method: method, Path: path, Status: status, Origin: origin}
}

func script(origin int) stand.Request {
	request := from(app, "GET", "/sw.js?v=secret", 200, origin)
	request.ServiceWorker = "script"
	return request
}

func TestStoryTellsWhatTheBrowserDid(t *testing.T) {
	refused := from(app, "POST", "/sync/sync?secret", 401, 0)
	served := from(app, "POST", "/sync/sync?secret", 200, 200)
	inVain := []stand.Request{
		from(app, "GET", "/_reauth", 302, 0), from(auth, "GET", authorize, 302, 302), from(auth, "GET", flow, 200, 200),
	}
	renewed := []stand.Request{
		from(app, "GET", "/_reauth", 302, 0), from(auth, "GET", authorize, 302, 302),
		from(app, "GET", callback, 302, 302), from(app, "GET", "/_reauth", 204, 200),
	}
	toLogin := []stand.Request{
		from(app, "GET", "/_reauth", 200, 0), from(app, "GET", trip, 302, 0),
		from(auth, "GET", authorize, 302, 302), from(auth, "GET", flow, 200, 200),
	}
	logIn := []stand.Request{
		from(auth, "POST", flow, 302, 302), from(auth, "GET", authorize, 302, 302), from(app, "GET", callback, 302, 302),
	}
	const (
		refusal = "POST /sync/sync was refused with 401"
		again   = "POST /sync/sync was sent again and served"
		renewal = "the worker renewed the session: /_reauth → Authentik → back (4 requests)"
		failure = "the worker could not renew the session: Authentik wants a login"
		left    = "the tab went to the login"
		back    = "logged in, back at /accounts/1"
	)
	zone := time.Local
	time.Local = time.FixedZone("", 2*60*60)
	t.Cleanup(func() { time.Local = zone })
	one := func(request stand.Request) []stand.Request { return []stand.Request{request} }
	tests := []struct {
		name     string
		requests [][]stand.Request
		want     []string
	}{
		{"nothing", nil, nil},
		{"the app at work", [][]stand.Request{one(served), one(from(app, "GET", "/info", 200, 200)), one(from(app, "GET", "/a.js", 304, 304))}, nil},
		{"the app's own 401", [][]stand.Request{one(from(app, "GET", "/account/validate", 401, 401))}, nil},
		{"the end of the sessions", [][]stand.Request{one(from(auth, "POST", "/-/expire", 204, 204))}, nil},
		{"first login", [][]stand.Request{
			{from(app, "GET", "/?secret", 302, 0), from(auth, "GET", authorize, 302, 302), from(auth, "GET", flow, 200, 200)},
			logIn, one(from(app, "GET", "/?secret", 200, 200)), one(from(app, "GET", "/a.js", 200, 200)),
		}, []string{left, "logged in, back at /"}},
		{"wrong password", [][]stand.Request{one(from(auth, "POST", flow, 200, 200)), one(served)}, nil},
		{"renewal", [][]stand.Request{one(refused), renewed, one(served), one(served)}, []string{refusal, renewal, again}},
		{"second renewal", [][]stand.Request{one(refused), renewed, one(served), one(refused), renewed, one(served)},
			[]string{refusal, renewal, again, refusal, renewal, again}},
		{"renewal of a good session", [][]stand.Request{one(from(app, "GET", "/_reauth", 204, 200))}, nil},
		{"several calls", [][]stand.Request{one(refused), one(from(app, "GET", "/info", 401, 0)), renewed, one(from(app, "GET", "/info", 304, 304)), one(served)},
			[]string{refusal, "GET /info was refused with 401", renewal, "GET /info was sent again and served", again}},
		{"the app fails", [][]stand.Request{one(refused), renewed, one(from(app, "POST", "/sync/sync", 500, 500))}, []string{refusal, renewal}},
		{"login", [][]stand.Request{one(refused), inVain, one(refused), inVain, one(refused), toLogin, logIn, one(from(app, "GET", trip, 303, 200)), one(served)},
			[]string{refusal, failure, left, back, again}},
		{"cancelled login", [][]stand.Request{one(refused), inVain, one(refused), toLogin, one(refused), inVain, one(refused)},
			[]string{refusal, failure, left}},
		{"next login", [][]stand.Request{inVain, toLogin, logIn, one(from(app, "GET", trip, 303, 200)), inVain}, []string{failure, left, back, failure}},
		{"a renewal between two in vain", [][]stand.Request{inVain, renewed, inVain}, []string{failure, renewal, failure}},
		{"trip without a login", [][]stand.Request{one(from(app, "GET", "/_reauth", 200, 0)), one(from(app, "GET", "/_reauth?rd=%2Fbudget%23secret", 303, 200))}, []string{"the tab is back at /budget"}},
		{"worker script", [][]stand.Request{one(script(200))}, []string{"/sw.js was served behind the refresh script"}},
		{"recovery script", [][]stand.Request{one(script(0))}, []string{"the recovery script was served in place of /sw.js"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var want []string
			start := time.Date(2026, 11, 24, 8, 0, 0, 0, time.Local)
			for _, text := range tt.want {
				want = append(want, "08:00:02  "+text)
			}
			requests := slices.Concat(tt.requests...)
			for i := range requests {
				requests[i].Start, requests[i].Duration = start.UTC(), 2*time.Second
			}
			// However the requests come in.
			for size := 1; size <= len(requests)+1; size++ {
				told := story{refused: map[string]bool{}}
				var got []string
				for some := range slices.Chunk(requests, size) {
					got = append(got, told.lines(some)...)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%d at a time: got\n%s\nwant\n%s", size, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
		})
	}
}
