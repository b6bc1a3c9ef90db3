package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/ticket"
)

// chartCells is how wide a curve is drawn at most.
const chartCells = 60

// chart draws a series in one line of bars with its extremes in words under it.
func (s screen) chart(indent string, series ticket.Series) {
	points := finite(series.Points)
	if len(points) == 0 {
		fmt.Fprintln(s.w, indent+"(no values)")
		return
	}
	cells := chartCells
	if s.width > 0 {
		cells = min(cells, max(10, s.width-columns(indent)-2))
	}
	low, high := points[0], points[0]
	for _, p := range points {
		if p[1] < low[1] {
			low = p
		}
		if p[1] > high[1] {
			high = p
		}
	}
	fmt.Fprintln(s.w, indent+bars(points, low[1], high[1], cells))
	first, last := points[0], points[len(points)-1]
	value := func(p [2]float64) string { return number(series.Name, p[1]) }
	text := fmt.Sprintf("%s to %s; min %s at %s; max %s at %s; last %s", s.stamp(moment(first)), s.stamp(moment(last)),
		value(low), s.clock(low), value(high), s.clock(high), value(last))
	s.para(indent, indent, text)
}

// finite leaves out what cannot be drawn.
func finite(points [][2]float64) [][2]float64 {
	var out [][2]float64
	for _, p := range points {
		if !math.IsNaN(p[1]) && !math.IsInf(p[1], 0) && !math.IsNaN(p[0]) && math.Abs(p[0]) < 1e11 {
			out = append(out, p)
		}
	}
	return out
}

func moment(p [2]float64) time.Time { return time.UnixMilli(int64(p[0] * 1000)) }

// clock is the time of day of a point.
func (s screen) clock(p [2]float64) string { return moment(p).In(s.zone).Format("15:04:05") }

// gapFactor is how many usual spacings two points may be apart before something is missing between them.
const gapFactor = 2.5

// spacing is the median time between neighbours, the lesser of the two middle ones where there are two.
func spacing(points [][2]float64) float64 {
	if len(points) < 2 {
		return 0
	}
	apart := make([]float64, len(points)-1)
	for i := range apart {
		apart[i] = points[i+1][0] - points[i][0]
	}
	slices.Sort(apart)
	return apart[(len(apart)-1)/2]
}

// bars is one letter per equal stretch of time, as high as the value in it that is farthest from the mean of all, so
// that a short spike or dip is seen. A stretch without a value is as high as the value before it when that is only how
// the points fall on the letters, and blank when points are missing.
func bars(points [][2]float64, low, high float64, cells int) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	from, to := points[0][0], points[len(points)-1][0]
	cells = min(cells, len(points))
	mean := 0.0
	for _, p := range points {
		mean += p[1] / float64(len(points))
	}
	at := make([]float64, cells)
	for i := range at {
		at[i] = math.NaN()
	}
	gap := gapFactor * spacing(points)
	before := 0
	for n, p := range points {
		i := 0
		if to > from {
			i = min(cells-1, max(0, int((p[0]-from)/(to-from)*float64(cells))))
		}
		if math.IsNaN(at[i]) || math.Abs(p[1]-mean) > math.Abs(at[i]-mean) {
			at[i] = p[1]
		}
		for ; before < i; before++ {
			if math.IsNaN(at[before]) && p[0]-points[n-1][0] <= gap {
				at[before] = points[n-1][1]
			}
		}
	}
	var b strings.Builder
	for _, v := range at {
		switch {
		case math.IsNaN(v):
			b.WriteByte(' ')
		case high == low:
			b.WriteRune(levels[3])
		default:
			share := (v/2 - low/2) / (high/2 - low/2)
			b.WriteRune(levels[min(len(levels)-1, max(0, int(share*float64(len(levels)))))])
		}
	}
	return b.String()
}
