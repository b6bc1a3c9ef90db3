package ingest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
)

// town is a fleet of one host at one site of one customer, and another customer.
type town struct{}

func (town) Asset(name string) (fleet.Asset, bool) {
	return fleet.Asset{Name: name, Customer: "acme", Site: "london"}, name == "web1"
}

func (town) Customer(id string) (fleet.Customer, bool) {
	return fleet.Customer{ID: id}, id == "acme" || id == "beta"
}

func (town) Site(customer, site string) (fleet.Site, bool) {
	return fleet.Site{ID: site}, customer == "beta" && site == "york"
}

func TestMapping(t *testing.T) {
	rules := []Mapping{
		{Match: []string{`team="db"`}, Continue: true, Set: MappingSet{Service: MappingValue{Value: "database"},
			Severity: MappingValue{Label: "prio", Map: map[string]string{"P1": "critical", "*": "info"}}}},
		{Match: []string{`tenant=~"b.*"`}, Set: MappingSet{Customer: MappingValue{Label: "tenant", Regex: "(beta)-.*"},
			Asset: MappingValue{Label: "vm", Regex: "vm-(?P<n>.+)", Replace: "b-${n}"}, Site: MappingValue{Value: "york"}}},
		{Match: []string{`team="db"`}, Set: MappingSet{System: MappingValue{Value: "server"}, Service: MappingValue{Value: "late"}}},
	}
	for _, tt := range []struct {
		name          string
		labels        map[string]string
		customerLabel bool
		want          Mapped
		why           string
	}{
		{"an instance with a port", map[string]string{"instance": "web1:9100", "job": "node"}, false,
			Mapped{Customer: "acme", Asset: "web1", Site: "london", Service: "node", Severity: "warning"}, ""},
		{"an instance in capitals", map[string]string{"instance": "WEB1"}, false,
			Mapped{Customer: "acme", Asset: "web1", Site: "london", Service: "general", Severity: "warning"}, ""},
		{"a URL", map[string]string{"instance": "https://web1:8443/x", "severity": "page"}, false,
			Mapped{Customer: "acme", Asset: "web1", Site: "london", Service: "general", Severity: "critical"}, ""},
		{"another label names the host", map[string]string{"instance": "exporter:1", "host": "web1", "severity": "none"}, false,
			Mapped{Customer: "acme", Asset: "web1", Site: "london", Service: "general", Severity: "info"}, ""},
		{"a customer label that is not allowed", map[string]string{"instance": "x", "customer": "beta"}, false,
			Mapped{Asset: "x", Service: "general", Severity: "warning"}, `no customer: "x" is no asset`},
		{"… that is", map[string]string{"customer": "beta", "site": "york", "service": "web", "system": "server"}, true,
			Mapped{Customer: "beta", Site: "york", Service: "web", System: "server", Severity: "warning"}, ""},
		{"… of nobody", map[string]string{"customer": "gamma"}, true,
			Mapped{Service: "general", Severity: "warning"}, `the customer "gamma" that the label customer gives is not in the fleet`},
		{"… that the fleet denies", map[string]string{"customer": "beta", "instance": "web1"}, true,
			Mapped{Customer: "acme", Asset: "web1", Site: "london", Service: "general", Severity: "warning"}, "the fleet says that web1 is acme's"},
		{"a site that is not there", map[string]string{"customer": "acme", "site": "york"}, true,
			Mapped{Customer: "acme", Service: "general", Severity: "warning"}, "no site"},
		{"rules, one after the other", map[string]string{"team": "db", "prio": "P1", "tenant": "beta-7", "vm": "vm-3"}, false,
			Mapped{Customer: "beta", Asset: "b-3", Site: "york", Service: "database", Severity: "critical"}, ""},
		{"a rule that does not go on keeps others away", map[string]string{"team": "db", "prio": "P9"}, false,
			Mapped{Service: "database", System: "server", Severity: "info"}, "it names no instance"},
		{"a regex that does not match says nothing", map[string]string{"tenant": "bart"}, false,
			Mapped{Service: "general", Severity: "warning"}, "no customer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := NewMapper(rules, tt.customerLabel)
			if err != nil {
				t.Fatal(err)
			}
			got := m.Map(tt.labels, town{})
			why := strings.Join(got.Why, "; ")
			if !strings.Contains(why, tt.why) || tt.why == "" && why != "" {
				t.Errorf("says %q, want %q", why, tt.why)
			}
			if got.Why = nil; fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("mapped to %+v\nwant      %+v", got, tt.want)
			}
		})
	}
}

