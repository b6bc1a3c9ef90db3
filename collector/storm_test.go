package collector

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// weather is a collector of a county whose clock the test holds, and what is sent of it.
type weather struct {
	*Collector
	t  *testing.T
	at time.Time
}

func newWeather(t *testing.T, assets int) *weather {
	t.Helper()
	w := &weather{t: t, at: time.Now().Truncate(time.Second)}
	w.take(countyCollector(t, assets))
	return w
}

func (w *weather) take(c *Collector) {
	w.Collector = c
	c.pipeline.now = func() time.Time { return w.at }
}

// restart is a new collector on the same store.
func (w *weather) restart(assets int) {
	w.t.Helper()
	w.Close()
	c, err := New(context.Background(), w.cfg, Options{Directory: county(assets)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	w.take(c)
}

// strike lets the alerts of assets [from, to) fire in one transaction, as many reports do that come at the same time.
func (w *weather) strike(from, to int) { w.write(from, to, w.fires) }

// clear lets them recover.
func (w *weather) clear(from, to int) { w.write(from, to, w.ends) }

func (w *weather) fires(n int) []rules.Transition { return flips(n, "DiskFull", w.at) }

func (w *weather) ends(n int) []rules.Transition {
	ts := flips(n, "DiskFull", w.at)
	ts[0].From, ts[0].Alert.State, ts[0].Alert.End, ts[0].Alert.EndedAt = rules.Firing, rules.Inactive, rules.Recovered, w.at
	return ts
}

func (w *weather) write(from, to int, what func(int) []rules.Transition) {
	w.t.Helper()
	var batch []*commit
	for n := from; n < to; n++ {
		c, err := w.pipeline.prepare(context.Background(), w.at, what(n), w.at)
		if err != nil {
			w.t.Fatal(err)
		}
		batch = append(batch, c)
	}
	w.pipeline.writeAll(batch)
	for _, c := range batch {
		if c.err != nil {
			w.t.Fatal(c.err)
		}
	}
}

// later lets time pass and does what time alone does.
func (w *weather) later(d time.Duration) {
	w.t.Helper()
	w.at = w.at.Add(d)
	for {
		next, err := w.pipeline.elapse(context.Background())
		if err != nil {
			w.t.Fatal(err)
		}
		if next.IsZero() || next.After(w.at) {
			return
		}
	}
}

func (w *weather) view(fn func(store.Tx) error) {
	w.t.Helper()
	if err := w.store.View(context.Background(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// sent are the messages since it was last asked, by what they tell of: "storm opened", "opened 3"; and their texts.
func (w *weather) sent() (said []string, texts string) {
	w.t.Helper()
	counts := map[string]int{}
	heads := map[string]bool{}
	for _, tk := range w.tickets(store.TicketFilter{}) {
		heads[tk.ID] = tk.Kind == ticket.KindStorm
	}
	err := w.store.Update(context.Background(), "", func(tx store.Tx) error {
		all, err := tx.Messages(outbox.Queued, 100_000)
		for _, m := range all {
			what := m.What
			if heads[m.Ticket] {
				what = "storm " + what
				texts += string(m.Body)
			}
			counts[what]++
			if err := tx.DeleteMessage(m.ID); err != nil {
				return err
			}
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for what, n := range counts {
		said = append(said, fmt.Sprintf("%s %d", what, n))
	}
	slices.Sort(said)
	return said, texts
}

func (w *weather) wantSent(want ...string) string {
	w.t.Helper()
	said, texts := w.sent()
	if d := cmp.Diff(want, said, cmp.Transformer("empty", func(s []string) []string { return append([]string{}, s...) })); d != "" {
		w.t.Errorf("messages: wanted -, got +\n%s", d)
	}
	return texts
}

func (w *weather) tickets(f store.TicketFilter) (out []ticket.Ticket) {
	w.t.Helper()
	f.Limit = 100_000
	w.view(func(tx store.Tx) (err error) {
		out, err = tx.Tickets(f)
		return err
	})
	return out
}

// heads are the tickets of storms, newest first; members those of assets.
func (w *weather) heads() (out []ticket.Ticket) {
	for _, t := range w.tickets(store.TicketFilter{}) {
		if t.Kind == ticket.KindStorm {
			out = append(out, t)
		}
	}
	return out
}

func (w *weather) members() (out []ticket.Ticket) {
	for _, t := range w.tickets(store.TicketFilter{}) {
		if t.Kind != ticket.KindStorm {
			out = append(out, t)
		}
	}
	return out
}

// storm is the newest storm, whose record must say of its tickets what they say of themselves.
func (w *weather) storm() (s incident.Storm) {
	w.t.Helper()
	heads := w.heads()
	if len(heads) == 0 {
		w.t.Fatal("there is no storm")
	}
	w.view(func(tx store.Tx) (err error) {
		s, err = tx.Storm(heads[0].ID)
		if err != nil {
			return err
		}
		ids, err := tx.StormMembers(s.ID, 100_000)
		if err != nil {
			return err
		}
		bound := tx2(tx, store.TicketFilter{Storm: s.ID, Limit: 100_000})
		standing := 0
		for _, t := range bound {
			if t.Storm.Number != s.Number || !slices.Contains(ids, t.ID) {
				w.t.Errorf("%s is part of %+v, its storm knows it: %v", t.Number, t.Storm, slices.Contains(ids, t.ID))
			}
			if t.State.Open() {
				standing++
			}
			line, err := tx.Timeline(t.ID)
			if err == nil {
				err = ticket.VerifyChain(line, t.Seq, t.Head)
			}
			if err != nil {
				return err
			}
		}
		if len(bound) != s.Tickets || len(ids) != s.Tickets || standing != s.Standing {
			w.t.Errorf("the storm counts %d tickets, %d open; there are %d (%d known), %d open", s.Tickets, s.Standing, len(bound), len(ids), standing)
		}
		return nil
	})
	return s
}

func tx2(tx store.Tx, f store.TicketFilter) []ticket.Ticket {
	ts, err := tx.Tickets(f)
	if err != nil {
		panic(err) // the test ends
	}
	return ts
}

// The whole life of a storm: tickets before it is recognised, those that make it one, those that join later, what people
// are told of it, and its end.
func TestStormIsOneThingToRead(t *testing.T) {
	w := newWeather(t, 500)
	for n := range 19 {
		w.strike(n, n+1)
		w.at = w.at.Add(time.Second)
	}
	w.wantSent("opened 19")
	w.strike(19, 60)
	text := w.wantSent("storm opened 1")
	for _, want := range []string{"60 of 100 assets (customer00, site site0)", "host00000, ", "and 20 more", "DiskFull 60"} {
		if !strings.Contains(text, want) {
			t.Errorf("the storm's notice %q does not say %q", text, want)
		}
	}
	if s := w.storm(); s.Assets != 60 || s.Tickets != 60 || s.Standing != 60 || s.Severity != incident.Critical {
		t.Errorf("%+v", s)
	}
	if keys := openKeys(w.members()); len(keys) != 60 {
		t.Errorf("%d assets have an open ticket of their own, want 60", len(keys))
	}
	w.later(time.Hour / 60) // nothing new
	w.wantSent()

	w.at = w.at.Add(4 * time.Minute) // long after the window
	w.strike(60, 65)
	w.strike(65, 66)
	w.wantSent()
	w.later(time.Second)
	if text := w.wantSent("storm storm_spread 1"); !strings.Contains(text, "opened 6") || !strings.Contains(text, "66 of 100 assets") {
		t.Errorf("the notice %q does not tell of six more", text)
	}

	w.clear(0, 30)
	w.wantSent()
	w.later(time.Minute)
	if text := w.wantSent("storm storm_spread 1"); !strings.Contains(text, "resolved 30") || !strings.Contains(text, "36 of 66 tickets are open") {
		t.Errorf("the notice %q does not tell of those that recovered", text)
	}
	w.storm()
	w.clear(30, 66)
	if text := w.wantSent("storm resolved 1"); !strings.Contains(text, "every one of its tickets is resolved") {
		t.Errorf("the end is told as %q", text)
	}
	s := w.storm()
	if head := w.heads()[0]; s.OverAt.IsZero() || head.State != ticket.Done || head.Firing() != 0 {
		t.Errorf("the storm is over: %v, its ticket is %s", s.OverAt, head.State)
	}
	w.later(48 * time.Hour) // each closes by itself; the head tells of it
	w.wantSent("storm closed 1")
	if s := w.storm(); s.Untold["closed"] != 66 {
		t.Errorf("what nobody was told of one by one is kept as %v, want 66 closed", s.Untold)
	}
}

func openKeys(ts []ticket.Ticket) map[string]bool {
	out := map[string]bool{}
	for _, t := range ts {
		if t.State.Open() {
			out[t.Key] = true
		}
	}
	return out
}

// When a storm is quiet, what is left has a cause of its own: the last few are told of one by one.
func TestStormReleasesTheLastFew(t *testing.T) {
	w := newWeather(t, 500)
	w.strike(0, 40)
	w.sent()
	w.clear(0, 37)
	w.later(correlation.Quiet)
	w.wantSent("storm storm_spread 1")
	w.later(time.Second)
	if text := w.wantSent("opened 3", "storm resolved 1"); !strings.Contains(text, "still open, and told of one by one") {
		t.Errorf("the end is told as %q", text)
	}
	for _, m := range w.members() {
		if m.State.Open() && m.Storm.Ticket != "" {
			t.Errorf("%s is open and still part of %s", m.Number, m.Storm.Number)
		}
	}
	if s := w.storm(); s.Tickets != 37 || s.Standing != 0 {
		t.Errorf("%d tickets, %d open", s.Tickets, s.Standing)
	}
	w.clear(37, 40)
	w.wantSent("resolved 3")
	w.later(time.Hour)
	w.strike(0, 1) // one of the storm's comes back alone
	w.wantSent("reopened 1")
}

// After a storm an asset that flips is told of as any other, also when the storm still stands.
func TestAfterAStormAssetsFlipAlone(t *testing.T) {
	w := newWeather(t, 500)
	w.strike(0, 40)
	w.later(correlation.Quiet + time.Minute)
	w.sent()
	w.strike(50, 51)
	w.wantSent("opened 1")
	if s := w.storm(); s.Assets != 40 || !s.OverAt.IsZero() {
		t.Errorf("%d assets, over %v", s.Assets, s.OverAt)
	}
	w.strike(60, 85) // a second wave: the same storm
	w.later(time.Minute)
	w.wantSent("storm storm_spread 1")
	if s := w.storm(); len(w.heads()) != 1 || s.Assets != 65+1 {
		t.Errorf("%d storms, %d assets", len(w.heads()), s.Assets)
	}
}

// A storm that comes back within the reopen window is the same ticket; its tickets are bound to it as before.
func TestStormComesBack(t *testing.T) {
	w := newWeather(t, 500)
	w.strike(0, 40)
	w.clear(0, 40)
	w.sent()
	w.later(time.Hour)
	w.strike(0, 30)
	w.wantSent("storm reopened 1")
	if s := w.storm(); len(w.heads()) != 1 || s.Assets != 30 || s.Tickets != 40 || s.Standing != 30 {
		t.Errorf("%d storms, %+v", len(w.heads()), s)
	}
	w.later(time.Minute)
	w.clear(0, 30)
	w.wantSent("storm resolved 1")
	w.later(30 * time.Hour) // closed
	w.sent()
	w.strike(0, 30)
	w.wantSent("storm opened 1")
	heads := w.heads()
	if len(heads) != 2 || len(heads[0].Links) != 1 || heads[0].Links[0].Number != heads[1].Number {
		t.Errorf("a storm of another day is linked to the one before: %+v", heads)
	}
	w.storm()
}

// A fault that spreads from site to site and from customer to customer ends as one thing to read.
func TestStormSpreads(t *testing.T) {
	w := newWeather(t, 2000)
	w.strike(0, 40) // a site of customer00
	w.wantSent("storm opened 1")
	w.at = w.at.Add(time.Second)
	w.strike(100, 140) // another one
	text := w.wantSent("storm opened 1")
	if !strings.Contains(text, "80 of 500 assets (customer00)") {
		t.Errorf("the wider storm says %q", text)
	}
	w.at = w.at.Add(time.Second)
	w.strike(500, 700) // another customer's
	if text := w.wantSent("storm opened 1"); !strings.Contains(text, "280 of 2000 assets (the whole fleet)") {
		t.Errorf("the widest storm says %q", text)
	}
	w.strike(1000, 1100)
	w.strike(40, 50)
	if s := w.storm(); s.Assets != 390 || s.Reach != (incident.Reach{}) {
		t.Errorf("%+v", s)
	}
	w.later(time.Minute)
	w.wantSent("storm storm_spread 1")
	for _, h := range w.heads()[1:] {
		if h.Storm.Ticket == "" {
			t.Errorf("%s is part of no wider storm", h.Title)
		}
	}
	w.clear(0, 50)
	w.clear(100, 140)
	w.clear(500, 700)
	w.wantSent()
	w.clear(1000, 1100)
	w.wantSent("storm resolved 1")
	for _, h := range w.heads() {
		if h.State != ticket.Done {
			t.Errorf("%s is %s", h.Title, h.State)
		}
	}
}

// A restart in the middle of a storm, and one before it was recognised, lose nothing of it.
func TestStormOutlastsARestart(t *testing.T) {
	w := newWeather(t, 500)
	w.strike(0, 15)
	w.restart(500)
	w.strike(15, 20)
	w.wantSent("opened 15", "storm opened 1")
	w.strike(20, 25)
	w.restart(500)
	w.strike(25, 30)
	w.later(time.Minute)
	if text := w.wantSent("storm storm_spread 1"); !strings.Contains(text, "opened 10") {
		t.Errorf("after the restart %q is told", text)
	}
	if s := w.storm(); s.Assets != 30 || s.Standing != 30 || len(w.heads()) != 1 {
		t.Errorf("%d storms, %+v", len(w.heads()), s)
	}
	w.restart(500)
	w.clear(0, 30)
	w.wantSent("storm resolved 1")
}

// What a person does with one ticket of a storm is told, and counts.
func TestPeopleWorkOnTicketsOfAStorm(t *testing.T) {
	w := newWeather(t, 500)
	w.strike(0, 20)
	w.sent()
	one := w.members()[0]
	by := ticket.By{Actor: ticket.Actor{Kind: ticket.Person, Name: "ada"}}
	for _, a := range []ticket.Action{{Verb: ticket.Ack}, {Verb: ticket.Resolve, Text: "disk grown"}} {
		if _, err := w.pipeline.Act(context.Background(), one.ID, a, by); err != nil {
			t.Fatal(err)
		}
	}
	w.wantSent("acknowledged 1", "resolved 1")
	if s := w.storm(); s.Standing != 19 {
		t.Errorf("%d tickets stand, want 19", s.Standing)
	}
	w.later(ticket.StillFiring) // it fires on
	w.later(time.Second)
	w.wantSent("storm storm_spread 1")
	if s := w.storm(); s.Standing != 20 {
		t.Errorf("%d tickets stand, want 20", s.Standing)
	}
}

// Alerts about no asset, and those that nobody is told of, make no storm; tickets that were open before are not drawn in.
func TestWhatIsNoStorm(t *testing.T) {
	w := newWeather(t, 500)
	for n := range 30 {
		w.strike(n, n+1)
		w.at = w.at.Add(correlation.Window / 19 * 2)
	}
	w.wantSent("opened 30")
	w.at = w.at.Add(time.Hour)
	w.write(0, 30, func(n int) []rules.Transition { return flips(n, "DiskBrimful", w.at) })
	w.wantSent()
	if len(w.heads()) != 0 {
		t.Errorf("%d storms", len(w.heads()))
	}
}
