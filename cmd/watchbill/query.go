package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
)

// queryFlags say what is asked beside the expression.
type queryFlags struct {
	at          string
	back, every model.Duration
}

func newQueryCmd() *cobra.Command {
	var o queryFlags
	cmd := &cobra.Command{
		Use: "query EXPR", Short: "Ask a PromQL expression of the collector's samples",
		Long: `Asks a PromQL expression, at one time or, with --range, over the time until then, and prints a row for every series or sample.
Put the expression into quotation marks. It reads the history; promtool query and Grafana ask the same API.`,
		Example: `  watchbill query 'up == 0'
  watchbill query 'rate(node_cpu_seconds_total{instance="web1",mode="idle"}[5m])' --at "2026-11-28 03:00"
  watchbill query 'node_filesystem_avail_bytes{instance="web1"}' --range 6h --step 30m --output json`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 || strings.TrimSpace(args[0]) == "":
				return usagef("EXPR is missing: a PromQL expression like 'up == 0'")
			case len(args) > 1:
				return usagef("%q is one argument too many: put the whole expression into quotation marks", args[1])
			}
			return nil
		},
	}
	c := connect(cmd)
	f := cmd.Flags()
	f.StringVar(&o.at, "at", "", "at this time, like \"2026-11-28 03:00\", or -2h for two hours ago; now when left out")
	f.Var(durationFlag{&o.back}, "range", "how long before then to begin: a value for every step of it")
	f.Var(durationFlag{&o.every}, "step", "with --range: time from one value to the next; a 250th of it, 1s at least, when left out")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return runQuery(cmd, c, args[0], o) }
	return cmd
}

func runQuery(cmd *cobra.Command, c *connection, expr string, o queryFlags) error {
	if err := c.checkOutput(); err != nil {
		return err
	}
	now := time.Now()
	var at time.Time // the collector's own now
	if o.at != "" {
		var err error
		if at, err = instant("--at", o.at, now); err != nil {
			return err
		}
	}
	if o.every > 0 && o.back == 0 {
		return usagef("--step: it goes with --range: how long before --at to begin")
	}
	base, err := c.base()
	if err != nil {
		return err
	}
	client := &promClient{c: c, base: base}
	ctx, cancel := context.WithTimeout(cmd.Context(), callTimeout)
	defer cancel()
	var v model.Value
	var warnings v1.Warnings
	if o.back > 0 {
		v, warnings, _, err = v1.NewAPI(client).QueryRange(ctx, expr, o.span(at, now))
	} else {
		v, warnings, _, err = v1.NewAPI(client).Query(ctx, expr, at)
	}
	if err != nil {
		return queryFault(expr, c.url, err)
	}
	for _, w := range warnings {
		fmt.Fprintf(safeWriter{cmd.ErrOrStderr()}, "warning: %s\n", clean(w))
	}
	if c.output == "json" {
		return printJSON(cmd.OutOrStdout(), client.raw)
	}
	showValue(screenOf(cmd), v)
	return nil
}

// span is the time that --range asks for, up to at; up to now when at is zero.
func (o queryFlags) span(at, now time.Time) v1.Range {
	if at.IsZero() {
		at = now
	}
	r := v1.Range{Start: at.Add(-time.Duration(o.back)), End: at, Step: time.Duration(o.every)}
	if r.Step == 0 {
		r.Step = max((time.Duration(o.back) / 250).Truncate(time.Second), time.Second)
	}
	return r
}

// showValue prints what an expression came to.
func showValue(s screen, v model.Value) {
	var rows [][]string
	columnsOf := []column{{title: "SERIES", stretch: true}, {title: "VALUE"}}
	switch v := v.(type) {
	case *model.Scalar:
		fmt.Fprintln(s.w, v.Value.String())
		return
	case model.Vector:
		for _, one := range v {
			rows = append(rows, []string{one.Metric.String(), worth(one.Value, one.Histogram)})
		}
	case model.Matrix:
		columnsOf = []column{{title: "SERIES", stretch: true}, {title: "TIME"}, {title: "VALUE"}}
		for _, series := range v {
			rows = append(rows, samplesOf(s, series)...)
		}
	}
	if len(rows) == 0 {
		fmt.Fprintln(s.w, "No series.")
		return
	}
	table(s.w, s.width, columnsOf, rows)
}

