package program

import (
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchbill/watchbill/rules/window"
)

// The asset's own labels. Their values are not known to a program, which assets share.
const (
	instanceLabel = "instance"
	customerLabel = "customer"
	siteLabel     = "site"
)

// ownLabel tells whether the asset itself gives the label its value.
func ownLabel(name string) bool {
	return name == instanceLabel || name == customerLabel || name == siteLabel
}

// selector is one vector selector: its matchers, and where in an identity the outcome of those on own labels is.
type selector struct {
	node     *parser.VectorSelector
	matchers []*labels.Matcher
	bits     []int // by matcher; -1 where the label is not the asset's own
}

// An identity begins with whether the asset has a customer and a site; outcomes of matchers follow.
const firstBit = 2

func (x *Expr) addSelector(n *parser.VectorSelector) {
	s := &selector{node: n, matchers: n.LabelMatchers, bits: make([]int, len(n.LabelMatchers))}
	next := firstBit
	for _, before := range x.selectors {
		for _, b := range before.bits {
			next = max(next, b+1)
		}
	}
	for i, m := range s.matchers {
		s.bits[i] = -1
		if ownLabel(m.Name) {
			s.bits[i], next = next, next+1
		}
	}
	x.selectors = append(x.selectors, s)
}

// Identity is what the expression sees of an asset beside its series: the outcome of the matchers on instance, customer
// and site. Assets of one identity and the same parts share a program.
func (x *Expr) Identity(a window.Asset) string {
	id := append(make([]byte, 0, 16), outcome(a.Customer != ""), outcome(a.Site != ""))
	for _, s := range x.selectors {
		for i, m := range s.matchers {
			if s.bits[i] >= 0 {
				id = append(id, outcome(m.Matches(valueOf(a, m.Name))))
			}
		}
	}
	return string(id)
}

func outcome(ok bool) byte {
	if ok {
		return '1'
	}
	return '0'
}

func valueOf(a window.Asset, name string) string {
	switch name {
	case instanceLabel:
		return a.Name
	case customerLabel:
		return a.Customer
	}
	return a.Site
}

// placeholder is the value under which an own label stands in parts; empty for other labels.
func placeholder(name string) string {
	switch name {
	case instanceLabel:
		return window.OwnInstance
	case customerLabel:
		return window.OwnCustomer
	case siteLabel:
		return window.OwnSite
	}
	return ""
}

// bareAll are the series of a part without the own labels that the asset does not have; read only.
func bareAll(series []labels.Labels, id string) []labels.Labels {
	if hasAll(id) {
		return series
	}
	out := make([]labels.Labels, len(series))
	for i, l := range series {
		out[i] = bare(l, id)
	}
	return out
}

// hasAll tells whether the asset has a customer and a site.
func hasAll(id string) bool { return id[0] == '1' && id[1] == '1' }

func bare(l labels.Labels, id string) labels.Labels {
	if hasAll(id) {
		return l
	}
	lb := labels.NewBuilder(l)
	if id[0] == '0' && l.Get(customerLabel) == window.OwnCustomer {
		lb.Del(customerLabel)
	}
	if id[1] == '0' && l.Get(siteLabel) == window.OwnSite {
		lb.Del(siteLabel)
	}
	return lb.Labels()
}

// matches tells whether the selector matches a series of a part.
func (s *selector) matches(l labels.Labels, id string) bool {
	for i, m := range s.matchers {
		v := l.Get(m.Name)
		if s.bits[i] >= 0 && v == placeholder(m.Name) {
			if id[s.bits[i]] != '1' {
				return false
			}
		} else if !m.Matches(v) {
			return false
		}
	}
	return true
}

// instance is the one instance that the selector names, if it does, and where in an identity it says whether that is the
// asset.
func (s *selector) instance() (name string, bit int) {
	for i, m := range s.matchers {
		if m.Name != instanceLabel {
			continue
		}
		if name != "" || m.Type != labels.MatchEqual || m.Value == "" {
			return "", 0
		}
		name, bit = m.Value, s.bits[i]
	}
	return name, bit
}

// pin is the instance that every selector names; empty when they do not, or there is none.
func (x *Expr) pin() string {
	pinned := ""
	for i, s := range x.selectors {
		name, _ := s.instance()
		if name == "" || i > 0 && name != pinned {
			return ""
		}
		pinned = name
	}
	return pinned
}

// namedInstance is the one instance that a vector or matrix selector names; empty for other expressions.
func namedInstance(e parser.Expr) string {
	if n := selectorOf(e); n != nil {
		name, _ := (&selector{matchers: n.LabelMatchers, bits: make([]int, len(n.LabelMatchers))}).instance()
		return name
	}
	return ""
}

// selectorOf is the vector selector that e is, or is a range of; nil otherwise.
func selectorOf(e parser.Expr) *parser.VectorSelector {
	switch n := unwrap(e).(type) {
	case *parser.VectorSelector:
		return n
	case *parser.MatrixSelector:
		v, _ := unwrap(n.VectorSelector).(*parser.VectorSelector)
		return v
	}
	return nil
}

// unwrap takes off what changes nothing at one instant.
func unwrap(e parser.Expr) parser.Expr {
	for {
		switch n := e.(type) {
		case *parser.ParenExpr:
			e = n.Expr
		case *parser.StepInvariantExpr:
			e = n.Expr
		default:
			return e
		}
	}
}
