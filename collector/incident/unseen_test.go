package incident

import (
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/rules"
)

func TestUnseen(t *testing.T) {
	m := Missed{Asset: "web1", Customer: "acme", Site: "london", From: t0, To: t0.Add(time.Hour), Alerts: 2}
	a := Unseen(m)
	if a.Firing() || !Quiet(a) || a.Severity != Info || KeyOf(a).String() != "acme asset/web1 unseen" {
		t.Errorf("%+v", a)
	}
	if d := a.Annotations["description"]; d != "Between 2026-03-27 17:30:00 and 2026-03-27 18:30:00 UTC nobody could see web1: 2 alerts came and went." {
		t.Errorf("description %q", d)
	}
	later := m
	later.From = m.From.Add(time.Minute)
	if Unseen(later).ID == a.ID || Unseen(m).ID != a.ID {
		t.Error("a gap is known by its asset and its beginning")
	}
	one := Missed{Asset: "web1", From: t0, To: t0, Alerts: 1, Unjudged: "too much"}
	if d := Unseen(one).Annotations["description"]; !strings.HasSuffix(d, "one alert came and went; not all could be judged: too much.") {
		t.Errorf("description %q", d)
	}
}

func TestGap(t *testing.T) {
	g := Gap("web1", "acme", "london", t0, t0.Add(time.Hour))
	if rules.AlertID(UnseenOrigin().ID, g.Labels) != GapID("web1", "acme", "london") || g.State != rules.Firing || !g.ActiveAt.Equal(t0) {
		t.Errorf("%+v", g)
	}
	if !IsGap(UnseenOrigin()) || IsGap(SilenceOrigin(HostSilent)) {
		t.Error("origins")
	}
}
