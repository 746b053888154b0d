package zerocopy_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// fastShare is how much of the bytes that were not in memory before has to go by a
// fast path where it is taken at all.
const fastShare = 0.99

// notInMemory returns the steps of a report without what a row had in memory before
// the copy, named prefixes and the header of the row multi, and without what was read
// and written because it could be the start of an interactive stream.
func notInMemory(o matrixOutcome) (steps []zerocopy.Step, bytes int64, memory, start bool) {
	for _, s := range o.report.Steps {
		header := s.Reason == zerocopy.ReasonNotDescriptor && s.Type == "*bytes.Reader" && s.Bytes == matrixHeld
		switch {
		case s.Reason == zerocopy.ReasonPrefix, header:
			memory = true
		case s.Reason == zerocopy.ReasonStart:
			start = true
		default:
			steps = append(steps, s)
			bytes += s.Bytes
		}
	}
	return steps, bytes, memory, start
}

// way says what the golden table has for the case, and demands that a fast path
// carried as much as it should and that Explain foretold it.
func (mc matrixCase) way(tb testing.TB, o matrixOutcome) string {
	tb.Helper()
	steps, bytes, memory, start := notInMemory(o)
	var main zerocopy.Step
	var way []string
	if memory {
		way = append(way, "memory")
	}
	if start {
		way = append(way, "start")
	}
	for _, s := range steps {
		way = append(way, stepText(s))
		if s.Bytes > main.Bytes {
			main = s
		}
	}
	if len(way) == 0 {
		return "nothing"
	}
	if main.Mechanism != zerocopy.Buffered && float64(main.Bytes) < fastShare*float64(bytes) {
		tb.Errorf("%v carried only %d of %d bytes: %v", main.Mechanism, main.Bytes, bytes, o.report)
	}
	return strings.Join(way, ", ") + mc.foretold(tb, o, main)
}

// foretold compares the plan with the main step of the report. It returns what the
// plan had instead, where that is a known surprise.
func (mc matrixCase) foretold(tb testing.TB, o matrixOutcome, main zerocopy.Step) string {
	tb.Helper()
	plan := o.plan.Main()
	switch {
	case main.Bytes == 0: // all was in memory
		return ""
	case plan.Bytes < -1 || plan.Bytes > 1<<40 || plan.Bytes >= 0 && plan.Bytes < main.Bytes:
		tb.Errorf("Explain said at most %d bytes\nplan: %v\nreport: %v", plan.Bytes, o.plan, o.report)
	}
	if plan.Mechanism == main.Mechanism && plan.Route == main.Route && plan.Reason == main.Reason {
		return ""
	}
	for _, s := range planSurprises {
		if s.said == plan.Mechanism && s.did == main.Mechanism && s.where(mc) {
			return "; foretold " + stepText(plan)
		}
	}
	tb.Errorf("Explain said %v\nplan: %v\nreport: %v", plan, o.plan, o.report)
	return ""
}

// stepText is one step: its mechanism, its route, its reason.
func stepText(s zerocopy.Step) string {
	text := s.Mechanism.String()
	if s.Route != "" {
		text += " " + s.Route
	}
	if s.Reason != zerocopy.ReasonNone {
		text += " (" + s.Reason.String()
		var errno syscall.Errno
		if errors.As(s.Err, &errno) {
			text += ": " + errno.Error()
		} else if s.End != zerocopy.NoEnd {
			text += ", " + s.End.String()
		}
		text += ")"
	}
	return text
}

// ioCopyMistakes are the cases in which io.Copy is wrong and Copy is not.
var ioCopyMistakes = []struct {
	why   string
	err   string // what io.Copy fails with
	where func(mc matrixCase) bool
}{
	{"io.Copy splices a socket to a file of /proc, to which no pipe can be spliced, and loses what it had drained (H07, H08)",
		syscall.EINVAL.Error(),
		func(mc matrixCase) bool { return mc.src.Conn() && mc.dst == ztest.Proc }},
	{"io.Copy splices a socket to a file that appends, and loses what it had drained (H07)",
		syscall.EINVAL.Error(),
		func(mc matrixCase) bool { return mc.src.Conn() && mc.row.name == "append-late" }},
	{"io.Copy does not fall back where copy_file_range declines a file that appends (H07)",
		syscall.EBADF.Error(),
		func(mc matrixCase) bool { return statRegular(mc.src) && mc.row.name == "append-late" }},
}

// onPurpose are the cases in which Copy does not leave behind what io.Copy does.
var onPurpose = []struct {
	why   string
	where func(mc matrixCase, o matrixOutcome) bool
	amend func(o *matrixOutcome)
}{
	{"a *net.UnixConn has no ReadFrom, so io.Copy goes through the bufio.Writer to the end. " +
		"Copy goes past it once it overflows, as both do with all other destinations, and nothing is left in it",
		func(mc matrixCase, o matrixOutcome) bool {
			out := o.tower.out
			return mc.dst == ztest.Unix && out != nil && o.tower.before+int(o.Written) >= out.Size()
		},
		func(o *matrixOutcome) { o.Buffered = 0 }},
}

// planSurprises are the cases in which Explain cannot tell, because it moves nothing
// and what the kernel refuses shows only when it is asked to.
var planSurprises = []struct {
	why       string
	said, did zerocopy.Mechanism
	where     func(mc matrixCase) bool
}{
	{"the filesystems decide whether copy_file_range goes from one to the other (EXDEV)",
		zerocopy.CopyFileRange, zerocopy.Splice,
		func(mc matrixCase) bool { return statRegular(mc.src) && statRegular(mc.dst) }},
	{"a file of /proc is a file as any other by fstat(2), and takes neither copy_file_range nor splice",
		zerocopy.CopyFileRange, zerocopy.Buffered,
		func(mc matrixCase) bool { return statRegular(mc.src) && mc.dst == ztest.Proc }},
	{"a file of /proc is a file as any other by fstat(2), and takes no splice",
		zerocopy.Splice, zerocopy.Buffered,
		func(mc matrixCase) bool { return mc.dst == ztest.Proc }},
}

// statRegular reports whether fstat(2) calls the kind a regular file.
func statRegular(k ztest.Kind) bool { return k.Regular() || k == ztest.Proc }
