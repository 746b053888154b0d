package main

// A content makes the bytes of one stream. They depend on the options and on nothing
// else: not on the buffers that they are put into.
type content interface {
	// fill puts the next bytes into p and returns how many, and how many records they
	// complete. It begins no more records than q has, of which it takes them. whole
	// reports whether the stream could end here.
	fill(p []byte, q *quota) (n int, records int64, whole bool)
}

// A quota is how many records may begin: so many, and as long as those before have had
// fewer bytes than that.
type quota struct{ records, bytes int64 }

func (q *quota) spent() bool { return q.records <= 0 || q.bytes <= 0 }

// take takes n records of size bytes each.
func (q *quota) take(n, size int64) {
	q.records -= n
	q.bytes -= n * size
}

func newContent(opt *options) content {
	switch opt.format {
	case "csv":
		return newCSV(opt.seed)
	case "y4m":
		return newY4M(opt.width, opt.height, opt.seed)
	default:
		return &lines{line: opt.text()}
	}
}
