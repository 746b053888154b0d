package zerocopy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A routeTable is what this run has seen, to be compared with a golden table. What the
// kernel moves depends on its version and on the filesystem, so each table names the
// kernels (without their patch levels) and root filesystems that it holds for.
//
// A block of the file is
//
//	sources → destinations
//		rows: sizes: way | sizes: way
//
// and holds for each of the sources with each of the destinations. "*" are bare ends
// and all rows that no other line of the block names. A way is what Report said,
// "memory" being bytes that a row had there; "foretold" is what Explain said instead.
// Rows whose way is left to chance (manual) are not in the table.
type routeTable struct {
	mu  sync.Mutex
	got map[matrixKey]string
	ran map[string]bool // the pairs of ends that were run to their end
}

// A matrixKey names a case.
type matrixKey struct{ src, dst, row, size string }

func (mc matrixCase) key() matrixKey {
	return matrixKey{string(mc.src), string(mc.dst), mc.row.name, mc.size.name}
}

func (k matrixKey) String() string { return k.src + "→" + k.dst + " " + k.row + " " + k.size }

func (rt *routeTable) add(mc matrixCase, way string) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.got == nil {
		rt.got = map[matrixKey]string{}
	}
	rt.got[mc.key()] = way
}

func (rt *routeTable) complete(pair string) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.ran == nil {
		rt.ran = map[string]bool{}
	}
	rt.ran[pair] = true
}

// tableKey names this machine as the heads of the tables do. The kind tmpfs is on a
// tmpfs everywhere.
func tableKey(t *testing.T) string {
	major, minor := ztest.Kernel()
	return fmt.Sprintf("linux%d.%d-%s", major, minor, ztest.Filesystem(ztest.Dir(t, ztest.File)))
}

const (
	tableHead = `# The ways that bytes take: see routeTable in matrix_golden_linux_test.go.
# go test -run '^TestMatrix$' -update writes this file anew.
`
	tableKeys = "# It holds for "
)

// A goldenTable is a file of testdata/.
type goldenTable struct {
	name string
	keys []string // that it holds for
	body string
}

// goldenTables reads all tables, that of key first, if there is one.
func goldenTables(t *testing.T, key string) (tables []goldenTable, found bool) {
	t.Helper()
	names, err := filepath.Glob("testdata/matrix-*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		head, body, _ := strings.Cut(string(b), "\n\n")
		_, keys, _ := strings.Cut(head, tableKeys)
		g := goldenTable{name, strings.Fields(keys), body}
		if slices.Contains(g.keys, key) {
			tables, found = slices.Insert(tables, 0, g), true
		} else {
			tables = append(tables, g)
		}
	}
	return tables, found
}

