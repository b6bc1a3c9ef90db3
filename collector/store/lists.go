package store

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/ticket"
)

// summary is what the lists' indexes say of a ticket, so that a filter reads only the tickets it selects.
type summary struct {
	State      ticket.State `json:"s"`
	Customer   string       `json:"c"`
	Asset      string       `json:"a,omitempty"`
	Priority   string       `json:"p"`
	Kind       string       `json:"k,omitempty"`
	Type       string       `json:"t,omitempty"`
	Owner      string       `json:"o,omitempty"`
	Assignee   string       `json:"g,omitempty"`
	Department string       `json:"d,omitempty"`
	Contract   string       `json:"n,omitempty"`
	Parent     string       `json:"b,omitempty"`
	AtRisk     bool         `json:"r,omitempty"`
	Breached   bool         `json:"x,omitempty"`
	// Clocks are how its clocks stand, each its state and its name; Policy is what it goes by.
	Clocks []string `json:"y,omitempty"`
	Policy string   `json:"v,omitempty"`
	// Early and Late are for how many hours, rounded up, something of it was before and after it was opened; Late of tickets
	// that are not open alone, as the others go on.
	Early int `json:"h,omitempty"`
	Late  int `json:"j,omitempty"`
	// Rank is its severity's.
	Rank int `json:"e,omitempty"`
	// Storm is the ID of the storm that it is bound to.
	Storm string `json:"w,omitempty"`
	// Place is the one that it was given in the queue, with its first byte; empty while it is not open.
	Place []byte `json:"q,omitempty"`
}

func summaryOf(t ticket.Ticket) summary {
	s := summary{
		State: t.State, Customer: t.Customer, Asset: t.Asset, Priority: t.Priority, Kind: t.Kind, Type: t.Type,
		Owner: t.Owner, Assignee: t.Assignee, Department: t.Facts["department"], Contract: t.Facts["contract"],
		Storm: t.Storm.Ticket, Rank: t.Severity.Rank(),
		AtRisk: slices.ContainsFunc(t.Clocks, func(c sla.Clock) bool { return c.AtRisk && !c.Ended() && !c.Paused() }),
		Breached: slices.ContainsFunc(t.Clocks, func(c sla.Clock) bool {
			return !c.BreachedAt.IsZero()
		}),
	}
	if t.Parent != nil {
		s.Parent = t.Parent.Ticket
	}
	s.Early, s.Late = lasts(t)
	for _, c := range t.Clocks {
		s.Clocks = append(s.Clocks, string(c.State(t.UpdatedAt))+"/"+c.Name)
		s.Policy = t.Policy
	}
	return s
}

func (x *tx) CountClocks() (map[ClockCount]int, error) {
	out := map[ClockCount]int{}
	err := x.scan(tableOpenByAge.key(), tableOpenByAge.key().after(), false, func(k key, payload []byte) (bool, error) {
		row, err := decode[summary](x, k, payload)
		for _, c := range row.Clocks {
			state, name, _ := strings.Cut(c, "/")
			out[ClockCount{Policy: row.Policy, Clock: name, State: sla.State(state)}]++
		}
		return true, err
	})
	return out, err
}

func (f TicketFilter) selects(s summary) bool {
	for _, word := range [...][2]string{
		{string(f.State), string(s.State)}, {f.Customer, s.Customer}, {f.Asset, s.Asset}, {f.Priority, s.Priority},
		{f.Department, s.Department}, {f.Contract, s.Contract}, {f.Owner, s.Owner}, {f.Assignee, s.Assignee},
		{f.Kind, s.Kind}, {f.Type, s.Type}, {f.Parent, s.Parent}, {f.Storm, s.Storm},
	} {
		if word[0] != "" && word[0] != word[1] {
			return false
		}
	}
	return (!f.OpenOnly && f.Order != InQueue || s.State.Open()) && (!f.AtRisk || s.AtRisk) && (!f.Breached || s.Breached) &&
		(!f.Folded || s.Storm == "") && f.Scope.Holds(s.Customer, s.Department)
}

