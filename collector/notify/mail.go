package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	gomail "github.com/wneessen/go-mail"

	"github.com/watchbill/watchbill/collector/outbox"
)

// The ways a mail server is spoken to.
const (
	// StartTLS begins in the clear and insists on TLS before anything else is said (RFC 3207): usual on port 587.
	StartTLS = "starttls"
	// ImplicitTLS begins with TLS (RFC 8314): usual on port 465.
	ImplicitTLS = "implicit"
	// NoTLS stays in the clear: for a relay on this very host.
	NoTLS = "none"
)

// MailConfig says where mail goes. The zero value of everything but Smarthost, From and To is a default.
type MailConfig struct {
	// Smarthost is host:port of the server that takes mail.
	Smarthost string `yaml:"smarthost"`
	// From is the sender, as "Watchbill <watch@example.org>"; its domain stands in Message-ID.
	From string `yaml:"from"`
	// To are the recipients; each gets a mail of their own.
	To []string `yaml:"to"`
	// TLS is starttls, implicit or none; implicit by default on port 465 and starttls elsewhere.
	TLS string `yaml:"tls,omitempty"`
	// TLSConfig is Prometheus' own: ca_file, cert_file, key_file, server_name, min_version …
	TLSConfig *promconfig.TLSConfig `yaml:"tls_config,omitempty"`
	// Username and Password log in; or PasswordFile, whose content (without the last line break) is read for every mail.
	Username     string            `yaml:"username,omitempty"`
	Password     promconfig.Secret `yaml:"password,omitempty"`
	PasswordFile string            `yaml:"password_file,omitempty"`
	// Hello is what this host calls itself; its name by default.
	Hello string `yaml:"hello,omitempty"`
	// Timeout bounds one notice to all its recipients; 20 s by default.
	Timeout model.Duration `yaml:"timeout,omitempty"`
}

// withDefaults fills in what was left out.
func (c MailConfig) withDefaults() MailConfig {
	if c.TLS == "" {
		c.TLS = StartTLS
		if strings.HasSuffix(c.Smarthost, ":465") {
			c.TLS = ImplicitTLS
		}
	}
	c.Timeout = cmp.Or(c.Timeout, model.Duration(20*time.Second))
	return c
}

// Validate names every fault at once. It opens no file.
func (c MailConfig) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	c = c.withDefaults()
	if host, port, err := net.SplitHostPort(c.Smarthost); err != nil || host == "" || port == "" {
		fault("smarthost: want host:port such as mail.example.org:587, got %q", c.Smarthost)
	} else if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		fault("smarthost: port %q is no number from 1 to 65535", port)
	}
	if _, err := mail.ParseAddress(c.From); err != nil {
		fault("from: want one address such as Watchbill <watch@example.org>, got %q", c.From)
	}
	if len(c.To) == 0 {
		fault("to: names nobody")
	}
	for i, to := range c.To {
		if _, err := mail.ParseAddress(to); err != nil {
			fault("to[%d]: want an address such as ops@example.org, got %q", i, to)
		}
	}
	c.validateTrust(fault)
	if c.Timeout < 0 {
		fault("timeout: must be positive, got %v", c.Timeout)
	}
	return errors.Join(errs...)
}

// validateTrust checks encryption and login.
func (c MailConfig) validateTrust(fault func(format string, args ...any)) {
	switch c.TLS {
	case StartTLS, ImplicitTLS:
	case NoTLS:
		if c.Username != "" {
			fault("tls: must not be none with a username: the password would travel in the clear")
		}
		if c.TLSConfig != nil {
			fault("tls_config: says how to encrypt, and tls is none; leave one of them out")
		}
	default:
		fault("tls: want starttls, implicit or none, got %q", c.TLS)
	}
	hasPassword := c.Password != "" || c.PasswordFile != ""
	switch {
	case c.Password != "" && c.PasswordFile != "":
		fault("password, password_file: set one of them, not both")
	case c.Username != "" && !hasPassword:
		fault("username: needs password or password_file")
	case c.Username == "" && hasPassword:
		fault("username: must not be empty when there is a password")
	}
	if c.TLSConfig != nil {
		if err := c.TLSConfig.Validate(); err != nil {
			fault("tls_config: %w", err)
		}
	}
}

// maxRemembered bounds the messages of which it is remembered who has them already.
const maxRemembered = 1000

// Mail sends notices as plain text. All about one ticket stand in one thread, and a repeat carries the Message-ID of the
// first, so that mail programs show it once. README.md shows one.
type Mail struct {
	name    string
	config  MailConfig
	options Options
	from    *mail.Address
	to      []*mail.Address
	tls     *tls.Config

	mu sync.Mutex
	// taken are the recipients who have a message that others still wait for, by its ID; order is the oldest first.
	taken map[string]map[string]bool
	order []string
}

func (c *MailConfig) setDirectory(dir string) {
	c.PasswordFile = promconfig.JoinDir(dir, c.PasswordFile)
	c.TLSConfig.SetDirectory(dir)
}

func (c *MailConfig) sender(name string, o Options) (outbox.Sender, error) {
	return NewMail(name, *c, o)
}

// NewMail makes the sender of the receiver called name. It reads the certificates that c names.
func NewMail(name string, c MailConfig, o Options) (*Mail, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("mail %s: %w", name, err)
	}
	s := &Mail{name: name, config: c.withDefaults(), options: o.withDefaults(), taken: map[string]map[string]bool{}}
	var err error
	if s.from, err = mail.ParseAddress(c.From); err != nil {
		return nil, fmt.Errorf("mail %s: from: %w", name, err)
	}
	for _, to := range c.To {
		a, err := mail.ParseAddress(to)
		if err != nil {
			return nil, fmt.Errorf("mail %s: to: %w", name, err)
		}
		s.to = append(s.to, a)
	}
	config := promconfig.TLSConfig{}
	if c.TLSConfig != nil {
		config = *c.TLSConfig
	}
	if s.tls, err = promconfig.NewTLSConfig(&config); err != nil {
		return nil, fmt.Errorf("mail %s: tls_config: %w", name, err)
	}
	if s.tls.ServerName == "" {
		s.tls.ServerName, _, _ = net.SplitHostPort(c.Smarthost)
	}
	if s.tls.MinVersion == 0 {
		s.tls.MinVersion = tls.VersionTLS12
	}
	return s, nil
}

