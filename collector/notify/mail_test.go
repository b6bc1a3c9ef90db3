package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/collector/outbox"
)

// post is a mail server that keeps what it takes.
type post struct {
	addr, caFile string
	// user and password are wanted when set; answer, when it gives an error, is told to the stage of a recipient: mail,
	// rcpt or data.
	user, password string
	answer         func(stage, rcpt string) error

	mu      sync.Mutex
	letters []letter
	tls     []bool
}

type letter struct {
	from, to string
	raw      []byte
}

// newPost starts a server: implicit TLS, STARTTLS on offer, or none.
func newPost(t *testing.T, mode string) *post {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate
	cert, ca := web.TLS.Certificates[0], web.Certificate().Raw
	web.Close()
	p := &post{caFile: filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(p.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca}), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		_, encrypted := c.TLSConnectionState()
		p.mu.Lock()
		p.tls = append(p.tls, encrypted)
		p.mu.Unlock()
		return &visit{post: p}, nil
	}))
	srv.Domain, srv.AllowInsecureAuth, srv.ErrorLog = "post.test", true, quiet{}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	switch mode {
	case ImplicitTLS:
		l = tls.NewListener(l, config)
	case StartTLS:
		srv.TLSConfig = config
	}
	ended := make(chan error)
	go func() { ended <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-ended
	})
	return p
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// visit is one client's session.
type visit struct {
	*post
	known    bool
	from, to string
}

func (v *visit) AuthMechanisms() []string {
	if v.user == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (v *visit) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != v.user || password != v.password {
			return smtp.ErrAuthFailed
		}
		v.known = true
		return nil
	}), nil
}

func (v *visit) stage(name, rcpt string) error {
	if v.answer == nil {
		return nil
	}
	return v.answer(name, rcpt)
}

func (v *visit) Mail(from string, _ *smtp.MailOptions) error {
	if v.user != "" && !v.known {
		return &smtp.SMTPError{Code: 530, Message: "Authentication required"}
	}
	v.from = from
	return v.stage("mail", "")
}

func (v *visit) Rcpt(to string, _ *smtp.RcptOptions) error {
	v.to = to
	return v.stage("rcpt", to)
}

func (v *visit) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := v.stage("data", v.to); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.letters = append(v.letters, letter{v.from, v.to, raw})
	return nil
}

func (v *visit) Reset()        {}
func (v *visit) Logout() error { return nil }

// took are the recipients of what the server took, in order.
func (p *post) took() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var to []string
	for _, l := range p.letters {
		to = append(to, l.to)
	}
	return strings.Join(to, " ")
}

// mailTo is a configuration that reaches p.
func mailTo(p *post, mode string, to ...string) MailConfig {
	c := MailConfig{Smarthost: p.addr, From: "Watchbill <watch@acme.example>", To: to, TLS: mode, Hello: "collector.test"}
	if mode != NoTLS {
		c.TLSConfig = &promconfig.TLSConfig{CAFile: p.caFile}
	}
	return c
}

