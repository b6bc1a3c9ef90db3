package route

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/ticket"
)

// ordered are terms with three priorities and an order.
func ordered(queue ...string) ticket.Terms {
	return ticket.Terms{Priorities: []string{"P1", "P2", "P3"}, Queue: queue}
}

func queued(id, priority, system string, due time.Duration) ticket.Ticket {
	t := incident()
	t.ID, t.Priority, t.System, t.Facts = id, priority, system, nil
	if due != 0 {
		t.Clocks = []sla.Clock{{Name: "response", Due: t0.Add(due)}}
	}
	return t
}

// sortQueue is the IDs in the order of their keys.
func sortQueue(all []ticket.Ticket, terms ticket.Terms) []string {
	slices.SortFunc(all, func(a, b ticket.Ticket) int { return bytes.Compare(QueueKey(a, terms), QueueKey(b, terms)) })
	var ids []string
	for _, t := range all {
		ids = append(ids, t.ID)
	}
	return ids
}

func TestQueueOrder(t *testing.T) {
	hosted := queued("hosted by contract", "P3", "application", time.Hour)
	hosted.Facts = ticket.Facts{"supports-hosting": "yes"}
	security := queued("security of the platform", "P2", "client-device", time.Hour)
	security.Facts = ticket.Facts{"system": "platform-security"}
	older := queued("older", "P1", "vpn", time.Hour)
	older.OpenedAt = t0.Add(-time.Hour)
	all := []ticket.Ticket{
		queued("device P1", "P1", "client-device", time.Hour), queued("server P3", "P3", "server", 3*time.Hour), hosted, security, older,
		queued("server P3 sooner", "P3", "server", 2*time.Hour), queued("server without clock", "P3", "server", 0),
		queued("unknown priority", "P9", "server", time.Minute), queued("overdue", "P3", "server", -time.Hour),
	}
	for _, tt := range []struct {
		name  string
		queue []string
		want  []string
	}{
		{"hosted first", QueueKeys(), []string{"security of the platform", "overdue", "hosted by contract", "server P3 sooner", "server P3",
			"server without clock", "unknown priority", "older", "device P1"}},
		{"priority first", nil, []string{"older", "device P1", "security of the platform", "overdue", "hosted by contract", "server P3 sooner",
			"server P3", "server without clock", "unknown priority"}},
		{"time first", []string{QueueRemaining, QueuePriority}, []string{"overdue", "unknown priority", "older", "device P1",
			"security of the platform", "hosted by contract", "server P3 sooner", "server P3", "server without clock"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := sortQueue(slices.Clone(all), ordered(tt.queue...)); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestQueueAcrossSets(t *testing.T) {
	own := queued("desk P1", "P1", "client-device", time.Hour)
	other := queued("other set's P2", "P2", "client-device", time.Hour)
	served := queued("server P3", "P3", "server", time.Hour)
	if !(bytes.Compare(QueueKey(other, ordered()), QueueKey(served, ordered(QueueKeys()...))) < 0 &&
		bytes.Compare(QueueKey(served, ordered(QueueKeys()...)), QueueKey(own, ordered(QueueKeys()...))) < 0) {
		t.Error("a set without hosted is not among the hosted of one that has it")
	}
}

func TestNextDue(t *testing.T) {
	hour := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Hour) }
	inform := sla.Target{Inform: true}
	for _, tt := range []struct {
		name   string
		clocks []sla.Clock
		want   time.Time
	}{
		{"the earliest", []sla.Clock{{Due: hour(2)}, {Due: hour(1)}}, hour(1)},
		{"not one that has ended", []sla.Clock{{Due: hour(2)}, {Due: hour(1), EndedAt: t0}}, hour(2)},
		{"nor one that is paused", []sla.Clock{{Due: hour(2)}, {}}, hour(2)},
		{"nor one that is waived", []sla.Clock{{Due: hour(2)}, {Due: hour(1), Waived: true}}, hour(2)},
		{"until the waiver expires", []sla.Clock{{Due: hour(9)}, {Due: hour(1), Waived: true, WaivedUntil: hour(5)}}, hour(5)},
		{"what informs comes after what can be missed", []sla.Clock{{Due: hour(2)}, {Due: hour(1), Target: inform}}, hour(2)},
		{"and counts where nothing else does", []sla.Clock{{Due: hour(1), Target: inform}}, hour(1)},
		{"a promise where there is no clock", nil, hour(7)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tk ticket.Ticket
			tk.Clocks, tk.Promises = tt.clocks, []ticket.Promise{{Until: hour(8)}, {Until: hour(7)}}
			if got := nextDue(tk); !got.Equal(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	if got := nextDue(ticket.Ticket{}); !got.IsZero() {
		t.Errorf("of nothing %v", got)
	}
}

// TestQueueKeyIsTheOrder: keys compare as what they are made of does, are unique to a ticket, and instants keep their order
// before 1970 and beyond what nanoseconds can count.
func TestQueueKeyIsTheOrder(t *testing.T) {
	terms := ordered(QueueKeys()...)
	draw := func(t *rapid.T, id string) ticket.Ticket {
		tk := queued(id, rapid.SampledFrom([]string{"P1", "P2", "P3", "P9"}).Draw(t, "priority"), rapid.SampledFrom([]string{"server", "vpn"}).Draw(t, "system"), 0)
		if year := rapid.SampledFrom([]int{0, 1960, 2026, 2027, 2261, 2262, 9999}).Draw(t, "year"); year > 0 {
			tk.Clocks = []sla.Clock{{Due: time.Date(year, 1, 1, 0, 0, 0, rapid.IntRange(0, 2).Draw(t, "nano"), time.UTC)}}
		}
		tk.OpenedAt = t0.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "opened")))
		return tk
	}
	order := func(tk ticket.Ticket) string {
		due := "9999-99" // after every instant
		if len(tk.Clocks) > 0 {
			at := tk.Clocks[0].Due
			if at.Year() > lastYear {
				at = time.Date(lastYear+1, 1, 1, 0, 0, 0, 0, time.UTC)
			}
			due = at.Format("2006-01-02T15:04:05.000000000")
		}
		return fmt.Sprint(!Hosted(tk), terms.Rank(tk.Priority), " ", due, tk.OpenedAt.UnixNano(), tk.ID)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a"), draw(t, "b")
		if got, want := bytes.Compare(QueueKey(a, terms), QueueKey(b, terms)) < 0, order(a) < order(b); got != want {
			t.Fatalf("before: %v, want %v\n%s\n%s", got, want, order(a), order(b))
		}
	})
}
