package ingest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/watchbill/watchbill/collector/fleet"
)

// Feed is where alerts of others are kept.
type Feed interface {
	// Take makes durable what a sender says. An error that is no *FeedError is this house's fault: the sender comes again.
	Take(ctx context.Context, sender string, b Batch) error
	// Standing are the alerts that fire and exist for who asks; known is false where everybody may read.
	Standing(ctx context.Context, who fleet.Operator, known bool) ([]FedStanding, error)
}

// FedStanding is an alert that fires, as Alertmanager's API shows it.
type FedStanding struct {
	FedAlert
	// Group are the labels of the group that it is shown in: its incident.
	Group map[string]string
	// SilencedBy are the IDs of silences, MutedBy the names of maintenance windows that hold its ticket back.
	SilencedBy, MutedBy []string
}

// FeedOptions is what Alertmanager's API stands on. All are required.
type FeedOptions struct {
	Feed Feed
	// Config is what is configured now.
	Config func() FeedConfig
	// Build says which release this is.
	Version, Revision, GoVersion string
	Started                      time.Time
	Now                          func() time.Time
	Logger                       *slog.Logger
}

// FedReceiver is the one receiver that alerts go to: this house.
const FedReceiver = "watchbill"

// NewFeedHandler answers Alertmanager's API v2, all but silences: alerts, alerts/groups, status and receivers; and takes its
// webhook at /api/v2/webhook. Who asks has been authenticated: see fleet.Asking. Errors are JSON strings, as Alertmanager's.
func NewFeedHandler(o FeedOptions) http.Handler {
	h := &feedHandler{o}
	mux := http.NewServeMux()
	for path, by := range map[string]map[string]http.HandlerFunc{
		"/api/v2/alerts":        {"GET": h.get(h.alerts), "POST": h.post(FedByAlerts, FeedTerms.DecodeAlerts)},
		"/api/v2/webhook":       {"POST": h.post(FedByWebhook, FeedTerms.DecodeWebhook)},
		"/api/v2/alerts/groups": {"GET": h.get(h.groups)},
		"/api/v2/status":        {"GET": h.get(h.status)},
		"/api/v2/receivers":     {"GET": h.get(h.receivers)},
	} {
		for method, f := range by {
			mux.HandleFunc(method+" "+path, f)
		}
		mux.HandleFunc(path, h.only(slices.Sorted(maps.Keys(by))))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.misdirected(w, http.StatusNotFound, fmt.Sprintf("path %s was not found: alerts are sent to /api/v2/alerts, "+
			"a webhook to /api/v2/webhook", clean(cut(r.URL.Path, maxFedName))))
	})
	return mux
}

// only says by which methods a path is asked.
func (h *feedHandler) only(methods []string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		h.misdirected(w, http.StatusMethodNotAllowed, fmt.Sprintf("method %s is not allowed, but [%s] are", clean(cut(r.Method, maxFedName)),
			strings.Join(methods, ",")))
	}
}

type feedHandler struct{ o FeedOptions }

func (h *feedHandler) answer(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		h.o.Logger.Error("an answer of Alertmanager's API could not be written", "err", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(b); err != nil {
		h.o.Logger.Debug("an answer was not taken", "err", err)
	}
}

// misdirected answers what reached no path and method as Alertmanager's framework does.
func (h *feedHandler) misdirected(w http.ResponseWriter, status int, message string) {
	h.answer(w, status, map[string]any{"code": status, "message": message})
}

// fail answers an error as a JSON string.
func (h *feedHandler) fail(w http.ResponseWriter, err error) {
	var refused *FeedError
	if errors.As(err, &refused) {
		h.answer(w, refused.Status, refused.Text)
		return
	}
	h.o.Logger.Error("alerts of others were not taken, or not shown", "err", err)
	h.answer(w, http.StatusInternalServerError, err.Error())
}

// post takes a body that decode reads. What is right of it is durable when the answer goes out.
func (h *feedHandler) post(request string, decode func(t FeedTerms, body []byte, most int, now time.Time) (Batch, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		cfg, began := h.o.Config(), h.o.Now()
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(cfg.BodyBytes)))
		var big *http.MaxBytesError
		switch {
		case errors.As(err, &big):
			h.fail(w, &FeedError{413, fmt.Sprintf("the body has more than %d bytes: send alerts in several requests, or raise feed.body_bytes", big.Limit)})
			return
		case err != nil:
			h.fail(w, &FeedError{400, fmt.Sprintf("reading the body failed: %v", err)})
			return
		}
		who, _ := fleet.Asking(r.Context())
		b, err := decode(cfg.Terms(), body, cfg.AlertsPerRequest, h.o.Now())
		if err == nil {
			b.Request, b.ReceivedAt = request, began
			err = h.o.Feed.Take(r.Context(), SenderName(r.UserAgent(), who.Name), b)
		} else {
			b.Invalid = append(b.Invalid, err)
			_ = h.o.Feed.Take(r.Context(), SenderName(r.UserAgent(), who.Name), Batch{Invalid: b.Invalid}) // counts it
		}
		if err == nil {
			err = b.Fault()
		}
		if err != nil {
			h.fail(w, err)
			return
		}
		w.WriteHeader(http.StatusOK)
	}
}