// update writes the table of key anew, for all kernels and filesystems that share
// it. A key that has none joins a table of the same body, or gets one of its own.
func (rt *routeTable) update(t *testing.T, key string) {
	t.Helper()
	body := rt.format()
	tables, found := goldenTables(t, key)
	for _, k := range ztest.SourceKinds {
		if why := ztest.Unavailable(k); why != "" && found {
			t.Fatalf("%s is not written on a machine that has no %s: %s", tables[0].name, k, why)
		}
	}
	g := goldenTable{name: "testdata/matrix-" + key + ".txt"}
	switch i := slices.IndexFunc(tables, func(g goldenTable) bool { return g.body == body }); {
	case found:
		g = tables[0]
	case i >= 0:
		g = tables[i]
	}
	if !slices.Contains(g.keys, key) {
		g.keys = append(g.keys, key)
	}
	text := tableHead + tableKeys + strings.Join(g.keys, " ") + "\n\n" + body
	if err := os.WriteFile(g.name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("wrote %s", g.name)
}

// check compares what was seen with the table, of which only the pairs count that
// have been run: those that -run names, of kinds that the machine has.
func (rt *routeTable) check(t *testing.T, pairs int) {
	t.Helper()
	key := tableKey(t)
	if *update {
		if len(rt.ran) < pairs || t.Failed() {
			t.Fatalf("no table is written: %d of %d pairs were run to their end, failed: %v", len(rt.ran), pairs, t.Failed())
		}
		rt.update(t, key)
	}
	tables, found := goldenTables(t, key)
	differ := t.Errorf
	if !found {
		const advice = "no golden table in testdata/ holds for %s. Run\n" +
			"\tgo test -run '^TestMatrix$' -update .\n" +
			"which adds it to the table that holds here, too, or else makes one; then compare it with the others: " +
			"each difference must be one of the kernels or filesystems."
		if ztest.CI() || len(tables) == 0 {
			t.Fatalf(advice, key)
		}
		// Somebody else's kernel: every case was held to io.Copy's outcome all the
		// same, and may well go another way.
		t.Logf(advice, key)
		differ = t.Logf
	}
	want, err := parseTable(tables[0].body)
	if err != nil {
		t.Fatalf("%s: %v", tables[0].name, err)
	}
	expected, seen := map[string]string{}, map[string]string{}
	for k, way := range want {
		if rt.ran[k.src+"→"+k.dst] {
			expected[k.String()] = way
		}
	}
	for k, way := range rt.got {
		if rt.ran[k.src+"→"+k.dst] {
			seen[k.String()] = way
		}
	}
	if d := cmp.Diff(expected, seen); d != "" {
		differ("the ways are not those of %s (-), but (+):\n%s", tables[0].name, d)
	}
}

// A tableBlock is the cases of some sources with some destinations.
type tableBlock struct{ src, dst, body string }

// format writes the table, each difference once.
func (rt *routeTable) format() string {
	var blocks []tableBlock
	for _, src := range ztest.SourceKinds {
		var of []tableBlock // this source
		for _, dst := range ztest.DestKinds {
			body := rt.body(string(src), string(dst))
			i := slices.IndexFunc(of, func(b tableBlock) bool { return b.body == body })
			switch {
			case body == "":
			case i >= 0:
				of[i].dst += " " + string(dst)
			default:
				of = append(of, tableBlock{string(src), string(dst), body})
			}
		}
		for _, b := range of {
			i := slices.IndexFunc(blocks, func(a tableBlock) bool { return a.dst == b.dst && a.body == b.body })
			if i >= 0 {
				blocks[i].src += " " + b.src
			} else {
				blocks = append(blocks, b)
			}
		}
	}
	var text []string
	for _, b := range blocks {
		text = append(text, b.src+" → "+b.dst+"\n"+b.body)
	}
	return strings.Join(text, "\n")
}

// body writes the lines of one pair, rows of the same ways on one line.
func (rt *routeTable) body(src, dst string) string {
	type line struct{ rows, ways string }
	var lines []line
	for _, w := range matrixRows {
		ways := rt.ways(src, dst, w.name)
		i := slices.IndexFunc(lines, func(l line) bool { return l.ways == ways })
		switch {
		case ways == "":
		case i == 0: // as bare
		case i > 0:
			lines[i].rows += " " + w.name
		case len(lines) == 0:
			lines = append(lines, line{"*", ways})
		default:
			lines = append(lines, line{w.name, ways})
		}
	}
	var text strings.Builder
	for _, l := range lines {
		text.WriteString("\t" + l.rows + ": " + l.ways + "\n")
	}
	return text.String()
}

// ways writes the ways of one pair in one row, equal neighbours as one.
func (rt *routeTable) ways(src, dst, row string) string {
	var text []string
	for i := 0; i < len(matrixSizes); {
		first := i
		way, ok := rt.got[matrixKey{src, dst, row, matrixSizes[i].name}]
		if !ok {
			return ""
		}
		for i < len(matrixSizes) && rt.got[matrixKey{src, dst, row, matrixSizes[i].name}] == way {
			i++
		}
		sizes := matrixSizes[first].name
		if i-1 > first {
			sizes += "…" + matrixSizes[i-1].name
		}
		text = append(text, sizes+": "+way)
	}
	return strings.Join(text, " | ")
}

// parseTable is the reverse of format. It fails where a case is there twice.
func parseTable(text string) (map[matrixKey]string, error) {
	table := map[matrixKey]string{}
	for _, block := range strings.Split(text, "\n\n") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		src, dst, ok := strings.Cut(lines[0], " → ")
		if !ok {
			return nil, fmt.Errorf("%q does not name sources and destinations", lines[0])
		}
		if err := parseBlock(table, strings.Fields(src), strings.Fields(dst), lines[1:]); err != nil {
			return nil, fmt.Errorf("%s: %w", lines[0], err)
		}
	}
	return table, nil
}

func parseBlock(table map[matrixKey]string, srcs, dsts, lines []string) error {
	ways := map[string]map[string]string{} // by wrapper, by size
	for _, line := range lines {
		names, list, _ := strings.Cut(strings.TrimSpace(line), ": ")
		bySize, err := parseWays(list)
		if err != nil {
			return err
		}
		for _, name := range strings.Fields(names) {
			ways[name] = bySize
		}
	}
	for _, src := range srcs {
		for _, dst := range dsts {
			for _, w := range matrixRows {
				if w.manual || w.excludes(ztest.Kind(src), ztest.Kind(dst)) != "" {
					continue
				}
				bySize, ok := ways[w.name]
				if !ok {
					bySize = ways["*"]
				}
				for size, way := range bySize {
					k := matrixKey{src, dst, w.name, size}
					if _, twice := table[k]; twice {
						return fmt.Errorf("%v is there twice", k)
					}
					table[k] = way
				}
			}
		}
	}
	return nil
}

func parseWays(list string) (bySize map[string]string, err error) {
	bySize = map[string]string{}
	for item := range strings.SplitSeq(list, " | ") {
		sizes, way, _ := strings.Cut(item, ": ")
		first, last, ok := strings.Cut(sizes, "…")
		if !ok {
			last = first
		}
		index := func(name string) int {
			return slices.IndexFunc(matrixSizes, func(s matrixSize) bool { return s.name == name })
		}
		if index(first) < 0 || index(last) < 0 {
			return nil, fmt.Errorf("%q is no size of this test", sizes)
		}
		for _, s := range matrixSizes[index(first) : index(last)+1] {
			bySize[s.name] = way
		}
	}
	return bySize, nil
}
