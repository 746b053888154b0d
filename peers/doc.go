// Package peers tests the library with what others have written: package nettest for the
// connections of adapters/zcnet, netutil.LimitListener around and under them, and relays
// between the programs of Debian's packages.
//
// The package has no code but its tests.
package peers
