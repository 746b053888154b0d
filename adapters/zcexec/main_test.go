package zcexec_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// asChild in the environment makes the test binary a child: its value says what it does.
const asChild = "ZCEXEC_TEST_CHILD"

// TestMain counts descriptors and goroutines before and after all tests.
func TestMain(m *testing.M) {
	if do := os.Getenv(asChild); do != "" {
		os.Exit(child(strings.Fields(do)))
	}
	ztest.Main(m, kpipe.Shared.CloseIdle)
}

// stream is what children write.
const stream ztest.Pattern = 7

// child does one thing after the other and returns the exit status.
func child(do []string) (status int) {
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			panic(err)
		}
		return n
	}
	var off int64
	for len(do) > 0 {
		what, n := do[0], 0
		do = do[1:]
		switch what {
		case "write", "take", "exit", "turns", "singly":
			n, do = number(do[0]), do[1:]
		}
		switch what {
		case "write": // so many bytes of the stream, or until it cannot
			buf := make([]byte, 64<<10)
			for n > 0 {
				k := min(n, len(buf))
				stream.Fill(buf[:k], off)
				k, err := os.Stdout.Write(buf[:k])
				if off, n = off+int64(k), n-k; err != nil {
					break
				}
			}
		case "take": // so many bytes of standard input, and no more
			io.ReadFull(os.Stdin, make([]byte, n))
		case "cat":
			buf := make([]byte, 32<<10)
			for {
				n, err := os.Stdin.Read(buf)
				if _, werr := os.Stdout.Write(buf[:n]); err != nil || werr != nil {
					break
				}
			}
		case "check": // that standard input is the stream, to its end
			c := stream.Checker()
			n, err := io.Copy(c, struct{ io.Reader }{os.Stdin})
			fmt.Print(n, " ", err)
		case "turns": // lines, to either output in turn
			for i := range n {
				fmt.Println("out", i)
				fmt.Fprintln(os.Stderr, "err", i)
			}
		case "singly": // lines, each once the one before it has been read
			for i := range n {
				fmt.Println("out", i)
				for pipeHolds(1) > 0 {
					time.Sleep(10 * time.Microsecond)
				}
			}
		case "modes": // of the standard descriptors
			for fd := range 2 {
				fmt.Print(isNonblocking(fd), " ")
			}
		case "size": // of the pipe that is standard output
			fmt.Fprintln(os.Stderr, pipeSize(1))
		case "deaf": // to SIGPIPE
			signal.Ignore(syscall.SIGPIPE)
		case "close0":
			os.Stdin.Close()
		case "close1":
			os.Stdout.Close()
		case "wait": // until the test closes descriptor 3
			io.Copy(io.Discard, os.NewFile(3, "3"))
		case "leave": // the standard descriptors to a process that waits so
			cmd := run("wait")
			cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
			cmd.ExtraFiles = []*os.File{os.NewFile(3, "3")}
			if err := cmd.Start(); err != nil {
				panic(err)
			}
		case "exit":
			return n
		default:
			panic(what)
		}
	}
	return 0
}

// run returns the command that does so.
func run(do string, args ...any) *exec.Cmd { return runContext(context.Background(), do, args...) }

func runContext(ctx context.Context, do string, args ...any) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), asChild+"="+fmt.Sprintf(do, args...), "GORACE=atexit_sleep_ms=0")
	return cmd
}
