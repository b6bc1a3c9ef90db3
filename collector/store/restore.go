package store

import (
	"fmt"
	"math"
	"time"

	"github.com/watchbill/watchbill/collector/outbox"
)

// Facts is what a store says of itself.
type Facts struct {
	// Format is that of its records.
	Format int `json:"format"`
	// Incarnation is the number of the last start, TicketNumber the last that was issued; 0 and 1000 before the first.
	Incarnation  uint64 `json:"incarnation"`
	TicketNumber int    `json:"ticket_number"`
}

// ReadFacts reads them from an engine of any format. ErrDamaged when what is there is not readable; an empty store has
// Format 0.
func ReadFacts(kv KV, name string) (Facts, error) {
	x := newTx(kv, name)
	format, _, err := load[int](x, metaKey("format"))
	if err != nil {
		return Facts{}, err
	}
	incarnation, err := x.counted(counterIncarnation, 0)
	if err != nil {
		return Facts{}, err
	}
	number, err := x.counted(counterNumber, numberStart)
	return Facts{Format: format, Incarnation: incarnation, TicketNumber: int(min(number, math.MaxInt32))}, err
}

// Reincarnation is what is known when a backup is put back.
type Reincarnation struct {
	// Backup is the file's name, TakenAt when it was written, At when it is put back.
	Backup      string
	TakenAt, At time.Time
	// Incarnation and TicketNumber are the highest that are known from elsewhere: the store that is replaced, earlier
	// restores. 0 when nothing is known.
	Incarnation  uint64
	TicketNumber int
}

// Restore is what a restore did.
type Restore struct {
	Backup  string    `json:"backup"`
	TakenAt time.Time `json:"taken_at"`
	At      time.Time `json:"at"`
	// TicketNumber and Incarnation are those the restored store continues after; the numbers between the last ones of
	// the backup and these stay unused.
	LastTicketNumber int    `json:"last_ticket_number"`
	TicketNumber     int    `json:"ticket_number"`
	LastIncarnation  uint64 `json:"last_incarnation"`
	Incarnation      uint64 `json:"incarnation"`
	// Parked counts the messages that were queued in the backup, Tokens the unused enrolment tokens that are void.
	Parked int `json:"parked"`
	Tokens int `json:"tokens"`
}

// skipStep is what is skipped at least, and for every day since the backup was written: many times what one collector
// opens on a bad day.
const skipStep = 1000

// skip is the number to continue after: beyond known by skipStep and once more for every started day, rounded up to a
// whole skipStep, so that a person sees where the gap is.
func skip(known uint64, since time.Duration) uint64 {
	days := uint64(max(since, 0)/(24*time.Hour)) + 1
	next := known + skipStep*days
	return (next + skipStep - 1) / skipStep * skipStep
}

func restoreKey() key { return metaKey("restore") }

func (x *tx) LastRestore() (Restore, bool, error) { return load[Restore](x, restoreKey()) }

func (x *tx) Reincarnate(r Reincarnation) (Restore, error) {
	did := Restore{Backup: r.Backup, TakenAt: r.TakenAt.UTC(), At: r.At.UTC()}
	away := r.At.Sub(r.TakenAt)
	number, err := x.counted(counterNumber, numberStart)
	if err != nil {
		return did, err
	}
	incarnation, err := x.counted(counterIncarnation, 0)
	if err != nil {
		return did, err
	}
	did.LastTicketNumber, did.LastIncarnation = int(min(number, math.MaxInt32)), incarnation
	did.TicketNumber = int(min(skip(max(number, uint64(max(r.TicketNumber, 0))), away), math.MaxInt32))
	did.Incarnation = skip(max(incarnation, r.Incarnation), away)
	if err := x.put(metaKey(counterNumber), did.TicketNumber); err != nil {
		return did, err
	}
	if err := x.put(metaKey(counterIncarnation), did.Incarnation); err != nil {
		return did, err
	}
	if did.Parked, err = x.park(); err != nil {
		return did, err
	}
	if did.Tokens, err = x.voidTokens(); err != nil {
		return did, err
	}
	return did, x.put(restoreKey(), did)
}

// park keeps every queued message from being sent by itself.
func (x *tx) park() (int, error) {
	under := tableMessageState.key().str(string(outbox.Queued))
	found, err := x.keys(under, under.after(), false, math.MaxInt)
	if err != nil {
		return 0, err
	}
	for _, k := range found {
		p := &parts{rest: k[len(under):]}
		p.time()
		m, err := must[outbox.Message](x, messageKey(p.str()))
		if err != nil {
			return 0, err
		}
		m.State = outbox.Parked
		if err := x.PutMessage(m); err != nil {
			return 0, err
		}
	}
	return len(found), nil
}

// voidTokens removes the enrolment tokens that are unused in the backup: one that was used since would work twice.
func (x *tx) voidTokens() (int, error) {
	tokens, err := x.Tokens()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, t := range tokens {
		if !t.UsedAt.IsZero() {
			continue
		}
		if err := x.DeleteToken(t.ID); err != nil {
			return 0, fmt.Errorf("void enrolment token %s: %w", t.ID, err)
		}
		n++
	}
	return n, nil
}
