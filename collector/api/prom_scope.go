package api

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// oneOf is a pattern that matches the given words and nothing else; empty for none.
func oneOf(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = regexp.QuoteMeta(w)
	}
	return strings.Join(quoted, "|")
}

// enforce puts what a reach demands onto every selector of a parsed expression, wherever it stands. It goes first, and as a
// pattern: absent() makes labels of the equalities it finds, which stay those that were written. A kind of node that is not
// known here, or a function that selects series of itself, is an error: then the expression is not evaluated at all.
func (r reach) enforce(e parser.Expr) error {
	if len(r.must) == 0 {
		return nil
	}
	var unknown error
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch x := n.(type) {
		case *parser.VectorSelector:
			x.LabelMatchers = r.with(x.LabelMatchers)
		case *parser.Call:
			if x.Func.Name == "info" { // selects target_info without a selector
				unknown = fmt.Errorf("%s() cannot be asked with a token that is bound to customers", x.Func.Name)
			}
		case nil, *parser.AggregateExpr, *parser.BinaryExpr, *parser.MatrixSelector, *parser.NumberLiteral, *parser.ParenExpr,
			*parser.StepInvariantExpr, *parser.StringLiteral, *parser.SubqueryExpr, *parser.UnaryExpr:
		default:
			unknown = fmt.Errorf("an expression with %T cannot be asked with a token that is bound to customers", n)
		}
		return unknown
	})
	return unknown
}

// with is matchers narrowed to the reach.
func (r reach) with(ms []*labels.Matcher) []*labels.Matcher { return slices.Concat(r.demands(ms), ms) }

// demands is what has to be among matchers that select these.
func (r reach) demands(ms []*labels.Matcher) []*labels.Matcher {
	if len(r.shared) > 0 && slices.ContainsFunc(ms, func(m *labels.Matcher) bool {
		return m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual && slices.Contains(everybodys, m.Value)
	}) {
		return r.shared
	}
	return r.must
}

// narrow puts the reach onto each of several selectors; onto the one that selects everything where there is none.
func (r reach) narrow(sets [][]*labels.Matcher) [][]*labels.Matcher {
	if len(sets) == 0 && len(r.must) > 0 {
		return [][]*labels.Matcher{r.must}
	}
	out := make([][]*labels.Matcher, len(sets))
	for i, ms := range sets {
		out[i] = r.with(ms)
	}
	return out
}

// errUnscoped is the last door's: something selects without the matchers of who asks.
var errUnscoped = errors.New("a selector was not narrowed to the customers of who asks: this is a fault of the collector, please report it")

// guard is a second, independent hold on the reach, at the storage: what selects without it gets an error, no series.
func (r reach) guard(q storage.Queryable) storage.Queryable {
	if len(r.must) == 0 {
		return q
	}
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		of, err := q.Querier(mint, maxt)
		if err != nil {
			return nil, err
		}
		return &guardedQuerier{of, r}, nil
	})
}

// guardedQuerier lets nothing be selected that is not narrowed to a reach.
type guardedQuerier struct {
	storage.Querier
	reach reach
}

func (q *guardedQuerier) within(ms []*labels.Matcher) bool {
	for _, m := range q.reach.demands(ms) {
		if !slices.Contains(ms, m) {
			return false
		}
	}
	return true
}

// Select implements storage.Querier.
func (q *guardedQuerier) Select(ctx context.Context, sorted bool, h *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	if !q.within(ms) {
		return storage.ErrSeriesSet(errUnscoped)
	}
	return q.Querier.Select(ctx, sorted, h, ms...)
}

// LabelValues implements storage.LabelQuerier.
func (q *guardedQuerier) LabelValues(ctx context.Context, name string, h *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	if !q.within(ms) {
		return nil, nil, errUnscoped
	}
	return q.Querier.LabelValues(ctx, name, h, ms...)
}

// LabelNames implements storage.LabelQuerier.
func (q *guardedQuerier) LabelNames(ctx context.Context, h *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	if !q.within(ms) {
		return nil, nil, errUnscoped
	}
	return q.Querier.LabelNames(ctx, h, ms...)
}
