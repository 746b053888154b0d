package main

import "fmt"

// The contenders over HTTP.
const (
	// Of files
	byHTTPDir       = "http.FileServer"
	byHTTPFS        = "http.FileServerFS"
	byHTTPFSNet     = "http.FileServerFS, zcnet"
	byFiles         = "zchttp.FileServer"
	byFilesNet      = "zchttp.FileServer, zcnet"
	byFilesCache    = "zchttp.FileServer, cache"
	byFilesCacheNet = "zchttp.FileServer, cache, zcnet"
	byFilesCounted  = "zchttp.FileServer, zcnet, counted"
	byNginx         = "nginx"
	byNginxCache    = "nginx, open_file_cache"
	byFastHTTP      = "fasthttp.FS"
	byCaddy         = "caddy"
	// Of proxies
	byHTTPProxy  = "httputil.ReverseProxy"
	byOurProxy   = "zchttp.ReverseProxy"
	byOurProxyOn = "zchttp.ReverseProxy, SpliceBodies"
	byNginxKeep  = "nginx, keepalive"
	byNginxPass  = "nginx, keepalive, unbuffered"
	// byLoad is what asks, and no contender.
	byLoad = "load"
	// Of bodies
	byHTTPBody  = "io.Copy, net/http"
	byOurBody   = "zerocopy, zcnet"
	byOurBodyOn = "zerocopy, zcnet, SpliceBodies"
)

// What an HTTP case does.
const (
	webGet      = "get"      // files are asked for
	webRanges   = "ranges"   // so many parts of one at once
	webPost     = "post"     // bodies are sent
	webDownload = "download" // the contender asks
	webTunnels  = "tunnels"  // connections are upgraded, and left idle
)

// rangeParts is of how many parts a multi-range response is.
const rangeParts = 4

// webFile is the name of a file that is served.
func webFile(i int) string { return fmt.Sprintf("f%02d.bin", i) }

// overHTTP are the cases of net/http.
func overHTTP() (all []spec) {
	const small, medium, large = 4 << 10, 1 << 20, 64 << 20
	ops := []string{mReqs, mCPUOp, mP50, mP99, mRSS, mBusyOp}
	bulk := []string{mCPU, mRate, mReqs, mBusy, mFDs, mPipes, mRSS}
	static := []string{
		byHTTPDir, byHTTPFS, byHTTPFSNet, byFiles, byFilesNet, byFilesCache, byFilesCacheNet, byFilesCounted, byNginx, byNginxCache, byFastHTTP, byCaddy,
	}
	all = append(all, spec{
		Name: "http-static-4k", About: "files of 4 KiB, 64 connections", Show: ops, Mode: webGet, Size: small, Streams: 64,
		Note: "the clients are a thread in C; nginx is one process, the others may use all processors", Contenders: contenders(static...),
		Bounds: []bound{atLeast(byFilesCache, mReqs, 1.3, byHTTPDir), atLeast(byFilesCacheNet, mReqs, 1.3, byHTTPDir)},
	})
	for _, row := range []struct {
		name    string
		size    int
		streams int
		limit   float64 // by http.FileServerFS
	}{{"1m", medium, 8, 0.7}, {"64m", large, 2, 0.85}} {
		c := spec{
			Name: "http-static-" + row.name, About: fmt.Sprintf("files of %s, %d connections", sizeName(float64(row.size)), row.streams),
			Show: bulk, Mode: webGet, Size: row.size, Streams: row.streams, Contenders: contenders(static...),
		}
		for _, who := range []string{byFiles, byFilesNet, byFilesCache, byFilesCacheNet} {
			c.Bounds = append(c.Bounds, atMost(who, mCPU, 1, byHTTPDir).by(byQuartile), atMost(who, mCPU, row.limit, byHTTPFS))
		}
		c.Bounds = append(c.Bounds, atMost(byFilesCounted, mCPU, 1.03, byFilesNet))
		all = append(all, c)
	}
	all = append(all, spec{
		Name: "http-ranges-64m", About: fmt.Sprintf("a file of 64 MiB as a multi-range response of %d parts, 2 connections", rangeParts),
		Show: bulk, Mode: webRanges, Size: large, Streams: 2, Contenders: contenders(byHTTPDir, byHTTPFS, byFiles, byFilesNet, byNginx),
		Bounds: []bound{atMost(byFiles, mCPU, 0.6, byHTTPDir), atMost(byFilesNet, mCPU, 0.6, byHTTPDir)},
	})
	all = append(all, proxied(ops, bulk)...)
	for _, dir := range []string{dirDisk, dirMemory} {
		for _, row := range []struct{ name, about, mode string }{
			{"http-upload-", "bodies of requests, 64 MiB each → new files, ", webPost},
			{"http-download-", "bodies of responses, 64 MiB each → new files, ", webDownload},
		} {
			all = append(all, spec{
				Name: row.name + dir, About: row.about + dir, Show: bulk, Mode: row.mode, Size: large, Dir: dir,
				Contenders: contenders(byHTTPBody, byOurBody, byOurBodyOn),
				Bounds:     []bound{atMost(byOurBodyOn, mCPU, 0.7, byHTTPBody)},
			})
		}
	}
	for i := range all {
		all[i].Kind = kindHTTP
	}
	return all
}

