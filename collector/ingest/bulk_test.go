package ingest

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

// sendBulk sends reports in one body on the backlog lane.
func (c *client) sendBulk(t *testing.T, waiting int, reports ...*wire.Report) *wire.Ack {
	t.Helper()
	e := wire.NewBulkEncoder(wire.DefaultLimits())
	for _, m := range reports {
		if ok, err := e.Add(m); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	body, coding, err := e.Body()
	if err != nil {
		t.Fatal(err)
	}
	return c.postBulk(t, waiting, body, coding)
}

func (c *client) postBulk(t *testing.T, waiting int, body []byte, coding string) *wire.Ack {
	t.Helper()
	rec, answer, err := c.postWith(wire.PathBulk, wire.TypeBulkV1, coding, bytes.NewReader(body), func(h http.Header) {
		h.Set(wire.HeaderLane, wire.LaneBacklog)
		h.Set(wire.HeaderWaiting, fmt.Sprint(waiting))
	})
	if err != nil {
		t.Fatal(err)
	}
	var ack wire.Ack
	if err := proto.Unmarshal(answer, &ack); err != nil || rec.Header.Get(wire.HeaderType) != wire.TypeBulkV1 {
		t.Fatalf("answer %d: %q: %v", rec.StatusCode, answer, err)
	}
	return &ack
}

// past makes n reports, 15 s apart, the newest a minute old, and has the collector grant credits for them.
func (c *client) past(t *testing.T, n int) []*wire.Report {
	t.Helper()
	var all []*wire.Report
	for k := range n {
		b := c.block("cpu", 20, time.Minute+time.Duration(n-k)*15*time.Second)
		for j := range b.Values {
			b.Values[j] += float64(k)
		}
		all = append(all, c.report(b))
	}
	live := c.report(c.block("cpu", 20, 0))
	var ack *wire.Ack
	for range 2 {
		body, coding, err := wire.Encode(live)
		if err != nil {
			t.Fatal(err)
		}
		_, answer, err := c.postWith(wire.PathReport, wire.TypeReport, coding, bytes.NewReader(body), func(h http.Header) {
			h.Set(wire.HeaderLane, wire.LaneLive)
			h.Set(wire.HeaderWaiting, fmt.Sprint(n))
		})
		if err != nil {
			t.Fatal(err)
		}
		ack = &wire.Ack{}
		if err := proto.Unmarshal(answer, ack); err != nil {
			t.Fatal(err)
		}
		if ack.Result == wire.Ack_RESULT_ACCEPTED {
			break
		}
		live = c.with(live, ack.UnknownShapes)
	}
	if ack.Result != wire.Ack_RESULT_ACCEPTED || int(ack.Credits) != n {
		t.Fatalf("answer %v, want credits for %d reports", ack, n)
	}
	return all
}

// Reports of the past come in one body as if they had come one by one.
func TestBulk(t *testing.T) {
	w := newWorld(t, nil)
	c := w.enrol("acme", "leeds", "web1")
	reports := c.past(t, 12)
	ack := c.sendBulk(t, 0, reports...)
	if ack.Result != wire.Ack_RESULT_ACCEPTED || ack.Disposed != 12 || ack.Refused != 0 || ack.Sequence != reports[11].Sequence {
		t.Fatalf("answer %v, want all twelve disposed of", ack)
	}
	got := w.sink.all()[1:]
	if len(got) != 12 {
		t.Fatalf("%d reports applied, want 12", len(got))
	}
	for k, r := range got {
		b := r.Blocks[0]
		if r.Sequence != reports[k].Sequence || !r.Replayed || !b.Late || !slices.Equal(b.Values, reports[k].Blocks[0].Values) {
			t.Errorf("report %d applied as %+v", k, r)
		}
	}
	again := c.past(t, 3)
	ack = c.sendBulk(t, 0, append(reports[:1:1], again[:2]...)...)
	if ack.Disposed != 3 || len(w.sink.all()) != 13+1+2 {
		t.Errorf("answer %v, %d reports applied: one that was here takes effect once", ack, len(w.sink.all()))
	}
}

// A bulk stops where a report has to come again, and the answer says where.
func TestBulkStops(t *testing.T) {
	t.Run("credits", func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.enrol("acme", "leeds", "web1")
		reports := c.past(t, 3)
		more := c.report(c.block("cpu", 20, time.Minute))
		ack := c.sendBulk(t, 1, append(reports, more)...)
		if ack.Result != wire.Ack_RESULT_LATER || ack.Disposed != 3 || ack.Sequence != more.Sequence || ack.RetryAfterMs == 0 {
			t.Errorf("answer %v, want three disposed of, and the fourth later", ack)
		}
	})
	t.Run("shape", func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.enrol("acme", "leeds", "web1")
		reports := c.past(t, 3)
		reports[1].Blocks = append(reports[1].Blocks, c.block("disk", 2, time.Minute))
		ack := c.sendBulk(t, 0, reports...)
		if ack.Result != wire.Ack_RESULT_NEED_SHAPES || ack.Disposed != 1 || len(ack.UnknownShapes) != 1 || ack.Sequence != reports[1].Sequence {
			t.Errorf("answer %v, want one disposed of, and the second asked for a shape", ack)
		}
	})
	t.Run("broken in the middle", func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.enrol("acme", "leeds", "web1")
		reports := c.past(t, 3)
		var body []byte
		for k, m := range reports {
			e := wire.NewBulkEncoder(wire.DefaultLimits())
			if _, err := e.Add(m); err != nil {
				t.Fatal(err)
			}
			one, _, err := e.Body()
			if err != nil {
				t.Fatal(err)
			}
			if k == 1 {
				one = []byte{0x0a, 2, 0x5a, 0} // packed blocks that are empty
			}
			body = append(body, one...)
		}
		ack := c.postBulk(t, 0, body, "")
		if ack.Result != wire.Ack_RESULT_REFUSED || ack.Disposed != 1 || ack.Error == "" {
			t.Errorf("answer %v, want one disposed of, and the second refused", ack)
		}
	})
	t.Run("refused on the way", func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.enrol("acme", "leeds", "web1")
		reports := c.past(t, 3)
		reports[1].Blocks[0].SampledAtMs = 1
		ack := c.sendBulk(t, 0, reports...)
		if ack.Result != wire.Ack_RESULT_ACCEPTED || ack.Disposed != 3 || len(ack.Refusals) != 1 || ack.Refusals[0].Report != 1 {
			t.Errorf("answer %v, want all disposed of, a block of the second refused", ack)
		}
	})
}
