package stdtypes_test

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
)

// Its Read gives each byte twice.
type doubling struct{ *os.File }

func (d doubling) Read(p []byte) (int, error) { return len(p), nil }

// TestUnread: which sources are moved back, and that the next Read then gives the bytes once more.
func TestUnread(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := func() *os.File {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	var byOS capture
	file().WriteTo(&byOS)
	for reason, tt := range map[string]struct {
		src  io.Reader
		back bool
	}{
		"a file":                   {file(), true},
		"a limit of one":           {io.LimitReader(file(), 9), true},
		"as os hands it on":        {byOS.got.(io.Reader), true},
		"io.NopCloser of one":      {io.NopCloser(file()), true},
		"a section":                {io.NewSectionReader(file(), 0, 9), true},
		"a strings.Reader":         {strings.NewReader("0123456789"), true},
		"a Seek by embedding":      {doubling{file()}, false},
		"a bufio.Reader, Seekless": {bufio.NewReader(file()), false},
		"nothing to seek in":       {io.LimitReader(nil, 9), false},
	} {
		if reason != "nothing to seek in" {
			io.ReadFull(tt.src, make([]byte, 4))
		}
		limit, _ := tt.src.(*io.LimitedReader)
		var before int64
		if limit != nil {
			before = limit.N
		}
		if got := stdtypes.Unread(tt.src, 3); got != tt.back {
			t.Errorf("%s: %t", reason, got)
		}
		if limit != nil && (limit.N == before+3) != tt.back {
			t.Errorf("%s: N %d, was %d", reason, limit.N, before)
		}
		if p := make([]byte, 1); tt.back {
			if io.ReadFull(tt.src, p); string(p) != "1" {
				t.Errorf("%s: goes on with %q", reason, p)
			}
		}
	}
}
