package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
)

func TestBackup(t *testing.T) {
	h := newHouse(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), chunk/8+3)
	body := &closing{Reader: bytes.NewReader(big)}
	h.backup = func(ctx context.Context) (Download, error) {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) < answerTimeout {
			t.Errorf("the backup must be made until %v, %v", deadline, ok)
		}
		return Download{Name: "a.backup", Size: int64(len(big)), Body: body}, nil
	}
	w := h.do(fleet.Admin, "GET", Root+"/backup", "")
	if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), big) || !body.closed {
		t.Errorf("answered %d with %d bytes, closed %v; want all %d", w.Code, w.Body.Len(), body.closed, len(big))
	}
	for name, want := range map[string]string{"Content-Type": MediaBackup, "Content-Length": fmt.Sprint(len(big)),
		"Content-Disposition": `attachment; filename="a.backup"`, "Cache-Control": "no-store"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	h.backup = func(context.Context) (Download, error) { return Download{}, store.ErrFull }
	if body := h.want(http.StatusInsufficientStorage, "GET", Root+"/backup", ""); !strings.Contains(body, "storage_full") {
		t.Errorf("on a full disk: %s", body)
	}
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

// TestParked: what a restore parked is listed, counted, sent by hand and dropped by hand.
func TestParked(t *testing.T) {
	h := newHouse(t)
	for _, id := range []string{"m1", "m2"} {
		h.message(id, outbox.Parked)
	}
	h.message("m3", outbox.Queued)
	var list MessageList
	if err := json.Unmarshal([]byte(h.want(200, "GET", Root+"/outbox?state=parked", "")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Messages) != 2 || list.Messages[0].State != outbox.Parked || list.Messages[0].NextAt != nil {
		t.Errorf("parked: %+v", list.Messages)
	}
	if body := h.want(200, "GET", Root+"/status", ""); !strings.Contains(body, `"parked_messages":2`) {
		t.Errorf("status: %s", body)
	}
	h.want(200, "POST", Root+"/outbox/m1/resend", "")
	h.want(200, "DELETE", Root+"/outbox/m2", "")
	h.want(404, "DELETE", Root+"/outbox/m2", "")
	if body := h.want(409, "DELETE", Root+"/outbox/m3", ""); !strings.Contains(body, "on its way") {
		t.Errorf("dropping a queued one: %s", body)
	}
	if err := json.Unmarshal([]byte(h.want(200, "GET", Root+"/outbox", "")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Messages) != 2 || list.Messages[0].State != outbox.Queued || list.Messages[1].State != outbox.Queued {
		t.Errorf("left: %+v", list.Messages)
	}
}
