package store

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// table is the first byte of every key, and the kind in the header of every record under it. The letters are part of
// the format: they are never given another meaning.
type table byte

const (
	tableMeta         table = 'm' // name → counter or fact about the store itself
	tableDecision     table = 'd' // decision → when
	tableDecisionAge  table = 'D' // time, decision
	tableAlert        table = 'a' // alert → AlertState
	tableTicket       table = 't' // ticket → ticket.Ticket
	tableTimeline     table = 'e' // ticket, seq → ticket.Event
	tableNumber       table = 'n' // number → ticket
	tableOpenKey      table = 'o' // incident key → ticket
	tableTicketsByKey table = 'k' // incident key, opened at, ticket
	tableTicketsByAge table = 'l' // opened at, ticket → summary
	tableOpenByAge    table = 'p' // opened at, ticket → summary, open tickets only
	tableEvidence     table = 'v' // ticket, seq → body
	tableDeadline     table = 'w' // ticket → when
	tableDeadlineAt   table = 'W' // time, ticket
	tableHostEvent    table = 'h' // asset, epoch, id → HostEvent
	tableHostEventAt  table = 'H' // asset, time, epoch, id
	tableMessage      table = 'q' // message → outbox.Message
	tableMessageDue   table = 'Q' // next attempt, message; queued ones only
	tableMessageAge   table = 's' // created at, message
	tableMessageState table = 'S' // state, created at, message
	tableAsset        table = 'A' // name → fleet.Asset
	tableAgent        table = 'G' // agent → fleet.Agent
	tableToken        table = 'T' // token → fleet.Token
	tableOperator     table = 'O' // name → fleet.Operator
	tableDeclared     table = 'C' // kind, id → fleet.Declared
	tableShape        table = 'Z' // customer, shape → wire's encoding
	tableStorm        table = 'x' // head's ticket → incident.Storm
	tableStormGoing   table = 'X' // head's ticket; storms that are not over
	tableStormMember  table = 'y' // head's ticket, 0 while the member stands and 1 after, member's ticket
	tableOwed         table = 'u' // alert
	tableTicketsOf    table = 'c' // customer, opened at, ticket
	tableQueue        table = 'J' // place, opened at, ticket; open tickets only
	tableQueueOf      table = 'i' // customer, place, opened at, ticket; open tickets only
	tableChild        table = 'b' // parent's ticket, opened at, ticket
	tableTerms        table = 'P' // digest → document
	tableOverride     table = 'V' // override → Override
	tableRecurrence   table = 'r' // recurrence → Recurrence
	tableRecurrenceAt table = 'R' // time, recurrence
	tableReported     table = 'K' // incident key → open tickets that a person reported, oldest first
	tableHeld         table = 'f' // held → Held
	tableHeldAt       table = 'F' // time, held
	tableSilence      table = 'M' // silence → Silence
	tableMuted        table = 'L' // alert → Muted
	tableFed          table = 'I' // fed alert → Fed
	tableCounted      table = 'U' // ticket, alert → ticket.Counted
)

// tables tells what the keys of each table are made of, so that a message can name a record as a person would:
// s a string, t a time, n a number.
var tables = map[table]struct{ name, layout string }{
	tableMeta:         {"fact", "s"},
	tableDecision:     {"decision", "s"},
	tableDecisionAge:  {"index of decisions by age", "ts"},
	tableAlert:        {"alert", "s"},
	tableTicket:       {"ticket", "s"},
	tableTimeline:     {"timeline event of ticket", "sn"},
	tableNumber:       {"ticket number", "s"},
	tableOpenKey:      {"open ticket of incident", "s"},
	tableTicketsByKey: {"index of tickets by incident", "sts"},
	tableTicketsByAge: {"index of tickets by age", "ts"},
	tableOpenByAge:    {"index of open tickets by age", "ts"},
	tableEvidence:     {"evidence of ticket", "sn"},
	tableDeadline:     {"deadline of ticket", "s"},
	tableDeadlineAt:   {"index of deadlines by time", "ts"},
	tableHostEvent:    {"event on asset", "snn"},
	tableHostEventAt:  {"index of events on asset", "stnn"},
	tableMessage:      {"message", "s"},
	tableMessageDue:   {"index of due messages", "ts"},
	tableMessageAge:   {"index of messages by age", "ts"},
	tableMessageState: {"index of messages by state", "sts"},
	tableAsset:        {"asset", "s"},
	tableAgent:        {"agent", "s"},
	tableToken:        {"enrolment token", "s"},
	tableOperator:     {"operator", "s"},
	tableDeclared:     {"declared", "ss"},
	tableShape:        {"shape of customer", "ss"},
	tableStorm:        {"storm of ticket", "s"},
	tableStormGoing:   {"index of storms that go on", "s"},
	tableStormMember:  {"member of storm", "sns"},
	tableOwed:         {"evidence owed of alert", "s"},
	tableTicketsOf:    {"index of tickets by customer", "sts"},
	tableQueue:        {"queue", "sts"},
	tableQueueOf:      {"queue of customer", "ssts"},
	tableChild:        {"index of tickets by parent", "sts"},
	tableTerms:        {"terms", "s"},
	tableOverride:     {"override of the on-call rota", "s"},
	tableRecurrence:   {"recurrence", "s"},
	tableRecurrenceAt: {"index of recurrences by time", "ts"},
	tableReported:     {"reported tickets of incident", "s"},
	tableHeld:         {"held notice", "s"},
	tableHeldAt:       {"index of held notices by time", "ts"},
	tableSilence:      {"silence", "s"},
	tableMuted:        {"muted alert", "s"},
	tableFed:          {"fed alert", "s"},
	tableCounted:      {"counted alert of ticket", "ss"},
}