// TestFeedConfigNamesEveryFault: all at once, each with its key.
func TestFeedConfigNamesEveryFault(t *testing.T) {
	c := DefaultFeed()
	if err := c.Validate(); err != nil {
		t.Fatalf("the default: %v", err)
	}
	c.ResolveTimeout, c.WebhookLapse, c.ClockSkew, c.MaxAlerts, c.BodyBytes, c.AlertsPerRequest = 0, 1, -1, 0, -1, 0
	c.DropLabels = []string{"alertname"}
	c.Mappings = []Mapping{
		{Match: []string{"{{"}},
		{Set: MappingSet{Customer: MappingValue{Value: "a", Label: "b"}, Asset: MappingValue{Regex: "x"}, Site: MappingValue{Label: "l", Replace: "$1"},
			Service: MappingValue{Label: "l", Regex: "("}, Severity: MappingValue{Label: "l", Map: map[string]string{"x": "bad"}}}},
		{Set: MappingSet{Severity: MappingValue{Value: "dire"}}},
		{Set: MappingSet{Asset: MappingValue{Label: "l", Regex: "vm-(?P<n>.+)", Replace: "$n-$$9-${1}-$2"}}},
	}
	err := c.Validate()
	for _, want := range []string{"feed.resolve_timeout", "feed.webhook_lapse", "feed.clock_skew", "feed.max_alerts", "feed.body_bytes",
		"feed.alerts_per_request", "feed.drop_labels", "mappings[0].match", "mappings[0].set: says nothing", "mappings[1]: matches every alert",
		"mappings[1].set.customer: has a value and a label", "mappings[1].set.asset: regex, replace and map are about a label",
		"mappings[1].set.site: replace wants a regex", "mappings[1].set.service: regex", `mappings[1].set.severity: map: "x" becomes "bad"`,
		`mappings[2].set.severity: value "dire"`, `mappings[3].set.asset: replace: "$n-$$9-${1}-$2": the regex "vm-(?P<n>.+)" has no group 2`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("does not say %q:\n%v", want, err)
		}
	}
}

var feedNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// TestEnding: an end that is to come is one when it comes, but for those of senders who say it of what fires.
func TestEnding(t *testing.T) {
	terms := DefaultFeed().Terms()
	at := func(seconds int) time.Time { return feedNow.Add(time.Duration(seconds) * time.Second) }
	old := FedAlert{StartsAt: at(-600), UpdatedAt: at(-60), EndsAt: at(180)}
	said, guessed, told := old, old, old
	said.Ending, guessed.Guessed, told.Guessed, told.EndsAt = at(12), true, true, at(12)
	for _, tt := range []struct {
		name    string
		old, in FedAlert
		want    time.Time
	}{
		{"resolved, by a clock that is ahead", old, FedAlert{EndsAt: at(12)}, at(12)},
		{"… of which the house had guessed", guessed, FedAlert{EndsAt: at(12)}, at(12)},
		{"… and said again", said, FedAlert{EndsAt: at(12)}, at(12)},
		{"… and earlier by the other of a pair", said, FedAlert{EndsAt: at(2)}, at(2)},
		{"… and later: it fires", said, FedAlert{EndsAt: at(17)}, time.Time{}},
		{"… and it fires after all", said, FedAlert{EndsAt: at(240)}, time.Time{}},
		{"… and it fires, without an end", said, FedAlert{}, time.Time{}},
		{"the house's own guess", old, told, time.Time{}},
		{"further ahead than clocks are apart", old, FedAlert{EndsAt: at(31)}, time.Time{}},
		{"of who says so little ahead of all", FedAlert{UpdatedAt: at(-2), EndsAt: at(18)}, FedAlert{EndsAt: at(12)}, time.Time{}},
	} {
		got, verdict := terms.Merge(tt.old, tt.in, feedNow)
		if verdict != FedFires || !got.Ending.Equal(tt.want) {
			t.Errorf("%s: verdict %d, over at %s, want %s", tt.name, verdict, got.Ending, tt.want)
		}
	}
}

