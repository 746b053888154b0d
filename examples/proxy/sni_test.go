package main

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// certificate is that of all TLS servers here. Clients do not verify it.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"example.org"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tlsBackend greets TLS clients with its name and the one that they ask for, and then
// sends back what they send.
func tlsBackend(t *testing.T, name string) string {
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	return backend(t, func(c *net.TCPConn) {
		s := tls.Server(c, config)
		if s.Handshake() == nil {
			fmt.Fprintf(s, "%s for %q resumed %v\n", name, s.ConnectionState().ServerName, s.ConnectionState().DidResume)
			io.Copy(s, s)
			s.CloseWrite()
		}
	})
}

// greeting connects to addr by TLS and returns what is said first.
func greeting(t *testing.T, addr string, config *tls.Config) string {
	t.Helper()
	c := tls.Client(dial(t, addr), config)
	defer c.Close()
	line := make([]byte, 100)
	n, err := c.Read(line)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(line[:n]))
}

// longProtocols make a ClientHello some n bytes longer.
func longProtocols(n int) (list []string) {
	for i := range n / 200 {
		list = append(list, fmt.Sprintf("%0199d", i))
	}
	return list
}

func TestSNI(t *testing.T) {
	t.Parallel()
	a, b, other := tlsBackend(t, "a"), tlsBackend(t, "b"), tlsBackend(t, "other")
	p := start(t, other, "-sni", "a.example.org="+a, "-sni", "*.example.org="+b, "-sni", "*.deep.example.org="+a)
	strict := start(t, "", "-sni", "a.example.org="+a)
	sessions := tls.NewLRUClientSessionCache(2)
	for _, row := range []struct {
		reason string
		config *tls.Config
		want   string
	}{
		{"the name itself, before the wildcard", &tls.Config{ServerName: "a.example.org"}, `a for "a.example.org" resumed false`},
		{"names have no case", &tls.Config{ServerName: "A.Example.ORG"}, `a for "A.Example.ORG" resumed false`},
		{"the wildcard", &tls.Config{ServerName: "x.example.org"}, `b for "x.example.org" resumed false`},
		{"several labels under a wildcard", &tls.Config{ServerName: "x.y.example.org"}, `b for "x.y.example.org" resumed false`},
		{"the longest wildcard", &tls.Config{ServerName: "x.deep.example.org"}, `a for "x.deep.example.org" resumed false`},
		{"a wildcard is not for its own domain", &tls.Config{ServerName: "example.org"}, `other for "example.org" resumed false`},
		{"nor for the end of a label", &tls.Config{ServerName: "notexample.org"}, `other for "notexample.org" resumed false`},
		{"no name at all", &tls.Config{}, `other for "" resumed false`},
		{"TLS 1.2", &tls.Config{ServerName: "a.example.org", MaxVersion: tls.VersionTLS12}, `a for "a.example.org" resumed false`},
		{"a session to be resumed", &tls.Config{ServerName: "a.example.org", ClientSessionCache: sessions}, `a for "a.example.org" resumed false`},
		{"a ticket in the hello", &tls.Config{ServerName: "a.example.org", ClientSessionCache: sessions}, `a for "a.example.org" resumed true`},
		{"a hello of 14 KiB", &tls.Config{ServerName: "a.example.org", NextProtos: longProtocols(14 << 10)}, `a for "a.example.org" resumed false`},
		{"one of 18 KiB, in two records, is not looked into", &tls.Config{ServerName: "a.example.org", NextProtos: longProtocols(18 << 10)}, `other for "a.example.org" resumed false`},
	} {
		row.config.InsecureSkipVerify = true
		if got := greeting(t, p.addr, row.config); got != row.want {
			t.Errorf("%s: %s, want %s", row.reason, got, row.want)
		}
	}
	refused := &tls.Config{ServerName: "b.example.org", InsecureSkipVerify: true}
	if got := greeting(t, strict.addr, refused); !strings.Contains(got, "unrecognized name") {
		t.Errorf("a name without a route: %s, want the alert", got)
	}
	strict.Await(t, `refused: no route for the name "b.example.org"`)
	p.Await(t, `→ `+other+` for a\.example\.org|→ `+other+` \(ClientHello of more than 16 KiB\)`)
}

// What comes after the peeked hello is spliced.
func TestSNISplices(t *testing.T) {
	t.Parallel()
	const size = 24 << 20
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	to := backend(t, func(c *net.TCPConn) {
		s := tls.Server(c, config)
		n, _ := io.Copy(io.Discard, s)
		fmt.Fprint(s, n)
		s.CloseWrite()
	})
	p := start(t, "", "-sni", "a.example.org="+to)
	c := tls.Client(dial(t, p.addr), &tls.Config{ServerName: "a.example.org", InsecureSkipVerify: true})
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != fmt.Sprint(size) {
		t.Errorf("received %q, %v; want %d", got, err, size)
	}
	c.Close()
	p.Await(t, `up \d+ bytes \(\d+ by buffered: source \S+ already in user memory`)
	// A sender that cannot keep up is interactive for a while.
	requireSpliced(t, p.stop(t), size/2, true)
}

