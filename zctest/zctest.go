// Package zctest is for the tests of those who use zerocopy: it holds a copy to
// the mechanism that the code was written for, so that a wrapper added later
// cannot take the fast path away unseen.
package zctest

import (
	"context"
	"io"
	"testing"

	"github.com/zerocopy-go/zerocopy"
)

// share of the bytes beyond named prefixes that has to go by the mechanism: a
// plain read may find a few where the kernel said there were none.
const share = 0.99

// RequireMechanism copies src to dst by [zerocopy.Default]'s settings and fails t
// at once, with the reason, unless the copy succeeds and at least 99 % of its
// bytes go by mechanism m. Bytes that were in user memory before the copy began
// (zerocopy.ReasonPrefix) are not counted, nor are those of a stream from a socket
// that had yet to prove to be bulk (zerocopy.ReasonStart, the first 96 KiB or more:
// send a MiB). A copy without any other byte fails, too: it proves nothing. It
// returns the report of the copy.
//
// It calls t.Fatal, so it must run on the goroutine of the test.
func RequireMechanism(t testing.TB, dst io.Writer, src io.Reader, m zerocopy.Mechanism) zerocopy.Report {
	t.Helper()
	return require(t, zerocopy.Default(), nil, dst, src, m)
}

// Require is [RequireMechanism] with the settings of c. It calls c.Report, too.
func Require(t testing.TB, c *zerocopy.Copier, dst io.Writer, src io.Reader, m zerocopy.Mechanism) zerocopy.Report {
	t.Helper()
	return require(t, c, c.Report, dst, src, m)
}

// require copies by the settings of c, but for its Report, and tells report, if not nil.
func require(t testing.TB, c *zerocopy.Copier, report func(zerocopy.Report), dst io.Writer, src io.Reader, m zerocopy.Mechanism) zerocopy.Report {
	t.Helper()
	var got zerocopy.Report
	watched := &zerocopy.Copier{
		Pages: c.Pages, Disable: c.Disable, BufferPool: c.BufferPool,
		UnwrapReader: c.UnwrapReader, UnwrapWriter: c.UnwrapWriter,
		RawCalls: c.RawCalls, LowWater: c.LowWater,
		Report: func(r zerocopy.Report) {
			got = r
			if report != nil {
				report(r)
			}
		},
	}
	if _, err := watched.Copy(context.Background(), dst, src); err != nil {
		t.Fatalf("zctest: the copy failed: %v", err)
	}
	Check(t, got, m)
	return got
}

// Check fails t at once unless at least 99 % of the bytes of a report, named
// prefixes and the start of a stream apart, went by mechanism m.
func Check(t testing.TB, r zerocopy.Report, m zerocopy.Mechanism) {
	t.Helper()
	var by, all, start int64
	for _, s := range r.Steps {
		switch s.Reason {
		case zerocopy.ReasonPrefix:
			continue
		case zerocopy.ReasonStart:
			start += s.Bytes
			continue
		}
		all += s.Bytes
		if s.Mechanism == m {
			by += s.Bytes
		}
	}
	switch {
	case all == 0 && start > 0:
		t.Fatalf("zctest: the stream of %d bytes ended before it proved to be bulk: send more, a MiB will do", r.Written)
	case all == 0:
		t.Fatalf("zctest: no byte was copied beyond %d that were buffered before, so nothing is known of %v", r.Written, m)
	case float64(by) < share*float64(all):
		t.Fatalf("zctest: %d of %d bytes went by %v, want %.0f %%:\n\t%v", by, all, m, share*100, r)
	}
}
