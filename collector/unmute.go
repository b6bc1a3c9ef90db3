package collector

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// unmute brings alerts that fire on and are muted no more to their tickets. It looks through the muted ones when something
// that muted has ended, the fleet was changed, or something was muted since it last did.
func (p *pipeline) unmute(ctx context.Context, now time.Time) error {
	news := p.mutes.news.Swap(false) // before they are read: what is muted from here on is looked at next time
	muter := p.mutes.muter.Load()
	silences, windows := muter.InForce(now)
	inForce, picture := append(silences, windows...), p.fleet.Changed()
	if !news && slices.Equal(inForce, p.mutes.seen) && picture == p.mutes.seenFleet {
		return nil
	}
	if err := p.unmuteAll(ctx, muter, now); err != nil {
		p.mutes.news.Store(true)
		return fmt.Errorf("open the tickets of alerts that are muted no more: %w", err)
	}
	p.mutes.seen, p.mutes.seenFleet = inForce, picture
	return nil
}

// freed is a muted alert that is muted no more.
type freed struct {
	id   string
	held mutedAlert
}

func (p *pipeline) unmuteAll(ctx context.Context, muter *incident.Muter, now time.Time) error {
	var free []freed
	states := map[string]store.AlertState{}
	err := p.store.View(ctx, func(tx store.Tx) error {
		all, err := tx.AllMuted()
		if err != nil {
			return err
		}
		for _, m := range all {
			one := freed{id: m.ID}
			if err := json.Unmarshal(m.Body, &one.held); err != nil {
				return fmt.Errorf("read muted alert %s: %w", m.ID, err)
			}
			if len(muter.By(one.held.Alert, now)) == 0 {
				free = append(free, one)
			}
		}
		if len(free) == 0 {
			return nil
		}
		kept, err := tx.Alerts()
		for _, s := range kept {
			states[s.ID()] = s
		}
		return err
	})
	if err != nil {
		return err
	}
	// What the house itself says of silent hosts and sites comes first: it explains the others.
	slices.SortFunc(free, func(a, b freed) int {
		return cmp.Or(cmp.Compare(lateRank(a), lateRank(b)), a.held.Alert.FiredAt.Compare(b.held.Alert.FiredAt), strings.Compare(a.id, b.id))
	})
	var errs []error
	for some := range slices.Chunk(free, maxTogether) {
		c, err := p.late(ctx, some, states, now)
		if err == nil && !p.commits.do(ctx, c, p.writeAll) {
			return ctx.Err()
		}
		if err == nil {
			err = c.err
		}
		if err != nil && len(some) > 1 && !errors.Is(err, store.ErrFull) && ctx.Err() == nil {
			err = p.lateOneByOne(ctx, some, states, now) // one that cannot be opened keeps no other waiting
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (p *pipeline) lateOneByOne(ctx context.Context, some []freed, states map[string]store.AlertState, now time.Time) error {
	var errs []error
	for _, one := range some {
		c, err := p.late(ctx, []freed{one}, states, now)
		if err == nil && !p.commits.do(ctx, c, p.writeAll) {
			return ctx.Err()
		}
		if err == nil {
			err = c.err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func lateRank(f freed) int {
	if f.held.Alert.Silence() {
		return 0
	}
	return 1
}

// late is the commit that brings alerts to their tickets late, with evidence read now and with a word on what held them back.
func (p *pipeline) late(ctx context.Context, some []freed, states map[string]store.AlertState, now time.Time) (*commit, error) {
	name := sha256.New()
	c := &commit{}
	for _, one := range some {
		fmt.Fprintf(name, "%s %d\n", one.id, one.held.At.UnixNano())
		t := change{alert: one.held.Alert, late: &one.held}
		if s, ok := states[one.id]; ok {
			t.Transition = rules.Transition{Origin: s.Origin, From: rules.Inactive, Alert: s.Alert}
			t.alert = p.alertOf(t.Transition)
		} else {
			t.Transition.Alert.State = rules.Firing
		}
		c.changes = append(c.changes, t)
	}
	c.decision = fmt.Sprintf("unmuted-%016x-%x", uint64(now.UnixNano()), name.Sum(nil)[:16])
	p.gatherAll(ctx, c.changes, now)
	for i := range c.changes {
		for j, ev := range c.changes[i].evidence {
			if ev.Part == ticket.PartTime {
				ev.Entries = append(slices.Clone(ev.Entries), heldEntry(some[i].held, now))
			}
			done, err := ev.Prepared()
			if err != nil {
				return nil, fmt.Errorf("alert %s: %w", some[i].id, err)
			}
			c.changes[i].evidence[j] = done
			c.bytes += done.Size()
		}
	}
	return c, nil
}

// heldEntry says in a record what kept the ticket from opening when its alert fired.
func heldEntry(h mutedAlert, now time.Time) ticket.Entry {
	text := fmt.Sprintf("it fires since %s and opened no ticket until %s: held back by %s", shortly(h.Alert.FiredAt), shortly(now), mutedBy(h.By))
	return ticket.Entry{Text: text, Source: "watchbill", At: h.At}
}

// mutedBy names what holds an alert back, for a person.
func mutedBy(all []incident.MutedBy) string {
	var words []string
	for _, m := range all {
		word := "maintenance " + m.Name
		if m.ID != "" {
			word = "silence " + m.ID + " of " + or(m.By, "nobody")
		}
		if c := oneLine(m.Comment); c != "" {
			word += " (" + c + ")"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// unmuteOne opens the ticket of an alert that was muted, unless it ended meanwhile.
func (p *pipeline) unmuteOne(tx store.Tx, t change, now time.Time, did *outcome) error {
	_, still, err := tx.Muted(t.alert.ID)
	if err != nil || !still || len(did.muter.By(t.alert, now)) > 0 {
		return err
	}
	if err := tx.Unmute(t.alert.ID); err != nil {
		return err
	}
	did.unmuted = append(did.unmuted, t.alert.ID)
	did.late = t.alert.ID
	defer func() { did.late = "" }()
	return p.fire(tx, t.alert, t.evidence, now, did)
}
