package zchttp

import (
	"fmt"
	"iter"
	"mime"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// A part is one range of several.
type part struct{ start, length int64 }

// serveRanges answers a request for several ranges with the content piece by piece, which
// http.ServeContent would pass through a pipe in user memory, and reports whether it did: if not,
// nothing was written.
//
// It has http.ServeContent answer a HEAD first, to nobody: that evaluates the request and says
// the boundary and the length. Ranges are then only cut out of what was found right, and if the
// parts are not of that length the answer is left to ServeContent.
func (w *fileWriter) serveRanges(r *http.Request, modified time.Time) bool {
	if r.Method != http.MethodGet {
		return false
	}
	q := *r
	q.Method = http.MethodHead
	dry := &dryWriter{header: w.Header().Clone()}
	http.ServeContent(dry, &q, w.c.name, modified, w.c)
	w.c.off = 0
	kind, params, err := mime.ParseMediaType(dry.header.Get("Content-Type"))
	if dry.code != http.StatusPartialContent || err != nil || kind != "multipart/byteranges" {
		return false
	}
	length, err := strconv.ParseInt(dry.header.Get("Content-Length"), 10, 64)
	if err != nil {
		return false
	}
	parts := cutRanges(r.Header.Get("Range"), w.c.size)
	// A request may have 200,000 parts: none of their headers is kept.
	var header []byte
	kind = w.Header().Get("Content-Type") // of the file; soon it is that of the whole
	next := func(p part, i int) []byte {
		header = header[:0]
		if i > 0 {
			header = append(header, "\r\n"...)
		}
		header = fmt.Appendf(header, "--%s\r\nContent-Range: bytes %d-%d/%d\r\nContent-Type: %s\r\n\r\n",
			params["boundary"], p.start, p.start+p.length-1, w.c.size, kind)
		return header
	}
	end := "\r\n--" + params["boundary"] + "--\r\n"
	sum := int64(len(end))
	i := 0
	for p := range parts {
		sum += int64(len(next(p, i))) + p.length
		i++
	}
	if sum != length {
		return false
	}
	for k, v := range dry.header {
		w.Header()[k] = v
	}
	w.WriteHeader(dry.code)
	i = 0
	for p := range parts {
		if _, err := w.Write(next(p, i)); err != nil {
			return true
		}
		i++
		w.c.off = p.start
		if _, err := w.send(w.c, p.length); err != nil {
			return true
		}
	}
	w.Write([]byte(end))
	return true
}

// cutRanges gives the parts for a Range that is right. What it does not understand it leaves out:
// the sum will tell.
func cutRanges(s string, size int64) iter.Seq[part] {
	_, s, _ = strings.Cut(s, "=")
	return func(yield func(part) bool) {
		for spec := range strings.SplitSeq(s, ",") {
			first, last, ok := strings.Cut(spec, "-")
			if !ok {
				continue
			}
			start, err1 := strconv.ParseInt(textproto.TrimString(first), 10, 64)
			end, err2 := strconv.ParseInt(textproto.TrimString(last), 10, 64)
			switch {
			case err1 != nil && err2 != nil: // neither
				continue
			case err1 != nil: // -n, the last n
				start, end = max(0, size-end), size
			case err2 != nil: // n-, from n
				end = size
			default:
				end = min(end, size-1) + 1
			}
			if err1 == nil && start >= size {
				continue
			}
			if !yield(part{start, end - start}) {
				return
			}
		}
	}
}

// A dryWriter is a ResponseWriter that keeps the header.
type dryWriter struct {
	header http.Header
	code   int
}

func (w *dryWriter) Header() http.Header         { return w.header }
func (w *dryWriter) WriteHeader(code int)        { w.code = code }
func (w *dryWriter) Write(p []byte) (int, error) { return len(p), nil }
