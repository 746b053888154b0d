package main

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// csvHeader names the columns. pressure is in hPa.
const csvHeader = "time,id,city,temperature,humidity,pressure\n"

// cities are 32, so that five bits choose one.
var cities = [32]string{
	"Accra", "Almaty", "Athens", "Auckland", "Bergen", "Bogota", "Cairo", "Chennai",
	"Dakar", "Denver", "Dublin", "Hanoi", "Helsinki", "Jakarta", "Kyoto", "Lagos",
	"Lima", "Lisbon", "Manila", "Mumbai", "Nairobi", "Oslo", "Perth", "Prague",
	"Quito", "Reykjavik", "Riga", "Seoul", "Tallinn", "Tunis", "Vienna", "Warsaw",
}

// A csv makes rows of measurements, some milliseconds after each other:
//
//	2026-01-01T00:00:00.013Z,1,Oslo,-3.4,81,1013.25
type csv struct {
	random *rand.PCG // whose numbers are the same with every release of Go
	id     int64
	now    time.Time // of the row, in whole seconds
	milli  int
	second []byte // now as it is printed
	next   []byte // a row that did not fit
}

func newCSV(seed uint64) *csv {
	c := &csv{random: rand.NewPCG(seed, 0), next: []byte(csvHeader)}
	c.tick(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	return c
}

// fill puts in whole rows: each buffer ends with one. Rows are made in place. One that
// does not fit outgrows p, and is kept where append has put it.
func (c *csv) fill(p []byte, q *quota) (n int, records int64, whole bool) {
	n = copy(p, c.next) // p is a page at least
	if n > 0 && c.id > 0 {
		records++
	}
	c.next = c.next[:0]
	for !q.spent() {
		row := c.append(p[n:n])
		q.take(1, int64(len(row)))
		if len(row) > len(p)-n {
			c.next = row
			break
		}
		n += len(row)
		records++
	}
	return n, records, true
}

// append makes the next row.
func (c *csv) append(p []byte) []byte {
	r := c.random.Uint64()
	if c.milli += int(r & 15); c.milli >= 1000 {
		c.milli -= 1000
		c.tick(c.now.Add(time.Second))
	}
	c.id++
	p = append(p, c.second...)
	p = append(p, byte('0'+c.milli/100), byte('0'+c.milli/10%10), byte('0'+c.milli%10), 'Z', ',')
	p = strconv.AppendInt(p, c.id, 10)
	p = append(p, ',')
	p = append(p, cities[r>>4&31]...)
	p = append(p, ',')
	p = appendDecimal(p, int64(r>>16%600)-200, 10)
	p = append(p, ',')
	p = strconv.AppendInt(p, int64(r>>32%101), 10)
	p = append(p, ',')
	p = appendDecimal(p, int64(95000+r>>40%10000), 100)
	return append(p, '\n')
}

// tick prints the second that the following rows are in.
func (c *csv) tick(now time.Time) {
	c.now = now
	c.second = now.AppendFormat(c.second[:0], "2006-01-02T15:04:05.")
}

// appendDecimal prints v/unit, with one digit for a unit of 10 and two for 100.
func appendDecimal(p []byte, v, unit int64) []byte {
	if v < 0 {
		p, v = append(p, '-'), -v
	}
	p = strconv.AppendInt(p, v/unit, 10)
	p = append(p, '.')
	if unit == 100 {
		p = append(p, byte('0'+v/10%10))
	}
	return append(p, byte('0'+v%10))
}