func mailer(t *testing.T, c MailConfig) *Mail {
	t.Helper()
	m, err := NewMail("ops", c, Options{Now: func() time.Time { return noon.Add(12 * time.Minute) }, Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// checked is a notice with what rules advise.
func checked() Notice {
	n := notice()
	n.Alerts[1].Annotations["first_checks"] = "df -h '/srv'\ndu -xh --max-depth=2 '/srv' | sort -h | tail -15\n\ndf -h '/srv'\n"
	return n
}

// TestMailGolden holds what a mail looks like, whole.
func TestMailGolden(t *testing.T) {
	p := newPost(t, NoTLS)
	m := message(t, checked())
	m.CreatedAt = noon
	if err := mailer(t, mailTo(p, NoTLS, "Ops on call <ops@acme.example>")).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if p.took() != "ops@acme.example" || p.letters[0].from != "watch@acme.example" {
		t.Fatalf("took %+v", p.letters)
	}
	got := bytes.ReplaceAll(p.letters[0].raw, []byte("\r\n"), []byte("\n"))
	const file = "testdata/mail.golden.eml"
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update when that is meant):\n%s", file, got)
	}
}

// TestMailToItsOwn: a notice that names recipients goes to them and not to the receiver's; a name that is no address is
// refused for good.
func TestMailToItsOwn(t *testing.T) {
	p := newPost(t, NoTLS)
	n := notice()
	n.To = []string{"Pat <pat@client.example>"}
	s := mailer(t, mailTo(p, NoTLS, "ops@acme.example"))
	if err := s.Send(t.Context(), message(t, n)); err != nil || p.took() != "pat@client.example" {
		t.Errorf("took %q, %v", p.took(), err)
	}
	n.To = []string{"Pat"}
	if err := s.Send(t.Context(), message(t, n)); !errors.Is(err, outbox.ErrRefused) {
		t.Errorf("to no address: %v", err)
	}
}

// TestMailThread: mails about one ticket are one thread under one subject, and a repeat is known as one.
func TestMailThread(t *testing.T) {
	p := newPost(t, NoTLS)
	s := mailer(t, mailTo(p, NoTLS, "ops@acme.example"))
	opened := message(t, notice())
	later := notice()
	later.What, later.Text, later.Ticket.State, later.Ticket.Priority, later.Ticket.Severity = "resolved", "it is over", "resolved", "P3", "info"
	resolved := message(t, later)
	resolved.ID = "m-8"
	other := notice()
	other.Ticket.ID, other.Ticket.Number = "77aa", "WB-1043"
	elsewhere := message(t, other)
	elsewhere.ID = "m-9"
	for _, m := range []outbox.Message{opened, opened, resolved, elsewhere} {
		if err := s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	var heads []mail.Header
	for _, l := range p.letters {
		m, err := mail.ReadMessage(bytes.NewReader(l.raw))
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, m.Header)
	}
	same := func(a, b int, name string, want bool) {
		t.Helper()
		if got := heads[a].Get(name) == heads[b].Get(name); got != want || heads[a].Get(name) == "" {
			t.Errorf("%s of mails %d and %d: %q and %q", name, a, b, heads[a].Get(name), heads[b].Get(name))
		}
	}
	same(0, 1, "Message-Id", true)
	same(0, 2, "Message-Id", false)
	for _, name := range []string{"Subject", "References", "In-Reply-To"} {
		same(0, 2, name, true)
		same(0, 3, name, false)
	}
	if heads[0].Get("Importance") == "" || heads[2].Get("Importance") != "" || heads[0].Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("importance %q and %q, auto-submitted %q", heads[0].Get("Importance"), heads[2].Get("Importance"), heads[0].Get("Auto-Submitted"))
	}
}

// TestMailTLS: what shall be encrypted is, or is not said at all.
func TestMailTLS(t *testing.T) {
	for name, c := range map[string]struct {
		offers, wants string
		change        func(*MailConfig)
		ok            bool
	}{
		"starttls":                   {StartTLS, StartTLS, nil, true},
		"implicit":                   {ImplicitTLS, ImplicitTLS, nil, true},
		"none":                       {NoTLS, NoTLS, nil, true},
		"starttls is not offered":    {NoTLS, StartTLS, nil, false},
		"implicit meets clear text":  {NoTLS, ImplicitTLS, nil, false},
		"an unknown authority":       {StartTLS, StartTLS, func(c *MailConfig) { c.TLSConfig = nil }, false},
		"implicit, an unknown one":   {ImplicitTLS, ImplicitTLS, func(c *MailConfig) { c.TLSConfig = nil }, false},
		"another server's name":      {StartTLS, StartTLS, func(c *MailConfig) { c.TLSConfig.ServerName = "evil.test" }, false},
		"a user name under starttls": {StartTLS, StartTLS, func(c *MailConfig) { c.Username, c.Password = "u", "p" }, true},
		"a user name under implicit": {ImplicitTLS, ImplicitTLS, func(c *MailConfig) { c.Username, c.Password = "u", "p" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPost(t, c.offers)
			config := mailTo(p, c.wants, "ops@acme.example")
			config.Timeout = model.Duration(2 * time.Second)
			if c.change != nil {
				c.change(&config)
			}
			p.user, p.password = config.Username, string(config.Password)
			err := mailer(t, config).Send(t.Context(), message(t, notice()))
			if (err == nil) != c.ok || errors.Is(err, outbox.ErrRefused) {
				t.Errorf("got %v", err)
			}
			if (p.took() != "") != c.ok {
				t.Errorf("took mail to %q", p.took())
			}
			if err != nil && (!strings.Contains(err.Error(), p.addr) || !strings.Contains(err.Error(), "check smarthost")) {
				t.Errorf("%q does not say where and what to do", err)
			}
		})
	}
}

