package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// Silencer is where silences and maintenance windows are kept.
type Silencer interface {
	// Silences are all that are kept, expired ones too.
	Silences() []incident.Muting
	// SetSilence makes a silence, or changes the one of its ID, and returns the ID that it has then. The error is
	// incident.ErrNoMuting, or wraps ticket.ErrRefused with Alertmanager's text.
	SetSilence(ctx context.Context, m incident.Muting) (id string, err error)
	// ExpireSilence ends one now. incident.ErrNoMuting.
	ExpireSilence(ctx context.Context, id, by string) error
	// Maintenance are the windows in force.
	Maintenance() []incident.Window
	// MutedBy is what keeps an alert from a ticket now, nil when nothing does.
	MutedBy(a incident.Alert) []incident.MutedBy
}

// gettableSilence is a silence as Alertmanager's API v2 writes it.
type gettableSilence struct {
	ID          string             `json:"id"`
	Status      silenceStatus      `json:"status"`
	UpdatedAt   string             `json:"updatedAt"`
	Annotations map[string]string  `json:"annotations,omitempty"`
	Comment     string             `json:"comment"`
	CreatedBy   string             `json:"createdBy"`
	EndsAt      string             `json:"endsAt"`
	Matchers    []incident.Matcher `json:"matchers"`
	StartsAt    string             `json:"startsAt"`
	// Bound is ours: whose alerts alone it holds back. Clients of Alertmanager overlook it.
	Bound *incident.Bound `json:"bound,omitempty"`
}

type silenceStatus struct {
	State incident.MutingState `json:"state"`
}

// amTime is how Alertmanager writes times.
const amTime = "2006-01-02T15:04:05.000Z07:00"

func silenceRow(m incident.Muting, now time.Time) gettableSilence {
	return gettableSilence{
		ID: m.ID, Status: silenceStatus{m.State(now)}, UpdatedAt: m.UpdatedAt.UTC().Format(amTime), Annotations: m.Annotations,
		Comment: m.Comment, CreatedBy: m.CreatedBy, EndsAt: m.EndsAt.UTC().Format(amTime), Matchers: m.Matchers,
		StartsAt: m.StartsAt.UTC().Format(amTime), Bound: m.Bound,
	}
}

// amFault is an answer other than 200 of Alertmanager's API: a text, or what its framework says of a request that does not
// keep to the schema.
type amFault struct {
	status int
	body   any
}

func (f *amFault) Error() string { return fmt.Sprint(f.body) }

// mutedBy is what keeps an alert from a ticket now.
func (a *API) mutedBy(row Alert) []incident.MutedBy {
	if row.State != rules.Firing {
		return nil
	}
	return a.o.Silencer.MutedBy(incident.Alert{
		ID: row.ID, Name: row.Name, Severity: row.Severity, Service: row.Service, System: row.System, Customer: cmp.Or(row.Customer, incident.OwnCustomer), Site: row.Site,
		Asset: row.Asset, Labels: row.Labels,
	})
}

// MutedFor makes what tells an operator what holds an alert back: of a silence that does not exist for them they learn no more
// than that there is one, and nothing at all when they are not of the house.
func (a *API) MutedFor(who fleet.Operator) func([]incident.MutedBy) []incident.MutedBy {
	s, shown := a.sight(who), map[string]bool{}
	return func(all []incident.MutedBy) []incident.MutedBy {
		if !s.record() {
			return nil
		}
		if s.all() || len(all) == 0 {
			return all
		}
		out := slices.Clone(all)
		for i, by := range out {
			if by.ID == "" {
				continue
			}
			show, looked := shown[by.ID]
			if !looked {
				show = slices.ContainsFunc(a.o.Silencer.Silences(), func(m incident.Muting) bool { return m.ID == by.ID && s.silence(m) })
				shown[by.ID] = show
			}
			if !show {
				out[i] = incident.MutedBy{Name: "a silence of the house"}
			}
		}
		return out
	}
}

// schemaFault is a request that does not keep to Alertmanager's schema.
func schemaFault(status, code int, format string, args ...any) error {
	return &amFault{status, map[string]any{"code": code, "message": fmt.Sprintf(format, args...)}}
}

// The codes that Alertmanager's framework gives beside a message.
const (
	codeType     = 601
	codeRequired = 602
	codeTooFew   = 612
)

// silencesPath is where silences are listed and set.
const silencesPath = "/api/v2/silences"

