package guest

// A Message is one line of JSON on the guest's second serial port. For each program
// there is one with Start, then any number with Log or Error, then one with End.
type Message struct {
	Start string `json:"start,omitempty"` // name of the program that starts
	Log   string `json:"log,omitempty"`
	Error string `json:"error,omitempty"`
	End   string `json:"end,omitempty"` // name of the program that has ended
}

// NICs are the network devices of the machine, in pairs, by the names that qemu has
// for them.
var NICs = []string{"virtio-net-pci", "virtio-net-pci", "vmxnet3", "vmxnet3"}

// Modules are the modules of the kernel that the guest needs. The host puts them
// with what they depend on into the directory /modules, named so that their sorted
// order is the one to load them in.
var Modules = []string{"virtio_pci", "virtio_net", "vmxnet3", "veth", "tun", "sch_netem"}
