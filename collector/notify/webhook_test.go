package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"github.com/watchbill/watchbill/collector/outbox"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)

// notice is a ticket with one alert that stands and one that ended.
func notice() Notice {
	disk := map[string]string{"alertname": "FilesystemFull", "severity": "critical", "service": "filesystem",
		"customer": "acme", "site": "leeds", "instance": "web1", "mountpoint": "/srv"}
	inodes := map[string]string{"alertname": "FilesystemInodes", "severity": "warning", "service": "filesystem",
		"customer": "acme", "site": "leeds", "instance": "web1", "mountpoint": "/srv"}
	return Notice{
		What: "opened", Text: "WB-1042 (P1): /srv on web1 is full", At: noon,
		Ticket: Ticket{ID: "4f1c", Number: "WB-1042", Kind: "incident", State: "new", Severity: "critical", Priority: "P1",
			Customer: "acme", Site: "leeds", Asset: "web1", Service: "filesystem", Title: "/srv on web1 is full",
			Owner: "first level", OpenedAt: noon, URL: "https://watch.example/tickets/WB-1042"},
		Alerts: []Alert{
			{Labels: inodes, Annotations: map[string]string{"runbook": "free some"}, StartsAt: noon.Add(-time.Hour), EndsAt: noon.Add(-time.Minute)},
			{Labels: disk, Annotations: map[string]string{"runbook": "free some", "summary": "98 % used"}, StartsAt: noon.Add(-30 * time.Second),
				GeneratorURL: "https://watch.example/alerts/1"},
		},
	}
}

func message(t *testing.T, n Notice) outbox.Message {
	t.Helper()
	body, err := n.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return outbox.Message{ID: "m-7", Receiver: "desk", Ticket: n.Ticket.ID, Number: n.Ticket.Number, What: n.What, Body: body}
}

// desk is a receiver that runs answer and keeps what came.
type desk struct {
	*httptest.Server
	calls atomic.Int32
	last  atomic.Pointer[call]
}

type call struct {
	header http.Header
	body   []byte
}

func newDesk(t *testing.T, answer http.HandlerFunc) *desk {
	d := &desk{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		d.last.Store(&call{r.Header.Clone(), b})
		d.calls.Add(1)
		answer(w, r)
	}))
	t.Cleanup(d.Close)
	return d
}

