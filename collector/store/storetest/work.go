package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
)

func alert(rule, instance string, v float64) store.AlertState {
	return store.AlertState{
		Origin: rules.Origin{ID: rule, Group: "linux", Name: "DiskFull", Expr: "x > 1", For: time.Minute},
		Alert: rules.Alert{
			Labels:      labels.FromStrings("alertname", "DiskFull", "instance", instance),
			Annotations: labels.FromStrings("summary", "<b>full</b>"),
			State:       rules.Firing, Value: rules.Value(v), FirstBadAt: day, ActiveAt: day, FiredAt: day.Add(time.Minute),
		},
	}
}

func testAlerts(t *testing.T, s store.Store) {
	a, b, c := alert("r1", "web1", math.Inf(-1)), alert("r1", "web2", 0.1), alert("r2", "web1", 3)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutAlert(a), tx.PutAlert(b), tx.PutAlert(c), tx.DeleteAlert(b.ID()), tx.DeleteAlert("never was"))
	})
	a.Alert.State, a.Alert.EndedAt, a.Alert.End = rules.Inactive, day.Add(time.Hour), rules.Recovered
	update(t, s, func(tx store.Tx) error { return tx.PutAlert(a) })
	view(t, s, func(tx store.Tx) error {
		got, err := tx.Alerts()
		same(t, "alerts", got, []store.AlertState{a, c})
		return err
	})
}

func testDeadlines(t *testing.T, s store.Store) {
	at := func(minutes int) time.Time { return day.Add(time.Duration(minutes) * time.Minute) }
	update(t, s, func(tx store.Tx) error {
		var errs []error
		for i := range 10 {
			errs = append(errs, tx.PutDeadline(fmt.Sprint("t", i), at(i)))
		}
		return errors.Join(append(errs, tx.PutDeadline("t3", at(20)), tx.PutDeadline("t4", time.Time{}),
			tx.PutDeadline("t5", at(-1)), tx.PutDeadline("unknown", time.Time{}))...)
	})
	for name, c := range map[string]struct {
		now   time.Time
		limit int
		want  string
		next  time.Time
	}{
		"before all":     {at(-2), 0, "[]", at(-1)},
		"not after now":  {at(1), 0, "[t5 t0 t1]", at(2)},
		"bounded":        {at(30), 2, "[t5 t0]", at(1)},
		"all":            {at(30), 0, "[t5 t0 t1 t2 t6 t7 t8 t9 t3]", time.Time{}},
		"just before it": {at(2).Add(-1), 0, "[t5 t0 t1]", at(2)},
	} {
		view(t, s, func(tx store.Tx) error {
			due, next, err := tx.DueDeadlines(c.now, c.limit)
			var names []string
			for _, d := range due {
				names = append(names, d.Ticket)
			}
			if fmt.Sprint(names) != c.want || !next.Equal(c.next) {
				t.Errorf("%s: got %v, next %v; want %s, %v", name, names, next, c.want, c.next)
			}
			if len(due) > 0 && !due[0].At.Equal(at(-1)) {
				t.Errorf("%s: the first is at %v, want %v", name, due[0].At, at(-1))
			}
			return err
		})
	}
}

func testEvents(t *testing.T, s store.Store) {
	event := func(asset string, epoch, id uint64, minutes int) store.HostEvent {
		return store.HostEvent{Asset: asset, Epoch: epoch, ID: id, Kind: "reboot", At: day.Add(time.Duration(minutes) * time.Minute),
			Text: fmt.Sprint("event ", minutes), Fields: map[string]string{"boot": "1"}}
	}
	put := func(e store.HostEvent) (fresh bool) {
		update(t, s, func(tx store.Tx) (err error) {
			fresh, err = tx.PutEvent(e)
			return err
		})
		return fresh
	}
	for i, e := range []store.HostEvent{event("web1", 1, 1, 5), event("web1", 2, 1, 1), event("web1", math.MaxUint64, 2, 3), event("web2", 1, 1, 9)} {
		if !put(e) {
			t.Errorf("event %d is taken for a repeat", i)
		}
	}
	if altered := event("web1", 2, 1, 7); put(altered) {
		t.Error("a repeat is taken for a new event")
	}
	for name, c := range map[string]struct {
		since, limit int
		want         []store.HostEvent
	}{
		"all":    {0, 0, []store.HostEvent{event("web1", 1, 1, 5), event("web1", math.MaxUint64, 2, 3), event("web1", 2, 1, 1)}},
		"since":  {3, 0, []store.HostEvent{event("web1", 1, 1, 5), event("web1", math.MaxUint64, 2, 3)}},
		"newest": {0, 1, []store.HostEvent{event("web1", 1, 1, 5)}},
		"none":   {6, 0, nil},
	} {
		view(t, s, func(tx store.Tx) error {
			got, err := tx.Events("web1", day.Add(time.Duration(c.since)*time.Minute), c.limit)
			same(t, name, got, c.want)
			return err
		})
	}
	later := int(store.KeepEvents/time.Minute) + 4 // the events of minutes 1 and 3 are too old by then
	put(event("web1", 3, 1, later))
	view(t, s, func(tx store.Tx) error {
		got, err := tx.Events("web1", time.Time{}, 0)
		same(t, "a month later", got, []store.HostEvent{event("web1", 3, 1, later), event("web1", 1, 1, 5)})
		return err
	})
	if !put(event("web1", 2, 1, 1)) {
		t.Error("a forgotten event is still known")
	}
}

