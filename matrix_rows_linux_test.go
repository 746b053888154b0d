package zerocopy_test

import (
	"bytes"
	"io"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A matrixRow is how the two ends are dressed.
type matrixRow struct {
	name   string
	reason string
	// not says why the row cannot be with these ends; nil is never.
	not   func(src, dst ztest.Kind) string
	dress func(tw *tower)
	// manual rows write to the source by themselves. When that comes is left to
	// chance, and with it the way of the bytes, and what io.Copy makes of them.
	manual bool
}

// excludes says why the row is not run with these ends, "" if it is.
func (r *matrixRow) excludes(src, dst ztest.Kind) string {
	if r.not != nil {
		if why := r.not(src, dst); why != "" {
			return r.name + ": " + why
		}
	}
	for _, k := range []ztest.Kind{src, dst} {
		if why := ztest.Unavailable(k); why != "" {
			return "this machine has no " + string(k) + ": " + why
		}
	}
	return ""
}

// cutAt is a limit that ends a copy before a source of this size does. It leaves a
// fifth: more than any buffer or piece in the larger sizes.
func cutAt(size int) int64 { return int64(size - size/5) }

// matrixHeld is how many bytes there are in memory, in the rows that have some there.
const matrixHeld = 5

// In the reference a row of this package's own Reader or Writer is bare.
var matrixRows = []matrixRow{
	{name: "bare", reason: "both ends as they are",
		dress: func(tw *tower) {}},

	{name: "limit", reason: "the limit comes before the end: N is 0 then, the rest is left",
		dress: func(tw *tower) { tw.limit(cutAt(tw.size)) }},
	{name: "limit-far", reason: "the end comes before the limit: N says how much before",
		dress: func(tw *tower) { tw.limit(int64(tw.size) + 17) }},
	{name: "limit-2", reason: "nested: the outer one ends the copy",
		dress: func(tw *tower) { tw.limit(int64(tw.size) + 10); tw.limit(cutAt(tw.size)) }},
	{name: "limit-3", reason: "nested: the innermost ends it, which is an end of the stream for the others",
		dress: func(tw *tower) {
			tw.limit(cutAt(tw.size))
			tw.limit(int64(tw.size) + 5)
			tw.limit(int64(tw.size) + 3)
		}},

	{name: "section", reason: "read at an offset: the file's own position stays",
		not: func(src, _ ztest.Kind) string {
			if src.Conn() {
				return "a net.Conn is no io.ReaderAt"
			}
			return ""
		},
		dress: func(tw *tower) {
			tw.skipped = min(tw.size/7, len(tw.src.Content))
			tw.section = io.NewSectionReader(tw.src.Reader.(io.ReaderAt), int64(tw.skipped), cutAt(tw.size-tw.skipped))
			tw.r = tw.section
		}},

	{name: "bufio", reason: "a bufio.Reader with nothing in it",
		dress: func(tw *tower) { tw.buffer() }},
	{name: "bufio-peeked", reason: "a bufio.Reader that is full, or has it all (H26)",
		dress: func(tw *tower) {
			tw.buffer()
			tw.in.Peek(max(1, min(tw.size, tw.in.Size())))
		}},
	{name: "limit-bufio-limit", reason: "a limit over a buffer over a limit (H26)",
		dress: func(tw *tower) {
			tw.limit(int64(tw.size) + 9)
			tw.buffer()
			tw.limit(cutAt(tw.size))
		}},

	{name: "multi", reason: "io.MultiReader of a header in memory and the source",
		dress: func(tw *tower) {
			tw.before = matrixHeld
			tw.r = io.MultiReader(bytes.NewReader(matrixLead(tw.src.Kind, matrixHeld)), tw.r)
		}},
	{name: "nopcloser", reason: "io.NopCloser",
		dress: func(tw *tower) { tw.r = io.NopCloser(tw.r) }},

	{name: "zc-reader", reason: "this package's Reader",
		dress: func(tw *tower) {
			if tw.c != nil {
				tw.r = tw.c.NewReader(tw.r)
			}
		}},
	{name: "opt-in-reader", reason: "a counter that implements ReaderUnwrapper",
		dress: func(tw *tower) { r := &openReader{foreignReader{r: tw.r}}; tw.r, tw.moved = r, &r.tally }},
	{name: "vouched-reader", reason: "a foreign counter that Copier.UnwrapReader names",
		dress: func(tw *tower) { r := &foreignReader{r: tw.r}; tw.r, tw.moved = r, &r.tally }},
	{name: "hidden-source", reason: "io.Copy to this package's Writer: the source's own WriteTo gives up and passes itself on in os's or net's struct without WriteTo",
		dress: func(tw *tower) {
			if tw.c != nil {
				tw.copy = func(w io.Writer, r io.Reader) (int64, error) { return io.Copy(tw.c.NewWriter(w), r) }
			}
		}},

	{name: "bufio-writer", reason: "an empty bufio.Writer: the stream goes past it",
		dress: func(tw *tower) { tw.writeBuffer() }},
	{name: "bufio-writer-held", reason: "a bufio.Writer with bytes in it: what fits joins them, only the rest goes past (H37)",
		dress: func(tw *tower) {
			tw.before = matrixHeld
			tw.writeBuffer()
			tw.out.Write(matrixLead(tw.src.Kind, matrixHeld))
		}},
	{name: "zc-writer", reason: "this package's Writer",
		dress: func(tw *tower) {
			if tw.c != nil {
				tw.w = tw.c.NewWriter(tw.w)
			}
		}},
	{name: "opt-in-writer", reason: "a counter that implements WriterUnwrapper",
		dress: func(tw *tower) { w := &openWriter{foreignWriter{w: tw.w}}; tw.w, tw.moved = w, &w.tally }},
	{name: "vouched-writer", reason: "a foreign counter that Copier.UnwrapWriter names",
		dress: func(tw *tower) { w := &foreignWriter{w: tw.w}; tw.w, tw.moved = w, &w.tally }},
	{name: "hidden-destination", reason: "ReadFrom of this package's Reader: the destination gives up and passes itself on in os's or net's struct without ReadFrom",
		dress: func(tw *tower) {
			if tw.c != nil {
				tw.copy = func(w io.Writer, r io.Reader) (int64, error) {
					if rf, ok := w.(io.ReaderFrom); ok {
						return rf.ReadFrom(tw.c.NewReader(r))
					}
					return io.Copy(w, tw.c.NewReader(r))
				}
			}
		}},

	// Two hazards in which io.Copy goes wrong however the ends are dressed.
	{name: "append-late", reason: "O_APPEND is set after package os has looked (H07)",
		not: func(_, dst ztest.Kind) string {
			if dst != ztest.File && dst != ztest.Tmpfs {
				return "not a file, or one that appends anyway"
			}
			return ""
		},
		dress: func(tw *tower) {
			if err := ztest.SetAppend(tw.dst.Writer); err != nil {
				tw.tb.Fatal(err)
			}
		}},
	{name: "urgent", reason: "a mark of urgent data in the middle (H01; what io.Copy makes of it is in TestH01UrgentMarkIoCopy)",
		manual: true,
		not: func(src, _ ztest.Kind) string {
			if src != ztest.TCP4 && src != ztest.TCP6 {
				return "has no urgent data"
			}
			return ""
		},
		dress: func(tw *tower) { tw.sendUrgent() }},
}
