package evaluate

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/program"
	"github.com/watchbill/watchbill/rules/window"
)

// book is the loaded rules that are evaluated at arrival, and the programs that assets of one shape share.
type book struct {
	groups []*localGroup
	rules  []*localRule
	byID   map[string]*localRule
	// alerts says that some rule reads ALERTS.
	alerts bool
	// named are the rules that speak of an asset by its name, by that name: absent(x{instance="web1"}).
	named map[string][]int

	mu sync.Mutex
	// readers are the rules that read a part, while some asset has it.
	readers  map[*window.Part]*readers
	programs map[string]*compiled
}

// localGroup is what a group has of such rules.
type localGroup struct {
	rules.Group
	index int
}

// localRule is one of them.
type localRule struct {
	*rules.Rule
	index int
	group *localGroup
	// spacing is the least time between two evaluations for an asset whose samples are closer than that.
	spacing time.Duration
	// timed is Arrival.Timed; slides is how far the range reaches of a rule that says something of a silent asset.
	timed  bool
	slides time.Duration
}

// readers are the rules that read a part.
type readers struct {
	rules []int
	users int
}

// compiled is the program of a rule for assets with the same parts.
type compiled struct {
	key   string
	rule  *localRule
	prog  *program.Program
	err   error
	users int
	// layout is what a recording rule makes, slots where each lane stands in it; single tells that no two lanes stand in one.
	layout *window.Layout
	slots  []int
	single bool
}

func newBook(groups []rules.Group) *book {
	b := &book{
		alerts: rules.ReadsAlerts(groups),
		byID:   map[string]*localRule{}, named: map[string][]int{}, readers: map[*window.Part]*readers{}, programs: map[string]*compiled{},
	}
	for _, g := range rules.Local(groups) {
		made := &localGroup{Group: g, index: len(b.groups)}
		b.groups = append(b.groups, made)
		for _, r := range g.Rules {
			x := &localRule{Rule: r, index: len(b.rules), group: made, spacing: r.Spacing(), timed: r.Arrival.Timed()}
			if r.Resolves() {
				x.slides = r.Arrival.MaxRange()
			}
			b.rules = append(b.rules, x)
			b.byID[r.Origin.ID] = x
			for _, name := range r.Arrival.Instances() {
				b.named[name] = append(b.named[name], x.index)
			}
		}
	}
	return b
}

// binding is a rule's program with where its parts stand among the asset's; the zero binding gives no results.
type binding struct {
	use *compiled
	at  []int
}

// bind finds or makes the programs of all rules for an asset with these parts.
func (b *book) bind(who window.Asset, parts []*window.Part) []binding {
	b.mu.Lock()
	defer b.mu.Unlock()
	reads := make([][]int, len(b.rules))
	for i, p := range parts {
		for _, r := range b.readersOf(p) {
			reads[r] = append(reads[r], i)
		}
	}
	out := make([]binding, len(b.rules))
	for i, at := range reads {
		if len(at) > 0 || slices.Contains(b.named[who.Name], i) {
			out[i] = binding{use: b.compile(b.rules[i], who, parts, at), at: at}
		}
	}
	return out
}

// readersOf are the rules that read a part; one user more has it.
func (b *book) readersOf(p *window.Part) []int {
	x := b.readers[p]
	if x == nil {
		x = &readers{}
		for _, r := range b.rules {
			if mayRead(r, p) {
				x.rules = append(x.rules, r.index)
			}
		}
		b.readers[p] = x
	}
	x.users++
	return x.rules
}

// mayRead tells whether a rule reads a part of some asset: matchers on labels that the asset itself gives are left out,
// since assets share parts. What such a matcher leaves out is a program that gives nothing.
func mayRead(r *localRule, p *window.Part) bool {
	for _, ms := range r.Arrival.Selectors() {
		for _, lbls := range p.Series {
			if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !own(m.Name) && !m.Matches(lbls.Get(m.Name)) }) {
				return true
			}
		}
	}
	return false
}

// own tells whether the asset itself gives a label.
func own(name string) bool { return name == "instance" || name == "customer" || name == "site" }

// compile finds or makes a program; one user more has it.
func (b *book) compile(r *localRule, who window.Asset, parts []*window.Part, at []int) *compiled {
	identity := r.Arrival.Identity(who)
	key := binary.AppendUvarint(nil, uint64(r.index))
	key = append(strconv.AppendQuote(key, identity), 0)
	chosen := make([]*window.Part, len(at))
	for i, k := range at {
		chosen[i] = parts[k]
		key = binary.NativeEndian.AppendUint64(key, uint64(uintptr(unsafe.Pointer(parts[k])))) // programs hold their parts
	}
	c := b.programs[string(key)]
	if c == nil {
		c = &compiled{key: string(key), rule: r}
		if c.prog, c.err = r.Arrival.Compile(chosen, identity); c.err == nil && !r.Alerting() {
			c.arrange()
		}
		b.programs[c.key] = c
	}
	c.users++
	return c
}

// release lets go of what bind gave.
func (b *book) release(parts []*window.Part, bound []binding) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range parts {
		if x := b.readers[p]; x != nil {
			if x.users--; x.users == 0 {
				delete(b.readers, p)
			}
		}
	}
	for _, x := range bound {
		if x.use != nil {
			if x.use.users--; x.use.users == 0 {
				delete(b.programs, x.use.key)
			}
		}
	}
}

// count is how many programs there are, and about what they take.
func (b *book) count() (programs int, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.programs {
		if c.prog != nil {
			bytes += c.prog.Bytes()
		}
	}
	return len(b.programs), bytes
}

// programs are how many there are, and about what they take.
func (e *Evaluator) programs() (n int, bytes int64) {
	e.mu.Lock()
	b := e.book
	e.mu.Unlock()
	return b.count()
}

// arrange makes the layout of what a recording rule writes.
func (c *compiled) arrange() {
	c.layout, c.single = &window.Layout{}, true
	slots := map[string]int{}
	sum := sha256.New()
	for lane := range c.prog.Lanes() {
		lb := labels.NewBuilder(c.prog.Labels(lane)).Set(model.MetricNameLabel, c.rule.Record)
		c.rule.Labels.Range(func(l labels.Label) { lb.Set(l.Name, l.Value) })
		lbls := lb.Labels()
		key := string(lbls.Bytes(nil))
		slot, ok := slots[key]
		if ok {
			c.single = false
		} else {
			slot = len(slots)
			slots[key] = slot
			c.layout.Series = append(c.layout.Series, lbls)
			sum.Write([]byte(key))
			sum.Write([]byte{0xfe})
		}
		c.slots = append(c.slots, slot)
	}
	sum.Sum(c.layout.ID[:0])
}
