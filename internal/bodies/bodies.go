// Package bodies has the switch of zchttp.SpliceBodies: whether bodies of net/http are spliced.
package bodies

import "sync/atomic"

const (
	off = iota
	on
	unverified
)

var state atomic.Int32

// On reports whether they are.
func On() bool { return state.Load() == on }

// Unverified reports whether they are not since net/http is not as it was verified to be.
func Unverified() bool { return state.Load() == unverified }

// Set switches them on or off.
func Set(to bool) {
	if to {
		state.Store(on)
	} else {
		state.Store(off)
	}
}

// Refuse switches them off for good reason.
func Refuse() { state.Store(unverified) }
