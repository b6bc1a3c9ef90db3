package program

import (
	"math"

	"github.com/prometheus/prometheus/util/kahansum"
)

// over is a function of a range as an expression names it.
type over struct {
	do rangeFunc
	// param is the argument that is its scalar, -1 where there is none; series is the one that is its range.
	param, series int
	// keepsName is set where the result is a sample of the series itself.
	keepsName bool
}

func plain(do rangeFunc) over { return over{do: do, param: -1} }

// rangeFuncs are the functions of a range.
var rangeFuncs = map[string]over{
	"rate": plain(rate), "increase": plain(increase), "delta": plain(delta), "irate": plain(irate), "idelta": plain(idelta),
	"deriv": plain(deriv), "predict_linear": {do: predictLinear, param: 1}, "changes": plain(changes), "resets": plain(resets),
	"avg_over_time": plain(avgOverTime), "sum_over_time": plain(sumOverTime), "count_over_time": plain(countOverTime),
	"min_over_time": plain(minOverTime), "max_over_time": plain(maxOverTime), "present_over_time": plain(presentOverTime),
	"stdvar_over_time": plain(stdvarOverTime), "stddev_over_time": plain(stddevOverTime),
	"quantile_over_time": {do: quantileOverTime, param: 0, series: 1},
	"last_over_time":     {do: lastOverTime, param: -1, keepsName: true},
	"first_over_time":    {do: firstOverTime, param: -1, keepsName: true},
	"absent_over_time":   plain(presentOverTime),
}

func rate(p *points) (float64, bool)     { return extrapolate(p, true, true) }
func increase(p *points) (float64, bool) { return extrapolate(p, true, false) }
func delta(p *points) (float64, bool)    { return extrapolate(p, false, false) }

// nearby is how much further than samples are apart, on average, the first and the last of them may be from the bounds
// of the range for it to be taken that the series goes on to there.
const nearby = 1.1

// extrapolate is how much a series changed over the range, as Prometheus extrapolates it to the bounds. Counters are
// corrected for resets and not taken below zero; perSecond divides by the length of the range.
func extrapolate(p *points, counter, perSecond bool) (float64, bool) {
	if len(p.v) < 2 {
		return 0, false
	}
	change := changed(p.v, counter)
	return change * stretch(p, change, counter, perSecond), true
}

// changed is from the first to the last sample; a counter that falls began anew at zero.
func changed(v []float64, counter bool) float64 {
	change := v[len(v)-1] - v[0]
	if counter {
		before := v[0]
		for _, x := range v[1:] {
			if x < before {
				change += before
			}
			before = x
		}
	}
	return change
}

// stretch is by what the change between the samples is multiplied.
func stretch(p *points, change float64, counter, perSecond bool) float64 {
	last := len(p.v) - 1
	sampled := float64(p.t[last]-p.t[0]) / 1000
	toStart := float64(p.t[0]-p.start) / 1000
	toEnd := float64(p.end-p.t[last]) / 1000
	apart := sampled / float64(last)
	far := apart * nearby
	if toStart >= far {
		toStart = apart / 2
	}
	if counter {
		toZero := toStart
		if change > 0 && p.v[0] >= 0 {
			toZero = sampled * (p.v[0] / change)
		}
		if toZero < toStart {
			toStart = toZero
		}
	}
	if toEnd >= far {
		toEnd = apart / 2
	}
	factor := 1.0
	if sampled != 0 {
		factor = (sampled + toStart + toEnd) / sampled
	}
	if perSecond {
		factor /= p.seconds
	}
	return factor
}

func irate(p *points) (float64, bool)  { return instant(p, true) }
func idelta(p *points) (float64, bool) { return instant(p, false) }

