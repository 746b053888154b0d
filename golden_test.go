package zerocopy_test

import "flag"

// update has the tests that compare with a golden table in testdata/ write it anew.
var update = flag.Bool("update", false, "write the golden tables in testdata/ anew")
