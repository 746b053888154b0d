package engine

// MaxClone is the most that copy_file_range is asked for where the filesystem
// clones, which takes no time that depends on the length.
const MaxClone = 1 << 30

// CopyFileRange moves at most max bytes from a file to a file by
// copy_file_range(2). A zero is handed on: before Linux 5.19 it could mean that
// nothing was copied (https://go.dev/issue/44272), later an end.
func (m *Mover) CopyFileRange(max int) (n int, handled bool, err error) {
	return m.direct(m.copyRangeFn, "copy_file_range", max)
}

func (m *Mover) copyRange(in, out int) (int, error) {
	return m.Calls.CopyFileRange(in, m.offset(), out, m.max)
}
