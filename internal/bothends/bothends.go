// Package bothends is how a copy between two connections of package zcnet learns of what
// happens to the one that it does not wait for: RawConn waits for one descriptor, and only
// that one's Close and deadline end the wait.
package bothends

// A Conn tells the copies that it is an end of when it is closed and when its deadline
// has passed: as a source that for reads, as a destination that for writes.
type Conn interface {
	// Join has c be told, at most once and perhaps at once, until it leaves.
	Join(c Copy, source bool)
	// Leave returns when c is not told any more.
	Leave(c Copy)
	// Restore sets the deadlines again to what the user of the Conn has set. A Copy that
	// was told of something has let them pass, at both ends.
	Restore()
}

// A Copy is a copy under way.
type Copy interface {
	// End ends the copy with err, of its source or its destination. It is called with
	// the Conn's lock held.
	End(err error, source bool)
}
