package main

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// programs are the contenders that are not a part of this program. A path is
// empty where the program is not to be had, and the reason is then in missing.
type programs struct {
	haproxy, proxy     string
	web                map[string]string // by variant
	limits             map[string]string // by variant
	dir                string            // for what they need
	missing            map[string]string
	haproxyVersion, cc string
}

//go:embed limit
var limitSources embed.FS

// limits are the contenders in C, and their sources in the directory limit.
var limits = []struct{ variant, source string }{
	{byLimit, "loop.c"}, {byUring, "uring.c"}, {bySockmap, "sockmap.c"}, {byFanLimit, "fan.c"}, {byPagesLimit, "pages.c"},
	{byLoad, "load.c"},
}

// findPrograms looks for the contenders named, and builds those that are built.
func findPrograms(ctx context.Context, dir string, want func(name string) bool) *programs {
	p := &programs{dir: dir, limits: make(map[string]string), missing: make(map[string]string)}
	if want(byHAProxy) || want(byHATuned) || want(byHASplice) {
		path, err := exec.LookPath("haproxy")
		if err != nil {
			if _, e := os.Stat("/usr/sbin/haproxy"); e == nil {
				path, err = "/usr/sbin/haproxy", nil
			}
		}
		if p.haproxy = path; err != nil {
			for _, name := range []string{byHAProxy, byHATuned, byHASplice} {
				p.missing[name] = "not installed"
			}
		} else {
			p.haproxyVersion = firstLine(exec.CommandContext(ctx, path, "-v"))
		}
	}
	for _, l := range limits {
		if !want(l.variant) {
			continue
		}
		path, err := p.compile(ctx, l.source)
		if err == nil {
			err = probe(ctx, path)
		}
		if err != nil {
			p.missing[l.variant] = err.Error()
			continue
		}
		p.limits[l.variant] = path
	}
	p.findWebPrograms(want)
	if want(byProxy) {
		p.proxy = filepath.Join(dir, "proxy")
		// A module of its own, in a directory of the library's.
		root := firstLine(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/zerocopy-go/zerocopy"))
		cmd := exec.CommandContext(ctx, "go", "build", "-C", filepath.Join(root, "examples", "proxy"), "-o", p.proxy)
		if out, err := cmd.CombinedOutput(); err != nil {
			p.missing[byProxy] = fmt.Sprintf("not built, which needs the module's directory as the working one: %v %s", err, bytes.TrimSpace(out))
		}
	}
	return p
}

// compile builds a program of the directory limit with the compiler at hand.
func (p *programs) compile(ctx context.Context, source string) (path string, err error) {
	cc, err := exec.LookPath("gcc")
	if err != nil {
		if cc, err = exec.LookPath("cc"); err != nil {
			return "", errors.New("no C compiler")
		}
	}
	for _, name := range []string{"limit.h", "relay.h", source} {
		text, err := limitSources.ReadFile("limit/" + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(p.dir, name), text, 0o644)
		}
		if err != nil {
			return "", err
		}
	}
	source = filepath.Join(p.dir, source)
	path, p.cc = strings.TrimSuffix(source, ".c"), firstLine(exec.CommandContext(ctx, cc, "--version"))
	if out, err := exec.CommandContext(ctx, cc, "-O2", "-Wall", "-Wextra", "-pthread", "-o", path, source).CombinedOutput(); err != nil {
		return "", fmt.Errorf("not compiled: %v %s", err, bytes.TrimSpace(out))
	}
	return path, nil
}

// probe asks a limit whether this kernel has what it needs. Without arguments it
// prints what was refused, and fails.
func probe(ctx context.Context, path string) error {
	out, err := exec.CommandContext(ctx, path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot run: %s", cmp.Or(string(bytes.TrimSpace(out)), err.Error()))
	}
	return nil
}

func firstLine(cmd *exec.Cmd) string {
	out, _ := cmd.Output()
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// installHAProxy installs Debian's package.
func installHAProxy(ctx context.Context) error {
	if _, err := exec.LookPath("haproxy"); err == nil {
		return nil
	}
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends", "haproxy"}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w", args[0], err)
		}
	}
	return nil
}

// A running is a contender's process with the address it listens on.
type running struct {
	*child
	addr string
}

func (r *running) pid() int { return r.cmd.Process.Pid }

