package pages_test

import (
	"bytes"
	"fmt"
	"log"
	"os"

	"github.com/zerocopy-go/zerocopy/pages"
)

// How much went how, and why.
func ExampleWriter_Stats() {
	r, p, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	defer p.Close()
	w, err := pages.NewWriter(p, &pages.Options{Lend: pages.FreshPages})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	for _, n := range []int{40_000, 1000} { // a small piece costs less as a copy
		if _, err := w.Next(); err != nil {
			log.Fatal(err)
		}
		if err := w.Commit(n); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(w.Stats())

	plain, err := pages.NewWriter(new(bytes.Buffer), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer plain.Close()
	s := plain.Stats()
	fmt.Println(s.Mechanism, s.Reason)
	fmt.Println(s)
	// Output:
	// 41000 bytes: 40000 lent, 1000 copied; vmsplice
	// buffered not-descriptor
	// 0 bytes: 0 lent, 0 copied; buffered: destination *bytes.Buffer is not a descriptor
}
