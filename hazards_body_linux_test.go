package zerocopy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// Bodies of net/http under faults; what they are like without is tested in adapters/zchttp.

// wire returns a request with the body in chunks of these sizes, in turn; with none its length is
// declared.
func wire(body []byte, chunks ...int) []byte {
	var b bytes.Buffer
	b.WriteString("POST / HTTP/1.1\r\nHost: h\r\n")
	if len(chunks) == 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
		return b.Bytes()
	}
	b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
	for i := 0; len(body) > 0; i++ {
		n := min(chunks[i%len(chunks)], len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	b.WriteString("0\r\n\r\n")
	return b.Bytes()
}

// upload sends request in pieces of these sizes, in turn, and then another one, and has handle
// deal with the first. The second has to arrive, too, if handle has read the first to its end.
func upload(t testing.TB, request []byte, pieces []int, handle func(body io.Reader) (ended bool)) {
	t.Helper()
	behind := "POST /second HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nyes"
	send(t, append(bytes.Clone(request), behind...), pieces, handle)
}

// send is upload of just that.
func send(t testing.TB, stream []byte, pieces []int, handle func(body io.Reader) (ended bool)) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(zchttp.SpliceBodies(true))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	first := make(chan bool, 1)
	second := make(chan string, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/second" {
			p, _ := io.ReadAll(r.Body)
			second <- string(p)
			return
		}
		ended := false
		defer func() { first <- ended }()
		ended = handle(r.Body)
	})}
	served := ztest.Go(t, "Serve", func() { srv.Serve(zcnet.NewListener(ln)) })
	defer served.Wait()
	defer srv.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	must(err)
	defer conn.Close()
	sent := ztest.Go(t, "client", func() {
		for i := 0; len(stream) > 0; i++ {
			n := min(pieces[i%len(pieces)], len(stream))
			if _, err := conn.Write(stream[:n]); err != nil {
				return
			}
			stream = stream[n:]
			runtime.Gosched()
		}
	})
	defer sent.Wait()
	var ended bool
	ztest.Within(t, ztest.Patience, "the handler", func() { ended = <-first })
	if !ended {
		conn.Close()
		return
	}
	ztest.Within(t, ztest.Patience, "the request behind it", func() {
		if text := <-second; text != "yes" {
			t.Errorf("the body behind it is %q", text)
		}
	})
}

// TestH29BodyInjected: a call that fails although nothing is wrong with the bytes costs speed
// and nothing else: the 1st, 2nd or 5th time, or from then on.
func TestH29BodyInjected(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(2942).Bytes(300_000)
	for name, chunks := range map[string][]int{"declared": nil, "chunked": {70_000, 1, 20_000}} {
		copy := func(t *testing.T, f answer) *tracked {
			dst := ztest.NewDest(t, ztest.File)
			c := track(t, f)
			c.Force(zerocopy.AtOnce)
			upload(t, wire(content, chunks...), []int{45_000}, func(body io.Reader) bool {
				n, err := c.within(t, dst.Writer, body)
				checkWhole(t, dst, n, err, content)
				return true
			})
			return c
		}
		seen := copy(t, nil)
		if seen.calls["splice"] == 0 {
			t.Fatalf("not spliced: %v", seen.report)
		}
		for _, call := range []string{"splice", "pipe2", "poll", "FIONREAD", "F_GETFL"} {
			for _, errno := range []syscall.Errno{syscall.EINVAL, syscall.EPERM, syscall.ENOSYS, syscall.EMFILE} {
				for _, nth := range []int{1, 2, 5, -1} {
					t.Run(fmt.Sprint(name, "/", call, "/", errno, "/", nth), func(t *testing.T) {
						t.Parallel()
						if call == "splice" && errno == syscall.EMFILE {
							return // splice has no such answer, and it would be the copy's
						}
						copy(t, func(c *sys.Call, n int) (int, error, bool) {
							return 0, errno, c.Name == call && (n == nth || nth < 0)
						})
					})
				}
			}
		}
	}
}

// TestH21BodyHandsBack: a copy that ends in the middle hands back what it had taken, and what the
// body still has follows that.
func TestH21BodyHandsBack(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(2142).Bytes(400_000)
	enough := errors.New("enough")
	for name, chunks := range map[string][]int{"declared": nil, "chunked": {70_000, 1, 20_000}, "one chunk": {1 << 20}} {
		for _, at := range []int64{1, 4000, 4096, 50_000, 69_999, 70_000, 70_001, 200_000, 399_999} {
			for _, limit := range []int64{0, 399_999, 350_000} {
				t.Run(fmt.Sprint(name, "/", at, "/", limit), func(t *testing.T) {
					t.Parallel()
					want := content
					dst := ztest.NewDest(t, ztest.File)
					upload(t, wire(content, chunks...), []int{1000, 64_000}, func(body io.Reader) bool {
						if limit > 0 {
							body = http.MaxBytesReader(nil, body.(io.ReadCloser), limit)
							want = content[:limit]
						}
						var seen int64
						w := &teller{w: dst.Writer, moved: func(n int64) error {
							if seen += n; seen >= at {
								return enough
							}
							return nil
						}}
						c := track(t, nil)
						c.Force(zerocopy.AtOnce)
						n, err := c.within(t, w, body)
						if stopped := errors.Is(err, enough); n < min(at, int64(len(want))) || stopped != (at <= int64(len(want))) {
							t.Errorf("%d bytes, %v", n, err)
						}
						rest := bytes.Clone(unwritten(t, n, err))
						more, _ := io.ReadAll(body)
						ztest.Equal(t, "written, handed back and left", slices.Concat(dst.Finish(), rest, more), want)
						return limit == 0
					})
				})
			}
		}
	}
}

