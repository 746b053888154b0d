package zchttp_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
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

// lacks names a kind of exchange of which none has come to its end.
func (s *soak) lacks() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range []string{"get", "put", "ranges", "pipeline"} {
		if s.ends[name] == 0 {
			return name
		}
	}
	return ""
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
			for now := time.Now(); now.Before(until) || s.lacks() != "" && now.Before(until.Add(ztest.Patience)); now = time.Now() {
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
	if name := s.lacks(); name != "" {
		t.Errorf("no %s has come to its end", name)
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
