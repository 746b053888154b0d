package vm_test

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/zerocopy-go/zerocopy/integration/vm"
)

// An entry is what the kernel reads of one.
type entry struct {
	name     string
	mode     uint64
	dev      [2]uint64
	contents string
}

// unpack reads an archive as the kernel does, see its init/initramfs.c.
func unpack(t *testing.T, archive []byte) (entries []entry) {
	t.Helper()
	at := 0
	take := func(n int) []byte {
		if at+n > len(archive) {
			t.Fatalf("the archive ends at %d, wanted %d bytes more at %d", len(archive), n, at)
		}
		at += n
		return archive[at-n : at]
	}
	for {
		if magic := take(6); string(magic) != "070701" {
			t.Fatalf("magic is %q", magic)
		}
		var field [13]uint64
		for i := range field {
			text := take(8)
			v, err := strconv.ParseUint(string(text), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			field[i] = v
		}
		name := take(int(field[11]))
		take(-at & 3)
		contents := take(int(field[6]))
		take(-at & 3)
		e := entry{
			name: string(bytes.TrimSuffix(name, []byte{0})), mode: field[1],
			dev: [2]uint64{field[9], field[10]}, contents: string(contents),
		}
		if e.name == "TRAILER!!!" {
			return entries
		}
		entries = append(entries, e)
	}
}

func TestInitramfs(t *testing.T) {
	t.Parallel()
	var a vm.Initramfs
	a.File("/init", []byte("first"))
	a.CharDevice("/dev/console", 5, 1)
	a.File("lib/modules/one.ko", []byte{})
	a.File("lib/modules/two.ko", []byte("1234"))
	a.Dir("/proc")
	want := []entry{
		{name: "init", mode: 0o100755, contents: "first"},
		{name: "dev", mode: 0o040755},
		{name: "dev/console", mode: 0o020600, dev: [2]uint64{5, 1}},
		{name: "lib", mode: 0o040755},
		{name: "lib/modules", mode: 0o040755},
		{name: "lib/modules/one.ko", mode: 0o100755},
		{name: "lib/modules/two.ko", mode: 0o100755, contents: "1234"},
		{name: "proc", mode: 0o040755},
	}
	got := unpack(t, a.Bytes())
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("entry %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}
