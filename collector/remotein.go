package collector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/rules/window"
)

// This file connects remote write's way in with the window, the rules, the history and what is kept of senders.

// remoteName is where it is kept who writes, and what. It is soft, as how agents were seen is: what it lacks of the last
// minute makes a start more patient. Who and what is new is in it before that is acknowledged.
const remoteName = "remote-write.json"

// openRemoteIn makes the way in; the window's snapshot has been taken up.
func (c *Collector) openRemoteIn() error {
	curves := c.curves()
	r, err := ingest.NewRemote(ingest.RemoteOptions{
		Config: c.cfg.RemoteWriteIn, Fleet: c.fleet, Window: c.window,
		Judge: func(ctx context.Context, asset string) error { return c.evaluator.Arrive(ctx, asset) },
		Keep: func(samples []ingest.RemoteSample) {
			if len(curves) == 0 || len(samples) == 0 {
				return
			}
			all := make([]history.Sample, len(samples))
			for i, s := range samples {
				all[i] = history.Sample(s)
			}
			curves.AppendSamples(all)
		},
		KeepsBack: func() time.Duration {
			if c.history == nil || c.remote != nil && c.remote.Sends() { // an engine elsewhere has its own bound
				return 0
			}
			return c.history.TakesBack()
		},
		Remember: func(context.Context) error { return c.saveRemoteIn() },
		Now:      func() time.Time { return c.now() },
		Logger:   c.log.With("part", "remote write"), Registerer: c.reg,
	})
	if err != nil {
		return err
	}
	c.remoteIn.Store(r)
	if c.rehearsal {
		return nil
	}
	st, err := c.readRemoteIn()
	if err != nil {
		c.log.Warn("who wrote samples before this start is not known: a sender that does not come back is not missed", "err", err)
	}
	r.Resume(st)
	return nil
}

func (c *Collector) readRemoteIn() (st ingest.RemoteState, err error) {
	b, err := os.ReadFile(filepath.Join(c.cfg.Storage.Path, remoteName))
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &st)
	}
	if err != nil {
		return ingest.RemoteState{}, fmt.Errorf("read who writes samples: %w", err)
	}
	return st, nil
}

// saveRemoteIn keeps who writes, and what: a new file takes the place of the old one when it is on the disk.
func (c *Collector) saveRemoteIn() error {
	r := c.remoteIn.Load()
	if r == nil {
		return nil
	}
	c.savingRemote.Lock()
	defer c.savingRemote.Unlock()
	b, err := json.Marshal(r.State())
	if err != nil {
		return fmt.Errorf("keep who writes samples: %w", err)
	}
	path := filepath.Join(c.cfg.Storage.Path, remoteName)
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep who writes samples: %w", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keep who writes samples: %w", err), os.Remove(path+".tmp"))
	}
	return nil
}

// runRemoteIn writes rows that are not whole, watches for senders that fall silent and keeps how they were heard.
func (c *Collector) runRemoteIn(ctx context.Context) error {
	r := c.remoteIn.Load()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.Run(ctx) })
	g.Go(func() error {
		kept := c.now()
		return every(ctx, watchEvery, func() {
			if err := c.feeds.look(ctx); err != nil && ctx.Err() == nil {
				c.log.Error("the silence of a sender could not be recorded; trying again", "err", err)
			}
			if now := c.now(); now.Sub(kept).Abs() >= seenEvery {
				kept = now
				if err := c.saveRemoteIn(); err != nil {
					c.log.Error("how senders were heard could not be kept; trying again", "err", err)
				}
			}
		})
	})
	return g.Wait()
}

// remoteAsset finds an asset that is written from outside and that the fleet does not declare.
func (c *Collector) remoteAsset(instance string) (window.Asset, bool) {
	if r := c.remoteIn.Load(); r != nil {
		return r.Asset(instance)
	}
	return window.Asset{Name: instance}, false
}
