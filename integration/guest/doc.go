// Package guest is what runs on the emulated machine: the first process, which
// makes network devices of several kinds, each between two network namespaces, and
// the programs that send over them. It tells the host what they report.
//
// A program is a function with a name in Programs. It is written as a test is: T
// has Logf, Errorf and Fatalf, and Pair for a TCP connection over a device.
package guest
