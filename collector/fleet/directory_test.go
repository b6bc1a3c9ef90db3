package fleet

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	_ "time/tzdata" // the binaries embed it; the test must not depend on the machine's

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "rewrite testdata")

const golden = "-- error --\n"

// TestDirectoryFaults reads testdata/directory/*.txt: files as "-- name --" sections, then the whole error under
// "-- error --". All faults must be in it, each with file and line.
func TestDirectoryFaults(t *testing.T) {
	scenarios, err := filepath.Glob("testdata/directory/*.txt")
	if err != nil || len(scenarios) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, path := range scenarios {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files, want, _ := strings.Cut(string(raw), golden)
			dir := t.TempDir()
			unpack(t, dir, files)
			got := "none\n"
			if _, err := LoadDirectory(dir); err != nil {
				got = strings.ReplaceAll(err.Error(), dir, "DIR") + "\n"
			}
			if *update {
				if err := os.WriteFile(path, []byte(files+golden+got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// unpack writes sections "-- name --\nbody" below dir.
func unpack(t *testing.T, dir, sections string) {
	t.Helper()
	for _, s := range strings.Split("\n"+sections, "\n-- ")[1:] {
		name, body, ok := strings.Cut(s, " --\n")
		if !ok {
			t.Fatalf("section %q has no head", s)
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoadDirectory(t *testing.T) {
	dir := t.TempDir()
	unpack(t, dir, `-- acme.yml --
customers:
  - id: acme
    name: Acme Ltd
    department: retail
    zone: Europe/London
    sites:
      - id: leeds
        name: Leeds
        assets:
          - name: web1
            role: web server of the shop
            users: 250
          - {name: fw1, kind: device}
-- more/beta.yaml --
customers: [{id: beta, name: Beta, sites: [{id: main}]}]
-- .hidden/x.yml --
nonsense: true
-- notes.txt --
not YAML: [
-- empty.yml --
`)
	d, err := LoadDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []Customer{{
		ID: "acme", Name: "Acme Ltd", Department: "retail", Zone: "Europe/London",
		Sites: []Site{{ID: "leeds", Name: "Leeds", Assets: []Asset{
			{Name: "web1", Customer: "acme", Site: "leeds", Kind: Host, Role: "web server of the shop", Users: 250, Declared: true,
				At: "acme.yml:10"},
			{Name: "fw1", Customer: "acme", Site: "leeds", Kind: Device, Declared: true, At: "acme.yml:13"},
		}, At: "acme.yml:7"}}, At: "acme.yml:2",
	}, {ID: "beta", Name: "Beta", Sites: []Site{{ID: "main", At: "more/beta.yaml:1"}}, At: "more/beta.yaml:1"}}
	if diff := cmp.Diff(want, d.Customers, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("customers (-want +got):\n%s", diff)
	}
	if got := d.Customers[0].Location().String(); got != "Europe/London" {
		t.Errorf("location %s", got)
	}
	if got := d.Customers[1].Location().String(); got != "UTC" {
		t.Errorf("location without zone %s", got)
	}
}

func TestLoadDirectoryMissing(t *testing.T) {
	_, err := LoadDirectory(filepath.Join(t.TempDir(), "none"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "create it") {
		t.Errorf("error %v", err)
	}
}

// TestValidateInCode: a directory that no file holds names entries by their path.
func TestValidateInCode(t *testing.T) {
	d := Directory{Customers: []Customer{
		{ID: "acme", Sites: []Site{{ID: "x", Assets: []Asset{{Name: "web1"}}}}},
		{ID: "acme", Sites: []Site{{ID: "y", Assets: []Asset{{Name: "web1", Users: -1}}}}},
	}}
	err := d.Validate()
	for _, want := range []string{
		`customer "acme": customer "acme" is already declared at customer "acme"`,
		`customer "acme", site "y", asset "web1": asset "web1" is already declared at customer "acme", site "x", asset "web1"`,
		`users: must not be negative, got -1`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}

func TestAssetName(t *testing.T) {
	for in, want := range map[string]string{
		"web1":                          "web1",
		"WEB1.Example.COM":              "web1.example.com",
		"Büro PC 3":                     "b-ro-pc-3",
		"  -- ":                         "",
		"":                              "",
		"../../etc/passwd":              "etc-passwd",
		"a\x00\nb\u202e":                "a-b",
		"_gateway.":                     "gateway",
		strings.Repeat("long-", 60):     strings.TrimRight(strings.Repeat("long-", 60)[:maxName], "-"),
		strings.Repeat("\U0001F600", 9): "",
	} {
		got := AssetName(in)
		if got != want {
			t.Errorf("AssetName(%q) = %q, want %q", in, got, want)
		}
		if got != "" && !validName(got) {
			t.Errorf("AssetName(%q) = %q is not valid", in, got)
		}
	}
}

func FuzzReadDirectory(f *testing.F) {
	f.Add([]byte("customers: [{id: a, sites: [{id: b, assets: [{name: c, users: 1}]}]}]"))
	f.Add([]byte("customers: &a [*a]"))
	f.Add([]byte(example(f)))
	f.Add([]byte("departments: [{id: a, customer: true}]\ncustomers: [{id: a, contracts: [{id: k, overlays: [{name: x, hours: {sat: [a, b], sun: c}}]}]}]"))
	f.Add([]byte("customers:\n  - id: {x: 1}\n  - 3\n"))
	f.Add([]byte("a: b\n---\nc: d"))
	f.Fuzz(func(t *testing.T, body []byte) {
		d := Directory{lines: map[string]string{}}
		if errs := append(d.read("fuzz.yml", body), d.faults()...); len(errs) > 0 {
			return
		}
		g := NewRegistry(newMemory(), Options{})
		if err := g.SetDirectory(d); err != nil {
			t.Errorf("a directory without faults is refused: %v", err)
		}
		var again Directory
		if err := readText(&again, exported(t, d)); err != nil {
			t.Fatalf("what is read cannot be exported and read again: %v", err)
		}
		if diff := cmp.Diff(d.settled(), again, said); diff != "" {
			t.Errorf("exported and read again:\n%s", diff)
		}
	})
}

// readText reads one file as LoadDirectory does.
func readText(d *Directory, body string) error {
	d.lines = map[string]string{}
	errs := d.read("fleet.yml", []byte(body))
	*d = d.settled()
	return errors.Join(append(errs, d.faults()...)...)
}
