package zerocopy

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// A Mechanism is a way of moving bytes from a source to a destination.
// Which mechanism a copy takes is not part of the API's promise: it may change
// with the kernel and with the release. Its name is.
type Mechanism uint8

// The mechanisms. The names are those of the system calls, see their man pages.
const (
	// Buffered is read and write through a buffer in user memory. It is always
	// available and cannot be disabled.
	Buffered Mechanism = iota
	// Delegated is the source's own WriteTo or the destination's own ReadFrom:
	// the bytes are known, their route is not.
	Delegated
	// Sendfile is sendfile(2), from a file to a socket.
	Sendfile
	// Splice is splice(2), with or without a private pipe between the ends.
	Splice
	// Tee is tee(2), from one pipe to another without consuming.
	Tee
	// CopyFileRange is copy_file_range(2), from a file to a file.
	CopyFileRange
	// Vmsplice is vmsplice(2), user pages lent to a pipe.
	Vmsplice
	// MsgZerocopy is send(2) with MSG_ZEROCOPY, user pages lent to a socket.
	MsgZerocopy

	mechanisms // how many there are
)

var mechanismNames = [mechanisms]string{
	"buffered", "delegated", "sendfile", "splice", "tee", "copy_file_range", "vmsplice", "msg_zerocopy",
}

// String returns the mechanism's name as ZEROCOPY in the environment and
// [Mechanism.UnmarshalText] take it.
func (m Mechanism) String() string {
	if m < mechanisms {
		return mechanismNames[m]
	}
	return "Mechanism(" + strconv.Itoa(int(m)) + ")"
}

// MarshalText implements [encoding.TextMarshaler]. It never fails.
func (m Mechanism) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes the names that
// [Mechanism.String] returns and refuses any other.
func (m *Mechanism) UnmarshalText(text []byte) error {
	for i, name := range mechanismNames {
		if name == string(text) {
			*m = Mechanism(i)
			return nil
		}
	}
	return fmt.Errorf("zerocopy: unknown mechanism %q (known: %s)", text, strings.Join(mechanismNames[:], ", "))
}

// A MechanismSet is a set of mechanisms, the zero value is the empty one.
type MechanismSet uint16

// AllMechanisms holds every mechanism that can be switched off: all but Buffered.
const AllMechanisms MechanismSet = 1<<mechanisms - 1 - 1<<Buffered

// Mechanisms returns the set of ms.
func Mechanisms(ms ...Mechanism) MechanismSet {
	var s MechanismSet
	for _, m := range ms {
		s |= 1 << m
	}
	return s
}

// Has reports whether m is in s.
func (s MechanismSet) Has(m Mechanism) bool { return s&(1<<m) != 0 }

// String returns the names in the set, separated by commas.
func (s MechanismSet) String() string {
	names := make([]string, 0, bits.OnesCount16(uint16(s)))
	for m := Mechanism(0); m < mechanisms; m++ {
		if s.Has(m) {
			names = append(names, m.String())
		}
	}
	return strings.Join(names, ",")
}
