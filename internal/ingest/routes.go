package ingest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// handler answers one request.
type handler func(*call) answer

// route is one method of one path. A path that ends in "{event_id}" takes
// whatever follows.
type route struct {
	method, path string
	handle       handler
	// events marks the routes whose refusals are refused events.
	events bool
}

// routes is everything that is served.
func (s *Server) routes() []route {
	const api = "/api/v1/app/meta-ads/capi"
	return []route{
		{method: http.MethodPost, path: api + "/send-event", handle: s.sendEvent, events: true},
		{method: http.MethodPost, path: "/api/v1/public/capi/send-event", handle: s.sendEvent, events: true},
		{method: http.MethodPost, path: api + "/send-events", handle: s.sendEvents, events: true},
		{method: http.MethodGet, path: api + "/events/{event_id}", handle: s.status},
		{method: http.MethodPost, path: api + "/clicks", handle: s.postClick},
		{method: http.MethodGet, path: "/webhooks/whatsapp", handle: s.handshake},
		{method: http.MethodPost, path: "/webhooks/whatsapp", handle: s.webhook},
		{method: http.MethodGet, path: "/openapi.yaml", handle: s.openAPI},
	}
}

// router finds routes. http.ServeMux would answer unknown paths in plain text
// and redirect odd ones, and an event_id may hold slashes and dots.
type router struct {
	exact map[string][]route
	tails map[string][]route // by what precedes {event_id}
}

func newRouter(routes []route) router {
	rt := router{exact: map[string][]route{}, tails: map[string][]route{}}
	for _, r := range routes {
		if prefix, ok := strings.CutSuffix(r.path, "{event_id}"); ok {
			rt.tails[prefix] = append(rt.tails[prefix], r)
			continue
		}
		rt.exact[r.path] = append(rt.exact[r.path], r)
	}
	return rt
}

// find returns the route of a request and the event_id in its path. Without
// one it returns how to refuse the request.
func (rt router) find(method string, u *url.URL) (route, string, *refusal) {
	found, tail := rt.exact[u.Path], ""
	for prefix, routes := range rt.tails {
		rest, ok := strings.CutPrefix(u.EscapedPath(), prefix)
		if !ok || rest == "" {
			continue
		}
		id, err := url.PathUnescape(rest)
		if err != nil {
			continue
		}
		found, tail = routes, id
	}
	if len(found) == 0 {
		return route{}, "", &refusal{
			status: http.StatusNotFound, reason: reasonNotFound,
			message: "nothing is served at this path; see /openapi.yaml",
		}
	}
	var allow []string
	for _, r := range found {
		if r.method == method || r.method == http.MethodGet && method == http.MethodHead {
			return r, tail, nil
		}
		allow = append(allow, r.method)
		if r.method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	slices.Sort(allow)
	return route{path: found[0].path}, "", &refusal{
		status: http.StatusMethodNotAllowed, reason: reasonMethodNotAllowed,
		message: "this path takes " + strings.Join(allow, ", "),
		allow:   strings.Join(allow, ", "),
	}
}
