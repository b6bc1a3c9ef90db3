package sla_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/watchbill/watchbill/collector/sla"
)

// What a text form is read as must be valid and be written so that it is read as the same again.

func FuzzTarget(f *testing.F) {
	for _, text := range []string{"15m,business", "24h,elapsed,inform", "2d,business-days", "next-business-day", "1e9h,elapsed", ",", "9223372036854775807ns,elapsed"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := sla.ParseTarget("response", text)
		if err != nil {
			return
		}
		again, err := sla.ParseTarget("response", got.Text())
		if err != nil || again != got || got.Validate() != nil {
			t.Errorf("%q is %+v, written %q is %+v: %v", text, got, got.Text(), again, err)
		}
		data, err := json.Marshal(got)
		var stored sla.Target
		if err != nil || json.Unmarshal(data, &stored) != nil || stored != got {
			t.Errorf("%+v is stored as %s, which is %+v: %v", got, data, stored, err)
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, text := range []string{"2026-06-15", "2024-02-29", "9999-12-31", "0001-01-01", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := sla.ParseDate(text)
		if err == nil && d.String() != text {
			t.Errorf("%q is written %q", text, d.String())
		}
	})
}

func FuzzSpan(f *testing.F) {
	for _, text := range []string{"08:00-18:00", "00:00-24:00", "23:59-24:00", "24:00-24:00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := sla.ParseSpan(text)
		if err == nil && s.String() != text {
			t.Errorf("%q is written %q", text, s.String())
		}
	})
}

func FuzzDays(f *testing.F) {
	for _, text := range []string{"mon-fri", "sat-mon,wed", "sun, mon"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		days, err := sla.ParseDays(text)
		seen := map[int]bool{}
		for _, d := range days {
			if d < 0 || d > 6 || seen[int(d)] {
				t.Errorf("%q is %v", text, days)
			}
			seen[int(d)] = true
		}
		if (err == nil) != (len(days) > 0) {
			t.Errorf("%q is %v with %v", text, days, err)
		}
	})
}

func FuzzSpec(f *testing.F) {
	f.Add([]byte(`{"name":"a","zone":"Europe/London","hours":{"mon-fri":["08:00-18:00"]},"region":"GB-SCT","add":[{"date":"2026-06-15","name":"x"}],"overlays":[{"name":"o","until":"2027-01-02","hours":{"sun":["00:00-24:00"]}}]}`))
	f.Add([]byte(`{"name":"a","zone":"UTC-05:00","always":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s sla.Spec
		if json.Unmarshal(data, &s) != nil || s.Validate() != nil {
			return
		}
		cal, err := sla.NewCalendar(s)
		if err != nil {
			t.Fatalf("valid, and no calendar: %v", err)
		}
		written, err := json.Marshal(cal.Spec())
		if err != nil {
			t.Fatal(err)
		}
		var again sla.Spec
		if err := json.Unmarshal(written, &again); err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		twice, err := json.Marshal(again)
		if err != nil || !reflect.DeepEqual(written, twice) {
			t.Errorf("%s came back as %s: %v", written, twice, err)
		}
	})
}
