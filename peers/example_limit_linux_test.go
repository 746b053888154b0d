package peers_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"

	"golang.org/x/net/netutil"

	"github.com/zerocopy-go/zerocopy"
)

// The connections of netutil.LimitListener hide their descriptor: they are of an unexported type
// that may do anything in its Read and Write. It only counts the connections, and who knows that
// can vouch for the type. It is that of any connection of the listener.
func Example_limitListener() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	l = netutil.LimitListener(l, 100)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()

	file, err := os.CreateTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(file.Name())
	defer file.Close()
	file.Write(make([]byte, 1<<20))
	file.Seek(0, io.SeekStart)

	// conn is a struct with the field Conn, which it embeds: an exported name.
	limited := reflect.TypeOf(conn)
	inner := func(v any) net.Conn {
		return reflect.ValueOf(v).Elem().FieldByName("Conn").Interface().(net.Conn)
	}
	c := &zerocopy.Copier{
		UnwrapReader: map[reflect.Type]func(io.Reader) (zerocopy.InnerReader, bool){
			limited: func(r io.Reader) (zerocopy.InnerReader, bool) {
				return zerocopy.InnerReader{Reader: inner(r)}, true
			},
		},
		UnwrapWriter: map[reflect.Type]func(io.Writer) (zerocopy.InnerWriter, bool){
			limited: func(w io.Writer) (zerocopy.InnerWriter, bool) {
				return zerocopy.InnerWriter{Writer: inner(w)}, true
			},
		},
		Report: func(r zerocopy.Report) { fmt.Println(r.Bytes(zerocopy.Sendfile), "bytes by sendfile") },
	}
	fmt.Println(zerocopy.Explain(conn, file))
	fmt.Println(c.Explain(conn, file))

	received := make(chan int64)
	go func() {
		n, _ := io.Copy(io.Discard, client)
		received <- n
	}()
	_, err = c.Copy(context.Background(), conn, file)
	conn.Close()
	fmt.Println(<-received, "bytes received,", err)
	// Output:
	// buffered: destination *netutil.limitListenerConn is not a descriptor
	// sendfile file→tcp
	// 1048576 bytes by sendfile
	// 1048576 bytes received, <nil>
}
