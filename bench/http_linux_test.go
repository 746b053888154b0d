package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// webSession is a session with the client of the HTTP cases.
func webSession(t *testing.T) *session {
	t.Helper()
	s, err := newSession(t.Context(), options{rounds: 1, seconds: 0.01, disk: t.TempDir()}, func(name string) bool { return name == byLoad })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	if why := s.missing[byLoad]; why != "" {
		t.Skip(why)
	}
	return s
}

// Bytes that are not those of the file are found, in one piece and in parts, and so is a response that
// is none.
func TestHTTPOtherBytes(t *testing.T) {
	t.Parallel()
	s := webSession(t)
	const size = 1 << 20
	dir, err := s.filesOf(size)
	if err != nil {
		t.Fatal(err)
	}
	other, empty := t.TempDir(), t.TempDir()
	text, err := os.ReadFile(filepath.Join(dir, webFile(0)))
	if err == nil {
		text[size-1]++
		err = os.WriteFile(filepath.Join(other, webFile(0)), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.startServer(t.Context(), byFilesNet, request{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer r.stop()
	for _, mode := range []string{webGet, webRanges} {
		j := job{spec: spec{Mode: mode, Size: size}}
		if x, err := s.verifyHTTP(t.Context(), j, r, request{}, dir); err != nil || x.Bytes != size {
			t.Errorf("%s: %d bytes, %v", mode, x.Bytes, err)
		}
		if _, err := s.verifyHTTP(t.Context(), j, r, request{}, other); err == nil || !strings.Contains(err.Error(), "other bytes") {
			t.Errorf("%s: %v, want other bytes", mode, err)
		}
	}
	none, err := s.startServer(t.Context(), byFilesNet, request{Path: empty})
	if err != nil {
		t.Fatal(err)
	}
	defer none.stop()
	if x, err := s.asked(t.Context(), job{spec: spec{Mode: webGet, Size: size}}, none); err == nil {
		t.Errorf("%+v of a server without files", x)
	}
}

// With SpliceBodies a body that goes through a proxy is in pipes, without it none is: what the rows
// compare is what they say.
func TestHTTPPipes(t *testing.T) {
	t.Parallel()
	s := webSession(t)
	pipes := func(variant, mode string) int {
		t.Helper()
		x, err := s.run(t.Context(), job{
			spec:      spec{Kind: kindHTTP, Mode: mode, Size: 64 << 20, Streams: 2, Behind: true, Scale: 10},
			contender: contender{Variant: variant},
		})
		if err != nil {
			t.Fatalf("%s, %s: %v", variant, mode, err)
		}
		return x.Pipes
	}
	for _, mode := range []string{webGet, webPost} {
		none := pipes(byHTTPProxy, mode)
		if n := pipes(byOurProxy, mode); n != none {
			t.Errorf("%s: %d ends of pipes without SpliceBodies, %d of httputil", mode, n, none)
		}
		n := none
		for range 20 { // the look comes at some time, see TestPresent
			if n = pipes(byOurProxyOn, mode); n > none {
				break
			}
		}
		if n <= none {
			t.Errorf("%s: %d ends of pipes with SpliceBodies, as many as without", mode, n)
		}
	}
}

// Each range is a part of the file, and all of them are all of it.
func TestRanges(t *testing.T) {
	t.Parallel()
	if got, want := ranges(4<<10), "bytes=0-1023,1024-2047,2048-3071,3072-4095"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
