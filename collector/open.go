package collector

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/bolt"
)

func (c *Collector) openStore(ctx context.Context) error {
	if err := os.MkdirAll(c.cfg.Storage.Path, 0o700); err != nil {
		return fmt.Errorf("make storage directory (--storage.path): %w", err)
	}
	s, err := bolt.Open(filepath.Join(c.cfg.Storage.Path, StoreName), bolt.Options{})
	if err != nil {
		return explainDamage(err, c.cfg.Storage.Path, c.cfg.BackupPath())
	}
	c.store = s
	c.backups = newBackups(backups{
		store: s, dir: c.cfg.BackupPath(), every: time.Duration(c.cfg.Backup.Every), keep: c.cfg.Backup.Keep,
		release: api.ReadBuild().Version, now: c.now, log: c.log.With("part", "backup"),
	}, c.reg)
	return c.store.Update(ctx, "", func(tx store.Tx) (err error) {
		if c.incarnation, err = tx.NextIncarnation(); err != nil {
			return err
		}
		if c.installation, err = tx.Installation(rand.Text()); err != nil {
			return err
		}
		c.restore, c.restored, err = tx.LastRestore()
		return err
	})
}

func (c *Collector) openFleet(ctx context.Context, d fleet.Directory) error {
	c.fleet = fleet.NewRegistry(store.Keeper(c.store), fleet.Options{Logger: c.log, AgentAddress: c.AgentAddress()})
	if err := c.fleet.SetDirectory(d); err != nil {
		return err
	}
	if err := c.fleet.Load(ctx); err != nil {
		return err
	}
	for _, a := range c.fleet.Agents() {
		if a.RevokedAt.IsZero() {
			c.facts.expect(a.Asset, a.Seen)
		}
	}
	c.remember = &remembering{facts: c.facts, fleet: c.fleet, now: func() time.Time { return c.now() }}
	return nil
}

func (c *Collector) openHistory() error {
	retention := time.Duration(c.cfg.History.Retention)
	if retention == 0 {
		return nil
	}
	dir := filepath.Join(c.cfg.Storage.Path, "history")
	c.openRecall(dir, retention)
	h, err := history.Open(dir, history.Options{
		Retention: retention, MaxBytes: c.cfg.History.maxBytes(), Logger: c.log.With("part", "history"), Registerer: c.reg,
		OpenAfter: c.agentsFirst(), Lost: c.recall.lose,
	})
	if err != nil {
		return err
	}
	c.history = h
	c.takeUpRecall()
	return nil
}

// agentsFirst is how long the agents' return has the processors for itself: what the door needs for all of them, and
// half as long again for those that had to try twice.
func (c *Collector) agentsFirst() time.Duration {
	n := len(c.fleet.Agents())
	if n <= fewAgents {
		return 0
	}
	return time.Duration(n) * time.Second / time.Duration(c.cfg.Agents.Door.PerSecond) * 3 / 2
}
