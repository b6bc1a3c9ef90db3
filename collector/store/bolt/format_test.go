package bolt

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
)

var updateFixture = flag.Bool("update", false, "write the fixture of the present format anew; only before a format is released")

// TestFormats: files of every released format open and hold what was put in. The files are never changed.
func TestFormats(t *testing.T) {
	acked := map[int]bool{}
	for i := range 12 {
		acked[i+1] = true
	}
	present := fmt.Sprintf("testdata/format-%d.db.gz", store.Format)
	if *updateFixture {
		writeFixture(t, present, len(acked))
	}
	fixtures, err := filepath.Glob("testdata/format-*.db.gz")
	if err != nil || len(fixtures) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, fixture := range fixtures {
		f, err := os.Open(fixture)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		unzipped, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(unzipped)
		if err != nil {
			t.Fatal(err)
		}
		path := file(t)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, path, Options{})
		if err := verify(s, acked); err != nil {
			t.Errorf("%s: %v", fixture, err)
		}
		if err := s.View(context.Background(), furnished); err != nil {
			t.Errorf("%s: %v", fixture, err)
		}
		if err := work(s, 100); err != nil {
			t.Errorf("%s: working on: %v", fixture, err)
		}
	}
}

func writeFixture(t *testing.T, name string, changes int) {
	t.Helper()
	content, _ := sample(t, changes, furnish)
	var zipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, zipped.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// furnish puts in the fixture what work does not.
func furnish(tx store.Tx) error {
	_, err := tx.PutEvent(store.HostEvent{Asset: "web1", Epoch: 2, ID: 3, Kind: "reboot", At: start, Text: "rebooted"})
	_, err2 := tx.NextIncarnation()
	return errors.Join(err, err2,
		tx.PutAlert(store.AlertState{
			Origin: rules.Origin{ID: "r1", Name: "DiskFull"},
			Alert:  rules.Alert{Labels: labels.FromStrings("alertname", "DiskFull"), State: rules.Pending, Value: 0.1, ActiveAt: start},
		}),
		tx.PutAgent(fleet.Agent{ID: "a1", Serials: []string{"01"}, EnrolledAt: start}),
		tx.PutToken(fleet.Token{ID: "k1", Digest: "d", ExpiresAt: start}),
		tx.PutOperator(fleet.Operator{Name: "ada", Role: fleet.Admin}),
		tx.PutAuthority([]byte("cert"), []byte("key")),
		tx.PutShape("acme", [32]byte{1, 0, 0xff}, []byte("shape")))
}

// furnished tells whether what furnish put in is there.
func furnished(tx store.Tx) error {
	events, err := tx.Events("web1", start, 0)
	alerts, err2 := tx.Alerts()
	agent, ok, err3 := tx.Agent("a1")
	token, ok2, err4 := tx.Token("k1")
	operator, ok3, err5 := tx.Operator("ada")
	cert, key, ok4, err6 := tx.Authority()
	shapes := ""
	err7 := tx.Shapes(func(customer string, id [32]byte, encoded []byte) error {
		shapes += fmt.Sprintf("%s %x %s", customer, id[:3], encoded)
		return nil
	})
	var declared []fleet.Declared
	for _, kind := range fleet.DeclaredKinds() {
		some, err := tx.Declared(kind)
		err7, declared = errors.Join(err7, err), append(declared, some...)
	}
	if err := errors.Join(err, err2, err3, err4, err5, err6, err7); err != nil {
		return err
	}
	if !operator.May(fleet.MayAdminister) || !operator.SeesAll() || len(declared) != 0 {
		return fmt.Errorf("an operator of one role, and nothing declared, became %+v and %v", operator, declared)
	}
	if len(events) != 1 || events[0].Text != "rebooted" || len(alerts) != 1 || alerts[0].Alert.Value != 0.1 ||
		alerts[0].Alert.Labels.Get("alertname") != "DiskFull" || !ok || agent.Serials[0] != "01" || !ok2 || token.Digest != "d" ||
		!ok3 || operator.Role != fleet.Admin || !ok4 || string(cert)+string(key) != "certkey" || shapes != "acme 0100ff shape" {
		return fmt.Errorf("got %v, %v, %v, %v, %v, %q, %q, %q", events, alerts, agent, token, operator, cert, key, shapes)
	}
	return nil
}
