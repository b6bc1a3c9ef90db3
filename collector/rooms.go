package collector

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/packs"
	"github.com/watchbill/watchbill/rules/window"
)

// This file is what the rooms ask of each other, answered in one line or a few.

// LoadRules reads the shipped packs and the configured files together. The error names every fault with which a collector
// takes none of them; then groups and found are about what has none. Else found is what it takes, and what should be mended all the same.
func LoadRules(cfg Config) (groups []rules.Group, found []rules.Finding, err error) {
	files := map[string][]byte{}
	if cfg.Rules.Packs {
		shipped, err := fs.Glob(packs.Files(), "*.yml")
		if err != nil {
			return nil, nil, fmt.Errorf("shipped rule packs: %w", err)
		}
		for _, name := range shipped {
			if strings.HasSuffix(name, "_test.yml") {
				continue
			}
			if files["packs/"+name], err = fs.ReadFile(packs.Files(), name); err != nil {
				return nil, nil, fmt.Errorf("shipped rule pack: %w", err)
			}
		}
	}
	var errs []error
	for _, pattern := range cfg.Rules.Files {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			errs = append(errs, fmt.Errorf("rules.files: %s: %w: `*`, `?` and `[a-z]` stand for letters of a name", pattern, err))
		} else if len(matches) == 0 {
			errs = append(errs, fmt.Errorf("rules.files: %s names no file: correct it, or take it out", pattern))
		}
		for _, name := range matches {
			if files[name], err = os.ReadFile(name); err != nil {
				errs = append(errs, fmt.Errorf("rules.files: %w", err))
			}
		}
	}
	groups, err = rules.LoadOptions{Interval: time.Duration(cfg.Evaluation.Interval)}.Load(files)
	rules.SetMissing(groups, cfg.Rules.Missing)
	found, refused := sift(groups, files)
	return groups, found, errors.Join(append(errs, err, refused)...)
}

// sift checks loaded rules: what they are refused for is the error, everything else is found.
func sift(groups []rules.Group, files map[string][]byte) (found []rules.Finding, refused error) {
	var errs []error
	for _, f := range rules.Check(groups, rules.CheckOptions{Files: files}) {
		if f.Refused {
			errs = append(errs, f.Err())
		} else {
			found = append(found, f)
		}
	}
	return found, errors.Join(errs...)
}

// mostTold bounds the findings that a load tells: a pack that was written for others may have thousands.
const mostTold = 100

// doubts is what a load of rules tells: faults first, the words they want once, and how many more there are.
func doubts(found []rules.Finding) []string {
	told, words := mostOf(found, func(f rules.Finding) bool { return f.Fault }, rules.Finding.String)
	return append(words, rules.Words(told)...)
}

// assetOf finds an instance in the fleet, or among what is written from outside.
func (c *Collector) assetOf(instance string) (window.Asset, bool) {
	a, ok := c.fleet.Asset(instance)
	if !ok {
		return c.remoteAsset(instance)
	}
	return window.Asset{Name: a.Name, Customer: a.Customer, Site: a.Site}, ok
}

// failing are an asset's samplers that cannot look.
func (c *Collector) failing(asset string) []failing {
	st, ok := c.window.Asset(asset)
	if !ok {
		return nil
	}
	var out []failing
	for _, b := range st.Blocks {
		if b.Status == window.Failed {
			out = append(out, failing{Source: b.Source, Reason: b.Reason, Since: b.At})
		}
	}
	return out
}

// standing are the alerts that fire now, those of silence among them.
func (c *Collector) standing() []rules.Transition {
	var out []rules.Transition
	for _, a := range c.evaluator.Alerts() {
		if a.Alert.State == rules.Firing {
			out = append(out, rules.Transition{Origin: a.Origin, From: rules.Pending, Alert: a.Alert})
		}
	}
	return out
}

func (c *Collector) notifyOptions(cfg Config) notify.Options {
	return notify.Options{
		ExternalURL: cfg.Web.ExternalURL, Version: api.ReadBuild().Version, Source: cfg.Source(), Installation: c.installation, Alerts: c.alertsOut.metrics,
	}
}

// StoragePath is the directory that holds everything this collector keeps.
func (c *Collector) StoragePath() string { return c.cfg.Storage.Path }

// WebAddress is host:port of the operators' listener.
func (c *Collector) WebAddress() string { return c.web.Addr().String() }

// AgentAddress is host:port under which agents reach this collector.
func (c *Collector) AgentAddress() string {
	if c.cfg.Agents.ExternalAddress != "" {
		return c.cfg.Agents.ExternalAddress
	}
	return c.agents.Addr().String()
}

// OwnAgentAddress is host:port under which an agent on this very host reaches this collector.
func (c *Collector) OwnAgentAddress() string {
	a := c.agents.Addr()
	if t, ok := a.(*net.TCPAddr); ok && t.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(t.Port))
	}
	return a.String()
}

// Knows tells whether a certificate speaks for an agent of this collector, now.
func (c *Collector) Knows(cert *x509.Certificate) bool {
	_, err := c.fleet.AuthenticateCert(cert)
	return err == nil
}

// agentNames are the names the agents' listener's certificate is good for.
func (c *Collector) agentNames() []string {
	external := c.cfg.Agents.Names
	if a := c.cfg.Agents.ExternalAddress; a != "" {
		external = append([]string{a}, external...)
	}
	return fleet.ServerNames(c.agents.Addr().String(), external...)
}

// EnsureOperator makes an administrator called name, and puts the token into the storage directory for the command
// line, when the file is not there or its token is not accepted any more. Whoever can read the directory is the
// operator of this collector: it is readable by its owner alone.
func (c *Collector) EnsureOperator(ctx context.Context, name string) error {
	file := filepath.Join(c.cfg.Storage.Path, TokenName)
	if b, err := os.ReadFile(file); err == nil {
		if _, ok := c.fleet.Authenticate(string(bytes.TrimSpace(b))); ok {
			return nil
		}
	}
	token, err := c.fleet.AddOperator(ctx, name, fleet.Admin, "local start")
	if errors.Is(err, fleet.ErrTaken) {
		c.log.Warn("the local operator exists but its token file does not fit; make another with `watchbill operator add`",
			"operator", name, "file", file)
		return nil
	}
	if err != nil {
		return fmt.Errorf("make an operator for %s: %w", name, err)
	}
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		return fmt.Errorf("keep the operator's token: %w", err)
	}
	return nil
}

// TokenForSelf is an enrolment token for the agent on this very host, which the fleet must declare under this name. An
// earlier agent of that name, whose key is gone, is revoked.
func (c *Collector) TokenForSelf(ctx context.Context, name string) (string, error) {
	const by = "watchbill up"
	asset, ok := c.fleet.Asset(name)
	if !ok {
		return "", fmt.Errorf("the fleet directory declares no asset %q: declare this host there", name)
	}
	if _, err := c.fleet.Revoke(ctx, name, by); err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return "", err
	}
	_, text, err := c.fleet.CreateToken(ctx, fleet.TokenRequest{
		Customer: asset.Customer, Site: asset.Site, Asset: name, TTL: 10 * time.Minute, By: by,
		Address: c.OwnAgentAddress(),
	})
	return text, err
}

// newSalt is 128 random bits in hexadecimal.
func newSalt() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

func isLoopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}
