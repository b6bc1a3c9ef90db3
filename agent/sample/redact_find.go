package sample

import (
	"cmp"
	"slices"
	"strings"
)

const (
	// findWork is how many bytes are looked at for each byte of a text before the rest of it is given up and taken out: so
	// the time is linear whatever the text. Ordinary ones need two or three.
	findWork = 64
	// valueWords is how far a value without quotes may reach over spaces to the semicolon that ends it.
	valueWords = 128
)

// span is a part of a text.
type span struct{ from, to int }

// finder looks for secrets that are known by what stands before them. What it finds may overlap: nothing that was found
// hides what lies within or begins there.
type finder struct {
	s string
	// whole says that s is one argument of a command, so that its end is the end of a value and spaces are not.
	whole bool
	work  int
	spans []span
	// namedValue is where a pair ended that names the next value a secret: {"name": "DB_PASSWORD", "value": …}.
	namedValue int
}

func newFinder(s string, whole bool) *finder {
	return &finder{s: s, whole: whole, work: findWork*len(s) + 4096, namedValue: -1}
}

// without is the text without what was found.
func (f *finder) without() string {
	if len(f.spans) == 0 {
		return f.s
	}
	slices.SortFunc(f.spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var out strings.Builder
	done := 0
	for i := 0; i < len(f.spans); {
		at := f.spans[i]
		for i++; i < len(f.spans) && f.spans[i].from <= at.to; i++ {
			at.to = max(at.to, f.spans[i].to)
		}
		out.WriteString(f.s[done:at.from])
		out.WriteString(redacted)
		done = at.to
	}
	out.WriteString(f.s[done:])
	return out.String()
}

// add takes note of a secret; what has been taken out before is none.
func (f *finder) add(from, to int) {
	if from < to && strings.Trim(f.s[from:to], "\"'`\\") != redacted {
		f.spans = append(f.spans, span{from, to})
	}
}

// spend says whether n more bytes may be looked at. When they may not, everything from there on is taken out.
func (f *finder) spend(from, n int) bool {
	if f.work -= n; f.work >= 0 {
		return true
	}
	f.add(from, len(f.s))
	return false
}

// pairs finds name=value, "name": "value", name => value.
func (f *finder) pairs() {
	for i := 0; i < len(f.s) && f.work >= 0; i++ {
		if c := f.s[i]; c != '=' && c != ':' && c != '%' {
			continue
		}
		kind, n := separator(f.s, i)
		if n == 0 {
			continue
		}
		if kind != 0 {
			if name, ok := nameBefore(f.s, i); ok {
				f.pair(name, kind, i+n)
			}
		}
		i += n - 1
	}
}

// pair looks at one pair, whose value begins at from or after blanks.
func (f *finder) pair(n named, kind byte, from int) {
	after := from
	for from < len(f.s) && isBlank(f.s[from]) && kind != '%' {
		from++
	}
	switch lower := strings.ToLower(n.name); {
	case secretName(n.name):
	case lower == "auth" && (kind == '=' || n.quoted && !notBasic(found{secret: f.quotedContent(from)})):
	case lower == "name" || lower == "key":
		if v := f.quotedContent(from); v != "" && secretName(v) {
			f.namedValue = from + len(v) + 2
		}
		return
	case lower == "value" && f.namedValue >= 0 && n.from-f.namedValue < 12:
		f.namedValue = -1
	default:
		return
	}
	at := f.value(n, kind, from)
	if kind == '=' && from == after && !n.quoted && !strings.HasPrefix(f.s[from:], redacted) { // 'name=a value in quotes'
		if end, ok := f.enclosed(n.from); ok && end > at.to {
			at.to = end
		}
	}
	if !f.harmlessValue(n, kind, at) {
		f.add(at.from, at.to)
	}
}

// harmlessValue says whether a value is none: a word of a sentence, the working directory, a file that holds the secret.
func (f *finder) harmlessValue(n named, kind byte, at span) bool {
	v := f.s[at.from:at.to]
	lower := strings.ToLower(n.name)
	before := f.s[max(0, n.from-16):n.from]
	switch {
	case plainWord(found{secret: v, before: before}):
		return true
	case strings.HasPrefix(v, "/") && (n.name == "PWD" || n.name == "OLDPWD"):
		return true
	case !strings.Contains(lower, "pass") && filePath.MatchString(v):
		return true
	case kind == ':' && !n.quoted && lower == "sshpass": // says the program of that name
		return true
	case kind == ':' && !n.quoted && lower == "pass": // PASS: TestThis, pass: 12 fail: 0
		return n.name == "PASS" || strings.Trim(v, "0123456789,;.") == ""
	}
	return false
}

// value is where the value is that begins at from.
func (f *finder) value(n named, kind byte, from int) span {
	s := f.s
	if kind == '%' {
		return f.encoded(from)
	}
	start := from
	if strings.HasPrefix(s[from:], redacted) {
		from += len(redacted) // what has been taken out before may have been its beginning
		if from == len(s) || isBlank(s[from]) || strings.IndexByte("\"'`,;:)]}>&|\\", s[from]) >= 0 {
			return span{start, from}
		}
		return span{start, f.bare(n, kind, from)}
	}
	if at, ok := f.quoted(from, kind == ':'); ok {
		return at
	}
	if from < len(s) && (s[from] == '{' || s[from] == '[') {
		if end, ok := f.bracketed(from, kind); ok {
			return span{from, end}
		}
	}
	return span{from, f.bare(n, kind, from)}
}

// encoded is a value behind a percent-encoded separator. It ends where the next one or its quotes do.
func (f *finder) encoded(from int) span {
	s := f.s
	quoted := strings.HasPrefix(s[from:], "%22")
	if quoted {
		from += 3
	}
	i := from
	for i < len(s) && !isBlank(s[i]) && !f.closes(i) && s[i] != '&' {
		if s[i] == '%' && len(s) > i+2 {
			code := strings.ToUpper(s[i+1 : i+3])
			if code == "22" || !quoted && (code == "26" || code == "20" || code == "7D" || code == "0A") {
				break
			}
		}
		i++
	}
	f.spend(i, i-from)
	return span{from, i}
}

// quoted is a value in quotes, which may be escaped themselves, to its closing quote or, without one, to the end of the
// text. Doubled quotes and escaped ones are part of it; where \"" may be either, it is both but in json.
func (f *finder) quoted(from int, json bool) (span, bool) {
	s := f.s
	if from+1 < len(s) && strings.IndexByte("bBuUrRfFNnE@", s[from]) >= 0 && (s[from+1] == '"' || s[from+1] == '\'') {
		from++ // as some languages and SQL have it
	}
	n := 0
	for from+n < len(s) && s[from+n] == '\\' {
		n++
	}
	if from+n >= len(s) || s[from+n] != '"' && s[from+n] != '\'' && s[from+n] != '`' {
		return span{}, false
	}
	from += n + 1
	return span{from, f.closing(from, s[from-1], n, json && s[from-1] == '"')}, true
}

// closing is where the quote is, with what escapes it, that closes what was opened with n backslashes before it.
func (f *finder) closing(from int, quote byte, n int, json bool) int {
	s, escapes := f.s, 0
	for i := from; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			escapes++
			continue
		case s[i] != quote:
		case escapes%(2*(n+1)) != n: // one within
			if n == 0 && !json && i+1 < len(s) && s[i+1] == quote {
				i++
			}
		case n == 0 && i+1 < len(s) && s[i+1] == quote:
			i++ // doubled, which stands for one within
		default:
			f.spend(i, i-from)
			return i - n
		}
		escapes = 0
	}
	f.spend(from, len(s)-from)
	return len(s)
}

