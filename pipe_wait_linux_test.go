package zerocopy_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A teeing is a Tee under way.
type teeing struct {
	*ztest.Task
	n   int64
	err error
}

func beginTee(t *testing.T, dst, p *zerocopy.Pipe, n int64) *teeing {
	r := new(teeing)
	r.Task = ztest.Go(t, "Tee", func() { r.n, r.err = p.Tee(dst, n) })
	return r
}

// fill fills p, slot by slot.
func fill(t *testing.T, p *zerocopy.Pipe) {
	t.Helper()
	b := make([]byte, p.Size()-p.Buffered())
	if n, err := p.Write(b); n != len(b) || err != nil {
		t.Fatal(n, err)
	}
}

// teeWaits are the two waits of Tee, with what ends each.
var teeWaits = []struct {
	name, op string
	prepare  func(t *testing.T, dst, p *zerocopy.Pipe)
	waited   func(dst, p *zerocopy.Pipe) *zerocopy.Pipe // whose end is waited for
	ready    func(t *testing.T, dst, p *zerocopy.Pipe)
	parked   func(*teeing)
	expire   func(*zerocopy.Pipe, time.Time) error
}{
	{
		"for a byte", "read",
		func(*testing.T, *zerocopy.Pipe, *zerocopy.Pipe) {},
		func(_, p *zerocopy.Pipe) *zerocopy.Pipe { return p },
		func(t *testing.T, _, p *zerocopy.Pipe) { p.Write([]byte("abc")) },
		func(r *teeing) { r.AwaitParked() },
		(*zerocopy.Pipe).SetReadDeadline,
	},
	{
		"for a slot", "write",
		func(t *testing.T, dst, p *zerocopy.Pipe) {
			p.Write([]byte("abc"))
			fill(t, dst)
		},
		func(dst, _ *zerocopy.Pipe) *zerocopy.Pipe { return dst },
		func(t *testing.T, dst, _ *zerocopy.Pipe) { io.ReadFull(dst, make([]byte, dst.Size())) },
		func(r *teeing) { r.AwaitParkedToWrite() },
		(*zerocopy.Pipe).SetWriteDeadline,
	},
}

// TestPipeTeeWaits: for a byte in p and for a slot in dst, without a pause and
// without a spin; a deadline, and Close, end each wait, and nothing is duplicated.
func TestPipeTeeWaits(t *testing.T) {
	t.Parallel()
	for _, w := range teeWaits {
		for _, end := range []string{"ready", "deadline", "deadline before", "Close", "deadline of the other"} {
			t.Run(w.name+"/"+end, func(t *testing.T) {
				t.Parallel()
				p, dst := newPipe(t, 0), newPipe(t, 0)
				w.prepare(t, dst, p)
				full := dst.Buffered()
				waited, want := w.waited(dst, p), error(nil)
				if end == "deadline before" {
					must(t, w.expire(waited, past))
				}
				r := beginTee(t, dst, p, 100)
				if end != "deadline before" {
					w.parked(r)
				}
				switch end {
				case "ready":
					w.ready(t, dst, p)
				case "deadline":
					must(t, w.expire(waited, past))
					want = os.ErrDeadlineExceeded
				case "deadline before":
					want = os.ErrDeadlineExceeded
				case "Close":
					must(t, waited.Close())
					want = os.ErrClosed
				case "deadline of the other":
					// It is no matter for a wait for this end, but nothing is
					// duplicated after it.
					must(t, p.SetReadDeadline(past))
					must(t, dst.SetWriteDeadline(past))
					w.ready(t, dst, p)
					want = os.ErrDeadlineExceeded
				}
				r.Wait()
				if want == nil {
					if r.n != 3 || r.err != nil || p.Buffered() != 3 {
						t.Errorf("%d, %v", r.n, r.err)
					}
					ztest.Equal(t, "duplicate", contentsOf(t, dst), []byte("abc"))
					return
				}
				var path *fs.PathError
				if r.n != 0 || !errors.Is(r.err, want) || !errors.As(r.err, &path) || path.Op != w.op && end != "deadline of the other" {
					t.Errorf("%d, %v, want %v of a %s", r.n, r.err, want, w.op)
				}
				if now := dst.Buffered(); end != "Close" && end != "deadline of the other" && now != full {
					t.Errorf("%d bytes in dst, before there were %d", now, full)
				}
			})
		}
	}
}

// TestPipeTeeEnd: a p that is empty and closed for writing is at its end, whether dst
// has room or not, unless it is dst that is waited for already.
func TestPipeTeeEnd(t *testing.T) {
	t.Parallel()
	for _, full := range []bool{false, true} {
		for _, later := range []bool{false, true} {
			p, dst := newPipe(t, 0), newPipe(t, 0)
			if full {
				fill(t, dst)
				dst.SetWriteDeadline(time.Now().Add(5 * time.Second)) // it must not come to that
			}
			if !later {
				must(t, p.CloseWrite())
			}
			r := beginTee(t, dst, p, 100)
			if later {
				r.AwaitParked()
				must(t, p.CloseWrite())
			}
			if full && later {
				contentsOf(t, dst)
			}
			r.Wait()
			if r.n != 0 || r.err != io.EOF {
				t.Errorf("full %v, closed later %v: %d, %v", full, later, r.n, r.err)
			}
		}
	}
}

