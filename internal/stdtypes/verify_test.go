//lint:file-ignore U1000 The fields and methods of look-alikes are there for their layout.

package stdtypes

import (
	"io"
	"reflect"
	"testing"
)

// A layout that differs in anything is refused.
func TestVerify(t *testing.T) {
	t.Parallel()
	type known struct {
		buf []byte
		rd  io.Reader
		r   int
	}
	want := []field{{"buf", bytesType}, {"rd", readerType}, {"r", intType}}
	for _, tt := range []struct {
		reason string
		typ    reflect.Type
		ok     bool
	}{
		{"as it was", reflect.TypeFor[known](), true},
		{"a field more", reflect.TypeFor[struct {
			buf []byte
			rd  io.Reader
			r   int
			w   int
		}](), false},
		{"a field less", reflect.TypeFor[struct {
			buf []byte
			rd  io.Reader
		}](), false},
		{"another name", reflect.TypeFor[struct {
			buf []byte
			rd  io.Reader
			w   int
		}](), false},
		{"another type", reflect.TypeFor[struct {
			buf []byte
			rd  io.ReadCloser
			r   int
		}](), false},
		{"a type of the same kind", reflect.TypeFor[struct {
			buf []byte
			rd  io.Reader
			r   reflect.Kind
		}](), false},
		{"another order", reflect.TypeFor[struct {
			rd  io.Reader
			buf []byte
			r   int
		}](), false},
		{"no struct", reflect.TypeFor[*known](), false},
	} {
		if ok := verify(tt.typ, want...); ok != tt.ok {
			t.Errorf("%s: %v", tt.reason, ok)
		}
	}
}
