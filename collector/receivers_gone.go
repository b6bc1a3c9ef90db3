package collector

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
)

// mostStranded bounds how many messages are looked at for receivers that are gone.
const mostStranded = 10_000

// stranded says which receivers messages wait for that the configuration does not have: a receiver was renamed or taken out,
// and nobody will hear of these until a person says by which way.
func (c *Collector) stranded(ctx context.Context, cfg Config) (said []string) {
	have := map[string]bool{}
	for _, r := range cfg.Receivers {
		have[r.Name] = true
	}
	waiting := map[string]int{}
	err := c.store.View(ctx, func(tx store.Tx) error {
		all, err := tx.Messages("", mostStranded)
		for _, m := range all {
			if !have[m.Receiver] && m.State != outbox.Parked {
				waiting[m.Receiver]++
			}
		}
		return err
	})
	if err != nil {
		c.log.Error("it could not be looked whether messages wait for receivers that are gone", "err", err)
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(waiting)) {
		text := fmt.Sprintf("receivers: %d messages wait for %q, which is not configured any more; put it back, or send them another "+
			"way: `watchbill outbox resend --receiver %s --to NAME`", waiting[name], name, name)
		c.log.Warn(text)
		said = append(said, text)
	}
	return said
}

// receiverNames are the receivers in force, with whether they take notices of tickets.
func (c *Collector) receiverNames() map[string]bool {
	out := map[string]bool{}
	for _, name := range c.pipeline.audience.Load().receivers {
		out[name] = true
	}
	for _, name := range c.alertsOut.names() {
		out[name] = false
	}
	return out
}
