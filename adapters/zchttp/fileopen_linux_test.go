package zchttp_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// descriptors returns how many descriptors this process has of files in dir.
func descriptors(t *testing.T, dir string) (n int) {
	fds, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, dir+"/") {
			n++
		}
	}
	return n
}

// keeping serves dir with files kept open, and counts what is opened.
func keeping(t *testing.T, dir string, files int, age time.Duration) (*zchttp.FileHandler, *opens) {
	fsys := &opens{FS: os.DirFS(dir)}
	h := zchttp.FileServer(fsys, &zchttp.FileServerOptions{CacheFiles: files, CacheAge: age})
	t.Cleanup(func() { h.Close() })
	return h, fsys
}

// TestFilesKeptOpen: which files are kept, how many, and until when.
func TestFilesKeptOpen(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a": "aaaa", "b": "bbbb", "c": "cccc", "d/index.html": "dddd"})
	h, fsys := keeping(t, dir, 2, time.Hour)
	for _, tt := range []struct {
		reason, path, want string
		opened             int64
		kept               int
	}{
		{"the first time", "/a", "aaaa", 1, 1},
		{"kept", "/a", "aaaa", 0, 1},
		{"another", "/b", "bbbb", 1, 2},
		{"still kept", "/a", "aaaa", 0, 2},
		{"no room for three", "/c", "cccc", 1, 2},
		{"the latest are kept", "/a", "aaaa", 0, 2},
		{"the other was closed", "/b", "bbbb", 1, 2},
		{"an index", "/d/", "dddd", 1, 2},
		{"what is not there", "/e", "404 page not found\n", 1, 2},
	} {
		before := fsys.n.Load()
		if got := body(h, tt.path); got != tt.want {
			t.Errorf("%s: %s: %q", tt.reason, tt.path, got)
		}
		if n := fsys.n.Load() - before; n != tt.opened {
			t.Errorf("%s: %s: opened %d times, want %d", tt.reason, tt.path, n, tt.opened)
		}
		if n := descriptors(t, dir); n != tt.kept {
			t.Errorf("%s: %d are open, want %d", tt.reason, n, tt.kept)
		}
	}
	must(t, h.Close())
	if n := descriptors(t, dir); n != 0 {
		t.Errorf("%d are open after Close", n)
	}
	if got := body(h, "/a"); got != "aaaa" || descriptors(t, dir) != 0 {
		t.Errorf("after Close: %q, %d are open", got, descriptors(t, dir))
	}

	h, _ = keeping(t, dir, 2, 10*time.Millisecond)
	body(h, "/a")
	ztest.Eventually(t, ztest.Patience, "what nobody asks for is closed", func() bool { return descriptors(t, dir) == 0 })

	both := zchttp.FileServer(os.DirFS(dir), &zchttp.FileServerOptions{CacheFiles: 9, CacheBytes: 1 << 20, CacheAge: time.Hour})
	defer both.Close()
	body(both, "/a")
	if n := descriptors(t, dir); n != 0 {
		t.Errorf("%d are open of files whose contents are kept", n)
	}
}

// TestFilesKeptOpenNotice: what changes about a file that is kept open is seen: in it at once, of its name
// after the CacheAge.
func TestFilesKeptOpenNotice(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason string
		change func(t *testing.T, name string)
		want   string
		atOnce bool
	}{
		{"truncated, the time put back", func(t *testing.T, name string) {
			must(t, os.Truncate(name, 2))
			must(t, os.Chtimes(name, old, old))
		}, "aa", true},
		{"written in place", func(t *testing.T, name string) { must(t, os.WriteFile(name, []byte("cccccc"), 0o600)) }, "cccccc", true},
		{"replaced by one with the same size and time", func(t *testing.T, name string) {
			must(t, os.WriteFile(name+".new", []byte("bbbb"), 0o600))
			must(t, os.Chtimes(name+".new", old, old))
			must(t, os.Rename(name+".new", name))
		}, "bbbb", false},
		{"removed", func(t *testing.T, name string) { must(t, os.Remove(name)) }, "404 page not found\n", false},
		{"a directory in its place", func(t *testing.T, name string) {
			must(t, os.Remove(name))
			must(t, os.Mkdir(name, 0o700))
		}, "", false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			dir := tree(t, map[string]string{"f": "aaaa"})
			age := 300 * time.Millisecond
			if tt.atOnce {
				age = time.Hour
			}
			h, _ := keeping(t, dir, 2, age)
			if got := body(h, "/f"); got != "aaaa" {
				t.Fatalf("%q", got)
			}
			tt.change(t, filepath.Join(dir, "f"))
			if tt.atOnce {
				if got := body(h, "/f"); got != tt.want {
					t.Errorf("%q", got)
				}
				return
			}
			// Asked for all the time: it is not closed for idleness.
			for began := time.Now(); body(h, "/f") != tt.want; {
				if time.Since(began) > ztest.Patience {
					t.Fatal("the change is not seen")
				}
			}
		})
	}
	t.Run("may no longer be read", func(t *testing.T) {
		t.Parallel()
		dir := tree(t, map[string]string{"f": "aaaa"})
		h, fsys := keeping(t, dir, 2, time.Hour)
		body(h, "/f")
		must(t, os.Chmod(filepath.Join(dir, "f"), 0))
		body(h, "/f")
		if n := fsys.n.Load(); n != 2 {
			t.Errorf("opened %d times: root may read it still, others may not", n)
		}
	})
}

