package main

import (
	"crypto/sha256"
	stdcsv "encoding/csv"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
)

// made returns the whole stream, made in buffers of so many bytes.
func made(opt *options, buffer int) (stream string, records int64) {
	var b strings.Builder
	c := newContent(opt)
	q := opt.limit
	for p := make([]byte, buffer); ; {
		n, k, _ := c.fill(p, &q)
		b.Write(p[:n])
		records += k
		if n == 0 {
			return b.String(), records
		}
	}
}

// The stream is the same with every release, on every machine, in buffers of any size.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args    string
		records int64
		sum     string
	}{
		{"-n 20000 -seed 1", 20000, "c11447e826f6c868e57eb9ff2a49c606ea56b799e376fbf8f2d01d0925792084"},
		{"-n 20000 -seed 2", 20000, "708819d70bc73c65e0cf2ffa3d26bcabea1dcaa9fa04b31fc0c2d9de90668cfa"},
		{"-format y4m -frame 320x180 -n 12 -seed 1", 12, "15ecd2f9f74d0f9f040d54c2960abd5046cbe5a835e57b068bfa96d2f7934d7f"},
		{"-format lines -n 50000", 50000, "b09c7baa455eaf62ef3dc74eed1c2b2e67c111dce2aece99984e6a18c2644d24"},
		{"-format zeros -bytes 1M", 1 << 20, "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58"},
	} {
		opt, err := parse(strings.Fields(row.args), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, buffer := range []int{128, 4096, 10007, 64 << 10, 1 << 20} {
			stream, records := made(&opt, buffer)
			if sum := fmt.Sprintf("%x", sha256.Sum256([]byte(stream))); sum != row.sum || records != row.records {
				t.Errorf("%s, buffers of %d: %d records, want %d, with the sum %s, want %s", row.args, buffer, records, row.records, sum, row.sum)
			}
		}
	}
}

// A stream ends with the record that reaches -bytes, or with that of -n.
func TestLimits(t *testing.T) {
	t.Parallel()
	header, frame := len("YUV4MPEG2 W16 H8 F25:1 Ip A1:1 C420jpeg\n"), len(frameLine)+16*8*3/2
	for _, row := range []struct {
		why, format string
		line        string
		limit       quota
		records     int64
		bytes       int // -1: see below
	}{
		{"one row", "csv", "", quota{1, math.MaxInt64}, 1, -1},
		{"a byte takes a row", "csv", "", quota{math.MaxInt64, 1}, 1, -1},
		{"the smaller one counts", "csv", "", quota{7, 1 << 20}, 7, -1},
		{"a byte takes a frame", "y4m", "", quota{math.MaxInt64, 1}, 1, header + frame},
		{"a frame exactly", "y4m", "", quota{math.MaxInt64, int64(frame)}, 1, header + frame},
		{"a byte more takes another", "y4m", "", quota{math.MaxInt64, int64(frame) + 1}, 2, header + 2*frame},
		{"lines exactly", "lines", "abc", quota{math.MaxInt64, 8}, 2, 8},
		{"a byte more takes another", "lines", "abc", quota{math.MaxInt64, 9}, 3, 12},
		{"empty lines", "lines", "", quota{5, math.MaxInt64}, 5, 5},
		{"lines longer than the buffer", "lines", strings.Repeat("long ", 1000), quota{3, math.MaxInt64}, 3, 15003},
		{"zeros", "zeros", "", quota{math.MaxInt64, 12345}, 12345, 12345},
	} {
		opt := options{format: row.format, line: row.line, width: 16, height: 8, limit: row.limit}
		stream, records := made(&opt, 128)
		if records != row.records || row.bytes >= 0 && len(stream) != row.bytes {
			t.Errorf("%s, %s: %d records with %d bytes, want %d with %d", row.format, row.why, records, len(stream), row.records, row.bytes)
		}
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	const n = 50000
	opt := options{format: "csv", limit: quota{n, math.MaxInt64}, seed: 3}
	stream, _ := made(&opt, 4096)
	if !strings.HasPrefix(stream, csvHeader) {
		t.Fatalf("the stream begins with %.100q", stream)
	}
	rows, err := stdcsv.NewReader(strings.NewReader(stream)).ReadAll()
	if err != nil || len(rows) != 1+n {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	last := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, row := range rows[1:] {
		at, err := time.Parse("2006-01-02T15:04:05.000Z", row[0])
		if err != nil || at.Before(last) || at.Sub(last) > 15*time.Millisecond {
			t.Fatalf("row %d is of %s, the one before of %v: %v", i, row[0], last, err)
		}
		last = at
		if row[1] != strconv.Itoa(i+1) {
			t.Fatalf("row %d has the number %s", i+1, row[1])
		}
		for k, within := range [][2]float64{{-15, 36.1}, {30, 93}, {960, 1041.91}} {
			if v, err := strconv.ParseFloat(row[3+k], 64); err != nil || v < within[0] || v > within[1] {
				t.Fatalf("row %q: column %d is not within %v", row, 3+k, within)
			}
		}
	}
}

// Frames are what the format says, change, and stay within what a screen can show.
func TestFrames(t *testing.T) {
	t.Parallel()
	const n, width, height = 5, 64, 36
	opt := options{format: "y4m", width: width, height: height, limit: quota{n, math.MaxInt64}}
	stream, _ := made(&opt, 1000)
	header, rest, _ := strings.Cut(stream, "\n")
	if header != "YUV4MPEG2 W64 H36 F25:1 Ip A1:1 C420jpeg" {
		t.Fatalf("header %q", header)
	}
	before := ""
	for i := range n {
		if !strings.HasPrefix(rest, frameLine) || len(rest) < len(frameLine)+width*height*3/2 {
			t.Fatalf("frame %d begins with %.10q and has %d bytes", i, rest, len(rest))
		}
		frame := rest[len(frameLine):][:width*height*3/2]
		rest = rest[len(frameLine)+len(frame):]
		if frame == before {
			t.Errorf("frame %d is that before", i)
		}
		before = frame
		for k := range len(frame) {
			if frame[k] < 16 || frame[k] > 240 {
				t.Fatalf("frame %d has a byte %d", i, frame[k])
			}
		}
	}
	if rest != "" {
		t.Errorf("%d bytes behind the frames", len(rest))
	}
}

func BenchmarkFill(b *testing.B) {
	for _, format := range []string{"csv", "y4m", "lines", "zeros"} {
		b.Run(format, func(b *testing.B) {
			c := newContent(&options{format: format, line: "y", width: 1280, height: 720})
			p := make([]byte, 64<<10)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				for n := 0; n < len(p)-100; { // y4m stops behind each frame
					k, _, _ := c.fill(p[n:], &quota{math.MaxInt64, math.MaxInt64})
					n += k
				}
			}
		})
	}
}
