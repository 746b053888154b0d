package zccompress

import "strings"

// A Format is how a stream is compressed, or several of them, or'ed, where a set is asked for.
type Format uint8

// The formats. A [Reader]'s is one of them, or 0 as long as it is not known.
const (
	// Plain is what begins as none of the formats that a Reader recognises.
	Plain Format = 1 << iota
	// Gzip is RFC 1952. It begins with 1f 8b 08.
	Gzip
	// Zstd is RFC 8878. It begins with 28 b5 2f fd, or with the 50 to 5f, 2a 4d 18 of a
	// skippable frame.
	Zstd
	// S2 is the stream format of S2, ff 06 00 00 "S2sTwO". Its blocks, without the stream around
	// them, have no magic.
	S2
	// Snappy is the framing format of Snappy, ff 06 00 00 "sNaPpY". Its blocks have no magic.
	Snappy
	// Zlib is RFC 1950, the "deflate" of HTTP. It has no magic but a header of two bytes that one
	// stream in 1,000 of other content has by accident, and a text that begins with "x^". So it is not
	// among the formats that a Reader recognises if none are named.
	Zlib

	formats = iota
)

// Standard is what a Reader recognises if nothing else is said: all that has a magic number, and
// Plain.
const Standard = Plain | Gzip | Zstd | S2 | Snappy

var formatNames = [formats]string{"plain", "gzip", "zstd", "s2", "snappy", "zlib"}

// String returns the name of f, "gzip" for instance, names with a | between of a set, and "unknown"
// of 0.
func (f Format) String() string {
	var names []string
	for i, name := range formatNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "unknown"
	}
	return strings.Join(names, "|")
}

// A magic is what the streams of a format begin with.
type magic struct {
	format Format
	bytes  string
	any    byte // bits of the first byte that do not count
}

var magics = [...]magic{
	{Gzip, "\x1f\x8b\x08", 0},
	{Zstd, "\x28\xb5\x2f\xfd", 0},
	{Zstd, "\x50\x2a\x4d\x18", 0x0f},
	{S2, "\xff\x06\x00\x00S2sTwO", 0},
	{Snappy, "\xff\x06\x00\x00sNaPpY", 0},
}

// maxMagic is the length of the longest magic.
const maxMagic = 10

// recognise returns the one of the formats in accepted that a stream beginning with p has, Plain if
// it has none, and 0 as long as that cannot be told; then at least more bytes are needed to tell.
func recognise(p []byte, accepted Format) (f Format, more int) {
	more = maxMagic + 1
	for i := range magics {
		m := &magics[i]
		if accepted&m.format == 0 || !m.fits(p) {
			continue
		}
		if len(p) >= len(m.bytes) {
			return m.format, 0
		}
		more = min(more, len(m.bytes)-len(p))
	}
	if accepted&Zlib != 0 {
		switch {
		case len(p) == 0:
			more = min(more, 2)
		case len(p) == 1 && zlibMethod(p[0]):
			more = min(more, 1)
		case len(p) >= 2 && zlibMethod(p[0]) && (int(p[0])<<8|int(p[1]))%31 == 0 && p[1]&0x20 == 0:
			return Zlib, 0
		}
	}
	if more > maxMagic {
		return Plain, 0
	}
	if len(p) == 0 {
		return 0, 1 // most of what is not compressed shows it in its first byte
	}
	return 0, more
}

// fits reports whether p and the magic are the same as far as both go.
func (m *magic) fits(p []byte) bool {
	n := min(len(p), len(m.bytes))
	return n == 0 || p[0]&^m.any == m.bytes[0]&^m.any && string(p[1:n]) == m.bytes[1:n]
}

// zlibMethod reports whether b can be the first byte of a zlib stream: deflate with a window of
// at most 32 KiB. The second makes the two, as a number, a multiple of 31, and says by 0x20 that a
// dictionary is wanted, which nobody has here.
func zlibMethod(b byte) bool { return b&0x0f == 8 && b>>4 <= 7 }
