package main

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/pires/go-proxyproto"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// A flow is one connection through the proxy.
type flow struct {
	id     int64
	client zcnet.Conn
	began  time.Time
	live   zcnet.RelayMeters

	mu     sync.Mutex
	header *proxyproto.Header // that the client has sent, or nil
	name   string             // that it asked for, or ""
	to     endpoint           // the zero endpoint until it is known
	why    error              // no name was looked at, or nil

	stats zcnet.RelayStats // when it has ended
}

// routed notes where the flow goes, by which name, and if by none, why.
func (f *flow) routed(name string, to endpoint, why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.name, f.to, f.why = name, to, why
}

// introduced notes the PROXY header that the client has sent.
func (f *flow) introduced(h *proxyproto.Header) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.header = h
}

// peer returns who the client is: whom a PROXY header names, if there was one.
func (f *flow) peer() net.Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.header != nil && f.header.Command.IsProxy() {
		return f.header.SourceAddr
	}
	return f.client.RemoteAddr()
}

// printable is s for a line or a terminal: an address may be a path that a stranger has
// chosen.
func printable(s string) string {
	if s == "" || s == "@" {
		return "unix" // a socket without a name
	}
	if q := strconv.Quote(s); len(q) > len(s)+2 {
		return q
	}
	return s
}

// oneLine is s without control characters: what a stranger has had a say in, the path of a
// unix socket in an error for instance, neither begins a line nor speaks to the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\ufffd'
		}
		return r
	}, s)
}

// from is the peer, with the one who vouches for it.
func (f *flow) from() string {
	peer := printable(f.peer().String())
	if f.header == nil {
		return peer
	}
	if f.header.Command.IsLocal() {
		return fmt.Sprintf("%s (PROXY v%d, its own)", peer, f.header.Version)
	}
	return fmt.Sprintf("%s (PROXY v%d from %v, for %s)", peer, f.header.Version, printable(f.client.RemoteAddr().String()), printable(f.header.DestinationAddr.String()))
}

// route says where the flow goes, and by which name: "" while it is not known.
func (f *flow) route() (to, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.to == (endpoint{}) {
		return "", ""
	}
	return f.to.String(), f.name
}

// A book has the flows that are open and the counts of all.
type book struct {
	mu      sync.Mutex
	last    int64 // id
	failed  int
	flows   map[*flow]struct{}
	bytes   map[zerocopy.Mechanism]int64
	totals  map[totalKey]*total // of those that have ended
	samples map[*flow][]sample  // of the last frames of the table, oldest first
}

// A totalKey is what flows are counted by: where they went, "" for nowhere, and how they
// ended.
type totalKey struct{ backend, ending string }

type total struct{ flows, up, down int64 }

// begin notes a new flow.
func (b *book) begin(client zcnet.Conn) *flow {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	f := &flow{id: b.last, client: client, began: time.Now()}
	if b.flows == nil {
		b.flows = make(map[*flow]struct{})
	}
	b.flows[f] = struct{}{}
	return f
}

// end prints the line of a flow that has ended and adds it to the counts.
func (p *proxy) end(f *flow, err error) {
	p.log.Print(oneLine(line(f, err)))
	if p.explain {
		p.lookBack(f)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.flows, f)
	if err != nil {
		p.failed++
	}
	if p.bytes == nil {
		p.bytes, p.totals = make(map[zerocopy.Mechanism]int64), make(map[totalKey]*total)
	}
	for _, step := range slices.Concat(f.stats.AToB.Steps, f.stats.BToA.Steps) {
		p.bytes[step.Mechanism] += step.Bytes
	}
	backend, _ := f.route()
	key := totalKey{backend, ending(f, err)}
	t := p.totals[key]
	if t == nil {
		t = new(total)
		p.totals[key] = t
	}
	t.flows++
	t.up += f.live.AToB.Bytes()
	t.down += f.live.BToA.Bytes()
}

// ending names how a flow has ended.
func ending(f *flow, err error) string {
	if err != nil && f.stats.Ending == zcnet.EndedByEOF {
		return "refused" // by the proxy, or by the backend
	}
	return f.stats.Ending.String()
}

// line says of a flow that has ended who it was for, and how its bytes went.
func line(f *flow, err error) string {
	text := fmt.Sprintf("#%d %s", f.id, f.from())
	if to, name := f.route(); to != "" {
		text += " → " + to
		if name != "" {
			text += " for " + name
		}
		if f.why != nil {
			text += " (" + f.why.Error() + ")"
		}
	}
	text += fmt.Sprintf(" in %v: up %s; down %s", time.Since(f.began).Round(time.Millisecond), f.stats.AToB.Summary(), f.stats.BToA.Summary())
	if f.stats.Elapsed > 0 {
		text += "; ended by " + f.stats.Ending.String()
		if f.stats.First != zcnet.NoSide {
			text += ", " + sideNames[f.stats.First] + " first"
		}
	}
	if err != nil {
		text += "; error: " + err.Error()
	}
	return text
}

var sideNames = map[zcnet.Side]string{zcnet.SideA: "client", zcnet.SideB: "backend"}

// summary says what has gone through the proxy in all.
func (b *book) summary() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := fmt.Sprintf("%d connections, %d failed; bytes:", b.last, b.failed)
	for _, m := range slices.Sorted(maps.Keys(b.bytes)) {
		text += fmt.Sprintf(" %v %d", m, b.bytes[m])
	}
	return text
}
