package main

import (
	"fmt"
	"io"
	"net"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// predict prints how the bytes of a flow will go, asked of the ends that the relay is about
// to be given.
func (p *proxy) predict(f *flow, backend net.Conn, o *zcnet.RelayOptions) {
	p.log.Printf("#%d will go up by %v; down by %v", f.id,
		p.copier.Explain(backend, paced(f.client, o.PaceAToB)), p.copier.Explain(f.client, paced(backend, o.PaceBToA)))
}

// paced returns what Relay copies from.
func paced(c net.Conn, l zerocopy.Limiter) io.Reader {
	if l == nil {
		return c
	}
	return zerocopy.Pace(c, l)
}

// lookBack prints which bytes of a flow did not go by the kernel, and why.
func (p *proxy) lookBack(f *flow) {
	for _, way := range []struct {
		name string
		r    zerocopy.Report
	}{{"up", f.stats.AToB}, {"down", f.stats.BToA}} {
		for _, step := range way.r.Steps {
			if step.Reason != zerocopy.ReasonNone && step.Bytes > 0 {
				p.log.Printf("#%d %s: %s of the bytes (%d of %d) not by the kernel: %v [%v]",
					f.id, way.name, percent(step.Bytes, way.r.Written), step.Bytes, way.r.Written, step, step.Reason)
			}
		}
	}
}

// percent is n of all, and no more than needed.
func percent(n, all int64) string {
	if n < all && n*1000 > all*999 {
		return "nearly 100 %"
	}
	return fmt.Sprintf("%.3g %%", 100*float64(n)/float64(max(all, 1)))
}
