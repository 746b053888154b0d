// Command init is the first process of the emulated machine, see package guest.
package main

import (
	"log"
	"os"

	"github.com/zerocopy-go/zerocopy/integration/guest"
)

func main() {
	if os.Getpid() != 1 {
		log.Fatal("this is the first process of an emulated machine, and ends the machine: run the test instead")
	}
	guest.Main()
}
