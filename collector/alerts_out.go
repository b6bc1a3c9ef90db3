package collector

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
)

// This file puts the alerts of this house into the outbox for Alertmanagers: that one fires, and that it ended, in the very
// transaction that decides it. So an Alertmanager hears of a recovery whatever crashes in between. alerts_resend.go says again
// what stands.

// Source names this collector among others that send alerts to the same place: by where people reach it, else by host and
// port.
func (c Config) Source() string {
	return cmp.Or(c.Web.ExternalURL, c.sourceHost())
}

// sourceHost is what this collector is called while nobody said where people reach it. The port of its operators' listener
// tells two on one host apart.
func (c Config) sourceHost() string {
	host, err := os.Hostname()
	if err != nil {
		host = "watchbill"
	}
	_, port, err := net.SplitHostPort(c.Web.ListenAddress)
	if err != nil {
		return host
	}
	return net.JoinHostPort(host, port)
}

// outgoing is an alert that a transaction lets go, by its identity.
type outgoing struct {
	id    string
	alert notify.OutAlert
}

// passOn notes a transition that Alertmanagers are to hear of: an alert begins to fire, or fires no more. Silences and
// maintenance windows hold back no alert: an Alertmanager has silences of its own.
func (p *pipeline) passOn(tx store.Tx, t change, now time.Time, did *outcome) error {
	begins, ends := t.fires(), t.From == rules.Firing && t.Alert.State != rules.Firing
	if !p.out.wanted() || !begins && !ends || incident.IsFed(t.Origin) {
		return nil
	}
	al := p.out.alertOf(t.Origin, t.Alert)
	if ends && al.EndsAt.IsZero() { // it is pending again, for its rule's `for` was lengthened
		al.EndsAt = now
	}
	if url := p.audience.Load().url; url != "" {
		n, err := did.newest(tx, incident.KeyOf(t.alert).String())
		if err != nil {
			return err
		}
		number := ""
		if n.ok {
			number = n.Number
		}
		al.GeneratorURL = linkOf(url, number)
	}
	did.out = append(did.out, outgoing{t.ID(), al})
	return nil
}

// linkOf shows the ticket of an alert, or all alerts where it has none.
func linkOf(url, number string) string {
	if number == "" {
		return url + "/api/watchbill/v1/alerts"
	}
	return url + "/api/watchbill/v1/tickets/" + number
}

// alertLine keeps what goes to one Alertmanager in order: an alert's past is never heard of after its present.
const alertLine = "alerts"

// postAlerts puts what a transaction lets go into the outbox, in as few messages as may be.
func (p *pipeline) postAlerts(tx store.Tx, now time.Time, did *outcome) error {
	part := 0
	for chunk := range slices.Chunk(did.out, notify.MaxAlertBatch) {
		alerts := make([]notify.OutAlert, len(chunk))
		for i, o := range chunk {
			alerts[i] = o.alert
		}
		body, err := notify.EncodeAlerts(alerts)
		if err != nil {
			return err
		}
		for _, receiver := range p.out.names() {
			if err := tx.PutMessage(outbox.Message{
				ID: alertsID(chunk, part, now, receiver, p.line), Receiver: receiver, Line: alertLine, What: whatOf(alerts), Body: body,
				CreatedAt: now, NextAt: now, State: outbox.Queued,
			}); err != nil {
				return err
			}
		}
		part++
	}
	return nil
}

// whatOf says what a message tells in the words of the outbox's list.
func whatOf(alerts []notify.OutAlert) string {
	ended := 0
	for _, a := range alerts {
		if !a.EndsAt.IsZero() {
			ended++
		}
	}
	switch {
	case ended == 0:
		return fmt.Sprintf("%d firing", len(alerts))
	case ended == len(alerts):
		return fmt.Sprintf("%d resolved", ended)
	}
	return fmt.Sprintf("%d firing, %d resolved", len(alerts)-ended, ended)
}

// alertsID names the same transitions to the same receiver for good. It begins with the time, and with the part of the
// transaction: as messages are put in order.
func alertsID(of []outgoing, part int, now time.Time, receiver, line string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00", receiver)
	for _, o := range of {
		fmt.Fprintf(h, "%s %d %d\n", o.id, o.alert.StartsAt.UnixNano(), o.alert.EndsAt.UnixNano())
	}
	id := fmt.Sprintf("alerts-%016x-%04d-%s", uint64(now.UnixNano()), part, hex.EncodeToString(h.Sum(nil)[:8]))
	if line != "" {
		id += "-" + line
	}
	return id
}
