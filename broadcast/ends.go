package broadcast

import (
	"fmt"
	"io"
	"os"
	"reflect"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// inspectSource returns the descriptor that src is, if it is to be spliced, and why not.
// Pages of a file can change before the last sink has got them, so those of files and
// pipes are lent with Share only (contract 10 of docs/design.md).
func inspectSource(src io.Reader, pages zerocopy.Pages) (end engine.End, why zerocopy.Reason) {
	if !sys.Supported {
		return end, zerocopy.ReasonPlatform
	}
	end, ok := engine.Inspect(nil, src, true)
	if !ok {
		return end, zerocopy.ReasonNotDescriptor
	}
	end.Ask(nil)
	switch {
	case end.Kind == engine.Message:
		return end, zerocopy.ReasonMessages
	case !end.Kind.Socket() && end.Kind != engine.Pipe && end.Kind != engine.File:
		return end, zerocopy.ReasonDevice
	case !end.Kind.Socket() && pages == zerocopy.Stable:
		return end, zerocopy.ReasonStable
	case !end.Kind.Socket() && pages != zerocopy.Share:
		return end, zerocopy.ReasonPages
	case end.Kind != engine.File && !end.Pollable():
		return end, zerocopy.ReasonBlocking
	}
	return end, zerocopy.ReasonNone
}

// inspectSink returns the descriptor that w is, and why it cannot be spliced to.
func inspectSink(w io.Writer) (end engine.End, why zerocopy.Reason) {
	if !sys.Supported {
		return end, zerocopy.ReasonPlatform
	}
	end, ok := engine.Inspect(nil, w, false)
	if !ok {
		return end, zerocopy.ReasonNotDescriptor
	}
	end.Ask(nil)
	stream := end.Kind.Socket() || end.Kind == engine.Pipe
	switch {
	case end.Kind == engine.Message:
		return end, zerocopy.ReasonMessages
	case !stream && end.Kind != engine.File && end.Kind != engine.Null:
		return end, zerocopy.ReasonDevice
	case end.File != nil && end.Flags&sys.AccessMode == sys.ReadOnly:
		return end, zerocopy.ReasonAccess
	case end.Flags&sys.Append != 0:
		return end, zerocopy.ReasonAppend
	case stream && !end.Pollable():
		return end, zerocopy.ReasonBlocking
	}
	return end, zerocopy.ReasonNone
}

// recordable says what is wrong with file as a recording.
func recordable(file *os.File) error {
	fi, err := file.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("broadcast: the recording %q is not a regular file", file.Name())
	}
	end, ok := engine.Inspect(nil, file, false)
	switch {
	case !ok: // not Linux: writing will tell
	case end.Flags&sys.Append != 0:
		return fmt.Errorf("broadcast: the recording %q is open with O_APPEND", file.Name())
	case end.Flags&sys.AccessMode != sys.ReadWrite:
		return fmt.Errorf("broadcast: the recording %q has to be open for reading and writing (os.O_RDWR)", file.Name())
	}
	return nil
}

// isNil reports whether v is nil or a nil pointer.
func isNil(v any) bool {
	p := reflect.ValueOf(v)
	return !p.IsValid() || p.Kind() == reflect.Pointer && p.IsNil()
}

// same reports whether a and b are the same value, without a panic where they cannot be
// compared.
func same(a, b any) bool {
	t := reflect.TypeOf(a)
	return t != nil && t == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}
