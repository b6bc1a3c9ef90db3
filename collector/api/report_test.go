package api

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// TestReportsAreOneComputation: JSON and CSV of every report hold the same cells.
func TestReportsAreOneComputation(t *testing.T) {
	h := newHouse(t)
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"shop","title":"orders do not print","asset":"erp1","reporter":"Pat","received_at":"2026-11-19T10:00:00Z"}`)
	for _, name := range Reports() {
		t.Run(name, func(t *testing.T) {
			h.t = t
			var rep Report
			decodeInto(t, h.want(http.StatusOK, "GET", Root+"/reports/"+name, ""), &rep)
			w := h.do(fleet.Admin, "GET", Root+"/reports/"+name+"?format=csv", "")
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != MediaCSV || !strings.Contains(w.Header().Get("Content-Disposition"), name+".csv") {
				t.Fatalf("answered %d %v", w.Code, w.Header())
			}
			r := csv.NewReader(w.Body)
			r.FieldsPerRecord = -1
			rows, err := r.ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			var want [][]string
			for _, table := range rep.Tables {
				want = append(want, table.Columns)
				want = append(want, table.Rows...)
			}
			rows = dropEmpty(rows)
			if len(rows) != len(want) {
				t.Fatalf("%d rows of CSV, %d in JSON:\n%v\n%v", len(rows), len(want), rows, want)
			}
			for i, row := range want {
				for j, cell := range row {
					if rows[i][j] != CSVCell(cell) {
						t.Errorf("row %d: %q in CSV, %q in JSON", i, rows[i][j], cell)
					}
				}
			}
		})
	}
}

func dropEmpty(rows [][]string) [][]string {
	var out [][]string
	for _, r := range rows {
		if strings.Join(r, "") != "" {
			out = append(out, r)
		}
	}
	return out
}

// TestReportSLATells: the report of one request under standard terms, from the API's own clocks.
func TestReportSLATells(t *testing.T) {
	h := newHouse(t)
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"shop","title":"orders do not print","received_at":"2026-11-19T10:00:00Z"}`)
	body := h.want(http.StatusOK, "GET", Root+"/reports/sla?from=2026-11-01&until=2026-12-01&zone=Europe/London", "")
	var rep Report
	decodeInto(t, body, &rep)
	if rep.SLA == nil || len(rep.SLA.Breaches) == 0 || rep.SLA.Breaches[0].Clock != "response" || rep.Tickets != 1 {
		t.Errorf("a response that nobody gave for two days is no breach: %s", body)
	}
	if body := h.want(http.StatusOK, "GET", Root+"/reports/sla?from=2026-12-01&until=2027-01-01", ""); strings.Contains(body, "WB-") {
		t.Errorf("a ticket of another month is in it: %s", body)
	}
	for _, q := range []string{"from=november", "until=2026-01-01", "zone=Mars", "format=pdf", "due=2026-10-01", "customers=shop"} {
		h.want(http.StatusBadRequest, "GET", Root+"/reports/sla?"+q, "")
	}
	h.want(http.StatusNotFound, "GET", Root+"/reports/sla?customer=nobody", "")
	h.want(http.StatusNotFound, "GET", Root+"/reports/sla?department=nobody", "")
}

