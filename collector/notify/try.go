package notify

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/watchbill/watchbill/collector/outbox"
)

// Try sends a test to one receiver, which says that it is one, and returns what it answers: nil when it took it. A page is
// resolved at once, and an alert is over when it arrives.
func Try(ctx context.Context, r Receiver, o Options) error {
	senders, err := New([]Receiver{r}, o)
	if err != nil {
		return err
	}
	messages, err := tests(r, o.withDefaults())
	if err != nil {
		return err
	}
	for _, m := range messages {
		if err := senders[r.Name].Send(ctx, m); err != nil {
			return fmt.Errorf("test of receiver %s (%s): %w", r.Name, r.kinds()[0].key, err)
		}
	}
	return nil
}

// testText is what a person reads who gets one.
const testText = "This is a test of a receiver. Nothing is broken; there is nothing to do."

// tests are the messages of one: each test is one of its own, so that no receiver takes it for a repeat.
func tests(r Receiver, o Options) ([]outbox.Message, error) {
	random := make([]byte, 6)
	rand.Read(random) // never fails (crypto/rand)
	id, now := "test-"+hex.EncodeToString(random), o.Now()
	if !r.TakesNotices() {
		body, err := EncodeAlerts([]OutAlert{{
			Labels:      map[string]string{"alertname": "WatchbillTest", "severity": "info", "receiver": r.Name},
			Annotations: map[string]string{"summary": testText}, StartsAt: now, EndsAt: now,
		}})
		return []outbox.Message{{ID: id, Receiver: r.Name, What: "test", Body: body, CreatedAt: now}}, err
	}
	var all []outbox.Message
	for _, state := range []string{"new", "resolved"} {
		n := Notice{What: "test", Text: testText, At: now, Alerts: []Alert{}, Ticket: Ticket{
			ID: id, Number: "TEST", Kind: "incident", State: state, Severity: "info", Title: "a test of receiver " + strings.TrimSpace(r.Name),
			Customer: "watchbill", OpenedAt: now,
		}}
		body, err := n.Encode()
		if err != nil {
			return nil, err
		}
		all = append(all, outbox.Message{ID: id + "-" + state, Receiver: r.Name, Ticket: id, Number: "TEST", What: "test", Body: body, CreatedAt: now})
		if r.PagerDuty == nil { // only a page has to be taken back
			break
		}
	}
	return all, nil
}
