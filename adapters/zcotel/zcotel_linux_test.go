package zcotel_test

import (
	"context"
	"io"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcotel"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestMain counts descriptors and goroutines before and after all tests.
func TestMain(m *testing.M) { ztest.Main(m, kpipe.Shared.CloseIdle) }

// TestCopies: copies between sockets and files, as a reader sees them.
func TestCopies(t *testing.T) {
	if !ztest.Isolated(t) { // the counts are the process's
		return
	}
	defer kpipe.Shared.CloseIdle()
	reader := sdk.NewManualReader()
	if _, err := zcotel.Register(sdk.NewMeterProvider(sdk.WithReader(reader))); err != nil {
		t.Fatal(err)
	}
	const size = 4 << 20
	content := ztest.Pattern(5).Bytes(size)
	for _, src := range []io.Reader{
		ztest.NewSource(t, ztest.File, content).Reader,
		source{ztest.NewSource(t, ztest.File, content).Reader},
	} {
		dst := ztest.NewDest(t, ztest.TCP4)
		if _, err := zerocopy.Default().Copy(context.Background(), dst.Writer, src); err != nil {
			t.Fatal(err)
		}
		dst.Finish()
	}
	_, got := collect(t, reader)
	for _, want := range []string{
		"zerocopy.mechanism=sendfile 4194304\n",
		"zerocopy.mechanism=buffered 4194304\n",
		"zerocopy.copies ({copy}, counter)\n  2\n",
		"zerocopy.copy.active ({copy}, updowncounter)\n  0\n",
		"zerocopy.unaccelerated.io (By, counter)\n  zerocopy.end=source zerocopy.reason=not-descriptor 4194304\n",
		"zerocopy.unaccelerated.copies ({copy}, counter)\n  zerocopy.end=source zerocopy.reason=not-descriptor 1\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
}
