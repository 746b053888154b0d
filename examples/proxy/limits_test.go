package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What -idle, -half-closed, -rate and -explain do, and sockets with paths.

// longEnough tries with a limit of 100 ms, and with longer ones as long as there is an
// error: a busy machine may need more for what is to come before the limit.
func longEnough(t *testing.T, try func(limit string) error) {
	t.Helper()
	for limit := 100 * time.Millisecond; ; limit *= 4 {
		err := try(limit.String())
		if err == nil {
			return
		}
		if limit > 5*time.Second {
			t.Fatalf("with a limit of %v: %v", limit, err)
		}
	}
}

// exchange sends text from one end to the other.
func exchange(from, to net.Conn, text string) error {
	if _, err := io.WriteString(from, text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if n, err := io.ReadFull(to, got); err != nil || string(got) != text {
		return fmt.Errorf("received %q, %v; want %q", got[:n], err, text)
	}
	return nil
}

func TestIdle(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		reason    string
		flags     []string
		closeHalf bool
		ends      bool
	}{
		{"silence ends a connection", []string{"-idle", "LIMIT"}, false, true},
		{"0 is for ever", []string{"-idle", "0"}, false, false},
		{"half a connection has a limit of its own", []string{"-idle", "1h", "-half-closed", "100ms"}, true, true},
		{"and it counts for no other", []string{"-idle", "1h", "-half-closed", "100ms"}, false, false},
	} {
		t.Run(row.reason, func(t *testing.T) {
			t.Parallel()
			var p *running
			var client, server *net.TCPConn
			longEnough(t, func(limit string) error {
				flags := slices.Clone(row.flags)
				for i := range flags {
					flags[i] = strings.ReplaceAll(flags[i], "LIMIT", limit)
				}
				p, client, server = pair(t, flags...)
				return exchange(client, server, "hello")
			})
			if row.closeHalf {
				client.CloseWrite()
				receiveEnd(t, server)
			}
			if !row.ends {
				time.Sleep(300 * time.Millisecond)
				send(t, server, "still here")
				receive(t, client, "still here")
				return
			}
			if rest, err := io.ReadAll(client); err == nil {
				t.Errorf("received %q and the end, want a reset", rest)
			}
			p.Await(t, `ended by idle.*; error: .*idle timeout`)
		})
	}
}

// The rate is kept in both directions, and the bytes are spliced all the same.
func TestRate(t *testing.T) {
	t.Parallel()
	const size, rate = 6 << 20, 8 << 20
	p, client, server := pair(t, "-rate", "8M")
	data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	began := time.Now()
	go func() {
		client.Write(data)
		client.CloseWrite()
	}()
	got, err := io.ReadAll(server)
	took := time.Since(began)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("received %d bytes, %v", len(got), err)
	}
	// The burst goes at once, and once more by the copy's first chunk.
	if least := time.Second * (size - 2<<20) / rate; took < least {
		t.Errorf("%d bytes took %v, want %v at least", size, took, least)
	}
	server.CloseWrite()
	p.Await(t, fmt.Sprintf(`up %d bytes`, size))
	requireSpliced(t, p.stop(t), size/2, true)
}

// A unix socket in front, and one behind.
func TestUnix(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	behind, err := net.Listen("unix", filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	defer behind.Close()
	go func() {
		for {
			c, err := behind.Accept()
			if err != nil {
				return
			}
			io.Copy(c, c)
			c.Close()
		}
	}()
	p := start(t, "unix:"+behind.Addr().String(), "-listen", "unix:"+filepath.Join(dir, "f"))
	client, err := net.Dial("unix", filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	send(t, client, "hello")
	receive(t, client, "hello")
	client.(*net.UnixConn).CloseWrite()
	receiveEnd(t, client)
	p.Await(t, `#1 unix → unix:\S+/b in .*up 5 bytes.*client first`)
}

// The side that ends first is named.
func TestFirst(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"client", "backend"} {
		p, a, b := pair(t)
		if first == "backend" {
			a, b = b, a
		}
		a.CloseWrite()
		receiveEnd(t, b)
		b.CloseWrite()
		p.Await(t, `ended by eof, `+first+` first`)
	}
}
