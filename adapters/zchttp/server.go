package zchttp

import (
	"cmp"
	"net"
	"net/http"

	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// ListenAndServe is srv.ListenAndServe with connections of package zcnet. Whatever source a handler
// copies to its ResponseWriter, by io.Copy too, reaches package zerocopy: a section of a file, a
// pipe, another connection; and the bodies of requests can be spliced ([SpliceBodies]).
//
// That takes a response of which the Content-Length is declared, or is told by the end of the
// connection, over HTTP/1 without TLS. Others are written as ever. A handler that copies more than
// it has declared should do so by zerocopy.Copy: the ReadFrom of net/http, which io.Copy calls,
// sends it all.
//
// For a listener of one's own, srv.Serve(zcnet.NewListener(l)) is the same.
func ListenAndServe(srv *http.Server) error {
	ln, err := net.Listen("tcp", cmp.Or(srv.Addr, ":http"))
	if err != nil {
		return err
	}
	defer ln.Close()
	return srv.Serve(zcnet.NewListener(ln))
}
