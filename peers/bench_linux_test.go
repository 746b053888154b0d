package peers_test

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// contenders are relays: they copy both ways until both sides have ended.
var contenders = []struct {
	name  string
	relay func(a, b net.Conn)
}{
	{"zcnet.Relay", func(a, b net.Conn) { zcnet.Relay(context.Background(), a, b, nil) }},
	{"io.Copy", func(a, b net.Conn) {
		eachWay(a, b, func(dst, src net.Conn) { io.Copy(dst, src) })
	}},
	{"read+write", func(a, b net.Conn) {
		eachWay(a, b, func(dst, src net.Conn) {
			io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, 32<<10))
		})
	}},
}

// eachWay copies in both directions, as everybody's first relay does.
func eachWay(a, b net.Conn, copy func(dst, src net.Conn)) {
	var wait sync.WaitGroup
	for _, c := range [][2]net.Conn{{a, b}, {b, a}} {
		wait.Go(func() {
			copy(c[0], c[1])
			c[0].(interface{ CloseWrite() error }).CloseWrite()
		})
	}
	wait.Wait()
}

// BenchmarkPostgres has the contenders take turns with COPY of the same rows. The CPU time is
// that of this process, in which nothing but the relay runs; psql and the server have their own.
// The size is that of the tests, see -full.
func BenchmarkPostgres(b *testing.B) {
	c := startPostgres(b)
	query := rows(copySize())
	data := filepath.Join(c.dir, "rows")
	run(b, c.command("127.0.0.1", c.port, "-o", data, "-c", "COPY ("+query+") TO STDOUT"))
	size := sumOfFile(b, data).n
	for _, row := range []struct{ name, network, command string }{
		{"out/tcp", "tcp", "COPY (" + query + ") TO STDOUT"},
		{"out/unix", "unix", "COPY (" + query + ") TO STDOUT"},
		{"in/tcp", "tcp", `\copy t FROM '` + data + `'`},
		{"in/unix", "unix", `\copy t FROM '` + data + `'`},
	} {
		b.Run(row.name, func(b *testing.B) {
			to := "127.0.0.1:" + c.port
			if row.network == "unix" {
				to = filepath.Join(c.dir, ".s.PGSQL."+c.port)
			}
			cpu, took := make([]time.Duration, len(contenders)), make([]time.Duration, len(contenders))
			for b.Loop() {
				for i, contender := range contenders {
					run(b, c.command("127.0.0.1", c.port, "-c", "DROP TABLE IF EXISTS t", "-c", "CREATE UNLOGGED TABLE t (i int, s text)"))
					l := listenAt(b, row.network, c.address(b, row.network))
					host, port := "127.0.0.1", ""
					if row.network == "unix" {
						host, port = filepath.Dir(l.Addr().String()), "1"
					} else {
						_, port, _ = net.SplitHostPort(l.Addr().String())
					}
					var relay sync.WaitGroup
					relay.Go(func() {
						a, err := l.Accept()
						if err != nil {
							b.Error(err)
							return
						}
						defer a.Close()
						server, err := net.Dial(row.network, to)
						if err != nil {
							b.Error(err)
							return
						}
						defer server.Close()
						contender.relay(a, server)
					})
					before, start := processTime(b), time.Now()
					run(b, c.command(host, port, "-o", "/dev/null", "-c", row.command))
					relay.Wait()
					took[i] += time.Since(start)
					cpu[i] += processTime(b) - before
					l.Close()
				}
			}
			gigabytes := float64(size) * float64(b.N) / 1e9
			for i, contender := range contenders {
				b.ReportMetric(cpu[i].Seconds()/gigabytes, contender.name+"-cpu-s/GB")
				b.ReportMetric(gigabytes*1000/took[i].Seconds(), contender.name+"-MB/s")
			}
			b.ReportMetric(0, "ns/op") // of all together, which says nothing
		})
	}
}

// address returns where a relay listens.
func (c *cluster) address(t testing.TB, network string) string {
	if network == "unix" {
		return filepath.Join(directory(t), ".s.PGSQL.1")
	}
	return "127.0.0.1:0"
}

// processTime returns the CPU time that this process has taken, without its children's.
func processTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
