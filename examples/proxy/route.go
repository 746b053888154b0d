package main

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// The routes say which backend a connection goes to.
type routes struct {
	names    map[string]endpoint // in lower case; ".example.org" is for all names below
	fallback *endpoint           // nil if there is none
}

// add adds what -sni says.
func (r *routes) add(s string) error {
	name, address, ok := strings.Cut(s, "=")
	if !ok {
		return errors.New("not name=address")
	}
	name = strings.ToLower(name)
	if rest, ok := strings.CutPrefix(name, "*."); ok && rest != "" {
		name = "." + rest
	} else if name == "" || strings.HasPrefix(name, ".") {
		return errors.New("no name")
	}
	if strings.ContainsAny(name, "*:/ ") || strings.HasSuffix(name, ".") {
		return errors.New("not a host name, nor *. and one")
	}
	if _, ok := r.names[name]; ok {
		return errors.New("given twice")
	}
	e, err := parseEndpoint(address)
	if r.names == nil {
		r.names = make(map[string]endpoint)
	}
	r.names[name] = e
	return err
}

// find returns the backend for a connection that asks for name, or that has none: that of
// the name itself, or of the longest wildcard that it is below, or the fallback.
func (r *routes) find(name string) (e endpoint, ok bool) {
	if name != "" {
		name = strings.ToLower(name)
		if e, ok := r.names[name]; ok {
			return e, true
		}
		for dot := strings.IndexByte(name, '.'); dot >= 0; {
			if e, ok := r.names[name[dot:]]; ok {
				return e, true
			}
			next := strings.IndexByte(name[dot+1:], '.')
			if next < 0 {
				break
			}
			dot += 1 + next
		}
	}
	if r.fallback != nil {
		return *r.fallback, true
	}
	return endpoint{}, false
}

// String says what goes where: what is forwarded …
func (r routes) String() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(r.names)) {
		pattern := name
		if strings.HasPrefix(name, ".") {
			pattern = "*" + name
		}
		all = append(all, pattern+" to "+r.names[name].String())
	}
	switch {
	case r.fallback == nil:
		all = append(all, "others refused")
	case len(all) == 0:
		return "to " + r.fallback.String()
	default:
		all = append(all, "others to "+r.fallback.String())
	}
	return strings.Join(all, ", ")
}
