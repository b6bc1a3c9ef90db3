package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/user"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/incident"
)

// silence is one as Alertmanager's API has it.
type silence struct {
	ID        string             `json:"id,omitempty"`
	Matchers  []incident.Matcher `json:"matchers"`
	StartsAt  time.Time          `json:"startsAt"`
	EndsAt    time.Time          `json:"endsAt"`
	CreatedBy string             `json:"createdBy"`
	Comment   string             `json:"comment"`
	Status    *silenceStatus     `json:"status,omitempty"`
	Bound     *incident.Bound    `json:"bound,omitempty"`
}

type silenceStatus struct {
	State incident.MutingState `json:"state"`
}

func newSilenceCmd() *cobra.Command {
	cmd := group("silence", "Keep alerts of some labels from tickets for a while",
		`A silence keeps alerts from tickets until it ends: they are evaluated and listed all the same, and what still fires then opens
its ticket. Tickets that are open stay. "watchbill alert list" says which silence holds an alert's ticket back; amtool works as
well. What comes again and again is a window of the configuration: "watchbill maintenance list".`,
		`  watchbill silence add 'instance="web1"' --until 2h -m "new disks"
  watchbill silence list
  watchbill silence expire 5f1f9c1e-6a0e-4f0c-9d1b-1d7b1f4b6a11`)
	cmd.Aliases = []string{"silences"}
	c := connect(cmd)
	cmd.AddCommand(newSilenceListCmd(c), newSilenceAddCmd(c), &cobra.Command{
		Use: "expire ID", Short: "End a silence now", Long: "Ends a silence now: what still fires opens its ticket within 2 seconds.",
		Example: "  watchbill silence expire 5f1f9c1e-6a0e-4f0c-9d1b-1d7b1f4b6a11", Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !silenceID.MatchString(args[0]) {
				return usagef("ID: want one that `watchbill silence list` shows, like 5f1f9c1e-6a0e-4f0c-9d1b-1d7b1f4b6a11, got %q", args[0])
			}
			if _, err := c.silences(cmd, http.MethodDelete, "/api/v2/silence/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(screenOf(cmd).w, "Silence %s is over.\n", clean(args[0]))
			return nil
		},
	})
	return cmd
}

// silenceID is the form of a silence's ID: a UUID.
var silenceID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func newSilenceListCmd(c *connection) *cobra.Command {
	var all bool
	var filter []string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List silences that hold or are to come",
		Long:    "Lists silences that hold or are to come, those that end first before others; with --all those that are over, too, which are kept for five days.",
		Example: "  watchbill silence list\n  watchbill silence list --all --filter 'instance=\"web1\"'", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := matchersOf("--filter", filter); err != nil {
				return err
			}
			q := url.Values{"filter": filter}
			if !all {
				q.Set("expired", "false")
			}
			raw, err := c.silences(cmd, http.MethodGet, "/api/v2/silences", q, nil)
			if err != nil {
				return err
			}
			if c.output == "json" {
				return printJSON(cmd.OutOrStdout(), raw)
			}
			var list []silence
			if err := json.Unmarshal(raw, &list); err != nil {
				return fmt.Errorf("the collector at %s answered something this release does not read (%w): use the same release on both sides", c.url, err)
			}
			showSilences(screenOf(cmd), list)
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "those that are over, too")
	cmd.Flags().StringArrayVar(&filter, "filter", nil, "only those with this matcher, as it was written, like 'instance=\"web1\"'; repeatable")
	return cmd
}

func showSilences(s screen, list []silence) {
	if len(list) == 0 {
		fmt.Fprintln(s.w, "No silences.")
		return
	}
	var rows [][]string
	for _, one := range list {
		var matchers []string
		for _, m := range one.Matchers {
			matchers = append(matchers, m.String())
		}
		state := ""
		if one.Status != nil {
			state = string(one.Status.State)
		}
		by := one.CreatedBy
		if one.Bound != nil {
			by += " for " + one.Bound.String()
		}
		rows = append(rows, []string{one.ID, state, s.stamp(one.StartsAt), s.stamp(one.EndsAt), strings.Join(matchers, " "), by, one.Comment})
	}
	table(s.w, s.width, []column{{title: "SILENCE"}, {title: "STATE"}, {title: "FROM"}, {title: "UNTIL"}, {title: "MATCHERS", stretch: true},
		{title: "BY", stretch: true}, {title: "COMMENT", stretch: true}}, rows)
}