func message(id string, created, next int) outbox.Message {
	return outbox.Message{ID: id, Receiver: "desk", Ticket: "t1", Number: "WB-1001", What: "opened", Body: []byte(`{"a":"<b>"}`),
		CreatedAt: day.Add(time.Duration(created) * time.Minute), State: outbox.Queued, NextAt: day.Add(time.Duration(next) * time.Minute)}
}

func ids(ms []outbox.Message) string {
	var out []string
	for _, m := range ms {
		out = append(out, m.ID)
	}
	return strings.Join(out, " ")
}

func testMessages(t *testing.T, s store.Store) {
	buried := message("m3", 1, 0)
	buried.State = outbox.Buried
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutMessage(message("m1", 3, 5)), tx.PutMessage(message("m2", 2, 9)), tx.PutMessage(buried),
			tx.PutMessage(message("m4", 4, 1)), tx.PutMessage(message("m5", 0, 0)), tx.DeleteMessage("m5"),
			tx.DeleteMessage("never was"), tx.PutMessage(message("m1", 3, 7)))
	})
	view(t, s, func(tx store.Tx) error {
		due, next, err := tx.DueMessages(day.Add(7*time.Minute), 0)
		if got := ids(due); got != "m4 m1" || !next.Equal(day.Add(9*time.Minute)) {
			t.Errorf("due: got %q, next %v; want \"m4 m1\" and m2's", got, next)
		}
		one, next, err2 := tx.DueMessages(day.Add(7*time.Minute), 1)
		if got := ids(one); got != "m4" || !next.Equal(day.Add(7*time.Minute)) {
			t.Errorf("due, one: got %q, next %v; want m4 and m1's", got, next)
		}
		for state, want := range map[outbox.MessageState]string{"": "m3 m2 m1 m4", outbox.Queued: "m2 m1 m4", outbox.Buried: "m3"} {
			ms, err := tx.Messages(state, 0)
			if got := ids(ms); got != want || err != nil {
				t.Errorf("messages in state %q: got %q, %v; want %q", state, got, err, want)
			}
		}
		two, err3 := tx.Messages("", 2)
		if got := ids(two); got != "m3 m2" {
			t.Errorf("two messages: got %q", got)
		}
		m, err4 := tx.Message("m1")
		same(t, "message", m, message("m1", 3, 7))
		if _, err := tx.Message("m5"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a deleted message: %v, want store.ErrNotFound", err)
		}
		return errors.Join(err, err2, err3, err4)
	})
}

func testQueue(t *testing.T, s store.Store) {
	ctx, q := context.Background(), store.Queue(s)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutMessage(message("m1", 0, 0)), tx.PutMessage(message("m2", 0, 1)), tx.PutMessage(message("m3", 0, 2)))
	})
	now, next := day.Add(3*time.Minute), day.Add(4*time.Minute)
	cause := errors.New("500: " + strings.Repeat("ü", 2000))
	err := errors.Join(q.Done(ctx, "m1"), q.Retry(ctx, "m2", now, next, cause), q.Bury(ctx, "m3", now, cause),
		q.Done(ctx, "m1"), q.Retry(ctx, "m1", now, next, cause), q.Bury(ctx, "m1", now, cause), q.Retry(ctx, "m3", now, next, cause))
	if err != nil {
		t.Fatal(err)
	}
	due, then, err := q.Due(ctx, now, 10)
	if len(due) != 0 || !then.Equal(next) || err != nil {
		t.Errorf("due: %q, next %v, %v; want none before m2's retry", ids(due), then, err)
	}
	view(t, s, func(tx store.Tx) error {
		m2, err := tx.Message("m2")
		m3, err2 := tx.Message("m3")
		if m2.Attempts != 1 || !m2.TriedAt.Equal(now) || m2.State != outbox.Queued || len(m2.LastError) > 1024 || m2.LastError == "" {
			t.Errorf("after a retry: %+v", m2)
		}
		if m3.Attempts != 1 || m3.State != outbox.Buried || !strings.HasPrefix(m3.LastError, "500: ü") {
			t.Errorf("after burial: %+v", m3)
		}
		return errors.Join(err, err2)
	})
}

