package ingest

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// TestFloodIsHeldUp: who keeps to retry_after never waits for an answer; who does not waits for every one.
func TestFloodIsHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.Quotas = DefaultQuotas(); o.Quotas.Agent.ReportsPerMinute = 1 })
		c := w.enrol("acme", "leeds", "web1")
		c.deliver(c.report())
		m := c.report()
		took := func() time.Duration {
			from := time.Now()
			if ack, _ := c.send(m); ack.Result != wire.Ack_RESULT_LATER {
				t.Fatalf("%v", ack)
			}
			return time.Since(from)
		}
		if d := took(); d != 0 {
			t.Errorf("the first refusal took %v", d)
		}
		for range 3 {
			if d := took(); d != tarpitFor {
				t.Errorf("one that does not wait is answered after %v", d)
			}
		}
		from := time.Now()
		if _, _, err := c.post(wire.PathHello, wire.TypeHello, "", nil); err != nil || time.Since(from) != tarpitFor {
			t.Errorf("hello after %v, %v", time.Since(from), err)
		}
		w.clock.add(time.Minute)
		c.deliver(m)
	})
}

// TestRefusalsEndTheConnection: every answer that is no agent's business, over a real connection; what agents meet in
// their usual life leaves it open.
func TestRefusalsEndTheConnection(t *testing.T) {
	w := newWorld(t, nil).serve(Door{})
	c, nobody := w.enrol("acme", "leeds", "web1"), w.stranger()
	for _, tt := range []struct {
		name, path, media string
		from              *client
		ends              bool
	}{
		{"not found", "/metrics", wire.TypeReport, c, true},
		{"media type", wire.PathReport, "text/plain", c, true},
		{"not a report", wire.PathReport, wire.TypeReport, c, true},
		{"no certificate", wire.PathReport, wire.TypeReport, nobody, true},
		{"enrolment without a token", wire.PathEnrol, wire.TypeEnrol, nobody, true},
		{"hello", wire.PathHello, wire.TypeHello, c, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var body io.Reader = http.NoBody
			if tt.ends {
				body = strings.NewReader("what?")
			}
			resp, _, err := tt.from.post(tt.path, tt.media, "", body)
			if err != nil || resp.Close != tt.ends {
				t.Errorf("%v, closed %v", err, resp.Close)
			}
		})
	}
}
