package zchttp

import (
	"cmp"
	"net"
	"net/http"

	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// ListenAndServe is srv.ListenAndServe with connections of package zcnet: whatever a handler
// copies to its ResponseWriter by io.Copy reaches package zerocopy, from whatever source.
func ListenAndServe(srv *http.Server) error {
	ln, err := net.Listen("tcp", cmp.Or(srv.Addr, ":http"))
	if err != nil {
		return err
	}
	defer ln.Close()
	return srv.Serve(zcnet.NewListener(ln))
}