// senders are the programs that are known by their User-Agent. Others are one, so that nobody can make up metrics.
var senders = []string{"Prometheus", "vmalert", "Grafana", "Loki", "Mimir", "Thanos", "Alertmanager", "amtool"}

// SenderName says who sends: "prometheus via OPERATOR".
func SenderName(agent, operator string) string {
	product, _, _ := strings.Cut(agent, "/")
	program := "program"
	for _, s := range senders {
		if strings.EqualFold(product, s) || strings.HasPrefix(strings.ToLower(product), strings.ToLower(s)+"-") {
			program = strings.ToLower(s)
		}
	}
	return program + " via " + operator
}

func (h *feedHandler) get(f func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := f(r)
		if err != nil {
			h.fail(w, err)
			return
		}
		h.answer(w, http.StatusOK, out)
	}
}

// lookedFor is what a request for alerts asks for.
type lookedFor struct {
	matchers                           labels.Matchers
	active, silenced, inhibited, muted bool
	receiver                           bool
}

func lookFor(r *http.Request) (lookedFor, error) {
	q := r.URL.Query()
	l := lookedFor{active: true, silenced: true, inhibited: true, muted: true, receiver: true}
	for _, f := range q["filter"] {
		m, err := labels.ParseMatcher(f)
		if err != nil {
			return l, &FeedError{400, err.Error()}
		}
		l.matchers = append(l.matchers, m)
	}
	unprocessed := true // nothing here is: it changes nothing
	for name, into := range map[string]*bool{"active": &l.active, "silenced": &l.silenced, "inhibited": &l.inhibited,
		"muted": &l.muted, "unprocessed": &unprocessed} {
		text := q.Get(name)
		if text == "" {
			continue
		}
		v, err := strconv.ParseBool(text)
		if err != nil {
			return l, &FeedError{400, fmt.Sprintf("failed to parse %s param: %.40q: want true or false", name, text)}
		}
		*into = v
	}
	if text := q.Get("receiver"); text != "" {
		re, err := regexp.Compile("^(?:" + text + ")$")
		if err != nil {
			return l, &FeedError{400, fmt.Sprintf("failed to parse receiver param: %v", err)}
		}
		l.receiver = re.MatchString(FedReceiver)
	}
	return l, nil
}

// wants tells whether an alert is asked for.
func (l lookedFor) wants(a FedStanding) bool {
	suppressed := len(a.SilencedBy) > 0 || len(a.MutedBy) > 0
	switch {
	case !l.receiver, !l.active && !suppressed, !l.silenced && len(a.SilencedBy) > 0:
		return false
	}
	return l.matchers.Matches(labelSet(a.Labels))
}

func (h *feedHandler) found(r *http.Request) ([]FedStanding, lookedFor, error) {
	l, err := lookFor(r)
	if err != nil {
		return nil, l, err
	}
	who, known := fleet.Asking(r.Context())
	all, err := h.o.Feed.Standing(r.Context(), who, known)
	if err != nil {
		return nil, l, err
	}
	var out []FedStanding
	for _, a := range all {
		if l.wants(a) {
			out = append(out, a)
		}
	}
	return out, l, nil
}

func (h *feedHandler) alerts(r *http.Request) (any, error) {
	found, _, err := h.found(r)
	if err != nil {
		return nil, err
	}
	return gettables(found), nil
}

func (h *feedHandler) status(*http.Request) (any, error) {
	timeout := time.Duration(h.o.Config().ResolveTimeout)
	return map[string]any{
		"cluster": map[string]any{"status": "disabled", "peers": []string{}},
		"config": map[string]string{"original": fmt.Sprintf(
			"global:\n  resolve_timeout: %v\nroute:\n  receiver: %s\nreceivers:\n- name: %s\n", timeout, FedReceiver, FedReceiver)},
		"uptime": dateTime(h.o.Started),
		"versionInfo": map[string]string{"branch": "", "buildDate": "", "buildUser": "", "goVersion": h.o.GoVersion,
			"revision": h.o.Revision, "version": cmp.Or(h.o.Version, "unknown")},
	}, nil
}

func (h *feedHandler) receivers(*http.Request) (any, error) {
	return []receiverReference{{FedReceiver}}, nil
}
