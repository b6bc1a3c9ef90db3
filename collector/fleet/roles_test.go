package fleet

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// readme is this room's README.
func readme(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// mayTable is the README's table of who may what: role → right → yes.
func mayTable(t testing.TB) map[Role]map[Right]bool {
	t.Helper()
	cells := func(line string) []string {
		all := strings.Split(strings.Trim(line, "|"), "|")
		for i := range all {
			all[i] = strings.TrimSpace(all[i])
		}
		return all
	}
	_, rest, ok := strings.Cut(readme(t), "\n| role | read ")
	if !ok {
		t.Fatal("the README has no table of who may what")
	}
	head, rest, _ := strings.Cut(rest, "\n")
	rights := cells("read " + head)
	table := map[Role]map[Right]bool{}
	for line := range strings.Lines(rest) {
		row := cells(strings.TrimSpace(line))
		if len(row) != len(rights)+1 {
			break
		}
		if strings.HasPrefix(row[0], "---") {
			continue
		}
		may := map[Right]bool{}
		for i, right := range rights {
			if row[i+1] != "yes" && row[i+1] != "" {
				t.Errorf("%s, %s: %q is neither yes nor empty", row[0], right, row[i+1])
			}
			may[Right(right)] = row[i+1] == "yes"
		}
		table[Role(row[0])] = may
	}
	return table
}

// allRights lists all rights, in the order of the table in this room's README.
func allRights() []Right {
	return []Right{
		MayRead, MayOpen, MayWork, MayAnswer, MayReply, MayVerify, MayDraft, MaySend, MayRate, MayQuote, MayApprove, MayWaive, MayEndorse, MayRebase,
		MayOverrideRota, MayEditCustomers, MayReport, MaySeeInternal, MayResend, MayAdminister, MayScrape, MayFeed,
	}
}

// TestEveryRoleAndRight: the table that people read is what is so, for every role and every right, and names no other.
func TestEveryRoleAndRight(t *testing.T) {
	table := mayTable(t)
	for _, role := range AllRoles() {
		may, ok := table[role]
		if !ok {
			t.Errorf("role %s is not in the README's table", role)
			continue
		}
		if len(may) != len(allRights()) {
			t.Errorf("%s: the table has %d rights, there are %d", role, len(may), len(allRights()))
		}
		if role.Describe() == "" || !strings.Contains(readme(t), "| "+string(role)+" | "+role.Describe()+" |\n") {
			t.Errorf("role %s: the README does not say that it is %q", role, role.Describe())
		}
		for _, right := range allRights() {
			if got := Allows(role, right); got != may[right] {
				t.Errorf("%s, %s: allowed %v, the README says %v", role, right, got, may[right])
			}
			o := Operator{Roles: []Role{role}}
			if want := may[right] && (o.SeesAll() || !slices.Contains(wholeFleet, right)); o.May(right) != want {
				t.Errorf("an operator who is %s, %s: %v, want %v", role, right, o.May(right), want)
			}
		}
	}
	if len(table) != len(AllRoles()) {
		t.Errorf("the README's table has %d roles, there are %d", len(table), len(AllRoles()))
	}
	for _, unknown := range []Role{"", "root", "Admin"} {
		for _, right := range append(allRights(), "fly", "") {
			if Allows(unknown, right) || (Operator{Roles: []Role{unknown}}).May(right) {
				t.Errorf("unknown role %q may %s", unknown, right)
			}
		}
	}
	if Allows(Admin, "fly") {
		t.Error("a right that does not exist is given")
	}
}

// TestNamedRights: what the documents give to one role by name, nobody else has.
func TestNamedRights(t *testing.T) {
	for right, want := range map[Right][]Role{
		MayWaive:      {GeneralManager},
		MayQuote:      {ITOpsManager},
		MayEndorse:    {TechnicalOperationManager},
		MayAdminister: {Admin},
	} {
		if got := rolesWhere(func(r roleRow) bool { return slices.Contains(r.may, right) }); !slices.Equal(got, want) {
			t.Errorf("may %s: %v, want %v", right, got, want)
		}
	}
}

// TestMayIsTheSum: several roles may what each may and nothing else, in whatever order and however they are kept; a scope
// takes away, never adds, and takes away nothing but what concerns the whole fleet or the customer's own contract.
func TestMayIsTheSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		roles := rapid.SliceOfN(rapid.SampledFrom(AllRoles()), 1, 4).Draw(t, "roles")
		right := rapid.SampledFrom(allRights()).Draw(t, "right")
		sum := slices.ContainsFunc(roles, func(r Role) bool { return Allows(r, right) })
		free := Operator{Roles: roles}
		if needsScope(roles) {
			if free.Sees("acme", "") || free.Sees("acme", "sas") || free.Sees("", "") || free.SeesAll() {
				t.Fatalf("%v without a scope sees something", roles)
			}
		} else if free.May(right) != sum || (Operator{Role: roles[0], Roles: roles[1:]}).May(right) != sum {
			t.Fatalf("%v may %s: %v, want %v", roles, right, free.May(right), sum)
		}
		for _, scope := range []Scope{{Department: "sas"}, {Customer: "acme"}} {
			bound := Operator{Roles: roles, Scope: scope}
			never := slices.Contains(wholeFleet, right) || scope.Customer != "" && right == MayEditCustomers
			if got, want := bound.May(right), sum && !never; got != want {
				t.Fatalf("%v in %+v may %s: %v, want %v", roles, scope, right, got, want)
			}
		}
	})
}

