package zerocopy_test

import (
	"encoding/json"
	"expvar"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy"
)

// TestStatsJSON: the names in the JSON are API. What has no type or end has no such key.
func TestStatsJSON(t *testing.T) {
	t.Parallel()
	s := zerocopy.Stats{
		Copies: 7, Active: 2, Failed: 1, HandedBack: 4096, Relays: 1,
		Disabled: []zerocopy.Mechanism{zerocopy.Tee},
		Mechanisms: []zerocopy.MechanismStats{
			{Mechanism: zerocopy.Buffered, Copies: 3, Bytes: 512, Calls: 4},
			{Mechanism: zerocopy.CopyFileRange, Copies: 1, Bytes: 1 << 40, Calls: 1 << 10},
		},
		Reasons: []zerocopy.ReasonStats{
			{Reason: zerocopy.ReasonNotDescriptor, End: zerocopy.SourceEnd, Type: "*gzip.Reader", Copies: 2, Bytes: 500},
			{Reason: zerocopy.ReasonPlatform, Copies: 1, Bytes: 12},
		},
		Pipes: zerocopy.PipeStats{Open: 3, Idle: 1, Bytes: 3 << 20, Budget: 32 << 20, Created: 5, Discarded: 2, Refused: 9},
	}
	const want = `{"Copies":7,"Active":2,"Failed":1,"HandedBack":4096,"Relays":1,` +
		`"Disabled":["tee"],` +
		`"Mechanisms":[{"Mechanism":"buffered","Copies":3,"Bytes":512,"Calls":4},` +
		`{"Mechanism":"copy_file_range","Copies":1,"Bytes":1099511627776,"Calls":1024}],` +
		`"Reasons":[{"Reason":"not-descriptor","End":"source","Type":"*gzip.Reader","Copies":2,"Bytes":500},` +
		`{"Reason":"platform","Copies":1,"Bytes":12}],` +
		`"Pipes":{"Open":3,"Idle":1,"Bytes":3145728,"Budget":33554432,"Created":5,"Discarded":2,"Refused":9}}`
	if got, err := json.Marshal(s); err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
}

// A sink is a Writer of an unknown type.
type sink struct{ io.Writer }

func ExampleReadStats_expvar() {
	// Once, at the start of a program: /debug/vars has it from then on.
	expvar.Publish("zerocopy", expvar.Func(func() any { return zerocopy.ReadStats() }))

	zerocopy.Copy(sink{io.Discard}, struct{ io.Reader }{strings.NewReader("text")})
	var vars struct {
		Copies     int64
		Mechanisms []struct {
			Mechanism string
			Bytes     int64
		}
	}
	json.Unmarshal([]byte(expvar.Get("zerocopy").String()), &vars)
	for _, m := range vars.Mechanisms {
		if m.Mechanism == "buffered" {
			fmt.Println(vars.Copies > 0, m.Bytes >= 4)
		}
	}
	// Output: true true
}

func ExampleStats() {
	s := zerocopy.ReadStats()
	var all int64
	for _, m := range s.Mechanisms {
		all += m.Bytes
	}
	user := s.Bytes(zerocopy.Buffered) + s.Bytes(zerocopy.Delegated)
	fmt.Fprintf(os.Stderr, "%d of %d bytes were left to the kernel\n", all-user, all)
	if s.Pipes.Refused > 0 {
		fmt.Fprintf(os.Stderr, "no pipe was to be had %d times, of a budget of %d bytes\n", s.Pipes.Refused, s.Pipes.Budget)
	}
}
