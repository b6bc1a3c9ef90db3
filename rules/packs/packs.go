// Package packs holds the rules that ship with Watchbill, as Prometheus rule files, and their tests. See README.md.
package packs

import (
	"embed"
	"io/fs"
)

//go:embed *.yml
var files embed.FS

// Files returns every pack and every test of a pack, at the top level: NAME.yml holds rules, NAME_test.yml their tests in
// the format of `promtool test rules`, NAME_ticket_test.yml says which tickets they open.
func Files() fs.FS { return files }
