package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/outbox"
)

// SlackConfig says where a Slack incoming webhook is, or one of another chat that takes the same.
type SlackConfig struct {
	HookConfig `yaml:",inline"`
}

func (c *SlackConfig) sender(name string, o Options) (outbox.Sender, error) {
	return NewSlack(name, *c, o)
}

// Slack writes notices into a channel by an incoming webhook. Slack knows no key for repeats: a message whose answer was lost
// is there twice, with the same ID at its end.
type Slack struct{ hook }

// NewSlack makes the sender of the receiver called name. It reads the address and the certificates that c names.
func NewSlack(name string, c SlackConfig, o Options) (*Slack, error) {
	h, err := newHook("slack "+name, c.HookConfig, o)
	if err != nil {
		return nil, err
	}
	return &Slack{h}, nil
}

// Send writes one message. nil means that the channel has it.
func (s *Slack) Send(ctx context.Context, m outbox.Message) error {
	n, err := decode(m)
	if err != nil {
		return err
	}
	body, err := json.Marshal(slackOf(m, n, s.options.Now()))
	if err != nil {
		return fmt.Errorf("%w: render message %s: %w", outbox.ErrRefused, m.ID, err)
	}
	return s.say(ctx, body, judge)
}

// Bounds of a block, in characters (https://docs.slack.dev/reference/block-kit/blocks), with room for the escapes.
const (
	slackHeader = 120
	slackField  = 400
	slackText   = 2500
)

// slackMessage is what an incoming webhook takes (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).
type slackMessage struct {
	// Text is for what shows no blocks: lists of channels, the pop-up on a telephone.
	Text   string       `json:"text"`
	Blocks []slackBlock `json:"blocks"`
	// UnfurlLinks and UnfurlMedia false: Slack fetches nothing that a text names.
	UnfurlLinks bool `json:"unfurl_links"`
	UnfurlMedia bool `json:"unfurl_media"`
}

type slackBlock struct {
	Type     string        `json:"type"`
	Text     *slackObject  `json:"text,omitempty"`
	Fields   []slackObject `json:"fields,omitempty"`
	Elements []slackObject `json:"elements,omitempty"`
}

type slackObject struct {
	Type  string `json:"type"`
	Text  string `json:"text"`
	Emoji *bool  `json:"emoji,omitempty"`
	// Verbatim: Slack makes no links, mentions and channels of what merely looks like one.
	Verbatim bool `json:"verbatim,omitempty"`
}

// slackOf is a message about a notice. Text from servers is plain text, in which Slack looks for no markup; only the ticket's
// own link is markup.
func slackOf(m outbox.Message, n Notice, now time.Time) slackMessage {
	t := chatOf(n, now)
	var blocks []slackBlock
	text := func(kind, s string, most int) {
		if s = bounded(s, most); strings.TrimSpace(s) != "" {
			blocks = append(blocks, slackBlock{Type: kind, Text: new(slackPlain(s))})
		}
	}
	text("header", t.subject, slackHeader)
	text("section", t.text, slackText)
	if len(t.facts) > 0 {
		b := slackBlock{Type: "section"}
		for _, f := range t.facts {
			b.Fields = append(b.Fields, slackPlain(bounded(f.name+": "+f.value, slackField)))
		}
		blocks = append(blocks, b)
	}
	for _, l := range t.lists {
		text("section", strings.Join(append([]string{l.title}, l.lines...), "\n"), slackText)
	}
	if link := slackLink(t.url); link != "" {
		blocks = append(blocks, slackBlock{Type: "section", Text: &slackObject{
			Type: "mrkdwn", Text: "<" + link + "|Open " + slackEscape(t.number) + ">", Verbatim: true,
		}})
	}
	blocks = append(blocks, slackBlock{Type: "context", Elements: []slackObject{slackPlain("message " + tame(m.ID, 100))}})
	return slackMessage{Text: slackEscape(bounded(t.subject+" – "+oneLine(t.text, maxLine), slackField)), Blocks: blocks}
}

func slackPlain(s string) slackObject {
	return slackObject{Type: "plain_text", Text: slackEscape(s), Emoji: new(bool)}
}

// slackEscape is text in which Slack finds no mention, channel or link
// (https://docs.slack.dev/messaging/formatting-message-text#escaping).
func slackEscape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// slackLink is an address as it may stand in a link's markup; empty when it is not one of the web.
func slackLink(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return slackEscape(strings.NewReplacer("|", "%7C", "<", "%3C", ">", "%3E").Replace(u.String()))
}
