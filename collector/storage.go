package collector

import (
	"os"
	"path/filepath"
	"runtime"
)

// What lies in a storage directory, by name.
const (
	// StoreName is the store.
	StoreName = "watchbill.db"
	// TokenName holds the token of the operator who runs the collector here.
	TokenName = "operator.token"
	// BackupsName is the directory of scheduled backups, unless backup.path names another.
	BackupsName = "backups"
	// RestoresName is where every restore is recorded, one JSON object a line.
	RestoresName = "restores.log"
)

// DefaultStoragePath is where a collector keeps its data when nobody says otherwise, and where the command line looks
// for the operator's token: the user's state directory ($XDG_STATE_HOME/watchbill or ~/.local/state/watchbill; on
// Windows %LocalAppData%\watchbill). Empty when there is none: then --storage.path must be given.
func DefaultStoragePath() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(os.Getenv("LocalAppData"), "watchbill")
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "watchbill")
	}
	home, err := os.UserHomeDir()
	if err != nil { // a service's user without a home: --storage.path must be given
		return ""
	}
	return filepath.Join(home, ".local", "state", "watchbill")
}
