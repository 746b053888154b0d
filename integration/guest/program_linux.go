package guest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Program is what the host has as one subtest.
type Program struct {
	Name string
	Run  func(t *T)
}

// Programs are run in this order, one after the other.
var Programs = slices.Concat(
	[]Program{
		{"boot", boot},
	},
	devicePrograms(),
	[]Program{
		{"naive/read", naiveRead},
	},
	pagesPrograms(),
)

// boot is the first program, so that the time it takes the machine to start is that
// of a test.
func boot(t *T) {
	var name unix.Utsname
	t.Must(unix.Uname(&name))
	t.Logf("Linux %s, %s, %d processors", unix.ByteSliceToString(name.Release[:]), runtime.Version(), runtime.NumCPU())
}

// programLimit is after how much time a program that has not ended counts as failed,
// and the guest with it: what it has left running may disturb the next. The longest
// takes a tenth of it on a quiet machine.
const programLimit = 30 * time.Second

// A T is given to a program. Its methods may be called by several goroutines, and
// Fatalf by that of the program alone.
type T struct {
	net     *network
	results *results

	mu      sync.Mutex
	failed  bool
	cleanup []func()
}

// results writes messages to the host.
type results struct {
	mu  sync.Mutex
	out io.Writer
}

func (r *results) send(m Message) {
	line, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.out.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}

// Logf reports something that the test is to print.
func (t *T) Logf(format string, args ...any) {
	t.results.send(Message{Log: fmt.Sprintf(format, args...)})
}

// Errorf reports a failure.
func (t *T) Errorf(format string, args ...any) {
	t.mu.Lock()
	t.failed = true
	t.mu.Unlock()
	t.results.send(Message{Error: fmt.Sprintf(format, args...)})
}

// Fatalf reports a failure and ends the program.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

// Must ends the program if there is an error.
func (t *T) Must(err error) {
	if err != nil {
		_, file, line, _ := runtime.Caller(1)
		t.Fatalf("%s:%d: %v", file, line, err)
	}
}

// Cleanup has f called when the program has ended, the last one first.
func (t *T) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanup = append(t.cleanup, f)
}

// Pair returns the two ends of a TCP connection over the named device: "lo",
// "veth", "tun", "virtio" or "vmxnet3". The ends of all but the first are in
// network namespaces of their own. They are closed when the program has ended.
func (t *T) Pair(device string) (client, server *net.TCPConn) { return t.pair(device, 0) }

// SlowPair is Pair with a server that takes few bytes before they are read, so that
// the client is stalled after its first sends, and what they lend is held.
func (t *T) SlowPair(device string) (client, server *net.TCPConn) { return t.pair(device, 8<<10) }

func (t *T) pair(device string, receiveBuffer int) (client, server *net.TCPConn) {
	client, server, err := t.net.pair(device, receiveBuffer)
	if err != nil {
		t.Fatalf("connection over %s: %v", device, err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

// run runs a program and reports whether it has ended in time.
func run(p Program, n *network, r *results) (ended bool) {
	t := &T{net: n, results: r}
	r.send(Message{Start: p.Name})
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				t.Errorf("panic: %v\n%s", v, debug.Stack())
			}
		}()
		defer t.clean()
		p.Run(t)
	}()
	select {
	case <-done:
		ended = true
	case <-time.After(programLimit):
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		os.Stderr.Write(stacks)
		t.Errorf("has not ended after %v; the console has the goroutines", programLimit)
	}
	r.send(Message{End: p.Name})
	return ended
}

func (t *T) clean() {
	for _, f := range t.cleanup {
		defer f()
	}
	t.cleanup = nil
}
