// Package cmd_test holds the plan of the house: which room may import which, and what a pure room may not do. It reads
// every file of every operating system itself, so that no cache and no build tag hides one.
package cmd_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/watchbill/watchbill/"

// topLevel is what may stand at the top beside dot-files and what .gitignore names.
var topLevel = []string{"LICENSE", "README.md", "agent", "cmd", "collector", "dashboards", "deploy", "go.mod", "go.sum", "rules"}

// storeRooms are what the store, its implementations and their suite may import.
var storeRooms = []string{"rules", "collector/incident", "collector/ticket", "collector/sla", "collector/outbox",
	"collector/fleet", "collector/store", "collector/store/*"}

// mayImport is the table of rooms. "a/*" is every room below a; "!a" takes a away again. Test files keep to it too, and
// may import what inTests adds.
var mayImport = map[string][]string{
	"agent":        {"agent/*"},
	"agent/wire":   {},
	"agent/sample": {"agent/wire"},
	"agent/probe":  {"agent/wire"},
	"agent/spool":  {"agent/wire"},
	"agent/push":   {"agent/wire", "agent/spool"},
	"agent/enroll": {"agent/wire"},

	"rules":          {"rules/program", "rules/window"},
	"rules/program":  {"rules/window"},
	"rules/window":   {},
	"rules/packs":    {},
	"rules/policies": {},

	"collector":                 {"collector/*", "rules", "rules/*", "agent/wire"},
	"collector/fleet":           {},
	"collector/ingest":          {"agent/wire", "collector/fleet", "rules/window", "collector/incident"},
	"collector/evaluate":        {"rules", "rules/program", "rules/window"},
	"collector/history":         {"rules/window"},
	"collector/history/remote":  {"collector/history", "collector/policy", "rules/window"},
	"collector/incident":        {"rules"},
	"collector/sla":             {},
	"collector/ticket":          {"collector/incident", "collector/sla"},
	"collector/route":           {"collector/ticket", "collector/sla"},
	"collector/policy":          {"rules/policies", "collector/sla", "collector/ticket", "collector/route", "collector/fleet"},
	"collector/outbox":          {},
	"collector/notify":          {"collector/outbox"},
	"collector/store":           storeRooms,
	"collector/store/bolt":      storeRooms,
	"collector/store/postgres":  storeRooms,
	"collector/store/storetest": storeRooms,
	"collector/cluster":         {},
	"collector/api":             {"collector/*", "!collector/web", "rules", "rules/window"},
	"collector/web":             {"collector/api"},

	"cmd":                 {},
	"cmd/watchbill":       {"collector", "collector/*", "agent", "agent/*", "rules", "rules/*"},
	"cmd/watchbill-agent": {"agent", "agent/*"},
	"cmd/watchbill-fleet": {"agent/wire", "agent/spool", "agent/push", "agent/enroll"},

	"dashboards":     {},
	"dashboards/gen": {},
}

// inTests is what a room's tests may import besides.
var inTests = map[string][]string{
	"rules/packs":      {"rules", "rules/window"}, // packs are tested by running them
	"collector/ingest": {"agent/enroll"},          // renewals and rotations are tested with the agent's own part in them
	"collector":        {"agent", "agent/*"},      // outages are played with real agents
	// queries are asked of what a collector says that works, with an agent
	"dashboards": {"collector", "collector/*", "agent", "agent/*"},
}

// pureRooms take data and the time, and give decisions: no clock, no I/O, no goroutines, no chance.
var pureRooms = []string{"rules", "rules/program", "rules/window", "collector/incident", "collector/sla", "collector/ticket", "collector/route"}

// impure are the packages, with all below them, that a pure room does not import; pureAfterAll the exceptions.
var (
	impure       = []string{"os", "net", "log", "io/ioutil", "math/rand", "crypto/rand", "syscall", "golang.org/x/sys"}
	pureAfterAll = []string{"net/netip", "net/url"}
)

// forbiddenCalls are functions, by package, that pure rooms do not use, and that agents do not.
var (
	clockCalls = map[string][]string{"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer",
		"NewTicker", "Tick"}}
	processCalls = map[string][]string{"os": {"StartProcess"}, "syscall": {"StartProcess", "ForkExec", "Exec",
		"CreateProcess"}, "golang.org/x/sys/windows": {"CreateProcess", "ShellExecute"}, "golang.org/x/sys/unix": {"Exec"}}
)

// outsideTests are packages that only tests may import: hundreds of packages come with them.
var outsideTests = []string{"github.com/prometheus/prometheus/rules", "github.com/prometheus/prometheus/storage/remote",
	"github.com/prometheus/prometheus/web"}

// nobodyKnows are names that say nothing about what lives in a room.
var nobodyKnows = []string{"util", "utils", "common", "types", "helper", "helpers"}

