package wire

import (
	"errors"
	"fmt"
)

// Limits bound what one message may cost whoever reads it. The names in the tags are what error messages call them:
// limits.blocks. All must be positive.
type Limits struct {
	// BodyBytes is the body as it comes over the line; DecodedBytes is after its content coding.
	BodyBytes    int64 `yaml:"body_bytes"`
	DecodedBytes int64 `yaml:"decoded_bytes"`
	// MemoryBytes is what the decoded message may take in memory. It is reckoned from the encoded bytes before anything
	// is allocated (see weigh), because two encoded bytes can ask for a structure of two hundred.
	MemoryBytes int64 `yaml:"memory_bytes"`

	Blocks          int `yaml:"blocks"`
	SeriesPerBlock  int `yaml:"series_per_block"`
	SeriesPerReport int `yaml:"series_per_report"`

	// BulkReports and BulkSamples bound what one bulk holds, however few bytes that takes.
	BulkReports int `yaml:"bulk_reports"`
	BulkSamples int `yaml:"bulk_samples"`

	Shapes int `yaml:"shapes"` // per report
	// ShapeBytes is the canonical encoding of a shape, in which every label is spelled out.
	ShapeBytes      int `yaml:"shape_bytes"`
	Symbols         int `yaml:"symbols"` // per shape
	LabelsPerShape  int `yaml:"labels_per_shape"`
	LabelsPerSeries int `yaml:"labels_per_series"`
	LabelNameBytes  int `yaml:"label_name_bytes"`
	LabelValueBytes int `yaml:"label_value_bytes"`

	Events      int `yaml:"events"`
	EventFields int `yaml:"event_fields"` // per event
	Tables      int `yaml:"tables"`
	Rows        int `yaml:"rows"`  // per table
	Cells       int `yaml:"cells"` // per row, and columns per table
	CellBytes   int `yaml:"cell_bytes"`
	// TextBytes is a sentence for a person: a reason, an event's text, one of its fields.
	TextBytes int `yaml:"text_bytes"`
	// WordBytes is a name: kind, source, device, host name.
	WordBytes int `yaml:"word_bytes"`
}

// DefaultLimits fit a busy host some ten times over. Together they hold what one body costs its reader under 4 MiB:
// 1 MiB decoded, 2.5 MiB of message and under half a MiB of zstd window.
func DefaultLimits() Limits {
	return Limits{
		BodyBytes:    1 << 20,
		DecodedBytes: 1 << 20,
		MemoryBytes:  5 << 19,

		Blocks:          256,
		SeriesPerBlock:  10_000,
		SeriesPerReport: 10_000,

		BulkReports: 256,
		BulkSamples: 1_000_000,

		Shapes:          256,
		ShapeBytes:      1 << 20,
		Symbols:         20_000,
		LabelsPerShape:  64 << 10,
		LabelsPerSeries: 32,
		LabelNameBytes:  128,
		LabelValueBytes: 1 << 10,

		Events:      256,
		EventFields: 32,
		Tables:      16,
		Rows:        512,
		Cells:       32,
		CellBytes:   1 << 10,
		TextBytes:   4 << 10,
		WordBytes:   256,
	}
}

// Validate names every limit that is not positive.
func (l Limits) Validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"body_bytes", l.BodyBytes}, {"decoded_bytes", l.DecodedBytes}, {"memory_bytes", l.MemoryBytes},
		{"blocks", int64(l.Blocks)}, {"series_per_block", int64(l.SeriesPerBlock)},
		{"series_per_report", int64(l.SeriesPerReport)}, {"bulk_reports", int64(l.BulkReports)},
		{"bulk_samples", int64(l.BulkSamples)}, {"shapes", int64(l.Shapes)},
		{"shape_bytes", int64(l.ShapeBytes)}, {"symbols", int64(l.Symbols)},
		{"labels_per_shape", int64(l.LabelsPerShape)}, {"labels_per_series", int64(l.LabelsPerSeries)},
		{"label_name_bytes", int64(l.LabelNameBytes)}, {"label_value_bytes", int64(l.LabelValueBytes)},
		{"events", int64(l.Events)}, {"event_fields", int64(l.EventFields)}, {"tables", int64(l.Tables)},
		{"rows", int64(l.Rows)}, {"cells", int64(l.Cells)}, {"cell_bytes", int64(l.CellBytes)},
		{"text_bytes", int64(l.TextBytes)}, {"word_bytes", int64(l.WordBytes)},
	} {
		if f.value <= 0 {
			errs = append(errs, fmt.Errorf("limits.%s: must be positive, got %d", f.name, f.value))
		}
	}
	return errors.Join(errs...)
}

// Reasons under which refusals are counted.
const (
	ReasonOversized       = "oversized"        // over a limit
	ReasonBomb            = "bomb"             // within the limit as it came, over it once decoded
	ReasonMalformed       = "malformed"        // not the encoding it says it is, or not a message of this protocol
	ReasonUnknownCoding   = "unknown_coding"   // a content coding other than zstd
	ReasonBadTime         = "bad_time"         // a time that is missing or out of this age
	ReasonBadText         = "bad_text"         // not UTF-8, or control characters in a name
	ReasonBadLabel        = "bad_label"        // not a legacy Prometheus name, no value, out of order, no metric name
	ReasonReservedLabel   = "reserved_label"   // a label that only the collector may set
	ReasonDuplicateLabel  = "duplicate_label"  // twice in one series
	ReasonDuplicateSeries = "duplicate_series" // twice in one shape
	ReasonDuplicateBlock  = "duplicate_block"  // one source twice for one asset
	ReasonDuplicateEvent  = "duplicate_event"  // one event id twice
)

// Error is why a message was refused. It is never about the line: failures to read are returned as they came.
type Error struct {
	// Reason is one of the Reason words: what the refusal is counted under.
	Reason string
	// Text tells a person what was found, what was expected and what to do.
	Text string
}

func (e *Error) Error() string { return e.Text }

func refuse(reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Text: fmt.Sprintf(format, args...)}
}

// over is nil while found is within limit.
func over[N int | int64](what string, found, limit N, name string) error {
	if found <= limit {
		return nil
	}
	return tooMany(ReasonOversized, what, fmt.Sprint(found), int64(limit), name)
}

func tooMany(reason, what, found string, limit int64, name string) *Error {
	return refuse(reason, "%s: %s, at most %d allowed; send less, or raise limits.%s", what, found, limit, name)
}
