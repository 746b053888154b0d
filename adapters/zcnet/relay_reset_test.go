package zcnet_test

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// A gone is a connection whose peer has reset it without anybody having noticed.
type gone struct{ net.Conn }

func (gone) CloseWrite() error {
	return &net.OpError{Op: "close", Net: "tcp", Err: os.NewSyscallError("shutdown", syscall.ENOTCONN)}
}

// TestRelayEndIntoReset: a side that ends while the other has been reset gives the error of a
// reset, and not that of shutdown(2) on a socket which is not connected any more.
func TestRelayEndIntoReset(t *testing.T) {
	t.Parallel()
	client, a := tcpPair(t)
	b, _ := tcpPair(t)
	client.CloseWrite()
	stats, err := zcnet.Relay(t.Context(), a, gone{b}, nil)
	if !errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ENOTCONN) || stats.AToB.Failed != zerocopy.DestinationEnd {
		t.Errorf("%v, %q failed: %v", stats, stats.AToB.Failed, err)
	}
}