// helloOf returns the ClientHello of a client with config.
func helloOf(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		tls.Client(client, config).HandshakeContext(ctx)
	}()
	var hello []byte
	for {
		record := make([]byte, 5)
		if _, err := io.ReadFull(server, record); err != nil {
			t.Fatal(err)
		}
		body := make([]byte, binary.BigEndian.Uint16(record[3:]))
		if _, err := io.ReadFull(server, body); err != nil {
			t.Fatal(err)
		}
		hello = append(append(hello, record...), body...)
		if len(body) < 16<<10 {
			return hello
		}
	}
}

func configFor(name string) *tls.Config { return &tls.Config{ServerName: name} }

// records cuts the one record of hello into such of n bytes.
func records(hello []byte, n int) (cut []byte) {
	for body := hello[5:]; len(body) > 0; {
		k := min(n, len(body))
		cut = append(append(cut, 22, 3, 1, byte(k>>8), byte(k)), body[:k]...)
		body = body[k:]
	}
	return cut
}

// ech returns an ECHConfigList whose public name is name, RFC 9849 section 4.
func ech(t testing.TB, name string) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := key.PublicKey().Bytes()
	config := []byte{7, 0, 0x20, 0, byte(len(public))} // id, DHKEM(X25519)
	config = append(config, public...)
	config = append(config, 0, 4, 0, 1, 0, 1, 0, byte(len(name))) // HKDF-SHA256, AES-128-GCM, no limit of the name
	config = append(append(config, name...), 0, 0)
	config = append([]byte{0xfe, 0x0d, 0, byte(len(config))}, config...)
	return append([]byte{0, byte(len(config))}, config...)
}

// A scripted connection gives data, step bytes at a time, and then end.
type scripted struct {
	net.Conn
	data []byte
	step int
	end  error
	most int // that were asked for and given in all
}

func (s *scripted) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), s.step)], s.data)
	if n == 0 && len(p) > 0 {
		return 0, s.end
	}
	s.data = s.data[n:]
	s.most += n
	return n, nil
}

func TestPeekName(t *testing.T) {
	t.Parallel()
	plain := helloOf(t, &tls.Config{ServerName: "a.example.org"})
	large := helloOf(t, &tls.Config{ServerName: "a.example.org", NextProtos: longProtocols(13 << 10)})
	wrong := func(at int, b byte) []byte {
		p := bytes.Clone(plain)
		p[at] = b
		return p
	}
	escape := bytes.Replace(plain, []byte("a.example.org"), []byte("a.\x1b[2J.o.orgx"), 1)
	for _, row := range []struct {
		reason string
		data   []byte
		name   string
		err    string // of a namelessError
		other  error  // of another
	}{
		{"a name", plain, "a.example.org", "", nil},
		{"bytes behind the hello are nobody's business", append(bytes.Clone(plain), "early data"...), "a.example.org", "", nil},
		{"records of 1 byte", records(plain, 1), "a.example.org", "", nil},
		{"records of 100 bytes", records(plain, 100), "a.example.org", "", nil},
		{"a large one", large, "a.example.org", "", nil},
		{"a large one that the headers of records make too large", records(large, 10), "", "more than 16 KiB", nil},
		{"a record that says it is too large", []byte{22, 3, 1, 0x40, 0}, "", "more than 16 KiB", nil},
		{"Encrypted Client Hello shows the public name", helloOf(t, &tls.Config{ServerName: "secret.example.org", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: ech(t, "public.example.org")}), "public.example.org", "", nil},
		{"no name", helloOf(t, &tls.Config{InsecureSkipVerify: true}), "", "no server name", nil},
		{"a name for the terminal", escape, "", `the server name "a.\x1b[2J.o.orgx" is not one`, nil},
		{"a name longer than any", helloOf(t, &tls.Config{ServerName: strings.Repeat("a", 254)}), "", "is not one", nil},
		{"HTTP", []byte("GET / HTTP/1.0\r\n\r\n"), "", "no TLS ClientHello", nil},
		{"one byte, and then it waits for an answer", []byte("?"), "", "no TLS ClientHello", nil},
		{"a record of another type", wrong(0, 23), "", "no TLS ClientHello", nil},
		{"a handshake message that is no hello", wrong(5, 2), "", "malformed", nil},
		{"lengths that do not agree", wrong(43, 0xff), "", "malformed", nil},
		{"an empty record", []byte{22, 3, 1, 0, 0, 22, 3, 1, 0, 0}, "", "malformed", nil},
		{"nothing", nil, "", "", io.ErrUnexpectedEOF},
		{"half of it", plain[:len(plain)/2], "", "", io.ErrUnexpectedEOF},
	} {
		for _, step := range []int{1, 7, 1 << 20} {
			s := &scripted{data: row.data, step: step, end: io.EOF}
			c := zcnet.NewConn(s)
			name, err := peekName(c)
			var nameless namelessError
			switch {
			case name != row.name:
				t.Errorf("%s, %d at a time: name %q, %v, want %q", row.reason, step, name, err, row.name)
			case row.err != "" && (!errors.As(err, &nameless) || !strings.Contains(err.Error(), row.err)):
				t.Errorf("%s, %d at a time: %v, want %q", row.reason, step, err, row.err)
			case row.other != nil && (!errors.Is(err, row.other) || errors.As(err, &nameless)):
				t.Errorf("%s, %d at a time: %v, want %v", row.reason, step, err, row.other)
			case row.name != "" && err != nil:
				t.Errorf("%s, %d at a time: %v", row.reason, step, err)
			}
			if s.most > maxHello {
				t.Errorf("%s: %d bytes were peeked", row.reason, s.most)
			}
			if all, err := io.ReadAll(c); err != nil || !bytes.Equal(all, row.data) {
				t.Errorf("%s, %d at a time: the connection has %d bytes then, %v, want %d", row.reason, step, len(all), err, len(row.data))
			}
		}
	}
}