func TestSees(t *testing.T) {
	for _, test := range []struct {
		name                 string
		o                    Operator
		customer, department string
		want                 bool
	}{
		{"all, a customer", Operator{Roles: []Role{Viewer}}, "acme", "sas", true},
		{"all, a customer without department", Operator{Roles: []Role{Viewer}}, "acme", "", true},
		{"all, what is nobody's", Operator{Roles: []Role{Viewer}}, "", "", true},
		{"an older record", Operator{Role: Viewer}, "acme", "", true},
		{"no role at all", Operator{}, "acme", "", true},
		{"department, its customer", Operator{Roles: []Role{DepartmentMember}, Scope: Scope{Department: "sas"}}, "acme", "sas", true},
		{"department, itself", Operator{Roles: []Role{DepartmentMember}, Scope: Scope{Department: "sas"}}, "sas", "sas", true},
		{"department, itself without its department", Operator{Roles: []Role{DepartmentMember}, Scope: Scope{Department: "sas"}}, "sas", "", true},
		{"department, another's customer", Operator{Roles: []Role{DepartmentMember}, Scope: Scope{Department: "sas"}}, "beta", "sam", false},
		{"department, another department", Operator{Roles: []Role{DepartmentMember}, Scope: Scope{Department: "sas"}}, "sam", "sam", false},
		{"department, the operator's own customer", Operator{Roles: []Role{Viewer}, Scope: Scope{Department: "sas"}}, "beta", "", false},
		{"department, what is nobody's", Operator{Roles: []Role{Viewer}, Scope: Scope{Department: "sas"}}, "", "", false},
		{"customer, itself", Operator{Roles: []Role{ClientOwnerUser}, Scope: Scope{Customer: "acme"}}, "acme", "sas", true},
		{"customer, itself under no department", Operator{Roles: []Role{ClientOwnerUser}, Scope: Scope{Customer: "acme"}}, "acme", "", true},
		{"customer, another of its department", Operator{Roles: []Role{ClientOwnerUser}, Scope: Scope{Customer: "acme"}}, "beta", "sas", false},
		{"customer, its department", Operator{Roles: []Role{ClientOwnerUser}, Scope: Scope{Customer: "acme"}}, "sas", "sas", false},
		{"customer, what is nobody's", Operator{Roles: []Role{Viewer}, Scope: Scope{Customer: "acme"}}, "", "", false},
		{"both, both right", Operator{Scope: Scope{Customer: "acme", Department: "sas"}}, "acme", "sas", true},
		{"both, one wrong", Operator{Scope: Scope{Customer: "acme", Department: "sas"}}, "acme", "sam", false},
		{"outsider without scope", Operator{Roles: []Role{ClientOwnerUser, DepartmentMember}}, "acme", "", false},
		{"outsider without scope with a role that nobody knows", Operator{Roles: []Role{ClientOwnerUser, "pilot"}}, "acme", "", false},
		{"outsider without scope who is also of the desk", Operator{Roles: []Role{ClientOwnerUser, Viewer}}, "acme", "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.o.Sees(test.customer, test.department); got != test.want {
				t.Errorf("sees %q of %q: %v, want %v", test.customer, test.department, got, test.want)
			}
		})
	}
}

// TestOutsidersAreBound: who is only an outsider is refused without a department or a customer, and the text lists roles as
// people write them.
func TestOutsidersAreBound(t *testing.T) {
	g := newSite(t)
	for _, role := range []Role{DepartmentMember, ITProviderUser, ClientOwnerUser, Administrator} {
		_, err := g.AddOperatorWith(t.Context(), NewOperator{Name: "out", Roles: []Role{role}, By: "test"})
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "who is only "+string(role)+" must be bound") {
			t.Errorf("%s without a scope: %v", role, err)
		}
	}
}

// TestTheOperatorSendsToo: whom a draft waits for where no department owns the customer may send it: every role that does the
// desk's work, and who is told in a department's place. The parties outside draft only.
func TestTheOperatorSendsToo(t *testing.T) {
	for role, want := range map[Role]bool{Engineer: true, SupportManager: true, Admin: true, Responder: true, AccountManager: true, ProjectManager: true,
		DeliveryManager: true, DepartmentMember: true, Administrator: true, ITProviderUser: false, ClientOwnerUser: false, Developer: false, BusinessPartner: false, Viewer: false} {
		if got := Allows(role, MaySend); got != want {
			t.Errorf("%s may send: %v, want %v", role, got, want)
		}
	}
	for _, role := range AllRoles() {
		if Allows(role, MayDraft) && Allows(role, MaySeeInternal) && !Allows(role, MaySend) {
			t.Errorf("%s is of the house and drafts what it cannot send", role)
		}
	}
}

// TestMayEdit: nobody writes the contract that they are under themselves.
func TestMayEdit(t *testing.T) {
	for name, tt := range map[string]struct {
		o        Operator
		customer string
		want     bool
	}{
		"the operator's own":               {Operator{Roles: []Role{Admin}}, "dx", true},
		"a department, its customer":       {Operator{Roles: []Role{Administrator}, Scope: Scope{Department: "dx"}}, "acme", true},
		"a department, itself":             {Operator{Roles: []Role{Administrator}, Scope: Scope{Department: "dx"}}, "dx", false},
		"an account manager bound to it":   {Operator{Roles: []Role{AccountManager}, Scope: Scope{Department: "dx"}}, "dx", false},
		"a customer, itself":               {Operator{Roles: []Role{Administrator}, Scope: Scope{Customer: "acme"}}, "acme", false},
		"one who may not edit any of them": {Operator{Roles: []Role{Engineer}}, "acme", false},
	} {
		if got := tt.o.MayEdit(tt.customer); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
