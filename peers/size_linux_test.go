//go:build !race && !386

package peers_test

// mega is the unit of what is sent through relays. It is less where everything is slow, and
// where the same code runs once more.
const mega = 1 << 20
