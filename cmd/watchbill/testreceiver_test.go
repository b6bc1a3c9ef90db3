package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/api"
)

// A receiver of a configuration is tried without a collector, and its answer decides.
func TestTestReceiver(t *testing.T) {
	code, body := http.StatusOK, ""
	d := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body = string(b)
		w.WriteHeader(code)
	}))
	defer d.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "watchbill.yml")
	for name, content := range map[string]string{file: "receivers:\n- {name: chat, slack: {url_file: hook}}\n", filepath.Join(dir, "hook"): d.URL + "/geheim\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if exit, out, errs := cli(t, "test", "receiver", "chat", "--config.file", file); exit != 0 || !strings.Contains(out, "Receiver chat took the test.") {
		t.Errorf("exit code %d: %s%s", exit, out, errs)
	}
	if !strings.Contains(body, "This is a test of a receiver") {
		t.Errorf("it got %s", body)
	}
	code = http.StatusForbidden
	if exit, _, errs := cli(t, "test", "receiver", "chat", "--config.file", file); exit != 1 || !strings.Contains(errs, "403") || strings.Contains(errs, "geheim") {
		t.Errorf("exit code %d: %s", exit, errs)
	}
	if exit, _, errs := cli(t, "test", "receiver", "chta", "--config.file", file); exit != 1 || !strings.Contains(errs, `watchbill.yml: receivers: there is no "chta"; it has chat`) {
		t.Errorf("exit code %d: %s", exit, errs)
	}
	none := filepath.Join(dir, "none.yml")
	if err := os.WriteFile(none, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if exit, _, errs := cli(t, "test", "receiver", "chat", "--config.file", none); exit != 1 || !strings.Contains(errs, "it has none") {
		t.Errorf("exit code %d: %s", exit, errs)
	}
	if exit, _, _ := cli(t, "test", "receiver", "chat"); exit == 0 {
		t.Error("a test without a configuration succeeds")
	}
	s := newScripted(t, 200, api.MessageList{})
	if exit, _, errs := cli(t, "outbox", "resend", "--receiver", "desk", "--url", s.URL, "--storage.path", storage(t, "wbo_secret")); exit != exitFailed ||
		!strings.Contains(errs, "no message waits for a receiver \"desk\": `watchbill outbox list` shows which do") {
		t.Errorf("exit code %d: %s", exit, errs)
	}
	if exit, _, errs := cli(t, "outbox", "resend"); exit == 0 || !strings.Contains(errs, "name messages, or --receiver") {
		t.Errorf("exit code %d: %s", exit, errs)
	}
}
