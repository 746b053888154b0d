package main

import "testing"

// TestExplain: what a connection is told beforehand and afterwards, on the system where there is more than one answer.
func TestExplain(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		flags        []string
		begin, ended string
	}{
		{[]string{"-explain"}, `#1 will go up by splice tcp→pipe→tcp if bulk; down by splice tcp→pipe→tcp if bulk`, `#1 down: 100 % of the bytes \(3 of 3\) not by the kernel: buffered: .* \[start\]`},
		{[]string{"-explain", "-no-zerocopy"}, `#1 will go up by buffered: .* switched off`, `#1 up: 100 % of the bytes \(5 of 5\) not by the kernel: .*`},
	} {
		p, client, server := pair(t, row.flags...)
		p.Await(t, row.begin)
		send(t, client, "12345")
		receive(t, server, "12345")
		send(t, server, "123")
		client.CloseWrite()
		server.CloseWrite()
		p.Await(t, row.ended)
	}
}
