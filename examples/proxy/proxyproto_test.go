package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

const v1 = "PROXY TCP4 192.0.2.7 192.0.2.1 5555 443\r\n"

// v2 returns a header of version 2 with the given parts.
func v2(command, family byte, body string) string {
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{command, family, byte(len(body) >> 8), byte(len(body))}) + body
}

// body4 are the addresses of v1 as in v2.
const body4 = "\xc0\x00\x02\x07\xc0\x00\x02\x01\x15\xb3\x01\xbb"

// sealed is v2 for TCP4 with a TLV of its own and the checksum that covers it all.
func sealed() string {
	h := []byte(v2(0x21, 0x11, body4+"\xe0\x00\x03abc"+"\x03\x00\x04\x00\x00\x00\x00"))
	binary.BigEndian.PutUint32(h[len(h)-4:], crc32.Checksum(h, crc32.MakeTable(crc32.Castagnoli)))
	return string(h)
}

func TestReadHeader(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		reason string
		data   string
		end    error
		source string // "" where the header names none
		err    error
	}{
		{"version 1", v1, nil, "192.0.2.7:5555", nil},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 5555 443\r\n", nil, "[2001:db8::7]:5555", nil},
		{"UNKNOWN names nobody", "PROXY UNKNOWN\r\n", nil, "", nil},
		{"UNKNOWN with addresses, which mean nothing", "PROXY UNKNOWN ffff:f ffff:f 65535 65535\r\n", nil, "", nil},
		{"version 2", v2(0x21, 0x11, body4), nil, "192.0.2.7:5555", nil},
		{"version 2 with TLVs", sealed(), nil, "192.0.2.7:5555", nil},
		{"LOCAL", v2(0x20, 0, ""), nil, "", nil},
		{"LOCAL with addresses to be skipped", v2(0x20, 0x11, body4), nil, "", nil},
		{"unix", v2(0x21, 0x31, "/a"+strings.Repeat("\x00", 106)+"/b"+strings.Repeat("\x00", 106)), nil, "/a", nil},
		{"no header", "GET / HTTP/1.0\r\n\r\n", nil, "", proxyproto.ErrNoProxyProtocol},
		{"nearly one", "PROXX", nil, "", proxyproto.ErrNoProxyProtocol},
		{"nearly version 2", "\r\n\r\n\x00\r\nQUIT!", nil, "", proxyproto.ErrNoProxyProtocol},
		{"a line without end", "PROXY " + strings.Repeat("x", 200), nil, "", proxyproto.ErrVersion1HeaderTooLong},
		{"a line that ends with LF", "PROXY UNKNOWN\n", nil, "", proxyproto.ErrLineMustEndWithCrlf},
		{"a port that is none", "PROXY TCP4 192.0.2.7 192.0.2.1 5555 65536\r\n", nil, "", proxyproto.ErrInvalidPortNumber},
		{"an address of the other family", "PROXY TCP4 ::1 ::1 1 2\r\n", nil, "", proxyproto.ErrInvalidAddress},
		{"no command", v2(0x22, 0x11, body4), nil, "", proxyproto.ErrUnsupportedProtocolVersionAndCommand},
		{"no family", v2(0x21, 0x44, body4), nil, "", proxyproto.ErrUnsupportedAddressFamilyAndProtocol},
		{"too short for its family", v2(0x21, 0x11, body4[:11]), nil, "", proxyproto.ErrInvalidLength},
		{"4096 bytes are the most", v2(0x21, 0x11, body4+strings.Repeat("\x04\x00\x01.", 1021)), nil, "192.0.2.7:5555", nil},
		{"larger than allowed", v2(0x21, 0x11, body4+strings.Repeat("\x04\x00\x01.", 1022)), nil, "", proxyproto.ErrInvalidLength},
		{"cut off", v1[:20], io.EOF, "", io.ErrUnexpectedEOF},
		{"nothing", "", io.EOF, "", io.ErrUnexpectedEOF},
		{"the connection breaks", v1[:20], net.ErrClosed, "", net.ErrClosed},
	} {
		for _, step := range []int{1, 30, 1 << 20} {
			s := &scripted{data: []byte(row.data + "and more"), step: step, end: row.end}
			if row.end != nil {
				s.data = []byte(row.data)
			}
			h, rest, err := readHeader(s)
			if !errors.Is(err, row.err) {
				t.Errorf("%s, %d at a time: %v, want %v", row.reason, step, err, row.err)
			}
			if err != nil {
				continue
			}
			if all := string(rest) + string(s.data); all != "and more" {
				t.Errorf("%s, %d at a time: %q is left", row.reason, step, all)
			}
			source := ""
			if h.Command.IsProxy() {
				source = h.SourceAddr.String()
			}
			if source != row.source {
				t.Errorf("%s, %d at a time: from %q, want %q", row.reason, step, source, row.source)
			}
		}
	}
}

