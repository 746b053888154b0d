package zerocopy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
)

// logs are a Report, a Step and a Plan as the two handlers of log/slog write them.
var logs = []struct {
	name       string
	value      slog.LogValuer
	text, json string
}{
	{"moved by the kernel alone",
		zerocopy.Report{Dst: "*net.TCPConn", Src: "*os.File", Written: 4096, Elapsed: 1500 * time.Microsecond,
			Steps: []zerocopy.Step{{Mechanism: zerocopy.Sendfile, Route: "file→tcp", Bytes: 4096, Calls: 2}}},
		`v.src=*os.File v.dst=*net.TCPConn v.bytes=4096 v.elapsed=1.5ms v.by.sendfile=4096`,
		`{"src":"*os.File","dst":"*net.TCPConn","bytes":4096,"elapsed":1500000,"by":{"sendfile":4096}}`},
	{"a start does not hide a reason, however many bytes it has; an error is text",
		zerocopy.Report{Dst: "*net.TCPConn", Src: "*net.TCPConn", Written: 130, Elapsed: time.Second,
			Steps: []zerocopy.Step{
				{Mechanism: zerocopy.Buffered, Bytes: 98, Reason: zerocopy.ReasonStart, End: zerocopy.SourceEnd, Type: "*net.TCPConn"},
				{Mechanism: zerocopy.Splice, Bytes: 20},
				{Mechanism: zerocopy.Buffered, Bytes: 2, Reason: zerocopy.ReasonCheck, End: zerocopy.SourceEnd, Type: "*net.TCPConn"},
				{Mechanism: zerocopy.Buffered, Bytes: 10, Reason: zerocopy.ReasonRefused, End: zerocopy.DestinationEnd, Type: "*net.TCPConn", Err: syscall.EPERM},
			},
			Err: &zerocopy.PartialError{Written: 130, Unwritten: make([]byte, 7), Err: errors.New("gone")}},
		`v.src=*net.TCPConn v.dst=*net.TCPConn v.bytes=130 v.elapsed=1s v.by.buffered=110 v.by.splice=20` +
			` v.reason=refused v.end=destination v.type=*net.TCPConn v.errno="operation not permitted"` +
			` v.err="gone (7 bytes taken from the source were not written: see PartialError.Unwritten)" v.unwritten=7`,
		`{"src":"*net.TCPConn","dst":"*net.TCPConn","bytes":130,"elapsed":1000000000,"by":{"buffered":110,"splice":20},` +
			`"reason":"refused","end":"destination","type":"*net.TCPConn","errno":"operation not permitted",` +
			`"err":"gone (7 bytes taken from the source were not written: see PartialError.Unwritten)","unwritten":7}`},
	{"a start alone is the reason",
		zerocopy.Report{Dst: "d", Src: "s", Written: 9, Steps: []zerocopy.Step{
			{Mechanism: zerocopy.Buffered, Bytes: 3, Reason: zerocopy.ReasonPrefix, End: zerocopy.SourceEnd, Type: "*bufio.Reader"},
			{Mechanism: zerocopy.Buffered, Bytes: 6, Reason: zerocopy.ReasonStart},
		}},
		`v.src=s v.dst=d v.bytes=9 v.elapsed=0s v.by.buffered=9 v.reason=start`,
		`{"src":"s","dst":"d","bytes":9,"elapsed":0,"by":{"buffered":9},"reason":"start"}`},
	{"nothing was copied",
		zerocopy.Report{Dst: "d", Src: "s", Err: io.ErrClosedPipe},
		`v.src=s v.dst=d v.bytes=0 v.elapsed=0s v.err="io: read/write on closed pipe"`,
		`{"src":"s","dst":"d","bytes":0,"elapsed":0,"err":"io: read/write on closed pipe"}`},
	{"a step",
		zerocopy.Step{Mechanism: zerocopy.Splice, Route: "tcp→pipe→tcp", Bytes: 5, Calls: 4},
		`v.mechanism=splice v.route=tcp→pipe→tcp v.bytes=5 v.calls=4`,
		`{"mechanism":"splice","route":"tcp→pipe→tcp","bytes":5,"calls":4}`},
	{"a step of a plan, of which the bytes are not known",
		zerocopy.Step{Mechanism: zerocopy.Delegated, Bytes: -1, Reason: zerocopy.ReasonOwnMethod, End: zerocopy.SourceEnd, Type: "*x.Y"},
		`v.mechanism=delegated v.reason=own-method v.end=source v.type=*x.Y`,
		`{"mechanism":"delegated","reason":"own-method","end":"source","type":"*x.Y"}`},
	{"a plan",
		zerocopy.Plan{Steps: []zerocopy.Step{
			{Mechanism: zerocopy.Buffered, Bytes: 12, Reason: zerocopy.ReasonPrefix},
			{Mechanism: zerocopy.Buffered, Bytes: -1, Reason: zerocopy.ReasonNotDescriptor, End: zerocopy.SourceEnd, Type: "*gzip.Reader"}}},
		`v.plan="buffered: source *gzip.Reader is not a descriptor, after 12 buffered bytes" v.mechanism=buffered v.reason=not-descriptor v.end=source v.type=*gzip.Reader`,
		`{"plan":"buffered: source *gzip.Reader is not a descriptor, after 12 buffered bytes","mechanism":"buffered","reason":"not-descriptor","end":"source","type":"*gzip.Reader"}`},
	{"a plan of nothing", zerocopy.Plan{}, `v.plan="nothing but 0 buffered bytes"`, `{"plan":"nothing but 0 buffered bytes"}`},
}

