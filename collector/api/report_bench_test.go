package api

import (
	"flag"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/storetest"
	"github.com/watchbill/watchbill/collector/ticket"
)

var closed = flag.Int("closed", 20_000, "how many closed tickets the benchmark of reports keeps outside of the period")

// inPeriod is how many tickets the benchmark keeps in the period that is asked for.
const inPeriod = 10_000

// BenchmarkReports asks for reports of one month among the tickets of years: 10,000 of the month, and as many closed ones of
// the time before as -closed says.
func BenchmarkReports(b *testing.B) {
	h := newHouse(b)
	month := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	all := *closed + inPeriod
	for from := 0; from < all; from += 1000 {
		err := h.store.Update(b.Context(), "", func(tx store.Tx) error {
			for n := from; n < min(from+1000, all); n++ {
				at := month.Add(time.Duration(n-*closed) * time.Minute)
				if n >= *closed {
					at = month.Add(time.Duration(n-*closed) * time.Minute)
				}
				if err := shut(tx, n, at); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, name := range []string{"sla", "first-to-know", "nps", "availability", "compliance"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if w := h.do(fleet.Admin, "GET", Root+"/reports/"+name+"?from=2026-11-01&until=2026-12-01", ""); w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}

// shut keeps a ticket that was closed an hour after it came.
func shut(tx store.Tx, n int, at time.Time) error {
	t, line := storetest.Birth(n, fmt.Sprint("customer asset/a", n, " filesystem"), at)
	t.Customer, t.Asset = fmt.Sprintf("customer%03d", n%200), fmt.Sprintf("host%05d", n%10_000)
	*line[0].Opening = t.Opening
	t, line = storetest.Sealed(t, line)
	t.Facts = ticket.Facts{"severity": "critical", "department": "sas", "contract": "c1", "kind": "incident", ticket.FactFirst: ticket.FirstMonitoring}
	for _, name := range []string{"response", "resolution"} {
		t.Clocks = append(t.Clocks, sla.Clock{Name: name, Target: sla.Target{Clock: name, Mode: sla.Elapsed, Within: time.Hour},
			Start: at, Due: at.Add(time.Hour), EndedAt: at.Add(time.Hour), End: sla.Met})
	}
	t, more := storetest.Next(t, ticket.Shut, at.Add(time.Hour), "mended")
	return tx.CreateTicket(t, append(line, more...))
}