func TestMailLogIn(t *testing.T) {
	p := newPost(t, StartTLS)
	p.user, p.password = "watch", "right"
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := mailTo(p, StartTLS, "ops@acme.example")
	c.Username, c.PasswordFile = "watch", file
	s := mailer(t, c)
	for _, step := range []struct {
		content string
		ok      bool
		says    string
	}{{"wrong\n", false, "535"}, {"", false, "is empty"}, {"right\n", true, ""}, {strings.Repeat("x", 5000), false, "longer than"}} {
		write(step.content)
		err := s.Send(t.Context(), message(t, notice()))
		if (err == nil) != step.ok || err != nil && !strings.Contains(err.Error(), step.says) || errors.Is(err, outbox.ErrRefused) {
			t.Errorf("with %q: %v", step.content[:min(9, len(step.content))], err)
		}
		if err != nil && strings.Contains(err.Error(), "wrong") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
	// A server that wants a log-in, and a configuration without: that is to be mended, and no mail is lost for it.
	c.Username, c.PasswordFile = "", ""
	if err := mailer(t, c).Send(t.Context(), message(t, notice())); err == nil || errors.Is(err, outbox.ErrRefused) {
		t.Errorf("without a log-in: %v", err)
	}
}

// TestMailAnswers: which answers are for good.
func TestMailAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		stage   string
		code    int
		refused bool
	}{
		"no such mailbox": {"rcpt", 550, true}, "relaying denied": {"rcpt", 554, true}, "greylisted": {"rcpt", 451, false},
		"mailbox full": {"rcpt", 552, false}, "busy": {"mail", 421, false}, "sender refused": {"mail", 550, true},
		"log in first": {"mail", 530, false}, "content refused": {"data", 554, true}, "out of space": {"data", 452, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPost(t, NoTLS)
			p.answer = func(stage, _ string) error {
				if stage == c.stage {
					return &smtp.SMTPError{Code: c.code, EnhancedCode: smtp.EnhancedCode{c.code / 100, 0, 0}, Message: "because\x1b[2J of that"}
				}
				return nil
			}
			err := mailer(t, mailTo(p, NoTLS, "ops@acme.example")).Send(t.Context(), message(t, notice()))
			if err == nil || errors.Is(err, outbox.ErrRefused) != c.refused {
				t.Errorf("%v, want refused: %v", err, c.refused)
			}
			if !strings.Contains(err.Error(), "of that") || strings.ContainsAny(err.Error(), "\x1b\n\r") {
				t.Errorf("%q does not tell the answer in one tame line", err)
			}
			if p.took() != "" {
				t.Errorf("took %q", p.took())
			}
		})
	}
}

// TestMailToSeveral: one bad address holds nobody up, and nobody gets a mail twice for another's sake.
func TestMailToSeveral(t *testing.T) {
	p := newPost(t, NoTLS)
	full := true
	p.answer = func(stage, rcpt string) error {
		switch {
		case stage == "rcpt" && rcpt == "gone@acme.example":
			return &smtp.SMTPError{Code: 550, Message: "no such user"}
		case stage == "rcpt" && rcpt == "busy@acme.example" && full:
			return &smtp.SMTPError{Code: 450, Message: "busy"}
		}
		return nil
	}
	s := mailer(t, mailTo(p, NoTLS, "gone@acme.example", "busy@acme.example", "ops@acme.example"))
	m := message(t, notice())
	if err := s.Send(t.Context(), m); err == nil || errors.Is(err, outbox.ErrRefused) || !strings.Contains(err.Error(), "busy") {
		t.Errorf("first attempt: %v, want a retry", err)
	}
	if got := p.took(); got != "ops@acme.example" {
		t.Errorf("first attempt went to %q", got)
	}
	full = false
	err := s.Send(t.Context(), m)
	if !errors.Is(err, outbox.ErrRefused) || !strings.Contains(err.Error(), "gone@acme.example was refused") ||
		!strings.Contains(err.Error(), "other 2 of 3") {
		t.Errorf("second attempt: %v", err)
	}
	if got := p.took(); got != "ops@acme.example busy@acme.example" {
		t.Errorf("after the second attempt: %q", got)
	}
	if len(s.taken) != 0 || len(s.order) != 0 {
		t.Errorf("remembered for ever: %v", s.taken)
	}
	for i := range maxRemembered + 5 {
		s.remember(string(rune('a'+i)), "x")
	}
	if len(s.taken) != maxRemembered || len(s.order) != maxRemembered {
		t.Errorf("%d messages are remembered", len(s.taken))
	}
}

// TestMailHanging: a server that says nothing is left when the time is over.
func TestMailHanging(t *testing.T) {
	for _, mode := range []string{NoTLS, StartTLS, ImplicitTLS} {
		t.Run(mode, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				if c, err := l.Accept(); err == nil {
					_, _ = io.Copy(io.Discard, c) // until the other side hangs up
					_ = c.Close()
				}
			}()
			c := MailConfig{Smarthost: l.Addr().String(), From: "a@b.example", To: []string{"c@d.example"}, TLS: mode}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := mailer(t, c).Send(ctx, message(t, notice())); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, outbox.ErrRefused) {
				t.Errorf("got %v", err)
			}
			<-ended
			_ = l.Close()
		})
	}
}

func TestMailNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	s := mailer(t, MailConfig{Smarthost: l.Addr().String(), From: "a@b.example", To: []string{"c@d.example"}})
	if err := s.Send(t.Context(), message(t, notice())); err == nil || errors.Is(err, outbox.ErrRefused) || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v", err)
	}
	if err := s.Send(t.Context(), outbox.Message{ID: "x", Body: []byte("[]")}); !errors.Is(err, outbox.ErrRefused) {
		t.Errorf("a body that is no notice: %v", err)
	}
}

func TestMailFaults(t *testing.T) {
	for name, c := range map[string]struct {
		config MailConfig
		says   []string
	}{
		"nothing": {MailConfig{}, []string{"smarthost:", "from:", "to: names nobody"}},
		"everything": {MailConfig{Smarthost: "mail:99999", From: "a@b, c@d", To: []string{"x", "ok@a.example"}, TLS: "ssl", Password: "geheim",
			PasswordFile: "f", Timeout: -1}, []string{"smarthost: port", "from:", "to[0]:", "tls:", "password, password_file", "timeout:"}},
		"a password in the clear": {MailConfig{Smarthost: "m:25", From: "a@b.example", To: []string{"c@d.example"}, TLS: NoTLS,
			Username: "u", Password: "geheim", TLSConfig: &promconfig.TLSConfig{}}, []string{"in the clear", "tls_config:"}},
		"no password": {MailConfig{Smarthost: "m:25", From: "a@b.example", To: []string{"c@d.example"}, Username: "u"}, []string{"needs password"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := Validate([]Receiver{{Name: "ops", Mail: &c.config}})
			for _, want := range c.says {
				if err == nil || !strings.Contains(err.Error(), `receivers["ops"].mail.`+want) && !strings.Contains(err.Error(), want) {
					t.Errorf("lacks %q in:\n%v", want, err)
				}
			}
			if err != nil && strings.Contains(err.Error(), "geheim") {
				t.Errorf("a fault repeats a secret: %v", err)
			}
		})
	}
	both := Receiver{Name: "x", Mail: &MailConfig{}, Webhook: &WebhookConfig{}}
	if err := Validate([]Receiver{both}); err == nil || !strings.Contains(err.Error(), "make two receivers") {
		t.Errorf("both kinds: %v", err)
	}
	good := MailConfig{Smarthost: "mail.example:465", From: "a@b.example", To: []string{"c@d.example"}}
	senders, err := New([]Receiver{{Name: "ops", Mail: &good}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s := senders["ops"].(*Mail); s.config.TLS != ImplicitTLS || s.tls.ServerName != "mail.example" || s.config.Timeout == 0 {
		t.Errorf("defaults: %+v", s.config)
	}
}

// FuzzMail: whatever a server writes into labels, titles and texts, a mail has just the header fields it should have, its
// text begins no line, hides nothing and holds no link.
func FuzzMail(f *testing.F) {
	f.Add("x\r\nBcc: all@acme.example\r\n\r\nhello", "\x1b[2J", "m-1")
	f.Add("\u202egnp.exe http://evil.example/", "a\x00b\u2028c", "=?utf-8?q?=0d=0aBcc:_x?=")
	f.Add(strings.Repeat("lang ", 400), ".\r\n.\r\nQUIT", "\r\n")
	s, err := NewMail("ops", MailConfig{Smarthost: "m:25", From: "Watchbill <watch@acme.example>", To: []string{"ops@acme.example"}}, Options{})
	if err != nil {
		f.Fatal(err)
	}
	want := "Auto-Submitted Content-Transfer-Encoding Content-Type Date From Importance In-Reply-To Message-Id Mime-Version Priority " +
		"References Subject To User-Agent X-Msmail-Priority X-Priority X-Watchbill-Ticket X-Watchbill-What"
	f.Fuzz(func(t *testing.T, a, b, id string) {
		n := Notice{What: b, Text: a, At: noon, Ticket: Ticket{ID: id, Number: b, State: a, Severity: "critical", Priority: b, Customer: a,
			Site: b, Asset: a, Service: b, Title: a, Owner: b, OpenedAt: noon}, Alerts: []Alert{{StartsAt: noon,
			Labels: map[string]string{"alertname": a}, Annotations: map[string]string{"summary": b, "first_checks": a + "\n" + b}}}}
		l, err := s.letter(outbox.Message{ID: id, CreatedAt: noon}, n, s.to[0])
		if err != nil {
			t.Fatal(err)
		}
		var raw bytes.Buffer
		if _, err := l.WriteTo(&raw); err != nil {
			t.Fatal(err)
		}
		checkMail(t, raw.Bytes(), want, n)
	})
}
