package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/pires/go-proxyproto"
)

// maxHeader is the most that a header may have: v2's 16 bytes, and what go-proxyproto
// allows behind them. v1 has its own limit, 107.
var maxHeader = 16 + int(proxyproto.MaxV2HeaderSize)

// acceptHeader reads the header that the client has to send first, and notes it. What
// follows it is left in the connection. The protocol forbids to guess whether there is one.
func (p *proxy) acceptHeader(f *flow) error {
	if !p.trusted(f.client.RemoteAddr()) {
		return fmt.Errorf("%v is not in a network of -trust", f.client.RemoteAddr())
	}
	h, rest, err := readHeader(f.client)
	if err != nil {
		return fmt.Errorf("no PROXY header: %w", err)
	}
	f.client.Unread(rest)
	f.introduced(h)
	return nil
}

// trusted reports whether a PROXY header from there is believed. Who can reach a unix
// socket is decided by its permissions.
func (p *proxy) trusted(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return true
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	for _, n := range p.trust {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

// readHeader reads a header from r, and returns it with what else it has read. Senders
// send a header at once, but the network may cut it: go-proxyproto is given the whole.
func readHeader(r io.Reader) (h *proxyproto.Header, rest []byte, err error) {
	buf := make([]byte, maxHeader)
	have := 0
	for !whole(buf[:have]) {
		n, err := r.Read(buf[have:])
		have += n
		if err != nil && !whole(buf[:have]) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, nil, err
		}
	}
	text := bytes.NewReader(buf[:have])
	b := bufio.NewReader(text)
	if h, err = proxyproto.Read(b); err != nil {
		return nil, nil, err
	}
	return h, buf[have-text.Len()-b.Buffered() : have], nil
}

// whole reports whether p, of which more may come, has all that a parser wants to see
// to accept a header or to refuse it.
func whole(p []byte) bool {
	switch v1, v2 := proxyproto.SIGV1, proxyproto.SIGV2; {
	case bytes.HasPrefix(p, v1):
		return len(p) >= 107 || bytes.IndexByte(p, '\n') >= 0
	case bytes.HasPrefix(p, v2):
		if len(p) < 16 {
			return false
		}
		n := 16 + int(binary.BigEndian.Uint16(p[14:]))
		return len(p) >= n || n > maxHeader
	default:
		return !bytes.HasPrefix(v1, p) && !bytes.HasPrefix(v2, p)
	}
}

// formatHeader returns the header that tells a backend who the client is: the one that the
// client has sent, with all its TLVs, if that has the same version, else one that says the
// same of the addresses, as far as version 1 knows them: TCP's. In version 2 a name that was asked for goes with our own.
func formatHeader(version byte, f *flow) ([]byte, error) {
	h := f.header
	switch {
	case h == nil:
		h = proxyproto.HeaderProxyFromAddrs(version, f.client.RemoteAddr(), f.client.LocalAddr())
		if f.name != "" && version == 2 {
			if err := h.SetTLVs([]proxyproto.TLV{{Type: proxyproto.PP2_TYPE_AUTHORITY, Value: []byte(f.name)}}); err != nil {
				return nil, err
			}
		}
	case h.Version == version:
	case h.Command.IsLocal():
		h = proxyproto.HeaderProxyFromAddrs(version, nil, nil)
	default:
		h = proxyproto.HeaderProxyFromAddrs(version, h.SourceAddr, h.DestinationAddr)
	}
	header, err := h.Format()
	if err != nil {
		err = errors.Join(errors.New("the PROXY header for the backend cannot be made"), err)
	}
	return header, err
}