// samplesOf are the rows of one series, which stands in the first.
func samplesOf(s screen, series *model.SampleStream) (rows [][]string) {
	for _, p := range series.Values {
		rows = append(rows, []string{"", s.stamp(p.Timestamp.Time()), p.Value.String()})
	}
	for _, p := range series.Histograms {
		rows = append(rows, []string{"", s.stamp(p.Timestamp.Time()), p.Histogram.String()})
	}
	if len(rows) > 0 {
		rows[0][0] = series.Metric.String()
	}
	return rows
}

func worth(v model.SampleValue, h *model.SampleHistogram) string {
	if h != nil {
		return h.String()
	}
	return v.String()
}

// promClient lets Prometheus' client ask a collector as every other command does: with its token, and its words for who cannot
// be reached.
type promClient struct {
	c    *connection
	base *url.URL
	// raw is the last answer.
	raw []byte
}

// URL implements the client's interface.
func (p *promClient) URL(path string, _ map[string]string) *url.URL { return p.base.JoinPath(path) }

// Do implements the client's interface. A refusal in Prometheus' form is a *v1.Error, whatever its status.
func (p *promClient) Do(ctx context.Context, req *http.Request) (*http.Response, []byte, error) {
	resp, as, err := p.c.do(req.WithContext(ctx))
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if p.raw, err = p.c.body(resp); err != nil {
		return nil, nil, err
	}
	var form struct {
		Status    string       `json:"status"`
		ErrorType v1.ErrorType `json:"errorType"`
		Error     string       `json:"error"`
		Data      struct {
			Type string `json:"resultType"`
		} `json:"data"`
	}
	switch bad := json.Unmarshal(p.raw, &form); {
	case bad != nil || form.Status == "":
		return nil, nil, p.c.stranger(resp)
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, nil, p.c.refusedToken(ctx, as)
	case form.Status != "success":
		return nil, nil, &v1.Error{Type: form.ErrorType, Msg: form.Error}
	case form.Data.Type == model.ValString.String(): // Prometheus' client reads none
		return nil, nil, errors.New("the expression is a text in quotation marks, which comes to itself: name a metric without them")
	}
	return resp, p.raw, nil
}

// position is how the parser tells where in an expression it stopped.
var position = regexp.MustCompile(`^(?:invalid parameter "query": )?(\d+):(\d+): (?:parse error: )?(.*)$`)

// queryFault is why an expression was not answered; a fault of its form points at the place.
func queryFault(expr, collector string, err error) error {
	var refused *v1.Error
	if !errors.As(err, &refused) {
		return err
	}
	m := position.FindStringSubmatch(refused.Msg)
	if m == nil {
		if refused.Type == v1.ErrBadResponse {
			return fmt.Errorf("the collector at %s answered something this release does not read (%s): use the same release on both sides", collector, refused.Msg)
		}
		return fmt.Errorf("the query was refused (%s): %s", refused.Type, refused.Msg)
	}
	line, _ := strconv.Atoi(m[1]) // digits alone, as the next
	column, _ := strconv.Atoi(m[2])
	text := fmt.Sprintf("the expression is wrong at line %d, column %d: %s", line, column, m[3])
	if lines := strings.Split(expr, "\n"); line >= 1 && line <= len(lines) {
		at := lines[line-1]
		before := clean(at[:min(max(column-1, 0), len(at))])
		text += "\n  " + clean(at) + "\n  " + strings.Repeat(" ", columns(before)) + "^"
	}
	return errors.New(text)
}
