package ticket

import (
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/sla"
)

// everything is a template with every placeholder there is.
func everything() string {
	var b strings.Builder
	for name := range Placeholders() {
		b.WriteString("{{" + name + "}}\n")
	}
	return b.String()
}

func london(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestMessage(t *testing.T) {
	due := func(name string, after time.Duration) sla.Clock {
		return sla.Clock{Name: name, Due: t0.Add(after)}
	}
	tk := Ticket{Opening: Opening{Number: "WB-7", Service: "website", ReceivedAt: t0}, Priority: "high", State: New,
		Clocks: []sla.Clock{due("response", time.Hour), due("resolution", 48*time.Hour), due("restore", 4*time.Hour)}}
	m := MessageFacts{Contact: "Ursula", Customer: "Acme Ltd", Sender: "Sam", Zone: london(t), Next: t0.Add(30 * time.Minute)}
	ack := "Dear {{contact}},\n{{what}} {{effect}} {{doing}}\nPriority {{ priority }}, expected {{expected}}, answer by {{respond}}.\nNext: {{next}}. {{sender}}, {{number}}"
	want := "Dear Ursula,\nYour website does not answer as it should. We are still finding out what it means for your work. " +
		"Our engineers have been told and will look at it.\n" +
		"Priority high, expected Friday 27 March 2026, 21:30 GMT, answer by Friday 27 March 2026, 18:30 GMT.\n" +
		"Next: Friday 27 March 2026, 18:00 GMT. Sam, WB-7"
	if got, err := Message(ack, tk, m); err != nil || got != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
	for name, tc := range map[string]struct {
		change func(*Ticket)
		want   string
	}{
		"an agreed date comes first": {func(t *Ticket) { t.Promises = []Promise{{Until: t0}, {Until: t0.Add(72 * time.Hour)}} }, "Monday 30 March 2026, 18:30 BST"},
		"no clock":                   {func(t *Ticket) { t.Clocks = nil }, "to be scheduled with you"},
		"only a response":            {func(t *Ticket) { t.Clocks = t.Clocks[:1] }, "to be scheduled with you"},
		"what ended does not count":  {func(t *Ticket) { t.Clocks = []sla.Clock{t.Clocks[1].Meet(t0)} }, "to be scheduled with you"},
	} {
		other := tk
		tc.change(&other)
		if got, err := Message("{{expected}}", other, m); err != nil || got != tc.want {
			t.Errorf("%s: %q %v, want %q", name, got, err, tc.want)
		}
	}
}

func TestTemplateFaults(t *testing.T) {
	for template, want := range map[string]string{
		"{{expr}}":               "there is no placeholder {{expr}}: expected one of contact, customer,",
		"{{title}} {{instance}}": "{{instance}}",
		"Dear {{contact":         "{{contact is not closed",
	} {
		if err := CheckTemplate(template); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want a fault that says %q", template, err, want)
		}
		if _, err := Message(template, Ticket{}, MessageFacts{}); err == nil {
			t.Errorf("%q was rendered", template)
		}
	}
	if err := CheckTemplate(everything()); err != nil {
		t.Error(err)
	}
}

// Whatever a ticket's alerts are called and say, nothing of it reaches a client.
func TestNoInternalNameLeaks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		secret := func(name string) string {
			return "XSECRETX" + rapid.StringMatching(`[a-z0-9:_{}="]{1,12}`).Draw(rt, name)
		}
		a := incident.Alert{ID: secret("id"), Name: secret("name"), Source: secret("source"), Expr: secret("expr"), Asset: secret("asset"), Site: secret("site"),
			Customer: secret("customer"), Service: secret("service"), System: secret("system"), Severity: incident.Warning,
			Labels:      map[string]string{secret("label"): secret("value"), "instance": secret("instance")},
			Annotations: map[string]string{"summary": secret("summary"), "description": secret("description")}, FiredAt: t0, ActiveAt: t0, FirstBadAt: t0}
		c, err := Open(Birth{ID: secret("ticket"), Number: "WB-1", Title: a.Title(), Alert: a, Owner: secret("owner"), Terms: terms(), Evidence: evidence()}, t0)
		if err != nil {
			rt.Fatal(err)
		}
		tk := c.Ticket
		for _, act := range []Action{{Verb: Note, Text: secret("note")}, {Verb: Resolve, Text: secret("resolution")}} {
			if c, err = tk.Act(act, somebody(secret("person")), terms(), t0); err != nil {
				rt.Fatal(err)
			}
			tk = c.Ticket
			text, err := Message(everything(), tk, MessageFacts{})
			if err != nil {
				rt.Fatal(err)
			}
			if strings.Contains(text, "XSECRETX") {
				rt.Fatalf("an internal name reached the client:\n%s", text)
			}
		}
	})
}

