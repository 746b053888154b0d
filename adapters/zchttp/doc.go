// Package zchttp gives net/http, as it is, what package zerocopy does: files, the bodies of
// requests and responses, and tunnels go by sendfile and splice.
//
//   - [ListenAndServe] and [Transport] put connections of package zcnet under a server and a client.
//   - [SpliceBodies] has zerocopy.Copy splice what it reads from a body.
//   - [FileServer] serves files, parts of them, and what is compressed beside them.
//   - [ReverseProxy] does what an httputil.ReverseProxy does.
//   - [WrapResponseWriter], [NewFileRequest] and [DebugHandler] are for the authors of middleware
//     and clients, and for those who look after them.
//
// HTTP/2 and TLS are served rightly and through user memory: their bytes are not those of a
// connection.
package zchttp
