package zchttp

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/zerocopy-go/zerocopy/internal/bodies"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// ErrUnverified is the error of [SpliceBodies] where net/http is not as this package knows it.
var ErrUnverified = errors.New("zchttp: net/http of this Go version is unverified")

// SpliceBodies has zerocopy.Copy move the bodies of net/http's requests and responses by splice,
// from the next chunk on, or no longer. It is off at the beginning.
//
// A body is spliced if its connection is one of package zcnet (see [ListenAndServe],
// [Transport], zcnet.NewListener), HTTP/1, not encrypted and not decompressed by the Transport, and
// if nothing but net/http's own Readers is around it: http.MaxBytesReader, what waits for
// Expect: 100-continue, and what httputil.ReverseProxy adds. Chunks of less than 16 KiB are
// read and written. The copy is otherwise what it was: the same bytes, errors, trailers, and the
// connection is used again for the next request.
//
// This rests on how net/http is made inside: that a large Read is handed down to the
// connection. The types are compared with those of Go 1.26 and 1.27, and the first call tries each
// kind of body on connections in memory, which takes some milliseconds. Where anything differs
// it returns an error that is ErrUnverified, bodies are read and written as before, and the
// reason of their copies is zerocopy.ReasonUnverified.
//
// It concerns the whole process and is safe for concurrent use. ZEROCOPY=httpbody=off in the
// environment overrides it. On systems other than Linux it does nothing.
func SpliceBodies(on bool) error {
	if !sys.Supported {
		return nil
	}
	if on {
		if err := verified(); err != nil {
			bodies.Refuse()
			return fmt.Errorf("%w (%s): %w", ErrUnverified, runtime.Version(), err)
		}
	}
	bodies.Set(on)
	return nil
}

// verified is what the canary says. It is asked once.
var verified = sync.OnceValue(func() error { return canary(readBody) })
