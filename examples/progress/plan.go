package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A job is the copy of one file or stream.
type job struct {
	src, dst string
	size     int64       // -1 if it is not known
	mode     fs.FileMode // permission bits; 0 for those of a new file
}

const tcp = "tcp://"

func isTCP(name string) bool { return strings.HasPrefix(name, tcp) }

// plan returns the copies that are to be made. Directories of the destination are made by
// then; nothing else is written.
func plan(srcs []string, dst string) (all []job, err error) {
	into := strings.HasSuffix(dst, string(filepath.Separator)) || len(srcs) > 1
	if info, err := os.Stat(dst); err == nil && !isTCP(dst) {
		if into && !info.IsDir() {
			return nil, fmt.Errorf("%s is no directory", dst)
		}
		into = info.IsDir()
	} else if into && isTCP(dst) {
		return nil, errors.New("one file at a time goes to a TCP address")
	}
	for _, src := range srcs {
		to := dst
		if into {
			if isTCP(src) {
				return nil, fmt.Errorf("%s: what arrives needs the name of a file, %s is a directory", src, dst)
			}
			abs, err := filepath.Abs(src) // "." has a name
			if err != nil {
				return nil, err
			}
			to = filepath.Join(dst, filepath.Base(abs))
		}
		jobs, err := planOne(src, to)
		if err != nil {
			return nil, err
		}
		all = append(all, jobs...)
	}
	from := make(map[string]string)
	for _, j := range all {
		if other, ok := from[j.dst]; ok {
			return nil, fmt.Errorf("%s and %s would both become %s", other, j.src, j.dst)
		}
		from[j.dst] = j.src
	}
	for _, j := range all {
		if !isTCP(j.dst) {
			if err := os.MkdirAll(filepath.Dir(j.dst), 0o777); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// planOne returns the copies that make dst of src. Of a directory those are the regular
// files in it: links and devices are left out, links to files given by name are followed.
func planOne(src, dst string) (all []job, err error) {
	if isTCP(src) {
		return []job{{src, dst, -1, 0}}, nil
	}
	info, err := os.Stat(src)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		size := int64(-1)
		if info.Mode().IsRegular() {
			size = info.Size()
		}
		return []job{{src, dst, size, modeOf(info)}}, nil
	}
	if isTCP(dst) {
		return nil, fmt.Errorf("%s is a directory: one file at a time goes to a TCP address", src)
	}
	if within(src, dst) {
		return nil, fmt.Errorf("%s is a directory that %s would be in", src, dst)
	}
	err = filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		all = append(all, job{path, filepath.Join(dst, rel), info.Size(), modeOf(info)})
		return nil
	})
	return all, err
}

// modeOf returns the permission bits that a copy of the file gets: those of a new file
// unless it is regular.
func modeOf(info fs.FileInfo) fs.FileMode {
	if !info.Mode().IsRegular() {
		return 0
	}
	return info.Mode().Perm()
}

// within reports whether name is the directory dir or in it, or would be once it is made.
func within(dir, name string) bool {
	want, err := os.Stat(dir)
	if err != nil {
		return false
	}
	for name, err = filepath.Abs(name); err == nil; name = filepath.Dir(name) {
		if info, err := os.Stat(name); err == nil && os.SameFile(info, want) {
			return true
		}
		if name == filepath.Dir(name) {
			return false
		}
	}
	return false
}
