// Package tally has the counts of bytes and system calls by mechanism, for the packages
// that move bytes. ReadStats of package zerocopy reports them.
package tally

import (
	"reflect"
	"sync/atomic"
)

// Bytes and Calls are counted by the number of a zerocopy.Mechanism.
var Bytes, Calls [16]atomic.Int64

// Relays is how many relays are running.
var Relays atomic.Int64

// Add counts n bytes and one system call.
func Add(mechanism uint8, n int64) {
	Bytes[mechanism].Add(n)
	Calls[mechanism].Add(1)
}

// Reason counts n bytes that were not moved by reference for a zerocopy.Reason, which has to
// do with that end and its type. The root sets it.
var Reason func(typ reflect.Type, reason, end uint8, n int64)
