package engine

// SendFile moves at most max bytes from a file to a socket by sendfile(2). The
// file's position, unless it is a section, moves by what the socket accepted. A
// zero is handed on: a plain read tells an end from a file of /proc.
func (m *Mover) SendFile(max int) (n int, handled bool, err error) {
	return m.direct(m.sendfileFn, "sendfile", max)
}

func (m *Mover) sendfile(in, out int) (int, error) {
	return m.Calls.Sendfile(out, in, m.offset(), m.max)
}
