package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// webConfigs are the contenders over HTTP that are programs of their own, and what the
// configuration of each says, given where to listen and a directory for what it needs.
var webConfigs = map[string]func(listen, dir string, q request) (config string){
	byNginx:      nginx("", ""),
	byNginxCache: nginx("open_file_cache max=1000 inactive=60s;", ""),
	byNginxKeep:  nginx("", nginxKeep),
	byNginxPass:  nginx("", nginxKeep+" proxy_buffering off; proxy_request_buffering off; client_body_buffer_size 128k;"),
	byCaddy: func(listen, dir string, q request) string {
		return fmt.Sprintf("{\n\tadmin off\n\tauto_https off\n\tlog {\n\t\toutput discard\n\t}\n}\nhttp://%s {\n\troot * %s\n\tfile_server\n}\n", listen, q.Path)
	},
}

// nginxKeep has connections behind kept, and responses that are buffered in memory only, in larger
// pieces than the 4 KiB that are the default. What upgrades is a tunnel.
const nginxKeep = `proxy_http_version 1.1; proxy_set_header Connection $upgraded; proxy_set_header Upgrade $http_upgrade; proxy_max_temp_file_size 0; proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 512k;`

// nginx returns a configuration of nginx: Debian's, as far as it concerns what is measured, with one
// process, no log, and connections that are kept for as many requests as come.
func nginx(http, location string) func(listen, dir string, q request) string {
	return func(listen, dir string, q request) string {
		serve := fmt.Sprintf("root %s;", q.Path)
		var behind string
		if q.Target != "" {
			serve = "proxy_pass http://behind; " + location
			keep := ""
			if location != "" {
				keep = "keepalive 256; keepalive_requests 1000000000;"
			}
			behind = fmt.Sprintf("map $http_upgrade $upgraded { default upgrade; '' ''; }\nupstream behind { server %s; %s }\n", q.Target, keep)
		}
		var temp string
		for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			temp += fmt.Sprintf("%s_temp_path %s;\n", name, filepath.Join(dir, name))
		}
		return fmt.Sprintf(`daemon off;
master_process off;
worker_processes 1;
pid %s;
error_log stderr crit;
events { worker_connections 16384; }
http {
sendfile on;
tcp_nopush on;
access_log off;
keepalive_requests 1000000000;
client_max_body_size 0;
default_type application/octet-stream;
%s%s
%sserver { listen %s; location / { %s } }
}
`, filepath.Join(dir, "nginx.pid"), temp, http, behind, listen, serve)
	}
}

// findWebPrograms looks for those of them that are wanted.
func (p *programs) findWebPrograms(want func(name string) bool) {
	p.web = make(map[string]string)
	for name := range webConfigs {
		if !want(name) {
			continue
		}
		program := "nginx"
		if name == byCaddy {
			program = "caddy"
		}
		path, err := exec.LookPath(program)
		if sbin := "/usr/sbin/" + program; err != nil {
			if _, err = os.Stat(sbin); err == nil {
				path = sbin
			}
		}
		if err != nil {
			p.missing[name] = "not installed"
			continue
		}
		p.web[name] = path
	}
}

// startWebProgram starts one of them and waits until it accepts. It is to be called in the place
// where it shall be.
func (s *session) startWebProgram(ctx context.Context, variant string, conf func(listen, dir string, q request) string, q request) (*running, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(s.host, "0"))
	if err != nil {
		return nil, err
	}
	addr := ln.Addr().String()
	ln.Close() // to be taken again at once
	dir, err := os.MkdirTemp(s.programs.dir, "web-")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(path, []byte(conf(addr, dir, q)), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, s.web[variant], "-e", "stderr", "-p", dir, "-c", path)
	said := new(words)
	if variant == byCaddy {
		cmd = exec.CommandContext(ctx, s.web[variant], "run", "--config", path, "--adapter", "caddyfile")
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	}
	cmd.Stdout, cmd.Stderr = said, said
	c, err := start(cmd)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return &running{c, addr}, nil
		}
	}
	c.stop()
	return nil, errors.New(variant + " does not accept: " + said.String())
}
