package notify

import (
	"bytes"
	"io"
	"maps"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// checkMail reads a mail as mail programs do and sees that it says what it should and no more.
func checkMail(t *testing.T, raw []byte, headers string, n Notice) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("not a mail: %v\n%q", err, raw)
	}
	names := slices.Sorted(maps.Keys(m.Header))
	if n.What == "resolved" || n.What == "closed" {
		headers = strings.NewReplacer("Importance ", "", "Priority References", "References", "X-Msmail-Priority X-Priority ", "").Replace(headers)
	}
	if got := strings.Join(names, " "); got != headers {
		t.Errorf("header fields %s, want %s", got, headers)
	}
	for name, values := range m.Header {
		if len(values) != 1 {
			t.Errorf("%d fields %s", len(values), name)
		}
		text, err := new(mime.WordDecoder).DecodeHeader(values[0])
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, r := range text {
			if !unicode.IsPrint(r) {
				t.Errorf("%s holds %U: %q", name, r, text)
			}
		}
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{"What ", "Where ", "Since ", "Priority ", "State ", "First checks", "Firing (", "  ", "watchbill ticket "}
	for i, line := range strings.Split(strings.ReplaceAll(string(body), "\r\n", "\n"), "\n") {
		for _, r := range line {
			if !unicode.IsPrint(r) {
				t.Errorf("line %d holds %U: %q", i, r, line)
			}
		}
		if strings.Contains(line, "://") {
			t.Errorf("line %d holds a link: %q", i, line)
		}
		known := i == 0 || line == "" || slices.ContainsFunc(allowed, func(p string) bool { return strings.HasPrefix(line, p) })
		if !known {
			t.Errorf("line %d begins as no line of ours does: %q", i, line)
		}
	}
}
