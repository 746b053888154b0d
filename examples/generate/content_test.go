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
		{"-n 20000 -seed 1", 20000, "c6dc50c4eca50995db067b8ac2b5102702d987f75d67f60b6f8a326c32ec6f61"},
		{"-n 20000 -seed 2", 20000, "5714e039a67054ab3b7c986995db4b6b616ab1bef2664b5b055225da1ad908d3"},
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
		for k, within := range [][2]float64{{-20, 39.9}, {0, 100}, {950, 1049.99}} {
			if v, err := strconv.ParseFloat(row[3+k], 64); err != nil || v < within[0] || v > within[1] {
				t.Fatalf("row %q: column %d is not within %v", row, 3+k, within)
			}
		}
	}
}

func TestDecimals(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		v, unit int64
		want    string
	}{{0, 10, "0.0"}, {-5, 10, "-0.5"}, {-200, 10, "-20.0"}, {399, 10, "39.9"}, {95000, 100, "950.00"}, {104907, 100, "1049.07"}, {7, 100, "0.07"}} {
		if got := string(appendDecimal(nil, row.v, row.unit)); got != row.want {
			t.Errorf("%d/%d is printed as %s, want %s", row.v, row.unit, got, row.want)
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
