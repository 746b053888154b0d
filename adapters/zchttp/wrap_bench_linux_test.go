package zchttp_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
)

// BenchmarkWrap is a request for a file, bare and behind a counting middleware, by turns, in the same
// run; the CPU time is that of client and server.
func BenchmarkWrap(b *testing.B) {
	cpu := func() time.Duration {
		var u syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for _, size := range []int64{4 << 10, 1 << 20, 64 << 20} {
		name := filepath.Join(b.TempDir(), "f")
		must(b, os.WriteFile(name, make([]byte, size), 0o600))
		for _, ours := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dKiB/ours=%t", size>>10, ours), func(b *testing.B) {
				file := func(w http.ResponseWriter, r *http.Request) {
					f, err := os.Open(name)
					if err != nil {
						b.Error(err)
						return
					}
					defer f.Close()
					w.Header().Set("Content-Type", "application/octet-stream")
					w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
					io.Copy(w, f)
				}
				addr := serve(b, ours, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/wrapped" {
						w, _ = zchttp.WrapResponseWriter(w, zchttp.ResponseHooks{Request: r})
					}
					file(w, r)
				})
				c := client(b)
				var wall, used [2]time.Duration
				buf := make([]byte, 256<<10)
				b.SetBytes(2 * size)
				paths := [2]string{"/bare", "/wrapped"}
				for turn := 0; b.Loop(); turn++ {
					for k := range paths {
						i := (turn + k) % 2 // the first of two costs more
						path := paths[i]
						began, before := time.Now(), cpu()
						resp, err := c.Get("http://" + addr + path)
						must(b, err)
						n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, buf)
						resp.Body.Close()
						if n != size {
							b.Fatalf("%d bytes", n)
						}
						wall[i] += time.Since(began)
						used[i] += cpu() - before
					}
				}
				b.ReportMetric(float64(wall[1])/float64(wall[0]), "wrapped/bare-time")
				b.ReportMetric(float64(used[1])/float64(used[0]), "wrapped/bare-cpu")
			})
		}
	}
}
