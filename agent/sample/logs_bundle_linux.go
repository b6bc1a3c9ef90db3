package sample

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

const (
	// bundleLogBytes is how much of the end of each log file is looked at for a bundle, bundleLogLines how many lines of
	// it are shown, bundleLogRows how many in all.
	bundleLogBytes = 256 << 10
	bundleLogLines = 30
	bundleLogRows  = 120
)

// logsBundle shows the newest errors in the followed log files, and what else they say of a unit.
func logsBundle(h host, c LogsConfig, r *Redactor) func(context.Context, time.Time, string) (*wire.Table, error) {
	wanted, ignore, excluded := either(c.Patterns), either(c.Ignore), exclude(c.Exclude)
	return func(ctx context.Context, now time.Time, unit string) (*wire.Table, error) {
		t := &wire.Table{Kind: "logs", SampledAtMs: now.UnixMilli(), Columns: []string{"file", "written", "line"}}
		about := programOf(unit)
		found := findLogs(h, c.Files, excluded)
		for _, file := range found.files {
			if ctx.Err() != nil || len(t.Rows) >= bundleLogRows {
				break
			}
			lines, written, err := lastLines(h, file, func(line string) bool {
				return wanted(line) && !ignore(line) || about != "" && strings.Contains(strings.ToLower(line), about)
			})
			if err != nil && !noSuchFile(err) {
				found.closed[file.String()] = err
			}
			for _, line := range lines {
				t.Rows = append(t.Rows, row(file.String(), written.UTC().Format(time.RFC3339), wire.Clean(r.Text(line), maxLogText)))
			}
		}
		if len(t.Rows) == 0 {
			t.NoneBecause = noLogs(found, len(c.Files), about)
		}
		return t, nil
	}
}

// noLogs says why no line is shown.
func noLogs(f finding, configured int, about string) string {
	why := make([]string, 0, len(f.closed))
	for _, name := range slices.Sorted(maps.Keys(f.closed)) {
		why = append(why, name+" is "+closedBecause(f.closed[name]))
	}
	switch {
	case configured == 0:
		return "no log files are configured (logs.files)"
	case len(why) > 0:
		return "no line of an error was found in the log files that can be read; " + strings.Join(why[:min(len(why), 10)], "; ")
	case about != "":
		return fmt.Sprintf("the followed log files have no line of an error or about %s at their ends; what it writes to the journal alone is not read", about)
	}
	return "the followed log files have no line of an error at their ends"
}

// programOf is the word by which a unit's program calls itself in logs: nginx of nginx.service, shop of shop@1.service.
// Of very short ones there is none: they would be in every line.
func programOf(unit string) string {
	name, _, _ := strings.Cut(strings.TrimSuffix(unit, path.Ext(unit)), "@")
	if len(name) < 3 {
		return ""
	}
	return strings.ToLower(name)
}

// lastLines are the last lines of a file that are wanted, and when it was last written to.
func lastLines(h host, file logFile, wanted func(string) bool) ([]string, time.Time, error) {
	f, info, err := file.open(h)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer f.Close()
	from := max(0, info.Size()-bundleLogBytes)
	b := make([]byte, info.Size()-from)
	n, err := f.ReadAt(b, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, time.Time{}, err
	}
	text := string(b[:n])
	if from > 0 {
		_, text, _ = strings.Cut(text, "\n") // the first line is cut off
	}
	var out []string
	for line := range strings.Lines(text) {
		if line = cleanLine(wire.Clean(line, tailLine)); wanted(line) {
			out = append(out, line)
		}
	}
	return out[max(0, len(out)-bundleLogLines):], info.ModTime(), nil
}
