package sample

import (
	"cmp"
	"os"
	"slices"

	"github.com/watchbill/watchbill/agent/wire"
)

// Bounds of what one reading holds. A report takes 10,000 series, and one that holds more is refused whole: the host
// would be blind. So together they stay below that, which TestBoundsFitAReport shows. What does not fit is counted in
// watchbill_agent_left_out, for which there is a rule.
const (
	maxCPUs     = 256 // 10 series each
	maxSoftnet  = 64  // 3
	maxDisks    = 64  // 18
	maxNetdevs  = 48  // 16, and 20 of netclass
	maxMounts   = 128 // 7
	maxUnits    = 400 // 5
	maxArrays   = 16  // 13
	maxBonds    = 16  // 2
	maxZones    = 32  // 1, and 2 of a cooling device
	maxSensors  = 160 // 1
	maxEDAC     = 16  // 2
	maxTextfile = 400 // 1
)

// leftOut says how many things a bounded source does not report.
func leftOut(source string, n int) wire.Sample {
	return sample("watchbill_agent_left_out", float64(n), "source", source)
}

// labels are the label sets of things that come and go, each made once: a sampler that gives the same label sets at
// every reading spares the one who compares them, and makes no garbage.
type labels struct {
	name string // of the label
	made map[string][]wire.Label
	used map[string]bool
}

func newLabels(name string) *labels {
	return &labels{name: name, made: map[string][]wire.Label{}, used: map[string]bool{}}
}

// of is the label set of one thing. The key is copied only when it is new.
func (l *labels) of(key []byte) []wire.Label {
	set, ok := l.made[string(key)]
	if !ok {
		set = []wire.Label{{Name: l.name, Value: labelValue(string(key))}}
		l.made[string(key)] = set
	}
	l.used[string(key)] = true
	return set
}

// sweep forgets what was not asked for since the last sweep, so that things that come and go do not pile up.
func (l *labels) sweep() {
	if len(l.used) < len(l.made) {
		for key := range l.made {
			if !l.used[key] {
				delete(l.made, key)
			}
		}
	}
	clear(l.used)
}

// names are metric names made of parts, each made once. They are bounded by what the kernel knows.
type names struct {
	prefix  string
	made    map[string]string
	scratch []byte
}

func newNames(prefix string) *names { return &names{prefix: prefix, made: map[string]string{}} }

// of joins parts by underscores.
func (n *names) of(parts ...[]byte) string {
	n.scratch = n.scratch[:0]
	for i, p := range parts {
		if i > 0 {
			n.scratch = append(n.scratch, '_')
		}
		n.scratch = append(n.scratch, p...)
	}
	if name, ok := n.made[string(n.scratch)]; ok {
		return name
	}
	key := string(n.scratch)
	n.made[key] = n.prefix + key
	return n.made[key]
}

// devices chooses at most limit of these network devices, those with hardware behind them first: a host of containers
// has hundreds of others.
func (h host) devices(all []string, limit int) []string {
	if len(all) <= limit {
		return all
	}
	virtual := map[string]int{}
	for _, d := range all {
		if _, err := os.Lstat(h.sys("class/net", d, "device")); err != nil {
			virtual[d] = 1
		}
	}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(virtual[a]-virtual[b], cmp.Compare(a, b)) })
	return all[:limit]
}

// choice remembers what a pattern says of names, since to match one costs more than the rest of its line.
type choice struct {
	decide func(string) bool
	made   map[string]bool
}

func newChoice(decide func(string) bool) *choice { return &choice{decide, map[string]bool{}} }

func (c *choice) of(name []byte) bool {
	if v, known := c.made[string(name)]; known {
		return v
	}
	return c.has(string(name))
}

func (c *choice) has(name string) bool {
	v, known := c.made[name]
	if !known {
		if len(c.made) >= 4096 { // names that come and go
			clear(c.made)
		}
		v = c.decide(name)
		c.made[name] = v
	}
	return v
}
