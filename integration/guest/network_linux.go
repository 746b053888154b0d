package guest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A namespace is a network namespace with a thread of this process in it.
type namespace struct {
	work chan func()
	link *netlink.Handle // sends from inside it
	fd   int             // refers to it
}

func newNamespace() (*namespace, error) {
	n := &namespace{work: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread()
		made <- n.enter()
		for f := range n.work {
			f()
		}
	}()
	return n, <-made
}

// enter makes the namespace that of the calling thread.
func (n *namespace) enter() (err error) {
	if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if n.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return os.NewSyscallError("open", err)
	}
	if n.link, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	return n.up("lo")
}

// do runs f on the thread in the namespace. Sockets that it makes are there.
func (n *namespace) do(f func()) {
	done := make(chan struct{})
	n.work <- func() {
		defer close(done)
		f()
	}
	<-done
}

// up sets a device up, with an address if one is given.
func (n *namespace) up(device string, address ...string) error {
	l, err := n.link.LinkByName(device)
	if err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	for _, a := range address {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		if err := n.link.AddrAdd(l, addr); err != nil {
			return fmt.Errorf("address of %s: %w", device, err)
		}
	}
	if err := n.link.LinkSetUp(l); err != nil {
		return fmt.Errorf("%s up: %w", device, err)
	}
	return nil
}

// A network is two namespaces and what joins them.
type network struct {
	near, far *namespace // a connection is opened from near
}

// devices has for each device the namespaces' addresses on it.
var devices = map[string]struct{ near, far string }{
	"lo":      {"127.0.0.1/8", "127.0.0.1/8"},
	"veth":    {"10.1.0.1/24", "10.1.0.2/24"},
	"tun":     {"10.2.0.1/24", "10.2.0.2/24"},
	"virtio":  {"10.3.0.1/24", "10.3.0.2/24"},
	"vmxnet3": {"10.4.0.1/24", "10.4.0.2/24"},
}

func newNetwork() (n *network, err error) {
	n = &network{}
	if n.near, err = newNamespace(); err != nil {
		return nil, err
	}
	if n.far, err = newNamespace(); err != nil {
		return nil, err
	}
	if err = n.joinVeth(); err != nil {
		return nil, err
	}
	if err = n.joinTun(); err != nil {
		return nil, err
	}
	for i, device := range []string{"virtio", "vmxnet3"} {
		if err = n.joinNICs(device, 2*i); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// set sets the devices of a kind up, one in each namespace.
func (n *network) set(device string) error {
	return errors.Join(n.near.up(device, devices[device].near), n.far.up(device, devices[device].far))
}

func (n *network) joinVeth() error {
	err := n.near.link.LinkAdd(&netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: "veth"},
		PeerName:      "veth",
		PeerNamespace: netlink.NsFd(n.far.fd),
	})
	if err != nil {
		return fmt.Errorf("veth: %w", err)
	}
	return n.set("veth")
}

// joinNICs moves the i-th network device of the machine into one namespace and the
// one after it into the other.
func (n *network) joinNICs(device string, i int) error {
	for _, to := range []*namespace{n.near, n.far} {
		l, err := nic(i)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetName(l, device); err != nil {
			return fmt.Errorf("name of %s: %w", device, err)
		}
		if err := netlink.LinkSetNsFd(l, to.fd); err != nil {
			return fmt.Errorf("moving %s: %w", device, err)
		}
		i++
	}
	return n.set(device)
}

// nic returns the i-th network device of the machine, which the host has numbered
// in the last byte of the address. Its driver may still be about to make it.
func nic(i int) (netlink.Link, error) {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		list, err := netlink.LinkList()
		if err != nil {
			return nil, err
		}
		for _, l := range list {
			if mac := l.Attrs().HardwareAddr; len(mac) == 6 && mac[0] == 0x52 && mac[5] == byte(i) {
				return l, nil
			}
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("network device %d does not appear", i)
		}
	}
}

// joinTun makes a tun device in each namespace, and carries packets from one to the
// other through this process.
func (n *network) joinTun() error {
	var ends [2]*os.File
	for i, in := range []*namespace{n.near, n.far} {
		var err error
		in.do(func() { ends[i], err = openTun("tun") })
		if err != nil {
			return err
		}
	}
	if err := n.set("tun"); err != nil {
		return err
	}
	go carry(ends[0], ends[1])
	go carry(ends[1], ends[0])
	return nil
}

func openTun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /dev/net/tun", err)
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return nil, os.NewSyscallError("ioctl TUNSETIFF", err)
	}
	return os.NewFile(uintptr(fd), "tun"), nil
}

// carry moves packets. One that is not taken is lost, as on any network.
func carry(from, to *os.File) {
	packet := make([]byte, 1<<16)
	for {
		size, err := from.Read(packet)
		if err != nil {
			panic(err)
		}
		to.Write(packet[:size])
	}
}

// pair returns the two ends of a new connection over a device. The receive buffer of
// the server's is set if it is not 0.
func (n *network) pair(device string, receiveBuffer int) (client, server *net.TCPConn, err error) {
	d, ok := devices[device]
	if !ok {
		return nil, nil, errors.New("no such device")
	}
	ip, _, err := net.ParseCIDR(d.far)
	if err != nil {
		return nil, nil, err
	}
	in := n.far
	if device == "lo" {
		in = n.near
	}
	var listener *net.TCPListener
	in.do(func() { listener, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: ip}) })
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	if receiveBuffer > 0 {
		// The connections that are accepted have what the listener has.
		if err := setReceiveBuffer(listener, receiveBuffer); err != nil {
			return nil, nil, err
		}
	}
	listener.SetDeadline(time.Now().Add(10 * time.Second))
	n.near.do(func() {
		var c net.Conn
		dialer := net.Dialer{Timeout: 10 * time.Second}
		if c, err = dialer.Dial("tcp4", listener.Addr().String()); err == nil {
			client = c.(*net.TCPConn)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	if server, err = listener.AcceptTCP(); err != nil {
		client.Close()
		return nil, nil, err
	}
	return client, server, nil
}

func setReceiveBuffer(l *net.TCPListener, size int) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = os.NewSyscallError("setsockopt SO_RCVBUF", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size))
	})
	return errors.Join(err, failed)
}
