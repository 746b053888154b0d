package zerocopy_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestExplain: the words of a plan, and that asking moves nothing.
func TestExplain(t *testing.T) {
	t.Parallel()
	conn := func() net.Conn { return ztest.NewSource(t, ztest.TCP4, ztest.Pattern(1).Bytes(8000)).Reader.(net.Conn) }
	file := func() *os.File {
		return ztest.NewSource(t, ztest.File, ztest.Pattern(1).Bytes(1<<20)).Reader.(*os.File)
	}
	peeked := bufio.NewReader(conn())
	if _, err := peeked.Peek(312); err != nil {
		t.Fatal(err)
	}
	for peeked.Buffered() > 312 {
		peeked.Discard(1)
	}
	fillable := bufio.NewWriter(ztest.NewDest(t, ztest.TCP4).Writer)
	fillable.WriteString("abc")
	for _, tt := range []struct {
		dst  io.Writer
		src  io.Reader
		want string
	}{
		{conn(), conn(), "splice tcp→pipe→tcp if bulk"},
		{conn(), peeked, "splice tcp→pipe→tcp if bulk, after 312 buffered bytes"},
		{conn(), io.LimitReader(peeked, 100), "nothing but 100 buffered bytes"},
		{conn(), file(), "sendfile file→tcp"},
		{conn(), io.NewSectionReader(file(), 5, 1<<19), "sendfile file→tcp"},
		{conn(), io.NewSectionReader(file(), 5, 100), "buffered: source *os.File is too small for a system call of its own to pay"},
		{file(), file(), "copy_file_range file→file"},
		{file(), io.MultiReader(strings.NewReader("head"), file(), conn()),
			"buffered: source *strings.Reader is not a descriptor; then copy_file_range file→file; then splice tcp→pipe→file if bulk"},
		{conn(), io.MultiReader(io.MultiReader(conn(), strings.NewReader("a")), file()),
			"splice tcp→pipe→tcp if bulk; then buffered: source *strings.Reader is not a descriptor; then sendfile file→tcp"},
		{fillable, conn(), "splice tcp→pipe→tcp if bulk, after 4093 buffered bytes"},
		{conn(), struct{ net.Conn }{conn()}, "buffered: source struct { net.Conn } is not a descriptor"},
		{struct{ net.Conn }{conn()}, conn(), "buffered: destination struct { net.Conn } is not a descriptor"},
		{io.Discard, conn(), "delegated: destination io.discard brings its own method"},
		{ztest.NewDest(t, ztest.Append).Writer, conn(), "buffered: destination *os.File is open with O_APPEND"},
	} {
		for range 2 { // asking twice gives the same answer
			if got := zerocopy.Explain(tt.dst, tt.src).String(); got != tt.want {
				t.Errorf("Explain(%T, %T)\n got %q\nwant %q", tt.dst, tt.src, got, tt.want)
			}
		}
	}
	if fillable.Buffered() != 3 || peeked.Buffered() != 312 {
		t.Errorf("Explain moved bytes: %d, %d", fillable.Buffered(), peeked.Buffered())
	}
}

// TestReport: steps in order, counts that add up, the culprit's type.
func TestReport(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(2).Bytes(300 << 10)
	src := ztest.NewSource(t, ztest.TCP4, content)
	dst := ztest.NewDest(t, ztest.Unix)
	var reports []zerocopy.Report
	c := &zerocopy.Copier{Report: func(r zerocopy.Report) { reports = append(reports, r) }}
	c.Force(zerocopy.AtOnce)
	br := bufio.NewReaderSize(src.Reader, 100)
	if _, err := br.Peek(100); err != nil {
		t.Fatal(err)
	}
	n, err := c.Copy(context.Background(), dst.Writer, io.LimitReader(io.MultiReader(br, gzipLike{strings.NewReader("tail")}), int64(len(content))+2))
	if err != nil || n != int64(len(content))+2 {
		t.Fatal(n, err)
	}
	if got, want := dst.Finish(), append(bytes.Clone(content), "ta"...); !bytes.Equal(got, want) {
		t.Error(ztest.Diff(got, want))
	}
	want := []zerocopy.Report{{
		Dst: "*net.UnixConn", Src: "*io.LimitedReader", Written: n,
		Steps: []zerocopy.Step{
			{Mechanism: zerocopy.Buffered, Bytes: 100, Reason: zerocopy.ReasonPrefix, End: zerocopy.SourceEnd, Type: "*bufio.Reader"},
			{Mechanism: zerocopy.Splice, Route: "tcp→pipe→unix", Bytes: int64(len(content)) - 100},
			{Mechanism: zerocopy.Buffered, Bytes: 2, Reason: zerocopy.ReasonNotDescriptor, End: zerocopy.SourceEnd, Type: "zerocopy_test.gzipLike"},
		},
	}}
	if diff := cmp.Diff(want, reports, cmpopts.IgnoreFields(zerocopy.Step{}, "Calls"), cmpopts.IgnoreFields(zerocopy.Report{}, "Elapsed")); diff != "" {
		t.Error(diff)
	}
	for _, s := range reports[0].Steps {
		if s.Calls == 0 {
			t.Errorf("no system call counted: %+v", s)
		}
	}
	text, err := json.Marshal(reports[0].Steps[2])
	if want := `{"Mechanism":"buffered","Bytes":2,"Calls":1,"Reason":"not-descriptor","End":"source","Type":"zerocopy_test.gzipLike"}`; err != nil || string(text) != want {
		t.Errorf("as JSON %s, %v", text, err)
	}
}