// customers are those whose tickets alone can be selected, each once; false when they can be anybody's.
func (f TicketFilter) customers() ([]string, bool) {
	switch {
	case f.Scope == nil && f.Customer == "":
		return nil, false
	case f.Scope == nil:
		return []string{f.Customer}, true
	}
	all := slices.Concat(f.Scope.Customers, f.Scope.Former)
	switch {
	case f.Customer == "":
		slices.Sort(all)
		return slices.Compact(all), true
	case slices.Contains(all, f.Customer):
		return []string{f.Customer}, true
	}
	return nil, true
}

// ownedName is under what the store remembers that a department owned a customer as a ticket of it was opened.
func ownedName(department, customer string) string { return "owned " + department + "/" + customer }

// owned remembers whose customer a new ticket's is, so that its department finds the ticket when the customer has moved on.
func (x *tx) owned(t ticket.Ticket) error {
	department := t.Facts["department"]
	if department == "" {
		return nil
	}
	name := ownedName(department, t.Customer)
	if n, err := x.Tally(name); err != nil || n > 0 {
		return err
	}
	return x.AddTally(name, 1)
}

// formerly is f with those alone of its scope's former customers that have tickets in it: the lists of others need no reading.
func (x *tx) formerly(f TicketFilter) (TicketFilter, error) {
	if f.Scope == nil || len(f.Scope.Former) == 0 {
		return f, nil
	}
	scope := *f.Scope
	scope.Former = nil
	for _, c := range f.Scope.Former {
		n, err := x.Tally(ownedName(scope.Department, c))
		if err != nil {
			return f, err
		}
		if n > 0 {
			scope.Former = append(scope.Former, c)
		}
	}
	f.Scope = &scope
	return f, nil
}

func (f TicketFilter) wantsOpen() bool {
	return f.OpenOnly || f.Order == InQueue || f.State != "" && f.State.Open()
}

// row is where a ticket stands in a list. Rows of one list are compared by place, then by age and ID.
type row struct {
	place  string
	opened time.Time
	id     string
}

// before is the order of a list: of the queue by place, age and ID, else the newest first.
func (f TicketFilter) before(a, b row) int {
	age := cmp.Or(a.opened.Compare(b.opened), cmp.Compare(a.id, b.id))
	if f.Order == InQueue {
		return cmp.Or(cmp.Compare(a.place, b.place), age)
	}
	return -age
}

// list is one index that a filter is answered from: the rows that stand under a key.
type list struct {
	under key
	// read takes the rest of a key apart.
	read    func(*parts) row
	reverse bool
	// from continues under with a row's own place in the index.
	from func(key, row) key
	// told: the index says of each ticket what the list of all says.
	told bool
}

func readAge(p *parts) row   { return row{opened: p.time(), id: p.str()} }
func readPlace(p *parts) row { return row{place: p.str(), opened: p.time(), id: p.str()} }

func fromAge(k key, r row) key   { return k.time(r.opened).str(r.id) }
func fromPlace(k key, r row) key { return k.str(r.place).time(r.opened).str(r.id) }

// lists are the indexes that together hold all that f can select. Those of customers hold few rows of others, so they are
// taken whenever customers are named.
func (f TicketFilter) lists() []list {
	queue := func(under key) list { return list{under: under, read: readPlace, from: fromPlace} }
	age := func(under key) list { return list{under: under, read: readAge, from: fromAge, reverse: true} }
	all := func(t table) list {
		return list{under: t.key(), read: readAge, from: fromAge, reverse: true, told: true}
	}
	customers, some := f.customers()
	switch {
	case f.Parent != "" && f.Order != InQueue:
		return []list{age(tableChild.key().str(f.Parent))}
	case !some && f.Order == InQueue:
		return []list{queue(tableQueue.key())}
	case !some && f.wantsOpen():
		return []list{all(tableOpenByAge)}
	case !some:
		return []list{all(tableTicketsByAge)}
	}
	var out []list
	for _, c := range customers {
		if f.wantsOpen() {
			out = append(out, queue(tableQueueOf.key().str(c)))
		} else {
			out = append(out, age(tableTicketsOf.key().str(c)))
		}
	}
	return out
}

const (
	// listBatch is how many keys of an index are read before the tickets they name are looked at.
	listBatch = 256
	// queueProbe is how many tickets of the queue are looked at one by one, in its order. When the filter selects too few of
	// them all open ones are read instead, one after the other as they lie, and put in order afterwards.
	queueProbe = 2048
)

