package zerocopy_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A path is a pair of ends with the way that bytes take between them by default.
type path struct {
	name     string
	src, dst ztest.Kind
	by       zerocopy.Mechanism
	route    string
}

var paths = []path{
	{"file→tcp", ztest.File, ztest.TCP4, zerocopy.Sendfile, "file→tcp"},
	{"file→unix", ztest.File, ztest.Unix, zerocopy.Sendfile, "file→unix"},
	{"file→file", ztest.File, ztest.File, zerocopy.CopyFileRange, "file→file"},
	{"tcp→tcp", ztest.TCP4, ztest.TCP4, zerocopy.Splice, "tcp→pipe→tcp"},
	{"tcp→file", ztest.TCP4, ztest.File, zerocopy.Splice, "tcp→pipe→file"},
	{"tcp→pipe", ztest.TCP4, ztest.Pipe, zerocopy.Splice, "tcp→pipe→pipe"},
	{"pipe→tcp", ztest.Pipe, ztest.TCP4, zerocopy.Splice, "pipe→tcp"},
	{"pipe→pipe", ztest.Pipe, ztest.Pipe, zerocopy.Splice, "pipe→pipe"},
	{"unix→tcp", ztest.Unix, ztest.TCP4, zerocopy.Splice, "unix→pipe→tcp"},
}

const switchSize = 1 << 20

// run copies pattern bytes over p with c and returns the report; contents and
// count are checked.
func (p path) run(t *testing.T, c *zerocopy.Copier) zerocopy.Report {
	t.Helper()
	pattern := ztest.Pattern(7)
	content := pattern.Bytes(switchSize)
	src, dst := ztest.NewSource(t, p.src, content), ztest.NewDest(t, p.dst)
	var got zerocopy.Report
	c.Report = func(r zerocopy.Report) { got = r }
	c.Force(zerocopy.AtOnce)
	n, err := c.Copy(context.Background(), dst.Writer, src.Reader)
	if n != switchSize || err != nil {
		t.Fatalf("copied %d, %v", n, err)
	}
	ztest.Equal(t, p.name, dst.Finish(), content)
	return got
}

// counting returns calls that count what is asked of the kernel by name.
func counting(seen map[string]int) *sys.Calls {
	return &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) {
		seen[c.Name]++
		return 0, nil, false
	}}
}

// TestPaths asserts both that each mechanism was called and that the bytes went
// that way.
func TestPaths(t *testing.T) {
	t.Parallel()
	for _, p := range paths {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			seen := map[string]int{}
			c := new(zerocopy.Copier)
			pool := c.SetCalls(counting(seen))
			defer pool.CloseIdle()
			r := p.run(t, c)
			if got := r.Bytes(p.by); got*100 < switchSize*99 {
				t.Errorf("%d bytes by %v: %v", got, p.by, r)
			}
			if r.Steps[0].Route != p.route || r.Steps[0].Calls == 0 {
				t.Errorf("route %q in %d calls, want %q", r.Steps[0].Route, r.Steps[0].Calls, p.route)
			}
			if seen[p.by.String()] == 0 {
				t.Errorf("no call of %v, but %v", p.by, seen)
			}
		})
	}
}

// TestDisable switches each mechanism off, and all, on every path: not one call
// of it may be made.
func TestDisable(t *testing.T) {
	t.Parallel()
	for _, p := range paths {
		for _, off := range []zerocopy.MechanismSet{zerocopy.Mechanisms(p.by), zerocopy.AllMechanisms} {
			t.Run(p.name+"/"+off.String(), func(t *testing.T) {
				t.Parallel()
				seen := map[string]int{}
				c := &zerocopy.Copier{Disable: off}
				pool := c.SetCalls(counting(seen))
				defer pool.CloseIdle()
				r := p.run(t, c)
				if r.Bytes(p.by) != 0 && p.by != zerocopy.Splice || seen[p.by.String()] != 0 {
					t.Errorf("%v was off and used: %v, %v", p.by, seen, r)
				}
				if off == zerocopy.AllMechanisms && (seen["splice"]+seen["sendfile"]+seen["copy_file_range"] != 0 || r.Bytes(zerocopy.Buffered) != switchSize) {
					t.Errorf("all was off: %v, %v", seen, r)
				}
			})
		}
	}
}

