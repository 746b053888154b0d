package zchttp

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// A span is a part of a file.
type span struct{ start, length int64 }

// ranges answers a request for several ranges, and reports whether it was one that it answers:
// all others are http.ServeContent's, which has the parts of several pass through a pipe and a
// buffer.
func (f *fileWriter) ranges(r *http.Request, name string, modtime time.Time, size int64, content io.ReadSeeker) bool {
	spans := parseRanges(r.Header.Get("Range"), size)
	if len(spans) < 2 {
		return false
	}
	// The conditions are for http.ServeContent to know: it would answer a single range by 206.
	asked := r.Clone(r.Context())
	asked.Header.Set("Range", "bytes=0-0")
	probe := &probeWriter{header: f.w.Header().Clone()}
	http.ServeContent(probe, asked, name, modtime, sized{content, size})
	if _, err := content.Seek(0, io.SeekStart); err != nil || probe.status != http.StatusPartialContent {
		return false
	}

	h := f.w.Header()
	for _, key := range []string{"Last-Modified", "Content-Type", "Accept-Ranges"} {
		if v := probe.header[key]; v != nil {
			h[key] = v
		}
	}
	heads, length, boundary := multipartHeads(spans, h.Get("Content-Type"), size)
	h.Set("Content-Type", "multipart/byteranges; boundary="+boundary)
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	f.WriteHeader(http.StatusPartialContent)
	if r.Method == http.MethodHead {
		return true
	}
	for i, s := range spans {
		if _, err := f.Write(heads[i]); err != nil {
			return true
		}
		if _, err := content.Seek(s.start, io.SeekStart); err != nil {
			f.short = true
			return true
		}
		if n, err := f.ReadFrom(io.LimitReader(content, s.length)); err != nil || n < s.length {
			return true
		}
	}
	f.Write(heads[len(spans)])
	return true
}

// multipartHeads returns what stands before each part and after the last, as package
// mime/multipart has it, and the length of it all.
func multipartHeads(spans []span, contentType string, size int64) (heads [][]byte, length int64, boundary string) {
	var b bytes.Buffer
	mw := multipart.NewWriter(&b)
	for _, s := range spans {
		mw.CreatePart(textproto.MIMEHeader{ // fails only if b does
			"Content-Range": {"bytes " + strconv.FormatInt(s.start, 10) + "-" + strconv.FormatInt(s.start+s.length-1, 10) + "/" + strconv.FormatInt(size, 10)},
			"Content-Type":  {contentType},
		})
		heads = append(heads, bytes.Clone(b.Bytes()))
		length += int64(b.Len()) + s.length
		b.Reset()
	}
	mw.Close()
	return append(heads, bytes.Clone(b.Bytes())), length + int64(b.Len()), mw.Boundary()
}

// parseRanges returns the ranges of a header, RFC 9110 section 14.2, that overlap with the file; none
// where the header is malformed, or asks for more than the file has, as http.ServeContent sees it.
func parseRanges(header string, size int64) (spans []span) {
	list, ok := strings.CutPrefix(header, "bytes=")
	if !ok || !strings.Contains(list, ",") {
		return nil
	}
	total := int64(0)
	for item := range strings.SplitSeq(list, ",") {
		item = textproto.TrimString(item)
		if item == "" {
			continue
		}
		first, last, ok := strings.Cut(item, "-")
		first, last = textproto.TrimString(first), textproto.TrimString(last)
		if !ok {
			return nil
		}
		var s span
		if first == "" {
			n, err := strconv.ParseUint(last, 10, 63)
			if err != nil {
				return nil
			}
			s.length = min(int64(n), size)
			s.start = size - s.length
			if n == 0 {
				continue
			}
		} else {
			start, err := strconv.ParseUint(first, 10, 63)
			if err != nil {
				return nil
			}
			s.start = int64(start)
			end := size - 1
			if last != "" {
				e, err := strconv.ParseUint(last, 10, 63)
				if err != nil || int64(e) < s.start {
					return nil
				}
				end = min(end, int64(e))
			}
			if s.start >= size {
				continue
			}
			s.length = end - s.start + 1
		}
		if total += s.length; total > size {
			return nil
		}
		spans = append(spans, s)
	}
	return spans
}

// A probeWriter notes what would be answered.
type probeWriter struct {
	header http.Header
	status int
}

func (p *probeWriter) Header() http.Header { return p.header }

func (p *probeWriter) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return len(b), nil
}

func (p *probeWriter) WriteHeader(status int) {
	if p.status == 0 {
		p.status = status
	}
}
