package ticket

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// prerequisites are what access to an application rests on at the client's side.
var prerequisites = []string{"device", "browser", "network"}

// considerations are what an announced change is looked at for.
var considerations = []string{"monitoring", "other-actions"}

// mailFindings tell a mail that the client's side holds back from one that the provider's does.
var mailFindings = map[string]string{
	"quarantine": "the client's mail gateway holds it in quarantine",
	"junk":       "the client's mail program or gateway took it for junk",
	"smtp-block": "the provider's SMTP service blocks or refuses it",
}

// mailNothing is the finding that the mail is held nowhere that was looked: it is kept, and shows nothing.
const mailNothing = "nothing-found"

// What Ticks are kept under: the group, a slash and the name.
const (
	tickPrerequisite = "prerequisite/"
	tickConsidered   = "considered/"
	tickMail         = "mail/"
	tickDocument     = "document/"
	tickStep         = "step/"
	tickChecklist    = "checklist/"
	tickEvidence     = "evidence/"
	// tickUnknown marks evidence that was said to be unknown, beside its own tick.
	tickUnknown = "unknown/"
)

var recordNeeds = []NeedKind{
	{Kind: needRecord, Asks: "each part of the incident record has entries, or says why there are none or why they are not known",
		Names: "the parts, all five when empty: time, symptoms, affected_users, error_references, actions_taken", Gives: GivePart, check: lacksRecord},
	{Kind: needPrerequisites, Asks: "the prerequisites of access are confirmed",
		Names: "what is to be confirmed; device, browser, network when empty", Gives: Confirm, check: func(q asked) []string {
			return q.unticked(tickPrerequisite, q.named(prerequisites...), "confirm that it was checked, and what was found (confirm %s)")
		}},
	{Kind: needConsidered, Asks: "it is recorded what follows from an announced change, or why nothing does",
		Names: "what is to be considered; monitoring, other-actions when empty", Gives: Confirm, check: func(q asked) []string {
			return q.unticked(tickConsidered, q.named(considerations...), "record what is to be done, or why nothing is (confirm %s)")
		}},
	{Kind: needMail, Asks: "there is evidence that tells client quarantine or junk from a provider's SMTP block",
		Gives: Confirm, check: func(q asked) []string {
			for finding := range mailFindings {
				if _, ok := q.t.Ticks[tickMail+finding]; ok {
					return nil
				}
			}
			return []string{"mail-evidence: show where the mail is held: quarantine, junk or smtp-block, with the entry, header or bounce that shows it (confirm)"}
		}},
	{Kind: needEvidence, Asks: "what the type of ticket wants as evidence is attached; what cannot be had is said to be unknown, with why",
		Names: "the pieces of evidence; those of the type when empty", Gives: GivePart, check: func(q asked) []string {
			ty, _ := q.terms.Type(q.t.Type)
			return q.unticked(tickEvidence, q.named(ty.Evidence...), "attach it, or say \"unknown, because …\" (record %q)")
		}},
	{Kind: needFacts, Asks: "facts are said", Names: "the facts", NeedsNames: true, check: func(q asked) []string {
		var out []string
		for _, name := range q.n.Names {
			if q.facts[name] == "" {
				out = append(out, name+": say it (set "+name+"=…)")
			}
		}
		return out
	}},
}

func lacksRecord(q asked) []string {
	ask := map[Part]string{
		PartTime:     "say when it began and was noticed",
		PartSymptoms: "say what is seen of it",
		PartUsers:    "say who is affected, and how many",
		PartErrors:   "give the error messages, codes or log entries",
		PartActions:  "say what was done about it so far",
	}
	var out []string
	for _, p := range Parts {
		if len(q.n.Names) > 0 && !slices.Contains(q.n.Names, string(p)) || q.t.Parts[p] != "" {
			continue
		}
		out = append(out, fmt.Sprintf("%s: %s, or \"none, because …\" or \"unknown, because …\" (record %s)", p, ask[p], p))
	}
	return out
}

// unticked are the names that have no signature in a group; say tells what to do, with the name in it.
func (q asked) unticked(group string, names []string, say string) []string {
	var out []string
	for _, name := range names {
		if _, ok := q.t.Ticks[group+name]; !ok {
			out = append(out, name+": "+fmt.Sprintf(say, name))
		}
	}
	return out
}

// noneWords begin an answer that gives nothing.
var noneWords = []string{"none", "unknown", "not known", "not applicable", "n/a", "na", "nil", "-", "?"}

// gives reads an answer: given says that it says something, none that it says why there is nothing. "None" alone is
// neither, "none, because the host is spare" is both: the reason has a few words.
func gives(text string) (given, none bool) {
	text = strings.TrimSpace(text)
	for _, w := range noneWords {
		rest, ok := cutWord(text, w)
		if !ok || startsWithLetter(rest) && w != "-" && w != "?" {
			continue
		}
		rest = strings.TrimLeft(rest, " \t\n.,:;-–—?!()")
		for _, joint := range []string{"because", "as", "since", "reason"} {
			if after, ok := cutWord(rest, joint); ok && !startsWithLetter(after) {
				rest = after
			}
		}
		return letters(rest) >= 3 && words(rest) >= 2, true
	}
	return letters(text) >= 1, false
}

// cutWord cuts a word of ASCII, in either case, from the beginning of a text.
func cutWord(text, word string) (rest string, ok bool) {
	if len(text) < len(word) || !strings.EqualFold(text[:len(word)], word) {
		return text, false
	}
	return text[len(word):], true
}

func isLetter(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

func startsWithLetter(s string) bool {
	for _, r := range s {
		return isLetter(r)
	}
	return false
}

// words counts what has letters or digits between spaces.
func words(s string) int {
	n := 0
	for _, w := range strings.Fields(s) {
		if letters(w) > 0 {
			n++
		}
	}
	return n
}

// letters counts letters and digits: punctuation alone says nothing.
func letters(s string) int {
	n := 0
	for _, r := range s {
		if isLetter(r) {
			n++
		}
	}
	return n
}
