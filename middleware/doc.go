// Package middleware has tests of package zerocopy under the HTTP middleware that people use, and
// nothing else. What they find is in README.md.
package middleware
