//go:build !race

package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/integration/guest"
	"github.com/zerocopy-go/zerocopy/integration/vm"
)

var (
	kernelDir = flag.String("kernel", "", "`directory` with an unpacked kernel package, instead of Debian's newest kernel")
	console   = flag.Bool("console", false, "log what the guest prints on its console also if no test failed")
)

// bootLimit is the most that the guest may take from its start to its end.
const bootLimit = 120 * time.Second

// TestGuest boots the guest, and has a subtest for each of its programs.
func TestGuest(t *testing.T) {
	if _, err := exec.LookPath(vm.Emulator); err != nil {
		t.Skipf("no emulator: %v (Debian's package is qemu-system-x86)", err)
	}
	kernel := findKernel(t)
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	g, err := vm.Boot(ctx, vm.Machine{
		Kernel:    kernel,
		Initramfs: initramfs(t, kernel),
		NICs:      guest.NICs,
		MemoryMB:  512,
		CPUs:      2,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() || *console {
			t.Logf("console of the guest:\n%s", g.Console())
		}
	})
	messages := json.NewDecoder(g.Results)
	for _, p := range guest.Programs {
		ok := t.Run(p.Name, func(t *testing.T) { relay(t, messages, p.Name) })
		if !ok && ctx.Err() != nil {
			t.Fatalf("the guest has not ended after %v", bootLimit)
		}
	}
	for {
		var m guest.Message
		if err := messages.Decode(&m); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Errorf("after the last program: %v", err)
			}
			break
		}
	}
	if err := g.Wait(); err != nil {
		t.Errorf("%s: %v", vm.Emulator, err)
	}
	t.Logf("Linux %s, %d programs in %v", kernel.Release, len(guest.Programs), time.Since(start).Round(time.Second/10))
}

// relay has a program's messages as those of a test. It passes over those before, of
// programs that -run has left out.
func relay(t *testing.T, messages *json.Decoder, name string) {
	for started := false; ; {
		var m guest.Message
		if err := messages.Decode(&m); err != nil {
			t.Fatalf("the guest ended before the program did: %v", err)
		}
		switch {
		case !started:
			started = m.Start == name
		case m.Log != "":
			t.Log(m.Log)
		case m.Error != "":
			t.Error(m.Error)
		case m.End == name:
			return
		default:
			t.Fatalf("unexpected message %+v", m)
		}
	}
}

func findKernel(t *testing.T) *vm.Kernel {
	t.Helper()
	if *kernelDir != "" {
		k, err := vm.KernelIn(*kernelDir)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	k, err := vm.DebianKernel(ctx)
	if err != nil {
		t.Skipf("no kernel: %v", err)
	}
	return k
}

// initramfs returns the guest's root filesystem.
func initramfs(t *testing.T, kernel *vm.Kernel) []byte {
	t.Helper()
	var root vm.Initramfs
	root.File("/init", build(t))
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		root.Dir(dir)
	}
	root.CharDevice("/dev/console", 5, 1) // standard input, output and error of /init
	modules, err := kernel.Modules(guest.Modules...)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range modules {
		root.File(fmt.Sprintf("/modules/%02d-%s.ko", i, m.Name), m.Contents)
	}
	return root.Bytes()
}

// build returns the guest's /init, a static program.
func build(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "init")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", path, "./guest/init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return program
}