// proxied are the cases of a reverse proxy.
func proxied(ops, bulk []string) (all []spec) {
	who := contenders(byHTTPProxy, byOurProxy, byOurProxyOn, byNginx, byNginxKeep, byNginxPass)
	note := "the server behind is in Go, and sends by sendfile; keepalive: proxy_http_version 1.1, connections behind are kept, buffers of 64 KiB, no temporary files"
	for _, row := range []struct {
		name, what string
		size, n    int
		mode       string
	}{
		{"http-proxy-1m", "responses of 1 MiB", 1 << 20, 8, webGet},
		{"http-proxy-64m", "responses of 64 MiB", 64 << 20, 2, webGet},
		{"http-proxy-post-1m", "requests of 1 MiB", 1 << 20, 8, webPost},
		{"http-proxy-post-64m", "requests of 64 MiB", 64 << 20, 2, webPost},
	} {
		all = append(all, spec{
			Name: row.name, About: fmt.Sprintf("%s through a reverse proxy, %d connections", row.what, row.n), Note: note,
			Show: bulk, Mode: row.mode, Size: row.size, Streams: row.n, Behind: true, Contenders: who,
			Bounds: []bound{
				atMost(byOurProxyOn, mCPU, 0.5, byHTTPProxy), atMost(byOurProxyOn, mCPU, 1, byNginx, byNginxKeep, byNginxPass),
			},
		})
	}
	return append(all, spec{
		Name: "http-proxy-1k", About: "responses of 1 KiB through a reverse proxy, 64 connections", Note: note,
		Show: ops, Mode: webGet, Size: 1 << 10, Streams: 64, Behind: true, Contenders: who,
		Bounds: []bound{
			atLeast(byOurProxy, mReqs, 0.97, byHTTPProxy), atLeast(byOurProxyOn, mReqs, 0.97, byHTTPProxy),
		},
	}, spec{
		Name: "http-tunnels-2000", About: "2,000 upgraded connections through a reverse proxy, idle after 64 KiB each way",
		Show: []string{mTunnelFD, mTunnelPip, mTunnelRSS, mFDs, mPipes, mRSS}, Mode: webTunnels, Idle: 2000, Warm: 64 << 10, Behind: true,
		Contenders: contenders(byHTTPProxy, byOurProxy, byOurProxyOn, byNginxKeep),
		Bounds: []bound{
			atMost(byOurProxy, mTunnelFD, 2.005), atMost(byOurProxy, mTunnelPip, 0.005),
			atMost(byOurProxyOn, mTunnelPip, 0.005), atMost(byOurProxy, mTunnelRSS, 0.5, byHTTPProxy),
		},
	})
}
