package main

import (
	"encoding/binary"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// A line is the process that carries frames between two devices and holds each for
// a time. It is told:
//
//	hold  carry frames between Links, each Delay later
type line struct{}

// Names of packet(7) that the syscall package does not have.
const (
	solPacket            = 263
	packetVnetHdr        = 15
	packetIgnoreOutgoing = 23
)

func (line) do(q request) response {
	if q.Op != "hold" {
		return response{Err: "unknown"}
	}
	var fds [2]int
	for i, name := range q.Links {
		var err error
		if fds[i], err = openLink(name); err != nil {
			return failed(err)
		}
	}
	go carry(fds[0], fds[1], q.Delay)
	go carry(fds[1], fds[0], q.Delay)
	return response{}
}

// openLink returns a socket that has the frames which arrive on a device, and sends
// on it. Each frame has a header with what its sender left to be done, segments and
// checksums, which goes on with it to the other device: so frames are as large, and
// as few, as where devices do that work.
func openLink(name string) (fd int, err error) {
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	// Protocol 0 gives nothing: what else arrived before bind would be all devices'.
	if fd, err = syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, 0); err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	const room = 64 << 20 // for what arrives while this process does not run
	for _, o := range [][3]int{
		{solPacket, packetVnetHdr, 1}, {solPacket, packetIgnoreOutgoing, 1},
		{syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, room}, {syscall.SOL_SOCKET, syscall.SO_SNDBUFFORCE, room},
	} {
		if err := syscall.SetsockoptInt(fd, o[0], o[1], o[2]); err != nil {
			return 0, os.NewSyscallError("setsockopt", err)
		}
	}
	all := binary.NativeEndian.Uint16([]byte{0, syscall.ETH_P_ALL}) // in the network's order
	return fd, os.NewSyscallError("bind", syscall.Bind(fd, &syscall.SockaddrLinklayer{Protocol: all, Ifindex: dev.Index}))
}

// carry sends what arrives on one device on the other, each frame when its time has
// come, in order. It ends with the process.
func carry(from, to int, delay time.Duration) {
	type frame struct {
		due  time.Time
		data []byte
	}
	held := make(chan frame, 1<<15) // of 64 KiB or of 54 bytes: more than a window
	go func() {
		for f := range held {
			time.Sleep(time.Until(f.due))
			syscall.Write(to, f.data) // what cannot be sent is lost, as on any line; TCP counts that
		}
	}()
	buf := make([]byte, 128<<10) // more than a frame and its header
	for {
		n, err := syscall.Read(from, buf)
		switch {
		case err == syscall.EINTR || err == syscall.ENETDOWN:
			continue
		case err != nil:
			os.Stderr.WriteString("bench: line: " + err.Error() + "\n")
			return
		}
		held <- frame{time.Now().Add(delay), slices.Clone(buf[:n])}
	}
}
