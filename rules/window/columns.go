package window

import "slices"

// minRoom is for how many further samples columns are made at least.
const minRoom = 8

// columns are where the samples of a shape's series lie: one column of times for all of them, and a column of values for
// each in one piece of memory. So a block that comes in is written without an allocation but when the columns are full,
// and a time is kept once for all series.
//
// A series takes part while its times are those of the column: that is seen by where its newest time lies. One whose
// times are others, because it was in another block or late samples were put between its own, keeps slices of its own
// until the columns are made anew and its times are the same again. Like all slices of a series, columns are never
// written where a reader can see them: times of a series end where its slice ends, so that nobody but the shape can
// write behind it.
type columns struct {
	times []int64
}

// full tells whether the columns must be made anew before a sample can be written at t.
func (c *columns) full(t int64) bool {
	n := len(c.times)
	return n == cap(c.times) || n > 0 && c.times[n-1] >= t
}

// write adds a sample at t to every series and reports how many were added. The columns must not be full.
func (c *columns) write(slots []*series, t int64, values []float64) (added int) {
	n := len(c.times)
	var newest *int64
	if n > 0 {
		newest = &c.times[n-1]
	}
	c.times = append(c.times, t)
	for i, x := range slots {
		if x == nil {
			continue
		}
		if k := len(x.t); k > 0 && &x.t[k-1] == newest {
			x.t, x.v = c.times[n-k:n+1:n+1], append(x.v, values[i])
			added++
			continue
		}
		added += x.put(t, values[i])
	}
	return added
}

// renew makes columns for the samples that the series have, and room for half as many again, and writes as write does.
func (c *columns) renew(slots []*series, t int64, values []float64) (added int) {
	times, taking := common(slots)
	n := len(times)
	if n > 0 && times[n-1] >= t {
		taking = 0 // another block has written them already
	}
	if taking == 0 {
		c.times = nil
		for i, x := range slots {
			if x != nil {
				added += x.put(t, values[i])
			}
		}
		return added
	}
	room := n + max(n/2, minRoom)
	c.times = append(append(make([]int64, 0, room), times...), t)
	memory := make([]float64, taking*room)
	for i, x := range slots {
		switch {
		case x == nil:
		case x.more == nil && same(x.t, times):
			v := append(memory[:0:room], x.v...)
			memory = memory[room:]
			x.t, x.v = c.times[:n+1:n+1], append(v, values[i])
			added++
		default:
			added += x.put(t, values[i])
		}
	}
	return added
}

// common are times that many of the series have, and how many have them: those of a majority where there is one.
func common(slots []*series) (times []int64, have int) {
	var most *series
	votes := 0
	for _, x := range slots {
		switch {
		case x == nil || x.more != nil:
		case votes == 0:
			most, votes = x, 1
		case same(x.t, most.t):
			votes++
		default:
			votes--
		}
	}
	if most == nil {
		return nil, 0
	}
	for _, x := range slots {
		if x != nil && x.more == nil && same(x.t, most.t) {
			have++
		}
	}
	return most.t, have
}

// same tells whether two columns hold the same times; most often they are one.
func same(a, b []int64) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}
