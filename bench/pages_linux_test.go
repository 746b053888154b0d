package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/pages"
)

// pagesSession returns a session with the program in C, if that is to be had here.
func pagesSession(t *testing.T) *session {
	t.Helper()
	s, err := newSession(t.Context(), options{rounds: 1, seconds: 0.05}, func(name string) bool { return name == byPagesLimit })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	if why := s.missing[byPagesLimit]; why != "" && why != "no C compiler" {
		t.Error(why)
	}
	return s
}

// Each word of a stream is its position, whatever the pieces are that it is made in.
func TestFill(t *testing.T) {
	t.Parallel()
	want := make([]byte, 1<<10)
	for i := 0; i < len(want); i += 8 {
		binary.LittleEndian.PutUint64(want[i:], uint64(i))
	}
	for _, piece := range []int{8, 56, 64, 72, 1000, len(want)} {
		got := make([]byte, 0, len(want))
		for len(got) < len(want) {
			n := min(piece, len(want)-len(got))
			p := make([]byte, n)
			fill(p, int64(len(got)))
			got = append(got, p...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("in pieces of %d bytes it is another stream", piece)
		}
	}
	odd := make([]byte, 75) // the end of a stream is anywhere
	if fill(odd, 512); !bytes.Equal(odd, want[512:587]) {
		t.Errorf("%x, want %x", odd, want[512:587])
	}
	if sumOf(onceBytes, false) != sumOf(onceBytes, true) || sumOf(onceBytes+8, false) == sumOf(onceBytes+8, true) {
		t.Error("what is filled once is the same for so many bytes, and no more")
	}
}

// What each contender of each case makes arrives as it was made.
func TestLending(t *testing.T) {
	t.Parallel()
	s := pagesSession(t)
	for _, c := range lending() {
		if c.Mode == modeTCP && c.Size != 4<<10 && c.Size != 256<<10 {
			continue // they differ by this alone
		}
		for _, who := range c.Contenders {
			if who.Variant == byPagesLimit && s.missing[byPagesLimit] != "" {
				continue
			}
			x, err := s.run(t.Context(), job{spec: c, contender: who, verify: true})
			if err != nil || x.Bytes != verifyBytes {
				t.Errorf("%s, %s: %d bytes, %v", c.Name, who.Name, x.Bytes, err)
			}
		}
	}
}

// Every way of the program in C delivers the exact bytes, in pieces that fit neither
// a page nor the pipe, and to an end in the middle of a word.
func TestPagesLimit(t *testing.T) {
	t.Parallel()
	s := pagesSession(t)
	if why := s.missing[byPagesLimit]; why != "" {
		t.Skip(why)
	}
	s.bytes = 5<<20 + 13
	ways := map[string][]string{
		modePipe: {wayWrite, wayConstant, wayFresh, "late", "populate", "remap", wayHalves, wayRing},
		modeTCP:  {wayWrite, wayZerocopy, waySame},
	}
	for mode, names := range ways {
		for _, way := range names {
			for _, piece := range []int{8 << 3, 4 << 10, 5000, 12 << 10, 64 << 10, 1<<20 + 8} {
				if mode == modeTCP && piece < 4<<10 {
					continue // one send after the other, with a completion each
				}
				for _, huge := range []bool{false, true} {
					c := spec{Kind: kindPages, Mode: mode, Size: piece, Pipe: 64 << 10}
					if err := madeAs(t, s, c, limitBy(way, huge)); err != nil {
						t.Errorf("%s to a %s in pieces of %d bytes, huge %v: %v", way, mode, piece, huge, err)
					}
				}
			}
		}
	}
}

// madeAs has a contender make s.bytes of a stream, and compares what arrived.
func madeAs(t *testing.T, s *session, c spec, who contender) error {
	t.Helper()
	q := request{Mode: c.Mode, Size: c.Size, Variant: who.Variant, Way: who.Way, Huge: who.Huge, Bytes: s.bytes}
	o, err := s.outlet(t.Context(), job{spec: c, contender: who, verify: true})
	if err != nil {
		return err
	}
	defer o.close()
	r, err := s.startProducer(t.Context(), o.dst, q)
	if err != nil {
		return err
	}
	defer r.stop()
	o.dst.Close()
	made := make(chan error, 1)
	go func() {
		_, err := r.make(t.Context(), q)
		made <- err
	}()
	got, err := o.all(t.Context())
	if e := <-made; err == nil {
		err = e
	}
	switch {
	case err != nil:
		return err
	case got.Bytes != s.bytes:
		return fmt.Errorf("%d of %d bytes", got.Bytes, s.bytes)
	case got.Sum != sumOf(s.bytes, isOnce(who)):
		return fmt.Errorf("other bytes")
	}
	return nil
}

// What is compared takes the way that its name says: pages that are given away are
// faulted in again, huge ones by far fewer faults; what is lent is counted as lent.
func TestLendingWays(t *testing.T) {
	t.Parallel()
	s := pagesSession(t)
	small, big := int64(verifyBytes/os.Getpagesize()), int64(4<<10)
	enabled, _ := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	missed := func() int64 {
		text, _ := os.ReadFile("/proc/vmstat")
		return field(text, "thp_fault_fallback ")
	}
	pipe := spec{Kind: kindPages, Mode: modePipe, Size: 64 << 10, Pipe: 64 << 10}
	for _, row := range []struct {
		who         contender
		least, most int64   // faults
		lent        float64 // the least part of the bytes; below 0 for what is not counted
	}{
		{contender{Variant: byWrite}, 0, big, -1},
		{contender{Variant: byBlocking}, 0, big, -1},
		{contender{Variant: byConstant}, 0, big, -1},
		{lent(pages.Never, false), 0, big, 0},
		{lent(pages.FreshPages, false), small, 2 * small, 1},
		{lent(pages.FreshPages, true), 0, big, 1},
		{lent(pages.ReaderCopies, false), 0, big, 1},
		{limitBy(wayWrite, false), 0, big, -1},
		{limitBy(wayFresh, false), small, 2 * small, -1},
		{limitBy(wayFresh, true), 0, big, -1},
		{limitBy(wayHalves, false), 0, big, -1},
		{limitBy(wayConstant, false), 0, big, -1},
	} {
		if row.who.Variant == byPagesLimit && s.missing[byPagesLimit] != "" || row.who.Huge && bytes.Contains(enabled, []byte("[never]")) {
			continue
		}
		before := missed()
		x, err := s.run(t.Context(), job{spec: pipe, contender: row.who, verify: true})
		if err != nil {
			t.Errorf("%+v: %v", row.who, err)
			continue
		}
		if n := missed() - before; row.who.Huge && n > 0 {
			t.Logf("%+v: the machine lacked %d huge pages", row.who, n)
			row.most = 2 * small
		}
		if x.Faults == nil || *x.Faults < row.least || *x.Faults > row.most {
			t.Errorf("%+v: %v page faults, want %d to %d", row.who, optional(x.Faults), row.least, row.most)
		}
		if (x.Lent == nil) != (row.lent < 0) || x.Lent != nil && (*x.Lent < row.lent || row.who.Way == pages.Never.String() && *x.Lent > 0) {
			t.Errorf("%+v: a part of %v is lent, want %v", row.who, optional(x.Lent), row.lent)
		}
		if x.CPU <= 0 || x.Reader <= 0 {
			t.Errorf("%+v: %v s of CPU, the reader %v s", row.who, x.CPU, x.Reader)
		}
		if (x.Allocs == nil) != (row.who.Variant == byPagesLimit) {
			t.Errorf("%+v: allocations: %v", row.who, optional(x.Allocs))
		}
	}
}

// A timed round ends by itself, and is of a length that nobody has said.
func TestLendingTimed(t *testing.T) {
	t.Parallel()
	s := pagesSession(t)
	whos := []contender{{Variant: byWrite}, {Variant: byConstant}, lent(pages.ReaderCopies, false)}
	if s.missing[byPagesLimit] == "" {
		whos = append(whos, limitBy(wayRing, false))
	}
	for _, who := range whos {
		began := time.Now()
		x, err := s.run(t.Context(), job{spec: spec{Kind: kindPages, Mode: modePipe, Size: 64 << 10, Pipe: 64 << 10}, contender: who})
		if err != nil || x.Bytes == 0 || x.Seconds < s.seconds || time.Since(began) > patience {
			t.Errorf("%+v: %d bytes in %v s, %v", who, x.Bytes, x.Seconds, err)
		}
	}
}

// Bytes that are not those of the stream are a failure, and so is a way that there is
// not.
func TestLendingWrong(t *testing.T) {
	t.Parallel()
	s := pagesSession(t)
	pipe := spec{Kind: kindPages, Mode: modePipe, Size: 64 << 10, Pipe: 64 << 10}
	// The bytes of a constant are taken for those of a stream that was made as it went.
	s.bytes = 2 * onceBytes
	if err := madeAs(t, s, pipe, contender{Variant: byConstant}); err != nil {
		t.Error(err)
	}
	if sumOf(s.bytes, true) == sumOf(s.bytes, false) {
		t.Error("they would be taken for the same")
	}
	for _, who := range []contender{{Variant: "none"}, {Variant: byPages, Way: "none"}} {
		if _, err := s.run(t.Context(), job{spec: pipe, contender: who, verify: true}); err == nil {
			t.Errorf("%+v runs", who)
		}
	}
	pipe.Pipe = 12345 // the kernel makes it a power of two
	if _, err := s.run(t.Context(), job{spec: pipe, contender: contender{Variant: byWrite}}); err == nil || !strings.Contains(err.Error(), "not to be had") {
		t.Errorf("a pipe of %d bytes: %v", pipe.Pipe, err)
	}
}

// Over loopback every send of MSG_ZEROCOPY is copied: what the case says of itself.
func TestZerocopyIsCopied(t *testing.T) {
	t.Parallel()
	s := pagesSession(t)
	if why := s.missing[byPagesLimit]; why != "" {
		t.Skip(why)
	}
	for _, way := range []string{wayZerocopy, waySame} {
		x, err := s.run(t.Context(), job{spec: spec{Kind: kindPages, Mode: modeTCP, Size: 64 << 10}, contender: limitBy(way, false), verify: true})
		if err != nil || x.Lent == nil || *x.Lent != 0 {
			t.Errorf("%s: a part of %v was not copied, %v", way, optional(x.Lent), err)
		}
	}
}
