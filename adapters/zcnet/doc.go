// Package zcnet puts package zerocopy under code that knows net.Conn and net.Listener only.
//
// Wrap one line of a server or client,
//
//	l = zcnet.NewListener(l)                                  // http.Server.Serve(l), …
//	transport.DialContext = (&zcnet.Dialer{}).DialContext
//	conn = zcnet.NewConn(conn)
//
// and every io.Copy from or to its connections is a [zerocopy.Copy]. A [Conn] has the
// methods CloseRead, CloseWrite, SyscallConn and NetConn if and only if the connection
// under it has them; [TCPConn] and [UnixConn] give that. docs/adopting.md lists what
// else a program may ask a connection for, and what to ask instead.
//
// [Relay] connects two connections with each other until both are at their end.
package zcnet
