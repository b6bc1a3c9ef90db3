// Package dashboards holds the Grafana dashboards that ship, as JSON. gen makes them: go generate ./dashboards.
package dashboards

import "embed"

//go:generate go run ./gen -into .

//go:embed *.json
var files embed.FS

// Files are the dashboards, one *.json each.
func Files() embed.FS { return files }
