package zcnet_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestHTTPSendfile: net/http gives a file to the ReadFrom of the connection, and it goes by
// sendfile. Not in parallel: others count, too.
func TestHTTPSendfile(t *testing.T) {
	content := ztest.Pattern(7).Bytes(1 << 20)
	name := filepath.Join(t.TempDir(), "file.bin")
	must(t, os.WriteFile(name, content, 0o600))
	address := serve(t, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) }, nil, nil)
	c, _ := client(t)
	before := zerocopy.ReadStats().Bytes(zerocopy.Sendfile)
	body, _ := get(t, c, "http://"+address)
	ztest.Equal(t, "body", []byte(body), content)
	// The client may have all of it before the server has counted.
	ztest.Eventually(t, ztest.Patience, "sent by sendfile", func() bool {
		return zerocopy.ReadStats().Bytes(zerocopy.Sendfile)-before >= int64(len(content))-512
	})
}
