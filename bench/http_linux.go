package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// webFiles are how many files of a kind there are where they are small.
const webFiles = 16

// filesOf returns a directory on the disk with the files of a size, which are made once and
// stay in the page cache.
func (s *session) filesOf(size int) (string, error) {
	if dir := s.webDirs[size]; dir != "" {
		return dir, nil
	}
	dir, err := s.tempDir(s.disk)
	if err != nil {
		return "", err
	}
	n := webFiles
	if size >= 1<<20 {
		n = 1
	}
	p := make([]byte, size)
	for i := range n {
		fill(p, int64(i*size))
		f, err := os.Create(filepath.Join(dir, webFile(i)))
		if err == nil {
			_, err = f.Write(p)
			// What is written back later would be in other rounds' way.
			err = errors.Join(err, f.Sync(), f.Close())
		}
		if err != nil {
			return "", err
		}
	}
	if s.webDirs == nil {
		s.webDirs = make(map[int]string)
	}
	s.webDirs[size] = dir
	return dir, nil
}

// http runs a job of kindHTTP.
func (s *session) http(ctx context.Context, j job, q request) (out sample, err error) {
	if s.client != "" {
		return out, skip("is for one host")
	}
	dir, err := s.filesOf(cmp.Or(j.Size, 4<<10))
	if err != nil {
		return out, err
	}
	if q.Path == "" {
		q.Path = dir
	}
	if j.Behind || j.spec.Mode == webDownload {
		behind, err := s.startServer(ctx, webUpstream, request{Path: dir})
		if err != nil {
			return out, err
		}
		defer behind.stop()
		q.Target = behind.addr
	}
	r, err := s.startServer(ctx, j.Variant, q)
	if err != nil {
		return out, err
	}
	defer r.stop()
	switch {
	case j.verify:
		return s.verifyHTTP(ctx, j, r, q, dir)
	case j.spec.Mode == webTunnels:
		return s.upgraded(ctx, j, r)
	case j.spec.Mode == webDownload:
		return s.downloads(ctx, j, r, q)
	}
	return s.asked(ctx, j, r)
}

// startServer starts an HTTP server and waits until it accepts.
func (s *session) startServer(ctx context.Context, variant string, q request) (r *running, err error) {
	if why := s.missing[variant]; why != "" {
		return nil, skip(why)
	}
	if conf := webConfigs[variant]; conf != nil {
		s.place.do(func() { r, err = s.startWebProgram(ctx, variant, conf, q) })
		return r, err
	}
	s.place.do(func() {
		var ln net.Listener
		if ln, err = net.Listen("tcp", net.JoinHostPort(s.host, "0")); err != nil {
			return
		}
		defer ln.Close()
		var f *os.File
		if f, err = ln.(*net.TCPListener).File(); err != nil {
			return
		}
		defer f.Close()
		r = &running{addr: ln.Addr().String()}
		r.child, err = startRole(roleWeb, f)
	})
	if err != nil {
		return nil, err
	}
	q.Op, q.Variant = "setup", variant
	if _, err = r.call(ctx, q); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

// dial connects to a server from where it is.
func (s *session) dial(addr string) (c net.Conn, err error) {
	s.place.do(func() { c, err = net.Dial("tcp", addr) })
	return c, err
}

// asked has the light client ask a server.
func (s *session) asked(ctx context.Context, j job, r *running) (out sample, err error) {
	host, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		return out, err
	}
	body := 0
	if j.spec.Mode == webPost {
		body = j.Size
	}
	args := []string{port, host, fmt.Sprint(max(j.Streams, 1)), fmt.Sprint(body)}
	for i := range webFiles {
		args = append(args, question(j, r.addr, i))
		if j.Size >= 1<<20 {
			break
		}
	}
	load := exec.CommandContext(ctx, s.limits[byLoad], args...)
	in, err := load.StdinPipe()
	if err != nil {
		return out, err
	}
	text, err := load.StdoutPipe()
	if err != nil {
		return out, err
	}
	var c *child
	s.place.do(func() { c, err = start(load) })
	if err != nil {
		return out, err
	}
	defer c.stop()
	says := bufio.NewReader(text)
	if line, err := says.ReadString('\n'); line != "ready\n" {
		return out, fmt.Errorf("the client says %q, %v", line, err)
	}
	// What opening connections has cost some contenders more than others is not of interest.
	fmt.Fprintln(in, settleTime.Milliseconds())
	if _, err := says.ReadString('\n'); err != nil {
		return out, err
	}
	m, err := startMeter(r.pid())
	if err != nil {
		return out, err
	}
	held := holdingsOf(r.pid(), min(s.span(j)/2, 100*time.Millisecond))
	fmt.Fprintln(in, s.span(j).Milliseconds())
	line, err := says.ReadString('\n')
	held(&out)
	if err := errors.Join(err, m.read(&out)); err != nil {
		return out, err
	}
	var ns, p50, p99, p999 int64
	if _, err := fmt.Sscan(line, &out.Ops, &out.Bytes, &ns, &p50, &p99, &p999); err != nil {
		return out, err
	}
	out.Seconds, out.P50, out.P99, out.P999 = float64(ns)/1e9, float64(p50)/1e9, float64(p99)/1e9, float64(p999)/1e9
	return out, nil
}

