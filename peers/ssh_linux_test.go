package peers_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const sshdConf = `
ListenAddress 127.0.0.1
Port PORT
HostKey DIR/host
PidFile none
AuthorizedKeysFile DIR/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UseDNS no
PrintMotd no
LogLevel ERROR
Subsystem sftp internal-sftp
`

func TestSSH(t *testing.T) {
	t.Parallel()
	sshd := find(t, "sshd", "openssh-server")
	ssh, scp, keygen := find(t, "ssh", "openssh-client"), find(t, "scp", "openssh-client"), find(t, "ssh-keygen", "openssh-client")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := directory(t)
	for _, name := range []string{"host", "user"} {
		run(t, program(t, syscall.SIGKILL, keygen, "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", filepath.Join(dir, name)))
	}
	port := freePort(t)
	conf := file(t, []byte(strings.NewReplacer("DIR", dir, "PORT", port).Replace(sshdConf)), 0o644, dir, "sshd_config")
	if os.Geteuid() == 0 {
		// sshd gives up its privileges in this directory, which the package's service makes.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// sshd wants to be started by its full path, since it starts itself anew for each connection.
	// A session ends with its connection, so that none is left.
	startServer(t, program(t, syscall.SIGTERM, sshd, "-D", "-e", "-f", conf), "tcp", "127.0.0.1:"+port)

	// The relay has an address of its own, by which the server's key is known.
	hostKey, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	known := file(t, append([]byte("relayed "), hostKey...), 0o644, dir, "known_hosts")
	args := func(p *proxy, more ...string) []string {
		return append([]string{"-F", "none", "-i", filepath.Join(dir, "user"),
			"-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "LogLevel=ERROR",
			"-o", "UserKnownHostsFile=" + known, "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes",
			"-o", "HostKeyAlias=relayed", "-o", "User=" + me.Username, "-o", "Port=" + p.port(),
			"-o", "Ciphers=aes128-gcm@openssh.com", "-o", "ConnectTimeout=30"}, more...)
	}

	const size = 256 * mega
	t.Run("scp", func(t *testing.T) {
		from, want := patternFile(t, 3, size, dir, "from")
		for _, row := range []struct {
			name, from, to string
		}{
			{"up", from, "127.0.0.1:" + filepath.Join(dir, "up")},
			{"down", "127.0.0.1:" + from, filepath.Join(dir, "down")},
		} {
			t.Run(row.name, func(t *testing.T) {
				p := toTCP(t, "127.0.0.1:"+port)
				run(t, program(t, syscall.SIGKILL, scp, args(p, "-q", row.from, row.to)...))
				e := p.relay()
				if s := sumOfFile(t, filepath.Join(dir, row.name)); s != want {
					t.Errorf("there came %v, want %v", s, want)
				}
				if row.name == "up" {
					bulk(t, "up", e.AToB, size)
					interactive(t, "down", e.BToA)
				} else {
					bulk(t, "down", e.BToA, size)
					interactive(t, "up", e.AToB)
				}
				p.counted(e)
			})
		}
	})
	t.Run("session", func(t *testing.T) {
		p := toTCP(t, "127.0.0.1:"+port)
		cmd := program(t, syscall.SIGKILL, ssh, args(p, "127.0.0.1", "cat")...)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		errs := new(log)
		cmd.Stderr = errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		echo := func(i int) {
			line := fmt.Sprintf("line %d\n", i)
			if _, err := io.WriteString(in, line); err != nil {
				t.Fatalf("line %d: %v\n%s", i, err, errs)
			}
			if got, err := lines.ReadString('\n'); err != nil || got != line {
				t.Fatalf("line %d came back as %q: %v\n%s", i, got, err, errs)
			}
		}
		for i := range 100 {
			echo(i)
		}
		for burst := range 3 { // after silence, which nothing in the program waits for
			time.Sleep(time.Second)
			for i := range 5 {
				echo(1000 + 10*burst + i)
			}
		}
		in.Close()
		if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
			t.Errorf("there came %q besides: %v", rest, err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("ssh: %v\n%s", err, errs)
		}
		e := p.relay()
		interactive(t, "to the session", e.AToB)
		interactive(t, "from the session", e.BToA)
		p.counted(e)
	})
}