// instant is the change between the last two samples; per second, and corrected for a reset, of a counter.
func instant(p *points, counter bool) (float64, bool) {
	last := len(p.v) - 1
	if last == 0 || p.t[last] == p.t[last-1] {
		return 0, false
	}
	v := p.v[last]
	if !counter || !(v < p.v[last-1]) {
		v -= p.v[last-1]
	}
	if counter {
		v /= float64(p.t[last]-p.t[last-1]) / 1000
	}
	return v, true
}

func deriv(p *points) (float64, bool) {
	if len(p.v) < 2 {
		return 0, false
	}
	slope, _ := regression(p, p.t[0])
	return slope, true
}

func predictLinear(p *points) (float64, bool) {
	if len(p.v) < 2 {
		return 0, false
	}
	slope, intercept := regression(p, p.now)
	return slope*p.arg + intercept, true
}

// regression is the least-squares line through the samples; the intercept is at the given time.
func regression(p *points, at int64) (slope, intercept float64) {
	var sumX, cX, sumY, cY, sumXY, cXY, sumX2, cX2 float64
	flat := true
	for i, y := range p.v {
		if flat && i > 0 && y != p.v[0] {
			flat = false
		}
		x := float64(p.t[i]-at) / 1e3
		sumX, cX = kahansum.Inc(x, sumX, cX)
		sumY, cY = kahansum.Inc(y, sumY, cY)
		sumXY, cXY = kahansum.Inc(x*y, sumXY, cXY)
		sumX2, cX2 = kahansum.Inc(x*x, sumX2, cX2)
	}
	if flat {
		if math.IsInf(p.v[0], 0) {
			return math.NaN(), math.NaN()
		}
		return 0, p.v[0]
	}
	n := float64(len(p.v))
	sumX += cX
	sumY += cY
	sumXY += cXY
	sumX2 += cX2
	covariance := sumXY - sumX*sumY/n
	variance := sumX2 - sumX*sumX/n
	slope = covariance / variance
	return slope, sumY/n - slope*sumX/n
}

func changes(p *points) (float64, bool) {
	n, before := 0, p.v[0]
	for _, x := range p.v[1:] {
		if x != before && !(math.IsNaN(x) && math.IsNaN(before)) {
			n++
		}
		before = x
	}
	return float64(n), true
}

func resets(p *points) (float64, bool) {
	n, before := 0, p.v[0]
	for _, x := range p.v[1:] {
		if x < before {
			n++
		}
		before = x
	}
	return float64(n), true
}

func countOverTime(p *points) (float64, bool) { return float64(len(p.v)), true }
func presentOverTime(*points) (float64, bool) { return 1, true }
func lastOverTime(p *points) (float64, bool)  { return p.v[len(p.v)-1], true }
func firstOverTime(p *points) (float64, bool) { return p.v[0], true }
func avgOverTime(p *points) (float64, bool)   { return average(p.v), true }
func maxOverTime(p *points) (float64, bool)   { return largest(p.v), true }
func minOverTime(p *points) (float64, bool)   { return smallest(p.v), true }

func sumOverTime(p *points) (float64, bool) {
	var sum, c float64
	for _, x := range p.v {
		sum, c = kahansum.Inc(x, sum, c)
	}
	if math.IsInf(sum, 0) {
		return sum, true
	}
	return sum + c, true
}

func stdvarOverTime(p *points) (float64, bool) {
	var count, mean, cMean, aux, cAux float64
	for _, x := range p.v {
		count++
		delta := x - (mean + cMean)
		mean, cMean = kahansum.Inc(delta/count, mean, cMean)
		aux, cAux = kahansum.Inc(delta*(x-(mean+cMean)), aux, cAux)
	}
	return (aux + cAux) / count, true
}

func stddevOverTime(p *points) (float64, bool) {
	v, ok := stdvarOverTime(p)
	return math.Sqrt(v), ok
}

func quantileOverTime(p *points) (float64, bool) {
	p.m.sorted = append(p.m.sorted[:0], p.v...)
	return quantile(p.arg, p.m.sorted), true
}
