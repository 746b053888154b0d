package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
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
	stamp  []byte // now as it is printed, with a comma
	next   []byte // a row that did not fit
	text   *texts
}

func newCSV(seed uint64) *csv {
	c := &csv{random: rand.NewPCG(seed, 0), next: []byte(csvHeader), text: columns()}
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
		row := c.append(p[n:n:len(p)])
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
	copy(c.stamp[len("2026-01-01T00:00:00."):], c.text.millis[c.milli])
	p = append(p, c.stamp...)
	p = strconv.AppendInt(p, c.id, 10)
	p = append(p, c.text.cities[r>>4&31]...)
	p = append(p, c.text.temperatures[r>>16&511]...)
	p = append(p, c.text.humidities[r>>32&63]...)
	return append(p, c.text.pressures[r>>40&8191]...)
}

// tick prints the second that the following rows are in.
func (c *csv) tick(now time.Time) {
	c.now = now
	c.stamp = now.AppendFormat(c.stamp[:0], "2006-01-02T15:04:05.000Z,")
}

// texts are the values of columns as they are printed, with what is between: they have so
// few that each is printed once.
type texts struct {
	millis, cities, temperatures, humidities, pressures []string
}

var columns = sync.OnceValue(func() *texts {
	t := new(texts)
	for i := range 1000 {
		t.millis = append(t.millis, fmt.Sprintf("%03d", i))
	}
	for _, city := range cities {
		t.cities = append(t.cities, ","+city+",")
	}
	for i := range 512 {
		t.temperatures = append(t.temperatures, strconv.FormatFloat(float64(i-150)/10, 'f', 1, 64)+",")
	}
	for i := range 64 {
		t.humidities = append(t.humidities, strconv.Itoa(30+i)+",")
	}
	for i := range 8192 {
		t.pressures = append(t.pressures, strconv.FormatFloat(float64(96000+i)/100, 'f', 2, 64)+"\n")
	}
	return t
})
