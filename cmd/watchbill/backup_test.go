package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector"
	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/bolt"
)

// stored is a storage directory with a store in which a ticket number was taken, and an operator's token.
func stored(t *testing.T) string {
	t.Helper()
	dir := storage(t, "wbo_secret")
	s, err := bolt.Open(filepath.Join(dir, collector.StoreName), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), "", func(tx store.Tx) error { _, err := tx.NextNumber(); return err }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestBackupAndRestoreOffline copies a store that nobody uses and puts the copy back.
func TestBackupAndRestoreOffline(t *testing.T) {
	dir, file := stored(t), filepath.Join(t.TempDir(), "b.backup")
	t.Setenv(tokenEnv, "")
	code, out, errs := cli(t, "backup", file, "--storage.path", dir)
	if code != 0 || !strings.Contains(out, "up to ticket WB-1001") || !strings.Contains(out, "verified") {
		t.Fatalf("backup: %d %s %s", code, out, errs)
	}
	if code, _, errs := cli(t, "backup", file, "--storage.path", dir); code != 1 || !strings.Contains(errs, "never overwritten") {
		t.Errorf("over it: %d %s", code, errs)
	}
	code, out, errs = cli(t, "backup", file+"2", "--storage.path", dir, "--output", "json")
	var info struct {
		File string
		bolt.BackupInfo
	}
	if err := json.Unmarshal([]byte(out), &info); code != 0 || err != nil || info.File != file+"2" || info.TicketNumber != 1001 {
		t.Errorf("as JSON: %d %s %s (%v)", code, out, errs, err)
	}
	code, out, errs = cli(t, "restore", file, "--storage.path", dir)
	if code != 0 {
		t.Fatalf("restore: %d %s", code, errs)
	}
	for _, want := range []string{"continue at WB-3001", "0 parked", "watchbill.db.replaced-", "watchbill agent list", collector.RestoresName} {
		if !strings.Contains(out, want) {
			t.Errorf("restore does not say %q:\n%s", want, out)
		}
	}
}

func TestBackupAndRestoreRefuse(t *testing.T) {
	dir, empty := stored(t), t.TempDir()
	s, err := bolt.Open(filepath.Join(dir, collector.StoreName), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "b")
	if _, err := s.BackupTo(t.Context(), file, "v1"); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"restore"}, 2, "FILE is missing"},
		{[]string{"restore", "a", "b"}, 2, "one argument too many"},
		{[]string{"restore", file, "--storage.path", dir}, 1, "stop it"},
		{[]string{"restore", bad, "--storage.path", empty}, 1, "damaged"},
		{[]string{"restore", filepath.Join(empty, "none"), "--storage.path", empty}, 1, "no such file"},
		{[]string{"backup", "a", "b"}, 2, "one argument too many"},
		{[]string{"backup", "--output", "xml"}, 2, "text or json"},
		{[]string{"backup", filepath.Join(empty, "b"), "--storage.path", empty}, 1, "watchbill.db: no such file"},
	} {
		if code, _, errs := cli(t, tt.args...); code != tt.code || !strings.Contains(errs, tt.says) {
			t.Errorf("%s: %d %s; want %d and %q", tt.args, code, errs, tt.code, tt.says)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBackupOnline takes a backup over the line; what is no whole backup is not kept.
func TestBackupOnline(t *testing.T) {
	dir := stored(t)
	var whole bytes.Buffer
	s, err := bolt.Open(filepath.Join(dir, collector.StoreName), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Backup(t.Context(), &whole, "v1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	answer := func(status int, media string, length int, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != api.Root+"/backup" || r.Header.Get("Authorization") != "Bearer wbo_secret" {
				t.Errorf("asked for %s with %q", r.URL.Path, r.Header.Get("Authorization"))
			}
			w.Header().Set("Content-Type", media)
			w.WriteHeader(status)
			_, _ = w.Write(body)
			if length > len(body) {
				panic(http.ErrAbortHandler) // the line breaks
			}
		}
	}
	n := whole.Len()
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		code    int
		says    string
	}{
		"good":              {answer(200, api.MediaBackup, n, whole.Bytes()), 0, "WB-1001"},
		"breaks off":        {answer(200, api.MediaBackup, n, whole.Bytes()[:n/2]), 1, "broke off"},
		"ends early":        {answer(200, api.MediaBackup, 0, whole.Bytes()[:n-512]), 1, "ends before its checksum"},
		"not allowed":       {answer(403, "application/json", 0, []byte(`{"error":{"code":"forbidden","message":"may not","hint":"ask"}}`)), 1, "may not: ask"},
		"no collector":      {answer(200, "text/html", 0, []byte("<html>")), 1, "check --url"},
		"another collector": {answer(200, "application/json", 0, []byte("{}")), 1, "with no backup"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(tt.handler)
			defer srv.Close()
			to := t.TempDir()
			code, out, errs := cli(t, "backup", filepath.Join(to, "b"), "--url", srv.URL, "--storage.path", dir)
			if code != tt.code || !strings.Contains(out+errs, tt.says) {
				t.Errorf("%d %s %s; want %d and %q", code, out, errs, tt.code, tt.says)
			}
			entries, err := os.ReadDir(to)
			if err != nil || (len(entries) == 1) != (tt.code == 0) {
				t.Errorf("left: %v, %v", entries, err)
			}
		})
	}
}

// TestDamagedStoreNamesTheCommand breaks a store, reads the command in the collector's error, and runs just that.
func TestDamagedStoreNamesTheCommand(t *testing.T) {
	dir := stored(t)
	backups := filepath.Join(dir, collector.BackupsName)
	if err := os.Mkdir(backups, 0o700); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(backups, "watchbill-20260301T120000Z.backup")
	if code, _, errs := cli(t, "backup", good, "--storage.path", dir, "--url", "http://127.0.0.1:1"); code == 0 {
		t.Fatalf("with a --url that is given the store is not touched: %s", errs)
	}
	info, err := bolt.BackupOffline(t.Context(), filepath.Join(dir, collector.StoreName), good, "v1")
	if err != nil {
		t.Fatal(err)
	}
	// A newer one that is no good must not be named.
	if err := os.WriteFile(filepath.Join(backups, "watchbill-20260302T120000Z.backup"), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, collector.StoreName), 20_000); err != nil {
		t.Fatal(err)
	}
	serve := []string{"serve", "--storage.path", dir, "--web.listen-address", "127.0.0.1:0", "--agent.listen-address", "127.0.0.1:0"}
	code, _, errs := cli(t, serve...)
	if code != 1 || !strings.Contains(errs, "store is damaged") || !strings.Contains(errs, "holds the state of "+info.TakenAt.UTC().Format(time.RFC3339)) {
		t.Fatalf("serve: %d %s", code, errs)
	}
	_, command, ok := strings.Cut(errs, "\n  watchbill ")
	if !ok || !strings.Contains(command, good) {
		t.Fatalf("no command that names %s:\n%s", good, errs)
	}
	var args []string
	for _, word := range regexp.MustCompile(`'[^']*'|\S+`).FindAllString(command, -1) {
		args = append(args, strings.Trim(word, "'"))
	}
	if code, _, errs := cli(t, args...); code != 0 {
		t.Fatalf("%s: %d %s", command, code, errs)
	}
	s, err := bolt.Open(filepath.Join(dir, collector.StoreName), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Update(t.Context(), "", func(tx store.Tx) error {
		n, err := tx.NextNumber()
		if n <= 1001 {
			t.Errorf("the next ticket number is %d", n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
