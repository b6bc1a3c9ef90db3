package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/outbox"
)

// TeamsConfig says where a Microsoft Teams webhook is: of a workflow ("post to a channel when a webhook request is received"),
// or of an old connector.
type TeamsConfig struct {
	HookConfig `yaml:",inline"`
}

func (c *TeamsConfig) sender(name string, o Options) (outbox.Sender, error) {
	return NewTeams(name, *c, o)
}

// Teams writes notices into a channel as Adaptive Cards. Teams knows no key for repeats: a card whose answer was lost is there
// twice, with the same ID at its end.
type Teams struct{ hook }

// NewTeams makes the sender of the receiver called name. It reads the address and the certificates that c names.
func NewTeams(name string, c TeamsConfig, o Options) (*Teams, error) {
	h, err := newHook("teams "+name, c.HookConfig, o)
	if err != nil {
		return nil, err
	}
	return &Teams{h}, nil
}

// Send writes one card. nil means that Teams took it.
func (s *Teams) Send(ctx context.Context, m outbox.Message) error {
	n, err := decode(m)
	if err != nil {
		return err
	}
	body, err := teamsBody(m, n, s.options.Now())
	if err != nil {
		return fmt.Errorf("%w: render message %s: %w", outbox.ErrRefused, m.ID, err)
	}
	return s.say(ctx, body, judgeTeams)
}

// maxTeams is how large a message may be, in bytes
// (https://learn.microsoft.com/microsoftteams/platform/bots/how-to/format-your-bot-messages: 28 KB).
const maxTeams = 28 * 1024

// teamsMessage is what a workflow's webhook takes
// (https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using).
type teamsMessage struct {
	Type        string            `json:"type"`
	Attachments []teamsAttachment `json:"attachments"`
}

type teamsAttachment struct {
	ContentType string    `json:"contentType"`
	ContentURL  *string   `json:"contentUrl"`
	Content     teamsCard `json:"content"`
}

// teamsCard is an Adaptive Card (https://adaptivecards.io/explorer).
type teamsCard struct {
	Schema  string            `json:"$schema"`
	Type    string            `json:"type"`
	Version string            `json:"version"`
	MSTeams map[string]string `json:"msteams"`
	Body    []teamsBlock      `json:"body"`
	Actions []teamsAction     `json:"actions,omitempty"`
}

// teamsBlock is a RichTextBlock: unlike those of a TextBlock its texts are no Markdown.
type teamsBlock struct {
	Type      string     `json:"type"`
	Separator bool       `json:"separator,omitempty"`
	Inlines   []teamsRun `json:"inlines"`
}

type teamsRun struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Size     string `json:"size,omitempty"`
	Weight   string `json:"weight,omitempty"`
	IsSubtle bool   `json:"isSubtle,omitempty"`
}

type teamsAction struct {
	Type  string `json:"type"`
	Title string `json:"title"`
	URL   string `json:"url"`
}

// teamsBody is a card about a notice that is not too large for Teams: what has to be left out for that it tells.
func teamsBody(m outbox.Message, n Notice, now time.Time) ([]byte, error) {
	c := chatOf(n, now)
	for cut := 0; ; cut++ {
		body, err := json.Marshal(teamsOf(m, c, cut))
		if err != nil || len(body) <= maxTeams {
			return body, err
		}
		if !c.shorten() {
			return nil, fmt.Errorf("the card is %d bytes, and Teams takes %d", len(body), maxTeams)
		}
	}
}

// shorten leaves something out: the last line of the longest list, and then the end of the text; false when nothing is left.
func (c *chat) shorten() bool {
	longest := -1
	for i, l := range c.lists {
		if len(l.lines) > 0 && (longest < 0 || len(l.lines) >= len(c.lists[longest].lines)) {
			longest = i
		}
	}
	if longest >= 0 {
		l := &c.lists[longest]
		l.lines = l.lines[:len(l.lines)-1]
		return true
	}
	runes := []rune(c.text)
	c.text = string(runes[:len(runes)*3/4])
	return len(runes) > 0
}

// teamsOf is the card, with word of how much was left out.
func teamsOf(m outbox.Message, c chat, cut int) teamsMessage {
	var body []teamsBlock
	block := func(separator bool, runs ...teamsRun) {
		body = append(body, teamsBlock{Type: "RichTextBlock", Separator: separator, Inlines: runs})
	}
	run := func(s string) teamsRun { return teamsRun{Type: "TextRun", Text: teamsTame(s)} }
	bold := func(s string) teamsRun { r := run(s); r.Weight = "Bolder"; return r }
	head := bold(c.subject)
	head.Size = "Medium"
	block(false, head)
	for line := range strings.SplitSeq(c.text, "\n") {
		block(false, run(line))
	}
	for _, f := range c.facts {
		block(false, bold(f.name+": "), run(f.value))
	}
	for _, l := range c.lists {
		block(true, bold(l.title))
		for _, line := range l.lines {
			block(false, run(line))
		}
	}
	if cut > 0 {
		block(true, bold("This card is not all: it was too large. The ticket has the rest."))
	}
	id := run("message " + tame(m.ID, 100))
	id.IsSubtle, id.Size = true, "Small"
	block(true, id)
	card := teamsCard{Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard", Version: "1.4",
		MSTeams: map[string]string{"width": "Full"}, Body: body}
	if webLink(c.url) {
		card.Actions = []teamsAction{{"Action.OpenUrl", "Open " + teamsTame(c.number), c.url}}
	}
	return teamsMessage{"message", []teamsAttachment{{ContentType: "application/vnd.microsoft.card.adaptive", Content: card}}}
}

// teamsTame is text that stays text even where a client reads it as Markdown, as a mention or as a template's expression.
func teamsTame(s string) string {
	return strings.NewReplacer("](", "] (", "<", "‹", ">", "›", "{", " {", "`", "'", "*", "∗").Replace(s)
}

// teamsError is how an old connector says in a 200 that Teams did not take the card.
var teamsError = regexp.MustCompile(`HTTP error (\d{3})`)

// judgeTeams is judge, but that a 200 of an old connector is good only with the text 1: it tells of failures in the text. A
// workflow answers 202 and says nothing, or JSON of its own.
func judgeTeams(resp *http.Response, now time.Time) error {
	if resp.StatusCode != http.StatusOK {
		return judge(resp, now)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	text := strings.TrimSpace(string(b))
	if text == "" || text == "1" || json.Valid([]byte(text)) {
		return nil
	}
	err := fmt.Errorf("it answered 200 OK, but with: %s", shown(b))
	if found := teamsError.FindStringSubmatch(text); found != nil {
		if code, _ := strconv.Atoi(found[1]); final(code) {
			return fmt.Errorf("%w: %w", outbox.ErrRefused, err)
		}
	}
	return err
}
