package pages_test

import (
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
)

// TestProbation: Fastest goes back to plain writes when the system has no huge pages any
// more, and loses nothing.
func TestProbation(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	pages.SetFreshFaster(true)
	p, err := zerocopy.NewPipe(1 << 20)
	must(t, err)
	defer p.Close()
	w, err := pages.NewWriter(p, nil)
	must(t, err)
	var sent, read int64
	pattern := ztest.Pattern(9)
	reader := ztest.Go(t, "reader", func() {
		b := make([]byte, 256<<10)
		want := make([]byte, len(b))
		for {
			n, err := p.Read(b)
			pattern.Fill(want[:n], read)
			if string(b[:n]) != string(want[:n]) {
				t.Errorf("other bytes than sent, after %d", read)
			}
			if read += int64(n); err != nil {
				return
			}
		}
	})
	send := func(n int64) {
		for end := sent + n; sent < end; {
			b, err := w.Next()
			must(t, err)
			pattern.Fill(b, sent)
			must(t, w.Commit(len(b)))
			sent += int64(len(b))
		}
	}
	send(pages.LookAfter + 16<<20)
	if s := w.Stats(); s.Mechanism != zerocopy.Vmsplice || s.Lent == 0 {
		t.Fatal(s)
	}
	const prSetTHPDisable = 41 // linux/prctl.h; of this process, which is the test's own
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetTHPDisable, 1, 0, 0, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	send(3 * pages.LookAfter)
	s := w.Stats()
	if s.Mechanism != zerocopy.Buffered || s.Reason != zerocopy.ReasonMeasured {
		t.Error(s)
	}
	send(8 << 20)
	if now := w.Stats(); now.Lent != s.Lent {
		t.Errorf("%v, and before %v", now, s)
	}
	must(t, w.Close())
	must(t, p.CloseWrite())
	reader.Wait()
	if read != sent {
		t.Errorf("%d bytes of %d", read, sent)
	}
}
