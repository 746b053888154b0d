package zchttp

import (
	"io/fs"
	"net/http"
	"slices"
)

// serveList has http.FileServer make the list of the directory name.
func (h *FileHandler) serveList(w http.ResponseWriter, r *http.Request, name string) {
	http.FileServerFS(listing{h, name}).ServeHTTP(w, r)
}

// A listing is the fs.FS that http.FileServer sees then: there is no index in dir, as the
// FileHandler has looked for its own, and there are no hidden names.
type listing struct {
	h   *FileHandler
	dir string
}

func (l listing) Open(name string) (fs.File, error) {
	if name != l.dir {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	f, err := l.h.fsys.Open(name)
	if err != nil || !l.h.o.HideDotfiles {
		return f, err
	}
	if d, ok := f.(fs.ReadDirFile); ok {
		return shownDir{d}, nil
	}
	return f, nil
}

// A shownDir is a directory without its hidden names.
type shownDir struct{ fs.ReadDirFile }

func (d shownDir) ReadDir(n int) ([]fs.DirEntry, error) {
	list, err := d.ReadDirFile.ReadDir(n)
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool { return hidden(e.Name()) }), err
}
