package sample

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/watchbill/watchbill/agent/wire"
)

// redacted stands where a secret stood.
const redacted = "[redacted]"

// maxRedact bounds the text that is searched for secrets; what is beyond it is cut off, not let through.
const maxRedact = 64 << 10

// RedactConfig says what is taken out of texts besides what always is.
type RedactConfig struct {
	// Email takes out e-mail addresses.
	Email bool `yaml:"email"`
	// Patterns are regular expressions (RE2). What their first group matches is taken out, or the whole match where
	// there is no group.
	Patterns []string `yaml:"patterns"`
}

func (c RedactConfig) validate() []error {
	var errs []error
	for i, p := range c.Patterns {
		re, err := regexp.Compile(p)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("redact.patterns[%d]: want a regular expression (RE2), got %q: %w", i, p, err))
		case re.MatchString(""):
			errs = append(errs, fmt.Errorf("redact.patterns[%d]: %q matches nothing at all, and so everywhere: say what must be there", i, p))
		}
	}
	return errs
}

// Redactor takes secrets out of texts before they leave the host: passwords in URLs, connection strings, command lines
// and SQL, tokens, authorization headers, cloud keys, private keys, hashes of passwords. What it recognises is in
// redactions. It looks at one text at a time: a secret that is spread over several lines of a log is recognised only by
// what each line shows. It is safe for concurrent use; its time is linear in the text (RE2).
type Redactor struct {
	rules    []redaction
	programs programs
}

// NewRedactor compiles c. The error names every pattern that is none.
func NewRedactor(c RedactConfig) (*Redactor, error) {
	if err := errors.Join(c.validate()...); err != nil {
		return nil, err
	}
	r := &Redactor{rules: builtin(), programs: newPrograms(commands())}
	if c.Email {
		r.rules = append(r.rules, redaction{hints: []string{"@"}, match: regexp.MustCompile(`[\w.+-]+@[\w-]+(?:\.[\w-]+)+`)})
	}
	for _, p := range c.Patterns {
		r.rules = append(r.rules, redaction{match: regexp.MustCompile(p), group: min(1, regexp.MustCompile(p).NumSubexp())})
	}
	return r, nil
}

// Text is s without the secrets that can be recognised in it, each replaced by "[redacted]". It is valid UTF-8.
func (r *Redactor) Text(s string) string { return r.text(s, false) }

// text is Text; whole says that s is one argument of a command.
func (r *Redactor) text(s string, whole bool) string {
	s = wire.Clean(s, maxRedact)
	lower := strings.ToLower(s)
	for _, rule := range r.rules {
		if !rule.worthTrying(lower) {
			continue
		}
		if out := rule.apply(s); out != s {
			s, lower = out, strings.ToLower(out)
		}
	}
	f := newFinder(s, whole)
	f.urls()
	f.pairs()
	f.options()
	f.sql(lower)
	f.commands(r.programs, lower)
	return f.without()
}

// Command is a command line of these arguments, those with blanks in quotes, without the secrets in it. Arguments are
// looked at one by one: what a secret holds cannot end it before its argument does.
func (r *Redactor) Command(arguments []string) string {
	secrets, _ := r.programs.secrets(arguments)
	words := make([]string, len(arguments))
	for i, a := range arguments {
		if from, ok := argumentSecret(arguments, i, secrets); ok {
			words[i] = quoteWord(r.text(a[:from], true) + redacted)
			continue
		}
		words[i] = quoteWord(r.text(a, true))
	}
	return strings.Join(words, " ")
}

// Error is err with what it says redacted; nil for nil. It wraps err.
func (r *Redactor) Error(err error) error {
	if err == nil {
		return nil
	}
	said := err.Error()
	if text := r.Text(said); text != said {
		return redactedError{err, text}
	}
	return err
}

type redactedError struct {
	error
	text string
}

func (e redactedError) Error() string { return e.text }

func (e redactedError) Unwrap() error { return e.error }

// redactedSampler is a sampler of whose words none is told with a secret in it: tables, events and errors.
type redactedSampler struct {
	Sampler
	redact *Redactor
}

// Read fails, and panics, as the sampler does.
func (s redactedSampler) Read(ctx context.Context, now time.Time) (Reading, error) {
	defer s.redact.panicking()
	r, err := s.Sampler.Read(ctx, now)
	s.redact.reading(r)
	return r, s.redact.Error(err)
}

// panicking is deferred: it takes the secrets out of what a panic says, and lets it go on.
func (r *Redactor) panicking() {
	if p := recover(); p != nil {
		panic(r.Text(fmt.Sprint(p))) // the stack of the first still stands below
	}
}

// reading takes the secrets out of what a sampler tells in words: tables and events.
func (r *Redactor) reading(in Reading) {
	for _, t := range in.Tables {
		r.table(t)
	}
	for _, e := range in.Events {
		e.Text = wire.Clean(r.Text(e.Text), wire.DefaultLimits().TextBytes)
		for k, v := range e.Fields {
			e.Fields[k] = wire.Clean(r.Text(v), wire.DefaultLimits().TextBytes)
		}
	}
}