// question is the head of a request.
func question(j job, host string, i int) string {
	var b strings.Builder
	if j.spec.Mode == webPost {
		fmt.Fprintf(&b, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", host, j.Size)
	} else {
		fmt.Fprintf(&b, "GET /%s HTTP/1.1\r\nHost: %s\r\n", webFile(i), host)
	}
	if j.spec.Mode == webRanges {
		fmt.Fprintf(&b, "Range: %s\r\n", ranges(j.Size))
	}
	return b.String() + "\r\n"
}

// ranges asks for all of a file of that size in parts.
func ranges(size int) string {
	var parts []string
	for i := range rangeParts {
		parts = append(parts, fmt.Sprintf("%d-%d", i*size/rangeParts, (i+1)*size/rangeParts-1))
	}
	return "bytes=" + strings.Join(parts, ",")
}

// downloads has the contender download.
func (s *session) downloads(ctx context.Context, j job, r *running, q request) (out sample, err error) {
	q.Op, q.For = "fetch", settleTime
	if _, err := r.call(ctx, q); err != nil {
		return out, err
	}
	m, err := startMeter(r.pid())
	if err != nil {
		return out, err
	}
	held := holdingsOf(r.pid(), min(s.span(j)/2, 100*time.Millisecond))
	q.For = s.span(j)
	a, err := r.call(ctx, q)
	held(&out)
	if err := errors.Join(err, m.read(&out)); err != nil {
		return out, err
	}
	out.Bytes, out.Ops, out.Seconds = a.Bytes, a.Ops, a.Elapsed.Seconds()
	return out, nil
}

// upgraded opens connections that are upgraded, has them carry something, and looks what they hold.
func (s *session) upgraded(ctx context.Context, j job, r *running) (out sample, err error) {
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	p := make([]byte, j.Warm)
	one := func() error {
		c, err := s.dial(r.addr)
		if err != nil {
			return err
		}
		open = append(open, c)
		c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", r.addr)
		var head []byte
		for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
			var b [1]byte
			if _, err := c.Read(b[:]); err != nil {
				return fmt.Errorf("after %q: %w", head, err)
			}
			head = append(head, b[0])
		}
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
			return fmt.Errorf("no upgrade but %q", head)
		}
		if _, err := c.Write(p); err != nil {
			return err
		}
		_, err = io.ReadFull(c, p)
		return err
	}
	settle := func() error {
		time.Sleep(settleTime)
		if r.rpc == nil {
			return nil
		}
		_, err := r.call(ctx, request{Op: "settle"})
		return err
	}
	if err := errors.Join(one(), settle()); err != nil { // so that what is made once is there
		return out, err
	}
	rss := residentOf(r.pid())
	fds, pipes := descriptorsOf(r.pid())
	for range j.Idle {
		if err := one(); err != nil {
			return out, err
		}
	}
	if err := settle(); err != nil {
		return out, err
	}
	out.RSS = residentOf(r.pid())
	out.Descriptors, out.Pipes = descriptorsOf(r.pid())
	n := float64(j.Idle)
	out.Tunnels, out.TunnelFDs = j.Idle, float64(out.Descriptors-fds)/n
	out.TunnelPipe, out.TunnelRSS = float64(out.Pipes-pipes)/n, float64(out.RSS-rss)/n
	return out, nil
}

// verifyHTTP compares what arrives with what was sent, in each of the ways of a case.
func (s *session) verifyHTTP(ctx context.Context, j job, r *running, q request, dir string) (out sample, err error) {
	want, err := os.ReadFile(filepath.Join(dir, webFile(0)))
	if err != nil {
		return out, err
	}
	t := &http.Transport{DisableCompression: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return s.dial(r.addr)
	}}
	defer t.CloseIdleConnections()
	var got []byte
	switch j.spec.Mode {
	case webDownload:
		q.Op = "take"
		if _, err = r.call(ctx, q); err == nil {
			got, err = os.ReadFile(q.Path)
		}
	case webPost:
		resp, e := (&http.Client{Transport: t}).Post("http://"+r.addr+"/keep", "application/octet-stream", bytes.NewReader(want))
		if e != nil {
			return out, e
		}
		defer resp.Body.Close()
		text, e := io.ReadAll(resp.Body)
		switch {
		case e != nil || string(text) != fmt.Sprint(len(want)):
			err = fmt.Errorf("%s: %q of %d bytes arrived, %v", resp.Status, text, len(want), e)
		case j.Behind:
			got = want // nobody has kept it
		default:
			got, err = os.ReadFile(q.Path)
		}
	default:
		got, err = ask(ctx, t, j, r.addr)
	}
	if err == nil && sha256.Sum256(got) != sha256.Sum256(want) {
		err = fmt.Errorf("other bytes arrived than were sent: %d of %d", len(got), len(want))
	}
	out.Bytes = int64(len(got))
	return out, err
}

// ask returns the file that a server has, put together from its parts where these were asked for.
func ask(ctx context.Context, t *http.Transport, j job, addr string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/"+webFile(0), nil)
	if err != nil {
		return nil, err
	}
	if j.spec.Mode == webRanges {
		req.Header.Set("Range", ranges(j.Size))
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if j.spec.Mode != webRanges {
		return io.ReadAll(resp.Body)
	}
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, fmt.Errorf("%s, no parts: %v", resp.Status, err)
	}
	var all []byte
	for parts := multipart.NewReader(resp.Body, params["boundary"]); ; {
		p, err := parts.NextPart()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		all = append(all, text...)
	}
}
