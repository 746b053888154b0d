package zcnet_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A talk is what one peer does, decided before it begins.
type talk struct {
	pattern ztest.Pattern
	pieces  []int
	pauses  []time.Duration
	reset   bool // at its end, instead of a half-close
	reads   int  // bytes at a time
}

func randomTalk(r *rand.Rand) talk {
	k := talk{pattern: ztest.Pattern(r.Uint64()), reset: r.IntN(6) == 0, reads: 64 << r.IntN(12)}
	for range r.IntN(12) {
		k.pieces = append(k.pieces, 1+r.IntN(1<<r.IntN(20)))
		k.pauses = append(k.pauses, time.Duration(r.IntN(4))*time.Duration(r.IntN(500))*time.Microsecond)
	}
	return k
}

func (k talk) size() (n int64) {
	for _, p := range k.pieces {
		n += int64(p)
	}
	return n
}

// speak writes, and ends.
func (k talk) speak(c net.Conn) {
	off := int64(0)
	for i, n := range k.pieces {
		time.Sleep(k.pauses[i])
		p := make([]byte, n)
		k.pattern.Fill(p, off)
		if _, err := c.Write(p); err != nil {
			return
		}
		off += int64(n)
	}
	if k.reset {
		zcnet.Reset(c)
	} else {
		c.(closeWriter).CloseWrite()
	}
}

// listen reads to the end, or an error, and compares with what the other peer says.
func (k talk) listen(c net.Conn, other talk) (n int64, err error) {
	check := other.pattern.Checker()
	p := make([]byte, k.reads)
	for {
		got, err := c.Read(p)
		if _, wrong := check.Write(p[:got]); wrong != nil {
			return check.N(), fmt.Errorf("wrong: %w", wrong)
		}
		if err == io.EOF {
			err = nil
			return check.N(), err
		}
		if err != nil {
			return check.N(), nil // a reset, which is what the other one may have done
		}
	}
}

// TestRelayRandom: two peers that do anything, through a Relay with any options. What
// arrives is what was sent, from its beginning on, and all of it where both have ended well;
// the counts are exact.
func TestRelayRandom(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	for i := range uint64(40) {
		t.Run(fmt.Sprintf("%d,%d", seed, i), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, i))
			one, two := randomTalk(r), randomTalk(r)
			d := dig(t, []string{"tcp", "unix"}[r.IntN(2)], r.IntN(2) == 0)
			o := &zcnet.RelayOptions{Live: &zcnet.RelayMeters{}}
			if r.IntN(2) == 0 {
				o.IdleTimeout = ztest.Patience
			}
			if r.IntN(3) == 0 {
				o.HalfClosedTimeout = ztest.Patience
			}
			if r.IntN(3) == 0 {
				o.PaceAToB = &ledger{burst: r.IntN(100_000)}
			}
			if r.IntN(3) == 0 {
				o.PaceBToA = &ledger{burst: r.IntN(100_000)}
			}
			if c, ok := d.a.(zcnet.Conn); ok && one.size() > 100 && r.IntN(2) == 0 {

				go one.speak(d.atA)
				c.Peek(r.IntN(100))
			} else {
				go one.speak(d.atA)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cut := r.IntN(8) == 0
			if cut {
				time.AfterFunc(time.Duration(r.IntN(3000))*time.Microsecond, cancel)
			}
			d.run(t, ctx, o)
			var peers sync.WaitGroup
			peers.Go(func() { two.speak(d.atB) })
			var atA, atB int64
			var errA, errB error
			peers.Go(func() { atA, errA = one.listen(d.atA, two) })
			peers.Go(func() { atB, errB = two.listen(d.atB, one) })
			d.Wait()
			if d.err != nil {
				zcnet.Reset(d.a)
				zcnet.Reset(d.b)
			}
			peers.Wait()
			s := d.stats
			if errA != nil || errB != nil {
				t.Error(errA, errB)
			}
			if s.AToB.Written != o.Live.AToB.Bytes() || s.BToA.Written != o.Live.BToA.Bytes() || atB > s.AToB.Written || atA > s.BToA.Written {
				t.Error(s, atB, atA, o.Live.AToB.Bytes(), o.Live.BToA.Bytes())
			}
			if well := !one.reset && !two.reset && !cut; well && (d.err != nil || atB != one.size() || atA != two.size() ||
				s.AToB.Written != atB || s.BToA.Written != atA || s.Ending != zcnet.EndedByEOF) {
				t.Error(s, d.err, atB, one.size(), atA, two.size())
			}
			if d.err == nil && (s.AToB.Written != one.size() || s.BToA.Written != two.size()) {
				t.Error("cut short without an error:", s)
			}
			if (d.err == nil) != (s.Ending == zcnet.EndedByEOF) {
				t.Error(s, d.err)
			}
		})
	}
}
