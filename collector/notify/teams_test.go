package notify

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/outbox"
)

// inertInTeams tells how a card could do more than say something.
func inertInTeams(t testing.TB, body []byte) {
	t.Helper()
	if len(body) > maxTeams {
		t.Errorf("%d bytes", len(body))
	}
	var m teamsMessage
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	card := m.Attachments[0].Content
	for _, b := range card.Body {
		if b.Type != "RichTextBlock" {
			t.Errorf("a block of type %q, whose text may be Markdown", b.Type)
		}
		for _, r := range b.Inlines {
			for _, bad := range []string{"](", "<", ">", "{{", "${", "://", "`"} {
				if strings.Contains(r.Text, bad) {
					t.Errorf("not inert, for %q: %q", bad, r.Text)
				}
			}
			if r.Type != "TextRun" || unprintable(r.Text) {
				t.Errorf("not inert: %+v", r)
			}
		}
	}
	for _, a := range card.Actions {
		if a.Type != "Action.OpenUrl" || a.URL != "https://watch.example/tickets/WB-1042" || strings.Contains(a.Title, "](") {
			t.Errorf("action %+v", a)
		}
	}
}

func teamsOfNotice(t testing.TB, n Notice) []byte {
	t.Helper()
	b, err := teamsBody(outbox.Message{ID: "m-7"}, n, noon)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTeamsIsInert(t *testing.T) {
	for _, text := range append(hostile, strings.Repeat("\u2211<{{", 5000), "") {
		inertInTeams(t, teamsOfNotice(t, hostileNotice(text)))
		n := hostileNotice(strings.Repeat(text+"\n", 80))
		n.Letter = true
		inertInTeams(t, teamsOfNotice(t, n))
	}
}

func FuzzTeams(f *testing.F) {
	for _, text := range hostile {
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, letter bool) {
		n := hostileNotice(text)
		n.Letter = letter
		inertInTeams(t, teamsOfNotice(t, n))
	})
}

// A card that Teams would refuse for its size is cut, and says so.
func TestTeamsCutsWhatIsTooLarge(t *testing.T) {
	n := notice()
	n.Alerts = nil
	for i := range 20 { // JSON makes six bytes of each &
		a := Alert{Labels: map[string]string{"alertname": strings.Repeat("&", 290)}, StartsAt: noon,
			Annotations: map[string]string{"first_checks": strings.Repeat("&", 280+i)}}
		if i%2 == 0 {
			a.EndsAt = noon
		}
		n.Alerts = append(n.Alerts, a)
	}
	body := teamsOfNotice(t, n)
	inertInTeams(t, body)
	if !strings.Contains(string(body), "This card is not all") {
		t.Errorf("the card of %d bytes does not say that it is cut", len(body))
	}
	if strings.Contains(string(teamsOfNotice(t, notice())), "This card is not all") {
		t.Error("a whole card says that it is cut")
	}
}

// An old connector says in the text of a 200 that it failed.
func TestTeamsConnectorAnswers(t *testing.T) {
	for text, want := range map[string]string{
		"1": "ok", "": "ok", `{"status":"queued"}`: "ok",
		"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId x": "retry",
		"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 413 with ContextId x": "refused",
		"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 502":                  "retry",
		"Summary or Text is required.": "retry",
	} {
		d := newDesk(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })
		err := output(t, outputs["teams"](d.URL)).Send(t.Context(), message(t, notice()))
		got := "ok"
		if errors.Is(err, outbox.ErrRefused) {
			got = "refused"
		} else if err != nil {
			got = "retry"
		}
		if got != want {
			t.Errorf("%q: %s (%v), want %s", text, got, err, want)
		}
	}
}
