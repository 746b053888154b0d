package stdtypes

import (
	"bufio"
	"io"
	"reflect"
	"sync"
)

// switchedOK says of a type, once, whether it is net/http's readWriteCloserBody with the
// layout that was verified.
var switchedOK sync.Map // of reflect.Type to bool

// Switched looks into the body of a response to a request that has switched protocols, which
// is a *readWriteCloserBody of net/http: under it is the connection, and before that what
// br has buffered, which is the body's alone if br is not nil. Neither reading from br nor
// from the connection may be mixed with reading from the body. This package is not linked
// against net/http, so the type is verified by its name and fields.
func Switched(body any) (conn io.ReadWriteCloser, br *bufio.Reader, ok bool) {
	t := reflect.TypeOf(body)
	if t == nil || t.Kind() != reflect.Pointer {
		return nil, nil, false
	}
	verified, seen := switchedOK.Load(t)
	if !seen {
		verified = switchedBody(t.Elem())
		switchedOK.Store(t, verified)
	}
	v := reflect.ValueOf(body)
	if !verified.(bool) || v.IsNil() {
		return nil, nil, false
	}
	v = v.Elem()
	conn, _ = v.Field(2).Interface().(io.ReadWriteCloser)
	return conn, (*bufio.Reader)(v.Field(1).UnsafePointer()), conn != nil
}

func switchedBody(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.PkgPath() == "net/http" && t.Name() == "readWriteCloserBody" && t.NumField() == 3 &&
		t.Field(0).Type.Size() == 0 &&
		t.Field(1).Name == "br" && t.Field(1).Type == reflect.TypeFor[*bufio.Reader]() &&
		t.Field(2).Name == "ReadWriteCloser" && t.Field(2).Anonymous && t.Field(2).Type == reflect.TypeFor[io.ReadWriteCloser]()
}
