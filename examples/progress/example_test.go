package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/schollz/progressbar/v3"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"github.com/zerocopy-go/zerocopy"
	"golang.org/x/time/rate"
)

// How a bar of vbauerster/mpb is driven by a copy that keeps the fast path, where
// bar.ProxyReader(src) would hide the descriptor from it. The lines to add are the bar's,
// Progress, and Wait.
func Example_mpb() {
	dst, src := ends(3 << 20)
	p := mpb.New(mpb.WithOutput(io.Discard)) // os.Stdout if not set

	bar := p.AddBar(3<<20, mpb.AppendDecorators(decor.Percentage()))
	n, err := zerocopy.Copy(dst, zerocopy.Progress(src, bar.IncrInt64))
	p.Wait()

	fmt.Println(n, err, bar.Current(), bar.Completed())
	// Output: 3145728 <nil> 3145728 true
}

// How a bar of schollz/progressbar is driven by a copy that keeps the fast path, where
// io.MultiWriter(dst, bar) would have it read every byte into memory.
func Example_progressbar() {
	dst, src := ends(3 << 20)

	bar := progressbar.DefaultBytesSilent(3<<20, "copying") // DefaultBytes draws it
	n, err := zerocopy.Copy(dst, zerocopy.Progress(src, func(n int64) { bar.Add64(n) }))
	bar.Finish()

	fmt.Println(n, err, bar.State().CurrentNum, bar.IsFinished())
	// Output: 3145728 <nil> 3145728 true
}

// A rate of golang.org/x/time/rate: 100 MB a second in bursts of a tenth of a second. Several
// copies may share the limiter.
func Example_rate() {
	dst, src := ends(3 << 20)

	limiter := rate.NewLimiter(100e6, 10e6)
	n, err := zerocopy.CopyContext(context.Background(), dst, zerocopy.Pace(src, limiter))

	fmt.Println(n, err)
	// Output: 3145728 <nil>
}

// ends returns a connection and a file of so many bytes. What the connection gets is read
// by nobody in particular.
func ends(size int64) (dst *net.TCPConn, src *os.File) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		panic(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		panic(err)
	}
	go func() {
		io.Copy(io.Discard, peer)
		peer.Close()
	}()
	dir, err := os.MkdirTemp("", "progress")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, "file"))
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		panic(err)
	}
	return c.(*net.TCPConn), f
}
