package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// A route is the upstreams of the paths with a prefix.
type route struct {
	prefix string // "" for all paths, else /api for /api and /api/...
	ups    []*upstream

	mu   sync.Mutex
	next int
}

// An upstream is a server that requests are passed on to.
type upstream struct {
	url  *url.URL
	down time.Time // until then it is left out; guarded by the mu of its route
}

// parseRoutes returns the routes, the longest prefix first.
func parseRoutes(args []string) (routes []*route, err error) {
	if len(args) == 0 {
		return nil, errors.New("want an upstream, [/prefix=]http://host[:port]; -h shows all flags")
	}
	for _, arg := range args {
		prefix, address := "", arg
		if strings.HasPrefix(arg, "/") {
			prefix, address, _ = strings.Cut(arg, "=")
		}
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			return nil, fmt.Errorf("upstream %q: want [/prefix=]http://host[:port]", arg)
		}
		u.Path = ""
		prefix = strings.TrimRight(prefix, "/")
		i := slices.IndexFunc(routes, func(r *route) bool { return r.prefix == prefix })
		if i < 0 {
			i = len(routes)
			routes = append(routes, &route{prefix: prefix})
		}
		routes[i].ups = append(routes[i].ups, &upstream{url: u})
	}
	slices.SortStableFunc(routes, func(a, b *route) int { return len(b.prefix) - len(a.prefix) })
	return routes, nil
}

// find returns the route of a path, nil if there is none.
func find(routes []*route, path string) *route {
	for _, r := range routes {
		if rest, ok := strings.CutPrefix(path, r.prefix); ok && (rest == "" || rest[0] == '/' || r.prefix == "") {
			return r
		}
	}
	return nil
}

// pick returns the next upstream that is not left out and not among tried; where all are
// left out, the next of these: it may be up again. It is nil if all were tried.
func (r *route) pick(tried []*upstream) (u *upstream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	at := 0
	for i := range r.ups {
		k := (r.next + i) % len(r.ups)
		c := r.ups[k]
		if slices.Contains(tried, c) {
			continue
		}
		if now.After(c.down) {
			u, at = c, k
			break
		}
		if u == nil {
			u, at = c, k
		}
	}
	r.next = at + 1
	return u
}

// leaveOut has pick pass by u for so long.
func (r *route) leaveOut(u *upstream, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u.down = time.Now().Add(d)
}
