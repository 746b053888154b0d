package zchttp

import (
	"fmt"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// A ProxyReport is what became of one request to a [Proxy]. The bytes of a request's body,
// which package net/http moves by itself, are not in it: see zerocopy.SetDefault.
type ProxyReport struct {
	// Status is the status that was sent. It is 0 if none was, and where an ErrorHandler
	// has answered.
	Status int
	// Aborted: the client's connection was cut off, since the response could not be completed.
	Aborted bool
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
	if r.Tunnel != nil {
		return fmt.Sprintf("%d, %v", r.Status, r.Tunnel)
	}
	text := fmt.Sprintf("%d, %d bytes", r.Status, r.Written)
	switch {
	case len(r.Copy.Steps) > 0:
		text += ", of which " + r.Copy.Summary()
	case r.Why != "":
		text += " (buffered: " + r.Why + ")"
	}
	if r.Aborted {
		text += ", aborted"
	}
	return text
}

// report calls Report.
func (x *exchange) report() {
	r := ProxyReport{Status: x.header, Written: x.plain, Why: x.why, Aborted: !x.returned}
	if x.body != nil {
		r.Copy = x.body.report
		r.Written += x.body.report.Written
	}
	if x.tunnel != nil && x.tunnel.began.Load() {
		r.Status, r.Tunnel = 101, &x.tunnel.stats
	}
	x.proxy.Report(x.request, r)
}