// silences mounts Alertmanager's paths of silences.
func (a *API) silences(mux *http.ServeMux) {
	type served = func(*http.Request, fleet.Operator) (any, error)
	for path, by := range map[string]map[string]served{
		silencesPath:           {http.MethodGet: a.getSilences, http.MethodPost: a.postSilence},
		"/api/v2/silence/{id}": {http.MethodGet: a.getSilence, http.MethodDelete: a.deleteSilence},
	} {
		for method, serve := range by {
			right := fleet.MayRead
			if method != http.MethodGet {
				right = fleet.MayWork
			}
			mux.Handle(method+" "+path, a.silenceAPI(right, serve))
		}
		mux.Handle(path, a.silenceOnly(slices.Sorted(maps.Keys(by))))
	}
}

// silenceOnly says by which methods a path of silences is asked.
func (a *API) silenceOnly(methods []string) http.Handler {
	refuse := a.silenceAPI(fleet.MayRead, func(r *http.Request, _ fleet.Operator) (any, error) {
		return nil, schemaFault(http.StatusMethodNotAllowed, http.StatusMethodNotAllowed, "method %s is not allowed, but [%s] are",
			r.Method, strings.Join(methods, ","))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		refuse.ServeHTTP(w, r)
	})
}

// silenceAPI serves one of Alertmanager's paths for silences: it authenticates, bounds the request and answers in Alertmanager's form.
func (a *API) silenceAPI(right fleet.Right, serve func(*http.Request, fleet.Operator) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := fleet.Operator{Role: fleet.Viewer}
		if !a.open(r) {
			var err error
			if who, err = a.authenticateProgram(r, right); err != nil {
				a.failString(w, err)
				return
			}
		}
		ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
		defer cancel()
		r.Body = inTime(http.NewResponseController(w), http.MaxBytesReader(w, r.Body, bodyLimit), r.ContentLength)
		out, err := serve(r.WithContext(ctx), who)
		var fault *amFault
		switch {
		case errors.As(err, &fault) && fault.body == nil:
			w.WriteHeader(fault.status)
		case errors.As(err, &fault):
			a.write(w, fault.status, fault.body)
		case err != nil:
			a.failString(w, err)
		case out == nil:
			w.WriteHeader(http.StatusOK)
		default:
			a.write(w, http.StatusOK, out)
		}
	})
}

func (a *API) getSilences(r *http.Request, who fleet.Operator) (any, error) {
	q := r.URL.Query()
	want := map[incident.MutingState]bool{}
	for _, state := range []incident.MutingState{incident.MutingActive, incident.MutingPending, incident.MutingExpired} {
		want[state] = true
		if s := q.Get(string(state)); s != "" {
			on, err := strconv.ParseBool(s)
			if err != nil {
				return nil, schemaFault(http.StatusUnprocessableEntity, codeType, "%s in query must be of type boolean: %q", state, s)
			}
			want[state] = on
		}
	}
	var filter []incident.Matcher
	for _, text := range q["filter"] {
		m, err := incident.ParseMatcher(text)
		if err != nil {
			return nil, &amFault{http.StatusBadRequest, err.Error()}
		}
		filter = append(filter, m)
	}
	s, now := a.sight(who), a.o.Now()
	var found []incident.Muting
	for _, m := range a.o.Silencer.Silences() {
		missing := func(f incident.Matcher) bool { return !slices.Contains(m.Matchers, f) }
		if want[m.State(now)] && !m.Forgotten(now) && !slices.ContainsFunc(filter, missing) && s.silence(m) {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b incident.Muting) int { return bySilence(a, b, now) })
	out := make([]gettableSilence, len(found))
	for i, m := range found {
		out[i] = silenceRow(m, now)
	}
	return out, nil
}

// bySilence is Alertmanager's order: active ones that end first, then pending ones that begin first, then expired ones, the
// newest first.
func bySilence(a, b incident.Muting, now time.Time) int {
	states := []incident.MutingState{incident.MutingActive, incident.MutingPending, incident.MutingExpired}
	rankA, rankB := slices.Index(states, a.State(now)), slices.Index(states, b.State(now))
	order := []int{a.EndsAt.Compare(b.EndsAt), a.StartsAt.Compare(b.StartsAt), b.EndsAt.Compare(a.EndsAt)}
	return cmp.Or(cmp.Compare(rankA, rankB), order[rankA], strings.Compare(a.ID, b.ID))
}

// silence tells whether a silence exists for the operator: it is bound as they are, or all that it can hold back now is of
// customers that exist for them; and they are of those who may know how things are found.
func (s sight) silence(m incident.Muting) bool {
	return s.record() && (s.all() || m.Bound != nil && *m.Bound == s.bound() || s.within(m))
}

