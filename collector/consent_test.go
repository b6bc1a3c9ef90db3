package collector

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// filed is a stage whose fleet is a directory of files, and writes one of them.
func filed(t *testing.T) (s *stage, write func(text string)) {
	t.Helper()
	dir := t.TempDir()
	s, _ = reloaded(t, func(c *Config) { c.Fleet.Directory = dir })
	return s, func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "acme.yml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// warnings reloads and answers what it warns of.
func (s *stage) warnings() []string {
	s.t.Helper()
	out, err := s.Reload(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return out.Warnings
}

// TestReloadAnswersWhatACheckFinds: a reload says of contracts, policies and receivers what `check config` says, and refuses
// what cannot be put into force in a check's words, with file and line.
func TestReloadAnswersWhatACheckFinds(t *testing.T) {
	s, write := filed(t)
	write("people:\n  - {id: eve, name: Eve, receivers: [no-such-receiver]}\ncustomers:\n  - {id: acme, contracts: [{id: a-1, sets: [erp-partner]}]}\n")
	got := s.warnings()
	for _, want := range []string{
		`acme.yml:2: person eve: receiver "no-such-receiver" is not in the configuration, which has desk: add it to receivers there, or correct the name`,
		"acme.yml:4: contract a-1: support (role engineer) can own tickets and nobody can be reached for it: give somebody the role",
	} {
		if !slices.ContainsFunc(got, func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	var checked []string
	for _, f := range CheckTerms(s.cfg, s.pipeline.Policies(), s.fleet.Directory(), s.now()) {
		checked = append(checked, f.String())
	}
	for _, w := range checked {
		if !slices.Contains(got, w) {
			t.Errorf("a check finds %q, the reload does not say it", w)
		}
	}
	write("customers:\n  - {id: acme, contracts: [{id: a-0, sets: [gone], until: 2020-12-31}]}\n")
	if got := s.warnings(); len(got) > 0 {
		t.Errorf("a contract that is over: %q", got)
	}
	write("customers:\n  - {id: acme, contracts: [{id: a-1, sets: [erp-partner, web-host]}]}\n")
	if _, err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "acme.yml:2: contract a-1: calendar: given by erp-partner and web-host: they come from exactly one set: say which with `override: {calendar: erp-partner}`") {
		t.Errorf("refused with %v", err)
	}
}

// TestFilesChangeWhoAnswers: files that change operating model or owners are in force; the client owner is asked on a ticket,
// once, however often it is reloaded.
func TestFilesChangeWhoAnswers(t *testing.T) {
	s, write := filed(t)
	declare := func(more string) {
		write("customers:\n  - id: acme\n    contacts: [{role: client-owner-user, name: Cleo, email: cleo@acme.example}]\n" +
			"    contracts:\n      - {id: a-1, sets: [it-provider]" + more + "}\n")
	}
	asked := func() (numbers []string) {
		number := regexp.MustCompile(`acme\.yml:5: contract a-1: (.+): client-owner-user has to approve it: (WB-\d+) asks for it`)
		for _, w := range s.warnings() {
			if m := number.FindStringSubmatch(w); m != nil {
				numbers = append(numbers, m[2]+" "+m[1])
			}
		}
		return numbers
	}
	want := func(got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("asked for %q, want %q", got, want)
		}
	}
	declare(", model: separate")
	want(asked())
	declare(", model: same-party")
	want(asked(), "WB-1001 operating model from separate to same-party")
	want(asked())
	declare(", model: same-party, owners: [{system: application, owner: it-provider}]")
	want(asked(), "WB-1002 owner of application from the policy set's own to it-provider")
	declare(", model: separate, owners: [{system: application, owner: it-provider}]")
	want(asked(), "WB-1003 operating model from same-party to separate")
	declare(", model: same-party, owners: [{system: application, owner: it-provider}]")
	want(asked(), "WB-1001 operating model from separate to same-party") // it is still open
	var open []ticket.Ticket
	if err := s.store.View(t.Context(), func(tx store.Tx) (err error) {
		open, err = tx.Tickets(store.TicketFilter{Customer: "acme", OpenOnly: true})
		return err
	}); err != nil || len(open) != 3 {
		t.Fatalf("%d tickets are open, %v", len(open), err)
	}
	for _, one := range open {
		if one.Owner != "client-owner" || one.Kind != ticket.KindRequest {
			t.Errorf("%s %q is a %s of %s", one.Number, one.Title, one.Kind, one.Owner)
		}
	}
	if err := s.fleet.PutCustomer(t.Context(), fleet.Customer{ID: "made"}, "ann"); err != nil {
		t.Fatal(err)
	}
	want(asked())
}

// TestFilesChangeAnew: what was approved is the change as it was made; one that was taken back and is made again is asked for
// anew, once.
func TestFilesChangeAnew(t *testing.T) {
	s, write := filed(t)
	client := ticket.By{Actor: ticket.Actor{Kind: ticket.Person, Name: "cleo"}, Roles: []string{string(fleet.ClientOwnerUser)}, Customer: "acme"}
	number := regexp.MustCompile(`client-owner-user has to approve it: (WB-\d+) asks for it`)
	for i, step := range []struct{ model, want, approve string }{
		{"separate", "", ""},
		{"same-party", "WB-1001", "WB-1001"},
		{"same-party", "", ""},
		{"separate", "WB-1002", ""},
		{"same-party", "WB-1003", ""},
		{"separate", "WB-1002", "WB-1002"}, // still open, and nobody approved it
		{"same-party", "WB-1003", "WB-1003"},
		{"separate", "WB-1004", ""},
		{"same-party", "WB-1005", ""},
	} {
		write("customers:\n  - id: acme\n    contracts:\n      - {id: a-1, sets: [it-provider], model: " + step.model + "}\n")
		got := ""
		for _, w := range s.warnings() {
			if m := number.FindStringSubmatch(w); m != nil {
				got += m[1]
			}
		}
		if got != step.want {
			t.Errorf("step %d, %s: asked on %q, want %q", i+1, step.model, got, step.want)
		}
		if step.approve == "" {
			continue
		}
		if _, err := s.pipeline.Act(t.Context(), step.approve, ticket.Action{Verb: ticket.Approve, What: policy.Consent}, client); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFilesChangeInTwoSteps: contracts that files take away, alone or with their customer, are what those that come back are
// held against; so are those that a command had declared.
func TestFilesChangeInTwoSteps(t *testing.T) {
	const without, other, customer = "customers:\n  - {id: acme}\n", "customers:\n  - {id: beta}\n",
		"customers:\n  - id: acme\n    contracts:\n      - {id: a-1, sets: [it-provider], model: "
	for name, steps := range map[string][]string{
		"no contracts":       {customer + "separate}\n", without},
		"no customer":        {customer + "separate}\n", other},
		"one, then both":     {customer + "separate}\n", without, other},
		"a command's":        {other, "PUT", "DELETE"},
		"a command's, empty": {other, "PUT", "EMPTY", "DELETE"},
	} {
		t.Run(name, func(t *testing.T) {
			s, write := filed(t)
			for _, step := range steps {
				c := fleet.Customer{ID: "acme", Contracts: []fleet.Contract{{ID: "a-1", Sets: []string{"it-provider"}, Model: fleet.ModelSeparate}}}
				var err error
				switch step {
				case "PUT":
					err = s.fleet.PutCustomer(t.Context(), c, "ann")
				case "EMPTY":
					err = s.fleet.PutCustomer(t.Context(), fleet.Customer{ID: "acme"}, "ann")
				case "DELETE":
					err = s.fleet.RemoveDeclared(t.Context(), fleet.DeclaredCustomer, "acme")
				default:
					write(step)
					s.warnings()
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			write(customer + "same-party}\n")
			if got := s.warnings(); !slices.ContainsFunc(got, func(w string) bool {
				return strings.Contains(w, "operating model from separate to same-party: client-owner-user has to approve it: WB-1001")
			}) {
				t.Errorf("nothing was asked: %q", got)
			}
		})
	}
}

// TestFilesChangeWhileNothingRuns: what files changed while the collector was down is asked for at its start, once.
func TestFilesChangeWhileNothingRuns(t *testing.T) {
	cfg := testConfig(t, diskRules)
	cfg.Fleet.Directory = t.TempDir()
	start := func(model string) *stage {
		t.Helper()
		text := "customers:\n  - id: acme\n    contracts:\n      - {id: a-1, sets: [it-provider], model: " + model + "}\n"
		if err := os.WriteFile(filepath.Join(cfg.Fleet.Directory, "acme.yml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return newStage(t, cfg)
	}
	for i, step := range []struct {
		model string
		want  int
	}{{"separate", 0}, {"same-party", 1}, {"same-party", 1}, {"separate", 2}} {
		s := start(step.model)
		var open []ticket.Ticket
		if err := s.store.View(t.Context(), func(tx store.Tx) (err error) {
			open, err = tx.Tickets(store.TicketFilter{Customer: "acme", OpenOnly: true})
			return err
		}); err != nil || len(open) != step.want {
			t.Errorf("start %d, %s: %d tickets ask for it, want %d (%v)", i+1, step.model, len(open), step.want, err)
		}
		s.Close()
	}
}
