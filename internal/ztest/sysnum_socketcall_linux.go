//go:build 386 || s390x

package ztest

// sysGetsockopt is the call's own number, since Linux 4.3; package syscall has
// only socketcall(2), which takes pointers that the runtime cannot see.
const sysGetsockopt = 365
