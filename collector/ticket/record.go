package ticket

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Part is one of the five parts of an incident record.
type Part string

// The five parts, in the order they are read.
const (
	PartTime     Part = "time"
	PartSymptoms Part = "symptoms"
	PartUsers    Part = "affected_users"
	PartErrors   Part = "error_references"
	PartActions  Part = "actions_taken"
)

// Parts is all of them, in order.
var Parts = []Part{PartTime, PartSymptoms, PartUsers, PartErrors, PartActions}

// Entry is one piece of evidence: what, who says so, and as of when.
type Entry struct {
	Text   string    `json:"text"`
	Source string    `json:"source"`
	At     time.Time `json:"at"`
	// Table and Series carry what a sentence cannot.
	Table  *Table  `json:"table,omitempty"`
	Series *Series `json:"series,omitempty"`
	// Times is how often the same was seen, when more than once.
	Times int `json:"times,omitempty"`
}

// Table is evidence in rows.
type Table struct {
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

// Series is evidence as a curve: points of one series, oldest first.
type Series struct {
	Name string `json:"name"`
	// Points are [Unix seconds, value].
	Points [][2]float64 `json:"points"`
}

// Evidence fills one part of the record at one time.
type Evidence struct {
	Part    Part    `json:"part"`
	Entries []Entry `json:"entries,omitempty"`
	// None says why there is nothing, when Entries is empty: "none, because …".
	None string `json:"none,omitempty"`
	// Salt makes the digest say nothing about a body that was redacted.
	Salt string `json:"salt"`

	// body and digest are what Encode gives, when Prepared has made them.
	body   []byte
	digest Digest
}

// Prepared is e with what Encode gives made beforehand: outside of the transaction that needs it, where others wait. It
// must not be changed afterwards.
func (e Evidence) Prepared() (Evidence, error) {
	b, d, err := e.Encode()
	e.body, e.digest = b, d
	return e, err
}

// Size is how many bytes a prepared body has, 0 for one that is not prepared.
func (e Evidence) Size() int { return len(e.body) }

// Digest names a body of evidence from the timeline.
type Digest struct {
	Part Part `json:"part"`
	// SHA256 is of the body's bytes as stored, salt included.
	SHA256 string `json:"sha256"`
	Size   int    `json:"size"`
	// Summary is what the timeline shows of it.
	Summary string `json:"summary"`
}

// Encode is the body as it is stored and digested.
func (e Evidence) Encode() ([]byte, Digest, error) {
	if e.body != nil {
		return e.body, e.digest, nil
	}
	b, err := json.Marshal(e)
	if err != nil {
		return nil, Digest{}, fmt.Errorf("encode evidence for %s: %w", e.Part, err)
	}
	d := Digest{Part: e.Part, SHA256: sum(b), Size: len(b)}
	switch len(e.Entries) {
	case 0:
		d.Summary = e.None
	case 1:
		d.Summary = e.Entries[0].Text
	default:
		d.Summary = fmt.Sprintf("%d entries", len(e.Entries))
	}
	return b, d, nil
}

// PartRecord is one part of the record as it stands now.
type PartRecord struct {
	Entries []Entry `json:"entries"`
	// None says why Entries is empty; empty otherwise.
	None string `json:"none,omitempty"`
}

// Record is the complete incident record.
type Record struct {
	Time    PartRecord `json:"time"`
	Symptom PartRecord `json:"symptoms"`
	Users   PartRecord `json:"affected_users"`
	Errors  PartRecord `json:"error_references"`
	Actions PartRecord `json:"actions_taken"`
}

// sum is the lower-case hexadecimal SHA-256 of b.
func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
