package zchttp

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"syscall"
	"time"
)

// FileServerOptions are what a [FileServer] does beyond what http.FileServerFS does. The zero value
// is nothing.
type FileServerOptions struct {
	// Sidecars serves name.zst, name.br or name.gz, where there is one, in the place of name to
	// clients that accept it: by the q-values of Accept-Encoding, and where those are equal in this
	// order. A sidecar that is older than its file is not used, nor one that does not begin as its
	// format does or says that it holds another number of bytes (zstd and gzip; brotli says
	// nothing). Each encoding has an ETag of its own, responses have Vary: Accept-Encoding, and a
	// Range is answered from the file itself.
	Sidecars bool

	// Cache is how many bytes of contents of small files, at most 64 KiB each, are kept with what is
	// known of them, those least recently used being dropped. 0 is none.
	Cache int64
	// CacheFor is for how long what is kept of a file is taken to be true; after that the file is
	// asked whether its size, its time or the file itself has changed. If not set, a second.
	CacheFor time.Duration

	// IdleTimeout cuts a client off that has taken no byte of a file for so long. One that
	// takes a few every now and then is served to the end, but no longer than Server.WriteTimeout
	// has it. If not set, only that holds.
	IdleTimeout time.Duration

	// NoListing answers 404 for a directory without index.html.
	NoListing bool
	// NoDotfiles answers 404 for names with an element that begins with a dot, but for
	// .well-known (RFC 8615). They are in listings nevertheless.
	NoDotfiles bool
	// Fallback is served, with status 200, for names that do not exist and whose last element
	// has no extension: "index.html" for an application that has its routes in the browser.
	Fallback string

	// Header, if not nil, is called before a file is served, with its name in the file system and
	// the header of the response to come: for Cache-Control, or a Content-Type of one's own.
	Header func(name string, info fs.FileInfo, h http.Header)
}

// FileServer returns a handler that serves the files of fsys as http.FileServerFS does: its
// redirects, listings, conditions, ranges, types and errors. What differs is how, and what o
// asks for; nil is nothing:
//
//   - A file of the operating system goes by sendfile, also from an fs.FS, where http.FileServerFS
//     reads and writes. So do the parts of a multi-range response.
//   - A file that turns out shorter than it was when its length was declared ends with the
//     connection being cut off, so that the client does not take it for whole.
//   - A name that fsys refuses is a 404, not a 500.
//
// Serve a directory with nothing outside of it, wherever its symbolic links lead, by an os.Root:
//
//	root, err := os.OpenRoot(dir)
//	handler := zchttp.FileServer(root.FS(), nil)
//
// os.DirFS follows links out of the directory. The handler is safe for concurrent use, and the
// cache needs no Close: it holds no descriptors.
func FileServer(fsys fs.FS, o *FileServerOptions) http.Handler {
	s := &fileServer{fsys: fsys, std: http.FileServerFS(fsys)}
	if o != nil {
		s.FileServerOptions = *o
	}
	if s.Cache > 0 {
		s.cache = newFileCache(fsys, s.Cache, s.CacheFor)
	}
	return s
}

type fileServer struct {
	FileServerOptions
	fsys  fs.FS
	std   http.Handler // what serves all that is not a file: listings, redirects, errors
	cache *fileCache
}

