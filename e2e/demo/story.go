package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/traefik-reauth/reauth/e2e/stand"
)

// refreshPath is the plugin's default.
const refreshPath = "/_reauth"

// story tells in plain words what requests are about.
type story struct {
	// refused holds the requests that were refused and not served since: the
	// worker and the app send them again and again.
	refused map[string]bool
	// renewal counts the requests of the worker's renewal that is under way.
	renewal int
	// loginWanted tells that the last renewal has met a login.
	loginWanted bool
	// loggedIn tells that somebody has logged in and is on the way back.
	loggedIn bool
}

// lines returns a line for each thing that requests add to the story.
func (s *story) lines(requests []stand.Request) []string {
	var lines []string
	for _, request := range requests {
		if text := s.next(request); text != "" {
			lines = append(lines, request.Start.Add(request.Duration).Local().Format(time.TimeOnly)+"  "+text)
		}
	}
	return lines
}

// next returns what a request adds to the story, if it adds anything. No query
// is shown: they bear codes and tokens.
func (s *story) next(request stand.Request) string {
	path, query, _ := strings.Cut(request.Path, "?")
	name := request.Method + " " + path
	toAuth := strings.HasPrefix(request.Host, "auth.")
	asks := toAuth && request.Method == http.MethodGet && request.Status == http.StatusOK
	served := request.Origin >= 200 && request.Origin < 400
	switch {
	case asks && s.renewal == 0:
		return "the tab went to the login"
	case asks && s.loginWanted:
		s.renewal = 0
	case asks:
		s.renewal, s.loginWanted = 0, true
		return "the worker could not renew the session: Authentik wants a login"
	case toAuth && request.Method == http.MethodPost && request.Status == http.StatusFound:
		s.loggedIn = true
	case toAuth || strings.HasPrefix(path, "/outpost.goauthentik.io/"):
		if s.renewal > 0 {
			s.renewal++
		}
	case path == refreshPath:
		return s.refreshed(query, request.Status)
	case request.ServiceWorker == "script" && request.Status == http.StatusOK && request.Origin == 0:
		return "the recovery script was served in place of " + path
	case request.ServiceWorker == "script" && request.Status == http.StatusOK:
		return path + " was served behind the refresh script"
	case s.loggedIn && served:
		return s.back(path)
	case request.Status == http.StatusUnauthorized && request.Origin == 0 && !s.refused[name]:
		s.refused[name] = true
		return name + " was refused with 401"
	case served && s.refused[name]:
		delete(s.refused, name)
		return name + " was sent again and served"
	}
	return ""
}

// refreshed tells what a request for the refresh path has come to. Only a tab
// says where it goes from there.
func (s *story) refreshed(query string, status int) string {
	// What cannot be read says nothing to the plugin either.
	values, _ := url.ParseQuery(query)
	requests := s.renewal + 1
	s.renewal = 0
	switch {
	case status == http.StatusSeeOther:
		path, _, _ := strings.Cut(strings.ReplaceAll(values.Get("rd"), "#", "?"), "?")
		return s.back(path)
	case status == http.StatusFound && !values.Has("rd"):
		s.renewal = 1
	case status == http.StatusNoContent && requests > 1:
		s.loginWanted = false
		return fmt.Sprintf("the worker renewed the session: %s → Authentik → back (%d requests)", refreshPath, requests)
	}
	return ""
}

// back tells that a tab is back in the app.
func (s *story) back(path string) string {
	text := "the tab is back at " + path
	if s.loggedIn {
		text = "logged in, back at " + path
	}
	s.loginWanted, s.loggedIn = false, false
	return text
}
