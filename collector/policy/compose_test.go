package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ticket"
)

// own is a small set for tests; what is put after it replaces or adds keys.
func own(t testing.TB, name, more string) Set {
	t.Helper()
	s, err := Parse(name+".yml", []byte("name: "+name+"\nversion: 3\nreopen_window: 1h\nclose_after: 1h\n"+more))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const (
	targetsX = "priorities: [A]\nclassify: [{priority: A}]\n"
	routingX = "owner: us\nparties: {us: {role: engineer}}\n"
	noticesX = "notices: [{name: all, on: [\"*\"], to: [{receiver: all}]}]\n"
)

func TestSetsCompose(t *testing.T) {
	b := shipped(t)
	for _, s := range []Set{
		own(t, "whole", targetsX+routingX+noticesX),
		own(t, "gate-one", "gates: {eyes: {before: [close], needs: [{kind: verified}]}}\n"),
		own(t, "gate-same", "gates:\n  eyes: {before: [close], needs: [{kind: verified}]}\n"),
		own(t, "gate-other", "gates: {eyes: {before: [close], needs: [{kind: verified, roles: [engineer]}]}}\n"),
		own(t, "type-one", "types: {job: {kind: task}}\n"),
		own(t, "type-other", "types: {job: {kind: request}}\n"),
	} {
		b = b.With(s)
	}
	for _, tc := range []struct {
		name, sets string
		override   map[string]string
		want       string // of the error; empty: it resolves
	}{
		{"one set", "whole", nil, ""},
		{"gates add up", "whole,gate-one", nil, ""},
		{"the same gate twice", "whole,gate-one,gate-same", nil, ""},
		{"one gate, two ways", "whole,gate-one,gate-other", nil, "acme.yml:7: contract acme-2026: gate eyes is defined differently by gate-one and gate-other: say which holds with `override: {gate.eyes: gate-one}`"},
		{"one gate, two ways, one wins", "whole,gate-one,gate-other", map[string]string{"gate.eyes": "gate-other"}, ""},
		{"one type, two ways", "whole,type-one,type-other", nil, "type job is defined differently by type-one and type-other"},
		{"one type, two ways, one wins", "whole,type-one,type-other", map[string]string{"type.job": "type-one"}, ""},
		{"two calendars", "erp-partner,web-host", map[string]string{"targets": "erp-partner", "notices": "erp-partner", "routing": "web-host"}, "calendar: given by erp-partner and web-host: they come from exactly one set: say which with `override: {calendar: erp-partner}`"},
		{"two targets", "erp-partner,web-host", map[string]string{"calendar": "erp-partner", "notices": "erp-partner", "routing": "web-host"}, "targets: given by erp-partner and web-host"},
		{"two routings", "erp-partner,web-host", map[string]string{"calendar": "erp-partner", "notices": "erp-partner", "targets": "web-host"}, "routing: given by erp-partner and web-host"},
		{"two notices", "erp-partner,web-host", map[string]string{"calendar": "erp-partner", "targets": "erp-partner", "routing": "web-host"}, "notices: given by erp-partner and web-host"},
		{"targets, gates and ownership of three", "erp-partner,customer-operations,it-provider", map[string]string{"notices": "customer-operations"}, ""},
		{"two that take targets from elsewhere", "customer-operations,it-provider", map[string]string{"calendar": "it-provider", "notices": "it-provider"}, "targets: given by customer-operations and it-provider"},
		{"no such set", "whole,web-hots", nil, `there is no policy set "web-hots"`},
		{"one set twice", "whole,whole", nil, `"whole" stands twice`},
		{"a winner that is not there", "whole", map[string]string{"targets": "web-host"}, `override.targets names "web-host", which is none of the contract's sets: its sets are whole`},
		{"a winner that says nothing of it", "whole,gate-one", map[string]string{"targets": "gate-one"}, "override.targets names gate-one, which does not say anything of it"},
		{"a winner without a calendar", "whole,gate-one", map[string]string{"calendar": "gate-one"}, "override.calendar names gate-one, which does not say anything of it"},
		{"nothing to win", "whole", map[string]string{"colour": "whole"}, "override.colour is nothing that sets can clash in: override calendar, targets, routing, notices, gate.NAME"},
		{"nobody owns", "gate-one", nil, "routing: given by none of its sets"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := agreed(tc.sets)
			k.Override = tc.override
			r, err := b.Resolve(Request{Customer: fleet.Customer{ID: "acme"}, Contract: &k})
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if r.Ticket.Policy != strings.ReplaceAll(tc.sets, ",", "+") {
					t.Errorf("policy %q", r.Ticket.Policy)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "acme.yml:7") {
				t.Errorf("%v\nwant %q", err, tc.want)
			}
		})
	}
}

