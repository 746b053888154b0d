// Package bothends is how a copy between two connections of package zcnet learns of what
// happens to the one that it does not wait for: RawConn waits for one descriptor, and only
// that one's Close and deadline end the wait.
package bothends

// A Passing is a cause of a cancelled copy that leaves nothing behind: the deadlines which
// were set to the past in order to end it are cleared afterwards.
type Passing struct{ Err error }

// Error is that of Err.
func (p *Passing) Error() string { return p.Err.Error() }

// Unwrap returns Err.
func (p *Passing) Unwrap() error { return p.Err }

// A Conn tells the copies that it is an end of when it is closed and when its deadline
// has passed: as a source that for reads, as a destination that for writes.
type Conn interface {
	// Join has c be told, at most once and perhaps at once, until it leaves.
	Join(c Copy, source bool)
	// Leave returns when c is not told any more.
	Leave(c Copy)
	// Restore sets a deadline again to what the user of the Conn has set: that of reads if
	// the Conn was the source of a Copy that was told of something, else that of writes.
	// Such a Copy has let both pass, at either end one.
	Restore(source bool)
}

// A Copy is a copy under way.
type Copy interface {
	// End ends the copy with err, of its source or its destination. It is called with
	// the Conn's lock held.
	End(err error, source bool)
	// Ended reports whether End was called. Then the copy must not wait any more, so a
	// deadline that it may wait under stays in the past until it has left.
	Ended() bool
}
