//go:build race

package collector

// raceEnabled leaves the mutants of the policy sets out: they would take the better part of an hour, and play nothing at the
// same time that the scenarios themselves, which stay in, do not.
const raceEnabled = true
