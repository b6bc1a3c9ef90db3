package api

import (
	"runtime"
	"runtime/debug"
)

// Build says which program this is.
type Build struct {
	// Version is the module's version, "(devel)" for one that was built outside a repository.
	Version string `json:"version"`
	// Revision and RevisionTime are of the commit it was built from, empty when unknown; Modified tells that files were
	// changed since.
	Revision     string `json:"revision"`
	RevisionTime string `json:"revision_time"`
	Modified     bool   `json:"modified"`
	GoVersion    string `json:"go_version"`
	Platform     string `json:"platform"`
}

// ReadBuild is the running program's Build, from what the Go tool stamped into it.
func ReadBuild() Build {
	b := Build{Version: "(devel)", GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.RevisionTime = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
