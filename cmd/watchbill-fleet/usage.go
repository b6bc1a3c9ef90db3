package main

import "errors"

// usage is what a process has used and holds.
type usage struct {
	// cpu is seconds of processor time, user and system.
	cpu float64
	// rss is resident memory in bytes.
	rss uint64
}

// errGone: there is no such process.
var errGone = errors.New("no such process")
