package zchttp_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

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
