package remote

import (
	"context"
	"fmt"
	"os"
	"sync"
)

// follow starts, restarts and stops targets so that those run that are planned. What it cannot do now, as on a full disk, it does
// when it is asked again.
func (r *Remote) follow(ctx context.Context) {
	p := r.planned()
	r.behind = false
	r.dismiss(p)
	if len(p.config.Targets) == 0 {
		r.discard()
		return
	}
	if ctx.Err() != nil {
		return
	}
	if !r.spool.isOpen() {
		if err := r.open(p); err != nil {
			r.behind = true
			r.metrics.failures.Inc()
			r.o.Logger.Error("remote write's spool cannot be opened; it is tried again, and what does not fit into memory is dropped",
				"dir", r.dir, "err", err)
			return
		}
	}
	started := false
	for _, c := range p.config.Targets {
		r.mu.Lock()
		old := r.targets[c.ID()]
		r.mu.Unlock()
		if old != nil && old.runs(c, p.config.External) {
			continue
		}
		at, known := r.cursors.of(c.ID())
		if old != nil {
			old.stop()
			at, _ = old.acknowledged()
		} else if !known {
			at = r.spool.end() // a new target gets what comes from now on
		}
		t := newTarget(r, p, c, at)
		r.mu.Lock()
		r.targets[c.ID()] = t
		r.mu.Unlock()
		t.start(ctx)
		started = true
	}
	if started { // a crash right now must not make a new target newer
		r.tidy()
	}
}

// open opens the spool, behind all that cursors point to.
func (r *Remote) open(p *Plan) error {
	if err := os.MkdirAll(r.dir, 0o750); err != nil {
		return fmt.Errorf("make remote write's directory: %w", err)
	}
	if err := r.cursors.read(); err != nil {
		r.o.Logger.Error("remote write does not know what was sent: everything that is in the spool is sent again", "err", err)
	}
	first := r.cursors.highest() + 1
	if err := r.spool.open(first); err != nil {
		return err
	}
	if r.spool.cut > 0 {
		r.o.Logger.Warn("the ends of remote write's segments are torn, as by a crash, or damaged: what is behind is not sent",
			"dir", r.dir, "bytes", r.spool.cut)
	}
	r.spool.segmentBytes = r.o.segmentBytes
	if r.spool.segmentBytes == 0 {
		r.spool.segmentBytes = min(int64(p.config.Spool.Size)/16, 64<<20)
	}
	if r.cursors.damaged {
		for _, c := range p.config.Targets {
			r.cursors.set(c.ID(), position{})
		}
	}
	return nil
}

// dismiss stops targets that are not planned any more.
func (r *Remote) dismiss(p *Plan) {
	r.mu.Lock()
	var gone []*target
	for id, t := range r.targets {
		if _, ok := p.clients[id]; !ok {
			gone = append(gone, t)
			delete(r.targets, id)
		}
	}
	r.mu.Unlock()
	for _, t := range gone {
		t.stop()
		_, seq := t.acknowledged()
		r.metrics.forget(t.id)
		r.cursors.drop(t.id)
		r.o.Logger.Info("remote write sends to this target no more", "target", t.id, "samples_let_go", r.spool.written()-seq)
	}
}

// discard removes the spool when there is nobody to send to.
func (r *Remote) discard() {
	if !r.spool.isOpen() {
		return
	}
	r.writer.reset()
	if err := r.spool.remove(); err != nil {
		r.o.Logger.Warn("remote write has no targets, and its spool could not be removed", "dir", r.dir, "err", err)
	}
	if err := r.cursors.keep(nil); err != nil {
		r.o.Logger.Warn("remote write has no targets, and its cursors could not be removed", "dir", r.dir, "err", err)
	}
}

// stopAll stops every target at once and waits for them.
func (r *Remote) stopAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	var wg sync.WaitGroup
	for _, t := range r.targets {
		wg.Go(t.stop)
	}
	wg.Wait()
}
