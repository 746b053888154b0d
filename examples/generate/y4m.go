package main

import (
	"fmt"
	"math"
)

// A y4m makes a moving test picture in the YUV4MPEG2 format, of which yuv4mpeg(5) says
// all: a header, then for each frame a line and three planes, of which those of the
// colours have half the width and height.
//
// Each row of a plane is a window of a wave, that is longer by a period: to make a
// frame is to copy it from there, and to move the window is to move the picture.
type y4m struct {
	width, height int
	luma, u, v    []byte
	frame, row    int // row 0 is the line in front of the planes
	rest          []byte
}

const (
	lumaPeriod  = 256
	colorPeriod = 360
)

func newY4M(width, height int, seed uint64) *y4m {
	return &y4m{
		width: width, height: height,
		luma:  wave(width+lumaPeriod, lumaPeriod, 0, 126, 109),
		u:     wave(width/2+colorPeriod, colorPeriod, 0, 128, 90),
		v:     wave(width/2+colorPeriod, colorPeriod, 0.25, 128, 90),
		frame: int(seed % (lumaPeriod * colorPeriod)),
		rest:  fmt.Appendf(nil, "YUV4MPEG2 W%d H%d F25:1 Ip A1:1 C420jpeg\n", width, height),
	}
}

// wave returns n bytes around middle, that come again after each period.
func wave(n, period int, phase, middle, height float64) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(middle + math.Round(height*math.Sin(2*math.Pi*(float64(i%period)/float64(period)+phase))))
	}
	return p
}

// fill ends with each frame: who shows it shall not wait for the beginning of the next.
func (m *y4m) fill(p []byte, q *quota) (n int, records int64, whole bool) {
	for n < len(p) {
		if len(m.rest) == 0 {
			if m.row == 0 {
				if q.spent() {
					break
				}
				q.take(1, int64(len(frameLine)+m.width*m.height*3/2))
			}
			m.rest = m.window()
			m.row++
		}
		k := copy(p[n:], m.rest)
		n, m.rest = n+k, m.rest[k:]
		if len(m.rest) == 0 && m.row == 1+2*m.height {
			m.frame, m.row = m.frame+1, 0
			return n, 1, true
		}
	}
	return n, 0, m.row == 0 && len(m.rest) == 0
}

const frameLine = "FRAME\n"

// window returns the bytes of the row.
func (m *y4m) window() []byte {
	switch r := m.row - 1; {
	case r < 0:
		return []byte(frameLine)
	case r < m.height:
		return m.luma[(3*m.frame+r)%lumaPeriod:][:m.width]
	case r < m.height*3/2:
		return m.u[(2*m.frame+r)%colorPeriod:][:m.width/2]
	default:
		return m.v[(m.frame+2*r)%colorPeriod:][:m.width/2]
	}
}
