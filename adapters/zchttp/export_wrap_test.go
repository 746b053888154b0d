package zchttp

import "net/http"

// AllMethods is how many sets of optional methods there are.
const AllMethods = allMethods

// WithMethods returns a ResponseWriter with the optional methods of a set.
func WithMethods(w http.ResponseWriter, have int) http.ResponseWriter {
	return (&counter{w: w, declared: -1}).expose(have)
}

// MethodsOf returns which of them w has.
var MethodsOf = methodsOf
