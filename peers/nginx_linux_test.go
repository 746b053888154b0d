package peers_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// nginxConf has a server of files that can be put there, and the same with TLS and HTTP/2.
const nginxConf = `
daemon off;
worker_processes 1;
pid DIR/pid;
error_log stderr warn;
USER
events { worker_connections 128; }
http {
	access_log off;
	sendfile on;
	client_max_body_size 0;
	client_body_temp_path DIR/body;
	proxy_temp_path DIR/proxy;
	fastcgi_temp_path DIR/fastcgi;
	uwsgi_temp_path DIR/uwsgi;
	scgi_temp_path DIR/scgi;
	server {
		listen 127.0.0.1:PLAIN;
		listen 127.0.0.1:TLS ssl http2;
		ssl_certificate DIR/cert.pem;
		ssl_certificate_key DIR/key.pem;
		root DIR/root;
		keepalive_requests 10000;
		location /put/ { dav_methods PUT; }
	}
}
`

// bigFile is how large the file is that is got and put: more than the buffers of the sockets on
// the way, so that an abort finds some of it not sent yet.
const bigFile = max(64*mega, 32<<20)

func TestNginx(t *testing.T) {
	t.Parallel()
	nginx, curl := find(t, "nginx", "nginx-light"), find(t, "curl", "curl")
	dir := directory(t)
	for _, d := range []string{"root/small", "root/put", "got"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	big, bigSum := patternFile(t, 1, bigFile, dir, "root/big")
	const small = 100
	for i := range small {
		file(t, ztest.Pattern(100+i).Bytes(100+7*i), 0o644, dir, "root/small", fmt.Sprint(i))
	}
	cert, key := certificate(t)
	certFile := file(t, cert, 0o644, dir, "cert.pem")
	file(t, key, 0o600, dir, "key.pem")
	plain, secure := freePort(t), freePort(t)
	asRoot := "" // who is not root cannot change to another user, and need not
	if os.Geteuid() == 0 {
		asRoot = "user root;"
	}
	conf := strings.NewReplacer("DIR", dir, "PLAIN", plain, "TLS", secure, "USER", asRoot).Replace(nginxConf)
	// On SIGTERM the master ends its workers, too.
	startServer(t, program(t, syscall.SIGTERM, nginx, "-e", "stderr", "-p", dir, "-c", file(t, []byte(conf), 0o644, dir, "conf")),
		"tcp", "127.0.0.1:"+plain)
	got := func(name string) string { return filepath.Join(dir, "got", name) }
	get := func(t *testing.T, args ...string) string {
		t.Helper()
		return run(t, program(t, syscall.SIGKILL, curl, append([]string{"-q", "--noproxy", "*", "-sS", "--fail", "--max-time", "60"}, args...)...))
	}

	t.Run("get", func(t *testing.T) {
		p := toTCP(t, "127.0.0.1:"+plain)
		out := got("get")
		get(t, "-o", out, "http://"+p.Addr().String()+"/big")
		e := p.relay()
		if s := sumOfFile(t, out); s != bigSum {
			t.Errorf("got %v, want %v", s, bigSum)
		}
		interactive(t, "request", e.AToB)
		bulk(t, "response", e.BToA, bigFile)
		if e.First != zcnet.SideA {
			t.Errorf("curl closes the connection: %v", e)
		}
		p.counted(e)
	})
	t.Run("put", func(t *testing.T) {
		p := toTCP(t, "127.0.0.1:"+plain)
		get(t, "-T", big, "http://"+p.Addr().String()+"/put/big")
		e := p.relay()
		if s := sumOfFile(t, filepath.Join(dir, "root/put/big")); s != bigSum {
			t.Errorf("put %v, want %v", s, bigSum)
		}
		bulk(t, "request", e.AToB, bigFile)
		interactive(t, "response", e.BToA)
		p.counted(e)
	})
	t.Run("keep-alive", func(t *testing.T) {
		p := toTCP(t, "127.0.0.1:"+plain)
		get(t, "-o", got("small#1"), fmt.Sprintf("http://%v/small/[0-%d]", p.Addr(), small-1))
		e := p.relay() // of one connection
		for i := range small {
			b, err := os.ReadFile(got(fmt.Sprint("small", i)))
			if err != nil || !bytes.Equal(b, ztest.Pattern(100+i).Bytes(100+7*i)) {
				t.Errorf("file %d: %d bytes, %v", i, len(b), err)
			}
		}
		interactive(t, "requests", e.AToB)
		interactive(t, "responses", e.BToA)
		p.counted(e)
	})
	t.Run("small and big in turn", func(t *testing.T) {
		p := toTCP(t, "127.0.0.1:"+plain)
		var args []string
		for i, name := range []string{"small/1", "big", "small/2", "big", "small/3"} {
			args = append(args, "-o", got(fmt.Sprint("turn", i)), "http://"+p.Addr().String()+"/"+name)
		}
		get(t, args...)
		e := p.relay()
		for i, want := range []string{"small/1", "big", "small/2", "big", "small/3"} {
			if got, want := sumOfFile(t, got(fmt.Sprint("turn", i))), sumOfFile(t, filepath.Join(dir, "root", want)); got != want {
				t.Errorf("response %d: %v, want %v", i, got, want)
			}
		}
		bulk(t, "responses", e.BToA, 2*bigFile)
		interactive(t, "requests", e.AToB)
	})
	t.Run("range", func(t *testing.T) {
		p := toTCP(t, "127.0.0.1:"+plain)
		const from, n = bigFile/3 + 1, bigFile / 2
		out := got("range")
		get(t, "-r", fmt.Sprintf("%d-%d", from, from+n-1), "-o", out, "http://"+p.Addr().String()+"/big")
		e := p.relay()
		want := make([]byte, n)
		ztest.Pattern(1).Fill(want, from)
		if b, err := os.ReadFile(out); err != nil || !bytes.Equal(b, want) {
			t.Errorf("%d bytes, want %d: %v", len(b), n, err)
		}
		bulk(t, "response", e.BToA, n)
	})
	t.Run("parallel", func(t *testing.T) {
		p := toTCP(t, "127.0.0.1:"+plain)
		const n = 4
		get(t, "-Z", "--parallel-immediate", "-o", got("parallel#1"), fmt.Sprintf("http://%v/big?[1-%d]", p.Addr(), n))
		done := p.relays(n)
		for i, e := range done {
			if s := sumOfFile(t, got(fmt.Sprint("parallel", i+1))); s != bigSum {
				t.Errorf("got %v, want %v", s, bigSum)
			}
			if e.err != nil {
				t.Error(e.err)
			}
			bulk(t, "response", e.BToA, bigFile)
		}
		p.counted(done...)
	})
	t.Run("HTTP2 over TLS", func(t *testing.T) {
		p := toTCP(t, "127.0.0.1:"+secure)
		out := got("http2")
		base := "https://" + p.Addr().String()
		version := get(t, "--http2", "--cacert", certFile, "-w", "%{http_version} ", "-o", out, base+"/big", "-o", got("http2small"), base+"/small/7")
		e := p.relay()
		if version != "2 2 " {
			t.Errorf("HTTP version %q", version)
		}
		if s := sumOfFile(t, out); s != bigSum {
			t.Errorf("got %v, want %v", s, bigSum)
		}
		bulk(t, "response", e.BToA, bigFile)
		interactive(t, "request", e.AToB)
	})
	t.Run("abort", func(t *testing.T) {
		p := toTCP(t, "127.0.0.1:"+plain)
		cmd := program(t, syscall.SIGKILL, curl, "-q", "--noproxy", "*", "-sS", "--max-time", "3", "--limit-rate", "1M", "-o", got("abort"), "http://"+p.Addr().String()+"/big")
		if code := exitCode(t, cmd); code != 28 { // CURLE_OPERATION_TIMEDOUT
			t.Errorf("curl ends with code %d", code)
		}
		e := p.relays(1)[0]
		if e.err == nil || e.Ending != zcnet.EndedByError || e.First != zcnet.SideA || !gone(e.err) {
			t.Errorf("the relay ended with %v: %v", e.err, e)
		}
		if e.BToA.Bytes(zerocopy.Splice) == 0 || e.BToA.Written >= bigFile {
			t.Errorf("response: %v", e.BToA)
		}
	})
}