// declare puts in what commands declare: two kinds of the same ID, one that is replaced and one that is taken back.
func declare(r fleet.Records) error {
	put := func(kind fleet.DeclaredKind, id, by string) error {
		d := fleet.Declared{Kind: kind, ID: id, By: by, At: day}
		switch kind {
		case fleet.DeclaredPerson:
			d.Person = &fleet.Person{ID: id, Name: by}
		case fleet.DeclaredDepartment:
			d.Department = &fleet.Department{ID: id, Customer: true}
		case fleet.DeclaredCustomer:
			d.Customer = &fleet.Customer{ID: id, Contracts: []fleet.Contract{{ID: "k", From: "2026-01-01",
				Overlays: []fleet.Overlay{{Name: "o", Hours: map[string]fleet.Spans{"sat": {"08:00-12:00"}}}}}},
				Sites: []fleet.Site{{ID: "s", Assets: []fleet.Asset{{Name: "a", Versions: map[string]string{"os": "12"}}}}}}
		}
		return r.PutDeclared(d)
	}
	return errors.Join(put(fleet.DeclaredCustomer, "sas", "ada"), put(fleet.DeclaredDepartment, "sas", "ada"),
		put(fleet.DeclaredPerson, "eve", "first"), put(fleet.DeclaredPerson, "ann", "ada"), put(fleet.DeclaredPerson, "eve", "second"),
		put(fleet.DeclaredPerson, "gone", "ada"), r.DeleteDeclared(fleet.DeclaredPerson, "gone"),
		r.DeleteDeclared(fleet.DeclaredPerson, "sas"), r.DeleteDeclared(fleet.DeclaredCustomer, "nobody"))
}

// declared holds what declare put in to what is there: each kind by ID, the last of each, nothing of another kind.
func declared(t *testing.T, r fleet.Records) {
	t.Helper()
	var got []string
	for _, kind := range fleet.DeclaredKinds() {
		all, err := r.Declared(kind)
		if err != nil {
			t.Error(err)
		}
		for _, d := range all {
			got = append(got, fmt.Sprintf("%s %s by %s, %v", d.Kind, d.ID, d.By, d.At.Equal(day)))
			if d.Kind == fleet.DeclaredCustomer && (d.Customer == nil || len(d.Customer.Contracts) != 1 ||
				d.Customer.Contracts[0].Overlays[0].Hours["sat"][0] != "08:00-12:00" || d.Customer.Sites[0].Assets[0].Versions["os"] != "12") {
				t.Errorf("customer %+v", d.Customer)
			}
		}
	}
	same(t, "declared", got, []string{"person ann by ada, true", "person eve by second, true", "department sas by ada, true",
		"customer sas by ada, true"})
}

func testFleet(t *testing.T, s store.Store) {
	ctx, k := context.Background(), store.Keeper(s)
	web, agent := fleet.Asset{Name: "web1", Customer: "acme", Kind: fleet.Host, Users: 3}, fleet.Agent{ID: "a1", Serials: []string{"01"}, EnrolledAt: day}
	token, operator := fleet.Token{ID: "k1", Digest: "d", ExpiresAt: day}, fleet.Operator{Name: "ada", Roles: []fleet.Role{fleet.Admin, fleet.GeneralManager},
		Role: fleet.Admin, Scope: fleet.Scope{Department: "sas"}, Person: "ada"}
	err := k.UpdateFleet(ctx, "enrol", func(r fleet.Records) error {
		_, _, there, err := r.Authority()
		if there {
			t.Error("an authority before the first start")
		}
		return errors.Join(err, r.PutAsset(web), r.PutAsset(fleet.Asset{Name: "gone"}), r.DeleteAsset("gone"), r.PutAgent(agent),
			r.PutToken(token), r.PutToken(fleet.Token{ID: "gone"}), r.DeleteToken("gone"), r.PutOperator(operator),
			r.PutOperator(fleet.Operator{Name: "gone"}), r.DeleteOperator("gone"), r.PutAuthority([]byte("cert"), []byte("key")),
			declare(r))
	})
	if err != nil {
		t.Fatal(err)
	}
	err = k.ViewFleet(ctx, func(r fleet.Records) error {
		asset, ok1, err1 := r.Asset("web1")
		gotAgent, ok2, err2 := r.Agent("a1")
		gotToken, ok3, err3 := r.Token("k1")
		gotOperator, ok4, err4 := r.Operator("ada")
		cert, key, ok5, err5 := r.Authority()
		if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || string(cert) != "cert" || string(key) != "key" {
			t.Errorf("something is missing: %v %v %v %v %v, %q %q", ok1, ok2, ok3, ok4, ok5, cert, key)
		}
		assets, err6 := r.Assets()
		agents, err7 := r.Agents()
		tokens, err8 := r.Tokens()
		operators, err9 := r.Operators()
		declared(t, r)
		same(t, "fleet", []any{asset, gotAgent, gotToken, gotOperator}, []any{web, agent, token, operator})
		same(t, "fleet's lists", []any{assets, agents, tokens, operators},
			[]any{[]fleet.Asset{web}, []fleet.Agent{agent}, []fleet.Token{token}, []fleet.Operator{operator}})
		if err := r.Shapes(func(string, [32]byte, []byte) error { return nil }); err != nil {
			t.Error(err)
		}
		_, there, err10 := r.Asset("gone")
		if there {
			t.Error("a deleted asset is there")
		}
		return errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10)
	})
	if err != nil {
		t.Fatal(err)
	}
}
