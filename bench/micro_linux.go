package main

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"syscall"
	"time"
)

// micro repeats one of these copies for a time. What it has to set up again
// between two copies is the same for all contenders and small beside them.
func micro(do copyFunc, q request) response {
	prepare := map[string]func(request) (func(copyFunc) error, error){
		microBytes: prepareBytes, microGzip: prepareGzip, microFiles: prepareFiles,
		microTLSRead: prepareTLSRead, microTLSWrite: prepareTLSWrite,
	}[q.Mode]
	if prepare == nil {
		return response{Err: "no copy of " + q.Mode}
	}
	once, err := prepare(q)
	if err == nil {
		err = once(do)
	}
	if err != nil {
		return failed(err)
	}
	batch := max(1, min(256, (1<<20)/q.Size)) // so that asking for the time does not count
	before, used := mallocs(), cpuTime()
	began := time.Now()
	var a response
	for a.Elapsed < q.For {
		for range batch {
			if err := once(do); err != nil {
				return failed(err)
			}
		}
		a.Ops += int64(batch)
		a.Elapsed = time.Since(began)
	}
	a.CPU, a.Mallocs = cpuTime()-used, mallocs()-before
	return a
}

// cpuTime is what this process has used, in user and in kernel mode. The sum is
// exact to the scheduler's clock even where its two parts are sampled.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // cannot fail with a valid pointer
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A counter takes bytes and has no ReadFrom.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

// expect is an error unless a copy has moved what it should.
func expect(want int, n int64, err error) error {
	if err == nil && n != int64(want) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func prepareBytes(q request) (func(copyFunc) error, error) {
	data := block()[:q.Size]
	src, dst := bytes.NewReader(nil), new(counter)
	return func(do copyFunc) error {
		src.Reset(data)
		n, err := do(dst, src)
		return expect(q.Size, n, err)
	}, nil
}

func prepareGzip(q request) (func(copyFunc) error, error) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(block()[:q.Size])
	z.Close()
	in, dst := bytes.NewReader(zipped.Bytes()), new(counter)
	src, err := gzip.NewReader(in)
	return func(do copyFunc) error {
		in.Reset(zipped.Bytes())
		if err := src.Reset(in); err != nil {
			return err
		}
		n, err := do(dst, src)
		return expect(q.Size, n, err)
	}, err
}

// A wire is a connection whose two directions can be exchanged for memory once the
// handshake is over.
type wire struct {
	net.Conn
	r io.Reader
	w io.Writer
}

func (w *wire) Read(p []byte) (int, error)  { return w.r.Read(p) }
func (w *wire) Write(p []byte) (int, error) { return w.w.Write(p) }

// tlsPair returns a client and a server after their handshake, with the wires
// below them.
func tlsPair() (client, server *tls.Conn, cw, sw *wire, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	a, b := net.Pipe()
	cw, sw = &wire{a, a, a}, &wire{b, b, b}
	// Without tickets nothing is left on the wire behind the handshake. The server
	// is our own, a line above.
	client = tls.Client(cw, &tls.Config{InsecureSkipVerify: true})
	server = tls.Server(sw, &tls.Config{
		Certificates:           []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		SessionTicketsDisabled: true,
	})
	ended := make(chan error, 1)
	go func() { ended <- server.Handshake() }()
	err = client.Handshake()
	if err != nil {
		a.Close()
	}
	return client, server, cw, sw, errors.Join(err, <-ended)
}

func prepareTLSRead(q request) (func(copyFunc) error, error) {
	client, server, cw, sw, err := tlsPair()
	if err != nil {
		return nil, err
	}
	var store bytes.Buffer
	cw.r, sw.w = &store, &store
	data, dst := block()[:q.Size], new(counter)
	limit := &io.LimitedReader{R: client}
	return func(do copyFunc) error {
		if store.Len() == 0 {
			for range 64 {
				if _, err := server.Write(data); err != nil {
					return err
				}
			}
		}
		limit.N = int64(q.Size)
		n, err := do(dst, limit)
		return expect(q.Size, n, err)
	}, nil
}

func prepareTLSWrite(q request) (func(copyFunc) error, error) {
	client, _, cw, _, err := tlsPair()
	if err != nil {
		return nil, err
	}
	cw.w = new(counter)
	data, src := block()[:q.Size], bytes.NewReader(nil)
	return func(do copyFunc) error {
		src.Reset(data)
		n, err := do(client, src)
		return expect(q.Size, n, err)
	}, nil
}

// prepareFiles copies one file over another, again and again.
func prepareFiles(q request) (func(copyFunc) error, error) {
	data := bytes.Repeat(block(), q.Size/chunk+1)[:q.Size]
	if err := os.WriteFile(q.Path, data, 0o600); err != nil {
		return nil, err
	}
	src, err := os.Open(q.Path)
	if err != nil {
		return nil, err
	}
	dst, err := os.Create(q.Path + ".copy")
	if err != nil {
		return nil, err
	}
	return func(do copyFunc) error {
		if _, err := src.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if _, err := dst.Seek(0, io.SeekStart); err != nil {
			return err
		}
		n, err := do(dst, src)
		return expect(q.Size, n, err)
	}, nil
}
