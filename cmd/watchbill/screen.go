package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// screen is where a command's answer for people goes.
type screen struct {
	w io.Writer
	// width is the terminal's in cells; 0 when there is none, then nothing is wrapped or cut.
	width int
	now   time.Time
	zone  *time.Location
}

func screenOf(cmd *cobra.Command) screen {
	out := cmd.OutOrStdout()
	return screen{w: safeWriter{out}, width: terminalWidth(out), now: time.Now(), zone: time.Local}
}

// stamp is a moment in the reader's zone, with its distance from UTC.
func (s screen) stamp(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.In(s.zone).Format("2006-01-02 15:04:05 -07:00")
}

// ago is a moment and how long it is past.
func (s screen) ago(t time.Time) string {
	d := s.now.Sub(t)
	if d < 0 {
		return s.stamp(t) + ", in " + age(-d)
	}
	return s.stamp(t) + ", " + age(d) + " ago"
}

// age is a duration in its two greatest units: 45s, 5m10s, 3h12m, 2d4h.
func age(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	day := 24 * time.Hour
	two := func(big, small time.Duration, bigName, smallName string) string {
		out := strconv.FormatInt(int64(d/big), 10) + bigName
		if rest := d % big / small; rest > 0 {
			out += strconv.FormatInt(int64(rest), 10) + smallName
		}
		return out
	}
	switch {
	case d < time.Minute:
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	case d < time.Hour:
		return two(time.Minute, time.Second, "m", "s")
	case d < day:
		return two(time.Hour, time.Minute, "h", "m")
	}
	return two(day, time.Hour, "d", "h")
}

// para prints text wrapped, its first line after first and the others after rest. Line breaks in the text are kept.
func (s screen) para(first, rest, text string) {
	cells := 0
	if s.width > 0 {
		cells = max(20, s.width-max(columns(first), columns(rest)))
	}
	for _, hard := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		for _, line := range wrap(clean(hard), cells) {
			fmt.Fprintln(s.w, strings.TrimRight(first+line, " "))
			first = rest
		}
	}
}

// number is a value in few letters: bytes by 1024, other great numbers by 1000.
func number(name string, v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	base, units := 1000.0, []string{"", " k", " M", " G", " T", " P"}
	if strings.Contains(name, "_bytes") {
		base, units = 1024, []string{" B", " KiB", " MiB", " GiB", " TiB", " PiB"}
	}
	i := 0
	for math.Abs(v) >= base && i < len(units)-1 && (base == 1024 || math.Abs(v) >= 1e6 || i > 0) {
		v /= base
		i++
	}
	digits := 4
	if math.Abs(v) >= 1000 {
		digits = 7
	}
	return strconv.FormatFloat(v, 'g', digits, 64) + units[i]
}