// Send mails the notice to every recipient (its own where it names some) who does not have it yet. nil means that the server took all of them. When it
// refuses some for good, the others get theirs, and the message is buried with the names of those who did not.
func (s *Mail) Send(ctx context.Context, m outbox.Message) error {
	n, err := decode(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.config.Timeout))
	defer cancel()
	all, err := s.recipients(n)
	if err != nil {
		return err
	}
	var pending []*mail.Address
	for _, to := range all {
		if !s.has(m.ID, to.Address) {
			pending = append(pending, to)
		}
	}
	if len(pending) == 0 { // sent again by hand
		s.forget(m.ID)
		pending = all
	}
	refused, later := s.deliver(ctx, m, n, pending)
	switch {
	case later != nil: // those who were refused are tried again with the others
		return later
	case refused != nil:
		s.forget(m.ID)
		return fmt.Errorf("%w: %w; the other %d of %d recipients have it", outbox.ErrRefused, refused,
			len(all)-refusals(refused), len(all))
	}
	s.forget(m.ID)
	return nil
}

// recipients are those that a notice names, or else the receiver's own. The error wraps outbox.ErrRefused.
func (s *Mail) recipients(n Notice) ([]*mail.Address, error) {
	if len(n.To) == 0 {
		return s.to, nil
	}
	var out []*mail.Address
	for _, to := range n.To {
		a, err := mail.ParseAddress(to)
		if err != nil {
			return nil, fmt.Errorf("%w: %q is no address to send mail to: %w", outbox.ErrRefused, to, err)
		}
		out = append(out, a)
	}
	return out, nil
}

// deliver makes one connection and sends to each in turn. refused joins the recipients that were refused for good; later
// is the first failure that a later attempt may not meet.
func (s *Mail) deliver(ctx context.Context, m outbox.Message, n Notice, to []*mail.Address) (refused, later error) {
	line := &line{}
	defer line.hangUp()
	defer context.AfterFunc(ctx, line.hangUp)()
	client, err := s.client(line)
	if err != nil {
		return nil, err
	}
	if err := client.DialWithContext(ctx); err != nil {
		return nil, s.greeting(ctx, err)
	}
	defer func() { _ = client.Close() }() // QUIT is a courtesy
	var errs []error
	for _, a := range to {
		letter, err := s.letter(m, n, a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		err = client.Send(letter)
		if err == nil || letter.IsDelivered() { // what fails after the server took it is no failure
			s.remember(m.ID, a.Address)
			continue
		}
		err = judgeMail(s.config.Smarthost, a.Address, err)
		if !errors.Is(err, outbox.ErrRefused) {
			if later == nil {
				later = err
			}
			continue
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...), later
}

// line is the connection of one delivery. It ends when that does, whatever the library does with it.
type line struct {
	mu     sync.Mutex
	conn   net.Conn
	closed bool
}

func (l *line) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.conn != nil {
		_ = l.conn.Close()
	}
}

// dial connects, unless the delivery has ended meanwhile.
func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	l.conn = conn
	return conn, nil
}

// client prepares the library for one delivery over a line.
func (s *Mail) client(l *line) (*gomail.Client, error) {
	password, err := secretOf("mail "+s.name, "password_file", s.config.Password, s.config.PasswordFile)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(s.config.Smarthost)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	options := []gomail.Option{gomail.WithPort(number), gomail.WithTLSConfig(s.tls.Clone()), gomail.WithHELO(s.hello()),
		gomail.WithTimeout(time.Duration(s.config.Timeout)), gomail.WithoutNoop()}
	switch s.config.TLS {
	case ImplicitTLS:
		// TLS is there from the start and nothing is left to begin: this lets the library see that.
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic), gomail.WithDialContextFunc(
			func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := l.dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return tls.Client(conn, s.tls), nil
			}))
	case StartTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithDialContextFunc(l.dial))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS), gomail.WithDialContextFunc(l.dial))
	}
	if s.config.Username != "" {
		options = append(options, gomail.WithUsername(s.config.Username), gomail.WithPassword(string(password)),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthCramMD5))
	}
	client, err := gomail.NewClient(host, options...)
	if err != nil {
		return nil, fmt.Errorf("mail %s: %w", s.name, err)
	}
	return client, nil
}

// hello is what this host calls itself.
func (s *Mail) hello() string {
	if s.config.Hello != "" {
		return s.config.Hello
	}
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "localhost"
}

// has tells whether a recipient has a message already.
func (s *Mail) has(id, to string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken[id][to]
}

// remember notes that a recipient has a message, so that a retry for the others does not repeat it. A restart forgets:
// then it is delivered twice with one Message-ID.
func (s *Mail) remember(id, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[id] == nil {
		if len(s.order) >= maxRemembered {
			delete(s.taken, s.order[0])
			s.order = s.order[1:]
		}
		s.taken[id] = map[string]bool{}
		s.order = append(s.order, id)
	}
	s.taken[id][to] = true
}

func (s *Mail) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[id] == nil {
		return
	}
	delete(s.taken, id)
	for i, o := range s.order {
		if o == id {
			s.order = append(s.order[:i], s.order[i+1:]...)
			return
		}
	}
}