// What the backend is told, by version and by what the client has said.
func TestSendProxy(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		reason string
		flags  []string
		send   string
		want   func(client, proxy string) string
	}{
		{"our own, version 1", []string{"-send-proxy", "v1"}, "", ownV1},
		{"our own, version 2", []string{"-send-proxy", "v2"}, "", ownV2},
		{"passed on, version 1", []string{"-accept-proxy", "-send-proxy", "v1"}, v1, same(v1)},
		{"passed on, version 2, with its TLVs and a checksum that still holds", []string{"-accept-proxy", "-send-proxy", "v2"}, sealed(), same(sealed())},
		{"1 to 2", []string{"-accept-proxy", "-send-proxy", "v2"}, v1, same(v2(0x21, 0x11, body4))},
		{"2 to 1", []string{"-accept-proxy", "-send-proxy", "v1"}, sealed(), same(v1)},
		{"LOCAL stays LOCAL", []string{"-accept-proxy", "-send-proxy", "v2"}, v2(0x20, 0, ""), same(v2(0x20, 0, ""))},
		{"LOCAL in version 1", []string{"-accept-proxy", "-send-proxy", "v1"}, v2(0x20, 0x11, body4), same("PROXY UNKNOWN\r\n")},
		{"UNKNOWN in version 2", []string{"-accept-proxy", "-send-proxy", "v2"}, "PROXY UNKNOWN\r\n", same(v2(0x20, 0, ""))},
		{"unix in version 1", []string{"-accept-proxy", "-send-proxy", "v1"}, v2(0x21, 0x31, strings.Repeat("/", 216)), same("PROXY UNKNOWN\r\n")},
		{"taken off", []string{"-accept-proxy"}, sealed(), same("")},
	} {
		t.Run(row.reason, func(t *testing.T) {
			t.Parallel()
			p := start(t, backend(t, func(c *net.TCPConn) { io.Copy(c, c) }), row.flags...)
			client := dial(t, p.addr)
			send(t, client, row.send+"hello")
			client.CloseWrite()
			got, err := io.ReadAll(client)
			if want := row.want(client.LocalAddr().String(), p.addr) + "hello"; err != nil || string(got) != want {
				t.Errorf("the backend received\n%q, %v; want\n%q", got, err, want)
			}
		})
	}
}

func same(s string) func(client, proxy string) string {
	return func(string, string) string { return s }
}

func ownV1(client, proxy string) string {
	c, p := netip.MustParseAddrPort(client), netip.MustParseAddrPort(proxy)
	return fmt.Sprintf("PROXY TCP4 %v %v %d %d\r\n", c.Addr(), p.Addr(), c.Port(), p.Port())
}

func ownV2(client, proxy string) string {
	c, p := netip.MustParseAddrPort(client), netip.MustParseAddrPort(proxy)
	ports := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, c.Port()), p.Port())
	return v2(0x21, 0x11, string(c.Addr().AsSlice())+string(p.Addr().AsSlice())+string(ports))
}

// A name that was asked for is told to the backend in version 2.
func TestSendProxyName(t *testing.T) {
	t.Parallel()
	p := start(t, "", "-sni", "a.example.org="+backend(t, func(c *net.TCPConn) {
		h, rest, err := readHeader(c)
		if err != nil {
			t.Error(err)
			return
		}
		tlvs, err := h.TLVs()
		want := []proxyproto.TLV{{Type: proxyproto.PP2_TYPE_AUTHORITY, Value: []byte("a.example.org")}}
		if err != nil || !reflect.DeepEqual(tlvs, want) {
			t.Errorf("TLVs %v, %v", tlvs, err)
		}
		io.Copy(c, io.MultiReader(bytes.NewReader(rest), c))
	}), "-send-proxy", "v2")
	hello := helloOf(t, configFor("a.example.org"))
	client := dial(t, p.addr)
	send(t, client, string(hello))
	receive(t, client, string(hello))
}