// TestPipeTeeBesideWrite: what others write to dst does not land inside of a
// duplicate, nor the other way round.
func TestPipeTeeBesideWrite(t *testing.T) {
	t.Parallel()
	const rounds, small = 300, 1000
	p, dst := newPipe(t, 0), newPipe(t, 0)
	p.Write(bytes.Repeat([]byte("t"), 20*small))
	var writers sync.WaitGroup
	writers.Go(func() {
		line := bytes.Repeat([]byte("w"), small)
		for range rounds {
			if n, err := dst.Write(line); n != small || err != nil {
				t.Error(n, err)
				return
			}
		}
	})
	writers.Go(func() {
		for range rounds {
			if n, err := p.Tee(dst, small); n != small || err != nil {
				t.Error(n, err) // a slot takes one that is less than a page
				return
			}
		}
	})
	go func() {
		writers.Wait()
		dst.CloseWrite()
	}()
	got, err := io.ReadAll(struct{ io.Reader }{dst})
	must(t, err)
	w, d := bytes.Count(got, []byte("w")), bytes.Count(got, []byte("t"))
	if w != rounds*small || d != w || len(got) != w+d {
		t.Errorf("%d bytes, of which %d were written and %d duplicated", len(got), w, d)
	}
	for len(got) > 0 {
		run := len(got) - len(bytes.TrimLeft(got, string(got[:1])))
		if run%small != 0 {
			t.Fatalf("a run of %d bytes %q", run, got[:1])
		}
		got = got[run:]
	}
}

// TestPipeCloseWhileFull: whoever waits for room hears that the Pipe is closed, and not
// that nobody reads it, although one end is closed before the other; what a copy has
// taken is handed back. The order in which the two are seen is chance: hence the rounds.
func TestPipeCloseWhileFull(t *testing.T) {
	t.Parallel()
	for range 60 {
		src := ztest.NewSource(t, ztest.Unix, ztest.Pattern(2).Bytes(100_000))
		q := newPipe(t, 0)
		q.Write([]byte("x"))
		var n int64
		for name, f := range map[string]func(p *zerocopy.Pipe) error{
			"Write":    func(p *zerocopy.Pipe) error { _, err := p.Write([]byte("x")); return err },
			"Tee":      func(p *zerocopy.Pipe) error { _, err := q.Tee(p, 1); return err },
			"ReadFrom": func(p *zerocopy.Pipe) (err error) { n, err = p.ReadFrom(src.Reader); return err },
		} {
			p := newPipe(t, 0)
			if name != "ReadFrom" {
				fill(t, p)
			}
			var err error
			waits := ztest.Go(t, name, func() { err = f(p) })
			waits.AwaitParkedToWrite()
			must(t, p.Close())
			waits.Wait()
			if !errors.Is(err, os.ErrClosed) {
				t.Fatalf("%s: %v", name, err)
			}
			if name == "ReadFrom" {
				checkRest(t, src, n, err)
			}
		}
	}
}

// TestPipeCloseDuringCopies: Close ends a fill of a full Pipe and an emptying of an
// empty one.
func TestPipeCloseDuringCopies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(*zerocopy.Pipe) error
		want error
	}{
		{"Close", (*zerocopy.Pipe).Close, os.ErrClosed},
		{"deadline", func(p *zerocopy.Pipe) error { return p.SetDeadline(past) }, os.ErrDeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			full, empty := newPipe(t, 0), newPipe(t, 0)
			src, dst := ztest.NewSource(t, ztest.TCP4, ztest.Pattern(1).Bytes(1<<20)), ztest.NewDest(t, ztest.TCP4)
			var n, m int64
			var err, err2 error
			filling := ztest.Go(t, "ReadFrom", func() { n, err = full.ReadFrom(src.Reader) })
			emptying := ztest.Go(t, "WriteTo", func() { m, err2 = empty.WriteTo(dst.Writer) })
			filling.AwaitParkedToWrite()
			emptying.AwaitParked()
			must(t, tt.end(full))
			must(t, tt.end(empty))
			filling.Wait()
			emptying.Wait()
			if n == 0 || !errors.Is(err, tt.want) {
				t.Errorf("ReadFrom: %d, %v", n, err)
			}
			if m != 0 || !errors.Is(err2, tt.want) {
				t.Errorf("WriteTo: %d, %v", m, err2)
			}
			checkRest(t, src, n, err)
		})
	}
}