func TestThreeSetsTogether(t *testing.T) {
	b := shipped(t)
	k := agreed("erp-partner,customer-operations,it-provider", "override.notices=customer-operations")
	r := resolved(t, b, k)
	if r.Ticket.Version != "1+1+1" || r.Ticket.Priorities[0] != "system-down" || r.Route.Reports != "it-provider" || r.Ticket.BestEffort {
		t.Errorf("%s %v %s %v", r.Ticket.Version, r.Ticket.Priorities, r.Route.Reports, r.Ticket.BestEffort)
	}
	for key, want := range map[string]string{
		"calendar": "erp-partner 1", "targets": "erp-partner 1", "routing": "it-provider 1", "notices": "customer-operations 1",
		"gate.four-eyes": "customer-operations 1", "gate.complete-record": "it-provider 1", "type.training": "erp-partner 1", "rating": "erp-partner 1",
		"investigation": "customer-operations 1", "reopen_window": "erp-partner 1",
	} {
		if r.Sources[key] != want {
			t.Errorf("%s is of %q, want %q", key, r.Sources[key], want)
		}
	}
	names := map[string]bool{}
	for _, p := range r.Route.Parties {
		names[p.Name] = true
	}
	for _, y := range r.Ticket.Types {
		if y.Owner != "" && !names[y.Owner] {
			t.Errorf("type %s is owned by %s, which is no party", y.Name, y.Owner)
		}
	}
}

// What the contract says holds over its sets, field by field, and is told.
func TestContractOverSets(t *testing.T) {
	b := shipped(t)
	k := agreed("erp-partner,it-provider", "zone=Europe/Dublin", "region=GB-NIR", "target.high.response=30m,business", "model=same-party", "phase=implementation", "agreement=A-77", "oncall=true", "override.notices=erp-partner")
	k.Overlays = []fleet.Overlay{{Name: "year-end", From: "2026-12-28", Until: "2026-12-31", Hours: map[string]fleet.Spans{"mon-fri": {"07:00-22:00"}}, Holidays: true}}
	k.Owners = []fleet.Owner{{System: "application", Owner: "it-provider", Agreement: "A-78"}}
	k.Supports, k.Ordered, k.Paid = []string{"hosting"}, "2025-12-01", "2025-12-05"
	r := resolved(t, b, k)
	spec := r.Ticket.Calendar
	if spec.Name != "erp-partner/acme-2026" || spec.Zone != "Europe/Dublin" || spec.Region != "GB-NIR" || len(spec.Overlays) != 1 || !spec.Overlays[0].Holidays {
		t.Errorf("calendar %+v", spec)
	}
	want := map[string]string{"agreement": "A-77", "phase": "implementation", "model": "same-party", "oncall": "true", "supports-hosting": "true"}
	if diff := cmp.Diff(ticket.Facts(want), r.Ticket.Facts); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	for key, want := range map[string]string{
		"calendar.zone": "contract acme-2026", "calendar.region": "contract acme-2026", "calendar.overlay.year-end": "contract acme-2026",
		"target.high.response": "contract acme-2026", "owner.application": "contract acme-2026, agreement A-78", "targets": "erp-partner 1",
	} {
		if r.Sources[key] != want {
			t.Errorf("%s is of %q, want %q", key, r.Sources[key], want)
		}
	}
	if first := r.Ticket.Targets[0]; first.Source != "contract acme-2026" || first.Target.Within != 30*time.Minute {
		t.Errorf("first target %+v", first)
	}
	if o := r.Route.Owners[0]; o.Owner != "it-provider" || o.Systems[0] != "application" || o.Source != "contract acme-2026, agreement A-78" {
		t.Errorf("first owner %+v", o)
	}
	if got := r.Ticket.EntitledFrom; !got.Equal(at("2025-12-05T00:00:00Z")) {
		t.Errorf("entitled from %v", got)
	}
}

