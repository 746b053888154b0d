package zchttp_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

var (
	soakTime    = flag.Duration("soak.time", 3*time.Second, "for how long TestSoak makes requests")
	soakClients = flag.Int("soak.clients", 16, "how many clients TestSoak has")
	soakSeed    = flag.Uint64("soak.seed", 0, "the seed of TestSoak; 0 is one of its own choice")
)

// The bodies of a soak are the beginnings of a few patterns, so that what belongs to another
// request or to another place of a body is seen.
const (
	soakPatterns = 8
	soakLargest  = 4 << 20
)

// A soak is clients, servers and proxies, for some time.
type soak struct {
	t      *testing.T
	dir    string // has a file of soakLargest bytes for each pattern, by its number
	bodies [soakPatterns][]byte
	addrs  []string // of the server and of proxies before it, on connections of net and on ours

	failed     atomic.Int64
	mu         sync.Mutex
	ends, cuts map[string]int // exchanges by name: whole, and cut short as they should
}

func (s *soak) fail(format string, args ...any) {
	if s.failed.Add(1) <= 20 {
		s.t.Errorf(format, args...)
	}
}

// count notes how an exchange has ended.
func (s *soak) count(name string, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if whole {
		s.ends[name]++
	} else {
		s.cuts[name]++
	}
}

// TestSoak: clients get, put and pipeline through proxies and without, bodies of every framing and
// size, by Copy and by io.Copy, and some go away, are cancelled or cut off in the middle. Every byte
// that arrives is that of its request, nothing cut short looks whole, and what is not cut arrives.
//
// As an ordinary test it is short. The long form is
//
//	go test -v -run '^TestSoak$' -timeout 30m ./adapters/zchttp -soak.time 10m -soak.clients 64
func TestSoak(t *testing.T) {
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || strings.HasPrefix(f.Name, "soak.") })
	if !asked { // it counts what is left in the process
		t.Parallel()
		if !ztest.Isolated(t) {
			return
		}
	}
	ztest.CheckLeaks(t, kpipe.Shared.CloseIdle)
	s := &soak{t: t, dir: t.TempDir(), ends: map[string]int{}, cuts: map[string]int{}}
	for i := range s.bodies {
		s.bodies[i] = ztest.Pattern(i).Bytes(soakLargest)
		must(t, os.WriteFile(filepath.Join(s.dir, strconv.Itoa(i)), s.bodies[i], 0o600))
	}
	files, err := zchttp.OpenFileServer(s.dir, &zchttp.FileServerOptions{CacheFiles: 4})
	must(t, err)
	t.Cleanup(func() { files.Close() })
	mux := http.NewServeMux()
	mux.Handle("/file/", http.StripPrefix("/file", files))
	mux.HandleFunc("/get", s.serveGet)
	mux.HandleFunc("/put", s.servePut)
	for _, ours := range []bool{true, false} {
		backend := serve(t, ours, mux.ServeHTTP)
		tr := zchttp.Transport(nil)
		t.Cleanup(tr.CloseIdleConnections)
		proxy := zchttp.ReverseProxy(&httputil.ReverseProxy{
			Transport: tr, ErrorLog: log.New(io.Discard, "", 0),
			Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: backend}) },
		})
		s.addrs = append(s.addrs, backend, serve(t, true, proxy.ServeHTTP), serve(t, false, proxy.ServeHTTP))
	}

	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64() | 1
	}
	before := zerocopy.ReadStats()
	var wg sync.WaitGroup
	until := time.Now().Add(*soakTime)
	for i := range *soakClients {
		wg.Go(func() {
			c := &soakClient{soak: s, rnd: rand.New(rand.NewPCG(seed, uint64(i)))}
			base := http.DefaultTransport.(*http.Transport).Clone()
			if i%2 == 0 {
				base = zchttp.Transport(nil)
			}
			c.client = &http.Client{Transport: base}
			defer base.CloseIdleConnections()
			for time.Now().Before(until) {
				[]func(){c.get, c.get, c.put, c.put, c.ranges, c.pipeline}[c.rnd.IntN(6)]()
			}
		})
	}
	ztest.Within(t, *soakTime+2*time.Minute, fmt.Sprintf("all exchanges, by -soak.seed %d", seed), wg.Wait)
	after := zerocopy.ReadStats()
	t.Logf("-soak.seed %d: whole %v, cut %v", seed, s.ends, s.cuts)
	for _, m := range []zerocopy.Mechanism{zerocopy.Splice, zerocopy.Sendfile} {
		if after.Bytes(m) == before.Bytes(m) {
			t.Errorf("not a byte by %v", m)
		}
	}
	for _, name := range []string{"get", "put", "ranges", "pipeline"} {
		if s.ends[name] == 0 {
			t.Errorf("no %s has come to its end", name)
		}
	}
}

