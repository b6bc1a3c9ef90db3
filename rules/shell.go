package rules

import (
	"slices"
	"strings"
	"unicode"
)

// firstChecks is the annotation whose lines people paste into a shell.
const firstChecks = "first_checks"

// A label's value comes from a host, and a hostile or broken one may hold anything: a mount point called $(reboot). In
// first_checks a value that is more than a plain word is therefore quoted for the shell, as its place in the line asks:
//
//	df -h {{ $labels.mountpoint }}      ─►  df -h '/mnt/a b'
//	df -h '{{ $labels.mountpoint }}'    ─►  df -h '/mnt/it'\''s'
//	ls "{{ $labels.mountpoint }}/log"   ─►  ls ""'/mnt/a b'"/log"
//
// Values are marked before the template is expanded and quoted afterwards, since only then it is known where they stand.
// The marks can be printed, so that printf "%q" lets them be. Prometheus puts the values in as they are.
const (
	markOpen  = '\u2e28'
	markClose = '\u2e29'
)

// plain tells whether a value is a word to every shell, wherever it stands.
func plain(value string) bool {
	for _, r := range value {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("_./:@%+-", r):
		default:
			return false
		}
	}
	return true
}

// marked are labels with their values marked where they are not plain. What cannot be shown on a line becomes a question
// mark: a value must not bring a line of its own.
func marked(lbls map[string]string) map[string]string {
	out := make(map[string]string, len(lbls))
	for name, value := range lbls {
		if !plain(value) {
			value = string(markOpen) + strings.Map(shown, value) + string(markClose)
		}
		out[name] = value
	}
	return out
}

func shown(r rune) rune {
	if !unicode.IsPrint(r) || r == markOpen || r == markClose {
		return '?'
	}
	return r
}

// shellQuoted turns what is marked in a text into what a shell takes for one word. Every line is a command of its own.
func shellQuoted(text string) string {
	if !strings.ContainsRune(text, markOpen) && !strings.ContainsRune(text, markClose) {
		return text
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		end := ""
		if l, ok := strings.CutSuffix(line, "\n"); ok {
			line, end = l, "\n"
		}
		out.WriteString(quotedLine(line) + end)
	}
	return out.String()
}

// The ways a shell reads, beside reading a command.
const (
	inSingle = '\'' // up to the next quote
	inDouble = '"'  // where $ and ` still mean something
	inANSI   = '$'  // $'…', where \ does
)

// reading is how a shell reads at some place: quote is one of the above or 0, until what opened a substitution is closed.
type reading struct{ quote, until rune }

// quotedLine quotes what is marked in one line, as the shell would read it there.
func quotedLine(line string) string {
	var out strings.Builder
	now := []reading{{}}
	rest := []rune(line)
	for len(rest) > 0 {
		switch r := rest[0]; {
		case r == markClose: // a template has cut off the other mark: no more is known than that a value ends here
			return word(0, unmarked(line))
		case r == markOpen:
			value := string(rest[1:])
			if i := strings.IndexRune(value, markClose); i >= 0 {
				value = value[:i]
			}
			out.WriteString(word(now[len(now)-1].quote, fit(now, unmarked(value))))
			rest = rest[min(1+len([]rune(value))+1, len(rest)):]
			continue
		case r == '\\' && now[len(now)-1].quote != inSingle:
			if len(rest) > 1 && rest[1] == markOpen { // it would take the value's first quote away
				rest = rest[1:]
				continue
			}
			out.WriteString(string(rest[:min(2, len(rest))]))
			rest = rest[min(2, len(rest)):]
			continue
		}
		var taken int
		now, taken = next(now, rest)
		out.WriteString(string(rest[:taken]))
		rest = rest[taken:]
	}
	return out.String()
}

// next is how the shell reads after what stands first in rest, and how many runes that is.
func next(now []reading, rest []rune) ([]reading, int) {
	at := &now[len(now)-1]
	var second rune
	if len(rest) > 1 {
		second = rest[1]
	}
	switch r := rest[0]; {
	case at.quote == inSingle || at.quote == inANSI:
		if r == '\'' {
			at.quote = 0
		}
	case r == '$' && second == '(':
		return append(now, reading{until: ')'}), 2
	case r == '`' && at.until == '`' && at.quote == 0, r == ')' && at.until == ')' && at.quote == 0:
		return now[:len(now)-1], 1
	case r == '`':
		return append(now, reading{until: '`'}), 1
	case at.quote == inDouble:
		if r == '"' {
			at.quote = 0
		}
	case r == '(':
		return append(now, reading{until: ')'}), 1
	case r == '$' && second == '\'':
		at.quote = inANSI
		return now, 2
	case r == '\'' || r == '"':
		at.quote = r
	}
	return now, 1
}

// word is a value as one word, or part of one, where a shell reads like that.
func word(quote rune, value string) string {
	inner := strings.ReplaceAll(value, `'`, `'\''`)
	switch quote {
	case inSingle:
		return inner
	case inDouble:
		return `"'` + inner + `'"`
	case inANSI:
		return `''` + inner + `'$'`
	}
	return `'` + inner + `'`
}

// fit is a value without what nothing protects between backticks: there quotes are looked at last.
func fit(now []reading, value string) string {
	if !slices.ContainsFunc(now, func(r reading) bool { return r.until == '`' }) {
		return value
	}
	return strings.NewReplacer("`", "?", "$", "?", `\`, "?", `"`, "?").Replace(value)
}

func unmarked(s string) string {
	return strings.NewReplacer(string(markOpen), "", string(markClose), "").Replace(s)
}