// TestDisableHidesFromForeignReadFrom: with the mechanisms off, a ReadFrom that
// is not ours must not be given what the standard library would send past us.
func TestDisableHidesFromForeignReadFrom(t *testing.T) {
	t.Parallel()
	for _, off := range []zerocopy.MechanismSet{0, zerocopy.Mechanisms(zerocopy.Sendfile)} {
		src := ztest.NewSource(t, ztest.File, ztest.Pattern(1).Bytes(switchSize))
		w := &foreign{}
		c := &zerocopy.Copier{Disable: off}
		if n, err := c.Copy(context.Background(), w, src.Reader); n != switchSize || err != nil {
			t.Fatal(n, err)
		}
		if _, isFile := w.got.(*os.File); isFile != (off == 0) {
			t.Errorf("off %q: ReadFrom was handed a %T", off, w.got)
		}
	}
}

type foreign struct{ got io.Reader }

func (w *foreign) Write(p []byte) (int, error) { return len(p), nil }
func (w *foreign) ReadFrom(r io.Reader) (int64, error) {
	w.got = r
	return io.Copy(struct{ io.Writer }{w}, r)
}

// TestSetDefaultSwitchesWhileRunning: a copy under way obeys from its next chunk.
func TestSetDefaultSwitchesWhileRunning(t *testing.T) {
	if !ztest.Isolated(t) { // the default is the process's
		return
	}
	clone := zerocopy.Default().Clone // of what is the default at the start of the program
	for i, p := range slices.Concat(paths, paths) {
		if p.src == ztest.File {
			continue // done before anybody could switch
		}
		content := ztest.Pattern(3).Bytes(2 * switchSize)
		src, dst := ztest.NewSource(t, p.src, nil, ztest.Manual()), ztest.NewDest(t, p.dst)
		seen := map[string]int{}
		first := new(zerocopy.Copier)
		if i >= len(paths) {
			first = clone()
		}
		pool := first.SetCalls(counting(seen))
		zerocopy.SetDefault(first)
		done := make(chan error, 1)
		go func() {
			_, err := zerocopy.Copy(dst.Writer, src.Reader)
			done <- err
		}()
		src.Feed(content[:switchSize])
		awaitArrived(t, dst, switchSize)
		zerocopy.SetDefault(&zerocopy.Copier{Disable: zerocopy.AllMechanisms})
		// Where the copy waits inside the old way already, one more piece goes by it.
		src.Feed(content[switchSize : switchSize+1])
		awaitArrived(t, dst, switchSize+1)
		before := zerocopy.ReadStats().Bytes(zerocopy.Buffered)
		src.Feed(content[switchSize+1:])
		src.End()
		if err := <-done; err != nil {
			t.Fatal(p.name, err)
		}
		ztest.Equal(t, p.name, dst.Finish(), content)
		if got := zerocopy.ReadStats().Bytes(zerocopy.Buffered) - before; got < switchSize-1 {
			t.Errorf("%s: %d bytes buffered after the switch, want at least %d", p.name, got, switchSize-1)
		}
		zerocopy.SetDefault(nil)
		pool.CloseIdle()
	}
}

// TestSetDefaultSwitchesClones: a clone of what was the default obeys a later one, also in a
// copy that begins after the switch; that of another Copier does not.
func TestSetDefaultSwitchesClones(t *testing.T) {
	if !ztest.Isolated(t) { // the default is the process's
		return
	}
	of, other := zerocopy.Default().Clone(), (&zerocopy.Copier{}).Clone()
	zerocopy.SetDefault(&zerocopy.Copier{Disable: zerocopy.AllMechanisms})
	defer zerocopy.SetDefault(nil)
	for c, want := range map[*zerocopy.Copier]bool{of: false, other: true, of.Clone(): false} {
		content := ztest.Pattern(4).Bytes(1 << 20)
		src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4)
		var report zerocopy.Report
		c.Report = func(r zerocopy.Report) { report = r }
		if _, err := c.Copy(t.Context(), dst.Writer, src.Reader); err != nil {
			t.Fatal(err)
		}
		ztest.Equal(t, "content", dst.Finish(), content)
		if got := report.Bytes(zerocopy.Splice) > 0; got != want {
			t.Errorf("splice %v, want %v: %v", got, want, report)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want zerocopy.MechanismSet
	}{
		{"", 0},
		{"off", zerocopy.AllMechanisms},
		{"splice=off", zerocopy.Mechanisms(zerocopy.Splice)},
		{" splice=off , sendfile=off", zerocopy.Mechanisms(zerocopy.Splice, zerocopy.Sendfile)},
		{"splice=on", 0},      // nothing can be forced on
		{"splice", 0},         // not a switch
		{"buffered=off", 0},   // what is always there cannot be off
		{"httpbody=off", 0},   // no mechanism of this package
		{"off=off,splice", 0}, // nonsense
	} {
		if got := zerocopy.ParseEnvironment(tt.text); got != tt.want {
			t.Errorf("ZEROCOPY=%q switches off %q, want %q", tt.text, got, tt.want)
		}
	}
}