func TestEveryFileKeepsToThePlan(t *testing.T) {
	root := os.DirFS("..")
	ignored := ignoredAtTop(t, root)
	files := 0
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch {
			case name == ".":
				return nil
			case strings.HasPrefix(d.Name(), "."), d.Name() == "testdata", slices.Contains(ignored, name):
				return fs.SkipDir
			case slices.Contains(nobodyKnows, d.Name()):
				t.Errorf("%s: a room called %q says nothing about what lives in it; name it after that", name, d.Name())
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		files++
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		for _, fault := range inspect(name, src) {
			t.Error(fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Errorf("only %d Go files found: this test does not see the house", files)
	}
}

func TestTopLevel(t *testing.T) {
	root := os.DirFS("..")
	ignored := ignoredAtTop(t, root)
	entries, err := fs.ReadDir(root, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, ".") && !slices.Contains(topLevel, name) && !slices.Contains(ignored, name) {
			t.Errorf("%s does not belong at the top: docs live in the room they document, code in a room of the table", name)
		}
	}
}

// ignoredAtTop are the names that .gitignore anchors at the top.
func ignoredAtTop(t *testing.T, root fs.FS) []string {
	t.Helper()
	b, err := fs.ReadFile(root, ".gitignore")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "/"); ok {
			names = append(names, strings.TrimSuffix(name, "/"))
		}
	}
	return names
}

// inspect names what is wrong with one file, given its path from the top.
func inspect(name string, src []byte) []string {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return []string{err.Error()}
	}
	room := path.Dir(name)
	c := checker{fset: fset, room: room, test: strings.HasSuffix(name, "_test.go"), names: map[string]string{}}
	if _, known := mayImport[room]; !known {
		c.fault(f.Name, "room %s is not in the table of this test", room)
	}
	for _, spec := range f.Imports {
		c.checkImport(spec)
	}
	if !c.test {
		c.checkBody(f)
	}
	return c.faults
}

type checker struct {
	fset   *token.FileSet
	room   string
	test   bool
	names  map[string]string // of imported packages in this file, to their paths
	faults []string
}

func (c *checker) fault(at ast.Node, format string, args ...any) {
	c.faults = append(c.faults, c.fset.Position(at.Pos()).String()+": "+fmt.Sprintf(format, args...))
}

func (c *checker) pure() bool  { return slices.Contains(pureRooms, c.room) }
func (c *checker) agent() bool { return below(c.room, "agent") || c.room == "cmd/watchbill-agent" }

func (c *checker) checkImport(spec *ast.ImportSpec) {
	imported, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		c.fault(spec, "%v", err)
		return
	}
	local := path.Base(imported)
	if spec.Name != nil {
		local = spec.Name.Name
	}
	c.names[local] = imported
	if ours, ok := strings.CutPrefix(imported, module); ok && !c.allowed(ours) {
		c.fault(spec, "%s may not import %s; see the table of this test", c.room, ours)
	}
	if c.test {
		return
	}
	if c.pure() && slices.ContainsFunc(impure, func(p string) bool { return below(imported, p) }) &&
		!slices.Contains(pureAfterAll, imported) {
		c.fault(spec, "%s is pure and may not import %s: take what it gives as an argument", c.room, imported)
	}
	if c.pure() && imported == "time" && local == "." {
		c.fault(spec, "import time under its name, so that this test sees what is used of it")
	}
	if c.agent() && imported == "os/exec" {
		c.fault(spec, "an agent starts no process: nothing in it may import os/exec")
	}
	if slices.ContainsFunc(outsideTests, func(p string) bool { return below(imported, p) }) {
		c.fault(spec, "%s brings hundreds of packages with it; only tests may import it", imported)
	}
}

// allowed tells whether the table lets the room import another of ours. A room's own external tests may import it.
func (c *checker) allowed(ours string) bool {
	patterns := mayImport[c.room]
	if c.test {
		if ours == c.room {
			return true
		}
		patterns = slices.Concat(patterns, inTests[c.room])
	}
	ok := false
	for _, p := range patterns {
		if not, cut := strings.CutPrefix(p, "!"); cut {
			ok = ok && !below(ours, not)
			continue
		}
		parent, cut := strings.CutSuffix(p, "/*")
		ok = ok || ours == p || cut && ours != parent && below(ours, parent)
	}
	return ok
}

func (c *checker) checkBody(f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if c.pure() {
				c.fault(n, "%s is pure and starts no goroutine", c.room)
			}
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			imported, name := c.names[x.Name], n.Sel.Name
			if c.pure() && slices.Contains(clockCalls[imported], name) {
				c.fault(n, "%s is pure and may not use %s.%s: take the time as an argument", c.room, x.Name, name)
			}
			if c.agent() && slices.Contains(processCalls[imported], name) {
				c.fault(n, "an agent starts no process: nothing in it may use %s.%s", x.Name, name)
			}
		}
		return true
	})
}