// number returns a number of a request's query.
func number(r *http.Request, key string) int {
	n, _ := strconv.Atoi(r.URL.Query().Get(key))
	return n
}

// file opens the file of a pattern.
func (s *soak) file(p int) *os.File {
	f, err := os.Open(filepath.Join(s.dir, strconv.Itoa(p)))
	if err != nil {
		s.fail("%v", err)
	}
	return f
}

// serveGet sends n bytes of the pattern p.
func (s *soak) serveGet(w http.ResponseWriter, r *http.Request) {
	p, n, how := number(r, "p"), number(r, "n"), r.URL.Query().Get("how")
	h := w.Header()
	h.Set("Pattern", strconv.Itoa(p))
	if n%2 == 0 {
		h.Set("Content-Type", "x/y")
	}
	if !strings.HasPrefix(how, "chunked") {
		h.Set("Content-Length", strconv.Itoa(n))
	}
	switch {
	case strings.HasSuffix(how, "copy"):
		f := s.file(p)
		defer f.Close()
		zerocopy.Copy(w, io.NewSectionReader(f, 0, int64(n)))
	case how == "cut":
		w.Write(s.bodies[p][:n/2])
		panic(http.ErrAbortHandler)
	case how == "close":
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			s.fail("%v", err)
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nPattern: %d\r\n\r\n", p)
		c.Write(s.bodies[p][:n])
	default:
		for rest, size := s.bodies[p][:n], 1+n/7; len(rest) > 0; {
			k := min(size, len(rest))
			if _, err := w.Write(rest[:k]); err != nil {
				return
			}
			rest = rest[k:]
		}
	}
}

