package zchttp

import (
	"io/fs"
	"log"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// FileServerOptions are what a [FileServer] does otherwise than http.FileServer. The zero value
// has it do the same.
type FileServerOptions struct {
	// Index are the names looked for in a directory, the first that is a regular file is served
	// for it. nil means index.html, an empty list that there are none.
	Index []string
	// NoListing answers 404 for a directory without an index, instead of a list of its files.
	NoListing bool
	// HideDotfiles answers 404 for a path with an element that begins with a dot, and leaves such
	// names out of lists. The element .well-known (RFC 8615) is not hidden.
	HideDotfiles bool
	// Fallback, if set, is the name of a file, from the root, that is served with status 200
	// where GET or HEAD asks for what does not exist and has no extension: the page of an
	// application that has routes of its own. What has an extension is still not found.
	Fallback string

	// Precompressed are the content codings, of "zstd", "br" and "gzip", of which files lie beside
	// those served, as name.zst, name.br and name.gz; among those that a client accepts equally
	// the first is taken. With any, responses have an ETag, another for each coding, and say
	// Vary: Accept-Encoding.
	//
	// A compressed file is not used for a request with a Range, and not if it is older than its
	// file, empty, or has another beginning than its format. Of gzip the end is compared with the
	// size of the file, too: a truncated one is not used. Of the others a truncation is not seen.
	Precompressed []string

	// CacheControl, if not nil, returns the header Cache-Control of a file; none if it is empty.
	// It must be safe for concurrent use.
	CacheControl func(name string, info fs.FileInfo) string

	// CacheBytes is how much memory contents of small files, of up to 64 KiB, may take. 0 means
	// that none are kept.
	CacheBytes int64
	// CacheFiles is how many files, descriptors, may be kept open between requests, of those whose contents
	// are not kept. Only *os.File are; one that nobody asks for again is closed after the CacheAge. 0 means
	// that none are.
	CacheFiles int
	// CacheAge is for how long kept contents are served without a look whether the file has changed in
	// its time of modification, size or inode, and a file kept open without a look whether its name is another
	// one's. 0 means one second.
	CacheAge time.Duration

	// IdleTimeout is how long a client may take for the next 64 KiB of a file; the response is cut
	// off then. What the kernel has room for counts as taken: a slow client is seen to read in
	// steps of the send buffer, so that a minute is short. Server.WriteTimeout still bounds
	// the response; a write deadline that somebody else has set does not, and is cleared. 0 means no
	// bound, as with http.FileServer.
	IdleTimeout time.Duration

	// Report, if not nil, is called once a request, by its goroutine, when it has been answered, also
	// where the response is aborted: for an access log. It must be safe for concurrent use.
	Report func(*http.Request, FileReport)

	// ErrorLog, if not nil, is told why an answer is 500, and of files that were too short.
	ErrorLog *log.Logger
}

// A FileHandler is what [FileServer] and [OpenFileServer] return. It is safe for concurrent use.
type FileHandler struct {
	o     FileServerOptions
	fsys  fs.FS
	root  *os.Root // if it is to be closed
	cache *cache   // nil if there is none
	files *openFiles
}

// FileServer serves the files of fsys over HTTP as http.FileServerFS does: redirects, lists,
// conditional requests, ranges. A nil o means the zero FileServerOptions. Those that are *os.File,
// as the files of os.DirFS and of os.Root.FS are, and each part of a response with several ranges,
// go by sendfile over a plain HTTP/1 connection, whether of package zcnet or of package net.
//
// It differs from http.FileServerFS in this:
//
//   - names that fsys refuses (NUL, not UTF-8, too long, out of an os.Root) are 404 and not 500;
//   - what would be redirected, but has an escaped slash, is 404, with Go 1.26, too;
//   - a directory that is called index.html is not an index, and its files are not listed for it;
//   - a directory that may not be read, but has an index, is served;
//   - a file that gets shorter while it is sent panics with http.ErrAbortHandler, so that no client
//     takes it for complete.
//
// os.DirFS follows symbolic links out of its directory; [OpenFileServer] does not.
func FileServer(fsys fs.FS, o *FileServerOptions) *FileHandler {
	h := &FileHandler{fsys: fsys}
	if o != nil {
		h.o = *o
	}
	if h.o.Index == nil {
		h.o.Index = []string{"index.html"}
	}
	h.o.Precompressed = slices.Clone(h.o.Precompressed)
	age := h.o.CacheAge
	if age <= 0 {
		age = time.Second
	}
	var least int64
	if h.o.CacheBytes > 0 {
		h.cache = newCache(h.o.CacheBytes, age)
		least = smallFile + 1
	}
	if h.o.CacheFiles > 0 {
		h.files = newOpenFiles(h.o.CacheFiles, least, age)
	}
	return h
}

// OpenFileServer is FileServer for a directory of the system, opened as an os.Root: no name and no
// symbolic link leads out of it. Close gives it back.
func OpenFileServer(dir string, o *FileServerOptions) (*FileHandler, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	h := FileServer(root.FS(), o)
	h.root = root
	return h, nil
}

// Close closes the files that are kept open, and the directory that OpenFileServer has opened. Responses
// under way go on: they have their files. Requests to OpenFileServer's that come later fail.
func (h *FileHandler) Close() error {
	if h.files != nil {
		h.files.close()
	}
	if h.root == nil {
		return nil
	}
	return h.root.Close()
}

// answer is ServeHTTP.
func (h *FileHandler) answer(w http.ResponseWriter, r *http.Request) {
	url := r.URL.Path
	if !strings.HasPrefix(url, "/") {
		url = "/" + url
	}
	name := strings.TrimPrefix(path.Clean(url), "/")
	if name == "" {
		name = "."
	}
	if h.o.HideDotfiles && hidden(name) {
		h.fail(w, name, fs.ErrNotExist)
		return
	}
	for _, index := range h.o.Index {
		if strings.HasSuffix(url, "/"+index) {
			redirect(w, r, "./")
			return
		}
	}
	if url[len(url)-1] == '/' && h.serveIndex(w, r, name) {
		return
	}
	c, err := h.open(name)
	if err != nil {
		if h.fallback(w, r, name, err) {
			return
		}
		h.fail(w, name, err)
		return
	}
	defer c.Close()
	slash := url[len(url)-1] == '/'
	switch {
	case c.info.IsDir() && !slash:
		redirect(w, r, path.Base(url)+"/")
	case c.info.IsDir() && h.o.NoListing:
		h.fail(w, name, fs.ErrNotExist)
	case c.info.IsDir():
		h.serveList(w, r, name)
	case slash && name == ".":
		http.Error(w, "http: attempting to traverse a non-directory", http.StatusInternalServerError)
	case slash:
		redirect(w, r, "../"+path.Base(url))
	default:
		h.serve(w, r, c)
	}
}

// serveIndex serves the index of the directory name and reports whether there is one.
func (h *FileHandler) serveIndex(w http.ResponseWriter, r *http.Request, name string) bool {
	for _, index := range h.o.Index {
		c, err := h.open(path.Join(name, index))
		if err != nil {
			continue
		}
		defer c.Close()
		if !c.info.IsDir() {
			h.serve(w, r, c)
			return true
		}
	}
	return false
}

// fallback serves the Fallback, if it is for what is not there, and reports whether it did.
func (h *FileHandler) fallback(w http.ResponseWriter, r *http.Request, name string, err error) bool {
	if h.o.Fallback == "" || path.Ext(name) != "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	if h.status(name, err) != http.StatusNotFound {
		return false
	}
	c, err := h.open(strings.TrimPrefix(path.Clean("/"+h.o.Fallback), "/"))
	if err != nil {
		return false
	}
	defer c.Close()
	if c.info.IsDir() {
		return false
	}
	h.serve(w, r, c)
	return true
}

// redirect is a relative one, so that it is right under http.StripPrefix. Of a path with an escaped slash
// nobody knows what it would be relative to: that is not found, as from Go 1.27 on with http.FileServer.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	if strings.Contains(strings.ToLower(r.URL.EscapedPath()), "%2f") {
		http.NotFound(w, r)
		return
	}
	if q := r.URL.RawQuery; q != "" {
		to += "?" + q
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusMovedPermanently)
}

// hidden reports whether an element of name begins with a dot.
func hidden(name string) bool {
	for e := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(e, ".") && e != "." && e != ".well-known" {
			return true
		}
	}
	return false
}