func newSilenceAddCmd(c *connection) *cobra.Command {
	var from, until, comment string
	cmd := &cobra.Command{
		Use: "add MATCHER…", Short: "Silence alerts that fulfil every matcher",
		Long: `Silences alerts that fulfil every matcher, from --from until --until, and prints the silence's ID. Matchers are Alertmanager's:
instance="web1", severity!="critical", alertname=~"Disk.*". Who sees some customers alone silences theirs alone.`,
		Example: `  watchbill silence add 'instance="web1"' --until 2h -m "new disks"
  watchbill silence add 'customer="acme"' 'service=~"iis|sql"' --from "2026-11-28 22:00" --until "2026-11-29 02:00" -m "release 12"`,
		Args: takesSome("MATCHER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			one, err := silenceOf(args, from, until, comment, time.Now())
			if err != nil {
				return err
			}
			raw, err := c.silences(cmd, http.MethodPost, "/api/v2/silences", nil, one)
			if err != nil {
				return err
			}
			if c.output == "json" {
				return printJSON(cmd.OutOrStdout(), raw)
			}
			var made struct{ SilenceID string }
			if err := json.Unmarshal(raw, &made); err != nil {
				return fmt.Errorf("the collector at %s answered something this release does not read (%w): use the same release on both sides", c.url, err)
			}
			fmt.Fprintln(screenOf(cmd).w, clean(made.SilenceID))
			c.doubtSilence(cmd, one, made.SilenceID)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "when it begins; now when left out")
	f.StringVar(&until, "until", "", "when it ends: 2h, 2d, or a time (required)")
	f.StringVarP(&comment, "message", "m", "", "why; it stands in the tickets that open late (required)")
	return cmd
}

// doubtSilence warns of a silence that holds already and nothing that fires: it may be misspelt. It stands all the same.
func (c *connection) doubtSilence(cmd *cobra.Command, one silence, id string) {
	if one.StartsAt.After(time.Now()) {
		return
	}
	raw, err := c.call(cmd.Context(), http.MethodGet, "/alerts", nil, nil)
	var list api.AlertList
	if err != nil || json.Unmarshal(raw, &list) != nil { // the silence is set, which is what was asked for
		return
	}
	for _, a := range list.Alerts {
		if slices.ContainsFunc(a.MutedBy, func(by incident.MutedBy) bool { return by.ID == id }) {
			return
		}
	}
	s := screenOf(cmd)
	s.w = safeWriter{cmd.ErrOrStderr()}
	s.para("warning: ", "         ", "it is set, but no alert that fires now fulfils its matchers: if one was meant to, `watchbill alert list -o json` "+
		"has the labels of those that fire")
}

// silenceOf is what a command line asks for.
func silenceOf(matchers []string, from, until, comment string, now time.Time) (silence, error) {
	out := silence{StartsAt: now.Truncate(time.Second), Comment: comment}
	switch {
	case until == "":
		return out, usagef("--until is missing: when does it end?")
	case strings.TrimSpace(comment) == "":
		return out, usagef("-m is missing: why are they silenced?")
	}
	var err error
	if out.Matchers, err = matchersOf("MATCHER", matchers); err != nil {
		return out, err
	}
	if err := (incident.Muting{Matchers: out.Matchers}).Validate(); err != nil {
		return out, usagef("MATCHER: they would silence every alert there is; 'alertname=~\".+\"' says so if it is meant")
	}
	if out.EndsAt, err = instant("--until", until, now); err != nil {
		return out, err
	}
	if from != "" {
		if out.StartsAt, err = instant("--from", from, now); err != nil {
			return out, err
		}
	}
	if !out.EndsAt.After(now) || !out.EndsAt.After(out.StartsAt) {
		return out, usagef("--until: want a time to come, after --from (%s), got %s", out.StartsAt.Format(time.RFC3339), out.EndsAt.Format(time.RFC3339))
	}
	if u, err := user.Current(); err == nil { // beside whose token it comes with, which the collector knows
		out.CreatedBy = u.Username
	}
	return out, nil
}

// matchersOf reads matchers as Alertmanager writes them; name is what a fault calls them.
func matchersOf(name string, texts []string) (out []incident.Matcher, err error) {
	for _, text := range texts {
		m, err := incident.ParseMatcher(text)
		if err != nil {
			return nil, usagef("%s %q: %v; write it like 'instance=\"web1\"' or 'severity=~\"warning|info\"'", name, text, err)
		}
		out = append(out, m)
	}
	return out, nil
}

// silences asks Alertmanager's API, whose answers and errors have a form of their own.
func (c *connection) silences(cmd *cobra.Command, method, path string, q url.Values, in any) (json.RawMessage, error) {
	if err := c.checkOutput(); err != nil {
		return nil, err
	}
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), callTimeout)
	defer cancel()
	resp, as, err := c.send(ctx, method, path, q, body)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := c.body(resp)
	if err != nil {
		return nil, err
	}
	switch empty := len(raw) == 0; {
	case resp.StatusCode == http.StatusOK && (json.Valid(raw) || empty && method == http.MethodDelete):
		return raw, nil
	case resp.StatusCode == http.StatusUnauthorized && json.Valid(raw):
		return nil, c.refusedToken(ctx, as)
	case resp.StatusCode == http.StatusNotFound && empty:
		return nil, errors.New("there is no such silence, or it is not yours to see: `watchbill silence list --all` lists them")
	case resp.StatusCode >= http.StatusBadRequest:
		return nil, c.silenceFault(resp, raw)
	}
	return nil, c.stranger(resp)
}

// silenceFault is why a silence was refused: a text, or an object with one.
func (c *connection) silenceFault(resp *http.Response, raw []byte) error {
	var text string
	var object struct {
		Message string
		Error   *api.Error
	}
	switch {
	case json.Unmarshal(raw, &text) == nil:
	case json.Unmarshal(raw, &object) == nil && object.Error != nil:
		return object.Error
	default:
		text = object.Message
	}
	if text == "" {
		return c.stranger(resp)
	}
	return errors.New(text)
}
