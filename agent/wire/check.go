package wire

import (
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxTimeMs is the last millisecond whose nanoseconds fit an int64 (year 2262), as the rest of the house counts them.
const maxTimeMs = math.MaxInt64 / 1_000_000

// CheckReport tells whether a decoded report has the structure this protocol asks for: named by epoch and sequence, its
// times in this age, every block with what its status calls for, no source twice for one asset, no event twice, counts
// and texts within max. It says nothing about shapes (see ReadShape), nor whether blocks and shapes fit each other: that
// takes knowing the shapes. Errors are *Error.
func CheckReport(r *Report, max Limits) error {
	if err := checkBlocks(r, max); err != nil {
		return err
	}
	return checkRest(r, max)
}

// checkRest checks all but the blocks.
func checkRest(r *Report, max Limits) error {
	if r.GetEpoch() == 0 || r.GetSequence() == 0 {
		return refuse(ReasonMalformed, "report has epoch %d and sequence %d: both must be set, they name it for good",
			r.GetEpoch(), r.GetSequence())
	}
	if err := checkTime("made_at_ms", r.GetMadeAtMs()); err != nil {
		return err
	}
	if ms := r.GetHeldSinceMs(); ms != 0 {
		if err := checkTime("held_since_ms", ms); err != nil {
			return err
		}
	}
	if err := over("shapes of a report", len(r.GetShapes())+len(r.GetShapeChanges()), max.Shapes, "shapes"); err != nil {
		return err
	}
	if g := r.GetGoodbye(); g != nil {
		if err := checkText("goodbye", g.GetReason(), max.TextBytes, "text_bytes"); err != nil {
			return err
		}
	}
	if err := checkEvents(r, max); err != nil {
		return err
	}
	if err := checkTables(r, max); err != nil {
		return err
	}
	if err := checkBundles(r, max); err != nil {
		return err
	}
	return CheckInventory(r.GetInventory(), max)
}

func checkBlocks(r *Report, max Limits) error {
	if err := over("blocks of a report", len(r.GetBlocks()), max.Blocks, "blocks"); err != nil {
		return err
	}
	seen := make(map[blockKey]bool, len(r.GetBlocks()))
	series := 0
	for _, b := range r.GetBlocks() {
		if err := checkBlock(b, max); err != nil {
			return err
		}
		// Not by kind: windows tell an asset's blocks apart by source alone.
		key := blockKey{b.GetSource(), b.GetDevice()}
		if seen[key] {
			return duplicateBlock(b)
		}
		seen[key] = true
		series += len(b.GetValues())
	}
	return over("series of a report", series, max.SeriesPerReport, "series_per_report")
}

func duplicateBlock(b *Block) error {
	return refuse(ReasonDuplicateBlock, "source %q reports twice in one report for device %q: one report holds one block "+
		"of a source for each asset", shorten(b.GetSource()), shorten(b.GetDevice()))
}

func checkBlock(b *Block, max Limits) error {
	if err := checkHead(b, max); err != nil {
		return err
	}
	return checkSaid(b, max)
}

// checkHead checks what of a block is the same from report to report.
func checkHead(b *Block, max Limits) error {
	if err := checkWord("kind of a block", b.GetKind(), max); err != nil {
		return err
	}
	if err := checkWord("source of a block", b.GetSource(), max); err != nil {
		return err
	}
	if b.GetDevice() != "" {
		if err := checkWord("device of block "+shorten(b.GetSource()), b.GetDevice(), max); err != nil {
			return err
		}
	}
	if b.GetIntervalMs() == 0 {
		return refuse(ReasonBadTime, "block %s has no interval: say how often its source is read", shorten(b.GetSource()))
	}
	return nil
}

// checkSaid checks what of a block is new in every report. It spells out nothing before something is wrong.
func checkSaid(b *Block, max Limits) error {
	if at := b.GetSampledAtMs(); at <= 0 || at > maxTimeMs {
		return checkTime("sampled_at_ms of block "+shorten(b.GetSource()), at)
	}
	if b.GetReason() != "" {
		if err := checkText("reason of block "+shorten(b.GetSource()), b.GetReason(), max.TextBytes, "text_bytes"); err != nil {
			return err
		}
	}
	return checkStatus(b, max)
}

func checkStatus(b *Block, max Limits) error {
	id, values, same := len(b.GetShapeId()), len(b.GetValues()), b.GetSameAsMs()
	var wrong string
	switch b.GetStatus() {
	case Block_STATUS_OK:
		switch {
		case id != 32:
			wrong = fmt.Sprintf("is ok but its shape_id has %d bytes: want the 32 of a SHA-256", id)
		case same != 0:
			wrong = fmt.Sprintf("is ok and the same as at %d: only an unchanged block can say so", same)
		case values > max.SeriesPerBlock:
			return over("series of block "+shorten(b.GetSource()), values, max.SeriesPerBlock, "series_per_block")
		}
	case Block_STATUS_FAILED, Block_STATUS_UNCHANGED:
		switch {
		case values != 0:
			wrong = fmt.Sprintf("has %d values although its status is %s: only ok blocks have values", values, b.GetStatus())
		case id != 0 && id != 32:
			wrong = fmt.Sprintf("has a shape_id of %d bytes: want none, or the 32 of a SHA-256", id)
		case same != 0 && (b.GetStatus() == Block_STATUS_FAILED || !earlier(b)):
			wrong = fmt.Sprintf("says it is the same as at %d: only an unchanged block can say so, of an earlier time", same)
		case b.GetStatus() == Block_STATUS_FAILED && b.GetReason() == "":
			wrong = "failed without a reason: say what a person should look at"
		}
	default:
		wrong = fmt.Sprintf("has status %d: want ok, failed or unchanged", b.GetStatus())
	}
	if wrong == "" {
		return nil
	}
	return refuse(ReasonMalformed, "block %s %s", shorten(b.GetSource()), wrong)
}

// earlier says whether the block that b repeats is older than b.
func earlier(b *Block) bool { return b.GetSameAsMs() > 0 && b.GetSameAsMs() < b.GetSampledAtMs() }

func checkEvents(r *Report, max Limits) error {
	if err := over("events of a report", len(r.GetEvents()), max.Events, "events"); err != nil {
		return err
	}
	seen := make(map[uint64]bool, len(r.GetEvents()))
	for _, e := range r.GetEvents() {
		switch {
		case e.GetId() == 0:
			return refuse(ReasonMalformed, "an event of kind %q has no id: number them from 1", shorten(e.GetKind()))
		case seen[e.GetId()]:
			return refuse(ReasonDuplicateEvent, "event %d is there twice: ids are unique within an epoch", e.GetId())
		}
		seen[e.GetId()] = true
		if err := checkWord("kind of an event", e.GetKind(), max); err != nil {
			return err
		}
		if err := checkTime("at_ms of event "+e.GetKind(), e.GetAtMs()); err != nil {
			return err
		}
		if err := checkText("text of event "+e.GetKind(), e.GetText(), max.TextBytes, "text_bytes"); err != nil {
			return err
		}
		if err := over("fields of event "+e.GetKind(), len(e.GetFields()), max.EventFields, "event_fields"); err != nil {
			return err
		}
		for k, v := range e.GetFields() {
			if err := checkWord("name of a field of event "+e.GetKind(), k, max); err != nil {
				return err
			}
			if err := checkText("field "+k+" of event "+e.GetKind(), v, max.TextBytes, "text_bytes"); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkTables(r *Report, max Limits) error {
	if err := over("tables of a report", len(r.GetTables()), max.Tables, "tables"); err != nil {
		return err
	}
	for _, t := range r.GetTables() {
		if err := checkTable(t, max); err != nil {
			return err
		}
	}
	return nil
}

func checkTable(t *Table, max Limits) error {
	if err := checkWord("kind of a table", t.GetKind(), max); err != nil {
		return err
	}
	if err := checkTime("sampled_at_ms of table "+t.GetKind(), t.GetSampledAtMs()); err != nil {
		return err
	}
	if err := checkText("none_because of table "+t.GetKind(), t.GetNoneBecause(), max.TextBytes, "text_bytes"); err != nil {
		return err
	}
	if err := over("rows of table "+t.GetKind(), len(t.GetRows()), max.Rows, "rows"); err != nil {
		return err
	}
	if err := checkCells("columns of table "+t.GetKind(), t.GetColumns(), max); err != nil {
		return err
	}
	for i, row := range t.GetRows() {
		if err := checkCells("cells of table "+t.GetKind(), row.GetCells(), max); err != nil {
			return err
		}
		if len(row.GetCells()) != len(t.GetColumns()) {
			return refuse(ReasonMalformed, "row %d of table %s has %d cells for %d columns", i, t.GetKind(),
				len(row.GetCells()), len(t.GetColumns()))
		}
	}
	return nil
}

// checkBundles holds answered requests to the limits of tables, which they are.
func checkBundles(r *Report, max Limits) error {
	if err := over("tables and bundles of a report", len(r.GetTables())+len(r.GetBundles()), max.Tables, "tables"); err != nil {
		return err
	}
	for _, b := range r.GetBundles() {
		name := b.GetRequest().GetName()
		if err := checkWord("name of a bundle", name, max); err != nil {
			return err
		}
		if err := checkText("argument of bundle "+name, b.GetRequest().GetArgument(), max.LabelValueBytes, "label_value_bytes"); err != nil {
			return err
		}
		if kind := b.GetTable().GetKind(); kind != name {
			return refuse(ReasonMalformed, "bundle %q has a table of kind %q: want the bundle's name", name, shorten(kind))
		}
		if err := checkTable(b.GetTable(), max); err != nil {
			return err
		}
	}
	return nil
}

func checkCells(what string, cells []string, max Limits) error {
	if err := over(what, len(cells), max.Cells, "cells"); err != nil {
		return err
	}
	for _, c := range cells {
		if err := checkText(what, c, max.CellBytes, "cell_bytes"); err != nil {
			return err
		}
	}
	return nil
}

// CheckInventory holds the texts of an inventory, which may be nil, to max. Errors are *Error.
func CheckInventory(v *Inventory, max Limits) error {
	if v == nil {
		return nil
	}
	for _, f := range []struct{ name, value string }{
		{"hostname", v.GetHostname()}, {"os", v.GetOs()}, {"os_version", v.GetOsVersion()}, {"kernel", v.GetKernel()},
		{"architecture", v.GetArchitecture()}, {"machine_id", v.GetMachineId()}, {"boot_id", v.GetBootId()},
		{"agent_version", v.GetAgentVersion()}, {"zone", v.GetZone()},
	} {
		if err := checkText("inventory's "+f.name, f.value, max.WordBytes, "word_bytes"); err != nil {
			return err
		}
	}
	if err := over("addresses of the inventory", len(v.GetAddresses()), max.Cells, "cells"); err != nil {
		return err
	}
	for _, a := range v.GetAddresses() {
		if err := checkText("inventory's address", a, max.WordBytes, "word_bytes"); err != nil {
			return err
		}
	}
	if ms := v.GetBootedAtMs(); ms != 0 {
		return checkTime("booted_at_ms", ms)
	}
	return nil
}

func checkTime(what string, ms int64) error {
	if ms > 0 && ms <= maxTimeMs {
		return nil
	}
	return refuse(ReasonBadTime, "%s is %d: want Unix milliseconds after 1970 and before 2262", what, ms)
}

func checkText(what, s string, limit int, name string) error {
	if err := over("bytes of "+what, len(s), limit, name); err != nil {
		return err
	}
	if !utf8.ValidString(s) {
		return refuse(ReasonBadText, "%s is not UTF-8: %q", what, shorten(s))
	}
	return nil
}

// checkWord holds a name to what can be printed in one line and used as a key.
func checkWord(what, s string, max Limits) error {
	if s == "" {
		return refuse(ReasonMalformed, "%s is empty", what)
	}
	if err := checkText(what, s, max.WordBytes, "word_bytes"); err != nil {
		return err
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return refuse(ReasonBadText, "%s has control characters: %q", what, shorten(s))
	}
	return nil
}
