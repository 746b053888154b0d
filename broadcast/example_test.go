package broadcast_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"github.com/zerocopy-go/zerocopy/broadcast"
)

// Whoever connects to the listener sees the stream from the camera, from where it is
// then on.
func Example() {
	serve := func(ctx context.Context, camera *net.TCPConn, viewers net.Listener) error {
		b, err := broadcast.New(camera, &broadcast.Options{
			Report: func(_ *broadcast.Sink, st broadcast.SinkStats) { log.Print(st) }, // who came, who went
		})
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := viewers.Accept()
				if err != nil {
					return
				}
				sink, err := b.Add(c, &broadcast.SinkOptions{Policy: broadcast.Detach})
				if err != nil {
					log.Print(err)
					c.Close()
					continue
				}
				go func() {
					io.Copy(io.Discard, c) // the viewer says nothing: this is its end
					sink.Close()
				}()
				go func() {
					<-sink.Done()
					c.Close()
				}()
			}
		}()
		return b.Run(ctx)
	}
	_ = serve
}

// A stream is recorded, and seen from its start by who has come late.
func ExampleNew_recording() {
	file, err := os.CreateTemp("", "recording")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(file.Name())
	defer file.Close()

	src, camera := io.Pipe()
	b, err := broadcast.New(src, &broadcast.Options{Recording: file})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- b.Run(context.Background()) }()

	fmt.Fprint(camera, "It was a dark ")
	var late strings.Builder
	sink, err := b.Add(&late, &broadcast.SinkOptions{
		Name:      "late",
		Policy:    broadcast.Demote,
		FromStart: true,
		Prefix:    []byte("Once more: "),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(camera, "and stormy night.")
	camera.Close()
	fmt.Println(<-done, sink.Wait())
	fmt.Println(late.String())
	st := sink.Stats()
	fmt.Println(st.Name, st.State, "at byte", st.Position)
	// Output:
	// <nil> <nil>
	// Once more: It was a dark and stormy night.
	// late ended at byte 31
}

// What a sink is to have besides bytes on a wire, it can have: each Writer will do.
func ExampleBroadcast_Add() {
	b, err := broadcast.New(strings.NewReader("a stream"), nil)
	if err != nil {
		log.Fatal(err)
	}
	sum := sha256.New()
	for _, w := range []io.Writer{os.Stdout, sum} {
		if _, err := b.Add(w, nil); err != nil {
			log.Fatal(err)
		}
	}
	_, err = b.Add(sum, nil)
	fmt.Println(err)
	err = b.Run(context.Background())
	fmt.Printf("\n%v %x\n", err, sum.Sum(nil)[:4])
	_, err = b.Add(sum, nil)
	fmt.Println(err)
	// Output:
	// broadcast: the writer is a sink of this stream already
	// a stream
	// <nil> c902efec
	// broadcast: the stream has ended
}

// The stream is ended for the sinks, which get what it has given so far, within a
// second.
func ExampleBroadcast_End() {
	stop := func(b *broadcast.Broadcast, cancel context.CancelFunc) {
		b.End()
		<-b.Ended()
		for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if len(b.Stats().Sinks) == 0 {
				return
			}
		}
		cancel() // of the context of Run
	}
	_ = stop
}

func ExampleLagError() {
	ended := func(sink *broadcast.Sink) {
		<-sink.Done()
		var lag *broadcast.LagError
		switch err := sink.Wait(); {
		case err == nil:
			log.Print("has seen all")
		case err == broadcast.ErrClosed:
			log.Print("has left")
		case errors.As(err, &lag):
			log.Printf("is too slow, by %d bytes: come again at byte %d", lag.Lag, lag.Position)
		default:
			log.Print(err)
		}
	}
	_ = ended
}

func ExampleSinkStats() {
	st := broadcast.SinkStats{
		Name: "203.0.113.7:4711", Policy: broadcast.Demote, State: broadcast.Recorded,
		Position: 7 << 20, Lag: 5 << 20, Live: 4 << 20, Recorded: 3 << 20, Demotions: 1,
	}
	fmt.Println(st)
	fmt.Println(st.Why())
	// Output:
	// 203.0.113.7:4711 recorded at byte 7340032, 5242880 behind, 4194304 by the stream and 3145728 by the recording, to which it fell back 1 times, by buffered
	// buffered
}
