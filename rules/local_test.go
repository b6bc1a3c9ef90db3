package rules

import (
	"fmt"
	"slices"
	"testing"
)

func TestLocal(t *testing.T) {
	for expr, want := range map[string]bool{
		`up == 0`:                                       true,
		`a / on (instance, disk) b > 1`:                 true,
		`a / ignoring (disk) b > 1`:                     true,
		`a / on (disk) b > 1`:                           false,
		`a / ignoring (instance) b > 1`:                 false,
		`sum by (instance) (a) > 1`:                     true,
		`sum without (cpu) (a) > 1`:                     true,
		`sum without (instance) (a) > 1`:                false,
		`sum(a) > 1`:                                    false,
		`a > 2 * scalar(avg(a))`:                        false,
		`topk(3, a)`:                                    false,
		`topk by (instance) (3, a)`:                     true,
		`count_values by (instance) ("v", a) > 1`:       true,
		`count_values without (x) ("instance", a) > 1`:  false,
		`absent(a)`:                                     false,
		`absent(a{instance="web1"})`:                    true,
		`label_replace(a, "instance", "$1", "x", ".*")`: false,
		`label_replace(a, "y", "$1", "x", ".*")`:        true,
		`rate(a[5m]) > 1 and b`:                         true,
		`time() - a > 600`:                              true,
		`vector(1)`:                                     true,
		`fleet:sum > 1`:                                 false,
		`fleet:twice > 1`:                               false,
		`host:sum > 1`:                                  true,
		`ALERTS{alertname="Spread"} == 1`:               false,
		`ALERTS{alertname="Own"} == 1`:                  true,
	} {
		file := fmt.Sprintf(`groups: [{name: g, rules: [
			{record: "fleet:sum", expr: sum(a)}, {record: "fleet:twice", expr: "fleet:sum * 2"},
			{record: "host:sum", expr: sum by (instance) (a)},
			{alert: Spread, expr: count(a) > 1}, {alert: Own, expr: a > 1},
			{alert: Asked, expr: %q}]}]`, expr)
		groups, err := Load(map[string][]byte{"r.yml": []byte(file)})
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		local := Local(groups)
		got := len(local) == 1 && slices.ContainsFunc(local[0].Rules, func(r *Rule) bool { return r.Alert == "Asked" })
		if got != want {
			t.Errorf("%s: local %v, want %v", expr, got, want)
		}
		if n := len(groups[0].Rules); n != 6 {
			t.Errorf("%s: Local changed what it was given: %d rules", expr, n)
		}
	}
	groups, err := Load(map[string][]byte{"r.yml": []byte("groups: [{name: g, rules: [{alert: A, expr: sum(a) > 1}]}]")})
	if err != nil || len(Local(groups)) != 0 {
		t.Errorf("a group without local rules is left out: %v %v", Local(groups), err)
	}
}

func TestBelow(t *testing.T) {
	for expr, want := range map[string]bool{
		`a < 1`: true, `a <= 1`: true, `a > 1`: false, `a == 0`: false, `a`: false, `(a / b < 0.1) and c > 5`: true,
		`(a > 1) unless (b < 2)`: false, `((a)) < 3`: true, `predict_linear(a[1h], 60) < 0 and a < 1`: true,
	} {
		groups, err := Load(map[string][]byte{"r.yml": fmt.Appendf(nil, "groups: [{name: g, rules: [{alert: A, expr: %q}]}]", expr)})
		if err != nil {
			t.Fatal(err)
		}
		if got := groups[0].Rules[0].Below(); got != want {
			t.Errorf("%s: below %v, want %v", expr, got, want)
		}
	}
}
