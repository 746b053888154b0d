// Package zchttp gives net/http, as it is, what package zerocopy does: the bodies of
// requests and responses, files and tunnels go by sendfile and splice.
package zchttp
