package program

import (
	"math"
	"time"
)

// mathFuncs are the functions of one sample.
var mathFuncs = map[string]func(float64) float64{
	"abs": math.Abs, "ceil": math.Ceil, "floor": math.Floor, "exp": math.Exp, "sqrt": math.Sqrt,
	"ln": math.Log, "log2": math.Log2, "log10": math.Log10,
	"sin": math.Sin, "cos": math.Cos, "tan": math.Tan, "asin": math.Asin, "acos": math.Acos, "atan": math.Atan,
	"sinh": math.Sinh, "cosh": math.Cosh, "tanh": math.Tanh, "asinh": math.Asinh, "acosh": math.Acosh, "atanh": math.Atanh,
	"rad": func(v float64) float64 { return v * math.Pi / 180 },
	"deg": func(v float64) float64 { return v * 180 / math.Pi },
	"sgn": sign,
}

func sign(v float64) float64 {
	switch {
	case v < 0:
		return -1
	case v > 0:
		return 1
	}
	return v
}

func negate(v float64) float64 { return -v }

// dateFuncs are the functions of a time, in UTC.
var dateFuncs = map[string]func(time.Time) float64{
	"days_in_month": func(t time.Time) float64 {
		return float64(32 - time.Date(t.Year(), t.Month(), 32, 0, 0, 0, 0, time.UTC).Day())
	},
	"day_of_month": func(t time.Time) float64 { return float64(t.Day()) },
	"day_of_week":  func(t time.Time) float64 { return float64(t.Weekday()) },
	"day_of_year":  func(t time.Time) float64 { return float64(t.YearDay()) },
	"hour":         func(t time.Time) float64 { return float64(t.Hour()) },
	"minute":       func(t time.Time) float64 { return float64(t.Minute()) },
	"month":        func(t time.Time) float64 { return float64(t.Month()) },
	"year":         func(t time.Time) float64 { return float64(t.Year()) },
}

// dateOp is a function of the times that samples say, in seconds.
type dateOp struct {
	v  span
	do func(time.Time) float64
}

func (o *dateOp) run(m *Machine) error {
	v := m.reg(o.v)
	for i, x := range v {
		if !absent(x) {
			v[i] = o.do(time.Unix(int64(x), 0).UTC())
		}
	}
	return nil
}

func (o *dateOp) size() int { return 16 }

// todayOp is a function of the time of the evaluation.
type todayOp struct {
	out span
	do  func(time.Time) float64
}

func (o *todayOp) run(m *Machine) error {
	m.mem[o.out.at] = o.do(time.Unix(m.t/1000, 0).UTC())
	return nil
}

func (o *todayOp) size() int { return 16 }
