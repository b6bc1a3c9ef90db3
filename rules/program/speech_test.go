package program

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// speaker draws expressions of the covered grammar. Pinned, every selector names one instance, and anything goes.
type speaker struct {
	*rapid.T
	pinned string
	// inside says that a subquery is being drawn, ordered that what is drawn is for topk or bottomk: which of equal samples
	// these take is a matter of order, which subqueries and sorting forget.
	inside, ordered bool
}

func (s speaker) pick(what string, of ...string) string { return rapid.SampledFrom(of).Draw(s.T, what) }
func (s speaker) chance(n int) bool                     { return rapid.IntRange(0, n-1).Draw(s.T, "chance") == 0 }

func (s speaker) selector() string {
	name := s.pick("name", "a", "b", "c", "total", "up", "h_bucket", `{__name__=~"a|b"}`, `{__name__=~"a|c|total", d="1"}`, "none", `{__name__=~"swap."}`)
	var ms []string
	if s.pinned != "" {
		ms = append(ms, fmt.Sprintf("instance=%q", s.pinned))
	}
	if s.chance(3) {
		ms = append(ms, s.pick("matcher", `d="1"`, `d!="1"`, `d=~"1|2"`, `m!~"u"`, `d=""`, `job="node"`, `customer="acme"`, `site=""`, `site!="hq"`))
	}
	if s.pinned == "" && s.chance(6) {
		ms = append(ms, s.pick("instance", `instance="web1"`, `instance=~"web.*"`, `instance!="web1"`, `instance=""`))
	}
	if strings.HasPrefix(name, "{") {
		return strings.TrimSuffix(name, "}") + strings.Join(append([]string{""}, ms...), ", ") + "}"
	}
	return name + "{" + strings.Join(ms, ", ") + "}"
}

func (s speaker) when() string {
	if !s.chance(5) {
		return ""
	}
	return s.pick("when", " offset 1m", " offset 5m", " offset -30s", " @ end()", " @ start() offset 10s", " offset 7s")
}

func (s speaker) length() string {
	return s.pick("range", "15s", "1m", "2m", "5m", "90s", "7s", "10m", "1ms", "30001ms")
}

func (s speaker) number() string {
	return s.pick("number", "0", "1", "2", "-1", "0.5", "3.25", "100", "Inf", "-Inf", "NaN", "1e300", "0.9")
}

func (s speaker) scalar(depth int) string {
	switch n := rapid.IntRange(0, 9).Draw(s.T, "scalar"); {
	case n < 6 || depth <= 0:
		return s.number()
	case n == 6:
		return s.pick("clock", "time()", "pi()", "-time()", "scalar(hour())")
	case n == 7 && s.pinned != "":
		return "scalar(" + s.vector(depth-1) + ")"
	case n == 7:
		return "scalar(vector(" + s.scalar(depth-1) + "))"
	}
	return "(" + s.scalar(depth-1) + " " + s.pick("op", "+", "-", "*", "/", "% ", "^", "atan2", "> bool", "== bool") + " " + s.scalar(depth-1) + ")"
}

// vector draws an expression that gives a vector.
func (s speaker) vector(depth int) string {
	if depth <= 0 {
		return s.leaf()
	}
	switch rapid.IntRange(0, 13).Draw(s.T, "vector") {
	case 0, 1:
		return s.ranged(depth)
	case 2:
		return s.function(depth - 1)
	case 3, 4:
		return s.withScalar(depth - 1)
	case 5, 6, 7:
		return s.match(depth - 1)
	case 8:
		return s.set(depth - 1)
	case 9, 10:
		return s.aggregate(depth - 1)
	case 11:
		return s.labelled(depth - 1)
	case 12:
		return s.odd(depth - 1)
	}
	return s.leaf()
}

func (s speaker) leaf() string {
	if s.chance(3) {
		return s.ranged(0)
	}
	return s.selector() + s.when()
}

func (s speaker) ranged(depth int) string {
	of := s.selector() + "[" + s.length() + "]" + s.when()
	if depth > 0 && !s.inside && !s.ordered && s.chance(4) {
		in := s
		in.inside = true
		every := s.pick("step", "15s", "7s", "1m", "")
		of = "(" + in.vector(depth-1) + ")[" + s.pick("range", "1m", "2m", "5m", "15s") + ":" + every + "]" + s.when()
	}
	switch f := s.pick("range function", "rate", "rate", "increase", "delta", "irate", "idelta", "deriv", "changes", "resets",
		"avg_over_time", "min_over_time", "max_over_time", "sum_over_time", "count_over_time", "last_over_time",
		"first_over_time", "present_over_time", "stddev_over_time", "stdvar_over_time", "quantile_over_time", "predict_linear"); f {
	case "quantile_over_time":
		return f + "(" + s.scalar(depth-1) + ", " + of + ")"
	case "predict_linear":
		return f + "(" + of + ", " + s.scalar(depth-1) + ")"
	default:
		return f + "(" + of + ")"
	}
}

