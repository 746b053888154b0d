package zerocopy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A soakRelay is one direction of a tunnel: what the proxy does with it, and the
// accounts of its bytes.
type soakRelay struct {
	tu       *soakTunnel
	name     string
	from, to *soakPeer
	dst, src ztest.Stream
	w        io.Writer // dst, perhaps with a wrapper around it
	r        io.Reader // src, perhaps with a wrapper around it
	counted  *int64    // what a wrapper around src has counted, if it counts
	limit    int64     // a copy is of so many bytes at the most; 0 is no limit
	copier   *zerocopy.Copier
	ctx      context.Context
	cancel   context.CancelCauseFunc
	resumes  int // after so many deadlines it gives up

	n         int64  // bytes that dst has accepted
	copied    int64  // of those, by Copy
	unwritten []byte // handed back and not written
	rest      int64  // found in the source afterwards
	ended     bool   // src was read to its end
	err       error  // what it gave up for
}

// relay decides how the proxy copies from src to dst.
func (tu *soakTunnel) relay(dst, src ztest.Stream, from, to *soakPeer) *soakRelay {
	rnd := tu.rnd
	r := &soakRelay{tu: tu, from: from, to: to, dst: dst, src: src, w: dst, r: src, resumes: 1 << 30}
	r.copier = tu.copiers[rnd.IntN(len(tu.copiers))]
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	switch rnd.IntN(10) {
	case 0:
		c := &counter{Conn: src.(net.Conn)}
		r.r, r.counted, r.name = c, &c.in, "counted"
	case 1:
		r.r, r.name = &peeker{Conn: src.(net.Conn)}, "peeked"
	case 2:
		r.r, r.name = &idler{Conn: src.(net.Conn), timeout: 5*time.Millisecond + soakPause(rnd, 200*time.Millisecond)}, "idle timeout"
	case 3:
		r.r, r.name = &paced{src, soakBurst(1 + rnd.IntN(300_000))}, "paced"
	case 4:
		r.r, r.name = bufio.NewReaderSize(src, 16+rnd.IntN(9000)), "bufio"
	case 5:
		r.limit, r.name = 1+rnd.Int64N(400_000), "limited"
	default:
		r.name = "bare"
	}
	if rnd.IntN(4) == 0 {
		r.w, r.name = &counter{Conn: dst.(net.Conn)}, r.name+" to a counter"
	}
	return r
}

// soakBurst is a limiter that lets all through.
type soakBurst int

func (b soakBurst) Burst() int                       { return int(b) }
func (b soakBurst) WaitN(context.Context, int) error { return nil }

// run copies until the end of the source, or until it has to give up; then it finds
// out what is left. It ends the stream at dst in any case.
func (r *soakRelay) run() {
	defer r.cancel(nil)
	r.begin()
	for r.err == nil && !r.ended {
		r.copy()
	}
	r.dst.(interface{ CloseWrite() error }).CloseWrite()
	if r.err != nil {
		r.leftover()
	}
}

// begin lets the wrappers that hold bytes take some first.
func (r *soakRelay) begin() {
	switch w := r.r.(type) {
	case *peeker:
		b := make([]byte, 300)
		n, _ := r.src.Read(b)
		w.peeked = b[:n]
	case *bufio.Reader:
		w.Peek(1)
	}
}

