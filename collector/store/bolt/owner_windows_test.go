package bolt

import "testing"

func ownerOf(*testing.T, string) string { return "" }
