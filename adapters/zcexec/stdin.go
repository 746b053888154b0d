package zcexec

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"github.com/zerocopy-go/zerocopy"
)

// An Input is where a command's standard input comes from. Its methods may be called
// when the command's Wait has returned.
type Input struct {
	// Copier is as in [Output].
	Copier *zerocopy.Copier

	cmd    *exec.Cmd
	src    io.Reader
	taken  int64 // bytes that went into the pipe
	unread []byte
}

var _ io.WriterTo = (*Input)(nil)

// Stdin has cmd read its standard input from src: through a pipe, into which it is
// spliced where src is a connection. It is called before Start, and sets cmd.Stdin. As
// with os/exec, an *os.File is given to the child itself and nil is the null device.
//
// The copy ends at the end of src, and when nobody can read the pipe any more: the
// command has ended or closed its standard input, and has left it to no other process.
// That is no error, as with os/exec, and does not wait for src to say something, if there is
// a connection under src that a Copy would find. Its read deadline is cleared afterwards,
// whatever it was before; a zcnet.Conn has again what was set. If other processes have the
// pipe still, WaitDelay bounds the wait for them.
//
// An error of src is what Wait returns if the command itself has succeeded.
func Stdin(cmd *exec.Cmd, src io.Reader) *Input {
	in := &Input{cmd: cmd, src: src}
	if _, itself := src.(*os.File); itself || src == nil {
		cmd.Stdin = src
	} else {
		cmd.Stdin = in
	}
	return in
}

// Consumed returns how many bytes of the source the command has read: all that was
// taken but for what [Input.Unread] returns. If the source ended before the command did,
// that is not known, and what it left in the pipe counts as read.
func (in *Input) Consumed() int64 { return in.taken }

// Unread returns what was taken from the source and not read by the command, which
// ended before the source did: what follows in the source comes behind it. A program's
// own buffers count as read. It belongs to the caller.
//
// Where /proc is not mounted, what was left in the pipe is missing.
func (in *Input) Unread() []byte { return in.unread }

// Read reads from the source.
func (in *Input) Read(p []byte) (n int, err error) {
	n, err = in.src.Read(p)
	in.taken += int64(max(n, 0))
	return n, err
}

// errHungUp is why a copy ended that nobody reads any more.
var errHungUp = errors.New("zcexec: nobody reads the pipe any more")

// WriteTo is what a goroutine of os/exec calls, with the end of the pipe for writing.
func (in *Input) WriteTo(w io.Writer) (n int64, err error) {
	ctx, end := untilUnread(w)
	defer end()
	n, err = orDefault(in.Copier).Copy(ctx, w, in.src)
	in.taken += n
	in.unread = unwritten(err)
	f, ok := w.(*os.File)
	if !ok || !hungUp(err, f) {
		return n, err
	}
	left := leftIn(f)
	in.taken -= int64(len(left))
	in.unread = append(left, in.unread...)
	// os/exec passes over this error, by its concrete type.
	return n, &fs.PathError{Op: "write", Path: f.Name(), Err: syscall.EPIPE}
}

// hungUp reports whether a copy to the pipe f ended because nobody reads it.
func hungUp(err error, f *os.File) bool {
	if errors.Is(err, errHungUp) {
		return true
	}
	var p *fs.PathError
	return errors.As(err, &p) && p.Op == "write" && p.Path == f.Name() && errors.Is(p.Err, syscall.EPIPE) && unreadable(f)
}

// background is the watch where there is nothing to watch.
func background() (context.Context, func()) { return context.Background(), func() {} }
