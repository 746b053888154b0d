package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A terminal is not written to unless it is asked for; other devices are.
func TestTerminal(t *testing.T) {
	t.Parallel()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	for _, row := range []struct {
		args   string
		status int
		want   string
	}{
		{"-n 3", 1, "generate: standard output is a terminal; "},
		{"-n 3 -force", 0, "3 rows, "},
	} {
		var out ztest.Output
		if status := run(strings.Fields(row.args), nil, terminal, &out); status != row.status || !strings.HasPrefix(out.String(), row.want) {
			t.Errorf("%s: exit status %d, want %d, and %s", row.args, status, row.status, &out)
		}
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		status int
		want   string
	}{
		{"/dev/null", 0, "100 rows, "},
		{"/dev/full", 1, "generate: write /dev/full: no space left on device\n"},
	} {
		f, err := os.OpenFile(row.name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		var out ztest.Output
		if status := run([]string{"-n", "100"}, nil, f, &out); status != row.status || !strings.Contains(out.String(), row.want) {
			t.Errorf("%s: exit status %d, want %d, and %s", row.name, status, row.status, &out)
		}
		f.Close()
	}
}
