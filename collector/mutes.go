package collector

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// mutes are the silences that people set and the maintenance windows of the configuration:
//
//	an alert fires ─► muted? ─► no: its ticket
//	                    └► yes: noted in the store ─► every second: still muted? ─► no: its ticket, now
//
// What is noted is forgotten when the alert ends: then it opens nothing.
type mutes struct {
	// muter is replaced whenever a silence or the configuration changes.
	muter atomic.Pointer[incident.Muter]
	// setting is held from reading which silences there are until the new ones are in force.
	setting sync.Mutex
	// news says that something was muted, or what mutes changed, since the muted alerts were last looked through.
	news   atomic.Bool
	counts muteCounts

	// What follows belongs to elapse: what was in force when the muted alerts were last looked through, and which picture of
	// the fleet: whose a customer is decides whom a department's silence holds back.
	seen      []string
	seenFleet uint64
}

// mutedAlert is what is noted of a muted alert.
type mutedAlert struct {
	Alert incident.Alert `json:"alert"`
	// At is when it fired and was muted, By what muted it then or since.
	At time.Time          `json:"at"`
	By []incident.MutedBy `json:"by"`
}

func (p *pipeline) putMutes(mutings []incident.Muting, windows []incident.Window) {
	p.mutes.muter.Store(incident.NewMuter(mutings, windows, p.owner))
	p.mutes.news.Store(true)
}

// owner is the department that owns a customer now, empty for none.
func (p *pipeline) owner(customer string) string {
	c, _ := p.fleet.Customer(customer)
	return c.Department
}

// loadSilences takes back the silences that are kept.
func (p *pipeline) loadSilences(ctx context.Context) error {
	p.mutes.setting.Lock()
	defer p.mutes.setting.Unlock()
	var kept []store.Silence
	err := p.store.View(ctx, func(tx store.Tx) (err error) {
		kept, err = tx.Silences()
		return err
	})
	if err != nil {
		return fmt.Errorf("read silences: %w", err)
	}
	var all []incident.Muting
	for _, s := range kept {
		var m incident.Muting
		if err := json.Unmarshal(s.Body, &m); err != nil {
			return fmt.Errorf("read silence %s: %w", s.ID, err)
		}
		all = append(all, m)
	}
	p.putMutes(all, p.mutes.muter.Load().Windows())
	return nil
}

// maintain puts the maintenance windows of a configuration into force.
func (p *pipeline) maintain(plan MaintenancePlan) {
	p.mutes.setting.Lock()
	defer p.mutes.setting.Unlock()
	p.putMutes(p.mutes.muter.Load().Mutings(), plan.windows())
}

// MutedBy is what holds an alert back now, nil when nothing does.
func (p *pipeline) MutedBy(a incident.Alert) []incident.MutedBy {
	return p.mutes.muter.Load().By(a, p.now())
}

// Silences are all that are kept, expired ones too; Maintenance are the windows in force.
func (p *pipeline) Silences() []incident.Muting { return p.mutes.muter.Load().Mutings() }

// Maintenance are the windows in force.
func (p *pipeline) Maintenance() []incident.Window { return p.mutes.muter.Load().Windows() }

// SetSilence makes a silence or changes the one of that ID, and returns its ID, which may be another one then. The error is
// incident.ErrNoMuting when there is none of that ID, and wraps ticket.ErrRefused when it is not a silence that can be.
func (p *pipeline) SetSilence(ctx context.Context, m incident.Muting) (string, error) {
	p.mutes.setting.Lock()
	defer p.mutes.setting.Unlock()
	now := p.now().UTC()
	all := p.mutes.muter.Load().Mutings()
	all = slices.DeleteFunc(slices.Clone(all), func(m incident.Muting) bool { return m.Forgotten(now) })
	put, err := incident.SetMuting(all, m, newUUID(), now)
	switch {
	case errors.Is(err, incident.ErrNoMuting):
		return "", err
	case err != nil:
		return "", fmt.Errorf("%w: %w", ticket.ErrRefused, err)
	}
	if err := p.keepSilences(ctx, put, now); err != nil {
		return "", fmt.Errorf("keep silence: %w", err)
	}
	p.log.Info("silence set", "id", put[0].ID, "was", m.ID, "by", m.CreatedBy, "from", put[0].StartsAt, "until", put[0].EndsAt,
		"matchers", fmt.Sprint(put[0].Matchers), "bound", put[0].Bound.String(), "comment", m.Comment)
	return put[0].ID, nil
}

// ExpireSilence ends a silence now. incident.ErrNoMuting when there is none of that ID.
func (p *pipeline) ExpireSilence(ctx context.Context, id, by string) error {
	p.mutes.setting.Lock()
	defer p.mutes.setting.Unlock()
	now := p.now().UTC()
	all := p.mutes.muter.Load().Mutings()
	i := slices.IndexFunc(all, func(m incident.Muting) bool { return m.ID == id && !m.Forgotten(now) })
	if i < 0 {
		return incident.ErrNoMuting
	}
	if all[i].State(now) == incident.MutingExpired {
		return nil
	}
	m := all[i].Expired(now)
	m.UpdatedBy = by
	if err := p.keepSilences(ctx, []incident.Muting{m}, now); err != nil {
		return fmt.Errorf("expire silence %s: %w", id, err)
	}
	p.log.Info("silence expired", "id", id, "by", by)
	return nil
}

// keepSilences makes some durable, forgets those that expired long ago, and puts what is left into force.
func (p *pipeline) keepSilences(ctx context.Context, put []incident.Muting, now time.Time) error {
	muter := p.mutes.muter.Load()
	all := slices.Clone(put)
	var old []string
	for _, m := range muter.Mutings() {
		switch {
		case slices.ContainsFunc(put, func(n incident.Muting) bool { return n.ID == m.ID }):
		case m.Forgotten(now):
			old = append(old, m.ID)
		default:
			all = append(all, m)
		}
	}
	err := p.store.Update(ctx, "", func(tx store.Tx) error {
		for _, m := range put {
			body, err := json.Marshal(m)
			if err != nil {
				return err
			}
			if err := tx.PutSilence(store.Silence{ID: m.ID, Body: body}); err != nil {
				return err
			}
		}
		for _, id := range old {
			if err := tx.DeleteSilence(id); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		p.putMutes(all, muter.Windows())
	}
	return err
}

// newUUID is a random UUID (RFC 9562, version 4): the form of ID that Alertmanager's clients ask for.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // it never fails: crypto/rand ends the process first
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// mute notes an alert that fires and is muted; false when nothing mutes it.
func (p *pipeline) mute(tx store.Tx, a incident.Alert, now time.Time, did *outcome) (bool, error) {
	by := did.muter.By(a, now)
	if len(by) == 0 {
		return false, nil
	}
	did.muted = append(did.muted, a.ID)
	body, err := json.Marshal(mutedAlert{Alert: a, At: now.UTC(), By: by})
	if err != nil {
		return true, err
	}
	return true, tx.PutMuted(store.Muted{ID: a.ID, Body: body})
}
