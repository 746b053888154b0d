package pages_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
)

// taskEnv tells a child process what to do.
const taskEnv = "PAGES_TASK"

// child prepares this test binary to run the test again, as another program.
func child(t *testing.T, task string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	name, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.Command(exe, "-test.run=^"+name+"$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), taskEnv+"="+task, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// faults are programs that write to a buffer that is not theirs.
var faults = []struct {
	name  string
	fault func(t *testing.T)
}{
	{"pipe, reader copies", func(t *testing.T) { late(t, ztest.Pipe, pages.Options{Lend: pages.ReaderCopies}) }},
	{"pipe, fresh pages", func(t *testing.T) { late(t, ztest.Pipe, pages.Options{Lend: pages.FreshPages}) }},
	{"pipe, fresh huge pages", func(t *testing.T) { late(t, ztest.Pipe, pages.Options{Lend: pages.FreshPages, Huge: true}) }},
	{"pipe, fastest", func(t *testing.T) { late(t, ztest.Pipe, pages.Options{}) }},
	{"TCP", func(t *testing.T) { late(t, ztest.TCP4, pages.Options{}) }},
	{"plain", func(t *testing.T) { late(t, ztest.Unix, pages.Options{}) }},
	{"after Close", func(t *testing.T) {
		w, err := pages.NewWriter(ztest.NewDest(t, ztest.Pipe).Writer, &pages.Options{Lend: pages.ReaderCopies, Check: true})
		must(t, err)
		buf, err := w.Next()
		must(t, err)
		must(t, w.Close())
		culprit(buf)
	}},
	{"after Close, committed", func(t *testing.T) {
		w, err := pages.NewWriter(ztest.NewDest(t, ztest.TCP4).Writer, &pages.Options{Check: true})
		must(t, err)
		buf, err := w.Next()
		must(t, err)
		must(t, w.Commit(len(buf)))
		must(t, w.Close())
		for range 10 { // new memory comes elsewhere
			m, err := pages.NewMemory(w.RingSize(), false)
			must(t, err)
			m.Bytes()[0] = 1
		}
		culprit(buf)
	}},
	{"behind the bytes of a short Commit", func(t *testing.T) {
		w, err := pages.NewWriter(ztest.NewDest(t, ztest.Pipe).Writer, &pages.Options{Lend: pages.ReaderCopies, LendFrom: 1, Check: true})
		must(t, err)
		buf, err := w.Next()
		must(t, err)
		must(t, w.Commit(100))
		culprit(buf[len(buf)-1:])
	}},
	{"a Constant", func(t *testing.T) { culprit(constant(t, 1, 5000).Bytes()) }},
	{"a closed Constant", func(t *testing.T) {
		c := constant(t, 1, 5000)
		p := c.Bytes()
		must(t, c.Close())
		culprit(p)
	}},
}

// late writes to a buffer after its Commit.
func late(t *testing.T, k ztest.Kind, o pages.Options) {
	o.Check = true
	w, err := pages.NewWriter(ztest.NewDest(t, k).Writer, &o)
	must(t, err)
	buf, err := w.Next()
	must(t, err)
	for i := range buf {
		buf[i] = 1 // may be written to until then
	}
	must(t, w.Commit(len(buf)-4096))
	culprit(buf)
}

//go:noinline
func culprit(buf []byte) { buf[0] = 2 }

// TestCheck: with Check a write too early faults at the culprit, which the runtime names.
func TestCheck(t *testing.T) {
	if task := os.Getenv(taskEnv); task != "" {
		i, err := strconv.Atoi(task)
		must(t, err)
		faults[i].fault(t)
		os.Exit(0)
	}
	t.Parallel()
	for i, tt := range faults {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := child(t, strconv.Itoa(i)).CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte("unexpected fault address")) || !bytes.Contains(out, []byte("SIGSEGV")) ||
				!bytes.Contains(out, []byte("pages_test.culprit")) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestCheckWritable: a buffer from Next can be written to, all of it, however often the memory
// has gone round.
func TestCheckWritable(t *testing.T) {
	t.Parallel()
	for _, at := range targets {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel()
			f, d := at.open(t, &pages.Options{Check: true, Size: 20_000, Memory: 100_000})
			for i := range 60 {
				buf := f.next()
				fill(buf, byte(i))
				f.p.Fill(buf, f.off)
				n := []int{len(buf), 1, 5000, 0, 12_288}[i%5]
				must(t, f.w.Commit(n))
				f.off += int64(n)
			}
			f.given()
			f.finish(d, nil)
		})
	}
}

// lendings are those with which a program writes to its standard output.
var lendings = []struct {
	name string
	o    pages.Options
	// nonblocking: the pipe is made so, as by a parent that is a server.
	nonblocking bool
	constant    bool
}{
	{"fastest", pages.Options{}, false, false},
	{"fresh pages", pages.Options{Lend: pages.FreshPages}, false, false},
	{"reader copies", pages.Options{Lend: pages.ReaderCopies}, false, false},
	{"never", pages.Options{Lend: pages.Never}, false, false},
	{"constant", pages.Options{}, false, true},
	{"fastest", pages.Options{}, true, false},
	{"fresh pages", pages.Options{Lend: pages.FreshPages}, true, false},
	{"reader copies", pages.Options{Lend: pages.ReaderCopies}, true, false},
	{"constant", pages.Options{}, true, true},
}

// TestH06BrokenPipe: a program whose reader goes away dies of SIGPIPE, as with os.File's own
// Write: prog | head. What head reads is right.
func TestH06BrokenPipe(t *testing.T) {
	if task := os.Getenv(taskEnv); task != "" {
		i, err := strconv.Atoi(task)
		must(t, err)
		toStdout(lendings[i].o, lendings[i].nonblocking, lendings[i].constant)
	}
	t.Parallel()
	const n = 6<<20 + 1000
	for i, tt := range lendings {
		t.Run(tt.name+"/nonblocking="+strconv.FormatBool(tt.nonblocking), func(t *testing.T) {
			t.Parallel()
			ours, theirs := ztest.FilePair(t, ztest.Pipe)
			must(t, ztest.SetNonblock(theirs, false)) // as a shell makes them
			cmd := child(t, strconv.Itoa(i))
			var other bytes.Buffer
			cmd.Stdout, cmd.Stderr = theirs, &other
			must(t, cmd.Start())
			theirs.Close()
			got := make([]byte, n)
			_, err := io.ReadFull(ours, got)
			must(t, err)
			ours.Close() // head has enough
			piped(t, cmd.Wait(), other.String())
			if tt.constant {
				ztest.Pattern(6).Check(t, got[:1<<20], 0)
				return
			}
			ztest.Pattern(6).Check(t, got, 0)
		})
	}
}

// piped fails the test unless a program has died of SIGPIPE.
func piped(t *testing.T, err error, output string) {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGPIPE {
		t.Errorf("the program ended with %v\n%s", err, output)
	}
}

// toStdout is the program: it writes more than anybody reads, and ends when that fails.
func toStdout(o pages.Options, nonblocking, constant bool) {
	out := os.Stdout
	if nonblocking {
		if err := syscall.SetNonblock(1, true); err != nil {
			panic(err)
		}
		out = os.NewFile(1, "standard output")
	}
	var err error
	if constant {
		c, cerr := pages.NewConstant(1<<20, func(p []byte) error { ztest.Pattern(6).Fill(p, 0); return nil })
		if cerr != nil {
			panic(cerr)
		}
		_, err = c.Repeat(out, -1)
	} else {
		w, werr := pages.NewWriter(out, &o)
		if werr != nil {
			panic(werr)
		}
		err = commitUntil(&feed{w: w, p: 6})
	}
	os.Stderr.WriteString("alive, with " + err.Error() + "\n")
	os.Exit(3)
}

// TestH06Next: the reader goes away while the program is not in a Commit, and all memory is
// in the pipe or behind it: the Next that looks for some is no way around that, nor is a Wait.
func TestH06Next(t *testing.T) {
	if task := os.Getenv(taskEnv); task != "" {
		must(t, syscall.SetNonblock(1, true))
		out := os.NewFile(1, "standard output")
		w, err := pages.NewWriter(out, &pages.Options{Lend: pages.ReaderCopies, Size: 64 << 10})
		must(t, err)
		f := &feed{t: t, w: w, p: 6}
		for f.off < int64(w.RingSize()) {
			f.commit(64 << 10)
		}
		os.Stderr.WriteString("full\n")
		for { // until the reader is gone
			if readable, _, err := ztest.Poll(out); err == nil && readable {
				break
			}
			time.Sleep(100 * time.Microsecond)
		}
		if task == "Wait" {
			if err := w.Wait(); !errors.Is(err, syscall.EPIPE) { // it has nothing to write
				os.Stderr.WriteString(fmt.Sprintf("Wait: %v\n", err))
				os.Exit(4)
			}
		}
		err = commitUntil(f)
		os.Stderr.WriteString("alive, with " + err.Error() + "\n")
		os.Exit(3)
	}
	t.Parallel()
	for _, task := range []string{"Next", "Wait"} {
		t.Run(task, func(t *testing.T) {
			t.Parallel()
			ours, theirs := ztest.FilePair(t, ztest.Pipe)
			messages, stderr := ztest.FilePair(t, ztest.Pipe)
			cmd := child(t, task)
			cmd.Stdout, cmd.Stderr = theirs, stderr
			must(t, cmd.Start())
			theirs.Close()
			stderr.Close()
			got := make([]byte, 192<<10)
			_, err := io.ReadFull(ours, got)
			must(t, err)
			_, err = io.ReadFull(messages, make([]byte, len("full\n")))
			must(t, err)
			ours.Close()
			rest, err := io.ReadAll(messages)
			must(t, err)
			piped(t, cmd.Wait(), string(rest))
		})
	}
}

// TestH14Locked: where RLIMIT_MEMLOCK allows an unprivileged process no loan, everything is
// copied, and nothing is lost.
func TestH14Locked(t *testing.T) {
	t.Parallel()
	if !ztest.Isolated(t) {
		return
	}
	const memlock = 8 // RLIMIT_MEMLOCK
	must(t, syscall.Setrlimit(memlock, &syscall.Rlimit{}))
	if os.Getuid() == 0 {
		must(t, errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)))
	}
	d := ztest.NewDest(t, ztest.TCP4)
	f := open(t, nil, d.Writer, nil, 65)
	f.random(2 << 20)
	f.given()
	if s := f.finish(d, nil); s.Lent != 0 || s.Mechanism != zerocopy.Buffered || s.Reason != zerocopy.ReasonLocked || s.NoBuffer != 8 {
		t.Errorf("%+v", s)
	}
}

