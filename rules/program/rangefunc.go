package program

import (
	"math"
	"slices"

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
	if flat(p.v) {
		if math.IsInf(p.v[0], 0) {
			return math.NaN(), math.NaN()
		}
		return 0, p.v[0]
	}
	a := &p.m.abscissae
	a.of(p.t, at)
	sumY, cY, sumXY, cXY := a.sums(p.v)
	n := float64(len(p.v))
	sumY += cY
	sumXY += cXY
	covariance := sumXY - a.sum*sumY/n
	variance := a.squares - a.sum*a.sum/n
	slope = covariance / variance
	return slope, sumY/n - slope*a.sum/n
}

// flat tells whether all samples are equal.
func flat(v []float64) bool {
	for _, x := range v[1:] {
		if x != v[0] {
			return false
		}
	}
	return true
}

// abscissae are the times of samples, in seconds after one of them, and their sums: the same for all series of a block.
type abscissae struct {
	t            []int64
	at           int64
	x            []float64
	sum, squares float64
}

// sums are those of the samples, and of the samples by their times, with Kahan's corrections.
func (a *abscissae) sums(v []float64) (sum, c, products, cc float64) {
	x := a.x[:len(v)]
	for i, y := range v {
		sum, c = kahan(y, sum, c)
		products, cc = kahan(float64(x[i]*y), products, cc)
	}
	if finite(sum) && finite(products) {
		return sum, c, products, cc
	}
	sum, c, products, cc = 0, 0, 0, 0
	for i, y := range v {
		sum, c = kahansum.Inc(y, sum, c)
		products, cc = kahansum.Inc(x[i]*y, products, cc)
	}
	return sum, c, products, cc
}

func (a *abscissae) of(t []int64, at int64) {
	if a.at == at && slices.Equal(a.t, t) {
		return
	}
	a.t, a.at, a.x = append(a.t[:0], t...), at, a.x[:0]
	var sum, c, squares, cc float64
	for _, t := range t {
		x := float64(t-at) / 1e3
		a.x = append(a.x, x)
		sum, c = kahansum.Inc(x, sum, c)
		squares, cc = kahansum.Inc(x*x, squares, cc)
	}
	a.sum, a.squares = sum+c, squares+cc
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
	sum, c := addUp(0, p.v)
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
