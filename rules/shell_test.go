package rules

import (
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// checksOf is first_checks of a rule with this template, for a result with these labels.
func checksOf(t testing.TB, template string, lbls labels.Labels) string {
	t.Helper()
	r := &Rule{Alert: "A", Annotations: labels.FromStrings(firstChecks, template, "summary", "{{ $labels.x }}")}
	found, err := r.found(t.Context(), Input{At: epoch, Result: promql.Vector{{F: 1, Metric: lbls}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range found {
		if got := a.Annotations.Get("summary"); got != lbls.Get("x") {
			t.Errorf("summary %q was changed", got)
		}
		return a.Annotations.Get(firstChecks)
	}
	t.Fatal("no alert")
	return ""
}

func TestFirstChecksAreQuoted(t *testing.T) {
	for name, c := range map[string]struct{ template, value, want string }{
		"plain":                  {"df -h '{{ $labels.x }}'", "/srv/a-b_c.d:e@f%g+h", "df -h '/srv/a-b_c.d:e@f%g+h'"},
		"plain, no quotes":       {"ethtool {{ $labels.x }}", "eth0.5", "ethtool eth0.5"},
		"empty":                  {"ls {{ $labels.x }}", "", "ls "},
		"a space":                {"ethtool {{ $labels.x }}", "a b", "ethtool 'a b'"},
		"part of a word":         {"cat /proc/{{ $labels.x }}/y", "a b", "cat /proc/'a b'/y"},
		"a quote in quotes":      {"df '{{ $labels.x }}' /", "it's", `df 'it'\''s' /`},
		"a command in quotes":    {"df '{{ $labels.x }}'", "';reboot;'", `df ''\'';reboot;'\'''`},
		"a command":              {"df {{ $labels.x }}", "$(reboot)", "df '$(reboot)'"},
		"in double quotes":       {`df "{{ $labels.x }}"`, "$(reboot)", `df ""'$(reboot)'""`},
		"in a substitution":      {`echo "$(ls {{ $labels.x }}) {{ $labels.x }}"`, "a b", `echo "$(ls 'a b') "'a b'""`},
		"in backticks":           {"echo \"`ls {{ $labels.x }}`\"", "a b", "echo \"`ls 'a b'`\""},
		"in a subshell":          {"(ls '(') {{ $labels.x }}", "a b", "(ls '(') 'a b'"},
		"in ANSI quotes":         {`printf $'\'{{ $labels.x }}'`, `\'a`, `printf $'\'''\'\''a'$''`},
		"behind a backslash":     {`ls \{{ $labels.x }}`, "a b", "ls 'a b'"},
		"behind a quoted one":    {`ls \"{{ $labels.x }}`, "a b", `ls \"'a b'`},
		"and in double quotes":   {`ls "\{{ $labels.x }}"`, "a b", `ls ""'a b'""`},
		"a line of its own":      {"ls {{ $labels.x }}", "a\nreboot", "ls 'a?reboot'"},
		"an apostrophe in prose": {"Ask the host's users about {{ $labels.x }}.\ndf {{ $labels.x }}", "a b", "Ask the host's users about a b.\ndf 'a b'"},
		"changed by a template":  {"ls {{ $labels.x | toUpper }}", "a b", "ls 'A B'"},
		"quoted by a template":   {`ls {{ printf "%q" $labels.x }}`, "$(a)", `ls ""'$(a)'""`},
		"cut by a template":      {"ls {{ slice $labels.x 0 6 }} /", "$(a)bcd", "ls '$(a /'"},
		"cut at its beginning":   {"ls {{ slice $labels.x 3 }} /", "$(a)b", "'ls $(a)b /'"},
		"a mark in the value":    {"ls {{ $labels.x }}", "\u2e29$(a)\u2e28", "ls '?$(a)?'"},
		"no template":            {"it's $(fine)", "a b", "it's $(fine)"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := checksOf(t, c.template, labels.FromStrings("x", c.value)); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

// Whatever a value holds, a shell that is given the line sees it as it is, and runs nothing of it.
func TestAShellSeesTheValue(t *testing.T) {
	sh, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here: the table above says the same of every place it knows")
	}
	places := map[string]string{ // and what else the shell sees there
		"{{ $labels.x }}": "", "'{{ $labels.x }}'": "", `"{{ $labels.x }}"`: "", `"$(printf %s {{ $labels.x }})"`: "",
		`"$(printf %s "{{ $labels.x }}")"`: "", `$'{{ $labels.x }}'`: "", "\"`printf %s {{ $labels.x }}`\"": "",
		"\"`printf %s '{{ $labels.x }}'`\"": "", `"a"'b'\"{{ $labels.x }}`: `ab"`, `\{{ $labels.x }}`: "",
		`{{ printf "%s" $labels.x }}`: "",
	}
	var script strings.Builder
	var said, want []string
	for place, also := range places {
		for _, v := range nasty() {
			line := checksOf(t, place, labels.FromStrings("x", v))
			script.WriteString(`printf '%s\n' ` + line + "\n")
			seen := strings.Map(shown, v)
			if strings.Contains(place, "`") {
				seen = fit([]reading{{until: '`'}}, seen)
			}
			said, want = append(said, line), append(want, also+seen)
		}
	}
	cmd := exec.Command(sh, "--norc", "-s")
	cmd.Stdin, cmd.Env = strings.NewReader(script.String()), []string{"PATH=/nowhere"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("of %s the shell saw %q, want %q", said[i], got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
}

// nasty are values made of what means something to a shell: each alone, each with each, and many together.
func nasty() (values []string) {
	bits := []string{"'", `"`, "$(echo no)", "`echo no`", `\`, " ", ";", "a", "!", "*", "$x", "|", "#", "(", ")", "$", "\u2e28", "é"}
	for _, a := range bits {
		values = append(values, a)
		for _, b := range bits {
			values = append(values, a+b)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var v strings.Builder
		for range 3 + rnd.IntN(6) {
			v.WriteString(bits[rnd.IntN(len(bits))])
		}
		values = append(values, v.String())
	}
	return values
}