// A person's own words for the client that show the rule are refused, not sent.
func TestPersonsWordsShowNoRule(t *testing.T) {
	tk := opened(t).Ticket
	a := firing("disk", incident.Warning)
	a.Expr, a.Labels = `node_filesystem_avail_bytes < 1e9`, map[string]string{"instance": "web1.acme.internal:9100", "alertname": "DiskAlmostFull", "mountpoint": "/var"}
	tk.Alerts = []incident.Alert{a}
	counted := a
	counted.Labels = map[string]string{"path": `C:\"new" data`, "pod": "shop-17"}
	tk.Crowd.Newest = []string{"one before", inWords(counted)}
	for words, want := range map[string]string{
		"shop-17 is the shop":                        "",
		"of the shop's pod=shop-17":                  "the label pod",
		`path=C:\"new" data is gone`:                 "the label path",
		"the disk is almost full":                    "",
		"we cleaned /var":                            "",
		"node_filesystem_avail_bytes < 1e9 was true": "which is internal",
		"on web1.acme.internal:9100":                 "which is internal",
		"DiskAlmostFull fired":                       "which is internal",
		`{mountpoint="/var"}`:                        "the label mountpoint",
		"rule linux/disk said so":                    "which is internal",
		"mountpoint=/var is full":                    "the label mountpoint",
	} {
		_, err := Message("{{what}}", tk, MessageFacts{What: words})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", words, err, want)
		}
	}
}

// Hostile words stay words: no placeholder in them is filled, nothing in them moves a cursor or turns a line.
func TestHostileTextIsInert(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.String().Draw(rt, "text") + rapid.SampledFrom([]string{"", "{{number}}", "\x1b[2J", "\u202e", "\r\nBcc: all", "\x00", "\xff"}).Draw(rt, "hostile")
		got, err := Message("[{{what}}][{{contact}}][{{sender}}]", Ticket{Opening: Opening{Number: "WB-7777"}}, MessageFacts{What: text, Contact: text, Sender: text})
		if err != nil {
			rt.Fatal(err)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar {
				rt.Fatalf("%q has %U", got, r)
			}
		}
		if strings.Contains(got, "WB-7777") {
			rt.Fatalf("a placeholder in a value was filled: %q", got)
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add("Dear {{contact}}", "Ursula")
	f.Add("{{", "}}")
	f.Add("{{what}}{{number}}", "{{what}}")
	f.Fuzz(func(t *testing.T, template, words string) {
		got, err := Message(template, Ticket{Opening: Opening{Number: "WB-1"}}, MessageFacts{What: words, Contact: words})
		if (CheckTemplate(template) == nil) != (err == nil) {
			t.Fatalf("the check says %v, rendering %v", CheckTemplate(template), err)
		}
		if limit := len(template) + (strings.Count(template, "{{")+1)*maxLine; len(got) > limit {
			t.Fatalf("%d bytes of %d", len(got), limit)
		}
	})
}

func TestShortEndsWithWholeCharacters(t *testing.T) {
	for text, want := range map[string]string{"plain": "plain", "äöüäöü": "äö…", "abcdefgh": "abcde…", "日本語日本": "日…", "abcdäöüß": "abcd…"} {
		if got := short(text, 8); len(text) > 8 && got != want || len(text) <= 8 && got != text {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// What is over is not told as if it went on, what was refused not as if it were done, and nobody promises an answer that
// was given.
func TestMessagesSayHowItEnded(t *testing.T) {
	declined := Ticket{Opening: Opening{Kind: KindRequest}, State: Done, Resolution: "refused: it opens the firewall to all.", Work: Work{Facts: Facts{factDeclined: "yes"}}}
	internal := declined
	internal.Resolution, internal.Alerts = "refused: up == 0 on web1", []incident.Alert{{Expr: "up == 0"}}
	for name, tc := range map[string]struct {
		t    Ticket
		want string // of "{{state}} {{solved}}"
	}{
		"a request that was declined":  {declined, "refused Your request was refused: it opens the firewall to all."},
		"declined, for inside reasons": {internal, "refused Your request was refused."},
		"a request":                    {Ticket{Opening: Opening{Kind: KindRequest}, State: Done}, "done What you asked for is done."},
		"a rejected delivery": {Ticket{Opening: Opening{Kind: KindDelivery}, State: Done, Resolution: "rejected: no notes", Work: Work{Facts: Facts{factDelivery: "rejected"}}},
			"rejected The delivery was rejected: no notes."},
		"an incident": {Ticket{Opening: Opening{Kind: KindIncident}, State: Done}, "solved The fault is mended."},
	} {
		got, err := Message("{{state}} {{solved}}", tc.t, MessageFacts{})
		if err != nil || got != tc.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		all, err := Message("{{what}} {{effect}} {{solved}}", tc.t, MessageFacts{})
		if err != nil || strings.Contains(all, "looking into") || strings.Contains(all, "still finding out") || strings.Contains(all, "mended") != (tc.t.Kind == KindIncident) {
			t.Errorf("%s: %q, %v", name, all, err)
		}
	}
	const letter = "Dear {{contact}},\nPriority: {{priority}}. We respond by: {{respond}}. Expected: {{expected}}.\nBy {{ respond }}.\n\n{{sender}}"
	open := Ticket{Opening: Opening{Number: "WB-7"}, Priority: "high", State: New, Clocks: []sla.Clock{{Name: "response", Due: t0}}}
	got, err := Message(letter, open, MessageFacts{})
	if err != nil || strings.Count(got, "27 March 2026") != 2 {
		t.Errorf("%q, %v", got, err)
	}
	open.State, open.AcknowledgedAt, open.Clocks = Acked, t0, []sla.Clock{open.Clocks[0].Meet(t0)}
	want := "Dear customer,\nPriority: high. Expected: to be scheduled with you.\n\nYour service team"
	if got, err := Message(letter, open, MessageFacts{}); err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
}
