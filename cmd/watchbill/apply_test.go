package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const estate = `people: [{id: eve, name: Eve}]
contacts: [{role: engineer, person: eve}]
approved_software: [{name: Word}]
departments: [{id: sales, name: Sales}]
customers: [{id: acme, name: Acme, department: sales}]
`

// directoryDesk answers puts with what it is told, notes every request, and has contacts as they are in estate.
func directoryDesk(t *testing.T, status int, answer string) (url string, calls *[]string) {
	t.Helper()
	calls = &[]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/api/watchbill/v1")
		if r.Method == http.MethodGet {
			_ = json.NewEncoder(w).Encode(map[string]any{"contacts": []map[string]string{{"role": "engineer", "person": "eve"}}, "approved_software": []any{}})
			return
		}
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		call := r.Method + " " + path
		if name, _ := body["name"].(string); name != "" {
			call += " " + name
		}
		if approval, ok := body["approval"]; ok {
			call += " approved by " + approval.(string)
		}
		*calls = append(*calls, call)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	return server.URL, calls
}

// TestApply: each command puts its part of a file in the order in which one refers to another, and says what changed.
func TestApply(t *testing.T) {
	file := filepath.Join(t.TempDir(), "estate.yml")
	if err := os.WriteFile(file, []byte(estate), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, command, answer string
		calls                 []string
		says                  string
	}{
		{"all", "customer apply", `{"changed":true,"warnings":["contract a-1: look"]}`,
			[]string{"PUT /people/eve Eve", "PUT /approved-software", "PUT /departments/sales Sales", "PUT /customers/acme Acme"},
			"person eve: declared\noperator's contacts: no change\napproved software: declared\ndepartment sales: declared\ncustomer acme: declared\n"},
		{"again", "customer apply", `{"changed":false}`, []string{"PUT /people/eve Eve", "PUT /approved-software", "PUT /departments/sales Sales", "PUT /customers/acme Acme"},
			"customer acme: no change\n"},
		{"approved", "customer apply --approval WB-7", `{"changed":true}`, []string{"PUT /people/eve Eve", "PUT /approved-software", "PUT /departments/sales Sales", "PUT /customers/acme Acme approved by WB-7"}, ""},
		{"people", "person apply", `{"changed":true}`, []string{"PUT /people/eve Eve"}, "person eve: declared\n"},
		{"departments", "department apply", `{"changed":true}`, []string{"PUT /departments/sales Sales"}, "department sales: declared\n"},
		{"contacts as they are", "contact apply", `{"changed":true}`, nil, "operator's contacts: no change\n"},
		{"software", "software apply", `{"changed":true}`, []string{"PUT /approved-software"}, "approved software: declared\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, calls := directoryDesk(t, http.StatusOK, tt.answer)
			code, out, errs := cli(t, append(strings.Fields(tt.command), file, "--url", url)...)
			if code != 0 || !strings.Contains(out, tt.says) || !slices.Equal(*calls, tt.calls) {
				t.Errorf("exit code %d, calls %q, says\n%s%s", code, *calls, out, errs)
			}
			if strings.Contains(tt.answer, "look") && !strings.Contains(errs, "warning: contract a-1: look\n") {
				t.Errorf("the warning is not told: %s", errs)
			}
		})
	}
}

// TestOperatorsOwnRemoved: the operator's lists are taken back by putting none.
func TestOperatorsOwnRemoved(t *testing.T) {
	for answer, says := range map[string]string{`{"changed":true}`: "Removed the operator's ", `{"changed":false}`: "There were none.\n"} {
		url, calls := directoryDesk(t, http.StatusOK, answer)
		for _, what := range []string{"contact", "software"} {
			if code, out, errs := cli(t, what, "remove", "--url", url); code != 0 || !strings.HasPrefix(out, says) {
				t.Errorf("%s: exit code %d: %s%s", what, code, out, errs)
			}
		}
		if want := []string{"PUT /contacts", "PUT /approved-software"}; !slices.Equal(*calls, want) {
			t.Errorf("calls %q, want %q", *calls, want)
		}
	}
}

// TestApplyRefused: what is wrong with a file is named with its line before anything is put; a gate names what is missing.
func TestApplyRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "estate.yml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	gate := `{"error":{"code":"refused","message":"customer \"acme\" was not changed","hint":"open a request for it","gate":"transfer","missing":["approval: of the owner"]},"gate":"transfer","missing":["approval: of the owner"]}`
	url, calls := directoryDesk(t, http.StatusConflict, gate)
	write("customers:\n  - {id: acme, nane: Acme}\n  - {id: beta, sites: 3}\n")
	if code, _, errs := cli(t, "customer", "apply", file, "--url", url); code != 1 || !strings.HasPrefix(errs, file) || !strings.Contains(errs, `estate.yml:2: unknown key "nane" in customer: known are`) ||
		!strings.Contains(errs, "estate.yml:3: sites: must be a list") || len(*calls) > 0 {
		t.Errorf("exit code %d, %d calls: %s", code, len(*calls), errs)
	}
	write("customers: [{id: acme}]\n")
	if code, _, errs := cli(t, "customer", "apply", file, "--url", url); code != 1 || !strings.Contains(errs, "gate transfer is missing:\n  approval: of the owner\nopen a request for it\n") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if code, out, _ := cli(t, "customer", "apply", file, "--url", url, "--output", "json"); code != 1 || !strings.Contains(out, `"gate": "transfer"`) {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, _, errs := cli(t, "person", "apply", file, "--url", url); code != 1 || !strings.Contains(errs, "the file declares no people: nothing was changed") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// TestReloadCommand: what a reload leaves to be mended and what it refuses are told line by line.
func TestReloadCommand(t *testing.T) {
	url, calls := directoryDesk(t, http.StatusOK, `{"reloaded":true,"next_start":["web.listen_address"],"warnings":["acme.yml:2: contract a-1: look"]}`)
	if code, out, errs := cli(t, "reload", "--url", url); code != 0 || out != "web.listen_address changed: takes effect at the next start.\nReloaded.\n" ||
		errs != "warning: acme.yml:2: contract a-1: look\n" || !slices.Equal(*calls, []string{"POST /-/reload"}) {
		t.Errorf("exit code %d, calls %q:\n%s%s", code, *calls, out, errs)
	}
	url, _ = directoryDesk(t, http.StatusUnprocessableEntity, `{"error":{"code":"reload_failed","message":"nothing was reloaded","hint":"mend every fault","details":["acme.yml:2: one","acme.yml:3: two"]}}`)
	if code, _, errs := cli(t, "reload", "--url", url); code != 1 || errs != "acme.yml:2: one\nacme.yml:3: two\nwatchbill: nothing was reloaded: mend every fault\n" {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
