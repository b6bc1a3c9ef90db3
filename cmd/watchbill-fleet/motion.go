package main

import (
	"math"
	"math/rand/v2"
	"time"
)

// movement is the way a value goes from one sample to the next.
type movement uint8

const (
	still   movement = iota // never changes
	counter                 // grows
	gauge                   // wanders between two bounds
	clock                   // is the time
	booted                  // is the time the host was booted
)

// motion is how the value of one series moves. That a value does not move at every sample is what real ones do, and what
// an encoding profits from.
type motion struct {
	kind movement
	// chance is how often the value moves, of all samples.
	chance float64
	// low and high bound a gauge; a counter begins between them, a still value is low.
	low, high float64
	// step is how much a counter grows in a second, on average, and how far a gauge goes at once, at most.
	step float64
	// grain is what all values are multiples of: pages, hundredths of a second.
	grain float64
}

// fixed is a value that stays.
func fixed(v float64) motion { return motion{kind: still, low: v} }

// grows is a counter that moves at a share of all samples and grows by perSecond on average.
func grows(chance, perSecond, grain float64) motion {
	return motion{kind: counter, chance: chance, step: perSecond, grain: grain, low: perSecond * 1e5, high: perSecond * 1e6}
}

// wanders is a gauge between low and high that moves at a share of all samples.
func wanders(chance, low, high, grain float64) motion {
	return motion{kind: gauge, chance: chance, low: low, high: high, step: (high - low) / 20, grain: grain}
}

// first is a value to begin with.
func (m motion) first(r *rand.Rand, now, boot time.Time) float64 {
	switch m.kind {
	case counter, gauge:
		return round(m.low+r.Float64()*(m.high-m.low), m.grain)
	case clock:
		return seconds(now)
	case booted:
		return math.Floor(seconds(boot))
	}
	return m.low
}

// next is the value after v, d later.
func (m motion) next(v float64, r *rand.Rand, now time.Time, d time.Duration) float64 {
	switch m.kind {
	case clock:
		return seconds(now)
	case counter:
		if r.Float64() < m.chance {
			// At least a grain, for it has moved; on average the step, although it moves only now and then.
			return round(v+max(m.grain, m.step*d.Seconds()/m.chance*(0.5+r.Float64())), m.grain)
		}
	case gauge:
		if r.Float64() < m.chance {
			return m.wander(v, r)
		}
	}
	return v
}

// wander turns back at the bounds.
func (m motion) wander(v float64, r *rand.Rand) float64 {
	step := max(m.grain, r.Float64()*m.step)
	if r.Uint64()&1 == 0 {
		step = -step
	}
	if w := v + step; w < m.low || w > m.high {
		step = -step
	}
	return round(min(max(v+step, m.low), m.high), m.grain)
}

// round makes v a multiple of grain. Fractions are divided, not multiplied, so that hundredths are the nearest float64
// to a decimal, as they are when a program reads them from text.
func round(v, grain float64) float64 {
	switch {
	case grain == 0:
		return v
	case grain < 1:
		parts := math.Round(1 / grain)
		return math.Round(v*parts) / parts
	}
	return math.Round(v/grain) * grain
}

// seconds is t as exporters have it: Unix time with milliseconds.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
