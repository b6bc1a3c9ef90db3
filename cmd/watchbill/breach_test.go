package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// hurried is a policy set of which a whole ladder is climbed in five minutes: a slow restart fits between any two of its steps.
const hurried = `name: hurried
version: 1
description: Two clocks that run out while one looks on.
priorities: [P1]
classify: [{priority: P1, because: everything is urgent}]
owner: duty
parties: {duty: {role: engineer}}
clocks: {response: {met_by: [ack]}, resolution: {met_by: [resolve]}}
at_risk: 80%
targets:
  - {clock: response, within: "120s,elapsed"}
  - {clock: resolution, within: "200s,elapsed"}
notices:
  - {name: owner, on: [opened, clock_at_risk, clock_breached], to: [{party: owner}]}
ladder:
  - {name: missed, clock: resolution, share: 100%, to: [{role: support-manager}]}
  - {name: long missed, clock: resolution, share: 150%, to: [{role: service-director}]}
reopen_window: 1h
close_after: 1h
`

// people of hurried: a pager that is a webhook, and two who get mail.
const hurriedFleet = `people:
- {id: eve, name: Eve Engineer, receivers: [pager]}
- {id: sue, name: Sue Manager, receivers: [mail-sue]}
- {id: dan, name: Dan Director, receivers: [mail-dan]}
contacts:
- {role: engineer, person: eve}
- {role: support-manager, person: sue}
- {role: service-director, person: dan}
customers:
- id: acme
  name: Acme Ltd
  contracts: [{id: acme-1, sets: [hurried]}]
  sites:
  - id: london
    assets: [{name: web1}]
`

// arrived is what was delivered to somebody: a webhook's notice, or a mail's subject, and how often it came.
type arrived struct {
	to, what string
	at       time.Time
}

// inbox takes what is delivered, in order. A repeat, which has the key of the first, counts as that.
type inbox struct {
	mu  sync.Mutex
	got []arrived
	met map[string]bool
	// repeats are deliveries that came again.
	repeats int
}

func (b *inbox) take(key string, one arrived) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.met[key] {
		b.repeats++
		return
	}
	b.met[key] = true
	one.at = time.Now()
	b.got = append(b.got, one)
}

func (b *inbox) all() []arrived {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

// pager is a receiver of webhooks.
func (b *inbox) pager(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct{ Notice struct{ What string } }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Errorf("a page cannot be read: %v", err)
		}
		b.take(r.Header.Get("Idempotency-Key"), arrived{to: "pager", what: body.Notice.What})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// post is a mail server that takes everything; it returns its address.
func (b *inbox) post(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailVisit{inbox: b}, nil }))
	srv.Domain = "post.test"
	ended := make(chan error)
	go func() { ended <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		<-ended
	})
	return l.Addr().String()
}

type mailVisit struct {
	*inbox
	to string
}

func (v *mailVisit) Mail(string, *smtp.MailOptions) error { return nil }
func (v *mailVisit) Reset()                               {}
func (v *mailVisit) Logout() error                        { return nil }

func (v *mailVisit) Rcpt(to string, _ *smtp.RcptOptions) error {
	v.to = to
	return nil
}

// Data tells mails apart by their Message-ID, which a repeat has too, and says of each which rung it tells.
func (v *mailVisit) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	text, what := string(raw), "mail"
	for _, rung := range []string{"long missed", "missed"} {
		if strings.Contains(text, rung+":") {
			what = rung
			break
		}
	}
	_, id, _ := strings.Cut(strings.ToLower(text), "message-id:")
	id, _, _ = strings.Cut(id, "\n")
	v.take(v.to+strings.TrimSpace(id), arrived{to: v.to, what: what})
	return nil
}

// TestFromPageToEscalation: a fault pages who is on duty, they acknowledge it, the clock that goes on is at risk, is missed,
// and two rungs are climbed, while the collector is killed before each. What was sent came once each, in order, to whom the
// set says, and not before its time. It takes six minutes: with -long.
func TestFromPageToEscalation(t *testing.T) {
	if !*long {
		t.Skip("takes six minutes; run with -long")
	}
	var got inbox
	got.met = map[string]bool{}
	h := newHouse(t, shopRule, false)
	h.write("policies/hurried/policy.yml", hurried)
	h.write("fleet/acme.yml", hurriedFleet)
	config, err := os.ReadFile(h.config)
	if err != nil {
		t.Fatal(err)
	}
	smarthost, text := got.post(t), string(config)
	text = text[:strings.Index(text, "receivers:")] + fmt.Sprintf("policies: {directory: policies}\nreceivers:\n- {name: pager, webhook: {url: %q}}\n", got.pager(t))
	for _, who := range []string{"sue", "dan"} {
		text += fmt.Sprintf("- {name: mail-%s, mail: {smarthost: %q, tls: none, from: watch@host.example, to: [%s@host.example]}}\n", who, smarthost, who)
	}
	h.write("watchbill.yml", text)
	h.serve()
	_, bin := binaries(t)
	start(t, exec.Command(bin, "run", "--config.file", h.enrol("wbshop")))
	shop := victim(t, h.dir)
	h.reporting()
	began := time.Now() // no clock begins before the fault
	shop.kill()
	tk := h.openTicket("shop is down")
	await := func(n int, within time.Duration) {
		t.Helper()
		eventually(t, within, fmt.Sprintf("%d things were sent", n), func() bool { return len(got.all()) >= n })
	}
	restart := func() {
		h.collector.kill()
		h.serve()
	}
	await(1, patience)
	restart()
	h.cli("ticket", "ack", tk.Number)  // the response is met: it is told of no more
	await(2, 160*time.Second+patience) // at risk, 160 s after the fault
	h.collector.kill()
	<-time.After(time.Until(began.Add(210 * time.Second))) // the resolution is missed while nothing runs
	h.serve()
	await(4, patience)
	restart()
	await(5, 100*time.Second+patience)
	restart()
	<-time.After(10 * time.Second) // nothing more comes
	h.cli("ticket", "verify-chain", tk.Number)

	notBefore := map[string]time.Duration{
		"clock_at_risk": 160 * time.Second, "clock_breached": 200 * time.Second, "missed": 200 * time.Second, "long missed": 300 * time.Second,
	}
	var page, mail []string
	for _, one := range got.all() {
		said, after := one.to+" "+one.what, one.at.Sub(began)
		t.Logf("%5.1f s  %s", after.Seconds(), said)
		if after < notBefore[one.what] {
			t.Errorf("%s came %v after the fault, before its time", said, after)
		}
		if one.to == "pager" {
			page = append(page, one.what)
		} else {
			mail = append(mail, said)
		}
	}
	t.Logf("%d repeats", got.repeats)
	if want := []string{"opened", "clock_at_risk", "clock_breached"}; !slices.Equal(page, want) {
		t.Errorf("the pager heard %q, want %q", page, want)
	}
	if want := []string{"sue@host.example missed", "dan@host.example long missed"}; !slices.Equal(mail, want) {
		t.Errorf("by mail went %q, want %q", mail, want)
	}
}
