package zcexec_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcexec"
)

// connected returns the two ends of a connection.
func connected() (server, client *net.TCPConn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		log.Fatal(err)
	}
	return s.(*net.TCPConn), c.(*net.TCPConn)
}

func ExampleStdout() {
	conn, client := connected()
	defer client.Close()

	cmd := exec.Command("echo", "from a child")
	out := zcexec.Stdout(cmd, conn) // was: cmd.Stdout = conn
	if err := cmd.Run(); err != nil {
		log.Fatal(err)
	}
	conn.Close()

	got, _ := io.ReadAll(client)
	fmt.Printf("%d bytes: %s", out.Written(), got)
	// Output: 13 bytes: from a child
}

// Both outputs to the same destination are one stream.
func ExampleStderr() {
	var all bytes.Buffer
	cmd := exec.Command("sh", "-c", "echo first; echo second >&2; echo third")
	zcexec.Stdout(cmd, &all)
	zcexec.Stderr(cmd, &all)
	if err := cmd.Run(); err != nil {
		log.Fatal(err)
	}
	fmt.Print(all.String())
	// Output:
	// first
	// second
	// third
}

func ExampleOutput() {
	conn, client := connected()
	defer client.Close()

	cmd := exec.Command("echo", "from a child")
	out := zcexec.Stdout(cmd, conn)
	out.Copier = &zerocopy.Copier{Report: func(r zerocopy.Report) { fmt.Println(r.Steps[0].Bytes, "bytes") }}
	if err := cmd.Run(); err != nil {
		log.Fatal(err)
	}
	if left := out.Unwritten(); left != nil {
		fmt.Printf("conn did not take %q\n", left)
	}
	conn.Close()
	// Output: 13 bytes
}

// A command reads the first line of a connection; what it leaves is still to be had.
func ExampleStdin() {
	conn, client := connected()
	defer conn.Close()
	go func() {
		client.Write([]byte("0123456789"))
		// and says nothing more
	}()
	defer client.Close()

	cmd := exec.Command("dd", "bs=1", "count=4", "status=none")
	in := zcexec.Stdin(cmd, conn)
	out, err := cmd.Output()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("it has read %d bytes, %q\n", in.Consumed(), out)
	rest := make([]byte, 6)
	io.ReadFull(io.MultiReader(bytes.NewReader(in.Unread()), conn), rest)
	fmt.Printf("and left %q\n", rest)
	// Output:
	// it has read 4 bytes, "0123"
	// and left "456789"
}

func ExamplePipeline() {
	conn, client := connected()
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p := zcexec.Pipeline{
		exec.CommandContext(ctx, "yes"),
		exec.CommandContext(ctx, "head", "-n", "3"),
		exec.CommandContext(ctx, "tr", "y", "n"),
	}
	zcexec.Stdout(p[len(p)-1], conn)
	if err := p.Run(); err != nil {
		log.Fatal(err)
	}
	conn.Close()

	got, _ := io.ReadAll(client)
	fmt.Printf("%s", got)
	// Output:
	// n
	// n
	// n
}

func ExamplePipelineError() {
	err := zcexec.Pipeline{exec.Command("true"), exec.Command("false"), exec.Command("cat")}.Run()
	fmt.Println(err)
	var e *zcexec.PipelineError
	if errors.As(err, &e) {
		fmt.Println(e.Errs)
	}
	// Output:
	// command 2 (false): exit status 1
	// [<nil> exit status 1 <nil>]
}

// The child writes the socket itself. Until Release, the connection is left alone.
func ExamplePass() {
	conn, client := connected()
	defer client.Close()

	s, err := zcexec.Pass(conn)
	if err != nil {
		log.Fatal(err)
	}
	cmd := exec.Command("echo", "straight from a child")
	cmd.Stdout, cmd.Stderr = s.File(), os.Stderr
	err = cmd.Run()
	if err := errors.Join(err, s.Release()); err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(conn, "and from its parent")
	conn.Close()

	got, _ := io.ReadAll(client)
	fmt.Printf("%s", got)
	// Output:
	// straight from a child
	// and from its parent
}
