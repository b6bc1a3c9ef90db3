package notify

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	promconfig "github.com/prometheus/common/config"

	"github.com/watchbill/watchbill/collector/outbox"
)

func secret(s string) promconfig.Secret { return promconfig.Secret(s) }

// inertInSlack tells how a body could do more than say something: markup outside of the collector's own link, an attribute that
// Slack fetches something for, text over a bound.
func inertInSlack(t testing.TB, body []byte) {
	t.Helper()
	var m struct {
		Text        string
		UnfurlLinks bool `json:"unfurl_links"`
		UnfurlMedia bool `json:"unfurl_media"`
		Blocks      []struct {
			Type             string
			Text             *slackObject
			Fields, Elements []slackObject
		}
	}
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if m.UnfurlLinks || m.UnfurlMedia || len(m.Blocks) > 50 || len(m.Blocks) == 0 {
		t.Errorf("unfurls, or %d blocks", len(m.Blocks))
	}
	plain := func(where, s string) {
		if strings.ContainsAny(s, "<>") || strings.Contains(s, "://") || unprintable(s) {
			t.Errorf("%s is not inert: %q", where, s)
		}
	}
	plain("text", m.Text)
	links := 0
	for _, b := range m.Blocks {
		all := append(b.Fields, b.Elements...)
		if b.Text != nil {
			all = append(all, *b.Text)
		}
		most := map[string]int{"header": 150, "section": 3000, "context": 3000}[b.Type]
		if most == 0 || len(b.Fields) > 10 {
			t.Errorf("a block %q with %d fields", b.Type, len(b.Fields))
		}
		for _, o := range all {
			if o.Type == "mrkdwn" {
				links++
				if !strings.HasPrefix(o.Text, "<https://watch.example/tickets/WB-1042|Open ") || !strings.HasSuffix(o.Text, ">") || !o.Verbatim {
					t.Errorf("markup %q", o.Text)
				}
				o.Text = strings.TrimSuffix(strings.TrimPrefix(o.Text, "<https://watch.example/tickets/WB-1042|"), ">")
			}
			plain(b.Type, o.Text)
			unescaped := strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(o.Text)
			if n := utf8.RuneCountInString(unescaped); n > most || strings.TrimSpace(o.Text) == "" {
				t.Errorf("%s has %d characters", b.Type, n)
			}
		}
	}
	if links > 1 {
		t.Errorf("%d links", links)
	}
}

func slackBody(t testing.TB, n Notice) []byte {
	t.Helper()
	b, err := json.Marshal(slackOf(outbox.Message{ID: "m-7"}, n, noon))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSlackIsInert(t *testing.T) {
	for _, text := range append(hostile, strings.Repeat("<&>", 5000), "") {
		inertInSlack(t, slackBody(t, hostileNotice(text)))
		n := hostileNotice(strings.Repeat(text+"\n", 80))
		n.Letter = true
		inertInSlack(t, slackBody(t, n))
	}
}

func FuzzSlack(f *testing.F) {
	for _, text := range hostile {
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, letter bool) {
		n := hostileNotice(text)
		n.Letter = letter
		inertInSlack(t, slackBody(t, n))
	})
}

// The collector's own address becomes a link as it is, and what is no address none.
func TestSlackLink(t *testing.T) {
	for address, want := range map[string]string{
		"https://w.example/t?a=1&b=2": "https://w.example/t?a=1&amp;b=2", "https://w.example/a|b>c": "https://w.example/a%7Cb%3Ec",
		"javascript:alert(1)": "", "": "", "://": "",
	} {
		if got := slackLink(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
