package wire_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

func TestCheckReport(t *testing.T) {
	small := wire.DefaultLimits()
	small.Blocks, small.SeriesPerReport, small.Shapes, small.Events, small.EventFields = 3, 3, 1, 2, 2
	small.Tables, small.Rows, small.Cells, small.CellBytes, small.TextBytes, small.WordBytes = 3, 2, 2, 10, 40, 20
	long := strings.Repeat("x", 41)
	for name, c := range map[string]struct {
		change func(r *wire.Report)
		reason string
	}{
		"fine":                       {func(*wire.Report) {}, ""},
		"no epoch":                   {func(r *wire.Report) { r.Epoch = 0 }, wire.ReasonMalformed},
		"no sequence":                {func(r *wire.Report) { r.Sequence = 0 }, wire.ReasonMalformed},
		"no time":                    {func(r *wire.Report) { r.MadeAtMs = 0 }, wire.ReasonBadTime},
		"before 1970":                {func(r *wire.Report) { r.MadeAtMs = -1 }, wire.ReasonBadTime},
		"beyond nanoseconds":         {func(r *wire.Report) { r.MadeAtMs = 9_223_372_036_855 }, wire.ReasonBadTime},
		"last nanosecond":            {func(r *wire.Report) { r.MadeAtMs = 9_223_372_036_854 }, ""},
		"held since":                 {func(r *wire.Report) { r.HeldSinceMs = -5 }, wire.ReasonBadTime},
		"many shapes":                {func(r *wire.Report) { r.Shapes = append(r.Shapes, r.Shapes...) }, wire.ReasonOversized},
		"goodbye":                    {func(r *wire.Report) { r.Goodbye.Reason = long }, wire.ReasonOversized},
		"many blocks":                {func(r *wire.Report) { r.Blocks = append(r.Blocks, r.Blocks[0]) }, wire.ReasonOversized},
		"many series":                {func(r *wire.Report) { r.Blocks[0].Values = make([]float64, 4) }, wire.ReasonOversized},
		"no kind":                    {func(r *wire.Report) { r.Blocks[0].Kind = "" }, wire.ReasonMalformed},
		"no source":                  {func(r *wire.Report) { r.Blocks[0].Source = "" }, wire.ReasonMalformed},
		"control character":          {func(r *wire.Report) { r.Blocks[0].Source = "a\x1b[2J" }, wire.ReasonBadText},
		"long kind":                  {func(r *wire.Report) { r.Blocks[0].Kind = long }, wire.ReasonOversized},
		"device":                     {func(r *wire.Report) { r.Blocks[1].Device = "\n" }, wire.ReasonBadText},
		"block without time":         {func(r *wire.Report) { r.Blocks[0].SampledAtMs = 0 }, wire.ReasonBadTime},
		"no interval":                {func(r *wire.Report) { r.Blocks[0].IntervalMs = 0 }, wire.ReasonBadTime},
		"no status":                  {func(r *wire.Report) { r.Blocks[0].Status = 0 }, wire.ReasonMalformed},
		"later status":               {func(r *wire.Report) { r.Blocks[0].Status = 9 }, wire.ReasonMalformed},
		"short shape id":             {func(r *wire.Report) { r.Blocks[0].ShapeId = r.Blocks[0].ShapeId[:31] }, wire.ReasonMalformed},
		"ok without shape":           {func(r *wire.Report) { r.Blocks[0].ShapeId = nil }, wire.ReasonMalformed},
		"failed with values":         {func(r *wire.Report) { r.Blocks[1].Values = []float64{1} }, wire.ReasonMalformed},
		"failed silently":            {func(r *wire.Report) { r.Blocks[1].Reason = "" }, wire.ReasonMalformed},
		"failed with a shape":        {func(r *wire.Report) { r.Blocks[1].ShapeId = []byte{1} }, wire.ReasonMalformed},
		"unchanged, values":          {func(r *wire.Report) { r.Blocks[2].Values = []float64{1} }, wire.ReasonMalformed},
		"reason too long":            {func(r *wire.Report) { r.Blocks[1].Reason = long }, wire.ReasonOversized},
		"source twice":               {func(r *wire.Report) { r.Blocks[2].Source = "load" }, wire.ReasonDuplicateBlock},
		"source in two kinds":        {func(r *wire.Report) { r.Blocks[2].Source, r.Blocks[2].Kind = "load", "iis" }, wire.ReasonDuplicateBlock},
		"source of a device":         {func(r *wire.Report) { r.Blocks[1].Source = "load" }, ""},
		"event without id":           {func(r *wire.Report) { r.Events[0].Id = 0 }, wire.ReasonMalformed},
		"event twice":                {func(r *wire.Report) { r.Events = append(r.Events, r.Events[0]) }, wire.ReasonDuplicateEvent},
		"many events":                {func(r *wire.Report) { r.Events = make([]*wire.Event, 3) }, wire.ReasonOversized},
		"event without kind":         {func(r *wire.Report) { r.Events[0].Kind = "" }, wire.ReasonMalformed},
		"event without time":         {func(r *wire.Report) { r.Events[0].AtMs = 0 }, wire.ReasonBadTime},
		"event's text":               {func(r *wire.Report) { r.Events[0].Text = "\xff" }, wire.ReasonBadText},
		"event's fields":             {func(r *wire.Report) { r.Events[0].Fields["c"] = "1" }, wire.ReasonOversized},
		"event's field":              {func(r *wire.Report) { r.Events[0].Fields["unit"] = long }, wire.ReasonOversized},
		"event's field name":         {func(r *wire.Report) { r.Events[0].Fields = map[string]string{"": "x"} }, wire.ReasonMalformed},
		"many tables":                {func(r *wire.Report) { r.Tables = append(r.Tables, r.Tables...) }, wire.ReasonOversized},
		"table without kind":         {func(r *wire.Report) { r.Tables[0].Kind = "" }, wire.ReasonMalformed},
		"table without time":         {func(r *wire.Report) { r.Tables[0].SampledAtMs = 0 }, wire.ReasonBadTime},
		"many rows":                  {func(r *wire.Report) { r.Tables[0].Rows = make([]*wire.Row, 3) }, wire.ReasonOversized},
		"many columns":               {func(r *wire.Report) { r.Tables[0].Columns = make([]string, 3) }, wire.ReasonOversized},
		"many cells":                 {func(r *wire.Report) { r.Tables[0].Rows[0].Cells = make([]string, 3) }, wire.ReasonOversized},
		"few cells":                  {func(r *wire.Report) { r.Tables[0].Rows[0].Cells = make([]string, 1) }, wire.ReasonMalformed},
		"long cell":                  {func(r *wire.Report) { r.Tables[0].Rows[0].Cells[1] = long }, wire.ReasonOversized},
		"none because":               {func(r *wire.Report) { r.Tables[1].NoneBecause = long }, wire.ReasonOversized},
		"bundle as a table too many": {func(r *wire.Report) { r.Bundles = append(r.Bundles, r.Bundles[0]) }, wire.ReasonOversized},
		"bundle without request":     {func(r *wire.Report) { r.Tables, r.Bundles[0].Request = nil, nil }, wire.ReasonMalformed},
		"bundle without table":       {func(r *wire.Report) { r.Tables, r.Bundles[0].Table = nil, nil }, wire.ReasonMalformed},
		"bundle of another kind":     {func(r *wire.Report) { r.Tables, r.Bundles[0].Table.Kind = nil, "logs" }, wire.ReasonMalformed},
		"bundle's argument":          {func(r *wire.Report) { r.Tables, r.Bundles[0].Request.Argument = nil, strings.Repeat("x", 1025) }, wire.ReasonOversized},
		"bundle's cell":              {func(r *wire.Report) { r.Tables, r.Bundles[0].Table.Rows[0].Cells[1] = nil, long }, wire.ReasonOversized},
		"hostname":                   {func(r *wire.Report) { r.Inventory.Hostname = long }, wire.ReasonOversized},
		"addresses":                  {func(r *wire.Report) { r.Inventory.Addresses = make([]string, 3) }, wire.ReasonOversized},
		"address":                    {func(r *wire.Report) { r.Inventory.Addresses[0] = "\xff" }, wire.ReasonBadText},
		"booted":                     {func(r *wire.Report) { r.Inventory.BootedAtMs = -1 }, wire.ReasonBadTime},
		"nothing but a name": {func(r *wire.Report) {
			proto.Reset(r)
			r.Epoch, r.Sequence, r.MadeAtMs = 1, 1, 1
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := fullReport()
			c.change(r)
			if got := reasonOf(t, wire.CheckReport(r, small)); got != c.reason {
				t.Errorf("reason %q, want %q (%v)", got, c.reason, wire.CheckReport(r, small))
			}
		})
	}
}

// An Error stays one through wrapping, so that whoever counts refusals finds its word.
func TestErrorIsTyped(t *testing.T) {
	err := error(&wire.Error{Reason: wire.ReasonBomb, Text: "too much"})
	var e *wire.Error
	if !errors.As(errors.Join(errors.New("other"), err), &e) || e.Reason != wire.ReasonBomb || e.Error() != "too much" {
		t.Errorf("got %v", e)
	}
}
