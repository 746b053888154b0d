package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A full disk ends the recording, not the stream: viewers go on, and new ones are let
// in. Those who would need the recording are told, and so is who waits for the program.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	const room = 2 << 20
	recording := ztest.MountTmpfs(t, room) + "/recording"
	r := start(t, "-source", "listen:127.0.0.1:0", "-record", recording, "-send-buffer", "64K", "-max-lag", "1M")
	publisher := r.publisher()
	all := data(12 << 20)
	first, second := all[:4<<20], all[4<<20:]
	quick, slow := r.get("/live"), r.get("/live")
	r.until("two viewers are live", are("live", quick, slow))
	feed(t, publisher, first, quick, slow)
	r.Await(t, `the recording ends at byte \d+: .*no space left on device`)
	late := r.get("/live")
	r.until("it is live", are("live", late))
	if answer, err := io.ReadAll(r.ask("/live?from=start")); !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") || err != nil {
		t.Errorf("who wants the recording is answered %q, %v", answer, err)
	}
	feed(t, publisher, second, quick, late)
	r.Await(t, "http "+slow.LocalAddr().String()+" is detached")
	r.until("the page tells of the recording", func(st *status) bool {
		return st.Recording.State == "ended" && st.Recording.Position <= room && strings.Contains(st.Recording.Error, "no space left")
	})
	publisher.Close()
	for _, c := range []io.ReadCloser{quick, late} {
		receiveEnd(t, c)
		c.Close()
	}
	r.ended(1)
	r.Await(t, `broadcast: the recording ends at byte \d+ of 12582912: .*no space left on device\n`)
	if got, err := os.ReadFile(recording); err != nil || !bytes.HasPrefix(all, got) {
		t.Errorf("%d bytes were recorded, or others than were sent: %v", len(got), err)
	}
}