// servePut takes a body that should be n bytes of the pattern p and answers how many came. An answer
// of 200 says that the body has come to its end.
func (s *soak) servePut(w http.ResponseWriter, r *http.Request) {
	p, n, how := number(r, "p"), number(r, "n"), r.URL.Query().Get("how")
	check := ztest.Pattern(p).Checker()
	limit, body := int64(n), io.Reader(r.Body)
	switch how {
	case "early":
		io.CopyN(check, body, limit/3)
		http.Error(w, "enough", http.StatusRequestEntityTooLarge)
		return
	case "over":
		limit = limit / 3 * 2
		fallthrough
	case "max":
		body = http.MaxBytesReader(w, r.Body, limit)
	}
	err := s.arrive(check, body, how)
	if over := new(http.MaxBytesError); check.N() > limit || errors.As(err, &over) && check.N() < limit {
		s.fail("put %s: %d bytes, allowed are %d, %v", how, check.N(), limit, err)
	}
	if err == nil && check.N() != int64(n) {
		s.fail("put %s: %d bytes of %d", how, check.N(), n)
	}
	if err != nil {
		if strings.Contains(err.Error(), "pattern") {
			s.fail("put %s: %v", how, err)
		}
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprint(w, check.N())
}

// arrive copies a body to check, as a rule by way of a file. The error is that of reading the body.
func (s *soak) arrive(check *ztest.Checker, body io.Reader, how string) (err error) {
	if how == "check" {
		_, err = zerocopy.Copy(check, body)
		return err
	}
	f, err := os.CreateTemp(s.dir, "body-*")
	if err != nil {
		s.fail("%v", err)
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if how == "iocopy" {
		_, err = io.Copy(f, body)
	} else {
		_, err = zerocopy.Copy(f, body)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		s.fail("%v", err)
	}
	if _, err := io.Copy(check, struct{ io.Reader }{f}); err != nil {
		s.fail("%s: in the file: %v", how, err)
	}
	return err
}

// A soakClient makes one exchange after the other.
type soakClient struct {
	*soak
	rnd    *rand.Rand
	client *http.Client
}

func (c *soakClient) one(of ...string) string { return of[c.rnd.IntN(len(of))] }

// size is that of a body: small, about where a copy becomes bulk, or large.
func (c *soakClient) size() int {
	return c.rnd.IntN([]int{2, 5000, 100_000, 600_000, soakLargest}[c.rnd.IntN(5)])
}

func (c *soakClient) url(path string, p, n int, how string) string {
	return fmt.Sprintf("http://%s%s?p=%d&n=%d&how=%s", c.one(c.addrs...), path, p, n, how)
}

// context is done at once, at some moment, or not before the exchange has ended.
func (c *soakClient) context() (ctx context.Context, cancel context.CancelFunc, cut bool) {
	if c.rnd.IntN(6) > 0 {
		ctx, cancel = context.WithCancel(context.Background())
		return ctx, cancel, false
	}
	ctx, cancel = context.WithTimeout(context.Background(), time.Duration(c.rnd.IntN(5000))*time.Microsecond)
	return ctx, cancel, true
}

// get fetches a body, some of it, or less than was said.
func (c *soakClient) get() {
	p, n := c.rnd.IntN(soakPatterns), c.size()
	how := c.one("write", "copy", "chunked", "chunkedcopy", "close", "cut")
	ctx, cancel, cut := c.context()
	defer cancel()
	addr := c.url("/get", p, n, how)
	req, err := http.NewRequestWithContext(ctx, "GET", addr, nil)
	if err != nil {
		c.fail("%v", err)
		return
	}
	res, err := c.client.Do(req)
	if err != nil {
		if !cut && how != "cut" {
			c.fail("get %s: %v", addr, err)
		}
		c.count("get", false)
		return
	}
	defer res.Body.Close()
	if res.StatusCode != 200 || res.Header.Get("Pattern") != strconv.Itoa(p) {
		if !(how == "cut" && res.StatusCode == http.StatusBadGateway) {
			c.fail("get %s: %s of pattern %s", addr, res.Status, res.Header.Get("Pattern"))
		}
		return
	}
	c.take(res.Body, addr, p, n, cut || how == "cut", how == "cut" && n > 0)
}

// take reads a body. Where it may be cut it need not come to its end, where it is cut it must not.
func (c *soakClient) take(body io.Reader, what string, p, n int, mayBeCut, isCut bool) {
	check, leaves := ztest.Pattern(p).Checker(), c.rnd.IntN(4) == 0
	if leaves {
		n, isCut = c.rnd.IntN(n+1), false
		body = io.LimitReader(body, int64(n))
	}
	err := c.arrive(check, body, c.one("check", "iocopy", "file"))
	switch {
	case check.N() > int64(n), err == nil && isCut:
	case err == nil && check.N() == int64(n):
		c.count("get", !leaves)
		return
	case mayBeCut && err != nil && !strings.Contains(err.Error(), "pattern"):
		c.count("get", false)
		return
	}
	c.fail("%s: %d of %d bytes, %v", what, check.N(), n, err)
}

// put sends a body, or less than it says.
func (c *soakClient) put() {
	p, n := c.rnd.IntN(soakPatterns), c.size()
	how, of := c.one("file", "iocopy", "check", "max", "over", "early"), c.one("bytes", "chunked", "section", "short")
	ctx, cancel, cut := c.context()
	defer cancel()
	addr := c.url("/put", p, n, how)
	var req *http.Request
	var err error
	switch of {
	case "section":
		f := c.file(p)
		defer f.Close()
		req, err = zchttp.NewFileRequest(ctx, "PUT", addr, io.NewSectionReader(f, 0, int64(n)))
	case "bytes":
		req, err = http.NewRequestWithContext(ctx, "PUT", addr, bytes.NewReader(c.bodies[p][:n]))
	case "chunked":
		req, err = http.NewRequestWithContext(ctx, "PUT", addr, struct{ io.Reader }{bytes.NewReader(c.bodies[p][:n])})
	case "short":
		req, err = http.NewRequestWithContext(ctx, "PUT", addr, struct{ io.Reader }{bytes.NewReader(c.bodies[p][:n/2])})
		if err == nil {
			req.ContentLength = int64(n)
		}
	}
	if err != nil {
		c.fail("%v", err)
		return
	}
	res, err := c.client.Do(req)
	mayFail := cut || how == "early" || how == "over" || of == "short"
	if err != nil {
		if !mayFail {
			c.fail("put %s of %s: %v", addr, of, err)
		}
		c.count("put", false)
		return
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	if res.StatusCode == 200 && err == nil {
		if string(said) != strconv.Itoa(n) || of == "short" && n > 1 {
			c.fail("put %s of %s: %s", addr, of, said)
		}
	} else if !mayFail {
		c.fail("put %s of %s: %s, %s, %v", addr, of, res.Status, said, err)
	}
	c.count("put", res.StatusCode == 200)
}

// ranges fetches one part of a file, or several.
func (c *soakClient) ranges() {
	p := c.rnd.IntN(soakPatterns)
	var spec []string
	for range 1 + c.rnd.IntN(3) {
		from := c.rnd.IntN(soakLargest)
		spec = append(spec, fmt.Sprintf("%d-%d", from, from+c.rnd.IntN(soakLargest-from)))
	}
	req, err := http.NewRequest("GET", fmt.Sprintf("http://%s/file/%d", c.one(c.addrs...), p), nil)
	if err != nil {
		c.fail("%v", err)
		return
	}
	req.Header.Set("Range", "bytes="+strings.Join(spec, ","))
	res, err := c.client.Do(req)
	if err != nil {
		c.fail("ranges: %v", err)
		return
	}
	defer res.Body.Close()
	part := func(h http.Header, body io.Reader) {
		var from, to int
		if _, err := fmt.Sscanf(h.Get("Content-Range"), "bytes %d-%d", &from, &to); err != nil {
			c.fail("ranges %v: %s, %v", spec, res.Status, err)
			return
		}
		got, err := io.ReadAll(body)
		if err != nil || !bytes.Equal(got, c.bodies[p][from:to+1]) {
			c.fail("ranges %v: %d bytes, %v", spec, len(got), err)
		}
	}
	kind, params, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if kind != "multipart/byteranges" {
		if res.StatusCode == 200 { // they were more than the file
			c.take(res.Body, "ranges", p, soakLargest, false, false)
			return
		}
		part(res.Header, res.Body)
		c.count("ranges", true)
		return
	}
	for parts := multipart.NewReader(res.Body, params["boundary"]); ; {
		next, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			c.fail("ranges %v: %v", spec, err)
			return
		}
		part(http.Header(next.Header), next)
	}
	c.count("ranges", true)
}

// pipeline sends several requests at once on a connection of its own, and leaves before the last
// answer or after it.
func (c *soakClient) pipeline() {
	conn, err := net.Dial("tcp", c.one(c.addrs...))
	if err != nil {
		c.fail("%v", err)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(ztest.Patience))
	type exchange struct{ p, n, put int }
	var all []exchange
	var wire bytes.Buffer
	for range 1 + c.rnd.IntN(6) {
		e := exchange{p: c.rnd.IntN(soakPatterns), n: c.size()}
		if c.rnd.IntN(2) == 0 {
			fmt.Fprintf(&wire, "GET /get?p=%d&n=%d&how=%s HTTP/1.1\r\nHost: soak\r\n\r\n", e.p, e.n, c.one("write", "copy", "chunked", "chunkedcopy"))
		} else {
			e.put = 1
			f := framings[2+c.rnd.IntN(len(framings)-2)]
			if c.rnd.IntN(2) == 0 {
				f = framings[0]
			}
			wire.Write(f.wire(fmt.Sprintf("PUT /put?p=%d&n=%d&how=%s HTTP/1.1\r\nHost: soak\r\n", e.p, e.n, c.one("file", "iocopy", "check", "max")), c.bodies[e.p][:e.n]))
		}
		all = append(all, e)
	}
	leaves := c.rnd.IntN(3) == 0
	var wg sync.WaitGroup
	defer wg.Wait()
	defer conn.Close()
	wg.Go(func() { conn.Write(wire.Bytes()) })
	br := bufio.NewReader(zcnet.NewConn(conn))
	for i, e := range all {
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			c.fail("pipeline, %d of %v: %v", i, all, err)
			return
		}
		if leaves && i == len(all)-1 {
			c.count("pipeline", false)
			return
		}
		if e.put == 1 {
			said, err := io.ReadAll(res.Body)
			if err != nil || string(said) != strconv.Itoa(e.n) {
				c.fail("pipeline, put %d of %v: %s %s, %v", i, all, res.Status, said, err)
				return
			}
			continue
		}
		check := ztest.Pattern(e.p).Checker()
		if _, err := io.Copy(check, res.Body); err != nil || check.N() != int64(e.n) || res.Header.Get("Pattern") != strconv.Itoa(e.p) {
			c.fail("pipeline, get %d of %v: %d bytes, %v", i, all, check.N(), err)
			return
		}
	}
	c.count("pipeline", true)
}