// TestFilesKeptOpenOffsets: whatever part of it a file was last read up to, the next response is right.
func TestFilesKeptOpenOffsets(t *testing.T) {
	t.Parallel()
	dir, content := largeDir(t)
	for _, ours := range []bool{false, true} {
		t.Run(fmt.Sprint(ours), func(t *testing.T) {
			t.Parallel()
			h, fsys := keeping(t, dir, 10, time.Hour)
			const clients, requests = 4, 20
			var served [clients]chan struct{} // by the handler, which may end after the client has all
			for i := range served {
				served[i] = make(chan struct{}, 1)
			}
			addr := serve(t, ours, func(w http.ResponseWriter, r *http.Request) {
				h.ServeHTTP(w, r)
				i, _ := strconv.Atoi(r.URL.RawQuery)
				served[i] <- struct{}{}
			})
			var wg sync.WaitGroup
			for i := range clients {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(1, uint64(i)))
					c := &http.Client{Transport: &http.Transport{}}
					defer c.CloseIdleConnections()
					for range requests {
						var ranges string
						var want [][]byte
						for range rnd.IntN(3) {
							a := rnd.IntN(len(content))
							n := 1 + rnd.IntN(min(len(content)-a, 1<<(1+rnd.IntN(20))))
							ranges += fmt.Sprintf(",%d-%d", a, a+n-1)
							want = append(want, content[a:a+n])
						}
						if ranges == "" {
							want = [][]byte{content}
						} else {
							ranges = "bytes=" + ranges[1:]
						}
						got := fetch(t, c, fmt.Sprintf("http://%s/f?%d", addr, i), ranges)
						<-served[i]
						if len(got) != len(want) {
							t.Errorf("%s: %d parts", ranges, len(got))
							continue
						}
						for i := range got {
							if !bytes.Equal(got[i], want[i]) {
								t.Errorf("%s: part %d is wrong: %d bytes", ranges, i, len(got[i]))
							}
						}
					}
				})
			}
			wg.Wait()
			if n := fsys.n.Load(); n > clients {
				t.Errorf("opened %d times for %d clients", n, clients)
			}
		})
	}
}

// A narrow ResponseWriter takes so many bytes.
type narrow struct {
	http.ResponseWriter
	room int
}

func (w *narrow) Write(p []byte) (int, error) {
	n := min(len(p), w.room)
	w.room -= n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// TestFilesKeptOpenFailure: a file in the middle of which a client has gone is not handed on.
func TestFilesKeptOpenFailure(t *testing.T) {
	t.Parallel()
	dir, content := largeDir(t)
	h, _ := keeping(t, dir, 10, time.Hour)
	for range 2 { // something was read, nothing written
		func() {
			defer func() { recover() }()
			h.ServeHTTP(&narrow{httptest.NewRecorder(), 0}, httptest.NewRequest("GET", "/f", nil))
		}()
		if got := body(h, "/f"); got != string(content) {
			t.Errorf("%d bytes after a write has failed", len(got))
		}
	}
	for _, ours := range []bool{false, true} {
		h, _ := keeping(t, dir, 10, time.Hour)
		addr := serve(t, ours, h.ServeHTTP)
		for range 5 {
			c, err := net.Dial("tcp", addr)
			must(t, err)
			must(t, c.(*net.TCPConn).SetReadBuffer(4096))
			_, err = io.WriteString(c, "GET /f HTTP/1.1\r\nHost: x\r\n\r\n")
			must(t, err)
			_, err = io.ReadFull(c, make([]byte, 1000))
			must(t, err)
			must(t, c.(*net.TCPConn).SetLinger(0))
			must(t, c.Close())
			if got := fetch(t, client(t), "http://"+addr+"/f", ""); !bytes.Equal(got[0], content) {
				t.Errorf("%d bytes after a client has gone", len(got[0]))
			}
		}
	}
}
