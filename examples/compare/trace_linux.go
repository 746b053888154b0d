package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// traceMain is the main function of the tracer: it runs a worker, to which it
// leaves the control socket, under ptrace(2), and writes to standard output the
// tally of system calls that touched src or dst. Both are given as
// /proc/PID/fd shows them. The first message on the control socket is an answer
// that says whether tracing works; without it there is no worker.
//
// It is a process of its own so that wait4 cannot take away anyone's child, and
// so that the worker dies with it (PTRACE_O_EXITKILL).
func traceMain(src, dst string) int {
	runtime.LockOSThread() // ptrace knows the thread, not the process
	t := tracer{src: src, dst: dst, entered: map[int]entry{}, known: map[int]bool{}}
	pid, err := t.launch()
	var a answer
	if err != nil {
		a.Err = err.Error()
	}
	text, _ := json.Marshal(a)
	syscall.Write(controlFD, text)
	syscall.Close(controlFD) // so that the worker sees its end
	if err != nil {
		return 1
	}
	if err := t.follow(pid); err != nil {
		t.Err = err.Error()
	}
	json.NewEncoder(os.Stdout).Encode(struct {
		*tally
		Err string
	}{&t.tally, t.Err})
	return 0
}

type tracer struct {
	tally
	pid      int
	src, dst string
	entered  map[int]entry // by thread: the call it is in, if that counts
	known    map[int]bool  // threads that have stopped before
}

// An entry is a system call under way, of which the ends are already known: they
// cannot be looked up any more if another thread closes them meanwhile.
type entry struct {
	call
	counts bool
}

// launch starts the worker and has it stopped at its first instruction, with
// tracing known to work.
func (t *tracer) launch() (pid int, err error) {
	if systemCalls == nil {
		return 0, fmt.Errorf("system calls of %s are not known here", runtime.GOARCH)
	}
	exe, err := os.Executable()
	if err != nil {
		return 0, err
	}
	if err := os.Setenv(roleVariable, roleWorker); err != nil {
		return 0, err
	}
	pid, err = syscall.ForkExec(exe, []string{exe}, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 2, 2, controlFD},
		// Pdeathsig is for the time until PTRACE_O_EXITKILL is set: a child
		// stopped by ptrace whose tracer is gone stays so for ever.
		Sys: &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return 0, fmt.Errorf("ptrace: %w", err)
	}
	var ws syscall.WaitStatus
	if _, err = wait4(pid, &ws); err == nil {
		const exitKill = 1 << 20 // PTRACE_O_EXITKILL, since Linux 3.8
		err = syscall.PtraceSetOptions(pid, syscall.PTRACE_O_TRACESYSGOOD|syscall.PTRACE_O_TRACECLONE|exitKill)
	}
	if err == nil {
		// A stop that is not at a system call is answered with operation 0,
		// unless the kernel is older than 5.3.
		_, err = getSyscallInfo(pid)
	}
	if err != nil {
		syscall.Kill(pid, syscall.SIGKILL)
		wait4(pid, &ws)
		return 0, fmt.Errorf("ptrace: %w", err)
	}
	t.pid = pid
	t.known[pid] = true
	return pid, syscall.PtraceSyscall(pid, 0)
}

// follow lets the worker run from stop to stop until it ends.
func (t *tracer) follow(pid int) error {
	for {
		var ws syscall.WaitStatus
		tid, err := wait4(-1, &ws)
		if err != nil {
			return err
		}
		if ws.Exited() || ws.Signaled() {
			if tid == pid { // the last of its threads, by ptrace(2)
				return nil
			}
			delete(t.entered, tid)
			continue
		}
		deliver := 0
		switch sig := ws.StopSignal(); {
		case sig == syscall.SIGTRAP|0x80: // PTRACE_O_TRACESYSGOOD
			if err := t.stopped(tid); err != nil {
				return err
			}
		case sig == syscall.SIGTRAP: // a thread was made
		case sig == syscall.SIGSTOP && !t.known[tid]: // it starts stopped
		default:
			deliver = int(sig)
		}
		t.known[tid] = true
		// ESRCH: killed while it was stopped; wait4 will say so.
		if err := syscall.PtraceSyscall(tid, deliver); err != nil && err != syscall.ESRCH {
			return err
		}
	}
}

