package bolt

import "fmt"

func fillProgram(dir, rounds, seed string) error { return fmt.Errorf("%s %s %s", dir, rounds, seed) }
