package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/ticket"
)

// documentFormat is the version of the form in which resolved policies are kept; a newer one is refused.
const documentFormat = 1

// document is a resolved policy as it is kept.
type document struct {
	Format     int               `json:"format"`
	Ticket     ticket.Terms      `json:"ticket"`
	Route      route.Terms       `json:"route"`
	Compliance []Demand          `json:"compliance,omitempty"`
	Lifecycle  *Lifecycle        `json:"lifecycle,omitempty"`
	Sources    map[string]string `json:"sources,omitempty"`
}

// Document is the resolved policy as canonical JSON (the same policy always gives the same bytes) and its digest: the
// SHA-256 of the body in lower-case hexadecimal, under which it is kept. Warnings are not part of it.
func (r Resolved) Document() (digest string, body []byte, err error) {
	body, err = json.Marshal(document{Format: documentFormat, Ticket: r.Ticket, Route: r.Route, Compliance: r.Compliance, Lifecycle: r.Lifecycle, Sources: r.Sources})
	if err != nil {
		return "", nil, fmt.Errorf("encode the policy %s %s: %w", r.Ticket.Policy, r.Ticket.Version, err)
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:]), body, nil
}

// ReadDocument reads what Document wrote, with Ticket.Digest set. It fails for a damaged body and for one of a newer
// format.
func ReadDocument(body []byte) (Resolved, error) {
	var d document
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&d); err != nil {
		return Resolved{}, fmt.Errorf("read a kept policy: %w", err)
	}
	if d.Format != documentFormat {
		return Resolved{}, fmt.Errorf("read a kept policy: it has format %d, this release reads %d: use the release that wrote it, or a newer one",
			d.Format, documentFormat)
	}
	sum := sha256.Sum256(body)
	d.Ticket.Digest = hex.EncodeToString(sum[:])
	return Resolved{Ticket: d.Ticket, Route: d.Route, Compliance: d.Compliance, Lifecycle: d.Lifecycle, Sources: d.Sources}, nil
}