func webhook(t *testing.T, c WebhookConfig) *Webhook {
	t.Helper()
	w, err := NewWebhook("desk", c, Options{ExternalURL: "https://watch.example", Version: "1.2", Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.CloseIdleConnections)
	return w
}

func TestWebhookGolden(t *testing.T) {
	d := newDesk(t, func(http.ResponseWriter, *http.Request) {})
	if err := webhook(t, WebhookConfig{URL: d.URL}).Send(t.Context(), message(t, notice())); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := json.Indent(&got, d.last.Load().body, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	golden := filepath.Join("testdata", "webhook.golden.json")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the payload is not that of %s; run with -update when that is meant:\n%s", golden, &got)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "Idempotency-Key": "m-7",
		"User-Agent": "Watchbill/1.2", SignatureHeader: ""} {
		if got := d.last.Load().header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// genuine checks a signature as README.md tells a receiver to.
func genuine(secret, header string, body []byte) bool {
	t, s, ok := strings.Cut(strings.TrimPrefix(header, "t="), ",v1=")
	if _, err := strconv.ParseInt(t, 10, 64); err != nil || !ok {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, t+"."+string(body))
	return hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(s))
}

func TestSign(t *testing.T) {
	// Checked with: printf '1774785600.{}' | openssl dgst -sha256 -hmac key
	const want = "t=1774785600,v1=832b434a63698c3aeaf85ae469166f279267f824ecbb18c6e36b764b6c3226fa"
	if got := Sign([]byte("key"), noon, []byte("{}")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWebhookSignsWithWhatTheFileHoldsNow(t *testing.T) {
	d := newDesk(t, func(http.ResponseWriter, *http.Request) {})
	file := filepath.Join(t.TempDir(), "secret")
	m := message(t, notice())
	if err := os.WriteFile(file, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := webhook(t, WebhookConfig{URL: d.URL, SecretFile: file})
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := w.Send(t.Context(), m); err == nil || errors.Is(err, outbox.ErrRefused) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its file: %v, want to try again and say which file is missing", err)
	}
	for _, c := range []struct{ content, secret string }{{"first\n", "first"}, {"second", "second"}, {"two words\r\n", "two words"}} {
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		got := d.last.Load()
		if !genuine(c.secret, got.header.Get(SignatureHeader), got.body) {
			t.Errorf("signature %q does not verify with %q", got.header.Get(SignatureHeader), c.secret)
		}
		if genuine(c.secret, got.header.Get(SignatureHeader), append(got.body, ' ')) {
			t.Error("the signature verifies for another body")
		}
	}
	calls := d.calls.Load()
	for name, content := range map[string]string{"empty": "\n", "too long": strings.Repeat("x", maxSecret+1)} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.Send(t.Context(), m); err == nil || errors.Is(err, outbox.ErrRefused) {
			t.Errorf("%s secret file: %v, want to try again", name, err)
		}
	}
	if d.calls.Load() != calls {
		t.Error("something was sent without a usable secret")
	}
	inline := webhook(t, WebhookConfig{URL: d.URL, Secret: "s3"})
	if err := inline.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if got := d.last.Load(); !genuine("s3", got.header.Get(SignatureHeader), got.body) {
		t.Error("the secret in the configuration does not sign")
	}
}

func TestWebhookAnswers(t *testing.T) {
	const retry, refused, ok = "retry", "refused", "ok"
	for code, want := range map[int]string{
		200: ok, 201: ok, 202: ok, 204: ok,
		301: refused, 302: refused, 304: refused, 307: refused,
		400: refused, 401: refused, 403: refused, 404: refused, 405: refused, 410: refused, 413: refused, 422: refused,
		408: retry, 409: retry, 423: retry, 425: retry, 429: retry,
		500: retry, 501: retry, 502: retry, 503: retry, 504: retry, 599: retry,
	} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			d := newDesk(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
			err := webhook(t, WebhookConfig{URL: d.URL}).Send(t.Context(), message(t, notice()))
			got := retry
			switch {
			case err == nil:
				got = ok
			case errors.Is(err, outbox.ErrRefused):
				got = refused
			}
			if got != want {
				t.Errorf("%s (%v), want %s", got, err, want)
			}
			if err != nil && !strings.Contains(err.Error(), strconv.Itoa(code)) {
				t.Errorf("%q does not name the answer", err)
			}
			if n := d.calls.Load(); n != 1 {
				t.Errorf("%d calls for one attempt", n)
			}
		})
	}
}

func TestWebhookRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, "-5": 0, "soon": 0, "99999999999999999999": 0,
		noon.Add(time.Hour).Format(http.TimeFormat):  time.Hour,
		noon.Add(-time.Hour).Format(http.TimeFormat): 0,
	} {
		t.Run(header, func(t *testing.T) {
			d := newDesk(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", header)
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			err := webhook(t, WebhookConfig{URL: d.URL}).Send(t.Context(), message(t, notice()))
			var got time.Duration
			if e, ok := errors.AsType[*outbox.RetryAfter](err); ok {
				got = e.Wait
			}
			if err == nil || got != want {
				t.Errorf("to wait %v (%v), want %v", got, err, want)
			}
		})
	}
}

func TestWebhookShowsAnAnswerAsOneTameLine(t *testing.T) {
	hostile := "\x1b[2Jbad\r\n\tthing <script>\x00\u202e\xff " + strings.Repeat("ü", 200)
	d := newDesk(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, hostile)
	})
	err := webhook(t, WebhookConfig{URL: d.URL}).Send(t.Context(), message(t, notice()))
	want := "refused by the receiver: it answered 400 Bad Request: .[2Jbad thing <script>... ü"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Fatalf("got %q, want it to begin with %q", err, want)
	}
	if n := len(err.Error()); n > 300 {
		t.Errorf("%d bytes of error", n)
	}
}

// A receiver that commits and then drops the connection gets a repeat with the same key.
func TestWebhookDroppedAfterCommit(t *testing.T) {
	keys := make(chan string, 10)
	d := newDesk(t, func(w http.ResponseWriter, r *http.Request) {
		keys <- r.Header.Get("Idempotency-Key")
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		c.Close()
	})
	w := webhook(t, WebhookConfig{URL: d.URL + "/hook?token=geheim"})
	for range 2 {
		err := w.Send(t.Context(), message(t, notice()))
		if err == nil || errors.Is(err, outbox.ErrRefused) {
			t.Fatalf("dropped: %v, want to try again", err)
		}
		if strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "hook") {
			t.Errorf("the error tells the secret part of the url: %v", err)
		}
	}
	for range 2 { // or more: net/http itself repeats calls with such a key
		if k := <-keys; k != "m-7" {
			t.Errorf("key %q, want m-7", k)
		}
	}
}

// A desk that never answers, or never ends its answer, is given up: without a time-out Send would not return before the
// desk does, which here waits for the end of the test.
func TestWebhookHanging(t *testing.T) {
	release := make(chan struct{})
	d := newDesk(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" { // the head at once, the body never
			w.WriteHeader(http.StatusInternalServerError)
			w.(http.Flusher).Flush()
		}
		<-release
	})
	defer close(release)
	for path, want := range map[string]error{"/head": context.DeadlineExceeded, "/body": nil} {
		w := webhook(t, WebhookConfig{URL: d.URL + path, Timeout: model.Duration(50 * time.Millisecond)})
		err := w.Send(t.Context(), message(t, notice()))
		if err == nil || errors.Is(err, outbox.ErrRefused) || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want to try again", path, err)
		}
	}
}

