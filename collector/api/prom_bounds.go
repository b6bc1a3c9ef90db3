package api

import (
	"fmt"
	"math"
	"regexp/syntax"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/strutil"

	"github.com/watchbill/watchbill/rules"
)

// Bounds of one expression. They hold before it is parsed, since parsing compiles its patterns.
const (
	// maxExpression is its length in bytes: a dashboard that names a thousand hosts takes 30 KB.
	maxExpression = 128 << 10
	// maxNesting is how deep brackets of any kind may stand in one another, and maxDepth how deep the parsed tree may be: a
	// sum of n terms is n deep.
	maxNesting = 100
	maxDepth   = 1000
	// maxPattern is the size of all its patterns together, in instructions of the programs they become. `.{1000}` is a
	// thousand, the names of a thousand hosts about three thousand.
	maxPattern = 20_000
	// maxLabel is how long, in bytes, an expression may make a label: label_replace and label_join multiply what they find,
	// and one another. usualLabel is how long those are taken to be that it finds.
	maxLabel   = 100_000
	usualLabel = 100
)

// readExpr parses an expression of bounded size.
func readExpr(text string) (parser.Expr, error) {
	if err := bounded(text); err != nil {
		return nil, err
	}
	e, err := rules.NewParser().ParseExpr(text)
	if err != nil {
		return nil, err
	}
	var deep error
	parser.Inspect(e, func(_ parser.Node, path []parser.Node) error {
		if len(path) > maxDepth {
			deep = boundErrorf("the expression is more than %d operations deep; split it, or let a recording rule do a part of it", maxDepth)
		}
		return deep
	})
	if deep != nil {
		return nil, deep
	}
	if labelBytes(e) > maxLabel {
		return nil, boundErrorf("the expression can make labels of more than %d bytes; repeat less in label_replace and label_join, "+
			"and nest fewer of them", maxLabel)
	}
	return e, nil
}

// labelBytes is about how long an expression can make a label.
func labelBytes(n parser.Node) float64 {
	most := float64(usualLabel) // a product of floats does not overflow
	for child := range parser.ChildrenIter(n) {
		most = max(most, labelBytes(child))
	}
	call, ok := n.(*parser.Call)
	if !ok || len(call.Args) < 3 {
		return most
	}
	given, ok := call.Args[2].(*parser.StringLiteral)
	switch {
	case !ok:
		return most
	case call.Func.Name == "label_replace":
		return max(most, most*float64(strings.Count(given.Val, "$"))+float64(len(given.Val)))
	case call.Func.Name == "label_join":
		return max(most, (most+float64(len(given.Val)))*float64(len(call.Args)-3))
	}
	return most
}

// readSelectors parses match[] as Prometheus does: each must select by something.
func readSelectors(match []string) ([][]*labels.Matcher, error) {
	if len(match) > maxSelectors {
		return nil, boundErrorf("there are %d selectors; send at most %d", len(match), maxSelectors)
	}
	for _, text := range match {
		if err := bounded(text); err != nil {
			return nil, err
		}
	}
	sets, err := rules.NewParser().ParseMetricSelectors(match)
	if err != nil {
		return nil, err
	}
	for _, ms := range sets {
		if everything(ms) {
			return nil, fmt.Errorf("match[] must contain at least one non-empty matcher")
		}
	}
	return sets, nil
}

// everything tells a selector that an empty series would match, too.
func everything(ms []*labels.Matcher) bool {
	for _, m := range ms {
		if m != nil && !m.Matches("") {
			return false
		}
	}
	return true
}

// boundError is an expression that costs too much before it is even evaluated.
type boundError struct{ text string }

func (e *boundError) Error() string { return e.text }

func boundErrorf(format string, args ...any) error { return &boundError{fmt.Sprintf(format, args...)} }

// bounded looks at the words of an expression before any of it is parsed. What is no expression at all is the parser's to
// refuse.
func bounded(text string) error {
	if len(text) > maxExpression {
		return boundErrorf("the expression has %d bytes and may have %d", len(text), maxExpression)
	}
	lex, depth, pattern := parser.Lex(text), 0, 0
	for {
		var item parser.Item
		lex.NextItem(&item)
		switch item.Typ {
		case parser.EOF, parser.ERROR:
			return nil
		case parser.LEFT_PAREN, parser.LEFT_BRACKET, parser.LEFT_BRACE:
			depth++
		case parser.RIGHT_PAREN, parser.RIGHT_BRACKET, parser.RIGHT_BRACE:
			depth--
		case parser.STRING: // of a matcher or of label_replace; any other is cheap by the same measure
			pattern += costOf(item.Val)
		}
		if depth > maxNesting {
			return boundErrorf("brackets stand more than %d deep in one another; split the expression", maxNesting)
		}
		if pattern > maxPattern {
			return boundErrorf("the patterns of the expression are too big: they become programs of more than %d steps; "+
				"repeat less ({1000} is a thousand times what it repeats), or select by another label", maxPattern)
		}
	}
}

// costOf is how big a program a quoted pattern becomes, 0 for what is none.
func costOf(quoted string) int {
	s, err := strutil.Unquote(quoted)
	if err != nil {
		return 0
	}
	re, err := syntax.Parse("^(?s:"+s+")$", syntax.Perl)
	if err != nil {
		return 0
	}
	return size(re)
}

// size is about how many instructions a pattern becomes. It stops counting above the bound, so that it never overflows.
func size(re *syntax.Regexp) int {
	n := 1
	switch re.Op {
	case syntax.OpLiteral:
		n += len(re.Rune) / 8 // literals of a choice are compared as strings
	case syntax.OpCharClass:
		n += len(re.Rune) / 8
	}
	for _, sub := range re.Sub {
		if n += size(sub); n > maxPattern {
			return n
		}
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return n
}

// lookbackOf is how far before the time it is asked for, of a range the first, an expression reaches: ranges, subqueries and
// offsets that hold one another, and the look-back of the selector. A time of its own (@) counts from where it is; what holds
// it does not move it.
func lookbackOf(e parser.Expr, asked time.Time, delta time.Duration) time.Duration {
	var most float64 // of nanoseconds: sums of it do not overflow
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		vs, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		reach := float64(delta)
		if len(path) > 0 {
			if m, ok := path[len(path)-1].(*parser.MatrixSelector); ok {
				reach = float64(m.Range)
			}
		}
		reach += float64(vs.OriginalOffset)
		at, fixed := pinned(vs.Timestamp, vs.StartOrEnd, asked)
		for i := len(path) - 1; i >= 0 && !fixed; i-- {
			if sub, ok := path[i].(*parser.SubqueryExpr); ok {
				reach += float64(sub.Range) + float64(sub.OriginalOffset)
				at, fixed = pinned(sub.Timestamp, sub.StartOrEnd, asked)
			}
		}
		most = max(most, reach+at)
		return nil
	})
	return time.Duration(min(most, math.MaxInt64-1024))
}

// pinned is how many nanoseconds before the time asked for the time after an @ is, if there is one. That of start() and end() is
// one that is asked for.
func pinned(at *int64, word parser.ItemType, asked time.Time) (before float64, fixed bool) {
	if at == nil {
		return 0, word != 0
	}
	return (float64(asked.UnixMilli()) - float64(*at)) * float64(time.Millisecond), true
}
