package notify

import (
	"context"
	"errors"
	"fmt"

	gomail "github.com/wneessen/go-mail"

	"github.com/watchbill/watchbill/collector/outbox"
)

// greeting explains why no mail could be begun at all: nobody listens, TLS fails, the log-in is refused. Whatever the
// server says, a later attempt may succeed when somebody has mended the server or the configuration: no mail is lost for
// a wrong password.
func (s *Mail) greeting(ctx context.Context, err error) error {
	where := fmt.Sprintf("mail server %s (tls: %s)", s.config.Smarthost, s.config.TLS)
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w: it did not take the mail within %v", where, ctx.Err(), s.config.Timeout)
	}
	return fmt.Errorf("%s: %s: %w", where, shown([]byte(err.Error())), errNoMail)
}

// errNoMail marks that no mail could be begun.
var errNoMail = errors.New("no mail could be sent; check smarthost, tls, username and password")

// refusedRecipient is one recipient that the server refused for good.
type refusedRecipient struct {
	to, why string
}

func (e *refusedRecipient) Error() string { return fmt.Sprintf("%s was refused: %s", e.to, e.why) }

// Unwrap makes it an outbox.ErrRefused.
func (e *refusedRecipient) Unwrap() error { return outbox.ErrRefused }

// refusals counts the recipients in an error that errors.Join made.
func refusals(err error) int {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return len(many.Unwrap())
	}
	return 1
}

// judgeMail reads a server's answer to one mail (RFC 5321, 4.2.1): 5yz is for good, but for those that speak of us, not
// of the mail, and of a moment (RFC 4954, RFC 5321 4.5.3.1.10); 4yz and a broken line may not be met again.
func judgeMail(server, to string, err error) error {
	answer, ok := errors.AsType[*gomail.SendError](err)
	if !ok {
		return fmt.Errorf("mail server %s: %s", server, shown([]byte(err.Error())))
	}
	why := shown([]byte(answer.Error()))
	switch code := answer.ErrorCode(); {
	case code == 530, code == 534, code == 535, code == 538: // log in, or better
		return fmt.Errorf("mail server %s: %s: %w", server, why, errNoMail)
	case code == 552: // the mailbox is full
		return fmt.Errorf("mail server %s: mail to %s: %s", server, to, why)
	case code >= 500 && code < 600:
		return &refusedRecipient{to: to, why: why}
	}
	return fmt.Errorf("mail server %s: mail to %s: %s", server, to, why)
}
