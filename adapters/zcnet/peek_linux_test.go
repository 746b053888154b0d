package zcnet_test

import (
	"context"
	"os"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestPeekSplices: after the peeked bytes the kernel moves the rest, as Explain has said.
func TestPeekSplices(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(8).Bytes(bulk)
	mostlySpliced(t, func() zerocopy.Report {
		src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.Unix)
		from, to := conn(src.Reader), conn(dst.Writer)
		_, err := from.Peek(312)
		must(t, err)
		const plan = "splice tcp→pipe→unix if bulk, after 312 buffered bytes"
		if got := zerocopy.Explain(to, from).String(); got != plan {
			t.Error(got)
		}
		var report zerocopy.Report
		c := &zerocopy.Copier{Report: func(got zerocopy.Report) { report = got }}
		n, err := c.Copy(context.Background(), to, from)
		if n != bulk || err != nil || report.Steps[0].Bytes != 312 ||
			report.Steps[0].Reason != zerocopy.ReasonPrefix {
			t.Error(n, err, report)
		}
		ztest.Equal(t, "received", dst.Finish(), content)
		return report
	})
}

// isTimeout reports whether err is a deadline's, of that operation.
func isTimeout(err error, op string) bool { return isOp(err, op, os.ErrDeadlineExceeded) }
