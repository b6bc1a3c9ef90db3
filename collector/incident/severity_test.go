package incident

import "testing"

// One vocabulary for rules and for alerts from outside.
func TestSeverityOf(t *testing.T) {
	for word, want := range map[string]Severity{"critical": Critical, "page": Critical, "P1": Critical, "Error": Critical, "warning": Warning, "": Warning,
		"teal": Warning, "info": Info, "none": Info} {
		if got := SeverityOf(word); got != want {
			t.Errorf("%q is %s, want %s", word, got, want)
		}
	}
}
