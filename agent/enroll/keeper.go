package enroll

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// KeeperOptions of OpenKeeper.
type KeeperOptions struct {
	// Logger hears of renewals; nothing is logged when nil.
	Logger *slog.Logger
	// Now is the wall clock; time.Now when nil.
	Now func() time.Time
	// Proxy is the way to the collector; what the environment says when nil.
	Proxy *Proxy
}

// headerRenew on any answer tells the agent to renew its certificate before its time, because the collector's
// authorities have changed: the next answer to a renewal names them.
const headerRenew = "Watchbill-Renew"

// renewAtMostEvery bounds how often such a wish is granted.
const renewAtMostEvery = 5 * time.Minute

// Keeper holds the identity in force, carries requests under it and renews it in time. It is an http.RoundTripper whose
// errors are explained; all its methods are safe for concurrent use.
type Keeper struct {
	dir string
	log *slog.Logger
	now func() time.Time
	// proxy is the way to the collector.
	proxy *Proxy
	held  atomic.Pointer[held]
	// wanted holds a token when the collector wants the certificate renewed.
	wanted chan struct{}
}

type held struct {
	id   Identity
	line *http.Transport
}

// OpenKeeper loads the identity in dir; errors are Load's. It starts nothing.
func OpenKeeper(dir string, o KeeperOptions) (*Keeper, error) {
	id, err := Load(dir)
	if err != nil {
		return nil, err
	}
	k := &Keeper{dir: dir, log: o.Logger, now: o.Now, proxy: o.Proxy, wanted: make(chan struct{}, 1)}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	if k.now == nil {
		k.now = time.Now
	}
	k.held.Store(&held{id: id, line: transport(id.TLS(), k.proxy, k.now)})
	return k, nil
}

// Identity is the one in force.
func (k *Keeper) Identity() Identity { return k.held.Load().id }

// RoundTrip carries a request under the identity in force.
func (k *Keeper) RoundTrip(req *http.Request) (*http.Response, error) {
	h := k.held.Load()
	resp, err := h.line.RoundTrip(req)
	if err != nil {
		return nil, Explain(err, h.id.Collector, k.now())
	}
	if resp.Header.Get(headerRenew) != "" {
		select {
		case k.wanted <- struct{}{}:
		default:
		}
	}
	return resp, nil
}

// CloseIdleConnections lets go of the connection to the collector if nothing is using it.
func (k *Keeper) CloseIdleConnections() { k.held.Load().line.CloseIdleConnections() }

// Renew has a new key certified under the present certificate and puts the new identity in force once it is safely on
// disk; until then the old one stays. Requests under way finish under the old one. Call it from one goroutine.
func (k *Keeper) Renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	old := k.held.Load()
	path := filepath.Join(k.dir, pendingFile)
	key, err := pendingKey(path, old.id.Certificate.Leaf.PublicKey)
	if err != nil {
		return err
	}
	answer, err := ask(ctx, old.line, old.id.Collector, wire.PathRenew, key, &wire.Enrol{}, k.now)
	if err != nil {
		return fmt.Errorf("renew the agent's certificate: %w", err)
	}
	next, err := identityFrom(answer, key, old.id.Authorities, old.id.Collector, k.now())
	if err != nil {
		return fmt.Errorf("renew the agent's certificate: %w", err)
	}
	next.EnrolledAt = old.id.EnrolledAt
	if err := next.save(k.dir); err != nil {
		return fmt.Errorf("keep the renewed certificate: %w", err)
	}
	k.held.Store(&held{id: next, line: transport(next.TLS(), k.proxy, k.now)})
	old.line.CloseIdleConnections()
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the renewed key's first copy: %w", err)
	}
	return nil
}

// Run renews the certificate whenever that is due or the collector wants it, and again after a while when it fails,
// until ctx ends. It looks at the wall clock at least every hour, so that a suspended host is not late.
func (k *Keeper) Run(ctx context.Context) error {
	var asked time.Time // when a wish of the collector's was last granted
	due := false
	for {
		wait := k.Identity().renewAt().Sub(k.now())
		if due || wait <= 0 {
			wait, due = k.renewed(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-k.wanted:
			if now := k.now(); now.Sub(asked).Abs() >= renewAtMostEvery {
				due, asked = true, now
			}
		case <-time.After(min(wait, time.Hour)):
		}
	}
}

// renewed tries once and says how long to wait until the next look, and whether to try again then.
func (k *Keeper) renewed(ctx context.Context) (wait time.Duration, again bool) {
	err := k.Renew(ctx)
	leaf := k.Identity().Certificate.Leaf
	if err == nil {
		k.log.Info("certificate renewed", "valid_until", stamp(leaf.NotAfter))
		return max(k.Identity().renewAt().Sub(k.now()), time.Second), false
	}
	wait = retryAfter(leaf)
	if ctx.Err() == nil {
		k.log.Warn("certificate not renewed, will try again", "in", wait, "error", err, "valid_until", stamp(leaf.NotAfter))
	}
	return wait, true
}

// retryAfter is a thousandth of the certificate's life, between one second and one hour, half of it at random so that
// a fleet does not come back at one moment.
func retryAfter(leaf *x509.Certificate) time.Duration {
	d := min(max(leaf.NotAfter.Sub(leaf.NotBefore)/1000, time.Second), time.Hour)
	return d/2 + rand.N(d/2)
}