// key is a key under construction. Its parts sort as their values do: numbers and times are big-endian, strings end
// with a zero byte (a zero within is followed by 0xFF), so that no string is another's prefix.
type key []byte

func (t table) key() key { return append(make(key, 0, 64), byte(t)) }

func (k key) str(s string) key {
	for i := range len(s) {
		if k = append(k, s[i]); s[i] == 0 {
			k = append(k, 0xFF)
		}
	}
	return append(k, 0, 1)
}

func (k key) num(n uint64) key { return binary.BigEndian.AppendUint64(k, n) }

// unixZero is the zero time.Time in seconds: times are kept as seconds since then, which no representable time
// overflows, and nanoseconds.
const unixZero = -62135596800

func (k key) time(t time.Time) key {
	k = binary.BigEndian.AppendUint64(k, uint64(t.Unix()-unixZero))
	return binary.BigEndian.AppendUint32(k, uint32(t.Nanosecond()))
}

// after is the first key that does not begin with k: the end of a scan over everything under k. It is nil when there
// is none.
func (k key) after() key {
	next := bytes.Clone(k)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]++; next[i] != 0 {
			return next[:i+1]
		}
	}
	return nil
}

// parts takes a key apart. The first thing that does not fit sets bad, and everything after reads as zero.
type parts struct {
	rest []byte
	bad  bool
}

func split(k []byte) *parts {
	if len(k) == 0 {
		return &parts{bad: true}
	}
	return &parts{rest: k[1:]}
}

func (p *parts) str() string {
	var out []byte
	for i := 0; i+1 < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c != 0:
			out = append(out, c)
		case p.rest[i+1] == 0xFF:
			out = append(out, 0)
			i++
		default:
			p.rest = p.rest[i+2:]
			return string(out)
		}
	}
	p.bad, p.rest = true, nil
	return ""
}

func (p *parts) num() uint64 {
	if len(p.rest) < 8 {
		p.bad, p.rest = true, nil
		return 0
	}
	n := binary.BigEndian.Uint64(p.rest)
	p.rest = p.rest[8:]
	return n
}

func (p *parts) time() time.Time {
	secs := p.num()
	if len(p.rest) < 4 {
		p.bad, p.rest = true, nil
		return time.Time{}
	}
	nanos := binary.BigEndian.Uint32(p.rest)
	p.rest = p.rest[4:]
	return time.Unix(int64(secs)+unixZero, int64(nanos)).UTC()
}

// describe names the record under a key for a person. It takes any bytes.
func describe(k []byte) string {
	if len(k) == 0 {
		return "record with an empty key"
	}
	t, known := tables[table(k[0])]
	p := split(k)
	words := []string{t.name}
	for _, kind := range t.layout {
		switch kind {
		case 's':
			words = append(words, fmt.Sprintf("%q", p.str()))
		case 'n':
			words = append(words, fmt.Sprint(p.num()))
		case 't':
			words = append(words, p.time().Format(time.RFC3339Nano))
		}
	}
	if !known || p.bad || len(p.rest) > 0 {
		return "record with unreadable key " + hex.EncodeToString(k)
	}
	return strings.Join(words, " ")
}
