package policies

import (
	"embed"
	"io/fs"
)

//go:embed */*_test.yml
var scenarios embed.FS

// Scenarios returns the scenarios that ship with the sets: NAME/WHAT_test.yml. They show sentence by sentence that the sets
// do what the documents say, and tell an operator what an edited set no longer does.
func Scenarios() fs.FS { return scenarios }