// TestMeasured: what is measured on this very machine decides what Fastest does.
func TestMeasured(t *testing.T) {
	t.Parallel()
	if !ztest.Isolated(t) {
		return
	}
	start := time.Now()
	f := open(t, nil, ztest.NewDest(t, ztest.Pipe).Writer, nil, 66)
	t.Logf("fresh huge pages are faster: %v, measured in %v", pages.FreshFaster(), time.Since(start))
	want := zerocopy.ReasonMeasured
	if pages.FreshFaster() {
		want = zerocopy.ReasonStart
	}
	if s := f.w.Stats(); s.Mechanism != zerocopy.Buffered || s.Reason != want {
		t.Errorf("%+v", s)
	}
	start = time.Now()
	r := pages.NewReader(ztest.NewSource(t, ztest.Pipe, nil).Reader)
	t.Logf("vmsplice takes bytes out faster: %v, measured in %v", r.Splices(), time.Since(start))

	for _, wins := range []bool{true, false} {
		pages.SetFreshFaster(wins)
		d := ztest.NewDest(t, ztest.Pipe)
		f := open(t, nil, d.Writer, nil, 67)
		f.whole(pages.BulkFrom + 1<<20)
		s := f.finish(d, nil)
		if wins && (s.Lent != 1<<20 || s.Mechanism != zerocopy.Vmsplice) || !wins && (s.Lent != 0 || s.Reason != zerocopy.ReasonMeasured) {
			t.Errorf("fresh pages are faster: %v: %+v", wins, s)
		}
	}
}