// bound is whose alerts the operator's word reaches, who does not see all.
func (s sight) bound() incident.Bound { return incident.Bound(s.who.Scope) }

// within tells whether all customers that there are now and that a silence can be about exist for the operator, one at least.
func (s sight) within(m incident.Muting) bool {
	confined := slices.ContainsFunc(m.Matchers, func(m incident.Matcher) bool { return m.Name == "customer" && m.IsEqual })
	if m.Bound == nil && !confined {
		return false
	}
	n := 0
	for _, id := range append(slices.Clone(s.ids), incident.OwnCustomer) {
		if m.MayMatchCustomer(id) && m.Bound.Covers(id, s.deps[id]) {
			if !s.customer(id) {
				return false
			}
			n++
		}
	}
	return n > 0
}

// confine binds a silence to what the operator sees, unless that is all: for good, whatever customers come and go. Where its
// matchers ask for more than is theirs now they are narrowed, too, for others to read.
func (s sight) confine(m *incident.Muting) error {
	if s.all() {
		return nil
	}
	within, bound := s.within(*m), s.bound()
	if m.Bound = &bound; within {
		return nil
	}
	var mine []string
	for _, id := range s.ids {
		if s.customer(id) {
			mine = append(mine, regexp.QuoteMeta(id))
		}
	}
	if len(mine) == 0 {
		return &amFault{http.StatusBadRequest, "your token sees no customer, so there is nothing it could silence"}
	}
	slices.Sort(mine)
	only := incident.Matcher{Name: "customer", Value: strings.Join(mine, "|"), IsRegex: true, IsEqual: true}
	if len(mine) == 1 && mine[0] == regexp.QuoteMeta(mine[0]) {
		only.Value, only.IsRegex = mine[0], false
	}
	m.Matchers = append(m.Matchers, only)
	return nil
}

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$`)

// silenceOf finds the silence that a path names, for an operator.
func (a *API) silenceOf(r *http.Request, who fleet.Operator) (incident.Muting, error) {
	id := r.PathValue("id")
	if !uuidForm.MatchString(id) {
		return incident.Muting{}, schemaFault(http.StatusUnprocessableEntity, codeType, "silenceID in path must be of type uuid: %q", id)
	}
	return a.findSilence(id, who)
}

func (a *API) findSilence(id string, who fleet.Operator) (incident.Muting, error) {
	s, now := a.sight(who), a.o.Now()
	for _, m := range a.o.Silencer.Silences() {
		if m.ID == id && !m.Forgotten(now) && s.silence(m) {
			return m, nil
		}
	}
	return incident.Muting{}, &amFault{http.StatusNotFound, nil}
}

func (a *API) getSilence(r *http.Request, who fleet.Operator) (any, error) {
	m, err := a.silenceOf(r, who)
	if err != nil {
		return nil, err
	}
	return silenceRow(m, a.o.Now()), nil
}

func (a *API) deleteSilence(r *http.Request, who fleet.Operator) (any, error) {
	m, err := a.silenceOf(r, who)
	if err != nil {
		return nil, err
	}
	err = a.o.Silencer.ExpireSilence(r.Context(), m.ID, who.Name)
	if errors.Is(err, incident.ErrNoMuting) {
		return nil, &amFault{http.StatusNotFound, nil}
	}
	return nil, err
}

// readSilence is the silence that a request sends: one that does not end before it begins, or before now.
func (a *API) readSilence(r *http.Request) (m incident.Muting, err error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return m, schemaFault(http.StatusUnsupportedMediaType, http.StatusUnsupportedMediaType,
			"unsupported media type %q, only [application/json] are allowed", kind)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return m, schemaFault(http.StatusRequestEntityTooLarge, http.StatusRequestEntityTooLarge, "reading body: %v", err)
	}
	if m, err = decodeSilence(body); err != nil {
		return m, err
	}
	switch now := a.o.Now(); {
	case !m.StartsAt.Before(m.EndsAt):
		return m, &amFault{http.StatusBadRequest, "Failed to create silence: start time must be before end time"}
	case m.EndsAt.Before(now):
		return m, &amFault{http.StatusBadRequest, "Failed to create silence: end time can't be in the past"}
	}
	return m, nil
}

func (a *API) postSilence(r *http.Request, who fleet.Operator) (any, error) {
	m, err := a.readSilence(r)
	if err != nil {
		return nil, err
	}
	by := signed(m.CreatedBy, who.Name)
	if m.ID != "" {
		was, err := a.findSilence(m.ID, who)
		if err != nil {
			return nil, &amFault{http.StatusNotFound, incident.ErrNoMuting.Error()}
		}
		if m.CreatedBy == was.CreatedBy {
			by = was.CreatedBy // sent back as it was read
		}
		m.Bound = was.Bound // who sees all changes it and does not widen it
	}
	if err := m.Validate(); err != nil { // before it is confined: what asks for nothing is refused whoever asks
		return nil, &amFault{http.StatusBadRequest, err.Error()}
	}
	if err := a.sight(who).confine(&m); err != nil {
		return nil, err
	}
	m.CreatedBy, m.UpdatedBy = by, who.Name
	id, err := a.o.Silencer.SetSilence(r.Context(), m)
	switch {
	case errors.Is(err, incident.ErrNoMuting):
		return nil, &amFault{http.StatusNotFound, err.Error()}
	case errors.Is(err, ticket.ErrRefused):
		return nil, &amFault{http.StatusBadRequest, strings.TrimPrefix(err.Error(), ticket.ErrRefused.Error()+": ")}
	case err != nil:
		return nil, err
	}
	return map[string]string{"silenceID": id}, nil
}

// signed is who a silence is from: what the client says, and whose token it came with where that is another name.
func signed(said, operator string) string {
	tail := " (by " + operator + ")"
	switch said = strings.TrimSpace(said); {
	case said == "", said == operator:
		return operator
	case strings.HasSuffix(said, tail):
		return said
	}
	return said + tail
}

// postableSilence is a silence as Alertmanager's API v2 takes it. Fields that it does not know are overlooked, as there:
// clients send back what they read.
type postableSilence struct {
	ID       string `json:"id"`
	Matchers *[]struct {
		Name    *string `json:"name"`
		Value   *string `json:"value"`
		IsRegex *bool   `json:"isRegex"`
		IsEqual *bool   `json:"isEqual"`
	} `json:"matchers"`
	StartsAt    *string           `json:"startsAt"`
	EndsAt      *string           `json:"endsAt"`
	CreatedBy   *string           `json:"createdBy"`
	Comment     *string           `json:"comment"`
	Annotations map[string]string `json:"annotations"`
}

// decodeSilence reads one.
func decodeSilence(body []byte) (incident.Muting, error) {
	var p postableSilence
	if err := json.Unmarshal(body, &p); err != nil {
		return incident.Muting{}, schemaFault(http.StatusBadRequest, http.StatusBadRequest, "parsing silence body from %q failed, because %v", "", err)
	}
	var missing []string
	for _, f := range []struct {
		name  string
		there bool
	}{
		{"comment", p.Comment != nil}, {"createdBy", p.CreatedBy != nil}, {"endsAt", p.EndsAt != nil},
		{"matchers", p.Matchers != nil}, {"startsAt", p.StartsAt != nil},
	} {
		if !f.there {
			missing = append(missing, "silence."+f.name+" in body is required")
		}
	}
	if len(missing) > 0 {
		return incident.Muting{}, schemaFault(http.StatusUnprocessableEntity, codeRequired, "%s", strings.Join(missing, "\n"))
	}
	m := incident.Muting{ID: p.ID, CreatedBy: *p.CreatedBy, Comment: *p.Comment, Annotations: p.Annotations}
	if len(*p.Matchers) == 0 {
		return m, schemaFault(http.StatusUnprocessableEntity, codeTooFew, "silence.matchers in body should have at least 1 items")
	}
	for i, one := range *p.Matchers {
		if one.Name == nil || one.Value == nil || one.IsRegex == nil {
			return m, schemaFault(http.StatusUnprocessableEntity, codeRequired, "silence.matchers.%d: name, value and isRegex in body are required", i)
		}
		m.Matchers = append(m.Matchers, incident.Matcher{Name: *one.Name, Value: *one.Value, IsRegex: *one.IsRegex,
			IsEqual: one.IsEqual == nil || *one.IsEqual})
	}
	for _, at := range []struct {
		name, text string
		into       *time.Time
	}{{"startsAt", *p.StartsAt, &m.StartsAt}, {"endsAt", *p.EndsAt, &m.EndsAt}} {
		t, err := time.Parse(time.RFC3339Nano, at.text)
		if err != nil {
			return m, schemaFault(http.StatusBadRequest, http.StatusBadRequest, "parsing silence body from %q failed, because %s is no date-time: %q", "", at.name, at.text)
		}
		*at.into = t.UTC()
	}
	return m, nil
}
