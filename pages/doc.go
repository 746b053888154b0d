// Package pages lends user memory to the kernel, and knows when it comes back.
//
// A [Writer] stands where a bufio.Writer stood in front of a pipe or a TCP connection. Its
// buffers are page memory outside of the Go heap. Next gives one that the kernel does not
// hold, Commit sends it: by reference where that is safe and pays, by a plain copy
// otherwise, and Stats says which and why.
//
//	w, err := pages.NewWriter(conn, nil)
//	…
//	for more {
//		buf, err := w.Next()
//		…
//		n := fill(buf)
//		if err := w.Commit(n); err != nil …
//	}
//	err = w.Close()
//
// To a TCP connection memory is lent by MSG_ZEROCOPY: the kernel says when the peer has
// acknowledged the bytes, and only then is the memory used again. To a pipe it is lent by
// vmsplice(2), where the kernel never says so: what is in a page when it is read is what
// arrives. There are three ways in which that is safe, and the caller chooses, since two of
// them take a promise that only the caller can give: see [Lending] and [Constant].
//
// # When not to use it
//
//   - The bytes are in a file, a pipe or a socket: [zerocopy.Copy] moves them without any
//     user memory.
//   - Messages are small. Below about 10 KiB to a TCP connection, and 16 KiB to a pipe, a copy
//     costs less than a loan, and is what a Writer does then.
//   - The connection is to this very machine, or by veth into a container: there the kernel
//     copies what it was lent when it is received, which costs more than a plain write. The
//     Writer sees it by the first few completions and writes plainly from then on, with
//     the reason [zerocopy.ReasonCopied].
//   - Somebody else writes much to the same connection meanwhile, or reads its error queue
//     (timestamps), or has put it into a BPF sockmap.
//
// docs/performance.md has figures, "Lent pages".
package pages
