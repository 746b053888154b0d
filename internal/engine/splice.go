package engine

// Splice moves at most max bytes by splice(2) with no pipe between: the source is
// a pipe, or the destination of a file. It waits for whichever end is not ready. n
// bytes were accepted by the destination, unless Mem holds n bytes that a plain
// read found.
func (m *Mover) Splice(max int) (n int, handled bool, err error) {
	return m.direct(m.spliceFn, "splice", max)
}

func (m *Mover) splice(in, out int) (int, error) {
	return m.Calls.Splice(in, m.offset(), out, nil, m.max)
}
