package zchttp

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
)

// fail answers with the status for err and tells nothing else of it to the client.
func (h *FileHandler) fail(w http.ResponseWriter, name string, err error) {
	switch h.status(name, err) {
	case http.StatusNotFound:
		http.Error(w, "404 page not found", http.StatusNotFound)
	case http.StatusForbidden:
		http.Error(w, "403 Forbidden", http.StatusForbidden)
	default:
		h.logf("zchttp: %s: %v", name, err)
		http.Error(w, "500 Internal Server Error", http.StatusInternalServerError)
	}
}

// status is the status for err, that of opening name.
func (h *FileHandler) status(name string, err error) int {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid),
		errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EINVAL),
		errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.ELOOP), escapes(err):
		return http.StatusNotFound
	case errors.Is(err, fs.ErrPermission):
		return http.StatusForbidden
	}
	// An fs.FS of another kind may say what it likes of a name below a file.
	for i, c := range name {
		if c != '/' {
			continue
		}
		if info, err := fs.Stat(h.fsys, name[:i]); err == nil && !info.IsDir() {
			return http.StatusNotFound
		}
	}
	return http.StatusInternalServerError
}

// escapes reports whether err is that of an os.Root for what lies outside of it.
func escapes(err error) bool {
	out := errEscapes()
	return out != nil && errors.Is(err, out)
}

// errEscapes is the value that package os keeps for it and does not export.
var errEscapes = sync.OnceValue(func() error {
	root, err := os.OpenRoot(".")
	if err != nil {
		return nil
	}
	defer root.Close()
	_, err = root.Lstat("../" + strings.Repeat("x", 8))
	return errors.Unwrap(err)
})

// logf writes to the ErrorLog, if there is one.
func (h *FileHandler) logf(format string, a ...any) {
	if h.o.ErrorLog != nil {
		h.o.ErrorLog.Printf(format, a...)
	}
}