func TestEntitlement(t *testing.T) {
	b := shipped(t)
	for _, tc := range []struct {
		name                    string
		ordered, paid, entitled fleet.Date
		zone                    string
		want                    time.Time
	}{
		{"nothing said", "", "", "", "", time.Time{}},
		{"payment last", "2026-01-01", "2026-02-03", "", "", at("2026-02-03T00:00:00Z")},
		{"order last", "2026-07-03", "2026-02-03", "", "", at("2026-07-02T23:00:00Z")},
		{"terms say otherwise", "2026-01-01", "2026-02-03", "2026-05-01", "", at("2026-04-30T23:00:00Z")},
		{"in the contract's zone", "2026-01-01", "2026-02-03", "", "America/New_York", at("2026-02-03T05:00:00Z")},
		{"not paid", "2026-01-01", "", "", "", never},
		{"not ordered", "", "2026-01-01", "", "", never},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := agreed("erp-partner")
			k.Ordered, k.Paid, k.Entitled, k.Zone = tc.ordered, tc.paid, tc.entitled, tc.zone
			r := resolved(t, b, k)
			if !r.Ticket.EntitledFrom.Equal(tc.want) {
				t.Errorf("%v, want %v", r.Ticket.EntitledFrom, tc.want)
			}
			if (tc.want == never) != (len(r.Warnings) > 0) {
				t.Errorf("warnings %v", r.Warnings)
			}
			if tc.want.IsZero() {
				return
			}
			for now, clocks := range map[time.Time]int{tc.want.Add(-time.Second): 0, tc.want: 2} {
				if got, err := r.Explain(Question{Priority: "high", At: now}); tc.want != never && (err != nil || len(got) != clocks) {
					t.Errorf("at %v: %d clocks, %v", now, len(got), err)
				}
			}
		})
	}
}

// Without an agreement nothing breaches where the set says so, and a ticket is opened whatever the contract promises.
func TestBestEffort(t *testing.T) {
	b := shipped(t)
	customer := fleet.Customer{ID: "acme", Instructions: "ring the janitor"}
	k := agreed("it-provider", "target.P1.response=2h,business", "cover=24x7")
	r, err := b.Resolve(Request{Customer: customer, Contract: &k})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Explain(Question{Priority: "P1", At: at("2026-11-21T03:00:00Z")})
	if err != nil || len(got) != 1 || got[0].Breaches || !got[0].Target.Inform {
		t.Errorf("%+v %v", got, err)
	}
	said := strings.Join(r.Warnings, "\n")
	for _, want := range []string{"ring the janitor", "target.P1.response without a written agreement", "cover without a written agreement"} {
		if !strings.Contains(said, want) {
			t.Errorf("warnings lack %q:\n%s", want, said)
		}
	}
	k.Agreement = "A-1"
	if r := resolved(t, b, k); len(r.Warnings) > 0 || r.Ticket.BestEffort {
		t.Errorf("agreed: %v", r.Warnings)
	}
}

