package vm

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A Module is a module of the kernel, decompressed.
type Module struct {
	Name     string // as lsmod has it, with underscores
	Contents []byte
}

// moduleName is what a file's name makes of a module's: lsmod and modinfo have
// underscores where the file may have dashes.
func moduleName(file string) string {
	base := strings.TrimSuffix(filepath.Base(file), ".xz")
	return strings.ReplaceAll(strings.TrimSuffix(base, ".ko"), "-", "_")
}

// Modules returns the named modules and those that they depend on, each after all
// that it depends on. Those that are built into the kernel are left out.
func (k *Kernel) Modules(names ...string) ([]Module, error) {
	files := make(map[string]string)
	err := filepath.WalkDir(k.modules, func(path string, d fs.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(path, ".ko") || strings.HasSuffix(path, ".ko.xz")) {
			files[moduleName(path)] = path
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(k.modules, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	builtin := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		builtin[moduleName(strings.TrimSpace(line))] = true
	}
	return order(names, func(name string) (contents []byte, depends []string, err error) {
		path, ok := files[name]
		switch {
		case ok:
		case builtin[name]:
			return nil, nil, nil
		default:
			return nil, nil, fmt.Errorf("%s has no module %s", k.modules, name)
		}
		if contents, err = readModule(path); err != nil {
			return nil, nil, err
		}
		if depends, err = Depends(contents); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		return contents, depends, nil
	})
}

// order returns the named modules and what they depend on, in the order in which
// the kernel takes them. A module without contents is left out.
func order(names []string, load func(name string) (contents []byte, depends []string, err error)) (list []Module, err error) {
	seen := make(map[string]bool)
	var add func(name string) error
	add = func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		contents, depends, err := load(name)
		if err != nil {
			return err
		}
		for _, d := range depends {
			if err := add(d); err != nil {
				return err
			}
		}
		if len(contents) > 0 {
			list = append(list, Module{name, contents})
		}
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// readModule reads a module. Newer releases of Debian compress them by xz.
func readModule(path string) ([]byte, error) {
	if !strings.HasSuffix(path, ".xz") {
		return os.ReadFile(path)
	}
	out, err := exec.Command("xz", "--decompress", "--stdout", path).Output()
	if err != nil {
		return nil, fmt.Errorf("xz (of xz-utils): %s: %w", path, err)
	}
	return out, nil
}

// Depends returns the modules that a module says it depends on. A package of
// Debian has no modules.dep, which is made where it is installed.
func Depends(module []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	return dependsIn(info), nil
}

// dependsIn finds the value of depends= among the strings of a section .modinfo.
func dependsIn(info []byte) []string {
	for field := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(field, "depends="); ok {
			list = strings.ReplaceAll(list, "-", "_")
			return slices.DeleteFunc(strings.Split(list, ","), func(s string) bool { return s == "" })
		}
	}
	return nil
}
