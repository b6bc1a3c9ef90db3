package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/ticket"
)

// acts finds the first thing in out that a terminal would act on or that hides what is written: anything but line feeds
// and printable letters.
func acts(out []byte) string {
	if !utf8.Valid(out) {
		return "bytes that are not UTF-8"
	}
	for _, r := range string(out) {
		if r != '\n' && !unicode.IsPrint(r) {
			return string([]rune{r})
		}
	}
	return ""
}

// hostileTicket has s wherever a ticket has text from elsewhere.
func hostileTicket(s string) api.Ticket {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	part := ticket.PartRecord{None: s, Entries: []ticket.Entry{{Text: s, Source: s, At: at,
		Table:  &ticket.Table{Columns: []string{s, "x"}, Rows: [][]string{{s, s, s}, {}}},
		Series: &ticket.Series{Name: s, Points: [][2]float64{{1, 2}, {2, 3}}}}}}
	alert := incident.Alert{ID: s, Name: s, Source: s, Severity: incident.Severity(s),
		Annotations: map[string]string{"summary": s, "first_checks": s}}
	who := ticket.Actor{Kind: ticket.ActorKind(s), Name: s}
	return api.Ticket{
		TicketRow: api.TicketRow{Number: s, Title: s, State: ticket.State(s), Severity: incident.Severity(s), Priority: s,
			Customer: s, Site: s, Asset: s, Service: s, System: s, Owner: s, Policy: api.Policy{Name: s, Version: s},
			AcknowledgedAt: &at, AcknowledgedBy: s, ResolvedAt: &at, ResolvedBy: &who, Resolution: s,
			Alerts: []api.TicketAlert{{Alert: alert, Unknown: s}}, Links: []ticket.Link{{Relation: s, Number: s}}},
		Record: ticket.Record{Time: part, Symptom: ticket.PartRecord{None: s}, Users: part, Errors: part, Actions: part},
		Timeline: []ticket.Event{{Kind: ticket.Kind(s), Actor: who, Text: s, Alert: &alert,
			Evidence: &ticket.Digest{Part: ticket.Part(s), Summary: s}, Link: &ticket.Link{Relation: s, Number: s}}},
	}
}

func FuzzTerminal(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[2J\x1b]0;title\a", "a\r\nWB-9999  P1  forged line", "\u009b31m", "\u202egnp.exe",
		"\u2028", "\x00\x7f", "\xff\xfe", "e\u0301\u0301\u0301\u0301\u0301\u0301", "\u200bhid\u200dden", "\U000e0041", "日本語", "\t"} {
		f.Add(s, uint8(40))
	}
	f.Fuzz(func(t *testing.T, s string, width uint8) {
		check := func(what string, out []byte) {
			if bad := acts(out); bad != "" {
				t.Errorf("%s lets %+q through:\n%q", what, bad, out)
			}
		}
		if strings.Contains(clean(s), "\n") {
			t.Error("clean lets a line break through: a line could be forged")
		}
		check("clean", []byte(clean(s)))

		var b bytes.Buffer
		// Laid out without the last gate: every field must be inert by itself.
		showTicket(screen{w: &b, width: int(width), zone: time.UTC}, hostileTicket(s))
		check("ticket show", b.Bytes())
		b.Reset()
		rows := []api.TicketRow{hostileTicket(s).TicketRow}
		printTickets(screen{w: &b, width: int(width), zone: time.UTC}, api.TicketList{Tickets: rows}, false)
		check("ticket list", b.Bytes())
		if n := bytes.Count(b.Bytes(), []byte("\n")); n != 2 {
			t.Errorf("a list of one ticket has %d lines, want 2", n)
		}
		b.Reset()
		if n, err := (safeWriter{&b}).Write([]byte(s)); n != len(s) || err != nil {
			t.Errorf("wrote %d of %d: %v", n, len(s), err)
		}
		check("the last gate", b.Bytes())

		raw, err := json.Marshal(map[string]string{"text": s})
		if err != nil {
			t.Fatal(err)
		}
		b.Reset()
		if err := printJSON(&b, raw); err != nil {
			t.Fatal(err)
		}
		check("JSON", b.Bytes())
		var want, got map[string]string
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b.Bytes(), &got); err != nil || got["text"] != want["text"] {
			t.Errorf("JSON for the terminal says %q (%v), want %q", got["text"], err, want["text"])
		}
	})
}

