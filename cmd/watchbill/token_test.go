package main

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/bolt"
)

// TestRefusedToken: whoever's API a command asks in whichever form, a token that does not do is told in the same words. The
// answers are those of the API itself.
func TestRefusedToken(t *testing.T) {
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	reg := fleet.NewRegistry(store.Keeper(s), fleet.Options{})
	server := httptest.NewServer(api.New(api.Options{Store: s, Fleet: reg, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}).Handler())
	t.Cleanup(server.Close)
	t.Setenv(tokenEnv, "")
	commands := []string{"silence list", "silence add a=b --until 2h -m why", "silence expire " + someSilence, "query up", "maintenance list", "alert list"}
	told := func(token, want string, args ...string) {
		t.Helper()
		dir := t.TempDir()
		if token != "" {
			dir = storage(t, token)
		}
		for _, line := range args {
			code, out, errs := cli(t, append(strings.Fields(line), "--url", server.URL, "--storage.path", dir)...)
			if code != exitFailed || out != "" || !strings.Contains(errs, want) {
				t.Errorf("%s with %q: exit code %d, says %q, want %q", line, token, code, out+errs, want)
			}
		}
	}
	told("", "this collector has no operator yet: stop it, run `watchbill operator add NAME`", commands...)
	viewer, err := reg.AddOperatorWith(t.Context(), fleet.NewOperator{Name: "vera", Roles: []fleet.Role{fleet.Viewer}, By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	told("", "wants an operator's token and there is none in ", commands...)
	told("wbo_nobodys", "does not know the token from ", commands...)
	told(viewer, "vera has the role viewer", commands[1:3]...)
}
