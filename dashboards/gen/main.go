// Command gen writes the dashboards of this directory's parent as JSON:
//
//	go run ./dashboards/gen            # from the top
//	go generate ./dashboards
//
// What a dashboard asks stands in the files named after them; build.go makes Grafana's model of it.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	into := flag.String("into", "dashboards", "directory to write to")
	flag.Parse()
	if err := write(*into); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// write makes every dashboard and writes each as NAME.json into a directory that exists.
func write(into string) error {
	for _, b := range all() {
		body, err := b.json()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(into, b.file()), body, 0o644); err != nil { //nolint:gosec // for everybody to read
			return fmt.Errorf("write dashboard %s: %w", b.uid, err)
		}
	}
	return nil
}

// all are the dashboards that ship, in the order in which an operations team opens them.
func all() []board {
	return []board{fleet(), linux(), windows(), iis(), mssql(), network(), web(), backups(), tickets(), oncall(), self()}
}
