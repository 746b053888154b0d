package peers_test

import "syscall"

// WSAENOTCONN, winsock2.h, which package syscall does not have.
const wsaenotconn = syscall.Errno(10057)

var goneErrors = []error{syscall.WSAECONNRESET, syscall.WSAECONNABORTED, wsaenotconn}
