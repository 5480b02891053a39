package e2e

import (
	"net/http"
	"testing"
)

// isErrorPage reports whether r is the page of an errors middleware, with the status of
// what it has replaced and none of its headers.
func isErrorPage(r response, status int) bool {
	return r.StatusCode == status && r.Text == "page "+errorPath && r.Header.Get("Content-Type") == "text/html; charset=utf-8" &&
		r.Header["Www-Authenticate"] == nil && r.Header["Cache-Control"] == nil && r.Header["Location"] == nil &&
		r.Header["Access-Control-Allow-Origin"] == nil && r.Header.Get("Vary") == "Accept-Encoding"
}

// Of the 401 the status is left. What the refresh script goes by is no error, and stays.
func TestErrorsMiddlewareBeforeThePluginReplacesThe401(t *testing.T) {
	forEachProtocol(t, func(t *testing.T, p protocol) {
		c := newClient(t, p, replacedHost).Enter()
		if res := c.Send("GET", "/unauthorized", "", fetch...); !isErrorPage(res, http.StatusUnauthorized) {
			t.Errorf("the app's own 401: %s", res)
		}
		if res := c.Send("GET", "/_reauth?probe", "", fetch...); res.StatusCode != http.StatusOK || res.Text != `{"active":true}` {
			t.Errorf("probe: %s", res)
		}
		c.Expire(shared.Authentik)
		for _, method := range []string{"GET", "POST"} {
			if res := c.Send(method, "/api/data", "", fetch...); !isErrorPage(res, http.StatusUnauthorized) {
				t.Errorf("%s: %s", method, res)
			}
		}
		if res := c.Send("GET", "/_reauth?probe", "", fetch...); res.StatusCode != http.StatusOK || res.Text != `{"active":false}` || res.Header.Get("Cache-Control") != "private, no-store" {
			t.Errorf("probe, expired: %s", res)
		}
		if res := c.Send("GET", "/sw.js", "", forWorker...); !res.IsRecovery() {
			t.Errorf("recovery script: %s", res)
		}
		if res := c.Send("GET", "/", "", navigation...); !res.IsLogin() {
			t.Errorf("visit: %s", res)
		}
		if res := c.Visit("/_reauth", fetch...); res.StatusCode != http.StatusNoContent {
			t.Errorf("the renewal ended with %s", res)
		}
		if res := c.Send("GET", "/api/data", "", fetch...); res.StatusCode != http.StatusOK {
			t.Errorf("renewed: %s", res)
		}
	})
}

func TestErrorsMiddlewareBeforeThePluginKeepsOtherOriginsFromTheirAnswers(t *testing.T) {
	c := newClient(t, overHTTP1, replacedCORSHost)
	origin := "Origin: " + listedOrigin
	if res := c.Send("GET", "/api/data", "", append([]string{origin}, fetch...)...); !isErrorPage(res, http.StatusUnauthorized) {
		t.Errorf("call: %s", res)
	}
	res := c.Send("OPTIONS", "/api/data", "", origin, "Access-Control-Request-Method: PUT")
	if res.StatusCode != http.StatusNoContent || res.Header.Get("Access-Control-Allow-Origin") != listedOrigin {
		t.Errorf("preflight: %s", res)
	}
}

// A person would see the error page, and no login.
func TestErrorsMiddlewareBeforeThePluginReplacesThePageInPlaceOfAVisit(t *testing.T) {
	visit := append([]string{"Sec-Fetch-Site: none"}, navigation...)
	if res := newClient(t, overHTTP1, replacedOwnHost).Send("GET", "/", "", visit...); !isErrorPage(res, http.StatusUnauthorized) {
		t.Errorf("before the plugin: %s", res)
	}
	for _, host := range []string{spared401Host, errorsAfterHost} {
		t.Run(host, func(t *testing.T) {
			c := newClient(t, overHTTP1, host)
			res := c.Send("GET", "/", "", visit...)
			if res.StatusCode != http.StatusUnauthorized || res.Header["Www-Authenticate"] == nil || len(res.Cookies()) != 1 {
				t.Errorf("visit: %s", res)
			}
			if res := c.Send("GET", "/api/data", "", fetch...); !res.IsChallenge() {
				t.Errorf("call: %s", res)
			}
			c.LogIn("/outpost.goauthentik.io/start?rd=%2F")
			if res := c.Send("GET", "/down", "", fetch...); !isErrorPage(res, http.StatusBadRequest) {
				t.Errorf("the app's 400: %s", res)
			}
			if res := c.Send("GET", "/unauthorized", "", fetch...); res.StatusCode != http.StatusUnauthorized || res.IsChallenge() || isErrorPage(res, res.StatusCode) != (host == errorsAfterHost) {
				t.Errorf("the app's 401: %s", res)
			}
		})
	}
}
