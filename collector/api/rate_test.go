package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/ticket"
)

// rater keeps the one answer that its token is good for.
type rater struct {
	Desk
	got *string
}

func (r rater) RateByLink(_ context.Context, ref, token string, score int, text string) error {
	switch {
	case token == "broken":
		return fmt.Errorf("disk is full of %s", ref)
	case token != "good" || *r.got != "":
		return fmt.Errorf("%w: this link was used already", ticket.ErrRefused)
	}
	*r.got = fmt.Sprintf("%s %d %s", ref, score, text)
	return nil
}

// TestRateByLink: whoever has the link answers once, without a token of their own; looking at the link answers nothing.
func TestRateByLink(t *testing.T) {
	var got string
	h := newHouse(t, func(o *Options) { o.Desk = rater{o.Desk, &got} })
	send := func(method, path, form string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		return w
	}
	if w := send("GET", "/rate/WB-1%3Cscript%3E/good", ""); w.Code != http.StatusOK || got != "" || strings.Contains(w.Body.String(), "<script>") ||
		!strings.Contains(w.Body.String(), `value="10"`) {
		t.Errorf("the form: %d %s", w.Code, w.Body)
	}
	for _, tt := range []struct {
		path, form string
		status     int
		says       string
	}{
		{"/rate/WB-1/good", "score=11", 400, "from 0 to 10"},
		{"/rate/WB-1/good", "", 400, "from 0 to 10"},
		{"/rate/WB-1/good", "score=9&text=" + strings.Repeat("x", maxRating+1), 400, "a page of text"},
		{"/rate/WB-1/never", "score=9", 409, "used already, or is none"},
		{"/rate/WB-1/broken", "score=9", 503, "try again later"},
		{"/rate/WB-1/good", "score=9&text=fast", 200, "Thank you"},
		{"/rate/WB-1/good", "score=2", 409, "used already, or is none"},
	} {
		w := send("POST", tt.path, tt.form)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s: answered %d %s, want %d and %q", tt.path, w.Code, w.Body, tt.status, tt.says)
		}
	}
	if got != "WB-1 9 fast" {
		t.Errorf("kept %q", got)
	}
}
