package window

import (
	"encoding/binary"
	"math"
	"time"
)

// fail makes all that is read from here on nothing.
func (l *load) fail() { l.in = nil }

func (l *load) number() int64 {
	v, n := binary.Varint(l.in)
	if n <= 0 {
		l.fail()
		return 0
	}
	l.in = l.in[n:]
	return v
}

func (l *load) time() time.Time { return time.UnixMilli(l.number()) }

// count is a number of things of which there can be limit at most.
func (l *load) count(limit int) int {
	v, n := binary.Uvarint(l.in)
	if n <= 0 || v > uint64(limit) {
		l.fail()
		return 0
	}
	l.in = l.in[n:]
	return int(v)
}

func (l *load) bytes(n int) []byte {
	if n > len(l.in) {
		l.fail()
		return nil
	}
	b := l.in[:n:n]
	l.in = l.in[n:]
	return b
}

func (l *load) text() string { return string(l.bytes(l.count(len(l.in)))) }

func (l *load) flag() bool {
	b := l.bytes(1)
	return len(b) == 1 && b[0] == 1
}

func (l *load) numbers(n int) []int64 {
	if n > len(l.in) {
		l.fail()
		return nil
	}
	out := make([]int64, n)
	for i := range out {
		out[i] = l.number()
	}
	return out
}

// ascending are times, each later than the one before.
func (l *load) ascending(n int) []int64 {
	out := l.numbers(n)
	for i := 1; i < len(out); i++ {
		if out[i] <= out[i-1] {
			l.fail()
			return nil
		}
	}
	return out
}

func (l *load) values(n int) []float64 {
	b := l.bytes(8 * n)
	if b == nil {
		return nil
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return out
}