func TestDocument(t *testing.T) {
	b := shipped(t)
	for _, name := range b.names() {
		r := resolved(t, b, agreed(name, "agreement=A-1", "cover=24x7"))
		digest, body, err := r.Document()
		if err != nil {
			t.Fatal(err)
		}
		if digest != r.Ticket.Digest || len(digest) != 64 {
			t.Errorf("%s: digest %q, resolved with %q", name, digest, r.Ticket.Digest)
		}
		back, err := ReadDocument(body)
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := back.Document(); err != nil || again != digest || back.Ticket.Digest != digest {
			t.Errorf("%s: read back with digest %s, %v", name, again, err)
		}
		r.Warnings = nil
		if diff := cmp.Diff(r, back, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".calendar" }, cmp.Ignore()), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-written +read):\n%s", name, diff)
		}
	}
	for name, body := range map[string]string{"damaged": `{"format": 1, "ticket": {`, "newer": `{"format": 2}`, "none": ``} {
		if _, err := ReadDocument([]byte(body)); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}

// The same contract has one document however often it is resolved, and another when anything of it is another.
func TestDigestTells(t *testing.T) {
	b := shipped(t)
	base := resolved(t, b, agreed("erp-partner")).Ticket.Digest
	for range 20 {
		if again := resolved(t, shipped(t), agreed("erp-partner")).Ticket.Digest; again != base {
			t.Fatalf("%s, then %s", base, again)
		}
	}
	for _, say := range []string{"region=GB-SCT", "oncall=true", "target.high.response=59m,business", "phase=implementation"} {
		if resolved(t, b, agreed("erp-partner", say)).Ticket.Digest == base {
			t.Errorf("%s changes nothing of the document", say)
		}
	}
}

// A customer that no department owns gets its messages; one that is owned has them drafted.
func TestDraftsWhereADepartmentOwns(t *testing.T) {
	b := shipped(t)
	k := agreed("software-group")
	for department, want := range map[string]bool{"": false, "sas": true} {
		r, err := b.Resolve(Request{Customer: fleet.Customer{ID: "acme", Department: department}, Contract: &k})
		if err != nil || r.Route.Drafts != want || r.Ticket.Facts["department"] != department {
			t.Errorf("department %q: drafts %v, facts %v, %v", department, r.Route.Drafts, r.Ticket.Facts, err)
		}
	}
}

// A target in business time needs hours: of the set, of another set, or of the contract.
func TestBusinessTargetsNeedHours(t *testing.T) {
	b := shipped(t).With(own(t, "bare", targetsX+routingX+noticesX+"clocks: {response: {met_by: [ack]}}\n")).
		With(own(t, "hours", "calendar: {zone: Europe/London, hours: {mon-fri: '09:00-17:00'}}\n"))
	overlay := []fleet.Overlay{{Name: "ours", Hours: map[string]fleet.Spans{"mon-fri": {"10:00-12:00"}}}}
	for _, tc := range []struct {
		name, sets, target, zone, cover string
		overlays                        []fleet.Overlay
		due, want                       string
	}{
		{"none", "bare", "1h,business", "", "", nil, "", "response of contract acme-2026 counts by a calendar (1h,business) and there is none"},
		{"elapsed needs none", "bare", "1h,elapsed", "", "", nil, "2026-11-20T17:30:00Z", ""},
		{"another set's", "bare,hours", "1h,business", "", "", nil, "2026-11-23T09:30:00Z", ""},
		{"the contract's", "bare", "1h,business", "Europe/London", "", overlay, "2026-11-23T11:00:00Z", ""},
		{"the contract's without a zone", "bare", "1h,business", "", "", overlay, "", "expected an IANA zone"},
		{"every hour", "bare", "1h,business", "", "24x7", nil, "2026-11-20T17:30:00Z", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := agreed(tc.sets, "target.A.response="+tc.target)
			k.Zone, k.Cover, k.Overlays = tc.zone, tc.cover, tc.overlays
			r, err := b.Resolve(Request{Customer: fleet.Customer{ID: "acme"}, Contract: &k})
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%v, want %q", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			from := "2026-11-20T16:30:00Z"
			got, err := r.Explain(Question{Priority: "A", At: at(from)})
			if err != nil || len(got) != 1 || !got[0].Due.Equal(at(tc.due)) {
				t.Errorf("%+v, %v; want it due %s", got, err, tc.due)
			}
		})
	}
}