// below tells whether name is parent or lies in it.
func below(name, parent string) bool {
	return name == parent || strings.HasPrefix(name, parent+"/")
}

// The test above is only worth something when it sees what is wrong.
func TestInspectSeesWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		file, src string
		want      string // part of the one fault; none when empty
	}{
		"an import the table allows":        {"collector/notify/a.go", `import _ "github.com/watchbill/watchbill/collector/outbox"`, ""},
		"an import it does not":             {"collector/outbox/a.go", `import _ "github.com/watchbill/watchbill/collector/notify"`, "may not import collector/notify"},
		"… on another system":               {"agent/wire/a_windows.go", `import _ "github.com/watchbill/watchbill/agent/spool"`, "may not import agent/spool"},
		"… in a test":                       {"collector/outbox/a_test.go", `import _ "github.com/watchbill/watchbill/collector/notify"`, "may not import"},
		"… of the collector by the agent":   {"agent/a.go", `import _ "github.com/watchbill/watchbill/collector/fleet"`, "may not import"},
		"a room in its own test":            {"agent/wire/a_test.go", `import _ "github.com/watchbill/watchbill/agent/wire"`, ""},
		"what only tests may import":        {"rules/packs/a_test.go", `import _ "github.com/watchbill/watchbill/rules"`, ""},
		"… outside a test":                  {"rules/packs/a.go", `import _ "github.com/watchbill/watchbill/rules"`, "may not import"},
		"a star does not mean its parent":   {"collector/api/a.go", `import _ "github.com/watchbill/watchbill/collector"`, "may not import"},
		"a star means all below":            {"collector/api/a.go", `import _ "github.com/watchbill/watchbill/collector/store/bolt"`, ""},
		"taken away from a star":            {"collector/api/a.go", `import _ "github.com/watchbill/watchbill/collector/web"`, "may not import"},
		"an unknown room":                   {"collector/magic/a.go", ``, "not in the table"},
		"the operating system, pure":        {"collector/sla/a.go", `import _ "os"`, "pure"},
		"the network, pure":                 {"rules/a.go", `import _ "net/http"`, "pure"},
		"a URL, pure":                       {"rules/a.go", `import _ "net/url"`, ""},
		"a log, pure":                       {"rules/window/a.go", `import _ "log/slog"`, "pure"},
		"chance, pure":                      {"collector/route/a.go", `import _ "math/rand/v2"`, "pure"},
		"the clock, pure":                   {"collector/ticket/a.go", `import "time"; var _ = time.Now()`, "time.Now"},
		"the clock under another name":      {"collector/ticket/a.go", `import t "time"; var _ = t.Since`, "t.Since"},
		"the clock without a name":          {"collector/ticket/a.go", `import . "time"; var _ = Now`, "under its name"},
		"a duration, pure":                  {"collector/ticket/a.go", `import "time"; var _ = time.Second`, ""},
		"a goroutine, pure":                 {"collector/incident/a.go", `func f() { go f() }`, "goroutine"},
		"all that in a pure room's test":    {"collector/incident/a_test.go", `import ("os"; "time"); func f() { go f(); _ = os.Args; _ = time.Now() }`, ""},
		"the clock at an edge":              {"collector/outbox/a.go", `import "time"; var _ = time.Now()`, ""},
		"a process in an agent":             {"agent/sample/a_linux.go", `import _ "os/exec"`, "starts no process"},
		"… by another door":                 {"agent/probe/a.go", `import "os"; var _ = os.StartProcess`, "starts no process"},
		"a process in a collector":          {"collector/a.go", `import _ "os/exec"`, ""},
		"prometheus' rules":                 {"collector/evaluate/a.go", `import _ "github.com/prometheus/prometheus/rules"`, "hundreds of packages"},
		"prometheus' rules as a test peer":  {"collector/evaluate/a_test.go", `import _ "github.com/prometheus/prometheus/rules"`, ""},
		"what only begins like a forbidden": {"collector/a.go", `import _ "github.com/prometheus/prometheus/storage"`, ""},
		"a file that is no Go":              {"agent/a.go", `import "`, "not terminated"},
	} {
		t.Run(name, func(t *testing.T) {
			got := inspect(filepath.ToSlash(c.file), []byte("package x\n"+c.src))
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("found fault with it: %q", got)
			case c.want != "" && (len(got) == 0 || !strings.Contains(got[0], c.want)):
				t.Errorf("found %q, want a fault that says %q", got, c.want)
			}
		})
	}
}
