package main

import (
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string // also the reason for the row
		in     string
		out    string
		counts [3]int // passed, failed, skipped
	}{{
		name: "pass with subtests and a log",
		in: `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"run","Package":"p","Test":"TestA/x"}
{"Action":"output","Package":"p","Test":"TestA/x","Output":"    a_test.go:3: noise\n"}
{"Action":"output","Package":"p","Test":"TestA/x","Output":"    --- PASS: TestA/x (0.00s)\n"}
{"Action":"pass","Package":"p","Test":"TestA/x"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:9: 42 cases\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA (12.00s)\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":12}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t12.1s\n"}
{"Action":"pass","Package":"p","Elapsed":12.1}
`,
		out: `    TestA: 12s
    TestA: a_test.go:9: 42 cases
ok  	p	12.1s
2 passed, 0 failed, 0 skipped
`,
		counts: [3]int{2, 0, 0},
	}, {
		name: "a skipped test is listed with its reason, a package without tests is not",
		in: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: no kTLS\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"        here\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
{"Action":"output","Package":"q","Output":"?   \tq\t[no test files]\n"}
{"Action":"skip","Package":"q"}
`,
		out: `ok  	p	0.1s
?   	q	[no test files]
--- SKIP: p TestA: a_test.go:3: no kTLS here
0 passed, 0 failed, 1 skipped
`,
		counts: [3]int{0, 0, 1},
	}, {
		name: "a failed test is printed whole and counted once with its package",
		in: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: got 1\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"        want 2\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- FAIL: TestA (0.00s)\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
`,
		out: `    a_test.go:3: got 1
        want 2
--- FAIL: TestA (0.00s)
FAIL	p	0.1s
0 passed, 1 failed, 0 skipped
`,
		counts: [3]int{0, 1, 0},
	}, {
		name: "a package that does not build is a failure",
		in: `{"ImportPath":"p [p.test]","Action":"build-output","Output":"a_test.go:3:1: undefined: x\n"}
{"ImportPath":"p [p.test]","Action":"build-fail"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}
`,
		out: `a_test.go:3:1: undefined: x
FAIL	p [build failed]
0 passed, 1 failed, 0 skipped
`,
		counts: [3]int{0, 1, 0},
	}, {
		name: "a test that never ended has its output printed",
		in: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"panic: test timed out\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
`,
		out: `FAIL	p	0.1s
--- unfinished: p TestA
panic: test timed out
0 passed, 1 failed, 0 skipped
`,
		counts: [3]int{0, 1, 0},
	}, {
		name:   "what is no event goes through, with or without a newline",
		in:     "warning: x\n{\"Action\":\"start\",\"Package\":\"p\"}\n{}\nend",
		out:    "warning: x\n{}\nend\n0 passed, 0 failed, 0 skipped\n",
		counts: [3]int{0, 0, 0},
	}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			tally := newTally(&out)
			if err := tally.read(strings.NewReader(tt.in)); err != nil {
				t.Fatal(err)
			}
			tally.close()
			if out.String() != tt.out {
				t.Errorf("printed:\n%s\nwant:\n%s", out.String(), tt.out)
			}
			if got := [3]int{tally.passed, tally.failed, tally.skipped}; got != tt.counts {
				t.Errorf("counted %v, want %v", got, tt.counts)
			}
		})
	}
}