func TestWebhookEndlessAnswerIsCut(t *testing.T) {
	d := newDesk(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<16)); err != nil {
				return
			}
		}
	})
	if err := webhook(t, WebhookConfig{URL: d.URL}).Send(t.Context(), message(t, notice())); err != nil {
		t.Errorf("an endless 200: %v, want it taken as delivered", err)
	}
}

func TestWebhookRedirects(t *testing.T) {
	other := newDesk(t, func(http.ResponseWriter, *http.Request) {})
	for name, c := range map[string]struct {
		code int
		to   func(r *http.Request) string
		ok   bool
	}{
		"308 on the same host":      {308, func(*http.Request) string { return "/new" }, true},
		"307 on the same host":      {307, func(*http.Request) string { return "/new" }, true},
		"302, which makes it GET":   {302, func(*http.Request) string { return "/new" }, false},
		"308 to another host":       {308, func(*http.Request) string { return other.URL }, false},
		"308 to itself, for ever":   {308, func(r *http.Request) string { return r.URL.Path }, false},
		"308 to the other scheme":   {308, func(r *http.Request) string { return "https://" + r.Host }, false},
		"308 to nowhere in special": {308, func(*http.Request) string { return "" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/new" {
					w.Header()["Location"] = []string{c.to(r)}
					w.WriteHeader(c.code)
				}
			})
			err := webhook(t, WebhookConfig{URL: d.URL + "/hook"}).Send(t.Context(), message(t, notice()))
			switch {
			case c.ok && (err != nil || len(d.last.Load().body) == 0):
				t.Errorf("not followed with its body: %v", err)
			case !c.ok && err == nil:
				t.Error("taken as delivered")
			}
		})
	}
	if n := other.calls.Load(); n != 0 {
		t.Errorf("%d calls went to a host that nobody configured", n)
	}
}

func TestWebhookTrustsTheNamedCAOnly(t *testing.T) {
	d := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	d.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshake that fails is meant to
	d.StartTLS()
	t.Cleanup(d.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	h := promconfig.DefaultHTTPClientConfig
	h.TLSConfig.CAFile = ca
	if err := webhook(t, WebhookConfig{URL: d.URL, HTTP: &h}).Send(t.Context(), message(t, notice())); err != nil {
		t.Errorf("with its CA: %v", err)
	}
	if err := webhook(t, WebhookConfig{URL: d.URL}).Send(t.Context(), message(t, notice())); err == nil || errors.Is(err, outbox.ErrRefused) {
		t.Errorf("without its CA: %v, want to try again", err)
	}
	h.TLSConfig.CAFile = ca + ".not-there"
	if _, err := NewWebhook("desk", WebhookConfig{URL: d.URL, HTTP: &h}, Options{}); err == nil {
		t.Error("a CA file that is not there was accepted")
	}
}

func TestWebhookNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	err = webhook(t, WebhookConfig{URL: "http://" + l.Addr().String()}).Send(t.Context(), message(t, notice()))
	if err == nil || errors.Is(err, outbox.ErrRefused) {
		t.Errorf("%v, want to try again", err)
	}
}

// Whatever a server calls its disks, it stays data: the JSON reads back as it was said.
func TestWebhookHostileTextStaysData(t *testing.T) {
	hostile := "\"},\"status\":\"resolved\"}\r\nX-Evil: 1\x1b[31m</script>{{ . }}\u2028\x00"
	n := notice()
	n.Text, n.Ticket.Title = hostile, hostile
	n.Alerts[1].Labels["mountpoint"] = hostile
	d := newDesk(t, func(http.ResponseWriter, *http.Request) {})
	m := message(t, n)
	if err := webhook(t, WebhookConfig{URL: d.URL}).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var p payload
	dec := json.NewDecoder(bytes.NewReader(d.last.Load().body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		t.Fatal(err)
	}
	if p.Status != firing || p.Notice.Text != hostile || p.Ticket.Title != hostile || p.Alerts[0].Labels["mountpoint"] != hostile {
		t.Errorf("hostile text changed on its way: %+v", p)
	}
	if bytes.ContainsAny(d.last.Load().body, "\x1b\x00\r\n<") {
		t.Error("control characters or markup travel unescaped")
	}
	if d.last.Load().header.Get("X-Evil") != "" {
		t.Error("text became a header")
	}
}

func TestWebhookBodyThatIsNoNotice(t *testing.T) {
	w := webhook(t, WebhookConfig{URL: "http://127.0.0.1:1"})
	if err := w.Send(t.Context(), outbox.Message{ID: "m", Body: []byte(`[`)}); !errors.Is(err, outbox.ErrRefused) {
		t.Errorf("%v, want it refused: no repeat makes it readable", err)
	}
}
