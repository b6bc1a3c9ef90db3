package program

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

const pi = math.Pi

// call compiles a function that gives a vector.
func (c *compiler) call(n *parser.Call) vector {
	name := n.Func.Name
	if isAbsent(n) {
		return c.absent(n)
	}
	if f := rangeFuncs[name]; f.do != nil {
		return c.overRange(n, f)
	}
	if f := dateFuncs[name]; f != nil && len(n.Args) == 0 {
		v := vector{c.room(1), []labels.Labels{labels.EmptyLabels()}}
		c.emit(&todayOp{v.span, f})
		return v
	}
	switch name {
	case "vector":
		return c.vectorOf(c.scalar(n.Args[0]))
	case "timestamp":
		return c.timestamp(n)
	case "sort", "sort_desc":
		return c.vector(n.Args[0])
	case "label_replace":
		return c.labelReplace(n)
	case "label_join":
		return c.labelJoin(n)
	case "histogram_quantile":
		return c.buckets(n)
	}
	return c.each(n)
}

// each compiles a function of each sample.
func (c *compiler) each(n *parser.Call) vector {
	v := c.vector(n.Args[0])
	scalar := func(i int, otherwise float64) operand {
		if i < len(n.Args) {
			return c.scalar(n.Args[i])
		}
		return constant(otherwise)
	}
	switch name := n.Func.Name; name {
	case "round":
		c.emit(&roundOp{v.span, scalar(1, 1)})
	case "clamp":
		c.emit(&clampOp{v.span, scalar(1, 0), scalar(2, 0)})
	case "clamp_min":
		c.emit(&clampOp{v.span, scalar(1, 0), constant(math.Inf(1))})
	case "clamp_max":
		c.emit(&clampOp{v.span, constant(math.Inf(-1)), scalar(1, 0)})
	default:
		if f := dateFuncs[name]; f != nil {
			c.emit(&dateOp{v.span, f})
		} else {
			c.emit(&mapOp{v.span, mathFuncs[name]})
		}
	}
	return c.unnamed(n, v)
}

func (c *compiler) timestamp(n *parser.Call) vector {
	if sel, ok := unwrap(n.Args[0]).(*parser.VectorSelector); ok {
		return c.unnamed(n, c.load(sel, true))
	}
	v := c.vector(n.Args[0])
	c.emit(&nowOp{v.span})
	return c.unnamed(n, v)
}

// absent compiles absent and absent_over_time. Of an asset that is not the one it names, it says nothing.
func (c *compiler) absent(n *parser.Call) vector {
	lbls, named := c.absentLabels(n.Args[0])
	if !named {
		return vector{span: c.room(0)}
	}
	var v vector
	if n.Func.Name == "absent" {
		v = c.vector(n.Args[0])
	} else {
		v = c.overRange(n, over{do: presentOverTime, param: -1, keepsName: true})
	}
	out := vector{c.room(1), []labels.Labels{lbls}}
	c.emit(&absentOp{v.span, out.span})
	return out
}

// absentLabels are the labels of what is absent: those that the selector wants to be equal to something, once each.
// named is false when it names another instance.
func (c *compiler) absentLabels(e parser.Expr) (lbls labels.Labels, named bool) {
	n := selectorOf(e)
	if n == nil {
		return labels.EmptyLabels(), true
	}
	sel := c.x.selectors[slices.IndexFunc(c.x.selectors, func(s *selector) bool { return s.node == n })]
	lb := labels.NewBuilder(labels.EmptyLabels())
	seen := map[string]bool{}
	for i, m := range sel.matchers {
		if m.Name == model.MetricNameLabel {
			continue
		}
		if m.Type != labels.MatchEqual || seen[m.Name] {
			lb.Del(m.Name)
			continue
		}
		seen[m.Name] = true
		v := m.Value
		if sel.bits[i] >= 0 && c.id[sel.bits[i]] == '1' && v != "" {
			v = placeholder(m.Name)
		} else if m.Name == instanceLabel {
			return labels.EmptyLabels(), false
		}
		lb.Set(m.Name, v)
	}
	return lb.Labels(), true
}

func text(n *parser.Call, i int) string {
	s, _ := unwrap(n.Args[i]).(*parser.StringLiteral)
	return s.Val
}

func (c *compiler) labelReplace(n *parser.Call) vector {
	v := c.vector(n.Args[0])
	dst, repl, src := text(n, 1), text(n, 2), text(n, 3)
	re, err := regexp.Compile(anchored(text(n, 4)))
	if err != nil {
		c.err = fmt.Errorf("%s: %w", n, err)
		return vector{}
	}
	lanes := slices.Clone(v.lanes)
	for i, l := range lanes {
		val := l.Get(src)
		if at := re.FindStringSubmatchIndex(val); at != nil {
			lanes[i] = labels.NewBuilder(l).Set(dst, string(re.ExpandString(nil, repl, val, at))).Labels()
		}
	}
	return c.rename(n, v, lanes, false)
}

func (c *compiler) labelJoin(n *parser.Call) vector {
	v := c.vector(n.Args[0])
	lanes := slices.Clone(v.lanes)
	for i, l := range lanes {
		var values []string
		for j := 3; j < len(n.Args); j++ {
			values = append(values, l.Get(text(n, j)))
		}
		lanes[i] = labels.NewBuilder(l).Set(text(n, 1), strings.Join(values, text(n, 2))).Labels()
	}
	return c.rename(n, v, lanes, false)
}

// buckets compiles histogram_quantile: series that are the same but for le are one histogram.
func (c *compiler) buckets(n *parser.Call) vector {
	q := c.scalar(n.Args[0])
	v := c.vector(n.Args[1])
	s := newSet(8)
	bounds := make([]float64, len(v.lanes))
	of := make([]int32, len(v.lanes))
	for i, l := range v.lanes {
		of[i] = -1
		bound, err := strconv.ParseFloat(l.Get(model.BucketLabel), 64)
		if err == nil {
			bounds[i] = bound
			of[i] = s.number(labels.NewBuilder(l).Del(model.BucketLabel).Labels())
		}
	}
	out := vector{c.room(len(s.all)), s.all}
	c.emit(&bucketsOp{groups: grouped(of, len(s.all)), in: v.span, out: out.span, bounds: bounds, q: q})
	return c.unnamed(n, out)
}

// grouped are lanes by the number of their group; those of -1 are in none.
func grouped(of []int32, n int) groups {
	g := groups{from: make([]int32, 0, n+1)}
	by := make([][]int32, n)
	for lane, i := range of {
		if i >= 0 {
			by[i] = append(by[i], int32(lane))
		}
	}
	for _, lanes := range by {
		g.from = append(g.from, int32(len(g.lanes)))
		g.lanes = append(g.lanes, lanes...)
	}
	g.from = append(g.from, int32(len(g.lanes)))
	g.lanes = slices.Clip(g.lanes)
	return g
}