func TestCSVCell(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "acme": "acme", "-12.5": "-12.5", "33.3": "33.3", "=1+1": "'=1+1", "+44 20": "'+44 20", "-2+3": "'-2+3", "@sum": "'@sum",
		"\t=1": "'\t=1", "\r=1": "'\r=1", "  =1": "'  =1", "\ufeff=1": "'\ufeff=1", "＝1": "'＝1", "-": "'-", "-1-": "'-1-", "a=1": "a=1", "a\x00": "a\ufffd",
	} {
		if got := CSVCell(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// FuzzCSVCell: no cell, read back from CSV, begins like a formula, and what was harmless stays as it was.
func FuzzCSVCell(f *testing.F) {
	for _, s := range []string{"=cmd|' /C calc'!A0", "-1", "@x", "\t=1", "a,\"b\"\n=c", "\xff=1", "", "'=1", "\u200b=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rep := Report{Tables: []ReportTable{{Columns: []string{"x"}, Rows: [][]string{{s, "end"}}}}}
		b, err := rep.csv()
		if err != nil || !utf8.Valid(b) {
			t.Fatalf("%v: %q", err, b)
		}
		r := csv.NewReader(bytes.NewReader(b))
		r.FieldsPerRecord = -1
		rows, err := r.ReadAll()
		if err != nil || len(rows) != 2 || rows[1][1] != "end" {
			t.Fatalf("%q is not one row: %v %v", s, rows, err)
		}
		cell := rows[1][0]
		if first := strings.TrimLeft(cell, " "); first != "" && strings.ContainsRune("=+-@\t\r", rune(first[0])) && !plainNumber(cell) {
			t.Errorf("%q became %q, which begins like a formula", s, cell)
		}
	})
}

// TestExportReadsBack: what is exported is what the fleet directory reads, whole and for one customer.
func TestExportReadsBack(t *testing.T) {
	h := newHouse(t)
	for query, customers := range map[string]int{"": 2, "?customer=shop": 1} {
		w := h.do(fleet.Admin, "GET", Root+"/export"+query, "")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != MediaYAML {
			t.Fatalf("answered %d %v: %s", w.Code, w.Header(), w.Body)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "fleet.yml"), w.Body.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := fleet.LoadDirectory(dir)
		if err != nil || len(d.Customers) != customers {
			t.Errorf("%q reads back as %d customers: %v", query, len(d.Customers), err)
		}
	}
}

func decodeInto(t *testing.T, body string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
}

// TestNoCellIsAFormula: names that begin like a formula, of whatever is in a report, are none in its CSV.
func TestNoCellIsAFormula(t *testing.T) {
	h := newHouse(t)
	h.want(http.StatusOK, "PUT", Root+"/people/zed", `{"name":"@SUM(1+1)","email":"zed@example.com"}`)
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"=cmd|' /C calc'!A0","applications":[
		{"name":"=HYPERLINK(\"http://evil.example\")","version":"+1","support_ends":"2025-01-01","responsible":"zed"},
		{"name":"-1+1","version":"-2+3","support_ends":"2025-01-02","responsible":"zed"}]}`)
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"shop","title":"=1+1","asset":"erp1","received_at":"2026-11-19T10:00:00Z"}`)
	for _, name := range Reports() {
		body := h.want(http.StatusOK, "GET", Root+"/reports/"+name+"?format=csv", "")
		r := csv.NewReader(strings.NewReader(body))
		r.FieldsPerRecord = -1
		rows, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			for _, cell := range row {
				if first := strings.TrimLeft(cell, " "); first != "" && strings.ContainsRune("=+-@\t\r", rune(first[0])) && !plainNumber(cell) {
					t.Errorf("%s: the cell %q begins like a formula", name, cell)
				}
			}
		}
		if name == "lifecycle" && (!strings.Contains(body, "'@SUM") || !strings.Contains(body, "'=HYPERLINK") || !strings.Contains(body, "'+1")) {
			t.Errorf("the names are not in it: %s", body)
		}
	}
}

// TestComplianceRestsOnEvidence: without rules nothing is compliant, however well the asset reports; a loaded rule that has
// no data of it does not help, one that has does.
func TestComplianceRestsOnEvidence(t *testing.T) {
	h := newHouse(t)
	asked := func() policy.Standing {
		t.Helper()
		var rep Report
		decodeInto(t, h.want(http.StatusOK, "GET", Root+"/reports/compliance?customer=shop", ""), &rep)
		if len(rep.Compliance) != 1 {
			t.Fatalf("%+v", rep.Compliance)
		}
		return rep.Compliance[0]
	}
	said := func(want policy.ComplianceState, why string) {
		t.Helper()
		if got := asked(); got.State != want || got.Why != why {
			t.Errorf("got %s because %q, want %s because %q", got.State, got.Why, want, why)
		}
	}
	said(policy.UnknownState, "no report from erp1")
	h.report("erp1", noon.Add(-10*time.Second), window.OK, map[string]float64{`up`: 1})
	said(policy.UnknownState, "no rule of patching is loaded, and no review in time of erp1")
	groups, err := rules.Load(map[string][]byte{"p.yml": []byte("groups: [{name: p, rules: [{alert: PatchesMissing, expr: 'apt_upgrades_pending > 0 unless on(instance) up == 2', labels: {system: patching}}]}]")})
	if err != nil {
		t.Fatal(err)
	}
	h.rules.groups = []evaluate.GroupStatus{{Group: groups[0], Rules: []evaluate.RuleStatus{{Rule: groups[0].Rules[0]}}}}
	said(policy.UnknownState, "the rules of patching had no data of erp1, and no review in time")
	h.report("erp1", noon, window.OK, map[string]float64{`up`: 1, `apt_upgrades_pending`: 0})
	said(policy.Compliant, "")
	if got := asked(); len(got.Evidence) != 1 || got.Evidence[0] != "PatchesMissing" {
		t.Errorf("it rests on %v", got.Evidence)
	}
}

// TestDeviationFromNothing: a deviation names an entry of the customer's policy list; another word is refused with those that
// there are, when it is opened and when it is set.
func TestDeviationFromNothing(t *testing.T) {
	h := newHouse(t)
	wrong := `the policy list of this customer has no entry \"patch\": say one of patches`
	if body := h.want(http.StatusBadRequest, "POST", Root+"/tickets", `{"customer":"shop","type":"deviation","title":"late","asset":"erp1","facts":{"policy":"patch"}}`); !strings.Contains(body, wrong) {
		t.Errorf("opened: %s", body)
	}
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"shop","type":"deviation","title":"late","asset":"erp1","facts":{"policy":"patches"}}`)
	if body := h.want(http.StatusBadRequest, "POST", Root+"/tickets", `{"parent":"WB-2001","type":"deviation","title":"later","facts":{"policy":"patch"}}`); !strings.Contains(body, wrong) {
		t.Errorf("opened because of another: %s", body)
	}
	if body := h.want(http.StatusBadRequest, "POST", Root+"/tickets/WB-2001/set", `{"facts":{"policy":"patch"}}`); !strings.Contains(body, wrong) {
		t.Errorf("set: %s", body)
	}
}
