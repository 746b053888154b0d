package main

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// maxHello is the most that is peeked of a connection, the headers of TLS records
// included: 16 KiB. Clients with post-quantum keys and a session ticket send some 2 KiB.
const maxHello = 16 << 10

// A namelessError is why a connection has no name to be routed by, and will not get one.
type namelessError struct{ why string }

func (e namelessError) Error() string { return e.why }

// unrecognizedName is the alert for a name without a route, RFC 6066 section 3.
var unrecognizedName = []byte{21, 3, 1, 0, 2, 2, 112}

// peekName returns the name that a TLS client asks for, in clear: with Encrypted Client
// Hello that is the public one. All bytes stay in c. The error is a namelessError where
// the first bytes are no ClientHello with a name, which a backend may still know what to
// do with, and that of reading if they do not come.
func peekName(c zcnet.Conn) (string, error) {
	var name string
	found := errors.New("found")
	r := &helloReader{Conn: c, c: c}
	err := tls.Server(r, &tls.Config{
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			name = hello.ServerName
			return nil, found
		},
	}).Handshake()
	switch {
	case r.err != nil:
		return "", r.err
	case !errors.Is(err, found):
		return "", namelessError{fmt.Sprintf("malformed ClientHello: %v", err)}
	case name == "":
		return "", namelessError{"no server name"}
	case len(name) > 253 || strings.ContainsFunc(name, notOfName): // RFC 1035, 2.3.4
		return "", namelessError{fmt.Sprintf("the server name %.253q is not one", name)}
	}
	return name, nil
}

// notOfName reports whether r is in no host name. What passes is safe to print.
func notOfName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_", r)
}

// A helloReader is what the handshake takes for the connection: it reads what is peeked,
// record by record, writes nowhere, and closes nothing. Its deadlines are those of the
// caller alone.
type helloReader struct {
	net.Conn
	c      zcnet.Conn
	peeked []byte
	read   int   // of peeked
	err    error // that ended it
}

func (r *helloReader) Read(p []byte) (int, error) {
	if r.read == len(r.peeked) && r.err == nil {
		r.err = r.next()
	}
	if r.err != nil {
		return 0, r.err
	}
	n := copy(p, r.peeked[r.read:])
	r.read += n
	return n, nil
}

// next peeks one more record, and waits for no byte that is not of it: one at first,
// since whoever does not speak TLS may wait for an answer to two.
func (r *helloReader) next() (err error) {
	const handshake, header = 22, 5
	begin := len(r.peeked)
	for _, n := range []int{1, header} {
		if err := r.peek(begin + n); err != nil {
			return err
		}
		if r.peeked[begin] != handshake {
			r.peeked = r.peeked[:begin]
			return namelessError{"no TLS ClientHello"}
		}
	}
	return r.peek(begin + header + int(binary.BigEndian.Uint16(r.peeked[begin+3:])))
}

func (r *helloReader) peek(n int) (err error) {
	if n > maxHello {
		return namelessError{fmt.Sprintf("ClientHello of more than %d KiB", maxHello>>10)}
	}
	r.peeked, err = r.c.Peek(n)
	switch {
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("%d bytes in time: %w", len(r.peeked), err)
	}
	return err
}

func (r *helloReader) Write(p []byte) (int, error)        { return len(p), nil }
func (r *helloReader) Close() error                       { return nil }
func (r *helloReader) SetDeadline(t time.Time) error      { return nil }
func (r *helloReader) SetReadDeadline(t time.Time) error  { return nil }
func (r *helloReader) SetWriteDeadline(t time.Time) error { return nil }
