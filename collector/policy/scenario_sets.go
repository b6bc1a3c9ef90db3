package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// ReadSetFiles reads the policy sets of a file system as written: NAME/policy.yml and NAME.yml. It says nothing of what is in them.
func ReadSetFiles(fsys fs.FS) (SetFiles, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("read policy sets: %w", err)
	}
	sets := SetFiles{}
	for _, e := range entries {
		name, file := e.Name(), e.Name()
		switch {
		case strings.HasPrefix(name, ".") || strings.HasSuffix(name, ScenarioSuffix):
			continue
		case e.IsDir():
			file = path.Join(name, "policy.yml")
		case strings.HasSuffix(name, ".yml"):
			name = strings.TrimSuffix(name, ".yml")
		default:
			continue
		}
		content, err := fs.ReadFile(fsys, file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a directory of something else
		}
		if err != nil {
			return nil, fmt.Errorf("read policy set %s: %w", name, err)
		}
		sets[name] = content
	}
	return sets, nil
}
