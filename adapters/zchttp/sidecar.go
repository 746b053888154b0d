package zchttp

import (
	"bytes"
	"encoding/binary"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// An encoding is a content coding of which there may be a sidecar.
type encoding struct {
	name, suffix string
	whole        func(r io.ReaderAt, size, original int64) bool // as far as can be told
}

// encodings are in the order of preference: zstd is quickest to unpack, brotli packs
// most text a little better than gzip.
var encodings = []encoding{
	{"zstd", ".zst", wholeZstd},
	{"br", ".br", func(_ io.ReaderAt, size, original int64) bool { return size > 0 }},
	{"gzip", ".gz", wholeGzip},
}

// sidecar returns the sidecar of name that r accepts most, f being the file itself. enc.name is ""
// where that is f.
func (s *fileServer) sidecar(r *http.Request, name string, f servedFile) (enc encoding, side servedFile) {
	accepts := r.Header["Accept-Encoding"]
	if len(accepts) == 0 {
		return enc, side
	}
	q := parseAccept(accepts)
	best := q.of("identity")
	for _, e := range encodings {
		v := q.of(e.name)
		if v == 0 || v < best || v == best && enc.name != "" {
			continue
		}
		got, err := s.open(name + e.suffix)
		if err != nil {
			continue
		}
		if !got.info.Mode().IsRegular() || got.info.ModTime().Before(f.info.ModTime()) || !got.whole(e, f.info.Size()) {
			got.Close()
			continue
		}
		side.Close()
		enc, side, best = e, got, v
	}
	return enc, side
}

// whole asks the encoding.
func (f servedFile) whole(e encoding, original int64) bool {
	if f.file == nil {
		return e.whole(bytes.NewReader(f.content), int64(len(f.content)), original)
	}
	r, ok := f.file.(io.ReaderAt)
	return !ok || e.whole(r, f.info.Size(), original)
}

// wholeGzip looks at the magic and at the length in the last four bytes, RFC 1952.
func wholeGzip(r io.ReaderAt, size, original int64) bool {
	var head [2]byte
	var tail [4]byte
	if size < 18 {
		return false
	}
	if _, err := r.ReadAt(head[:], 0); err != nil || head != [2]byte{0x1f, 0x8b} {
		return false
	}
	_, err := r.ReadAt(tail[:], size-4)
	return (err == nil || err == io.EOF) && binary.LittleEndian.Uint32(tail[:]) == uint32(original)
}

// wholeZstd looks at the header of the first frame, RFC 8878, which may have the length.
func wholeZstd(r io.ReaderAt, size, original int64) bool {
	var head [zstd.HeaderMaxSize]byte
	n, _ := r.ReadAt(head[:min(size, zstd.HeaderMaxSize)], 0)
	var h zstd.Header
	if h.Decode(head[:n]) != nil {
		return false
	}
	return h.Skippable || !h.HasFCS || h.FrameContentSize == uint64(original)
}

// etag is that of a file in an encoding.
func etag(info fs.FileInfo, e encoding) string {
	tag := `"` + strconv.FormatInt(info.ModTime().UnixNano(), 36) + "-" + strconv.FormatInt(info.Size(), 36)
	if e.name != "" {
		tag += "-" + e.name
	}
	return tag + `"`
}

// setType sets the Content-Type that the file itself has.
func setType(h http.Header, name string, f servedFile) {
	if _, set := h["Content-Type"]; set {
		return
	}
	typ := mime.TypeByExtension(path.Ext(name))
	if typ == "" {
		var buf [sniffLen]byte
		n := 0
		if f.file == nil {
			n = copy(buf[:], f.content)
		} else if r, ok := f.file.(io.ReaderAt); ok {
			n, _ = r.ReadAt(buf[:], 0)
		}
		typ = http.DetectContentType(buf[:n])
	}
	h.Set("Content-Type", typ)
}

// qualities are the q-values of an Accept-Encoding in thousandths, RFC 9110 section 12.5.3.
type qualities map[string]int

func parseAccept(headers []string) qualities {
	q := qualities{}
	for _, header := range headers {
		for item := range strings.SplitSeq(header, ",") {
			name, params, _ := strings.Cut(item, ";")
			name = strings.ToLower(strings.TrimSpace(name))
			if name == "" {
				continue
			}
			v := 1000
			for param := range strings.SplitSeq(params, ";") {
				key, value, ok := strings.Cut(strings.TrimSpace(param), "=")
				if !ok || !strings.EqualFold(strings.TrimSpace(key), "q") {
					continue
				}
				f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
				if err != nil || !(f >= 0 && f <= 1) {
					f = 0 // who knows what is meant; the file itself is always right
				}
				v = int(f * 1000)
			}
			if name == "x-gzip" {
				name = "gzip"
			}
			q[name] = v
		}
	}
	return q
}

// of returns the quality of a coding, 0 if it is not accepted. Of the file itself it is the least
// there is, unless it was named: a client that names an encoding wants it.
func (q qualities) of(name string) int {
	if v, ok := q[name]; ok {
		return v
	}
	if v, ok := q["*"]; ok && name != "identity" {
		return v
	}
	if name == "identity" {
		return 1
	}
	return 0
}
