// Package integration tests the library on an emulated machine, for what the
// kernel of the test machine cannot show: devices that do not copy.
//
// The package has no code but its test, which boots Debian's kernel in
// qemu-system-x86_64 with the programs of package guest. Package vm has what is
// needed for that.
package integration