// TestAllocs: a commit allocates nothing.
func TestAllocs(t *testing.T) { // not parallel: all allocations are counted
	if raceEnabled {
		t.Log("the race detector allocates")
		return
	}
	for _, tt := range []struct {
		name string
		k    ztest.Kind
		o    pages.Options
		m    zerocopy.Mechanism
	}{
		{"pipe, reader copies", ztest.Pipe, pages.Options{Lend: pages.ReaderCopies}, zerocopy.Vmsplice},
		{"pipe, fresh pages", ztest.Pipe, pages.Options{Lend: pages.FreshPages}, zerocopy.Vmsplice},
		{"pipe, fresh huge pages", ztest.Pipe, pages.Options{Lend: pages.FreshPages, Huge: true}, zerocopy.Vmsplice},
		{"pipe, never", ztest.Pipe, pages.Options{Lend: pages.Never}, zerocopy.Buffered},
		{"TCP", ztest.TCP4, pages.Options{}, zerocopy.MsgZerocopy},
		{"TCP, much held", ztest.TCP4, pages.Options{LendFrom: 1}, zerocopy.MsgZerocopy},
		{"TCP, never", ztest.TCP4, pages.Options{Lend: pages.Never}, zerocopy.Buffered},
		{"plain", ztest.Unix, pages.Options{}, zerocopy.Buffered},
	} {
		var sum counter
		d := ztest.NewDest(t, tt.k, ztest.Into(&sum))
		f := open(t, (&device{conn: d.Writer, ids: make([]uint32, 0, 1<<16)}).calls(), d.Writer, &tt.o, 68)
		commit := func() {
			buf, err := f.w.Next()
			if err != nil {
				t.Fatal(err)
			}
			buf[0] = 1
			if err := f.w.Commit(len(buf)); err != nil {
				t.Fatal(err)
			}
		}
		for range 500 {
			commit()
		}
		if n := testing.AllocsPerRun(500, commit); n != 0 {
			t.Errorf("%s: %v allocations a commit", tt.name, n)
		}
		if s := f.w.Stats(); s.Mechanism != tt.m || (s.Lent > 0) != (tt.m != zerocopy.Buffered) {
			t.Errorf("%s: %+v", tt.name, s)
		}
	}
}

// counter counts.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
