package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

// The recording and all viewers get the stream, by tee, and its end.
func TestStream(t *testing.T) {
	t.Parallel()
	r, publisher, recording := publish(t)
	all := data(16 << 20)
	first, rest := all[:5<<20], all[5<<20:]

	early, bare := r.get("/live"), dial(t, r.tcp)
	r.until("two viewers are live", are("live", early, bare))
	feed(t, publisher, first, early, bare)
	late, whole := r.get("/live"), r.get("/live?from=start")
	receive(t, whole, first)
	r.until("four viewers are live", are("live", early, bare, late, whole))
	feed(t, publisher, rest, early, bare, late, whole)

	st := r.until("all is counted", func(st *status) bool {
		for _, v := range st.Viewers {
			if v.Position != int64(len(all)) {
				return false
			}
		}
		return st.Recording.Position == int64(len(all))
	})
	for _, v := range st.Viewers {
		want, ok := map[string]struct{ from, live, recorded int64 }{
			early.LocalAddr().String(): {0, 16 << 20, 0},
			bare.LocalAddr().String():  {0, 16 << 20, 0},
			late.LocalAddr().String():  {5 << 20, 11 << 20, 0},
			whole.LocalAddr().String(): {0, 11 << 20, 5 << 20},
		}[v.Name]
		if !ok || v.From != want.from || v.Live != want.live || v.Recorded != want.recorded || v.Lag != 0 || v.Demotions != 0 {
			t.Errorf("%+v, want %+v", v, want)
		}
		if accelerated() && (v.Mechanism != "tee" || v.Why != "") {
			t.Errorf("viewer %d is served by %s: %s", v.ID, v.Mechanism, v.Why)
		}
	}

	publisher.CloseWrite()
	for _, c := range []net.Conn{early, bare, late, whole} {
		receiveEnd(t, c)
		c.Close()
	}
	r.ended(0)
	r.Await(t, `the stream has ended: 16\.8 MB in \S+, recorded up to byte 16777216`)
	if got, err := os.ReadFile(recording); err != nil || !bytes.Equal(got, all) {
		t.Errorf("%d bytes were recorded, or others than were sent: %v", len(got), err)
	}
}

// A viewer that stops falls back to the recording and gets all of it; the others
// are not held up.
func TestDemoted(t *testing.T) {
	t.Parallel()
	r, publisher, _ := publish(t, "-send-buffer", "64K", "-max-lag", "1M")
	all := data(24 << 20)
	before, during, after := all[:1<<20], all[1<<20:20<<20], all[20<<20:]
	quick, slow := r.get("/live"), r.get("/live")
	r.until("two viewers are live", are("live", quick, slow))
	feed(t, publisher, before, quick, slow)
	feed(t, publisher, during, quick)
	name := slow.LocalAddr().String()
	r.Await(t, "http "+name+` falls back to the recording at byte \d+, .*B behind`)
	st := r.until("the slow viewer is served from the recording", func(st *status) bool {
		return st.of(slow).State == "recorded" && st.Position == int64(len(before)+len(during))
	})
	if v := st.of(slow); v.Demotions != 1 || v.Lag < 1<<20 {
		t.Errorf("the slow viewer: %+v", v)
	}

	receive(t, slow, during)
	r.Await(t, "http "+name+` has caught up at byte \d+, after`)
	feed(t, publisher, after, quick, slow)
	st = r.until("the slow viewer is live", func(st *status) bool {
		return st.of(slow).State == "live" && st.of(slow).Position == int64(len(all))
	})
	if v := st.of(slow); v.Live < int64(len(after)) || v.Recorded == 0 || v.Live+v.Recorded != int64(len(all)) || accelerated() && v.Mechanism != "tee" {
		t.Errorf("the slow viewer: %+v", v)
	}
	if v := st.of(quick); v.Demotions != 0 || v.Recorded != 0 {
		t.Errorf("the quick viewer: %+v", v)
	}
	publisher.Close()
	receiveEnd(t, quick)
	receiveEnd(t, slow)
	quick.Close()
	slow.Close()
	r.ended(0)
}

// A viewer that is detached has its connection reset: what it has is not the whole.
func TestDetached(t *testing.T) {
	t.Parallel()
	r := start(t, "-source", "listen:127.0.0.1:0", "-send-buffer", "64K", "-max-lag", "1M")
	publisher := r.publisher()
	quick, slow := r.get("/live"), r.get("/live")
	r.until("two viewers are live", are("live", quick, slow))
	all := data(20 << 20)
	feed(t, publisher, all, quick)
	r.Await(t, "http "+slow.LocalAddr().String()+` is detached: \d\S* MB behind the stream, where 1\.0 MB are allowed; it was sent`)
	if got, err := io.ReadAll(slow); !errors.Is(err, syscall.ECONNRESET) || !bytes.HasPrefix(all, got) {
		t.Errorf("the slow viewer received %d bytes, then %v", len(got), err)
	}
	if v := r.state("").of(slow); v.State != "ended" || v.Left == "" {
		t.Errorf("the slow viewer: %+v", v)
	}
	publisher.Close()
	receiveEnd(t, quick)
	quick.Close()
	r.ended(0)
}

// Nobody but the viewer itself ends its connection, and that is noticed although
// there is nothing to be sent, or nothing that it would take.
func TestGone(t *testing.T) {
	t.Parallel()
	r, publisher, _ := publish(t, "-send-buffer", "64K", "-max-lag", "1M")
	idle, half, stopped := r.get("/live"), dial(t, r.tcp), r.get("/live")
	r.until("three viewers are live", are("live", idle, half, stopped))
	idle.Close()
	r.Await(t, "http "+idle.LocalAddr().String()+` has gone; it was sent 0 B`)
	half.CloseWrite()
	r.Await(t, "tcp "+half.LocalAddr().String()+` has gone`)
	send(t, publisher, data(20<<20))
	r.Await(t, "falls back")
	stopped.Close()
	r.Await(t, "http "+stopped.LocalAddr().String()+` has gone; it was sent .*, up to byte \d+`)
	publisher.Close()
	r.ended(0)
}