// What is done with clients that do not get as far as a name.
func TestHelloEndings(t *testing.T) {
	t.Parallel()
	hello := helloOf(t, &tls.Config{ServerName: "a.example.org"})
	for _, row := range []struct {
		reason   string
		fallback bool
		flags    []string
		send     []byte
		end      bool // the client sends no more
		want     string
		log      string
	}{
		{"HTTP goes to the default backend, whole", true, nil, []byte("GET / HTTP/1.0\r\n\r\n"), true, "GET / HTTP/1.0\r\n\r\n", `\(no TLS ClientHello\) in .*up 18 bytes`},
		{"and is refused if there is none", false, nil, []byte("GET / HTTP/1.0\r\n\r\n"), true, "", `error: refused: no TLS ClientHello`},
		{"a malformed one goes to the default backend", true, nil, []byte("\x16\x03\x01\x00\x06\x01\x00\x00\x02zz"), true, "\x16\x03\x01\x00\x06\x01\x00\x00\x02zz", `\(malformed ClientHello: `},
		{"a stalling client is cut off", true, []string{"-first-timeout", "50ms"}, hello[:100], false, "", `error: refused: no whole ClientHello: 100 bytes in time: .*timeout`},
		{"a silent one, too", true, []string{"-first-timeout", "50ms"}, nil, false, "", `error: refused: no whole ClientHello: 0 bytes in time`},
		{"half a hello is of no use", true, nil, hello[:100], true, "", `error: refused: no whole ClientHello: unexpected EOF`},
	} {
		t.Run(row.reason, func(t *testing.T) {
			t.Parallel()
			to := ""
			if row.fallback {
				to = backend(t, func(c *net.TCPConn) { io.Copy(c, c) })
			}
			p := start(t, to, append(row.flags, "-sni", "a.example.org=127.0.0.1:1")...)
			client := dial(t, p.addr)
			client.Write(row.send)
			if row.end {
				client.CloseWrite()
			}
			got, err := io.ReadAll(client)
			if string(got) != row.want || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("received %q, %v; want %q", got, err, row.want)
			}
			p.Await(t, row.log)
		})
	}
}

// A hello that is on its way when the proxy is told to stop does not hold it up.
func TestHelloStopped(t *testing.T) {
	t.Parallel()
	p := start(t, "", "-sni", "a.example.org=127.0.0.1:1", "-first-timeout", "1h", "-grace", "10ms", "-metrics", "127.0.0.1:0")
	client := dial(t, p.addr)
	send(t, client, "\x16")
	p.scrape(t, "proxy_connections_open 1")
	p.signals <- os.Interrupt
	if last := p.ended(t); !strings.Contains(last, "1 connections, 1 failed;") {
		t.Errorf("summary %q", last)
	}
	p.Await(t, "error: refused: no whole ClientHello: "+errStopped.Error())
}

// However the network cuts the bytes, the answer is the same and they are all still there.
func FuzzPeekName(f *testing.F) {
	f.Add(helloOf(f, &tls.Config{ServerName: "a.example.org"}), 3)
	f.Add(records(helloOf(f, &tls.Config{ServerName: "a.example.org"}), 50), 1)
	f.Add([]byte("GET / HTTP/1.0\r\n\r\n"), 1)
	f.Add([]byte{22, 3, 1, 0, 0, 22, 3, 1, 0x40, 1}, 1)
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		var answers [2]string
		for i, step := range []int{max(step, 1), len(data) + 1} {
			s := &scripted{data: data, step: step, end: io.EOF}
			c := zcnet.NewConn(s)
			name, err := peekName(c)
			answers[i] = fmt.Sprint(name, err)
			if s.most > maxHello {
				t.Errorf("%d bytes were peeked", s.most)
			}
			if name != printable(name) && name != "" {
				t.Errorf("the name %q cannot be printed", name)
			}
			if all, err := io.ReadAll(c); err != nil || !bytes.Equal(all, data) {
				t.Errorf("the connection has %q then, %v", all, err)
			}
		}
		if answers[0] != answers[1] {
			t.Errorf("%s in pieces, %s at once", answers[0], answers[1])
		}
	})
}
