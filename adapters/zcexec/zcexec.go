// Package zcexec connects child processes to connections without the bytes passing
// this process:
//
//	cmd := exec.Command("tar", "c", ".")
//	zcexec.Stdout(cmd, conn) // was: cmd.Stdout = conn
//	err := cmd.Run()
//
// The Cmd stays a Cmd of package os/exec: [Stdout], [Stderr] and [Stdin] set its
// fields, and its own goroutines do the copying, by [zerocopy.Copy]. What Start, Wait,
// Cancel and WaitDelay do is what os/exec says, but for this:
//
//   - WaitDelay ends every copy. In os/exec, Wait hangs on a Write to a destination, or
//     a Read from a source, that does not return (the documentation of exec.Cmd.Stdin
//     says so since Go 1.27); here the deadlines of a connection are used.
//   - A source that is silent does not hold Wait up once nobody is there to read what
//     it might say. With os/exec, Wait returns after the next byte, which is lost.
//   - Nothing is lost: what was taken and did not arrive is handed back, see
//     [Input.Unread] and [Output.Unwritten].
//
// [Pipeline] connects children with each other, and [Pass] gives a child the socket
// itself.
//
// On systems other than Linux everything works, by plain copies and without these
// differences.
package zcexec

import (
	"errors"
	"io"
	"os"
	"os/exec"

	"github.com/zerocopy-go/zerocopy"
)

// An Output is where a command's standard output or error goes. Its methods may be
// called when the command's Wait has returned.
type Output struct {
	// Copier is what the bytes are copied by; if nil, [zerocopy.Default]. Its Report
	// says which way they went. It may be set until the command is started.
	Copier *zerocopy.Copier

	cmd       *exec.Cmd
	dst       io.Writer
	written   int64
	unwritten []byte
}

var _ io.ReaderFrom = (*Output)(nil)

// Stdout has cmd write its standard output to dst: through a pipe, out of which it is
// spliced where dst is a connection. It is called before Start, and sets cmd.Stdout.
//
// As with os/exec, an *os.File is given to the child itself and nil is the null device;
// then the Output has nothing to say. If dst is where the standard error goes already
// (by [Stderr], or as cmd.Stderr), both share a pipe, and so keep their order.
//
// Set both in that case by this package: a cmd.Stderr that is set to dst itself afterwards is
// an error of Wait.
//
// If cmd.WaitDelay has ended the copy, dst has no write deadline afterwards, whatever it
// had before; a zcnet.Conn has again what was set.
//
// An error of dst is what Wait returns if the command itself has succeeded; it may be a
// *[zerocopy.PartialError] around that.
func Stdout(cmd *exec.Cmd, dst io.Writer) *Output {
	return attach(cmd, dst, &cmd.Stdout, &cmd.Stderr)
}

// Stderr is [Stdout] for the standard error.
func Stderr(cmd *exec.Cmd, dst io.Writer) *Output {
	return attach(cmd, dst, &cmd.Stderr, &cmd.Stdout)
}

// attach sets field, and the other where that has the same destination: os/exec has one
// pipe and one goroutine for fields that are equal.
func attach(cmd *exec.Cmd, dst io.Writer, field, other *io.Writer) *Output {
	out := &Output{cmd: cmd, dst: dst}
	if _, itself := dst.(*os.File); itself || dst == nil {
		*field = dst
		return out
	}
	if o, ok := (*other).(*Output); ok && o != nil && o.cmd == cmd && same(o.dst, dst) {
		out = o
	} else if same(*other, dst) {
		*other = out
	}
	*field = out
	return out
}

// same reports whether a and b are equal, and is false where they cannot be compared.
func same(a, b io.Writer) bool {
	defer func() { recover() }()
	return a == b
}

// Written returns how many bytes the destination has accepted.
func (o *Output) Written() int64 { return o.written }

// Unwritten returns what was taken from the command's pipe and not accepted by the
// destination. It is nil unless the copy failed. It belongs to the caller.
func (o *Output) Unwritten() []byte { return o.unwritten }

// Write writes p to the destination.
func (o *Output) Write(p []byte) (n int, err error) {
	n, err = o.dst.Write(p)
	o.written += int64(max(n, 0))
	return n, err
}

// ReadFrom is what a goroutine of os/exec calls, with the end of the pipe for reading.
func (o *Output) ReadFrom(r io.Reader) (n int64, err error) {
	ctx, end := background()
	if o.cmd.WaitDelay != 0 { // which may close the pipe
		ctx, end = untilClosed(r)
	}
	defer end()
	if err := o.shared(); err != nil {
		io.Copy(io.Discard, r) // or SIGPIPE would be all that Wait tells of
		return 0, err
	}
	g := &growing{r: r}
	defer g.done()
	n, err = orDefault(o.Copier).Copy(ctx, o.dst, g)
	o.written += n
	o.unwritten = unwritten(err)
	return n, err
}

// shared is an error if the command's other output goes to the same destination without the
// Output, as os/exec sees it: then there are two pipes, and two goroutines would write there.
func (o *Output) shared() error {
	for _, w := range []io.Writer{o.cmd.Stdout, o.cmd.Stderr} {
		if same(w, o.dst) {
			return errShared
		}
	}
	return nil
}

var errShared = errors.New("zcexec: Stdout and Stderr have one destination: set both by zcexec.Stdout and zcexec.Stderr, or Stderr before zcexec.Stdout")

func orDefault(c *zerocopy.Copier) *zerocopy.Copier {
	if c == nil {
		return zerocopy.Default()
	}
	return c
}

// unwritten returns what err hands back.
func unwritten(err error) []byte {
	var p *zerocopy.PartialError
	if errors.As(err, &p) {
		return p.Unwritten
	}
	return nil
}
