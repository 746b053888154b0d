//go:build !linux

package zcexec_test

func isNonblocking(int) bool { return false }
func pipeSize(int) int       { return 0 }
func pipeHolds(int) int      { return 0 }
