//go:build !linux

package sample

// Bundles are none where there are no samplers.
func Bundles(Config) ([]Bundle, error) { return nil, nil }