func TestClean(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "disk is full: 3 %", "disk is full: 3 %"},
		{"other scripts", "Größe 日本 שלום", "Größe 日本 שלום"},
		{"colours", "\x1b[31mred", `\x1b[31mred`},
		{"line breaks", "a\r\nb", `a\r\nb`},
		{"tab and no-break space", "a\tb\u00a0c", "a b c"},
		{"eight-bit control", "\u009b", `\x9b`},
		{"turned around", "\u202egnp", `\u202egnp`},
		{"invisible", "\u200b\U000e0041", `\u200b\U000e0041`},
		{"not UTF-8", "\xffx", `\xffx`},
		{"a real replacement sign", "\ufffd", "\ufffd"},
		{"accents stay, towers do not", "e\u0301\u0301\u0301\u0301\u0301x\u0301", "e\u0301\u0301\u0301\u0301" + `\u0301` + "x\u0301"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := clean(tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWrapAndCut(t *testing.T) {
	for _, tt := range []struct {
		name  string
		in    string
		cells int
		want  string
	}{
		{"fits", "one two", 7, "one two"},
		{"breaks at blanks", "one two three", 8, "one two|three"},
		{"no width, one line", "one two three", 0, "one two three"},
		{"a word too long", "abcdefghij k", 4, "abcd|efgh|ij k"},
		{"wide letters", "日本語", 4, "日本|語"},
		{"nothing", "", 10, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(wrap(tt.in, tt.cells), "|"); got != tt.want {
				t.Errorf("wrap gave %q, want %q", got, tt.want)
			}
		})
	}
	for in, want := range map[string]string{"short": "short", "exactly8": "exactly8", "somewhat long": "somewha…", "日本語日本語": "日本語…"} {
		if got := cut(in, 8); got != want {
			t.Errorf("cut(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	rows := [][]string{{"WB-1001", "a title that is far longer than the terminal is wide", "日本"}, {"WB-2", "short", "x"}}
	cols := []column{{title: "NUMBER"}, {title: "TITLE", stretch: true}, {title: "OWNER"}}
	var b bytes.Buffer
	table(&b, 40, cols, rows)
	for line := range strings.Lines(b.String()) {
		if n := columns(strings.TrimRight(line, "\n")); n > 40 {
			t.Errorf("line of %d cells: %q", n, line)
		}
	}
	lines := strings.Split(b.String(), "\n")
	if !strings.Contains(lines[1], "…") || !strings.Contains(lines[0], "OWNER") {
		t.Errorf("got\n%s", b.String())
	}
	at := columns(lines[0][:strings.Index(lines[0], "OWNER")])
	if got := columns(lines[1][:strings.Index(lines[1], "日本")]); got != at {
		t.Errorf("the last column begins at %d and %d:\n%s", at, got, b.String())
	}
}

func TestAgeAndNumber(t *testing.T) {
	for in, want := range map[time.Duration]string{
		-time.Second: "0s", 45 * time.Second: "45s", 310 * time.Second: "5m10s", 5 * time.Minute: "5m",
		192 * time.Minute: "3h12m", 52 * time.Hour: "2d4h", 900 * 24 * time.Hour: "900d",
	} {
		if got := age(in); got != want {
			t.Errorf("age(%v) = %q, want %q", in, got, want)
		}
	}
	for _, tt := range []struct {
		name string
		v    float64
		want string
	}{
		{"node_load1", 9.5512345, "9.551"}, {"node_load1", 0, "0"}, {"node_load1", 123456, "123456"}, {"x_total", 12345678, "12.35 M"},
		{"node_filesystem_avail_bytes", 5 << 30, "5 GiB"}, {"node_filesystem_avail_bytes", 512, "512 B"}, {"a_bytes", -3 << 20, "-3 MiB"},
	} {
		if got := number(tt.name, tt.v); got != tt.want {
			t.Errorf("number(%s, %v) = %q, want %q", tt.name, tt.v, got, tt.want)
		}
	}
}

func TestOutboxFitsTheTerminal(t *testing.T) {
	next := time.Now().Add(time.Minute)
	m := api.Message{ID: exampleMessage, State: outbox.Queued, Receiver: "desk-of-the-second-level", Number: "WB-1001", What: "acknowledged",
		Attempts: 12, NextAt: &next, LastError: "send " + exampleMessage + " to desk-of-the-second-level: " + strings.Repeat("refused \x1b ", 20)}
	var b bytes.Buffer
	printMessages(screen{w: &b, width: 80, now: time.Now(), zone: time.UTC}, api.MessageList{Messages: []api.Message{m}})
	for line := range strings.Lines(b.String()) {
		if n := columns(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("line of %d cells: %q", n, line)
		}
	}
	if strings.Count(b.String(), exampleMessage) != 1 || acts(b.Bytes()) != "" {
		t.Errorf("the ID stands there more than once, or something acts:\n%s", b.String())
	}
}
