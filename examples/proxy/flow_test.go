package main

import "testing"

// TestOneLine: nothing that a stranger has had a say in begins a line or speaks to the terminal.
func TestOneLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a → b, 5 bytes": "a → b, 5 bytes",
		"dial unix /tmp/c\nFORGED #77 \x1b[31mred: refused": "dial unix /tmp/c\ufffdFORGED #77 \ufffd[31mred: refused",
		"\r\x00\u0085": "\ufffd\ufffd\ufffd",
	} {
		if got := oneLine(in); got != want {
			t.Errorf("%q becomes %q", in, got)
		}
	}
}