// gzipLike is a Reader that nobody knows.
type gzipLike struct{ io.Reader }

// TestStats: what a copy adds to the counts of the process.
func TestStats(t *testing.T) {
	if !ztest.Isolated(t) { // the counts are the process's
		return
	}
	const size = 1 << 20
	content := ztest.Pattern(3).Bytes(size)
	before := zerocopy.ReadStats()
	var c zerocopy.Copier
	c.Force(zerocopy.AtOnce)
	copyAll := func(dst *ztest.Dest, src io.Reader) {
		t.Helper()
		if _, err := c.Copy(context.Background(), dst.Writer, src); err != nil {
			t.Fatal(err)
		}
		dst.Finish()
	}
	copyAll(ztest.NewDest(t, ztest.TCP4), ztest.NewSource(t, ztest.TCP4, content).Reader)
	copyAll(ztest.NewDest(t, ztest.TCP4), ztest.NewSource(t, ztest.File, content).Reader)
	copyAll(ztest.NewDest(t, ztest.TCP4), gzipLike{bytes.NewReader(content)})
	copyAll(ztest.NewDest(t, ztest.TCP4), bytes.NewReader(content))
	s := zerocopy.ReadStats()
	if s.Copies-before.Copies != 4 || s.Active != 0 {
		t.Errorf("%d copies, %d active", s.Copies-before.Copies, s.Active)
	}
	for _, m := range []zerocopy.Mechanism{zerocopy.Splice, zerocopy.Sendfile, zerocopy.Buffered, zerocopy.Delegated} {
		if got := s.Bytes(m) - before.Bytes(m); got != size {
			t.Errorf("%d bytes by %v", got, m)
		}
	}
	want := []zerocopy.ReasonStats{{Reason: zerocopy.ReasonNotDescriptor, End: zerocopy.SourceEnd, Type: "zerocopy_test.gzipLike", Copies: 1, Bytes: size}}
	if diff := cmp.Diff(want, s.Reasons); diff != "" {
		t.Error(diff)
	}
	if p := s.Pipes; p.Open == 0 || p.Idle != p.Open || p.Created != p.Open || p.Bytes < p.Open*64<<10 || p.Budget < p.Bytes || p.Discarded+p.Refused != 0 {
		t.Errorf("pipes: %+v", p)
	}
	zerocopy.CloseIdlePipes()
}

// TestWords: every mechanism and reason has a name of its own, in both directions.
func TestWords(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for m := zerocopy.Mechanism(0); m <= zerocopy.MsgZerocopy; m++ {
		text, _ := m.MarshalText()
		var back zerocopy.Mechanism
		if err := back.UnmarshalText(text); err != nil || back != m || names[string(text)] {
			t.Errorf("mechanism %d: %q, %v", m, text, err)
		}
		names[string(text)] = true
	}
	for r := zerocopy.ReasonNone; r <= zerocopy.ReasonPlatform; r++ {
		text, _ := r.MarshalText()
		var back zerocopy.Reason
		if err := back.UnmarshalText(text); err != nil || back != r || names[string(text)] {
			t.Errorf("reason %d: %q, %v", r, text, err)
		}
		names[string(text)] = true
	}
	if m := zerocopy.Mechanism(99); m.UnmarshalText([]byte("teleport")) == nil || m.String() != "Mechanism(99)" {
		t.Error("a mechanism that is none")
	}
	if r := zerocopy.Reason(99); r.UnmarshalText([]byte("whim")) == nil || r.String() != "Reason(99)" {
		t.Error("a reason that is none")
	}
}
