package sample

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// Every source passes the redactor: one that is added without it fails here.
func TestEverySourceIsRedacted(t *testing.T) {
	c := DefaultConfig()
	c.Watch, c.Textfile.Directory = []Watch{{"a", "b"}}, "/x"
	sources, err := Sources(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) != len(Names) {
		t.Fatalf("%d sources of %d", len(sources), len(Names))
	}
	for _, s := range sources {
		if r, ok := s.Sampler.(redactedSampler); !ok || r.redact == nil || r.Sampler == nil {
			t.Errorf("%s is not redacted: it is a %T", s.Name, s.Sampler)
		}
	}
}

// saying is a sampler that tells, fails and panics with a secret.
type saying struct{ secret string }

var errSaying = errors.New("no luck")

func (s saying) Read(context.Context, time.Time) (Reading, error) {
	if strings.HasPrefix(s.secret, "panic") {
		panic(fmt.Errorf("of %s", s.secret))
	}
	return Reading{
		Events: []*wire.Event{{Kind: "x", Text: s.secret}}, Tables: []*wire.Table{{Rows: []*wire.Row{row(s.secret)}}},
	}, fmt.Errorf("%w: %s", errSaying, s.secret)
}

func TestRedactedSamplerFails(t *testing.T) {
	s := redactedSampler{saying{"postgres://app:" + madeUp + "@db/x"}, redactor(t, RedactConfig{})}
	r, err := s.Read(t.Context(), noon)
	if said := fmt.Sprint(r.Events, r.Tables, err); strings.Contains(said, madeUp) || strings.Count(said, redacted) != 3 {
		t.Errorf("it says %s", said)
	}
	if !errors.Is(err, errSaying) {
		t.Errorf("%v does not wrap its cause", err)
	}
	defer func() {
		if said := fmt.Sprint(recover()); said != "of panic password=[redacted]" {
			t.Errorf("it panics with %q", said)
		}
	}()
	redactedSampler{saying{"panic password=" + madeUp}, redactor(t, RedactConfig{})}.Read(t.Context(), noon) //nolint:errcheck // it panics
}

// What a bundle fails with is told too.
func TestRedactedBundleFails(t *testing.T) {
	c := DefaultConfig()
	c.Path.Procfs = "/nowhere/password=" + madeUp
	bundles, err := Bundles(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bundles {
		if b.Name != "processes" && b.Name != "deleted_files" {
			continue
		}
		if _, err := b.Make(t.Context(), noon, ""); err == nil || strings.Contains(err.Error(), madeUp) || !strings.Contains(err.Error(), redacted) {
			t.Errorf("%s: %v", b.Name, err)
		}
	}
}

// The description of a unit is what its author wrote, and of a command that somebody started the whole command line.
func TestFailedUnitsShowNoSecrets(t *testing.T) {
	b := newBus(t)
	b.set("run-u12.service", "failed", failed("exit-code", 1, 1, noon))
	b.props["run-u12.service"]["Unit.Transient"] = true
	b.set("shop.service", "failed", failed("exit-code", 1, 1, noon))
	b.props["shop.service"]["Unit.Transient"] = false
	b.units[0].Description = "/usr/bin/tool --once " + madeUp
	b.units[1].Description = "Shop with --password=" + madeUp
	c := DefaultConfig()
	c.Enabled = []string{"systemd"}
	sources, err := Sources(c)
	if err != nil {
		t.Fatal(err)
	}
	unwrapped(sources[0]).(*systemdSampler).path.Rootfs = booted(t).path.Rootfs
	got := rows(t, readOnce(t, sources[0].Sampler))
	if len(got) != 2 || got[0][1] != transient || got[1][1] != "Shop with --password=[redacted]" {
		t.Errorf("failed units %q", got)
	}
}
