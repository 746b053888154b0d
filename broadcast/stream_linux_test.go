package broadcast_test

import (
	"fmt"
	"testing"

	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestStream: from every kind of source that is spliced to every kind of sink that is
// spliced to, no byte passes user memory, and all are right.
func TestStream(t *testing.T) {
	t.Parallel()
	for _, k := range []ztest.Kind{ztest.TCP4, ztest.TCP6, ztest.MPTCP, ztest.Unix} {
		for _, sizes := range [][]int{{64 << 10}, {1, 188, 1448}, {1 << 20, 1}} {
			t.Run(fmt.Sprint(k, sizes), func(t *testing.T) {
				t.Parallel()
				s := newShow(t, k)
				for _, to := range []ztest.Kind{ztest.TCP4, ztest.TCP6, ztest.MPTCP, ztest.Unix, ztest.SockFile, ztest.Pipe, ztest.FIFO, ztest.File, ztest.Tmpfs, ztest.Null} {
					if ztest.Unavailable(to) == "" {
						s.view(to, &broadcast.SinkOptions{Name: string(to)})
					}
				}
				s.run(t.Context())
				s.feed(1<<20, sizes...)
				s.finish()
				s.requireKernel()
				for _, v := range s.viewers {
					v.requireTee()
					if st := v.sink.Stats(); st.Live != s.fed || st.Recorded != 0 {
						t.Errorf("%s: %+v", v.name, st)
					}
				}
				if s.count("tee") == 0 {
					t.Error("no tee")
				}
			})
		}
	}
}
