//go:build !linux

// Command init is the first process of the emulated machine, which runs Linux.
package main

import "log"

func main() { log.Fatal("this is a program for Linux") }
