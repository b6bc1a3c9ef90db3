package agent

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/agent/wire"
)

// Once reads every source a single time and writes the samples to w in Prometheus' text format, and with tables also
// the evidence, as comments. Nothing is sent, spooled or remembered, and no identity is needed. What counts between two
// readings (CPU shares in the processes table) is missing or since boot.
func Once(ctx context.Context, cfg Config, o Options, w io.Writer, tables bool) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sources == nil {
		var err error
		cfg.Samplers.Version = o.Version
		if o.Sources, err = sample.Sources(cfg.Samplers); err != nil {
			return err
		}
	}
	if o.Logger == nil {
		o.Logger = discard()
	}
	c := newCollector(o.Sources, cfg.Interval, o.Logger)
	all := c.collect(ctx, o.Now)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("look at this host: %w", err)
	}
	if err := wire.WriteText(w, all.blocks, c.builder.Shape); err != nil {
		return err
	}
	if !tables {
		return nil
	}
	for _, t := range all.tables {
		if err := writeTable(w, t); err != nil {
			return fmt.Errorf("write table %s: %w", t.Kind, err)
		}
	}
	return nil
}

// writeTable writes a table as comments, so that the whole output stays Prometheus' text format.
func writeTable(w io.Writer, t *wire.Table) error {
	var b strings.Builder
	fmt.Fprintf(&b, "#\n# table %s at %s\n", t.Kind, time.UnixMilli(t.SampledAtMs).UTC().Format(time.RFC3339))
	if t.NoneBecause != "" {
		fmt.Fprintf(&b, "# none, because %s\n", inert(t.NoneBecause))
	}
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i, row := range append([]*wire.Row{{Cells: t.Columns}}, t.Rows...) {
		if i == 0 && len(t.Rows) == 0 {
			break
		}
		cells := make([]string, len(row.Cells))
		for j, c := range row.Cells {
			cells[j] = inert(c)
		}
		fmt.Fprintf(tw, "# %s\n", strings.Join(cells, "\t"))
	}
	if err := tw.Flush(); err != nil { // a Builder does not fail
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// inert takes from a cell what could move a terminal's cursor or end a comment: names of processes and users are chosen
// by whoever runs them.
func inert(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
