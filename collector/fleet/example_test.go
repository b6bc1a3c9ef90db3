package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// example is the README's directory.
func example(t testing.TB) string {
	t.Helper()
	_, rest, ok := strings.Cut(readme(t), "```yaml\n")
	body, _, ok2 := strings.Cut(rest, "```\n")
	if !ok || !ok2 {
		t.Fatal("the README has no example")
	}
	return body
}

// loadText reads a directory of one file.
func loadText(t testing.TB, body string) (Directory, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "fleet.yml"), []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadDirectory(dir)
}

func mustLoad(t testing.TB, body string) Directory {
	t.Helper()
	d, err := loadText(t, body)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// lineOf is the line of body on which part begins.
func lineOf(t testing.TB, body, part string) int {
	t.Helper()
	if n := strings.Count(body, part); n != 1 {
		t.Fatalf("the example has %q %d times", part, n)
	}
	return strings.Count(body[:strings.Index(body, part)], "\n") + 1
}

// TestExample: the README's example is read as it is meant, and every part knows where it stands.
func TestExample(t *testing.T) {
	body := example(t)
	d := mustLoad(t, body)
	at := func(part string) string { return fmt.Sprintf("fleet.yml:%d", lineOf(t, body, part)) }
	acme := Customer{
		ID: "acme", Name: "Acme Ltd", Department: "sas", Zone: "Europe/London", At: at("- id: acme   "),
		Instructions: "Call the shop before you restart anything.\nNobody is there on Sundays.\n",
		Contacts: []Contact{
			{Role: ProjectManager, Person: "bob", At: at("- {role: project-manager")},
			{Role: ClientOwnerUser, Name: "Clara Owner", Email: "clara@acme.example", At: at("- {role: client-owner-user")},
		},
		Contracts: []Contract{{
			ID: "acme-2026", Customer: "acme", At: at("- id: acme-2026"),
			Sets:     []string{"customer-operations", "it-provider"},
			Override: map[string]string{"targets": "customer-operations", "gate.four-eyes": "customer-operations"},
			From:     "2026-01-01", Until: "2026-12-31", Agreement: "A-77", Cover: "24x7", OnCall: true,
			Zone: "Europe/London", Region: "GB-ENG",
			Overlays: []Overlay{{
				Name: "year-end", From: "2026-12-20", Until: "2026-12-31", Holidays: true, At: at("- {name: year-end"),
				Hours: map[string]Spans{"mon-fri": {"07:00-22:00"}, "sat": {"08:00-12:00", "13:00-17:00"}},
			}},
			Targets: []Target{{Priority: "P1", Clock: "response", Within: "30m,business", At: at("- {priority: P1")}},
			Phase:   PhaseLive, Ordered: "2025-12-01", Paid: "2025-12-05", Entitled: "2026-01-01", Model: ModelSeparate,
			Owners:   []Owner{{System: "application", Owner: "it-provider", Agreement: "A-78", At: at("- {system: application")}},
			Supports: []string{"hosting", "maintenance"},
			Terms:    "First response within thirty minutes of working time.",
		}},
		Applications: []Application{{
			Name: "Shop", Version: "3.1", Vendor: "Shopware House", SupportEnds: "2027-03-31", Responsible: "bob", Approved: true,
			At: at("- {name: Shop,"),
		}},
		Sites: []Site{{ID: "leeds", Name: "Leeds shop", At: at("- id: leeds"), Assets: []Asset{{
			Name: "web1.acme.example", Customer: "acme", Site: "leeds", Kind: Host, Role: "web server of the shop", Users: 250,
			Criticality: CriticalAsset, Environment: Production, Versions: map[string]string{"os": "Windows Server 2022", "iis": "10.0"},
			SupportEnds: "2031-10-14", Responsible: "bob", Supplied: CompanySupplied, Declared: true, At: at("- name: web1.acme"),
		}, {
			Name: "fw1.acme.example", Customer: "acme", Site: "leeds", Kind: Device, Declared: true, At: at("- name: fw1.acme"),
		}}}},
	}
	want := Directory{
		People: []Person{
			{ID: "anna", Name: "Anna Berg", Email: "anna@example.com", Phone: "+44 113 496 0001", Receivers: []string{"mail-anna"}, At: at("- {id: anna")},
			{ID: "bob", Name: "Bob Lee", Receivers: []string{"page-bob"}, At: at("- {id: bob")},
		},
		Contacts: []Contact{{Role: TechnicalOperationManager, Person: "anna", At: at("- {role: technical-operation-manager")}},
		Departments: []Department{{ID: "sas", Name: "SAS", Zone: "Europe/London", Customer: true, At: at("- id: sas"),
			Contacts: []Contact{{Role: ITOpsManager, Person: "anna", At: at("- {role: it-ops-manager")}}}},
		ApprovedSoftware: []Software{
			{Name: "Microsoft Teams", Versions: []string{"*"}, Kind: KindApplication, At: at("- {name: Microsoft")},
			{Name: "ShopClient", Versions: []string{"3.1", "4.*"}, Kind: KindSoftware, At: at("- {name: ShopClient")},
		},
		Customers: []Customer{acme},
	}
	if diff := cmp.Diff(want, d, cmp.AllowUnexported(Directory{})); diff != "" {
		t.Errorf("the example (-want +got):\n%s", diff)
	}
}

// mistake is one that somebody who edits the example could make: was becomes is, and a message must name the file, the
// line of at (of is when it is empty) and the words, so that the mistake is found from the message alone.
type mistake struct {
	name, was, is, at string
	words             []string
}

// mistakes are made each for itself and, as each is about another line or word, all at once.
var mistakes = []mistake{
	{"person id in capitals", "{id: bob, name", "{id: Bob, name", "", []string{`person id "Bob"`, "a-z"}},
	{"person twice", "{id: bob, name", "{id: anna, name", "", []string{`person "anna" is already declared at fleet.yml:2`}},
	{"no address", "email: anna@example.com", "email: anna at example.com", "", []string{`person "anna"`, `email "anna at example.com"`, "anna@example.com"}},
	{"person without name", "{id: bob, name: Bob Lee, ", "{id: bob, ", "", []string{`person "bob": name`}},
	{"receiver twice", "receivers: [mail-anna]", "receivers: [mail-anna, mail-anna]", "", []string{`person "anna": receivers: "mail-anna" stands twice`}},
	{"unknown contact role", "{role: technical-operation-manager,", "{role: technical-manager,", "", []string{`"technical-manager"`, "unknown role", "technical-operation-manager"}},
	{"desk role for a contact", "{role: it-ops-manager, person", "{role: admin, person", "", []string{`"admin"`, "only a token", "it-ops-manager"}},
	{"contact nobody declares", "{role: project-manager, person: bob}", "{role: project-manager, person: rob}", "", []string{`no person "rob"`, "people"}},
	{"contact is nobody", "name: Clara Owner, ", "", "{role: client-owner-user", []string{"client-owner-user", "say who it is"}},
	{"contact is two", "{role: project-manager, person: bob}", "{role: project-manager, person: bob, name: Bob}", "", []string{"not both"}},
	{"flag in words", "customer: true ", "customer: yes ", "", []string{"customer", `true or false, got "yes"`}},
	{"unknown kind of software", "kind: application}", "kind: app}", "", []string{`kind "app" is unknown`, "application, connection, software"}},
	{"star in the middle", `"4.*"`, `"4.*.1"`, "", []string{`"4.*.1"`, "at the end"}},
	{"department nobody declares", "department: sas ", "department: sad ", "", []string{`customer "acme"`, `no department "sad"`}},
	{"zone of its own", "zone: Europe/London         # IANA", "zone: Europe/Leeds         # IANA", "", []string{`zone "Europe/Leeds"`, "Europe/London"}},
	{"contract id with a blank", "- id: acme-2026", "- id: acme 2026", "", []string{`contract id "acme 2026"`, "a-z"}},
	{"set twice", "sets: [customer-operations, it-provider]", "sets: [customer-operations, it-provider, it-provider]", "", []string{`sets: "it-provider" stands twice`}},
	{"winner that does not play", "{targets: customer-operations, gate", "{targets: web-host, gate", "", []string{"override: targets", `"web-host"`, "customer-operations, it-provider"}},
	{"day that does not exist", "until: 2026-12-31\n", "until: 2026-02-30\n", "", []string{`contract "acme-2026"`, `until: "2026-02-30" is no day`}},
	{"day the other way round", "from: 2026-01-01 ", "from: 01.01.2026 ", "", []string{`from: "01.01.2026"`, "YYYY-MM-DD"}},
	{"ends before it begins", "until: 2026-12-31\n", "until: 2025-12-31\n", "", []string{"2025-12-31", "before its first, 2026-01-01"}},
	{"overlay ends before it begins", "from: 2026-12-20, until", "from: 2027-12-20, until", "", []string{`overlay "year-end"`, "2026-12-31, is before its first, 2027-12-20"}},
	{"overlay without hours", "hours: {mon-fri: 07:00-22:00, sat: [08:00-12:00, 13:00-17:00]}, ", "", "{name: year-end", []string{`overlay "year-end"`, "hours"}},
	{"days without hours", "sat: [08:00-12:00, 13:00-17:00]", "sat: []", "", []string{`hours: "sat"`}},
	{"target without a time", `, within: "30m,business"`, "", "{priority: P1", []string{"target P1 response", "within"}},
	{"unknown phase", "phase: live ", "phase: alive ", "", []string{`phase "alive" is unknown`, "implementation, live"}},
	{"unknown model", "model: separate ", "model: shared ", "", []string{`model "shared" is unknown`, "separate, same-party"}},
	{"owner of nothing", "{system: application, owner", "{owner", "", []string{"owner: system", "must be given"}},
	{"application's end of support", "support_ends: 2027-03-31", "support_ends: 31 March 2027", "", []string{`application "Shop"`, `"31 March 2027"`, "YYYY-MM-DD"}},
	{"application's manager", "2027-03-31, responsible: bob", "2027-03-31, responsible: bop", "", []string{`application "Shop"`, `no person "bop"`}},
	{"unknown criticality", "criticality: critical ", "criticality: very ", "", []string{`asset "web1.acme.example"`, `criticality "very"`, "critical, high, normal, low"}},
	{"unknown environment", "environment: production ", "environment: prod ", "", []string{`environment "prod"`, "production, test, training"}},
	{"asset's manager", "responsible: bob          #", "responsible: carl          #", "", []string{`asset "web1.acme.example"`, `no person "carl"`}},
	{"whose equipment", "supplied: company ", "supplied: theirs ", "", []string{`supplied "theirs"`, "company, own"}},
	{"versions as a list", "versions: {os: Windows Server 2022, iis: \"10.0\"}", "versions: [\"10.0\"]", "", []string{"versions: must be a mapping"}},
	{"key with a slip", "oncall: true", "on_call: true", "", []string{`unknown key "on_call" in contract`, "oncall"}},
	{"key said twice", "region: GB-ENG", "zone: UTC", "", []string{`key "zone" stands twice in contract`}},
	{"asset twice", "- name: fw1.acme.example", "- name: web1.acme.example", "", []string{`asset "web1.acme.example" is already declared at`}},
	{"half of the users", "users: 250 ", "users: 2.5 ", "", []string{"users", `whole number, got "2.5"`}},
}

// TestMistakes: each mistake alone gives one message, which leads to its line and says what is wrong.
func TestMistakes(t *testing.T) {
	if len(mistakes) < 30 {
		t.Errorf("%d mistakes", len(mistakes))
	}
	body := example(t)
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			lineOf(t, body, m.was)
			wrong := strings.Replace(body, m.was, m.is, 1)
			at := m.at
			if at == "" {
				at = m.is
			}
			line := strings.Count(wrong[:strings.LastIndex(wrong, at)], "\n") + 1
			_, err := loadText(t, wrong)
			if err == nil {
				t.Fatal("it was not found")
			}
			_, faults, _ := strings.Cut(err.Error(), "\n")
			var mine string
			for _, fault := range strings.Split(faults, "\n") {
				if strings.HasPrefix(fault, fmt.Sprintf("fleet.yml:%d: ", line)) {
					mine += fault + "\n"
				}
			}
			for _, word := range m.words {
				if !strings.Contains(mine, word) {
					t.Errorf("what is said of line %d lacks %q:\n%s", line, word, faults)
				}
			}
		})
	}
}

// TestMistakesAtOnce: all that can be made together are found together, at every reading in the same words.
func TestMistakesAtOnce(t *testing.T) {
	wrong, made := example(t), 0
	var words []string
	for _, m := range mistakes {
		if m.at != "" || m.name == "person twice" || m.name == "ends before it begins" || strings.Count(wrong, m.was) != 1 {
			continue // two on one line, of which one hides the other
		}
		wrong = strings.Replace(wrong, m.was, m.is, 1)
		words = append(words, m.words[len(m.words)-1])
		made++
	}
	_, err := loadText(t, wrong)
	if err == nil || made < 25 {
		t.Fatalf("%d mistakes: %v", made, err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("among %d mistakes %q is not found:\n%v", made, word, err)
		}
	}
	dir := regexp.MustCompile(`fleet directory .*:`)
	for range 3 {
		_, again := loadText(t, wrong)
		if diff := cmp.Diff(dir.ReplaceAllString(err.Error(), ""), dir.ReplaceAllString(again.Error(), "")); diff != "" {
			t.Errorf("read again:\n%s", diff)
		}
	}
}
