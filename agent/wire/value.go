package wire

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Values of a report are one stream of tokens; a token is an unsigned LEB128 varint, in a few cases with something
// behind it. Every float64 comes back bit for bit: NaN with its payload, -0, infinities. README.md has the figures.
//
// A plain token is payload·8 + tag:
const (
	tagInt      = iota // payload
	tagPage            // payload·4096: memory and file systems are counted in these
	tagCenti           // payload/100: the kernel counts CPU seconds in these
	tagMilli           // payload/1000: and disk seconds in these
	tagDeci            // payload/10
	tagDecimal         // ±m/10ᵉ: payload is m·32 + sign·16 + e, sign 1 for a negative value, e at most maxExponent
	tagNegative        // -payload
	tagControl         // payload 0: eight bytes of float64 follow, little endian; n: the value before n times more
)

// A difference token is payload·4 + skip, against the values in the same places of the base: skip values (at most two)
// are those of the base and the next one is not; or, when skip is 3, payload+3 values are those of the base. The one
// that is not:
//
//	payload even      zigzag(payload/2) more, counted in the base's own unit
//	payload mod 4 = 1 zigzag(payload/4) more, counted in hundredths
//	payload mod 4 = 3 k = payload/4: for k = 0 a plain token follows that stands for itself; otherwise a varint follows,
//	                  and it is zigzag of that more, counted in 10¹⁻ᵏ
const (
	skipRun  = 3
	maxDelta = 1 << 56 // so that a token fits 64 bits
)

const (
	maxExponent = 15
	page        = 4096
	maxInt      = 1 << 60 // so that a token fits 64 bits
	maxMantissa = 1 << 53 // integers up to here are exact in a float64
	// rawBytes is what a value takes as float64: anything as long is not worth its arithmetic.
	rawBytes = 9
)

// unit is what a value can be counted in: 10^-unit, or 4096 for unitPage.
type unit int8

const (
	unitPage unit = -1
	unitNone unit = -2 // it takes all its bits
)

var powers = [maxExponent + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// unitOf is the largest unit that v is a whole number of, and that number. It depends on v alone: both sides find the
// same.
func unitOf(v float64) (unit, int64) {
	a := math.Abs(v)
	switch {
	case v == 0:
		if math.Signbit(v) {
			return unitNone, 0
		}
		return 0, 0
	case a < maxInt && a == math.Trunc(a):
		n := int64(v)
		if n&(page-1) == 0 && n > 0 {
			return unitPage, n / page
		}
		return 0, n
	case !(a < maxMantissa): // infinities and NaN as well
		return unitNone, 0
	}
	for u := unit(1); u <= maxExponent; u++ {
		if n, ok := u.count(v); ok {
			return u, n
		}
	}
	return unitNone, 0
}

// count is how many of the unit v is, if it is a whole number of them.
func (u unit) count(v float64) (int64, bool) {
	if u == unitPage {
		n := int64(v)
		return n / page, math.Abs(v) < maxInt && n&(page-1) == 0 && float64(n) == v && (n != 0 || !math.Signbit(v))
	}
	f := math.RoundToEven(v * powers[u])
	if !(math.Abs(f) < maxMantissa) && (u != 0 || !(math.Abs(f) < maxInt)) {
		return 0, false
	}
	n := int64(f)
	return n, same(float64(n)/powers[u], v)
}

// value is n units.
func (u unit) value(n int64) float64 {
	if u == unitPage {
		return float64(n * page)
	}
	return float64(n) / powers[u]
}

func zigzag(n int64) uint64   { return uint64(n<<1) ^ uint64(n>>63) } //nolint:gosec // bits
func unzigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }    //nolint:gosec // bits
func same(a, b float64) bool  { return math.Float64bits(a) == math.Float64bits(b) }

// valueWriter appends values to b as tokens: all of them plain, or all as differences. flush ends it.
type valueWriter struct {
	b    []byte
	last float64
	run  uint64 // values that are as the one before, or as the base's, and not yet written
}

// plain adds a value that stands for itself.
func (w *valueWriter) plain(v float64) {
	if same(v, w.last) {
		w.run++
		return
	}
	w.flushPlain()
	w.last = v
	w.b = appendPlain(w.b, v)
}

func (w *valueWriter) flushPlain() {
	if w.run > 0 {
		w.b = binary.AppendUvarint(w.b, w.run<<3|tagControl)
		w.run = 0
	}
}

// difference adds a value in the place where the base has another.
func (w *valueWriter) difference(v, base float64) {
	if same(v, base) {
		w.run++
		return
	}
	if w.run >= skipRun {
		w.flushDifference()
	}
	w.b = appendDifference(w.b, v, base, w.run)
	w.run = 0
}

func (w *valueWriter) flushDifference() {
	for ; w.run > 0 && w.run < skipRun; w.run-- { // only at the end: too short for a run
		w.b = append(w.b, 0)
	}
	if w.run > 0 {
		w.b = binary.AppendUvarint(w.b, (w.run-skipRun)<<2|skipRun)
		w.run = 0
	}
}

