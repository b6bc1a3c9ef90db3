package policy

import (
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/ticket"
)

// OpenStep is a ticket that a person opens.
type OpenStep struct {
	// As is what the scenario calls the ticket.
	As       string            `yaml:"as"`
	By       string            `yaml:"by"`
	Roles    []string          `yaml:"roles"`
	Kind     string            `yaml:"kind"`
	Type     string            `yaml:"type"`
	Channel  string            `yaml:"channel"`
	Customer string            `yaml:"customer"`
	Site     string            `yaml:"site"`
	Asset    string            `yaml:"asset"`
	Service  string            `yaml:"service"`
	System   string            `yaml:"system"`
	Title    string            `yaml:"title"`
	Received string            `yaml:"received"`
	Facts    map[string]string `yaml:"facts"`
	Record   RecordStep        `yaml:"record"`
	Parent   string            `yaml:"parent"`
	Relation string            `yaml:"relation"`
}

// AlertStep is an alert that fires or ends.
type AlertStep struct {
	As       string `yaml:"as"`
	Name     string `yaml:"name"`
	Type     string `yaml:"type"`
	Severity string `yaml:"severity"`
	Service  string `yaml:"service"`
	System   string `yaml:"system"`
	Customer string `yaml:"customer"`
	Site     string `yaml:"site"`
	Asset    string `yaml:"asset"`
	Summary  string `yaml:"summary"`
	Expr     string `yaml:"expr"`
	Fired    string `yaml:"fired"`
	// Source is who says so, a rule by default; watchbill for silence.
	Source string     `yaml:"source"`
	How    string     `yaml:"how"`
	Record RecordStep `yaml:"record"`
}

// RecordStep is evidence by part of the record; a text that begins with "none" says why there is none.
type RecordStep map[ticket.Part]string

func (r RecordStep) Evidence(source string, at time.Time) []ticket.Evidence {
	var out []ticket.Evidence
	for _, p := range ticket.Parts {
		text, has := r[p]
		switch {
		case !has:
		case strings.HasPrefix(text, "none"):
			out = append(out, ticket.Evidence{Part: p, None: text})
		default:
			out = append(out, ticket.Evidence{Part: p, Entries: []ticket.Entry{{Text: text, Source: source, At: at}}})
		}
	}
	return out
}

// DoStep is what somebody does to a ticket.
type DoStep struct {
	Ticket     string            `yaml:"ticket"`
	Verb       ticket.Verb       `yaml:"verb"`
	By         string            `yaml:"by"`
	Actor      ticket.ActorKind  `yaml:"actor"`
	Roles      []string          `yaml:"roles"`
	Department string            `yaml:"department"`
	Customer   string            `yaml:"customer"`
	Text       string            `yaml:"text"`
	As         string            `yaml:"as"`
	Date       string            `yaml:"date"`
	Until      string            `yaml:"until"`
	To         string            `yaml:"to"`
	What       string            `yaml:"what"`
	Facts      map[string]string `yaml:"facts"`
	Quote      *QuoteStep        `yaml:"quote"`
	Score      int               `yaml:"score"`
	Other      string            `yaml:"other"`
	Relation   string            `yaml:"relation"`
	Record     RecordStep        `yaml:"record"`
	BreakGlass string            `yaml:"break_glass"`
}

type QuoteStep struct {
	Price      string `yaml:"price"`
	Exceptions string `yaml:"exceptions"`
	Terms      string `yaml:"terms"`
	ETA        string `yaml:"eta"`
}
