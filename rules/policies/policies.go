// Package policies holds the policy sets that ship with Watchbill, one directory each.
package policies

import (
	"embed"
	"io/fs"
)

//go:embed */policy.yml
var files embed.FS

// Files returns every shipped set: NAME/policy.yml. The set `default` is what a customer without a contract gets.
func Files() fs.FS { return files }