// TestMerge: Alertmanager's rules, and where they are left.
func TestMerge(t *testing.T) {
	terms := DefaultFeed().Terms()
	at := func(minutes float64) time.Time { return feedNow.Add(time.Duration(minutes * float64(time.Minute))) }
	for _, tt := range []struct {
		name             string
		old, in          FedAlert
		want             FedVerdict
		starts, endsWant time.Time
	}{
		{"a resend", FedAlert{StartsAt: at(-9), EndsAt: at(3)}, FedAlert{StartsAt: at(-9), EndsAt: at(4)}, FedFires, at(-9), at(4)},
		{"of a pair the latest end holds", FedAlert{StartsAt: at(-9), EndsAt: at(4)}, FedAlert{StartsAt: at(-8), EndsAt: at(3)}, FedFires, at(-9), at(4)},
		{"a guess does not hold against an end", FedAlert{StartsAt: at(-9), EndsAt: at(5), Guessed: true}, FedAlert{StartsAt: at(-9), EndsAt: at(4)}, FedFires, at(-9), at(4)},
		{"one of a pair says it is over", FedAlert{StartsAt: at(-9), EndsAt: at(4)}, FedAlert{StartsAt: at(-9), EndsAt: at(-0.1)}, FedEnds, at(-9), at(-0.1)},
		{"an end of before", FedAlert{StartsAt: at(-2), EndsAt: at(4)}, FedAlert{StartsAt: at(-9), EndsAt: at(-3)}, FedStale, at(-2), at(4)},
		{"an end of just before, by another clock", FedAlert{StartsAt: at(-2), EndsAt: at(4)}, FedAlert{StartsAt: at(-2.1), EndsAt: at(-2.1)}, FedEnds, at(-2.1), at(-2.1)},
		{"an end that is brought forward", FedAlert{StartsAt: at(-9), EndsAt: at(4), UpdatedAt: at(-1)}, FedAlert{StartsAt: at(-9), EndsAt: at(0.4)}, FedFires, at(-9), at(4)},
		{"a short end that is moved on", FedAlert{StartsAt: at(-9), EndsAt: at(0.1)}, FedAlert{StartsAt: at(-9), EndsAt: at(0.2)}, FedFires, at(-9), at(0.2)},
		{"a webhook after a resend", FedAlert{StartsAt: at(-9), EndsAt: at(4)}, FedAlert{StartsAt: at(-9), Guessed: true}, FedFires, at(-9), time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, verdict := terms.Merge(tt.old, tt.in, feedNow)
			if verdict != tt.want || !got.StartsAt.Equal(tt.starts) || !got.EndsAt.Equal(tt.endsWant) {
				t.Errorf("verdict %d, from %s until %s", verdict, got.StartsAt, got.EndsAt)
			}
		})
	}
}

func TestDecodeAlerts(t *testing.T) {
	terms := DefaultFeed().Terms()
	for _, tt := range []struct {
		name, body string
		taken      int
		says       string
	}{
		{"none", `[]`, 0, ""},
		{"none, as Go programs write it", " null\n", 0, ""},
		{"one without times", `[{"labels":{"a":"b"}}]`, 1, ""},
		{"an empty label is none", `[{"labels":{"a":""}}]`, 0, "at least one label pair required"},
		{"dropped labels alone", `[{"labels":{"replica":"x"}}]`, 0, "at least one label pair required"},
		{"a null time", `[{"labels":{"a":"b"},"endsAt":null}]`, 1, ""},
		{"one of two is wrong", `[{"labels":{"a":"b"}},{"labels":{}}]`, 1, "alert 2: at least one label pair required"},
		{"a time that is none", `[{"labels":{"a":"b"},"endsAt":"soon"}]`, 0, "alert 1: parsing datetime"},
		{"a label that is a number", `[{"labels":{"a":1}}]`, 0, "alert 1"},
		{"an object", `{}`, 0, "JSON array"},
		{"cut off", `[{"labels":{"a":"b"}}`, 0, "does not end"},
		{"twice", `[][]`, 0, "something follows"},
		{"a name that is none", `[{"labels":{"":"b"}}]`, 0, "invalid name"},
		{"__name__", `[{"labels":{"__name__":"b"}}]`, 0, "invalid name"},
		{"a long label", `[{"labels":{"a":"` + strings.Repeat("x", maxFedLabel+1) + `"}}]`, 0, "more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := terms.DecodeAlerts([]byte(tt.body), 10, feedNow)
			if err == nil {
				err = b.Fault()
			}
			if len(b.Alerts) != tt.taken || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("took %d, said %v", len(b.Alerts), err)
			}
			for _, a := range b.Alerts {
				if a.StartsAt.IsZero() || a.EndsAt.IsZero() {
					t.Errorf("an alert without times: %+v", a)
				}
			}
		})
	}
}

