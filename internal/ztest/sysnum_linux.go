//go:build !386 && !s390x

package ztest

import "syscall"

const sysGetsockopt = syscall.SYS_GETSOCKOPT
