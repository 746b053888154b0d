package zchttp

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A coding is a content coding of files that lie beside others.
type coding struct {
	ext   string
	magic []byte
	// min is the length of the shortest file of the format.
	min int64
}

// codings has the formats: RFC 1952 (header 10, an empty block 2, trailer 8), RFC 8878 (magic 4,
// header 2, a block 3), RFC 7932 (one byte, and no magic).
var codings = map[string]coding{
	"gzip": {".gz", []byte{0x1f, 0x8b, 8}, 20},
	"zstd": {".zst", []byte{0x28, 0xb5, 0x2f, 0xfd}, 9},
	"br":   {".br", nil, 1},
}

// sidecar opens what r accepts and prefers of the codings of c. side is nil if that is the file
// itself. plain is false if a Range may not be answered: it would be of the encoded bytes.
func (h *FileHandler) sidecar(r *http.Request, c *content) (side *content, name string, plain bool) {
	accept := parseAccept(r.Header.Values("Accept-Encoding"))
	refused := accept.q("identity") == 0
	if r.Header.Get("Range") != "" && !refused {
		return nil, "", true
	}
	names := slices.DeleteFunc(slices.Clone(h.o.Precompressed), func(n string) bool {
		q := accept.q(n)
		return q == 0 || q < accept.prefer
	})
	slices.SortStableFunc(names, func(a, b string) int { return accept.q(b) - accept.q(a) })
	for _, n := range names {
		k, ok := codings[n]
		if !ok {
			continue
		}
		// Asked about first: to open a FIFO would wait for somebody who writes to it.
		if info, err := h.stat(c.name + k.ext); err != nil || !info.Mode().IsRegular() {
			continue
		}
		s, err := h.open(c.name + k.ext)
		if err != nil {
			continue
		}
		if s.info.Mode().IsRegular() && !s.info.ModTime().Before(c.info.ModTime()) && k.whole(n, s, c.size) {
			return s, n, false
		}
		s.Close()
	}
	return nil, "", true
}

// whole reports whether s looks like the whole of a file of the format, made of size bytes.
func (k coding) whole(name string, s *content, size int64) bool {
	if s.size < k.min {
		return false
	}
	if len(k.magic) > 0 && !bytes.Equal(s.head(len(k.magic)), k.magic) {
		return false
	}
	if name != "gzip" {
		return true
	}
	// The last four bytes are the length of what was compressed, modulo 1<<32.
	t := s.tail(4)
	return len(t) < 4 || binary.LittleEndian.Uint32(t) == uint32(size)
}

// etag is a strong validator: another for each change of the time of modification (in
// nanoseconds) or the size, and for each coding. There is none of a file without a time, as those of
// embed.FS are: another one of the same size would have the same.
func etag(c *content, coding string) string {
	if at := c.info.ModTime(); at.IsZero() || at.Equal(time.Unix(0, 0)) {
		return ""
	}
	t := `"` + strconv.FormatInt(c.info.ModTime().UnixNano(), 36) + "-" + strconv.FormatInt(c.size, 36)
	if coding != "" {
		t += "-" + coding
	}
	return t + `"`
}

// accept is an Accept-Encoding: weights in thousandths.
type accept struct {
	weight map[string]int
	prefer int // that of identity, if it is named
}

// q is the weight of a coding, 0 if it is refused (RFC 9110, 12.5.3). identity is refused only by
// name, or by a * if it has no weight of its own.
func (a accept) q(coding string) int {
	if q, ok := a.weight[coding]; ok {
		return q
	}
	if q, ok := a.weight["*"]; ok {
		return q
	}
	if coding == "identity" {
		return 1
	}
	return 0
}

func parseAccept(values []string) accept {
	a := accept{weight: map[string]int{}}
	for _, v := range values {
		for e := range strings.SplitSeq(v, ",") {
			name, params, _ := strings.Cut(e, ";")
			name = strings.ToLower(strings.TrimSpace(name))
			if name == "" {
				continue
			}
			if name == "x-gzip" {
				name = "gzip"
			}
			a.weight[name] = weight(params)
		}
	}
	a.prefer = a.weight["identity"]
	return a
}

// weight is the q of the parameters of an element in thousandths. A malformed one is 0: what was
// not understood is not accepted.
func weight(params string) int {
	for p := range strings.SplitSeq(params, ";") {
		k, v, ok := strings.Cut(p, "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(k), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return int(q * 1000)
	}
	return 1000
}
