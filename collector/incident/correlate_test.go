package incident

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// many are n flips at a site: CUSTOMER/SITE, so long before t0, of assets numbered from first.
func many(n, first int, site string, ago time.Duration) (out []Flip) {
	customer, site, _ := strings.Cut(site, "/")
	for i := range n {
		asset := fmt.Sprintf("%s-%s-%d", customer, site, first+i)
		out = append(out, Flip{Key: customer + " asset/" + asset + " disk", Reach: Reach{customer, site}, Asset: asset,
			Service: "disk", Rule: "DiskFull", Severity: Warning, At: t0.Add(-ago)})
	}
	return out
}

// stormAt is a storm with a member so long before t0.
func stormAt(id string, in Reach, assets int, ago time.Duration) Storm {
	s := Begun{Reach: in, Service: "disk"}.Begin(id, "WB-"+id, 1000, t0)
	s.Assets, s.Tickets, s.Standing, s.First, s.Last = assets, assets, assets, t0.Add(-ago), t0.Add(-ago)
	return s
}

func TestCorrelate(t *testing.T) {
	a, b := Reach{"a", "x"}, Reach{Customer: "a"}
	for name, tc := range map[string]struct {
		going        []Storm
		loose, fresh []Flip
		assets       map[Reach]int
		want         []string
	}{
		"one short of a storm": {fresh: many(19, 0, "a/x", 0)},
		"a storm at a site":    {fresh: many(20, 0, "a/x", 0), want: []string{"begins at a, site x with 20"}},
		"those of the last minute count": {loose: many(19, 0, "a/x", time.Minute), fresh: many(1, 50, "a/x", 0),
			want: []string{"begins at a, site x with 20"}},
		"those of before do not":       {loose: many(19, 0, "a/x", time.Minute+1), fresh: many(1, 50, "a/x", 0)},
		"an asset counts once":         {loose: many(19, 0, "a/x", time.Second), fresh: many(1, 3, "a/x", 0)},
		"too small a share of a site":  {fresh: many(20, 0, "a/x", 0), assets: map[Reach]int{a: 300}},
		"the share rounded up":         {fresh: many(20, 0, "a/x", 0), assets: map[Reach]int{a: 201}},
		"enough, whatever their share": {fresh: many(100, 0, "a/x", 0), assets: map[Reach]int{a: 100_000}, want: []string{"begins at a, site x with 100"}},
		"two sites of a customer": {fresh: slices.Concat(many(10, 0, "a/x", 0), many(10, 0, "a/y", 0)),
			want: []string{"begins at a with 20"}},
		"nearly all at one of them": {fresh: slices.Concat(many(32, 0, "a/x", 0), many(8, 0, "a/y", 0)),
			want: []string{"begins at a, site x with 32"}},
		"two customers": {fresh: slices.Concat(many(10, 0, "a/x", 0), many(10, 0, "b/y", 0)),
			want: []string{"begins at the whole fleet with 20"}},
		"two customers, nearly all at one": {fresh: slices.Concat(many(40, 0, "a/x", 0), many(2, 0, "b/y", 0)),
			want: []string{"begins at a, site x with 40"}},
		"two storms at a time": {fresh: slices.Concat(many(30, 0, "a/x", 0), many(30, 0, "b/y", 0)), assets: map[Reach]int{{}: 5000},
			want: []string{"begins at a, site x with 30", "begins at b, site y with 30"}},
		"assets of no site": {fresh: many(20, 0, "a/", 0), want: []string{"begins at a with 20"}},
		"one joins a storm that goes on": {going: []Storm{stormAt("s", a, 20, 10*time.Minute)}, fresh: many(1, 50, "a/x", 0),
			want: []string{"a-x-50 joins s"}},
		"none joins one that is quiet": {going: []Storm{stormAt("s", a, 20, 10*time.Minute+1)}, fresh: many(1, 50, "a/x", 0)},
		"enough make a quiet one go on": {going: []Storm{stormAt("s", a, 20, time.Hour)}, fresh: many(20, 50, "a/x", 0),
			want: []string{"20 join s"}},
		"none joins one elsewhere": {going: []Storm{stormAt("s", a, 20, 0)}, fresh: many(1, 50, "a/y", 0)},
		"the widest is joined": {going: []Storm{stormAt("s", a, 20, 0), stormAt("w", b, 40, 0)}, fresh: many(1, 50, "a/x", 0),
			want: []string{"a-x-50 joins w"}},
		"a storm spreads to another site": {going: []Storm{stormAt("s", a, 20, time.Second)}, fresh: many(20, 0, "a/y", 0),
			want: []string{"begins at a with 20 and s"}},
		"an old storm elsewhere is another": {going: []Storm{stormAt("s", a, 20, 5*time.Minute)}, fresh: many(20, 0, "a/y", 0),
			want: []string{"begins at a, site y with 20"}},
		"one more elsewhere is no wider storm": {going: []Storm{stormAt("s", a, 40, time.Second)}, fresh: many(2, 0, "a/y", 0)},
	} {
		t.Run(name, func(t *testing.T) {
			p := Correlate(tc.going, tc.loose, tc.fresh, func(r Reach) int { return tc.assets[r] }, DefaultCorrelation, t0)
			if d := cmp.Diff(tc.want, sayPlan(p)); d != "" {
				t.Error(d)
			}
		})
	}
}

