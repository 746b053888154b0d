package main

import (
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// bars are what shows how far copies are. add may be called by any goroutine.
type bars interface {
	// add begins a copy. size is -1 if it is not known.
	add(name string, size int64) meter
	// wait returns once all that was begun is done and drawn; all says that nothing failed.
	wait(all bool)
}

// A meter is told of one copy.
type meter interface {
	moved(n int64) // what Progress calls
	done(complete bool)
}

// newBars returns bars on w, which are none if w is no terminal. There will be so many
// files with so many bytes together.
func newBars(kind string, w io.Writer, files int, total int64) bars {
	f, ok := w.(*os.File)
	if !ok || kind == "none" || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return noBars{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 { // a serial line
		width = 80
		w = struct{ io.Writer }{f} // mpb draws nothing on a terminal without a size
	}
	if kind == "schollz" {
		return newSchollz(w, width, files, total)
	}
	return newMpb(w, width, files, total)
}

type noBars struct{}

func (noBars) add(string, int64) meter { return noBars{} }
func (noBars) wait(bool)               {}
func (noBars) moved(int64)             {}
func (noBars) done(bool)               {}

// mpbBars has a bar of vbauerster/mpb for each file, and one for all.
type mpbBars struct {
	p     *mpb.Progress
	width int
	keep  bool     // bars of complete files
	total *mpb.Bar // nil if there is but one file
}

// maxBars is how many files there may be if the bars of complete ones stay: half of a
// common terminal.
const maxBars = 12

func newMpb(w io.Writer, width, files int, total int64) *mpbBars {
	b := &mpbBars{p: mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh()), width: width, keep: files <= maxBars}
	if files > 1 {
		b.total = b.bar("total", total, mpb.BarPriority(files))
	}
	return b
}

// bar adds a bar. It is not complete before it is said to be: a file may grow or shrink
// meanwhile.
func (b *mpbBars) bar(name string, size int64, options ...mpb.BarOption) *mpb.Bar {
	name = shorten(name, b.width/4)
	left := decor.Name(name, decor.WC{W: min(b.width/4, 20), C: decor.DindentRight})
	right := []decor.Decorator{decor.Percentage(decor.WC{W: 5})}
	if size < 0 {
		right = []decor.Decorator{decor.CurrentKiloByte(" % .1f", decor.WC{W: 9})}
	} else if b.width >= 60 {
		right = append(right, decor.CountersKiloByte(" % .1f / % .1f", decor.WC{W: 21}))
	}
	if b.width >= 80 {
		right = append(right,
			decor.AverageSpeed(decor.SizeB1000(0), " % .1f", decor.WC{W: 12}),
			decor.OnAbort(decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO, decor.WC{W: 8}), "    done"), " stopped"))
	}
	options = append(options, mpb.PrependDecorators(left), mpb.AppendDecorators(right...))
	bar := b.p.AddBar(0, options...)
	bar.SetTotal(max(size, 0), false)
	return bar
}

func (b *mpbBars) add(name string, size int64) meter {
	var options []mpb.BarOption
	if !b.keep {
		options = append(options, mpb.BarRemoveOnComplete())
	}
	return &mpbMeter{b, b.bar(name, size, options...)}
}

func (b *mpbBars) wait(all bool) {
	if b.total != nil {
		end(b.total, all)
	}
	b.p.Wait()
}

type mpbMeter struct {
	*mpbBars
	bar *mpb.Bar
}

func (m *mpbMeter) moved(n int64) {
	m.bar.IncrInt64(n)
	if m.total != nil {
		m.total.IncrInt64(n)
	}
}

func (m *mpbMeter) done(complete bool) { end(m.bar, complete) }

// end stops a bar where it is or, if it is complete, at its end.
func end(bar *mpb.Bar, complete bool) {
	if complete {
		bar.SetTotal(-1, true)
	}
	bar.Abort(false)
}

// schollzBar is one bar of schollz/progressbar for all files.
type schollzBar struct{ bar *progressbar.ProgressBar }

func newSchollz(w io.Writer, width, files int, total int64) *schollzBar {
	if total == 0 {
		total = -1 // a spinner
	}
	options := []progressbar.Option{
		progressbar.OptionSetWriter(w),
		progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(max(width-70, 5)),
		progressbar.OptionOnCompletion(func() { io.WriteString(w, "\n") }),
	}
	if width >= 80 {
		options = append(options, progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true))
	} else {
		options = append(options, progressbar.OptionSetPredictTime(false))
	}
	return &schollzBar{progressbar.NewOptions64(total, options...)}
}

func (s *schollzBar) add(string, int64) meter { return s }
func (s *schollzBar) moved(n int64)           { s.bar.Add64(n) }
func (s *schollzBar) done(bool)               {}

// wait leaves the bar where it is if bytes are missing.
func (s *schollzBar) wait(all bool) {
	switch {
	case s.bar.IsFinished():
	case all:
		s.bar.Finish() // of unknown size, or a file has shrunk
	default:
		s.bar.Exit()
	}
}

// shorten cuts a name in the middle.
func shorten(name string, most int) string {
	r := []rune(name)
	if most = max(most, 3); len(r) <= most {
		return name
	}
	head := (most - 1) / 2
	return strings.ToValidUTF8(string(r[:head])+"…"+string(r[len(r)-(most-1-head):]), "?")
}