// startContender starts the contender c of a case. Its listening socket is made
// here, so that nothing has to be waited for: who connects too early queues.
func (p *programs) startContender(ctx context.Context, host string, c contender, q request) (*running, error) {
	if why := p.missing[c.Variant]; why != "" {
		return nil, skip(why)
	}
	if c.Variant == byProxy {
		return p.startProxy(ctx, host, q)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := &running{addr: ln.Addr().String()}
	switch c.Variant {
	case byHAProxy, byHATuned, byHASplice:
		r.child, err = p.startHAProxy(f, c.Variant, q)
	case byLimit, byUring, bySockmap, byFanLimit:
		r.child, err = startLimit(p.limits[c.Variant], f, q)
	default:
		if r.child, err = startRole(roleRelay, f); err == nil {
			q.Op, q.Variant = "setup", c.Variant
			if _, err = r.call(ctx, q); err != nil {
				r.stop()
			}
		}
	}
	return r, err
}

// startLimit starts a program in C. It ends when the parent's end of a pipe does.
func startLimit(path string, ln *os.File, q request) (*child, error) {
	host, port, uid := q.Path, "-", -1
	if q.Mode != modeFile {
		var err error
		if host, port, err = net.SplitHostPort(q.Target); err != nil {
			return nil, err
		}
	}
	if q.UID > 0 && os.Geteuid() == 0 {
		uid = q.UID
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	args := []string{port, host, fmt.Sprint(uid)}
	if q.Sinks > 0 {
		args = append(args, fmt.Sprint(q.Sinks))
	}
	if q.Mode == modeFanFile {
		args = append(args, q.Path)
	}
	c, err := start(exec.Command(path, args...), ln, r)
	if err != nil {
		w.Close()
		return nil, err
	}
	c.alive = w
	return c, nil
}

// startHAProxy starts HAProxy in TCP mode, as a user of its own and with the
// timeouts of Debian's configuration. Beyond that nothing is set that has a
// default, other than splicing and, if tuned, the size of its pipes.
//
// HAProxy 2.6 looks whether splice-auto shall begin only when the stream's task
// runs, and in mode tcp nothing but a timeout wakes that in the middle of a busy
// stream: for the first 50 s it reads and writes (seen with strace). byHASplice
// therefore begins at once.
func (p *programs) startHAProxy(ln *os.File, variant string, q request) (*child, error) {
	var b strings.Builder
	b.WriteString("global\n")
	if q.UID > 0 && os.Geteuid() == 0 {
		fmt.Fprintf(&b, "\tuid %d\n\tgid %d\n", q.UID, q.UID)
	} else if u, err := user.Lookup("haproxy"); err == nil && os.Geteuid() == 0 {
		fmt.Fprintf(&b, "\tuid %s\n\tgid %s\n", u.Uid, u.Gid)
	}
	if variant != byHAProxy {
		b.WriteString("\ttune.pipesize 1048576\n")
	}
	b.WriteString("defaults\n\tmode tcp\n\ttimeout connect 5000\n\ttimeout client 50000\n\ttimeout server 50000\n")
	if variant == byHASplice {
		b.WriteString("\toption splice-request\n\toption splice-response\n")
	} else {
		b.WriteString("\toption splice-auto\n")
	}
	fmt.Fprintf(&b, "listen relay\n\tbind fd@3\n\tserver target %s\n", q.Target)
	config := filepath.Join(p.dir, "haproxy.cfg")
	if err := os.WriteFile(config, []byte(b.String()), 0o644); err != nil {
		return nil, err
	}
	return start(exec.Command(p.haproxy, "-db", "-q", "-f", config), ln)
}

var proxyListens = regexp.MustCompile(`listening on (\S+),`)

// startProxy starts examples/proxy and waits until it says where it listens.
func (p *programs) startProxy(ctx context.Context, host string, q request) (*running, error) {
	cmd := exec.CommandContext(ctx, p.proxy, "-listen", net.JoinHostPort(host, "0"), "-to", q.Target)
	said := new(words)
	cmd.Stdout = said
	c, err := start(cmd)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		if m := proxyListens.FindStringSubmatch(said.String()); m != nil {
			return &running{c, m[1]}, nil
		}
	}
	c.stop()
	return nil, errors.New("examples/proxy does not say where it listens")
}

// words are what a process has printed so far.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// skip is why a contender does not run, which is no failure.
type skip string

func (s skip) Error() string { return string(s) }

// mayBecome says why a process cannot become uid; "" if it can.
func mayBecome(uid int) string {
	if uid == 0 || os.Geteuid() == 0 || os.Geteuid() == uid {
		return ""
	}
	return "needs root, to become another user"
}
