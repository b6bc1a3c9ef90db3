package ingest

import (
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// What is wanted of a host stands in the Acks of its own live reports and nowhere else, and its answers come through
// with their texts made inert.
func TestEvidenceIsAskedFor(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Ask = func(asset string) []*wire.BundleRequest {
			if asset != "web1" {
				return nil
			}
			return []*wire.BundleRequest{{Name: "disk_usage", Argument: "/srv"}}
		}
	}).serve(Door{})
	one, two := w.enrol("acme", "leeds", "web1"), w.enrol("beta", "main", "db1")
	if ack := two.deliver(two.report()); len(ack.Bundles) != 0 {
		t.Errorf("another host is asked for %v", ack.Bundles)
	}
	ack := one.deliver(one.report())
	if len(ack.Bundles) != 1 || ack.Bundles[0].Name != "disk_usage" || ack.Bundles[0].Argument != "/srv" {
		t.Fatalf("asked for %v", ack.Bundles)
	}
	m := one.report()
	m.Epoch += 8
	m.Bundles = []*wire.Bundle{{Request: ack.Bundles[0], Table: &wire.Table{
		Kind: "disk_usage", SampledAtMs: w.clock.now().Add(time.Hour).UnixMilli(), Columns: []string{"path"},
		Rows: []*wire.Row{{Cells: []string{"/srv/\x1b[2Jbig"}}},
	}}}
	one.deliver(m)
	got := w.sink.last(t).Bundles
	if len(got) != 1 || got[0].Name != "disk_usage" || got[0].Argument != "/srv" || got[0].Table.Rows[0][0] != "/srv/\ufffd[2Jbig" ||
		!got[0].Table.SampledAt.Equal(w.clock.now()) {
		t.Errorf("bundles %+v", got)
	}
	old := one.report()
	old.Epoch, old.Sequence = m.Epoch-1, 1 // behind a newer one
	if ack := one.deliver(old); len(ack.Bundles) != 0 {
		t.Errorf("the Ack of an old report asks for %v", ack.Bundles)
	}
}