// ServeHTTP implements http.Handler.
func (s *fileServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := path.Clean("/" + r.URL.Path)[1:]
	switch {
	case s.NoDotfiles && hidden(name), strings.IndexByte(name, 0) >= 0:
		http.NotFound(w, r)
		return
	case strings.HasSuffix(r.URL.Path, "/index.html"): // a redirect
		s.std.ServeHTTP(w, r)
		return
	}
	f, err := s.open(name)
	if err == nil && f.info.IsDir() && strings.HasSuffix(r.URL.Path, "/") {
		f.Close()
		name = path.Join(name, "index.html")
		if f, err = s.open(name); (err != nil || f.info.IsDir()) && s.NoListing {
			http.NotFound(w, r)
			return
		}
	} else if err == nil && strings.HasSuffix(r.URL.Path, "/") {
		f.Close()
		s.std.ServeHTTP(w, r) // a redirect
		return
	}
	var errno syscall.Errno
	switch {
	case err == nil && f.info.IsDir():
		s.std.ServeHTTP(w, r)
	case err == nil:
		s.serve(w, r, name, f)
	case s.Fallback != "" && errors.Is(err, fs.ErrNotExist) && path.Ext(name) == "":
		if f, err = s.open(s.Fallback); err != nil {
			http.NotFound(w, r)
			return
		}
		s.serve(w, r, s.Fallback, f)
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) && !errors.As(err, &errno):
		http.NotFound(w, r) // not the system's error: the name leads out of a root
		return
	default:
		s.std.ServeHTTP(w, r)
	}
	f.Close()
}

// hidden reports whether an element of name begins with a dot.
func hidden(name string) bool {
	for element := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(element, ".") && element != ".well-known" {
			return true
		}
	}
	return false
}

// A servedFile is a file that is open, or kept in the cache.
type servedFile struct {
	file    fs.File // nil if it is kept
	info    fs.FileInfo
	content []byte // of one that is kept
}

// Close closes what is open.
func (f servedFile) Close() {
	if f.file != nil {
		f.file.Close()
	}
}

// open opens a file or directory. The zero servedFile can be closed, too.
func (s *fileServer) open(name string) (servedFile, error) {
	if name == "" {
		name = "."
	}
	if s.cache != nil {
		return s.cache.open(name)
	}
	return openFile(s.fsys, name)
}

func openFile(fsys fs.FS, name string) (servedFile, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return servedFile{}, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return servedFile{}, err
	}
	return servedFile{file: f, info: info}, nil
}

// seeker returns what http.ServeContent reads from. What cannot seek, it cannot serve.
func (f servedFile) seeker() io.ReadSeeker {
	if f.file == nil {
		return &kept{p: f.content}
	}
	if s, ok := f.file.(io.ReadSeeker); ok {
		return s
	}
	return unseekable{f.file}
}

type unseekable struct{ fs.File }

func (unseekable) Seek(int64, int) (int64, error) { return 0, errors.ErrUnsupported }

// serve serves a file, or one of its sidecars.
func (s *fileServer) serve(w http.ResponseWriter, r *http.Request, name string, f servedFile) {
	h := w.Header()
	out := &fileWriter{w: w, r: r, idle: s.IdleTimeout}
	if s.Header != nil {
		s.Header(name, f.info, h)
	}
	if s.Sidecars {
		h.Add("Vary", "Accept-Encoding")
		enc := encoding{}
		if r.Header.Get("Range") == "" {
			var side servedFile
			if enc, side = s.sidecar(r, name, f); enc.name != "" {
				defer side.Close()
				setType(h, name, f)
				h.Set("Content-Encoding", enc.name)
				out.encoded = side.info.Size()
				h.Set("Etag", etag(f.info, enc))
				s.send(out, r, name, f.info.ModTime(), side)
				return
			}
		}
		h.Set("Etag", etag(f.info, enc))
	}
	s.send(out, r, name, f.info.ModTime(), f)
}

// send has http.ServeContent decide, and sends what that wants sent.
func (s *fileServer) send(out *fileWriter, r *http.Request, name string, modtime time.Time, f servedFile) {
	content := f.seeker()
	if !out.ranges(r, name, modtime, f.info.Size(), content) {
		http.ServeContent(out, r, name, modtime, sized{content, f.info.Size()})
	}
	if out.short && r.Method != http.MethodHead {
		panic(http.ErrAbortHandler) // the client shall not take it for whole
	}
}

// sized tells http.ServeContent, which asks by seeking, the size that the file had when it
// was opened.
type sized struct {
	io.ReadSeeker
	size int64
}

// Seek implements io.Seeker.
func (s sized) Seek(offset int64, whence int) (int64, error) {
	if offset == 0 && whence == io.SeekEnd {
		return s.size, nil
	}
	return s.ReadSeeker.Seek(offset, whence)
}
