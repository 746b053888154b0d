package zchttp_test

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// opens is a file system that counts what is opened.
type opens struct {
	fs.FS
	n atomic.Int64
}

func (o *opens) Open(name string) (fs.File, error) {
	o.n.Add(1)
	return o.FS.Open(name)
}

func (o *opens) Stat(name string) (fs.FileInfo, error) { return fs.Stat(o.FS, name) }

func body(h http.Handler, path string) string {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Body.String()
}

// TestCacheKeeps: a file asked for again is not opened again; a large one and one beyond the
// bound are.
func TestCacheKeeps(t *testing.T) {
	t.Parallel()
	fsys := &opens{FS: fstest.MapFS{
		"a": {Data: make([]byte, 1000), ModTime: old}, "b": {Data: make([]byte, 1000), ModTime: old},
		"large": {Data: make([]byte, 1<<17), ModTime: old}, "new": {Data: []byte("x"), ModTime: time.Now().Add(time.Hour)},
	}}
	h := zchttp.FileServer(fsys, &zchttp.FileServerOptions{CacheBytes: 3 << 10, CacheAge: time.Hour})
	for _, tt := range []struct {
		reason, path string
		opened       int64
	}{
		{"the first time", "/a", 1}, {"kept", "/a", 0},
		{"too large", "/large", 1}, {"too large, again", "/large", 1},
		{"written just now", "/new", 1}, {"written just now, again", "/new", 1},
		{"still kept", "/a", 0},
		{"no room for both", "/b", 1}, {"the latest is kept", "/b", 0}, {"the other was dropped", "/a", 1},
	} {
		before := fsys.n.Load()
		body(h, tt.path)
		if n := fsys.n.Load() - before; n != tt.opened {
			t.Errorf("%s: %s: opened %d times, want %d", tt.reason, tt.path, n, tt.opened)
		}
	}
}

// TestCacheNotices: a change is seen once CacheAge is over, and nothing torn before.
func TestCacheNotices(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason string
		change func(t *testing.T, name string)
		want   string
	}{
		{"replaced by one with the same size and time", func(t *testing.T, name string) {
			must(t, os.WriteFile(name+".new", []byte("bbbb"), 0o600))
			must(t, os.Chtimes(name+".new", old, old))
			must(t, os.Rename(name+".new", name))
		}, "bbbb"},
		{"truncated, the time put back", func(t *testing.T, name string) {
			must(t, os.Truncate(name, 2))
			must(t, os.Chtimes(name, old, old))
		}, "aa"},
		{"written in place", func(t *testing.T, name string) { must(t, os.WriteFile(name, []byte("cccc"), 0o600)) }, "cccc"},
		{"removed", func(t *testing.T, name string) { must(t, os.Remove(name)) }, "404 page not found\n"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			t.Parallel()
			dir := tree(t, map[string]string{"f": "aaaa"})
			h := zchttp.FileServer(os.DirFS(dir), &zchttp.FileServerOptions{CacheBytes: 1 << 20, CacheAge: time.Millisecond})
			if got := body(h, "/f"); got != "aaaa" {
				t.Fatalf("%q", got)
			}
			tt.change(t, filepath.Join(dir, "f"))
			ztest.Eventually(t, ztest.Patience, "the change is seen", func() bool { return body(h, "/f") == tt.want })
		})
	}
}

// TestCacheCrowd: many ask at once while a file is replaced; each answer is one of its contents.
func TestCacheCrowd(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"f": "aaaaaaaa", "g": "gggg"})
	h := zchttp.FileServer(os.DirFS(dir), &zchttp.FileServerOptions{CacheBytes: 2 << 10, CacheAge: time.Microsecond})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if got := body(h, "/f"); got != "aaaaaaaa" && got != "bbb" {
					t.Errorf("%q", got)
				}
				body(h, "/g")
			}
		})
	}
	for i := range 50 {
		name := filepath.Join(dir, "f")
		must(t, os.WriteFile(name+".new", []byte([]string{"aaaaaaaa", "bbb"}[i%2]), 0o600))
		must(t, os.Chtimes(name+".new", old, old))
		must(t, os.Rename(name+".new", name))
	}
	wg.Wait()
}