func (x *tx) Tickets(f TicketFilter) ([]ticket.Ticket, error) {
	after, err := x.afterRow(f)
	if err != nil {
		return nil, err
	}
	if f, err = x.formerly(f); err != nil {
		return nil, err
	}
	var rows []row
	for _, l := range f.lists() {
		found, err := x.rows(f, l, after)
		if err != nil {
			return nil, err
		}
		rows = append(rows, found...)
	}
	slices.SortFunc(rows, f.before)
	var ids []string
	for _, r := range rows[:min(len(rows), atMost(f.Limit))] {
		ids = append(ids, r.id)
	}
	return x.tickets(ids)
}

// afterRow is the row of the ticket that the answer begins after, nil when it begins with the first.
func (x *tx) afterRow(f TicketFilter) (*row, error) {
	if f.After == "" {
		return nil, nil
	}
	t, err := x.Ticket(f.After)
	if err != nil {
		return nil, err
	}
	r := row{opened: t.OpenedAt.UTC(), id: t.ID}
	if f.Order == InQueue {
		if !t.State.Open() {
			return nil, fmt.Errorf("ticket %s in the queue: %w: it is %s; begin the list anew", t.Number, ErrNotFound, t.State)
		}
		at := spotOf(t)
		row, err := must[summary](x, at.rowKey())
		if err != nil {
			return nil, err
		}
		r.place = readPlace(split(at.keys(row.Place)[0])).place
	}
	return &r, nil
}

// rows are the first that f selects of a list. A list that is not in f's order is read to its end.
func (x *tx) rows(f TicketFilter, l list, after *row) ([]row, error) {
	begin, end := l.between(f, after)
	if l.told {
		return x.toldRows(f, l, after, begin, end)
	}
	var out []row
	for seen := 0; ; seen += listBatch {
		if seen >= queueProbe && l.under[0] == byte(tableQueue) {
			f.OpenOnly = true
			return x.rows(f, TicketFilter{OpenOnly: true}.lists()[0], after)
		}
		keys, err := x.keys(begin, end, l.reverse, listBatch)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			r := l.read(&parts{rest: k[len(l.under):]})
			if after != nil && f.before(r, *after) <= 0 {
				continue
			}
			s, err := must[summary](x, tableTicketsByAge.key().time(r.opened).str(r.id))
			if err != nil {
				return nil, err
			}
			if f.selects(s) {
				out = append(out, r)
			}
			if l.inOrder(f) && len(out) == atMost(f.Limit) {
				return out, nil
			}
		}
		if len(keys) < listBatch {
			return out, nil
		}
		if last := keys[len(keys)-1]; l.reverse {
			end = last
		} else {
			begin = last.after()
		}
	}
}

// inOrder tells whether the index has the order that f asks for.
func (l list) inOrder(f TicketFilter) bool { return l.reverse == (f.Order != InQueue) }

// between are the keys that can hold what comes after a row.
func (l list) between(f TicketFilter, after *row) (begin, end key) {
	begin, end = l.under, l.under.after()
	switch {
	case after == nil || !l.inOrder(f):
	case l.reverse:
		end = l.from(bytes.Clone(l.under), *after)
	default:
		begin = l.from(bytes.Clone(l.under), *after).after()
	}
	return begin, end
}

// toldRows are rows of an index that says itself what f asks about.
func (x *tx) toldRows(f TicketFilter, l list, after *row, begin, end key) (out []row, err error) {
	err = x.scan(begin, end, l.reverse, func(k key, payload []byte) (bool, error) {
		s, err := decode[summary](x, k, payload)
		if err != nil {
			return false, err
		}
		r := l.read(&parts{rest: k[len(l.under):]})
		if f.Order == InQueue {
			r.place = string(placeOf(s.Place, s.Rank))
		}
		if f.selects(s) && (after == nil || f.before(r, *after) > 0) {
			out = append(out, r)
		}
		return !l.inOrder(f) || len(out) < atMost(f.Limit), nil
	})
	return out, err
}

func ticketsOfKey(t ticket.Ticket) key {
	return tableTicketsOf.key().str(t.Customer).time(t.OpenedAt).str(t.ID)
}