// TestH02BodySlots: a pipe has slots, not bytes: what a Read gets after the pipe is full follows what
// is in it.
func TestH02BodySlots(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(242).Bytes(60_000)
	dst := ztest.NewDest(t, ztest.File)
	request := wire(content, len(content))
	c := track(t, nil)
	c.Force(zerocopy.AtOnce)
	full := false
	pipes := c.SetCalls(&sys.Calls{Intercept: func(call *sys.Call) (int, error, bool) {
		if call.Name == "splice" && call.N > 10_000 {
			full = true
			call.N = 10_000 // as if its slots were used up
		}
		return 0, nil, false
	}})
	t.Cleanup(pipes.CloseIdle)
	upload(t, request, []int{len(request)}, func(body io.Reader) bool {
		n, err := c.within(t, dst.Writer, body)
		checkWhole(t, dst, n, err, content)
		return true
	})
	if !full || c.report.Bytes(zerocopy.Splice) > 50_000 {
		t.Errorf("%v", c.report)
	}
}

// TestH10BodyIdle: while it waits for more of a body, a copy holds no pipe, and it has delivered all
// there was but for what io.Copy's buffer would hold back, too.
func TestH10BodyIdle(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(1042).Bytes(1 << 20)
	for name, chunks := range map[string][]int{"declared": nil, "a chunk": {1 << 20}, "chunks": {100_000}} {
		for _, stop := range []int{150_000, 199_990, 200_000, 200_011, 250_001} {
			t.Run(fmt.Sprint(name, "/", stop), func(t *testing.T) {
				t.Parallel()
				dst := ztest.NewDest(t, ztest.TCP4)
				request := wire(content, chunks...)
				c := track(t, nil)
				pipes := c.SetCalls(nil)
				t.Cleanup(pipes.CloseIdle)
				send(t, request[:stop], []int{3000, 64_000}, func(body io.Reader) bool {
					n := make(chan int64, 1)
					ctx, cancel := context.WithCancelCause(context.Background())
					ended := ztest.Go(t, "Copy", func() {
						k, _ := c.Copy(ctx, dst.Writer, body)
						n <- k
					})
					dst.AwaitReceived(int64(stop - zerocopy.BufferSize - 200))
					ended.AwaitParked()
					if s := pipes.Stats(); s.Open != s.Idle {
						t.Errorf("pipes: %+v", s)
					}
					cancel(errors.New("enough"))
					ended.Wait()
					ztest.Equal(t, "received", dst.Finish(), content[:<-n])
					return false
				})
			})
		}
	}
}

// A teller is a destination that wants to be told.
type teller struct {
	w     io.Writer
	moved func(int64) error
}

func (w *teller) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if e := w.moved(int64(n)); err == nil {
		err = e
	}
	return n, err
}

func (w *teller) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: w, Writer: w.w, Moved: w.moved}, true
}

// TestBodyRandom: chunks and pieces of any size, spliced and read in turns.
func TestBodyRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 42))
			sizes := func(most int) (all []int) {
				for range 1 + rng.IntN(6) {
					all = append(all, 1+rng.IntN(1+rng.IntN(most)))
				}
				return all
			}
			content := ztest.Pattern(seed).Bytes(rng.IntN(600_000))
			chunks := sizes(200_000)
			if seed%4 == 0 {
				chunks = nil
			} else if slices.Max(chunks) < 1000 {
				content = content[:min(len(content), 20_000)]
			}
			kind := []ztest.Kind{ztest.File, ztest.TCP4, ztest.Pipe, ztest.Unix}[rng.IntN(4)]
			dst := ztest.NewDest(t, kind)
			c := track(t, nil)
			c.Force([]func(int64) bool{zerocopy.AtOnce, zerocopy.Alternate()}[seed%2])
			upload(t, wire(content, chunks...), append(sizes(100_000), 5000), func(body io.Reader) bool {
				if seed%3 == 0 {
					body = http.MaxBytesReader(nil, body.(io.ReadCloser), int64(len(content)))
				}
				n, err := c.within(t, dst.Writer, body)
				checkWhole(t, dst, n, err, content)
				return true
			})
			if t.Failed() {
				t.Log(chunks, kind, strings.TrimSpace(c.report.String()))
			}
		})
	}
}