// TestLogValue: the keys are API. Both handlers write them so that they can be queried.
func TestLogValue(t *testing.T) {
	t.Parallel()
	bare := &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key != "v" {
			return slog.Attr{}
		}
		return a
	}}
	for _, row := range logs {
		var text, json bytes.Buffer
		slog.New(slog.NewTextHandler(&text, bare)).Info("", "v", row.value)
		slog.New(slog.NewJSONHandler(&json, bare)).Info("", "v", row.value)
		if got := strings.TrimSpace(text.String()); got != row.text {
			t.Errorf("%s:\n got %s\nwant %s", row.name, got, row.text)
		}
		if got, want := strings.TrimSpace(json.String()), `{"v":`+row.json+`}`; got != want {
			t.Errorf("%s:\n got %s\nwant %s", row.name, got, want)
		}
	}
}

func ExampleReport_LogValue() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: steady}))
	c := &zerocopy.Copier{Report: func(r zerocopy.Report) { log.Info("copied", "copy", r) }}
	c.Copy(context.Background(), struct{ io.Writer }{io.Discard}, struct{ io.Reader }{strings.NewReader("text")})
	// Output:
	// level=INFO msg=copied copy.src="struct { io.Reader }" copy.dst="struct { io.Writer }" copy.bytes=4 copy.by.buffered=4 copy.reason=not-descriptor copy.end=source copy.type="struct { io.Reader }"
}

func ExamplePlan_LogValue() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: steady}))
	log.Info("about to copy", "by", zerocopy.Explain(io.Discard, strings.NewReader("text")))
	// Output:
	// level=INFO msg="about to copy" by.plan="delegated: source *strings.Reader brings its own method" by.mechanism=delegated by.reason=own-method by.end=source by.type=*strings.Reader
}

func ExampleStep_LogValue() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: steady}))
	c := &zerocopy.Copier{Report: func(r zerocopy.Report) {
		for _, s := range r.Steps {
			log.Info("step", "step", s)
		}
	}}
	c.Copy(context.Background(), io.Discard, strings.NewReader("text"))
	// Output:
	// level=INFO msg=step step.mechanism=delegated step.bytes=4 step.reason=own-method step.end=source step.type=*strings.Reader
}

// steady leaves out what differs from run to run.
func steady(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == "elapsed" {
		return slog.Attr{}
	}
	return a
}
