package peers_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

var full = flag.Bool("full", false, "COPY 1 GiB in and out of PostgreSQL, and not 128 MiB")

// A cluster is a PostgreSQL server of the test's own.
type cluster struct {
	t         testing.TB
	psql      string
	dir, port string
}

const postgresConf = `
listen_addresses = '127.0.0.1'
port = PORT
unix_socket_directories = 'DIR'
ssl = off
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 4GB
autovacuum = off
shared_buffers = 64MB
max_connections = 20
`

// startPostgres makes a cluster in a directory of its own, and starts it for the length of the test.
func startPostgres(t testing.TB) *cluster {
	t.Helper()
	initdb, postgres := find(t, "initdb", "postgresql"), find(t, "postgres", "postgresql")
	c := &cluster{t: t, psql: find(t, "psql", "postgresql-client"), dir: directory(t), port: freePort(t)}
	owners := []string{"postgres", "nobody"} // who the server refuses to be is root
	if os.Geteuid() == 0 {
		uid, gid := account(t, owners...)
		if err := os.Chown(c.dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(c.dir, "data")
	cmd := program(t, syscall.SIGKILL, initdb, "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	as(t, cmd, owners...)
	run(t, cmd)
	conf := strings.NewReplacer("PORT", c.port, "DIR", c.dir).Replace(postgresConf)
	f, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(conf); err != nil {
		t.Fatal(err)
	}
	// SIGQUIT ends the server and its processes at once, sessions or not.
	server := program(t, syscall.SIGQUIT, postgres, "-D", data)
	as(t, server, owners...)
	startServer(t, server, "tcp", "127.0.0.1:"+c.port)
	ztest.Eventually(t, ztest.Patience, "the server answers", func() bool { // it may be starting up
		return exitCode(t, c.command("127.0.0.1", c.port, "-c", "SELECT 1")) == 0
	})
	return c
}

// command returns psql, connected to host and port.
func (c *cluster) command(host, port string, args ...string) *exec.Cmd {
	return program(c.t, syscall.SIGKILL, c.psql,
		append([]string{"-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, "-U", "tester", "-d", "postgres"}, args...)...)
}

// rows is a query whose rows are about a KiB each, so that n bytes of them take little time to make.
func rows(n int64) string {
	return fmt.Sprintf("SELECT i, repeat(md5(i::text), 32) FROM generate_series(1, %d) AS i", n>>10)
}

// copySize is at least how much is copied in and out.
func copySize() int64 {
	if *full {
		return 1 << 30
	}
	return 128 * mega
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	c := startPostgres(t)
	query := rows(copySize())
	// What it should be is made without a relay.
	data := filepath.Join(c.dir, "rows")
	run(t, c.command("127.0.0.1", c.port, "-o", data, "-c", "COPY ("+query+") TO STDOUT"))
	want := sumOfFile(t, data)
	size := want.n
	if size < copySize() {
		t.Fatalf("there are %d bytes to copy, want %d", size, copySize())
	}

	for _, row := range []struct{ here, there string }{
		{"tcp", "tcp"}, {"tcp", "unix"}, {"unix", "unix"},
	} {
		t.Run(row.here+" "+row.there, func(t *testing.T) {
			p, host, port := c.proxy(t, row.here, row.there, zcnet.RelayOptions{})
			out := filepath.Join(c.dir, "out")
			start := time.Now()
			run(t, c.command(host, port, "-o", out, "-c", "COPY ("+query+") TO STDOUT"))
			t.Logf("out: %s", rate(size, time.Since(start)))
			down := p.relay()
			if got := sumOfFile(t, out); got != want {
				t.Errorf("out came %v, want %v", got, want)
			}
			interactive(t, "query", down.AToB)
			t.Log("out: ", down.BToA)
			bulkSlow(t, "rows out", down.BToA, size)

			run(t, c.command("127.0.0.1", c.port, "-c", "DROP TABLE IF EXISTS t", "-c", "CREATE UNLOGGED TABLE t (i int, s text)"))
			start = time.Now()
			run(t, c.command(host, port, "-c", `\copy t FROM '`+data+`'`))
			t.Logf("in: %s", rate(size, time.Since(start)))
			up := p.relay()
			t.Log("in: ", up.AToB)
			bulkSlow(t, "rows in", up.AToB, size)
			interactive(t, "answers", up.BToA)
			run(t, c.command("127.0.0.1", c.port, "-o", out, "-c", "COPY t TO STDOUT"))
			if got := sumOfFile(t, out); got != want {
				t.Errorf("in came %v, want %v", got, want)
			}
			p.counted(down, up)
		})
	}
}

// proxy starts a proxy to the cluster, and returns what clients connect to.
func (c *cluster) proxy(t testing.TB, here, there string, o zcnet.RelayOptions) (p *proxy, host, port string) {
	t.Helper()
	to := "127.0.0.1:" + c.port
	if there == "unix" {
		to = filepath.Join(c.dir, ".s.PGSQL."+c.port)
	}
	if here == "unix" {
		dir := directory(t)
		p = startProxy(t, listenAt(t, "unix", filepath.Join(dir, ".s.PGSQL.1")), there, to, o)
		return p, dir, "1"
	}
	p = startProxy(t, listen(t, "tcp"), there, to, o)
	return p, "127.0.0.1", p.port()
}

// bulkSlow is bulk for a server that sends 8 KiB at a time (PQ_SEND_BUFFER_SIZE) and is slower
// than the relay. Where that finds so little, it reads and writes, which is no dearer, and
// begins to splice again when more has come together.
func bulkSlow(t testing.TB, what string, r zerocopy.Report, n int64) {
	t.Helper()
	if r.Written < n || r.Bytes(zerocopy.Splice) == 0 {
		t.Errorf("%s: %d bytes, want %d, some of them by splice: %v", what, r.Written, n, r)
	}
	for _, s := range r.Steps {
		if s.Mechanism != zerocopy.Splice && s.Reason != zerocopy.ReasonStart {
			t.Errorf("%s: %d bytes by %v", what, s.Bytes, s)
		}
	}
}

// TestPostgresQueries: small queries, each of which waits for the answer to the one before, are
// answered at once. An acknowledgement that is held back would show as 40 ms each (TCP_DELACK_MIN).
func TestPostgresQueries(t *testing.T) {
	t.Parallel()
	c := startPostgres(t)
	const n = 500
	var queries, want strings.Builder
	for i := range n {
		fmt.Fprintf(&queries, "SELECT %d;\n", i)
		fmt.Fprintf(&want, "%d\n", i)
	}
	script := file(t, []byte(queries.String()), 0o644, c.dir, "queries")
	for _, row := range []struct{ here, there string }{
		{"tcp", "tcp"}, {"unix", "unix"},
	} {
		t.Run(row.here+" "+row.there, func(t *testing.T) {
			p, host, port := c.proxy(t, row.here, row.there, zcnet.RelayOptions{})
			queries := func(host, port string) time.Duration {
				start := time.Now()
				if answers := run(t, c.command(host, port, "-f", script)); answers != want.String() {
					t.Errorf("the answers are %d bytes, want %d", len(answers), want.Len())
				}
				return time.Since(start) / n
			}
			// A busy machine can be as slow: so queries without the relay take turns with those through it.
			const held = 20 * time.Millisecond
			through, direct := time.Hour, time.Hour
			for i := 0; i < 5 && through > held; i++ {
				through = min(through, queries(host, port))
				e := p.relay()
				interactive(t, "queries", e.AToB)
				interactive(t, "answers", e.BToA)
				p.counted(e)
				if through > held {
					direct = min(direct, queries("127.0.0.1", c.port))
				}
			}
			t.Logf("an answer took %v", through)
			if through > held && direct < held/4 {
				t.Errorf("an answer took %v, %v without the relay", through, direct)
			}
		})
	}
}