// copy is one call of Copy, and what its error asks for.
func (r *soakRelay) copy() {
	src := r.r
	limit := &io.LimitedReader{R: r.r, N: r.limit}
	if r.limit > 0 {
		src = limit
	}
	n, err := r.copier.Copy(r.ctx, r.w, src)
	r.n += n
	r.copied += n
	var partial *zerocopy.PartialError
	if r.unwritten = nil; errors.As(err, &partial) {
		r.unwritten = partial.Unwritten
		r.tu.handedBack.Add(int64(len(r.unwritten)))
		if partial.Written != n || len(r.unwritten) == 0 {
			r.tu.fail("%s: %d bytes copied, PartialError of %d and %d", r.tu.name, n, partial.Written, len(r.unwritten))
		}
	}
	if took := r.limit - limit.N; r.limit > 0 && took != n+int64(len(r.unwritten)) {
		r.tu.fail("%s: %d bytes copied, %d handed back, and the limit went down by %d", r.tu.name, n, len(r.unwritten), took)
	}
	if s := r.from.out.Diff(r.unwritten, r.n); s != "" {
		r.tu.fail("%s: handed back at %d: %s", r.tu.name, r.n, s)
	}
	switch {
	case err == nil:
		r.ended = r.limit == 0 || limit.N > 0
	case errors.Is(err, errSoakCancelled), !errors.Is(err, os.ErrDeadlineExceeded), r.resumes == 0:
		r.err = err
	default:
		r.resume(err)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r.tu.timeouts.Add(1)
	}
}

// resume writes what was handed back, with new deadlines. Then the copy can go on.
func (r *soakRelay) resume(err error) {
	r.resumes--
	r.tu.resumed.Add(1)
	r.src.SetReadDeadline(time.Time{})
	for len(r.unwritten) > 0 {
		r.dst.SetWriteDeadline(time.Time{})
		n, werr := r.w.Write(r.unwritten)
		r.n += int64(n)
		if r.unwritten = r.unwritten[n:]; werr != nil && !errors.Is(werr, os.ErrDeadlineExceeded) {
			r.err = werr
			return
		}
	}
	r.dst.SetWriteDeadline(time.Time{})
}

// leftover reads what the copy has left in the source.
func (r *soakRelay) leftover() {
	b := make([]byte, 4096)
	at := r.n + int64(len(r.unwritten))
	if r.counted != nil && *r.counted != r.copied {
		r.tu.fail("%s: %d bytes copied, %d counted", r.tu.name, r.copied, *r.counted)
	}
	for {
		r.src.SetReadDeadline(time.Time{})
		n, err := r.r.Read(b)
		if s := r.from.out.Diff(b[:n], at+r.rest); s != "" {
			r.tu.fail("%s: left in the source at %d: %s", r.tu.name, at+r.rest, s)
			return
		}
		if r.rest += int64(n); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			r.ended = err == io.EOF
			return
		}
	}
}

// settle compares the accounts when all is over.
func (r *soakRelay) settle() {
	tu, sent, got := r.tu, r.from.sent.Load(), r.to.received
	tu.bytes.Add(got)
	if r.from.reset.Load() {
		tu.resets.Add(1)
	}
	if r.to.wrong != "" {
		tu.fail("%s: received: %s", tu.name, r.to.wrong)
	}
	if c, ok := r.w.(*counter); ok && c.out != r.n {
		tu.fail("%s: %d bytes accepted, %d counted", tu.name, r.n, c.out)
	}
	known := r.n + int64(len(r.unwritten)) + r.rest
	whole := !r.from.reset.Load() && !tu.broken.Load()
	if known > sent || whole && (known != sent || !r.ended) {
		tu.fail("%s: %d bytes were sent, %d written, %d handed back and %d left (%v)", tu.name, sent, r.n, len(r.unwritten), r.rest, r.err)
	}
	if got > r.n || !r.to.reset.Load() && !tu.broken.Load() && got != r.n {
		tu.fail("%s: %d bytes written, %d received (%v)", tu.name, r.n, got, r.err)
	}
	expected := tu.broken.Load() || r.from.reset.Load() || r.to.reset.Load() ||
		errors.Is(r.err, errSoakCancelled) || errors.Is(r.err, os.ErrDeadlineExceeded)
	if r.err != nil && !expected {
		tu.fail("%s: %v", tu.name, r.err)
	}
	if r.err == nil && strings.HasPrefix(r.name, "counted") && *r.counted != r.copied {
		tu.fail("%s: %d bytes copied, %d counted", tu.name, r.copied, *r.counted)
	}
}
