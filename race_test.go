//go:build race

package zerocopy_test

const raceEnabled = true