func (r *Redactor) table(t *wire.Table) {
	t.NoneBecause = wire.Clean(r.Text(t.NoneBecause), wire.DefaultLimits().TextBytes)
	for _, row := range t.Rows {
		for i, c := range row.Cells {
			row.Cells[i] = wire.Clean(r.Text(c), wire.DefaultLimits().CellBytes)
		}
	}
}

// redaction recognises one kind of secret.
type redaction struct {
	// hints are in lower case; a text without any of them need not be searched. None: always search.
	hints []string
	// try does the same where no hint can: a cheap look before the expression.
	try   func(lower string) bool
	match *regexp.Regexp
	// group is the number of the group that is the secret; anyGroup: whichever there is.
	group int
	// spare says that what was found is none.
	spare func(found) bool
}

// anyGroup is the first group that matches something.
const anyGroup = -1

// found is what may be a secret, in the match that found it, and what stands before that.
type found struct{ secret, match, before string }

func (r redaction) worthTrying(lower string) bool {
	if r.try != nil {
		return r.try(lower)
	}
	for _, h := range r.hints {
		if strings.Contains(lower, h) {
			return true
		}
	}
	return len(r.hints) == 0
}

// longRun is the length from which a run of letters and digits may be a key without a name.
const longRun = 60

func hasLongRun(s string) bool {
	run := 0
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '_' || c == '-' {
			if run++; run >= longRun {
				return true
			}
			continue
		}
		run = 0
	}
	return false
}

func (r redaction) apply(s string) string {
	var out strings.Builder
	done := 0
	for _, at := range r.match.FindAllStringSubmatchIndex(s, -1) {
		g := r.group
		if g == anyGroup {
			for g = 1; g < len(at)/2-1 && at[2*g] < 0; g++ {
			}
		}
		from, to := at[2*g], at[2*g+1]
		if from < 0 || from == to || strings.TrimRight(s[from:to], `\`) == redacted {
			continue
		}
		if r.spare != nil && r.spare(found{s[from:to], s[at[0]:at[1]], s[:at[0]]}) {
			continue
		}
		out.WriteString(s[done:from])
		out.WriteString(redacted)
		done = to
	}
	if done == 0 {
		return s
	}
	out.WriteString(s[done:])
	return out.String()
}

// harmless are words that stand where a value would and are none.
var harmless = map[string]bool{
	"yes": true, "no": true, "true": true, "false": true, "null": true, "nil": true, "none": true, "undefined": true,
	"required": true, "missing": true, "invalid": true, "incorrect": true, "wrong": true, "expired": true, "empty": true,
	"unset": true, "changed": true, "ok": true, "failed": true, "is": true, "was": true, "for": true, "must": true,
	"not": true, "and": true, "or": true, "has": true, "(null)": true, "": true, "enabled": true, "disabled": true,
	"rejected": true, "denied": true, "authentication": true,
}

// plainWord spares values that are no values, and `unexpected token: x` of parsers.
func plainWord(f found) bool {
	word := strings.ToLower(strings.Trim(f.secret, `"'\.,)]}`))
	return harmless[word] || strings.Trim(word, "*x") == "" || strings.HasSuffix(strings.ToLower(f.before), "unexpected ")
}

// definesUser are the statements of SQL that give a user a password.
var definesUser = regexp.MustCompile(`(?i)\b(?:create|alter|grant)\b`)

// notSQL spares "identified by" in a sentence.
func notSQL(f found) bool {
	return !strings.HasPrefix(f.match, "IDENTIFIED") && !definesUser.MatchString(f.before[max(0, len(f.before)-300):]) || plainWord(f)
}

// notSecretElement spares what stands in an element of XML whose name names no secret.
func notSecretElement(f found) bool {
	name := f.match[1 : 1+strings.IndexAny(f.match[1:], " \t\r\n>")]
	return !secretName(name) || plainWord(f)
}

// notBasic spares what is no base64 of user:password.
func notBasic(f found) bool {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(f.secret, "="))
	return err != nil || !utf8.Valid(b) || !strings.Contains(string(b), ":")
}

// notRandom spares what is too plain to be a key or token: words, paths, hexadecimal digests.
func notRandom(f found) bool {
	var upper, lower, digit, slash int
	for _, c := range f.secret {
		switch {
		case 'A' <= c && c <= 'Z':
			upper++
		case 'a' <= c && c <= 'z':
			lower++
		case '0' <= c && c <= '9':
			digit++
		case c == '/':
			slash++
		}
	}
	return upper == 0 || lower == 0 || digit == 0 || slash > len(f.secret)/12
}

// shortWord spares a word after `bearer`.
func shortWord(f found) bool {
	return len(f.secret) < 20 && !strings.ContainsAny(f.secret, "0123456789._~+/=-")
}