// stopped looks at a thread that enters or leaves a system call.
func (t *tracer) stopped(tid int) error {
	info, err := getSyscallInfo(tid)
	if err == syscall.ESRCH {
		return nil
	} else if err != nil {
		return err
	}
	switch info.op {
	case 1: // PTRACE_SYSCALL_INFO_ENTRY
		t.entered[tid] = t.enter(info.data[0], info.data[1:])
	case 2: // PTRACE_SYSCALL_INFO_EXIT
		e := t.entered[tid]
		delete(t.entered, tid)
		if !e.counts {
			break
		}
		n := int64(info.data[0])
		if n < 0 {
			e.Errno = errnoName(syscall.Errno(-n))
			n = 0
		}
		t.add(e.call, n)
	}
	return nil
}

func (t *tracer) enter(nr uint64, args []uint64) (e entry) {
	sc, ok := systemCalls[nr]
	if !ok {
		return e
	}
	e.Name = sc.name
	if sc.from >= 0 {
		e.From = t.end(args[sc.from])
	}
	if sc.to >= 0 {
		e.To = t.end(args[sc.to])
	}
	e.counts = e.From == "src" || e.To == "dst"
	return e
}

// end says which end of the copy, or what else, a descriptor of the worker is.
func (t *tracer) end(fd uint64) string {
	switch name, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", t.pid, int32(fd))); {
	case name == "":
		return "?"
	case name == t.src:
		return "src"
	case name == t.dst:
		return "dst"
	case len(name) > 5 && name[:5] == "pipe:":
		return "pipe"
	}
	return "?"
}

// syscallInfo is struct ptrace_syscall_info of linux/ptrace.h. data begins with
// the number and the arguments at an entry, with the result at an exit.
type syscallInfo struct {
	op   uint8
	_    [3]uint8
	_    uint32 // architecture
	_    uint64 // instruction pointer
	_    uint64 // stack pointer
	data [8]uint64
}

// getSyscallInfo is ptrace(PTRACE_GET_SYSCALL_INFO), which needs no knowledge of
// registers.
func getSyscallInfo(tid int) (info syscallInfo, err error) {
	const request = 0x420e
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, request, uintptr(tid),
		unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return info, errno
	}
	return info, nil
}

// wait4 waits for any thread or for one, and goes on after signals.
func wait4(pid int, ws *syscall.WaitStatus) (int, error) {
	for {
		tid, err := syscall.Wait4(pid, ws, syscall.WALL, nil)
		if err != syscall.EINTR {
			return tid, err
		}
	}
}

// A systemCall moves bytes from its argument number from to number to, each a
// descriptor, or -1 for memory.
type systemCall struct {
	name     string
	from, to int
}

// systemCalls are those that a copy may use, by number; nil where the numbers
// that package syscall does not have are not known.
var systemCalls = func() map[uint64]systemCall {
	var copyFileRange uint64
	var sendfile uint64 = syscall.SYS_SENDFILE
	switch runtime.GOARCH {
	case "amd64":
		copyFileRange = 326
	case "386":
		copyFileRange, sendfile = 377, 239 // sendfile64
	case "arm":
		copyFileRange, sendfile = 391, 239
	case "arm64", "riscv64", "loong64":
		copyFileRange = 285
	case "ppc64", "ppc64le":
		copyFileRange = 379
	case "s390x":
		copyFileRange = 375
	default:
		return nil
	}
	return map[uint64]systemCall{
		syscall.SYS_READ:     {"read", 0, -1},
		syscall.SYS_READV:    {"readv", 0, -1},
		syscall.SYS_PREAD64:  {"pread", 0, -1},
		syscall.SYS_WRITE:    {"write", -1, 0},
		syscall.SYS_WRITEV:   {"writev", -1, 0},
		syscall.SYS_PWRITE64: {"pwrite", -1, 0},
		syscall.SYS_SPLICE:   {"splice", 0, 2},
		syscall.SYS_TEE:      {"tee", 0, 1},
		syscall.SYS_VMSPLICE: {"vmsplice", -1, 0},
		sendfile:             {"sendfile", 1, 0},
		copyFileRange:        {"copy_file_range", 0, 2},
	}
}()

// errnoName returns the name that man pages use, for those that are to be expected.
func errnoName(e syscall.Errno) string {
	switch e {
	case syscall.EAGAIN:
		return "EAGAIN"
	case syscall.EINTR:
		return "EINTR"
	case syscall.EINVAL:
		return "EINVAL"
	case syscall.EXDEV:
		return "EXDEV"
	case syscall.EBADF:
		return "EBADF"
	case syscall.EPERM:
		return "EPERM"
	case syscall.EPIPE:
		return "EPIPE"
	case syscall.ESPIPE:
		return "ESPIPE"
	case syscall.ENOSYS:
		return "ENOSYS"
	case syscall.EOPNOTSUPP:
		return "EOPNOTSUPP"
	}
	return fmt.Sprintf("errno %d", int(e))
}