// quotedContent is the short text in quotes at from, empty when there is none.
func (f *finder) quotedContent(from int) string {
	for _, q := range []byte{'"', '\''} {
		if from < len(f.s) && f.s[from] == q {
			rest := f.s[from+1 : min(len(f.s), from+1+4*maxName)]
			if i := strings.IndexByte(rest, q); i > 0 {
				return rest[:i]
			}
		}
	}
	return ""
}

// enclosed is the end of the quotes that were opened just before i.
func (f *finder) enclosed(i int) (int, bool) {
	if i == 0 || f.s[i-1] != '"' && f.s[i-1] != '\'' {
		return 0, false
	}
	n := 0
	for i-2-n >= 0 && f.s[i-2-n] == '\\' {
		n++
	}
	return f.closing(i, f.s[i-1], n, false), true
}

// bracketed is the end of what stands in braces or brackets: with = as ODBC has it, {a;b} with } doubled within, and
// otherwise a structure.
func (f *finder) bracketed(from int, kind byte) (int, bool) {
	s, depth := f.s, 0
	end := min(len(s), from+4<<10)
	for i := from; i < end; i++ {
		switch s[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if kind == '=' && s[from] == '{' {
				if s[i] != '}' {
					continue
				}
				if i+1 < end && s[i+1] == '}' {
					i++
					continue
				}
				depth = 1
			}
			if depth--; depth == 0 {
				f.spend(i, i-from)
				return i + 1, true
			}
		}
	}
	f.spend(from, end-from)
	return 0, false
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
