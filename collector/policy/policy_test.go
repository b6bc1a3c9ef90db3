package policy

import (
	"strings"
	"testing"
	"time"
)

func TestDefault(t *testing.T) {
	s, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	for sev, want := range map[string]string{"critical": "P1", "warning": "P2", "info": "P3", "unheard-of": "P2"} {
		if got := s.Priority(sev); got != want {
			t.Errorf("%s is %s, want %s", sev, got, want)
		}
	}
	if s.Owner != "first level" || time.Duration(s.ReopenWindow) <= 0 {
		t.Errorf("%+v", s)
	}
}

func TestParseErrors(t *testing.T) {
	const good = "name: x\nversion: '1'\npriorities: {critical: P1, warning: P2, info: P3}\nowner: us\nreopen_window: 1h\nclose_after: 1h\n"
	if _, err := Parse("x.yml", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ from, to, want string }{
		"unknown key":        {"owner: us", "owner: us\nownr: us", `x.yml: line 5: unknown key "ownr"`},
		"no name":            {"name: x\n", "", "x.yml: name: must not be empty"},
		"missing severity":   {", info: P3", "", "info has no priority"},
		"unknown severity":   {"info: P3", "info: P3, fatal: P0", `"fatal" is not a severity`},
		"bad duration":       {"close_after: 1h", "close_after: soon", `x.yml: line 6: "soon" is no duration`},
		"negative":           {"close_after: 1h", "close_after: 0s", "must be positive"},
		"nobody owns":        {"owner: us", "owner: ''", "owner: must name the party"},
		"wrong type":         {"owner: us", "owner: [us]", "x.yml: line 4"},
		"two documents":      {"close_after: 1h\n", "close_after: 1h\n---\nname: y\n", "second document"},
		"not YAML":           {"name: x", "name: [", "x.yml"},
		"two faults at once": {"name: x\nversion: '1'", "name: ''\nversion: ''", "version: must not be empty"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("x.yml", []byte(strings.Replace(good, tc.from, tc.to, 1)))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}
