package program

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/util/kahansum"
)

// kahan is kahansum.Inc where sums stay finite: the same numbers, but small enough for the compiler to put it into a loop.
func kahan(x, sum, c float64) (newSum, newC float64) {
	t := sum + x
	if math.Abs(sum) < math.Abs(x) {
		sum, x = x, sum
	}
	return t, c + ((sum - t) + x)
}

// finite tells whether v is neither infinite nor NaN; a sum that is was so all the time.
func finite(v float64) bool { return v-v == 0 }

// addUp adds values to a sum that begins with start, with Kahan's correction.
func addUp(start float64, v []float64) (sum, c float64) {
	sum = start
	for _, x := range v {
		sum, c = kahan(x, sum, c)
	}
	if finite(sum) {
		return sum, c
	}
	sum, c = start, 0
	for _, x := range v {
		sum, c = kahansum.Inc(x, sum, c)
	}
	return sum, c
}

// average is the mean, with Kahan's correction. As long as the sum does not overflow it is the sum by the count, as in
// Prometheus; from there on it goes from mean to mean.
func average(v []float64) float64 {
	if sum, c := addUp(v[0], v[1:]); finite(sum) {
		n := float64(len(v))
		return sum/n + c/n
	}
	return averageBeyond(v)
}

// averageBeyond is the mean of values whose sum overflows, or that are not all finite.
func averageBeyond(v []float64) float64 {
	sum, count := v[0], 1.0
	var mean, c float64
	incremental := false
	for i, x := range v[1:] {
		count = float64(i + 2)
		if !incremental {
			s, nc := kahansum.Inc(x, sum, c)
			if !math.IsInf(s, 0) {
				sum, c = s, nc
				continue
			}
			incremental = true
			mean = sum / (count - 1)
			c /= count - 1
		}
		q := (count - 1) / count
		mean, c = kahansum.Inc(x/count, q*mean, q*c)
	}
	if incremental {
		return mean + c
	}
	return sum/count + c/count
}

// largest is the maximum; NaN only when there is nothing else.
func largest(v []float64) float64 {
	most := v[0]
	for _, x := range v {
		if x > most || math.IsNaN(most) {
			most = x
		}
	}
	return most
}

// smallest is the minimum; NaN only when there is nothing else.
func smallest(v []float64) float64 {
	least := v[0]
	for _, x := range v {
		if x < least || math.IsNaN(least) {
			least = x
		}
	}
	return least
}

// total is the sum over series, with Kahan's correction.
func total(v []float64) float64 {
	sum, c := addUp(v[0], v[1:])
	return sum + c
}

// variance is over series; NaN as soon as the first of them is not finite.
func variance(v []float64) float64 {
	mean, sum := v[0], 0.0
	if math.IsNaN(mean) || math.IsInf(mean, 0) {
		sum = math.NaN()
	}
	for i, x := range v[1:] {
		delta := x - mean
		mean += delta / float64(i+2)
		sum += delta * (x - mean)
	}
	return sum / float64(len(v))
}

// quantile interpolates between the two values around the rank; NaN counts as less than everything. It sorts v.
func quantile(q float64, v []float64) float64 {
	switch {
	case len(v) == 0 || math.IsNaN(q):
		return math.NaN()
	case q < 0:
		return math.Inf(-1)
	case q > 1:
		return math.Inf(+1)
	}
	slices.Sort(v)
	n := float64(len(v))
	rank := q * (n - 1)
	lower := math.Max(0, math.Floor(rank))
	upper := math.Min(n-1, lower+1)
	weight := rank - math.Floor(rank)
	return v[int(lower)]*(1-weight) + v[int(upper)]*weight
}
