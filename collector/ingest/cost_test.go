package ingest

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/watchbill/watchbill/agent/wire"
)

// TestHostileBodiesCostLittle: what one body may allocate is bounded, whatever it claims, in every version and lane: 4 MiB
// and its way there.
func TestHostileBodiesCostLittle(t *testing.T) {
	w := newWorld(t, free)
	c := w.enrol("acme", "leeds", "web1")
	agent := w.ingest.agents.get(c.agent)
	empties := bytes.Repeat([]byte{4<<3 | 2, 0}, 400_000) // blocks, all empty
	garbage := bytes.Repeat([]byte{0xff}, 1<<20)
	// A block of 10,000 values in a few bytes, over and over; what follows the last is missing.
	packed := append([]byte{11<<3 | 2, 0xff, 0xff, 0x3f, 1}, bytes.Repeat([]byte{1, 'x', 1, 'y', 0x90, 0x4e, 0}, 1<<17)...)
	for name, b := range map[string]struct {
		path, media, lane, coding string
		body                      []byte
	}{
		"bomb":                    {wire.PathReport, wire.TypeReport, "", "zstd", bomb(t, 256<<20)},
		"a million empty blocks":  {wire.PathReport, wire.TypeReport, "", "", empties},
		"garbage":                 {wire.PathReport, wire.TypeReport, "", "", garbage},
		"bomb, version 1":         {wire.PathReport, wire.TypeReportV1, "", "zstd", bomb(t, 256<<20)},
		"empty blocks, version 1": {wire.PathReport, wire.TypeReportV1, "", "", empties},
		"garbage, version 1":      {wire.PathReport, wire.TypeReportV1, "", "", garbage},
		"packed, version 1":       {wire.PathReport, wire.TypeReportV1, "", "", packed},
		"bomb of the past":        {wire.PathReport, wire.TypeReport, wire.LaneBacklog, "zstd", bomb(t, 256<<20)},
		"garbage of the past":     {wire.PathReport, wire.TypeReportV1, wire.LaneReplay, "", garbage},
		"bomb in bulk":            {wire.PathBulk, wire.TypeBulkV1, wire.LaneBacklog, "zstd", bomb(t, 256<<20)},
		"garbage in bulk":         {wire.PathBulk, wire.TypeBulkV1, wire.LaneReplay, "", garbage},
		"empty reports in bulk":   {wire.PathBulk, wire.TypeBulkV1, wire.LaneReplay, "", bytes.Repeat([]byte{1<<3 | 2, 0}, 400_000)},
		"longer than it may be":   {wire.PathBulk, wire.TypeBulkV1, wire.LaneReplay, "", make([]byte, 8<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			h, r := w.ingest.Handler(), func() *http.Request {
				q, err := http.NewRequest(http.MethodPost, b.path, io.MultiReader(bytes.NewReader(b.body)))
				if err != nil {
					t.Fatal(err)
				}
				q.ContentLength = -1
				q.Header.Set(wire.HeaderType, b.media)
				q.Header.Set(wire.HeaderCoding, b.coding)
				q.Header.Set(wire.HeaderLane, b.lane)
				agent.credits = 300 // more than a bulk may have
				return c.authorise(q)
			}
			const rounds = 10
			answer := &discard{status: http.StatusOK}
			h.ServeHTTP(answer, r()) // fills the pools
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range rounds {
				h.ServeHTTP(answer, r())
			}
			runtime.ReadMemStats(&after)
			if answer.status != 413 && answer.status != 400 && b.path != wire.PathBulk { // which is answered 200 for none of them
				t.Fatalf("status %d", answer.status)
			}
			if per := (after.TotalAlloc - before.TotalAlloc) / rounds; per > 4<<20 {
				t.Errorf("%d bytes allocated for one body", per)
			}
		})
	}
	for _, result := range []string{resultAccepted, resultLater, resultNeedShapes} {
		if n := testutil.ToFloat64(w.ingest.metrics.reports.WithLabelValues(result)); n > 0 {
			t.Errorf("%v of them were answered %s: they were not looked at, or taken", n, result)
		}
	}
}
