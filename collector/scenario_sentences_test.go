package collector

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	// policiesDir holds the shipped sets, their scenarios and the list of sentences.
	policiesDir   = "../rules/policies/"
	sentencesFile = policiesDir + "sentences.yml"
	// policiesText is the text that the sentences are of. It lies beside the repository, where it lies at all.
	policiesText = "../../shared/POLICIES.md"
)

type sentence struct {
	ID   string `yaml:"id"`
	Text string `yaml:"text"`
}

func sentences(t *testing.T) []sentence {
	t.Helper()
	content, err := os.ReadFile(sentencesFile)
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Sentences []sentence `yaml:"sentences"`
	}
	d := yaml.NewDecoder(bytes.NewReader(content))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		t.Fatal(err)
	}
	return f.Sentences
}

func TestSentencesHaveIDsOfTheirOwn(t *testing.T) {
	id := regexp.MustCompile(`^(common|00[0-4])\.[1-9][0-9]*$`)
	seen := map[string]bool{}
	for _, s := range sentences(t) {
		if !id.MatchString(s.ID) || seen[s.ID] || s.Text == "" {
			t.Errorf("%q (%q): want an ID like common.3, used once, and a text", s.ID, s.Text)
		}
		seen[s.ID] = true
	}
	if len(seen) == 0 {
		t.Error("there are no sentences")
	}
}

// What the sentences quote is, one after the other, everything that the text says from its common model to the last document:
// none is missing, none is said otherwise.
func TestNoSentenceIsMissing(t *testing.T) {
	content, err := os.ReadFile(policiesText)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the text does not lie beside the repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for _, s := range sentences(t) {
		before, after, found := strings.Cut(text, s.Text)
		if !found {
			t.Errorf("%s: the text does not say %q, or not after the sentence before it", s.ID, s.Text)
			continue
		}
		if left := unsaid(before); left != "" {
			t.Errorf("before %s the text says %q, which is no sentence of the list", s.ID, left)
		}
		text = after
	}
	if left, _, _ := strings.Cut(text, "\n## "); strings.TrimSpace(left) != "" {
		t.Errorf("after the last sentence the text says %q, which is no sentence of the list", left)
	}
}

// introduction is everything before the common model.
var introduction = regexp.MustCompile(`(?s)^.*## Common model\n`)

// headings are the only words that are no sentences.
var headings = regexp.MustCompile(`(?m)^## .*$|^- `)

func unsaid(s string) string {
	return strings.TrimSpace(headings.ReplaceAllString(introduction.ReplaceAllString(s, ""), ""))
}