// TestEnvironmentOff runs every path in a process that was started with the switch.
func TestEnvironmentOff(t *testing.T) {
	if !ztest.Isolated(t, "ZEROCOPY=off") {
		return
	}
	for _, p := range paths {
		seen := map[string]int{}
		c := new(zerocopy.Copier)
		pool := c.SetCalls(counting(seen))
		if r := p.run(t, c); r.Bytes(zerocopy.Buffered) != switchSize || seen["splice"]+seen["sendfile"]+seen["copy_file_range"] != 0 {
			t.Errorf("%s: %v, %v", p.name, r, seen)
		}
		pool.CloseIdle()
	}
}

// TestPages: Stable sends no page by reference, Share wherever possible.
func TestPages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		src, dst ztest.Kind
		pages    zerocopy.Pages
		want     zerocopy.Mechanism
		reason   zerocopy.Reason
	}{
		{ztest.File, ztest.TCP4, zerocopy.AsIOCopy, zerocopy.Sendfile, 0},
		{ztest.File, ztest.TCP4, zerocopy.Share, zerocopy.Sendfile, 0},
		{ztest.File, ztest.TCP4, zerocopy.Stable, zerocopy.Buffered, zerocopy.ReasonStable},
		{ztest.File, ztest.Unix, zerocopy.Stable, zerocopy.Buffered, zerocopy.ReasonStable},
		{ztest.File, ztest.Pipe, zerocopy.AsIOCopy, zerocopy.Buffered, zerocopy.ReasonPages},
		{ztest.File, ztest.Pipe, zerocopy.Stable, zerocopy.Buffered, zerocopy.ReasonStable},
		{ztest.File, ztest.Pipe, zerocopy.Share, zerocopy.Splice, 0},
		{ztest.File, ztest.File, zerocopy.Stable, zerocopy.CopyFileRange, 0},
		{ztest.File, ztest.PTY, zerocopy.Stable, zerocopy.Buffered, zerocopy.ReasonStable},
	} {
		t.Run(strings.Join([]string{string(tt.src), string(tt.dst), tt.pages.String()}, "→"), func(t *testing.T) {
			t.Parallel()
			content := ztest.Pattern(9).Bytes(switchSize / 2)
			src, dst := ztest.NewSource(t, tt.src, content), ztest.NewDest(t, tt.dst)
			var r zerocopy.Report
			c := &zerocopy.Copier{Pages: tt.pages, Report: func(got zerocopy.Report) { r = got }}
			plan := c.Explain(dst.Writer, src.Reader)
			if _, err := c.Copy(context.Background(), dst.Writer, src.Reader); err != nil {
				t.Fatal(err)
			}
			if got := dst.Finish(); !bytes.Equal(got, content) {
				t.Error(ztest.Diff(got, content))
			}
			if m := plan.Main(); m.Mechanism != tt.want || m.Reason != tt.reason {
				t.Errorf("planned: %v", plan)
			}
			if r.Bytes(tt.want) != int64(len(content)) || r.Steps[0].Reason != tt.reason {
				t.Errorf("done: %v", r)
			}
		})
	}
}

// awaitArrived waits until n bytes are at the destination's peer or in its file.
func awaitArrived(t *testing.T, d *ztest.Dest, n int64) {
	t.Helper()
	if d.Kind.Stream() {
		d.AwaitReceived(n)
		return
	}
	ztest.Eventually(t, ztest.Patience, "bytes in the file", func() bool {
		st, err := os.Stat(d.Name())
		return err == nil && st.Size() >= n
	})
}
