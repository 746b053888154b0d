package zchttp

import (
	"fmt"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// A ProxyReport is what became of one request to a [Proxy]. The bytes of a request's body,
// which package net/http moves by itself, are not in it: see zerocopy.SetDefault.
type ProxyReport struct {
	// Status is the status that was sent, 0 if none was.
	Status int
	// Written is how many bytes of the response's body were written to the client.
	Written int64
	// Copy is the report of the copy that carried the body but for its first 4 KiB at most.
	// It is zero where there was none, and Why says why.
	Copy zerocopy.Report
	// Why says why the bytes were left to httputil.ReverseProxy, such as "small".
	Why string
	// Tunnel is what went through the connection after it switched protocols, the client
	// being side A. It is nil where it did not.
	Tunnel *zcnet.RelayStats
}

// String returns the report on one line, for logs.
func (r ProxyReport) String() string {
	switch {
	case r.Tunnel != nil:
		return fmt.Sprintf("%d, %v", r.Status, r.Tunnel)
	case r.Copy.Steps != nil:
		return fmt.Sprintf("%d, %d bytes, of which %s", r.Status, r.Written, r.Copy.Summary())
	case r.Why != "":
		return fmt.Sprintf("%d, %d bytes (buffered: %s)", r.Status, r.Written, r.Why)
	}
	return fmt.Sprintf("%d, %d bytes", r.Status, r.Written)
}

// report calls Report.
func (x *exchange) report() {
	r := ProxyReport{Status: x.header, Written: x.plain, Why: x.why}
	if x.body != nil {
		r.Copy = x.body.report
		r.Written += x.body.report.Written
	}
	if x.tunnel != nil && x.tunnel.began.Load() {
		r.Status, r.Tunnel = 101, &x.tunnel.stats
	}
	x.proxy.Report(x.request, r)
}