func TestSenderName(t *testing.T) {
	for agent, want := range map[string]string{
		"Prometheus/2.42.0": "prometheus via edge", "vmalert": "vmalert via edge", "Grafana/11.0": "grafana via edge", "loki-ruler/3": "loki via edge",
		"Alertmanager/0.25.0": "alertmanager via edge", "Go-http-client/1.1": "program via edge", "made-up-77/1": "program via edge",
	} {
		if got := SenderName(agent, "edge"); got != want {
			t.Errorf("%s: %q, want %q", agent, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		in   string
		most int
		want string
	}{{"short", 10, "short"}, {"abcdefghij", 6, "abc…"}, {"ääääää", 7, "ää…"}} {
		if got := cut(tt.in, tt.most); got != tt.want {
			t.Errorf("cut(%q, %d) is %q, want %q", tt.in, tt.most, got, tt.want)
		}
	}
}

// harmless fails when an alert that was decoded is not what it has to be.
func harmless(t *testing.T, b Batch, err error) {
	t.Helper()
	var refused *FeedError
	if err != nil && (!errors.As(err, &refused) || refused.Status < 400 || refused.Status > 499) {
		t.Fatalf("the answer to a body is %v: want a 4xx", err)
	}
	for _, a := range b.Alerts {
		if len(a.Labels) == 0 || len(a.Labels) > maxFedLabels || a.StartsAt.After(feedNow) {
			t.Fatalf("taken: %+v", a)
		}
		for _, m := range []map[string]string{a.Labels, a.Annotations, {"": a.Generator}} {
			for k, v := range m {
				if k != clean(k) || v != clean(v) || len(v) > maxFedAnnotation || len(k) > maxFedName {
					t.Fatalf("not harmless: %q=%q", k, v)
				}
			}
		}
		if _, v := DefaultFeed().Terms().Merge(a, a, feedNow); v == FedStale {
			t.Fatalf("an alert is older than itself: %+v", a)
		}
	}
}

func FuzzDecodeAlerts(f *testing.F) {
	for _, s := range []string{`[]`, `[{"labels":{"a":"b"},"startsAt":"2026-01-01T00:00:00Z","endsAt":"2026-01-01T00:00:01Z"}]`, `[{"labels":{"a":"\u202e"}}]`,
		`[{"labels":{"a":"b"},"annotations":{"x":"\u001b"},"endsAt":"9999-12-31T23:59:59Z","generatorURL":"http://x"}]`} {
		f.Add([]byte(s))
	}
	terms := DefaultFeed().Terms()
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := terms.DecodeAlerts(body, 100, feedNow)
		harmless(t, b, err)
	})
}

func FuzzDecodeWebhook(f *testing.F) {
	for _, s := range []string{`{}`, `{"version":"4","truncatedAlerts":1,"alerts":[{"status":"firing","labels":{"a":"b"}}]}`,
		`{"version":"4","alerts":[{"status":"resolved","labels":{"a":"b"},"startsAt":"2030-01-01T00:00:00Z"}]}`} {
		f.Add([]byte(s))
	}
	terms := DefaultFeed().Terms()
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := terms.DecodeWebhook(body, 100, feedNow)
		harmless(t, b, err)
	})
}