// The header is for the log, too, and a client that sends none is told nothing.
func TestAcceptProxy(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		reason string
		flags  []string
		send   string
		want   string
		log    string
	}{
		{"version 1", nil, v1 + "hello", "hello", `#1 192\.0\.2\.7:5555 \(PROXY v1 from 127\.0\.0\.1:\d+, for 192\.0\.2\.1:443\) → .*up 5 bytes`},
		{"version 2", nil, sealed() + "hello", "hello", `#1 192\.0\.2\.7:5555 \(PROXY v2 from 127\.0\.0\.1:\d+, for 192\.0\.2\.1:443\) → .*up 5 bytes`},
		{"LOCAL", nil, v2(0x20, 0, "") + "hello", "hello", `#1 127\.0\.0\.1:\d+ \(PROXY v2, its own\) → .*up 5 bytes`},
		{"a path for the terminal", nil, v2(0x21, 0x31, "\x1b[2J"+strings.Repeat("\x00", 212)) + "hello", "hello", `#1 "\\x1b\[2J" \(PROXY v2`},
		{"no header", nil, "hello", "", `error: refused: no PROXY header: .*not present`},
		{"a malformed one", nil, "PROXY TCP5 1 2 3 4\r\nhello", "", `error: refused: no PROXY header: `},
		{"larger than allowed", nil, v2(0x21, 0x11, body4+strings.Repeat("\x04\x00\x01.", 1022)), "", `error: refused: no PROXY header: .*invalid length`},
		{"stalling", []string{"-first-timeout", "50ms"}, v1[:20], "", `error: refused: no PROXY header: .*timeout`},
		{"not from there", []string{"-trust", "192.0.2.0/24"}, v1 + "hello", "", `error: refused: 127\.0\.0\.1:\d+ is not in a network of -trust`},
		{"from one of two networks", []string{"-trust", "192.0.2.0/24", "-trust", "127.0.0.1/32"}, v1 + "hello", "hello", `up 5 bytes`},
	} {
		t.Run(row.reason, func(t *testing.T) {
			t.Parallel()
			p := start(t, backend(t, func(c *net.TCPConn) { io.Copy(c, c) }), append(row.flags, "-accept-proxy")...)
			client := dial(t, p.addr)
			send(t, client, row.send)
			if row.want != "" {
				client.CloseWrite()
			}
			if got, _ := io.ReadAll(client); string(got) != row.want {
				t.Errorf("received %q, want %q", got, row.want)
			}
			p.Await(t, row.log)
		})
	}
}

// A PROXY header, a ClientHello and then bulk: both are looked at, the rest is spliced.
func TestProxyAndSNISplice(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	hello := helloOf(t, configFor("a.example.org"))
	var want bytes.Buffer
	want.WriteString(v1)
	want.Write(hello)
	want.Write(bytes.Repeat([]byte("0123456789abcdef"), size/16))
	p := start(t, "", "-sni", "a.example.org="+backend(t, func(c *net.TCPConn) {
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("received %d bytes, %v, of %d, or others than were sent", len(got), err, want.Len())
		}
	}), "-accept-proxy", "-send-proxy", "v1")
	client := dial(t, p.addr)
	if _, err := client.Write(want.Bytes()); err != nil {
		t.Fatal(err)
	}
	client.CloseWrite()
	receiveEnd(t, client)
	p.Await(t, `for a\.example\.org in .*up \d+ bytes`)
	requireSpliced(t, p.stop(t), size/2, true)
}

func TestTrusted(t *testing.T) {
	t.Parallel()
	p := proxy{options: &options{trust: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}}}
	for _, row := range []struct {
		a    net.Addr
		want bool
	}{
		{&net.TCPAddr{IP: net.IPv4(10, 1, 2, 3)}, true},
		{&net.TCPAddr{IP: net.IPv4(10, 1, 2, 3).To4()}, true},
		{&net.TCPAddr{IP: net.IPv4(11, 1, 2, 3)}, false},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "lo"}, true},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8::1")}, false},
		{&net.UnixAddr{Net: "unix"}, true},
	} {
		if got := p.trusted(row.a); got != row.want {
			t.Errorf("trusted(%v) = %v", row.a, got)
		}
	}
}

// However the network cuts a header, it is read the same, and what follows is left.
func FuzzReadHeader(f *testing.F) {
	f.Add([]byte(v1+"more"), 3)
	f.Add([]byte(sealed()+"more"), 1)
	f.Add([]byte(v2(0x20, 0x11, "")+"more"), 5)
	f.Add([]byte("PROXY UNKNOWN\r\n"), 1)
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		var answers [2]string
		for i, step := range []int{max(step, 1), len(data) + 1} {
			s := &scripted{data: data, step: step, end: io.EOF}
			h, rest, err := readHeader(s)
			answers[i] = fmt.Sprint(h, err == nil)
			if err != nil {
				continue
			}
			answers[i] += string(rest) + string(s.data)
			if !bytes.HasSuffix(data, append(rest, s.data...)) {
				t.Errorf("%q is left of %q", rest, data)
			}
			for version := byte(1); version <= 2; version++ {
				fl := &flow{header: h}
				if again, err := formatHeader(version, fl); err != nil {
					t.Errorf("version %d of %+v: %v", version, h, err)
				} else if !whole(again) {
					t.Errorf("version %d of %+v is %q", version, h, again)
				}
			}
		}
		if answers[0] != answers[1] {
			t.Errorf("%s in pieces, %s at once", answers[0], answers[1])
		}
	})
}

// The time of a header is over when it has come: it does not cut what follows.
func TestFirstTimeoutEnds(t *testing.T) {
	t.Parallel()
	echo := backend(t, func(c *net.TCPConn) { io.Copy(c, c) })
	longEnough(t, func(limit string) error {
		client := dial(t, start(t, echo, "-accept-proxy", "-first-timeout", limit).addr)
		send(t, client, v1)
		d, err := time.ParseDuration(limit)
		if err != nil {
			return err
		}
		time.Sleep(2 * d)
		return exchange(client, client, "hello")
	})
}
