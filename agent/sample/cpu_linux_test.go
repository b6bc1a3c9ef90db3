package sample

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A processor's counters never fall while it runs, whatever the kernel says, and begin anew when it does.
func TestCPUCountersDoNotRunBack(t *testing.T) {
	h := copyFixture(t)
	s := newCPU(h)
	// Ticks of cpu0 and cpu1: user, nice, system, idle, iowait; "-" is a processor that is off.
	for _, step := range []struct {
		what, cpu0, cpu1 string
		want0, want1     string // seconds of user, idle and iowait
	}{
		{"first", "1000 0 0 5000 400", "10 0 0 20 30", "10 50 4", "0.1 0.2 0.3"},
		{"iowait falls, the rest goes on", "1100 0 0 5100 390", "10 0 0 20 30", "11 51 4", "0.1 0.2 0.3"},
		{"it is still below", "1200 0 0 5200 399", "10 0 0 20 30", "12 52 4", "0.1 0.2 0.3"},
		{"and passes what it was", "1300 0 0 5300 450", "10 0 0 20 30", "13 53 4.5", "0.1 0.2 0.3"},
		{"idle falls by a tick", "1300 0 0 5299 450", "10 0 0 20 30", "13 53 4.5", "0.1 0.2 0.3"},
		{"idle falls by all but three seconds", "1300 0 0 5001 450", "10 0 0 20 30", "13 53 4.5", "0.1 0.2 0.3"},
		{"idle falls by three seconds: another processor", "7 0 0 5000 3", "10 0 0 20 30", "0.07 50 0.03", "0.1 0.2 0.3"},
		{"one goes off", "8 0 0 5000 3", "-", "0.08 50 0.03", ""},
		{"and is back with less", "9 0 0 5000 3", "5 0 0 6 7", "0.09 50 0.03", "0.05 0.06 0.07"},
	} {
		stat := "cpu  1 2 3 4 5 6 7 8 9 10\n"
		for i, ticks := range []string{step.cpu0, step.cpu1} {
			if ticks != "-" {
				stat += fmt.Sprintf("cpu%d %s 0 0 0 0 0\n", i, ticks)
			}
		}
		write(t, h.proc("stat"), stat+"intr 1\n")
		r, err := s.Read(t.Context(), noon)
		if err != nil {
			t.Fatal(err)
		}
		got := [2]string{}
		for _, m := range r.Samples {
			if m.Name != "node_cpu_seconds_total" {
				continue
			}
			i := 0
			if m.Labels[0].Value == "1" {
				i = 1
			}
			switch m.Labels[1].Value {
			case "user", "idle", "iowait":
				got[i] = strings.TrimSpace(fmt.Sprint(got[i], " ", m.Value))
			}
		}
		if d := cmp.Diff([2]string{step.want0, step.want1}, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", step.what, d)
		}
	}
}
