//go:build race || 386

package peers_test

const mega = 1 << 17
