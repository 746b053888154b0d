package main

// The contenders of a child's output.
const (
	byExec     = "exec.Cmd"
	byZcexec   = "zcexec.Stdout"
	byPassed   = "the socket passed"
	execSpan   = 256 << 20 // bytes that one child writes
	execPieces = 64 << 10  // and how many at once: what a pipe holds
)

// wayChild is the way of all of them.
const wayChild = "child"

// children are the cases of a child process whose output goes to a connection.
func children() []spec {
	c := spec{
		Name: "exec-tcp", Kind: kindPages, Mode: modeTCP, Size: execPieces,
		About:      "the output of a child, which writes the same 1 MiB again and again in pieces of " + sizeName(execPieces) + " → TCP",
		Note:       "the child's own CPU is not counted, starting it is, once in 256 MiB; where it has the socket itself, nothing else is left",
		Show:       []string{mCPU, mRate, mBusy, mFDs, mPipes, mRSS, mSwitches},
		Contenders: contenders(byExec, byZcexec, byPassed),
		Bounds:     []bound{atMost(byZcexec, mCPU, 0.5, byExec)},
	}
	for i := range c.Contenders {
		c.Contenders[i].Way = wayChild
	}
	return []spec{c}
}
