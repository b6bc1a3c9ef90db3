package program

import (
	"fmt"
	"sync"
	"testing"

	"github.com/watchbill/watchbill/rules/window"
)

// TestMachinesShareAProgram: workers run the same program at once, each with a machine of its own that runs others too.
func TestMachinesShareAProgram(t *testing.T) {
	const workers = 4
	w, now := servers(workers)
	exprs := []string{`fs_avail / fs_size < 2`, `max_over_time(rate(net_errors[1m])[3m:15s])`, `topk by (instance) (3, unit_failed)`}
	var programs []*Program
	var at [][]int
	w.View("web0", func(v window.View) {
		for _, expr := range exprs {
			p, places := compiled(t, v, expr)
			programs, at = append(programs, p), append(at, places)
		}
	})
	results := make([]string, workers)
	var group sync.WaitGroup
	for i := range workers {
		group.Go(func() {
			m := &Machine{}
			for range 50 {
				w.View(fmt.Sprintf("web%d", i), func(v window.View) {
					results[i] = ""
					for j, p := range programs {
						got, err := m.Run(p, v, at[j], now)
						results[i] += fmt.Sprint(got, err)
					}
				})
			}
		})
	}
	group.Wait()
	for i, r := range results {
		if r != results[0] || len(r) < 100 {
			t.Errorf("worker %d: %s, worker 0: %s", i, r, results[0])
		}
	}
}
