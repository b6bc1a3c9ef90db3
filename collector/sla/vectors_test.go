package sla_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

// vector is one line of testdata/vectors.json, which testdata/vectors.py computes by walking minutes.
type vector struct {
	Calendar string                         `json:"calendar"`
	Target   string                         `json:"target"`
	Start    time.Time                      `json:"start"`
	Pauses   []struct{ From, To time.Time } `json:"pauses"`
	Due      time.Time                      `json:"due"`
	CountTo  time.Time                      `json:"count_to"`
	Count    int64                          `json:"count"`
}

func TestVectorsComputedApart(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Calendars []sla.Spec `json:"calendars"`
		Vectors   []vector   `json:"vectors"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	calendars := map[string]*sla.Calendar{}
	zones := map[string]bool{}
	for _, s := range file.Calendars {
		calendars[s.Name] = made(t, s)
		zones[s.Zone] = true
	}
	if len(file.Vectors) < 200 || len(zones) < 6 {
		t.Fatalf("%d vectors in %d zones: expected at least 200 in 6", len(file.Vectors), len(zones))
	}
	for _, v := range file.Vectors {
		t.Run(v.Calendar+" "+v.Target+" "+v.Start.Format(time.RFC3339), func(t *testing.T) {
			cal := calendars[v.Calendar]
			if got := cal.Count(v.Start, v.CountTo); got != time.Duration(v.Count)*time.Second {
				t.Errorf("counted %v to %v, want %v", got, v.CountTo, time.Duration(v.Count)*time.Second)
			}
			c := begin(t, v.Target, cal, v.Start, 0)
			for _, p := range v.Pauses {
				if c, err = c.Pause(cal, p.From, "the customer"); err != nil {
					t.Fatal(err)
				}
				if c, err = c.Resume(cal, p.To); err != nil {
					t.Fatal(err)
				}
			}
			same(t, "due", c.Due, v.Due)
		})
	}
}
