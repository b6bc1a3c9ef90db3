package collector

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/policy"
)

func configFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "watchbill.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestMaintenanceConfig: what README.md shows is read as it says.
func TestMaintenanceConfig(t *testing.T) {
	cfg, err := LoadConfig(configFile(t, `
maintenance:
- name: patch-night
  comment: Windows updates
  matchers: ['customer="acme"', 'instance=~"web.*"']
  times:
  - location: Europe/Berlin
    weekdays: [saturday]
    times: [{start_time: "22:00", end_time: "24:00"}]
  - location: Europe/Berlin
    weekdays: [sunday]
    times: [{start_time: "00:00", end_time: "04:00"}]
- name: move
  matchers: ['site="berlin"']
  from: 2026-12-01T18:00:00Z
  until: 2026-12-02T06:00:00Z
`))
	if err != nil {
		t.Fatal(err)
	}
	w := cfg.Maintenance.windows()
	for at, want := range map[string]bool{
		"2026-10-24T19:59:59Z": false, "2026-10-24T20:00:00Z": true, "2026-10-25T01:30:00Z": true, // the night of 25 hours
		"2026-10-25T02:59:59Z": true, "2026-10-25T03:00:00Z": false,
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := w[0].Active(when); got != want {
			t.Errorf("patch-night at %s: %v", at, got)
		}
	}
	if from, until, ok := w[1].Next(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)); !ok || until.Sub(from) != 12*time.Hour {
		t.Errorf("move: %v to %v, %v", from, until, ok)
	}
}

// TestMaintenanceFaults: every fault is named at once, those of form with their lines, those of sense with the window's name.
func TestMaintenanceFaults(t *testing.T) {
	for text, wants := range map[string][]string{
		`
maintenance:
- name: a
  matchers: ['x="1"']
  times:
  - location: Europe/Nowhere
  - weekdays: [funday]
  - times: [{start_time: "24:00", end_time: "22:00"}]
  - wekdays: [monday]
silense: {}
`: {"line 6", "Europe/Nowhere", "line 7", "funday", "line 8", "line 9", "wekdays", `unknown key "silense"`},
		`
maintenance:
- matchers: ['x="1"']
- name: b
  matchers: ['x=~"("', 'nonsense']
  from: 2026-12-02T06:00:00Z
  until: 2026-12-01T06:00:00Z
- name: b
  times: [{}]
- name: c
  matchers: ['x=~".*"']
  from: 2026-12-02T06:00:00Z
`: {"maintenance[0].name: must say", "maintenance[0].times: it names none", `maintenance["b"].matchers:`, "nonsense",
			`maintenance["b"].until: must be after from`, `maintenance[2].name: there is another of the name "b"`, "times[0]: it names no times",
			"at least one matcher required", `maintenance["c"].matchers: at least one matcher must not match the empty string`,
			`maintenance["c"].times: it names none`},
	} {
		_, err := LoadConfig(configFile(t, text))
		if err == nil {
			t.Errorf("taken: %s", text)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in\n%v", want, err)
			}
		}
	}
}

// TestMaintenanceIsReloaded: a window that comes with a reload is in force after it.
func TestMaintenanceIsReloaded(t *testing.T) {
	s, _ := reloaded(t, func(c *Config) {
		c.Maintenance = MaintenancePlan{{Name: "move", Matchers: []string{`site="berlin"`}, From: time.Unix(1, 0), Until: time.Unix(2, 0)}}
	})
	if n := len(s.pipeline.Maintenance()); n != 0 {
		t.Fatalf("%d windows before", n)
	}
	if _, err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := s.pipeline.Maintenance(); len(all) != 1 || all[0].Name != "move" {
		t.Errorf("windows after it: %v", all)
	}
}

// What Alertmanager's own words say of a time that cannot be leaves open what to write instead.
func TestMaintenanceTimeSaysWhatToWrite(t *testing.T) {
	c := DefaultConfig()
	err := policy.Decode("w.yml", []byte(`maintenance: [{name: n, times: [{times: [{start_time: "22:00", end_time: "02:00"}]}]}]`), &c)
	if err == nil || !strings.Contains(err.Error(), "line 1: ") || !strings.Contains(err.Error(), "two of them for what crosses midnight") {
		t.Error(err)
	}
}
