// Command testlines turns the output of go test -json on its standard input into
// the lines that a reader wants of a long run: go test's own line a package,
// everything about the tests that failed, the reason of each skip, the first
// lines that a passing top-level test logged, and last "N passed, N failed,
// N skipped", with subtests counted.
//
// The exit status is 1 if a test or a package failed, if no test passed, or, with
// -skips=fail, if a test was skipped. Use it with pipefail: what go test reports
// by its exit status alone is not seen here.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"
)

// logged is how many lines of a passing top-level test are printed: enough for
// the count of cases that a matrix logs, too few to drown the other lines.
const logged = 3

// slow is from how many seconds on a passing top-level test is named with its time.
const slow = 10

func main() {
	log.SetFlags(0)
	log.SetPrefix("testlines: ")
	skips := flag.String("skips", "list", "`what` to do about skipped tests: list or fail")
	flag.Parse()
	if flag.NArg() > 0 || *skips != "list" && *skips != "fail" {
		flag.Usage()
		os.Exit(2)
	}
	t := newTally(os.Stdout)
	if err := t.read(os.Stdin); err != nil {
		log.Fatal(err)
	}
	t.close()
	switch {
	case t.failed > 0:
		os.Exit(1)
	case t.passed == 0:
		log.Fatal("no test passed")
	case t.skipped > 0 && *skips == "fail":
		log.Fatal("skipped tests count as failed here")
	}
}

// An event is what go test -json writes a line of, see go doc test2json; the
// build-output lines of go build -json come in the same stream.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

// A test names a test of a package, or with an empty name the package.
type test struct{ pkg, name string }

func (t test) String() string { return t.pkg + " " + t.name }

// A tally prints the lines and counts the tests.
type tally struct {
	out                     io.Writer
	running                 map[test][]string // output of tests that have not ended
	broken                  map[string]bool   // packages with a failed test
	skips                   []string
	passed, failed, skipped int
}

func newTally(out io.Writer) *tally {
	return &tally{out: out, running: map[test][]string{}, broken: map[string]bool{}}
}

// read takes events until the end of r. A line that is none, as a test binary
// may write to the descriptor, is printed as it is.
func (t *tally) read(r io.Reader) error {
	br := bufio.NewReader(r)
	for {
		line, err := br.ReadBytes('\n')
		var e event
		switch {
		case len(line) == 0:
		case !bytes.HasPrefix(line, []byte("{")) || json.Unmarshal(line, &e) != nil || e.Action == "":
			fmt.Fprintf(t.out, "%s\n", bytes.TrimSuffix(line, []byte("\n")))
		default:
			t.event(e)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *tally) event(e event) {
	id := test{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		io.WriteString(t.out, e.Output)
	case "run":
		t.running[id] = nil
	case "output":
		switch {
		case e.Test == "" && e.Output != "PASS\n" && e.Output != "FAIL\n":
			io.WriteString(t.out, e.Output)
		case e.Test != "" && !strings.HasPrefix(e.Output, "=== "):
			t.running[id] = append(t.running[id], e.Output)
		}
	case "pass", "fail", "skip":
		if e.Test == "" {
			t.endPackage(e)
		} else {
			t.endTest(id, e)
		}
		delete(t.running, id)
	}
}

func (t *tally) endTest(id test, e event) {
	lines := t.running[id]
	switch e.Action {
	case "fail":
		t.failed++
		t.broken[id.pkg] = true
		fmt.Fprint(t.out, strings.Join(lines, ""))
	case "skip":
		t.skipped++
		t.skips = append(t.skips, fmt.Sprintf("%v: %s", id, reason(lines)))
	case "pass":
		t.passed++
		if strings.Contains(id.name, "/") {
			return
		}
		if e.Elapsed >= slow {
			fmt.Fprintf(t.out, "    %s: %.0fs\n", id.name, e.Elapsed)
		}
		lines = slices.DeleteFunc(lines, frame)
		for _, line := range lines[:min(len(lines), logged)] {
			fmt.Fprintf(t.out, "    %s: %s\n", id.name, strings.TrimSpace(line))
		}
	}
}

// endPackage reports what a package that failed left unsaid: a time-out or an
// os.Exit ends tests without an event of their own.
func (t *tally) endPackage(e event) {
	var unfinished []test
	for id := range t.running {
		if id.pkg == e.Package && id.name != "" {
			unfinished = append(unfinished, id)
		}
	}
	slices.SortFunc(unfinished, func(a, b test) int { return strings.Compare(a.name, b.name) })
	for _, id := range unfinished {
		fmt.Fprintf(t.out, "--- unfinished: %v\n%s", id, strings.Join(t.running[id], ""))
		delete(t.running, id)
		t.failed++
		t.broken[id.pkg] = true
	}
	if e.Action == "fail" && !t.broken[e.Package] { // not built, or failed in TestMain
		t.failed++
	}
}

func (t *tally) close() {
	for _, s := range t.skips {
		fmt.Fprintf(t.out, "--- SKIP: %s\n", s)
	}
	fmt.Fprintf(t.out, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
}

// frame reports whether line is the testing package's own.
func frame(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "--- ") }

// reason returns what a skipped test said, on one line.
func reason(lines []string) string {
	var said []string
	for _, line := range lines {
		if !frame(line) {
			said = append(said, strings.TrimSpace(line))
		}
	}
	if said == nil {
		return "no reason given"
	}
	return strings.Join(said, " ")
}
