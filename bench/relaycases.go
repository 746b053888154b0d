package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// A relayFunc carries both directions of a tunnel, until they have ended.
type relayFunc func(a, b *net.TCPConn)

// relays are the contenders that carry a tunnel as a whole. The others copy each direction.
var relays = map[string]relayFunc{
	byRelay: func(a, b *net.TCPConn) { zcnet.Relay(context.Background(), a, b, nil) },
	byRelayFull: func(a, b *net.TCPConn) {
		zcnet.Relay(context.Background(), zcnet.NewConn(a), zcnet.NewConn(b),
			&zcnet.RelayOptions{IdleTimeout: time.Minute, Live: new(zcnet.RelayMeters), Copier: reporting})
	},
}

// reporting has a Report, as somebody has who logs.
var reporting = &zerocopy.Copier{Report: func(zerocopy.Report) {}}

// relaying are the cases of whole tunnels. Two bare Copies are what they are compared with.
func relaying() []spec {
	who := contenders(byIO, byZerocopy, byRelay, byRelayFull)
	bulk := []bound{
		atMost(byRelay, mCPU, 1.05, byZerocopy).by(byQuartile), atMost(byRelayFull, mCPU, 1.05, byZerocopy).by(byQuartile),
	}
	trip := []bound{
		atMost(byRelay, mCPUOp, 1.05, byZerocopy).by(byQuartile), atMost(byRelayFull, mCPUOp, 1.05, byZerocopy).by(byQuartile),
	}
	idle := min(10_000, (int(mayOpen())-100)/2)
	return []spec{{
		Name: "relay-bulk", About: "one stream through a tunnel", Show: showBulk, Mode: modeBare, Contenders: who, Bounds: bulk,
	}, {
		Name: "relay-streams-16", About: "16 streams, a tunnel each", Show: showBulk, Mode: modeBare, Streams: 16, Contenders: who, Bounds: bulk,
	}, {
		Name: "relay-trip-64", About: "round trip of 64 bytes through a tunnel", Kind: kindTrips, Show: showTrips, Mode: modeBare, Size: 64,
		Contenders: who, Bounds: trip,
	}, {
		Name: "relay-trip-4096", About: "round trip of 4 KiB through a tunnel", Kind: kindTrips, Show: showTrips, Mode: modeBare, Size: 4096,
		Contenders: who, Bounds: trip,
	}, {
		Name: "relay-idle", About: fmt.Sprintf("%d tunnels, idle after 4 KiB each way", idle), Kind: kindTunnels, Idle: idle, Warm: 4 << 10, Mode: modeBare,
		Note: "10,000 tunnels, or as many as a process may have descriptors for (ulimit -n)",
		Show: []string{mTunnelFD, mTunnelPip, mTunnelRSS, mFDs, mPipes, mRSS}, Contenders: who[1:], // io.Copy's pipes are descriptors, too
		Bounds: []bound{
			atMost(byRelay, mTunnelFD, 2.005), atMost(byRelayFull, mTunnelFD, 2.005),
			atMost(byRelay, mTunnelPip, 0.005), atMost(byRelayFull, mTunnelPip, 0.005),
		},
	}}
}
