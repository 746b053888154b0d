package guest

// What a device's completions say, see SO_EE_CODE_ZEROCOPY_COPIED in the kernel's
// Documentation/networking/msg_zerocopy.rst.
type outcome int

const (
	lent   outcome = iota // hardly any completion says copied
	copied                // each says so
	mixed                 // any may
)

// devicePrograms send over each device and look at what the kernel reports.
func devicePrograms() (list []Program) {
	for _, d := range []struct {
		name string
		want outcome
	}{
		// A packet that comes back in is copied, skb_orphan_frags_rx.
		{"lo", copied},
		{"veth", copied},
		// What waits for a reader in user space is copied, for that may take for ever.
		{"tun", copied},
		// A virtio device whose peer in the emulator is a hub has no checksums, and so no
		// scatter and gather: each packet is copied into one piece. The kernel notes that of
		// a segment that was sent by itself (__pskb_pull_tail), and not of those that a large
		// one is cut into (skb_segment). So this one may say anything.
		{"virtio", mixed},
		// Has scatter and gather, and cuts large segments itself. Only of a packet of at most
		// 128 bytes its driver makes one piece, so that a send whose last segment is so small
		// says copied.
		{"vmxnet3", lent},
	} {
		list = append(list, Program{"device/" + d.name, func(t *T) { sendOver(t, d.name, d.want) }})
	}
	return list
}

func sendOver(t *T, device string, want outcome) {
	const size, piece = 4 << 20, 64 << 10
	client, server := t.Pair(device)
	received := make(chan error, 1)
	go func() { received <- receive(server, new(checker), size) }()

	s, err := newNaive(client)
	t.Must(err)
	contents := make([]byte, size)
	fill(contents, 0)
	for at := 0; at < size; at += piece {
		_, err := s.Write(contents[at : at+piece])
		t.Must(err)
		t.Must(s.reap())
	}
	t.Must(<-received)
	t.Must(s.Wait(programLimit / 2))
	t.Logf("%d MiB in %d sends, %d completions in %d messages: %d of them (%d messages) say copied; %d times ENOBUFS",
		size>>20, s.Sends, s.Done, s.Ranges, s.CopiedSends, s.Copied, s.Full)
	switch {
	case want == lent && s.CopiedSends*4 > s.Sends:
		t.Errorf("%d of %d sends say copied, want hardly any", s.CopiedSends, s.Sends)
	case want == copied && s.Copied < s.Ranges:
		t.Errorf("%d of %d messages say copied, want all", s.Copied, s.Ranges)
	}
}