func (s speaker) function(depth int) string {
	v := s.vector(depth)
	switch n := rapid.IntRange(0, 9).Draw(s.T, "function"); n {
	case 0:
		return "clamp(" + v + ", " + s.scalar(depth) + ", " + s.scalar(depth) + ")"
	case 1:
		return s.pick("clamp", "clamp_min", "clamp_max", "round") + "(" + v + ", " + s.scalar(depth) + ")"
	case 2:
		return "round(" + v + ")"
	case 3:
		return "timestamp(" + v + ")"
	case 4:
		return s.pick("date", "hour", "minute", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year") + "(" + v + ")"
	case 5:
		return "-(" + v + ")"
	}
	if !s.ordered && s.chance(8) {
		return s.pick("sort", "sort", "sort_desc") + "(" + v + ")"
	}
	return s.pick("math", "abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "sin", "cos", "tan", "asin", "acos",
		"atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "rad", "deg") + "(" + v + ")"
}

func (s speaker) arithmetic() string {
	return s.pick("op", "+", "-", "*", "/", "%", "^", "atan2", ">", "<", "==", "!=", ">=", "<=", "> bool", "== bool", "<= bool", "!= bool")
}

func (s speaker) withScalar(depth int) string {
	v, c, op := s.vector(depth), s.scalar(depth), s.arithmetic()
	if s.chance(3) {
		v, c = c, v
	}
	return "(" + v + ") " + op + " (" + c + ")"
}

// labels draws some labels, with instance or without.
func (s speaker) labels(instance bool) string {
	var out []string
	if instance {
		out = append(out, "instance")
	}
	for _, l := range []string{"d", "m", "job", "customer", "le"} {
		if s.chance(2) {
			out = append(out, l)
		}
	}
	return strings.Join(out, ", ")
}

func (s speaker) matching() string {
	switch {
	case s.chance(3):
		return ""
	case s.chance(2):
		return " on (" + s.labels(s.pinned == "" || s.chance(2)) + ")"
	}
	return " ignoring (" + s.labels(s.pinned != "" && s.chance(3)) + ")"
}

func (s speaker) match(depth int) string {
	matching := s.matching()
	if matching != "" && s.chance(2) {
		matching += s.pick("group", " group_left", " group_right") + " (" + s.pick("include", "", "", "m", "q", "m, site") + ")"
		if i := strings.Index(matching, "on ("); i >= 0 && strings.Contains(matching[i:strings.Index(matching, ")")], "m") {
			matching = matching[:strings.LastIndex(matching, "(")] + "()" // a label is not both
		}
	}
	return "(" + s.vector(depth) + ") " + s.arithmetic() + matching + " (" + s.vector(depth) + ")"
}

func (s speaker) set(depth int) string {
	r := s.vector(depth)
	if s.chance(6) {
		r = s.pick("free", "hour() > 11", "vector(1)", "vector(time()) < 5")
	}
	return "(" + s.vector(depth) + ") " + s.pick("set", "and", "or", "unless") + s.matching() + " (" + r + ")"
}

func (s speaker) aggregate(depth int) string {
	group := "by (" + s.labels(true) + ")"
	if s.chance(3) {
		group = "without (" + s.labels(false) + ")"
	}
	if s.pinned != "" && s.chance(2) {
		group = ""
	}
	if s.chance(4) {
		ranking := "quantile"
		if !s.inside {
			ranking, s.ordered = s.pick("ranking", "topk", "bottomk", "quantile"), true
		}
		return ranking + " " + group + " (" + s.pick("k", "1", "2", "3", "0", "0.5", "0.9", "-1", "NaN", "Inf") + ", " + s.vector(depth) + ")"
	}
	return s.pick("aggregation", "sum", "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar") + " " + group + " (" + s.vector(depth) + ")"
}

func (s speaker) labelled(depth int) string {
	v := s.vector(depth)
	switch rapid.IntRange(0, 3).Draw(s.T, "labelled") {
	case 0:
		return `label_replace(` + v + `, "q", "x$1", "` + s.pick("src", "d", "m", "__name__") + `", "(.).*")`
	case 1:
		return `label_replace(` + v + `, "d", "1", "m", "u|v|")`
	case 2:
		return `label_join(` + v + `, "` + s.pick("dst", "q", "d", "__name__") + `", "-", "d", "m")`
	}
	return "histogram_quantile(" + s.scalar(depth) + ", " + v + ")"
}

// odd draws what has no arguments of the kind that everything else has.
func (s speaker) odd(depth int) string {
	if s.pinned != "" && s.chance(2) {
		return s.pick("absent", "absent("+s.vector(depth)+")", "vector("+s.scalar(depth)+")", "absent_over_time(("+s.vector(0)+")[1m:15s])")
	}
	name := s.pinned
	if name == "" {
		name = s.pick("of", "web1", "web2")
	}
	at := fmt.Sprintf(`%s{instance=%q, %s}`, s.pick("name", "a", "c", "none"), name, s.pick("matcher", `d="1"`, `m=~".*"`, `customer="acme"`, `site="there"`, `d="1", d="2"`))
	if s.chance(2) {
		return "absent(" + at + s.when() + ")"
	}
	return "absent_over_time(" + at + "[" + s.length() + "]" + s.when() + ")"
}