func sayPlan(p Plan) (out []string) {
	joined := map[string][]string{}
	for _, j := range p.Joins {
		joined[j.Storm] = append(joined[j.Storm], j.Flip.Asset)
	}
	for id, assets := range joined {
		if len(assets) == 1 {
			out = append(out, assets[0]+" joins "+id)
		} else {
			out = append(out, fmt.Sprintf("%d join %s", len(assets), id))
		}
	}
	for _, b := range p.Begun {
		s := fmt.Sprintf("begins at %s with %d", b.Reach, len(b.Flips))
		for _, id := range b.Storms {
			s += " and " + id
		}
		out = append(out, s)
	}
	return out
}

func TestStormSteps(t *testing.T) {
	c := DefaultCorrelation
	for name, tc := range map[string]struct {
		change func(*Storm)
		after  time.Duration
		want   Step
	}{
		"it has just begun":                  {func(*Storm) {}, 0, Wait},
		"nothing new":                        {func(*Storm) {}, c.Quiet, Wait},
		"news, told moments ago":             {func(s *Storm) { s.Fold("opened") }, c.Tell - 1, Wait},
		"news":                               {func(s *Storm) { s.Fold("opened") }, c.Tell, Tell},
		"news, told twice":                   {func(s *Storm) { s.Tell(t0); s.Fold("opened") }, 2*c.Tell - 1, Wait},
		"news, told a hundred times":         {func(s *Storm) { s.Notices = 100; s.Fold("opened") }, c.TellMost, Tell},
		"none stands":                        {func(s *Storm) { s.Standing = 0 }, 0, Over},
		"few stand, not quiet yet":           {func(s *Storm) { s.Standing = c.Floor }, c.Quiet, Wait},
		"few stand, quiet":                   {func(s *Storm) { s.Standing = c.Floor }, c.Quiet + 1, Release},
		"one more than few, quiet":           {func(s *Storm) { s.Standing = c.Floor + 1 }, c.Quiet + 1, Wait},
		"over":                               {func(s *Storm) { s.Standing, s.OverAt = 0, t0 }, c.Quiet + 1, Wait},
		"news of one that is quiet and goes": {func(s *Storm) { s.Standing = 1; s.Fold("resolved") }, c.Quiet + 1, Release},
	} {
		s := stormAt("s", Reach{"a", "x"}, 20, 0)
		s.Notices = 1
		tc.change(&s)
		if got := c.Next(s, t0.Add(tc.after)); got != tc.want {
			t.Errorf("%s: step %d, want %d", name, got, tc.want)
		}
	}
}

// A storm of ten thousand says what fits on a page, and counts the rest.
func TestStormText(t *testing.T) {
	b := Begun{Reach: Reach{}, Service: "disk"}
	s := b.Begin("id", "WB-1", 12_000, t0)
	for site := range 500 {
		for _, f := range many(20, 0, fmt.Sprintf("c%d/s%d", site/5, site), 0) {
			s.Join(f)
			s.Bind(1, false, true)
		}
	}
	s.Bind(0, true, false)
	s.Fold("opened")
	s.Fold("resolved")
	s.Fold("resolved")
	text := s.Text()
	for _, want := range []string{"10000 of 12000 assets (the whole fleet), 9999 of 10000 tickets are open", "DiskFull 10000", "others 6000",
		"and 9960 more", "resolved 2, opened 1", "`watchbill ticket list --storm WB-1`", "First at 17:30:00 UTC"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
	if len(text) > 2000 || len(s.Sites) > maxStormSites+1 || len(s.Sample) != maxStormSample {
		t.Errorf("%d bytes of text, %d sites, %d names", len(text), len(s.Sites), len(s.Sample))
	}
}

// No rule's alert gets the key of a storm, and storms of different reach have different ones.
func TestStormKeys(t *testing.T) {
	keys := map[string]bool{}
	for _, r := range []Reach{{}, {Customer: OwnCustomer}, {Customer: "a"}, {Customer: "a", Site: "x"}} {
		key := KeyOf(Begun{Reach: r, Service: "disk"}.Begin("i", "n", 0, t0).Alert()).String()
		if keys[key] {
			t.Errorf("two storms have the key %q", key)
		}
		keys[key] = true
		rule := KeyOf(Alert{Name: "Storm", Source: "rule g/Storm", Customer: "a", Site: r.Site, Service: "disk"}).String()
		if keys[rule] {
			t.Errorf("a rule has the key of a storm, %q", rule)
		}
	}
}