func appendPlain(b []byte, v float64) []byte {
	u, n := unitOf(v)
	m := uint64(n) //nolint:gosec // made positive below
	if n < 0 {
		m = -m
	}
	var token uint64
	switch {
	case u == unitNone:
		return appendRaw(b, v)
	case u == 0 && n < 0:
		token = m<<3 | tagNegative
	case u == 0:
		token = m << 3 // | tagInt, which is 0
	case u == unitPage:
		token = m<<3 | tagPage
	case n >= 0 && u == 1:
		token = m<<3 | tagDeci
	case n >= 0 && u == 2:
		token = m<<3 | tagCenti
	case n >= 0 && u == 3:
		token = m<<3 | tagMilli
	default:
		token = (m<<5|uint64(u))<<3 | tagDecimal
		if n < 0 {
			token |= 16 << 3
		}
	}
	if uvarintSize(token) >= rawBytes {
		return appendRaw(b, v)
	}
	return binary.AppendUvarint(b, token)
}

func appendRaw(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(append(b, tagControl), math.Float64bits(v))
}

func appendDifference(b []byte, v, base float64, skip uint64) []byte {
	if u, from := unitOf(base); u != unitNone {
		if to, ok := u.count(v); ok && small(to-from) {
			return binary.AppendUvarint(b, zigzag(to-from)<<3|skip)
		}
		if diff, ok := between(2, v, base); ok {
			return binary.AppendUvarint(b, zigzag(diff)<<4|1<<2|skip)
		}
		if fine, _ := unitOf(v); fine >= 0 {
			if diff, ok := between(fine, v, base); ok {
				b = binary.AppendUvarint(b, uint64(fine+1)<<4|3<<2|skip)
				return binary.AppendUvarint(b, zigzag(diff))
			}
		}
	}
	return appendPlain(binary.AppendUvarint(b, 3<<2|skip), v)
}

// between is by how many of the unit v is more than base, if both are whole numbers of it.
func between(u unit, v, base float64) (int64, bool) {
	to, ok := u.count(v)
	from, ok2 := u.count(base)
	return to - from, ok && ok2 && small(to-from)
}

func small(diff int64) bool { return -maxDelta < diff && diff < maxDelta }

func uvarintSize(n uint64) int { return (bits.Len64(n|1) + 6) / 7 }

// valueReader takes values out of tokens. What it is given is not trusted: bad says that it was not what a writer
// writes.
type valueReader struct {
	reader
	last float64
	run  uint64 // values yet to come that are as the one before, or as the base's

	due     bool // after the run comes a value that payload is about
	payload uint64
}

// plain fills into with the next values.
func (r *valueReader) plain(into []float64) {
	for i := 0; i < len(into); {
		if r.run > 0 {
			n := int(min(r.run, uint64(len(into)-i))) //nolint:gosec // at most a length
			for end := i + n; i < end; i++ {
				into[i] = r.last
			}
			r.run -= uint64(n) //nolint:gosec // not negative
			continue
		}
		token := r.uvarint()
		if r.bad {
			return
		}
		if token&7 == tagControl && token>>3 > 0 {
			r.run = token >> 3
			continue
		}
		if r.last = r.number(token); r.bad {
			return
		}
		into[i] = r.last
		i++
	}
}

// number is what a plain token that is no run says.
func (r *valueReader) number(token uint64) float64 {
	m := token >> 3
	switch token & 7 {
	case tagInt:
		return float64(m)
	case tagPage:
		return float64(m) * page
	case tagCenti:
		return float64(m) / 100
	case tagMilli:
		return float64(m) / 1000
	case tagDeci:
		return float64(m) / 10
	case tagNegative:
		return -float64(m)
	case tagDecimal:
		v := float64(m>>5) / powers[m&15]
		if m&16 != 0 {
			return -v
		}
		return v
	}
	if m > 0 || len(r.b) < 8 {
		r.bad = true
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(r.bytes(8)))
}

// difference fills into with the next values, which lean on those of the base in the same places.
func (r *valueReader) difference(into, base []float64) {
	for i := 0; i < len(into); {
		if r.run > 0 {
			n := int(min(r.run, uint64(len(into)-i))) //nolint:gosec // at most a length
			copy(into[i:i+n], base[i:])
			i += n
			r.run -= uint64(n) //nolint:gosec // not negative
			continue
		}
		if r.due {
			into[i], r.due = r.other(base[i]), false
			if r.bad {
				return
			}
			i++
			continue
		}
		token := r.uvarint()
		if r.bad {
			return
		}
		if r.run = token & 3; r.run == skipRun {
			r.run += token >> 2
			continue
		}
		r.due, r.payload = true, token>>2
	}
}

// other is the value that the payload of a difference token is about.
func (r *valueReader) other(base float64) float64 {
	n := r.payload
	switch {
	case n&1 == 0:
		u, from := unitOf(base)
		if u == unitNone {
			if n == 0 { // said of the last values, when they are too few for a run
				return base
			}
			r.bad = true
			return 0
		}
		return u.value(from + unzigzag(n>>1))
	case n&3 == 1:
		return r.fine(2, n>>2, base)
	}
	k := n >> 2
	if k == 0 {
		return r.number(r.uvarint())
	}
	if k > maxExponent+1 {
		r.bad = true
		return 0
	}
	return r.fine(unit(k)-1, r.uvarint(), base) //nolint:gosec // 0 to maxExponent
}

func (r *valueReader) fine(u unit, diff uint64, base float64) float64 {
	from, ok := u.count(base)
	if !ok {
		r.bad = true
		return 0
	}
	return u.value(from + unzigzag(diff))
}

// end says whether the values end where the tokens do.
func (r *valueReader) end() bool { return !r.bad && r.run == 0 && !r.due && len(r.b) == 0 }
