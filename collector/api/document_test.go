package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/ticket"
)

// parameter is one in the query of an operation.
type parameter struct {
	name, doc string
	schema    map[string]any
}

// operation is what the document says of an endpoint beside what its types say.
type operation struct {
	summary string
	// query, body and answer are what it takes and gives; nil means none, and for answer, a file.
	query  []parameter
	body   any
	answer any
	// created: success is 201. media is that of an answer that is no JSON.
	created bool
	media   string
	open    bool // no token
}

var (
	text    = map[string]any{"type": "string"}
	boolean = map[string]any{"type": "boolean"}
)

func number(most int) map[string]any {
	return map[string]any{"type": "integer", "minimum": 1, "maximum": most}
}

// operations is every operation of the operators' listener, by method and path as in endpoints and in Handler.
var operations = map[string]operation{
	"GET /{$}": {summary: "List the endpoints of this API", answer: Index{}},
	"GET /tickets": {summary: "List tickets, open ones in the queue's order", answer: TicketList{}, query: []parameter{
		{"open", "true leaves out resolved and closed tickets", boolean},
		{"state", "only tickets in this state; _ or - may stand for a space", text},
		{"order", "queue, which open tickets alone have and is theirs when left out, or newest", map[string]any{"type": "string", "enum": []string{"queue", "newest"}}},
		{"after", "number or ID of the ticket that the page before ended with", text},
		{"customer", "only this customer's", text}, {"asset", "only about this asset", text},
		{"department", "only of customers that this department owned as the ticket was opened", text},
		{"contract", "only under this contract", text}, {"owner", "only owned by this party", text},
		{"assignee", "only this person's", text}, {"kind", "only of this kind", text}, {"type", "only of this type", text},
		{"parent", "only those opened because of this ticket", text},
		{"at_risk", "true: only with a clock that is at risk", boolean}, {"breached", "true: only with a clock that was breached", boolean},
		{"priority", "only of this priority", text},
		{"storm", "only those that are part of this storm: number or ID of its ticket", text},
		{"fold", "true leaves out those that are part of a storm; its own ticket stands for them", boolean},
		{"limit", "at most this many; 100 when not given", number(maxTickets)}}},
	"POST /tickets":              {summary: "Open a ticket: what a person reports or asks for", body: OpenRequest{}, answer: Ticket{}, created: true},
	"GET /tickets/{ref}":         {summary: "Show a ticket whole: row, record and timeline; ref is its number or id", answer: Ticket{}},
	"GET /tickets/{ref}/chain":   {summary: "Verify a ticket's timeline and evidence against their hashes", answer: Chain{}},
	"GET /tickets/{ref}/clocks":  {summary: "Explain a ticket's clocks interval by interval", answer: ClockList{}},
	"POST /tickets/{ref}/{verb}": {summary: "Work on a ticket; answers it as it is afterwards. A gate answers 409 with gate and missing", body: ActionRequest{}, answer: Ticket{}},
	"GET /rebase": {summary: "List open tickets that newer policies or calendars would move", answer: RebaseList{}, query: []parameter{
		{"customer", "only this customer's", text}}},
	"GET /policies":            {summary: "List the policy sets in force", answer: PolicyList{}, query: []parameter{{"set", "only the set of this name", text}}},
	"GET /customers":           {summary: "List customers", answer: CustomerList{}},
	"GET /customers/{id}":      {summary: "Show one customer", answer: Customer{}},
	"PUT /customers/{id}":      {summary: "Declare a customer, whole", body: CustomerRequest{}, answer: CustomerPut{}},
	"DELETE /customers/{id}":   {summary: "Take back a customer that was declared by command", answer: Removed{}},
	"GET /departments":         {summary: "List departments", answer: DepartmentList{}},
	"GET /departments/{id}":    {summary: "Show one department", answer: Department{}},
	"PUT /departments/{id}":    {summary: "Declare a department, whole", body: fleet.Department{}, answer: DepartmentPut{}},
	"DELETE /departments/{id}": {summary: "Take back a department that was declared by command", answer: Removed{}},
	"GET /people":              {summary: "List people of the directory", answer: PersonList{}},
	"PUT /people/{id}":         {summary: "Declare a person, whole", body: fleet.Person{}, answer: PersonPut{}},
	"DELETE /people/{id}":      {summary: "Take back a person that was declared by command", answer: Removed{}},
	"GET /contacts":            {summary: "List the operator's own contacts", answer: ContactList{}},
	"PUT /contacts":            {summary: "Declare the operator's own contacts, all of them", body: ContactRequest{}, answer: ContactPut{}},
	"GET /approved-software":   {summary: "List the approved software, applications and connections", answer: SoftwareList{}},
	"PUT /approved-software":   {summary: "Declare the approved software, all of it", body: SoftwareRequest{}, answer: SoftwarePut{}},
	"GET /contracts":           {summary: "List contracts with the targets that hold", answer: ContractList{}, query: []parameter{{"customer", "only this customer's", text}}},
	"GET /contracts/{id}":      {summary: "Show one contract", answer: Contract{}},
	"GET /export":              {summary: "What is declared, as YAML that the fleet directory reads back", media: MediaYAML, query: []parameter{{"customer", "only this customer, with what it refers to", text}}},
	"GET /oncall": {summary: "Who is on call, and who comes then", answer: OnCallList{}, query: []parameter{
		{"at", "from this time on; now when not given", text}, {"until", "up to this time; two weeks when not given", text}}},
	"GET /oncall/overrides":         {summary: "List overrides of on-call rotas, newest first", answer: OverrideList{}},
	"POST /oncall/overrides":        {summary: "Put somebody else on call for a while", body: OverrideRequest{}, answer: Override{}, created: true},
	"DELETE /oncall/overrides/{id}": {summary: "Take an override back", answer: Removed{}},
	"GET /intakes":                  {summary: "What comes in beside the desk and has to be read, and when it was read last", answer: IntakeList{}},
	"POST /intakes/{name}/read":     {summary: "Confirm that an intake was read now; the ticket about it is resolved", answer: policy.IntakeState{}},
	"GET /reports/{report}": {summary: "A report: sla, first-to-know, nps, lifecycle, availability or compliance", answer: Report{}, query: []parameter{
		{"from", "a day or a time; the month's first when not given, for lifecycle the year's", text},
		{"until", "a day or a time, not included; now when not given, for lifecycle the end of the budget year that begins at the next budget date of the customer's sets", text},
		{"customer", "only this customer", text}, {"department", "only customers that this department owns", text},
		{"zone", "the zone in which days and months begin; UTC when not given", text},
		{"due", "lifecycle: the day before which decisions are due", text},
		{"format", "csv answers the tables as CSV", map[string]any{"type": "string", "enum": []string{"json", "csv"}}}}},
	"GET /assets":        {summary: "List the fleet, by name", answer: AssetList{}},
	"GET /assets/{name}": {summary: "Show one asset with its samplers and open tickets", answer: AssetDetail{}},
	"GET /alerts":        {summary: "List alerts that are pending or firing", answer: AlertList{}},
	"GET /maintenance": {summary: "List maintenance windows of the configuration, and when they hold", answer: MaintenanceList{}, query: []parameter{
		{"at", "at this time; now when not given", text}}},
	"GET /rules": {summary: "List rule groups as they run", answer: RuleGroups{}},
	"GET /outbox": {summary: "List messages that are not delivered, oldest first", answer: MessageList{}, query: []parameter{
		{"state", "only messages in this state", map[string]any{"type": "string", "enum": []string{"queued", "buried", "parked"}}},
		{"limit", "at most this many; 100 when not given", number(maxMessages)}}},
	"POST /outbox/{id}/resend":               {summary: "Queue a message for delivery at once", body: ResendRequest{}, answer: Message{}},
	"DELETE /outbox/{id}":                    {summary: "Forget a buried or parked message", answer: Removed{}},
	"GET /agents":                            {summary: "List every agent ever enrolled", answer: AgentList{}},
	"POST /agents/{id}/revoke":               {summary: "End an agent's right to report; id is its id or its asset's name", body: struct{}{}, answer: Agent{}},
	"GET /authorities":                       {summary: "List the agents' certificate authorities in force, oldest first", answer: AuthorityList{}},
	"POST /authorities/rotate":               {summary: "Bring in a new authority beside the present one", body: struct{}{}, answer: AuthorityList{}},
	"POST /authorities/{fingerprint}/retire": {summary: "Retire the oldest authority; fingerprint is its, the first eight letters of it, or oldest", body: RetireRequest{}, answer: AuthorityList{}},
	"GET /tokens":                            {summary: "List enrolment tokens, without their secrets", answer: TokenList{}},
	"POST /tokens":                           {summary: "Make a one-time enrolment token", body: TokenRequest{}, answer: NewToken{}, created: true},
	"GET /operators":                         {summary: "List who has a token", answer: OperatorList{}},
	"POST /operators":                        {summary: "Add an operator or a scraper; answers their token, once", body: OperatorRequest{}, answer: NewOperator{}, created: true},
	"DELETE /operators/{name}":               {summary: "Remove an operator: their token stops working at once", answer: Removed{}},
	"GET /status":                            {summary: "The collector at a glance", answer: Status{}},
	"GET /backup":                            {summary: "A verified copy of the store as a file; it holds private keys", media: MediaBackup},
	"GET /openapi.json":                      {summary: "This document", media: "application/json"},

	"POST /-/reload":           {summary: "Read configuration, rules, fleet and receivers again: all of it, or nothing", body: struct{}{}, answer: Reloaded{}},
	"GET /rate/{ref}/{token}":  {summary: "The form of a rating, for whoever has the link", media: "text/html", open: true},
	"POST /rate/{ref}/{token}": {summary: "Keep a rating, once: form fields score and text", media: "text/html", open: true},
	"GET /-/healthy":           {summary: "200 as long as the process answers", media: "text/plain", open: true},
	"GET /-/ready":             {summary: "200 when the collector can be asked, else 503 with the reasons", media: "text/plain", open: true},
	"GET /metrics":             {summary: "The collector's own metrics, in Prometheus' formats; open on loopback", media: "text/plain"},
	"GET /federate": {summary: "The last value of the fleet's series, in Prometheus' text format; open on loopback", media: "text/plain",
		query: []parameter{{"match[]", "series selectors, repeatable; every series when there is none", text}}},
}

// rightOf is what an operation needs; empty when it needs nothing.
func rightOf(pattern string) fleet.Right {
	for _, e := range endpoints() {
		if e.pattern == pattern {
			return e.right
		}
	}
	switch pattern {
	case "POST /-/reload":
		return fleet.MayAdminister
	case "GET /metrics", "GET /federate":
		return fleet.MayScrape
	}
	return ""
}

// pathOf is where an operation stands.
func pathOf(path string) string {
	if strings.HasPrefix(path, "/-/") || strings.HasPrefix(path, "/rate/") || path == "/metrics" || path == "/federate" {
		return path
	}
	return Root + strings.TrimSuffix(path, "{$}") // {$} is Go's for: this path alone
}

// describe is the whole document, made of operations and the types' comments.
func describe(t *testing.T) []byte {
	t.Helper()
	s := newSchemas(t)
	paths := map[string]map[string]any{}
	for pattern, o := range operations {
		method, path := splitPattern(pattern)
		at := pathOf(path)
		if paths[at] == nil {
			paths[at] = map[string]any{}
		}
		paths[at][strings.ToLower(method)] = describeOperation(s, pattern, path, o)
	}
	s.of(errorAnswer{})
	s.of(Refused{})
	doc := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{"title": "Watchbill", "version": "v1", "license": map[string]any{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "What operators, programs and the command line ask of a collector. Unknown parameters and fields are " +
				"refused. Within v1 fields are added and never renamed or removed: ignore those you do not know."},
		"servers":  []any{map[string]any{"url": "/", "description": "the operators' listener, http://127.0.0.1:9720 by default"}},
		"security": []any{map[string]any{"token": []string{}}},
		"paths":    paths,
		"components": map[string]any{"schemas": s.made, "securitySchemes": map[string]any{"token": map[string]any{"type": "http",
			"scheme": "bearer", "description": "an operator's token: `watchbill operator add NAME`"}}},
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// errorAnswer is the form of every answer that is not a success.
type errorAnswer struct {
	Error Error `json:"error"`
}

func describeOperation(s *schemas, pattern, path string, o operation) map[string]any {
	out := map[string]any{"summary": o.summary, "operationId": operationID(pattern)}
	if right := rightOf(pattern); right != "" {
		var roles []string
		for _, r := range fleet.AllRoles() {
			if fleet.Allows(r, right) {
				roles = append(roles, string(r))
			}
		}
		out["description"] = fmt.Sprintf("Needs the right to %s; these roles have it: %s.", right, strings.Join(roles, ", "))
		if strings.HasSuffix(pattern, "{verb}") {
			out["description"] = out["description"].(string) + " " + verbRights()
		}
	}
	if o.open {
		out["security"] = []any{}
	}
	params := []any{}
	for part := range strings.SplitSeq(path, "/") {
		name, ok := strings.CutPrefix(part, "{")
		if !ok {
			continue
		}
		name = strings.TrimSuffix(name, "}")
		schema := text
		if name == "verb" {
			schema = map[string]any{"type": "string", "enum": ticket.Verbs}
		}
		if name == "report" {
			schema = map[string]any{"type": "string", "enum": Reports()}
		}
		params = append(params, map[string]any{"name": name, "in": "path", "required": true, "schema": schema})
	}
	for _, q := range o.query {
		params = append(params, map[string]any{"name": q.name, "in": "query", "description": q.doc, "schema": q.schema})
	}
	if len(params) > 0 {
		out["parameters"] = params
	}
	if o.body != nil {
		out["requestBody"] = map[string]any{"content": content("application/json", s.of(o.body))}
	}
	status, answer := "200", content(o.media, map[string]any{})
	if o.answer != nil {
		answer = content("application/json", s.of(o.answer))
	}
	if o.created {
		status = "201"
	}
	out["responses"] = map[string]any{
		status:    map[string]any{"description": "done", "content": answer},
		"default": map[string]any{"description": "why not, and what to do", "content": content("application/json", s.of(errorAnswer{}))},
	}
	if o.open && o.media != "" {
		out["responses"].(map[string]any)["default"] = map[string]any{"description": "why not", "content": answer}
	}
	return out
}

// verbRights says which right each verb wants beside, and which fields it takes.
func verbRights() string {
	var out []string
	for _, v := range ticket.Verbs {
		use := verbUses[v]
		out = append(out, fmt.Sprintf("%s: %s (%s)", v, use.Right, strings.Join(append([]string{"text", "break_glass"}, use.Fields...), ", ")))
	}
	return "Each verb wants a right of its own and takes its own fields. " + strings.Join(out, "; ") + ". People of the customer or the department " +
		"whose ticket it is may note, too, with the right to " + string(fleet.MayReply) + ": such a note is an answer that all who see the ticket read."
}

func content(media string, schema map[string]any) map[string]any {
	return map[string]any{media: map[string]any{"schema": schema}}
}

// operationID is the pattern as one word: getTicketsRefChain.
func operationID(pattern string) string {
	var b strings.Builder
	for i, w := range strings.FieldsFunc(pattern, func(r rune) bool { return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') }) {
		if w = strings.ToLower(w); i > 0 {
			w = strings.ToUpper(w[:1]) + w[1:]
		}
		b.WriteString(w)
	}
	return b.String()
}

// TestOpenAPIIsCurrent: the document that is served is the one that types, comments and operations give.
func TestOpenAPIIsCurrent(t *testing.T) {
	want := describe(t)
	if *update {
		if err := os.WriteFile("openapi.json", want, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(document, want) {
		t.Error("openapi.json is not what the handlers' types give; run `go test ./collector/api -run OpenAPI -update` and look at the difference")
	}
	h := newHouse(t)
	var served, embedded any
	if err := json.Unmarshal([]byte(h.want(200, "GET", Root+"/openapi.json", "")), &served); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(document, &embedded); err != nil || fmt.Sprint(served) != fmt.Sprint(embedded) {
		t.Errorf("what is served is not openapi.json (%v)", err)
	}
}

// TestOpenAPIHasEveryRoute: every route is described, and what is described is a route.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	for _, e := range endpoints() {
		if _, ok := operations[e.pattern]; !ok {
			t.Errorf("%s is not described; add it to operations in this test", e.pattern)
		}
	}
	h := newHouse(t)
	var doc struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	for path, methods := range doc.Paths {
		for method := range methods {
			n++
			at := strings.NewReplacer("{ref}", "WB-1", "{verb}", "note", "{id}", "x", "{name}", "x", "{report}", "sla").Replace(path)
			body := h.do(fleet.Admin, strings.ToUpper(method), at, "").Body.String()
			if strings.Contains(body, "there is nothing at") {
				t.Errorf("%s %s is described and is no route", method, path)
			}
		}
	}
	if n != len(operations) {
		t.Errorf("%d operations are described, want %d", n, len(operations))
	}
}

// TestOpenAPIDescribesGoldens: every golden answer is what the document says of its operation.
func TestOpenAPIDescribesGoldens(t *testing.T) {
	mux := http.NewServeMux()
	for pattern := range operations {
		method, path := splitPattern(pattern)
		if route := pathOf(path); strings.HasPrefix(route, Root) {
			path = Root + path
		}
		mux.HandleFunc(method+" "+path, func(http.ResponseWriter, *http.Request) {})
	}
	described := map[string]bool{}
	for _, g := range goldens {
		_, pattern := mux.Handler(httptest.NewRequest(g.method, Root+g.path, nil))
		method, path := splitPattern(pattern)
		pattern = method + " " + strings.TrimPrefix(path, Root)
		schema := operations[pattern].answer
		if strings.HasPrefix(g.name, "error_") {
			schema = errorAnswer{}
		}
		body, err := os.ReadFile(filepath.Join("testdata", g.name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		described[pattern] = true
		conforms(t, g.name, schema, body)
	}
	for _, pattern := range slices.Sorted(maps.Keys(operations)) {
		if operations[pattern].answer != nil && !described[pattern] && pattern != "POST /-/reload" {
			t.Errorf("%s has no golden answer", pattern)
		}
	}
}

// TestOpenAPIRefuses: an answer that is not as described is seen.
func TestOpenAPIRefuses(t *testing.T) {
	good, err := os.ReadFile(filepath.Join("testdata", "outbox.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{{`"attempts": 3`, `"attempts": "3"`}, {`"state": "buried"`, `"state": "gone"`},
		{`"what"`, `"which"`}, {`"created_at": "2026`, `"created_at": "2026x`}, {`"truncated": false`, `"truncated": false, "more": 1`}} {
		bad := bytes.Replace(good, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(bad, good) {
			t.Fatalf("%q is not in the golden answer", change[0])
		}
		if err := validate(t, MessageList{}, bad); err == nil {
			t.Errorf("%q instead of %q is accepted", change[1], change[0])
		}
	}
}

// conforms fails the test when body is not what the document says of v's type.
func conforms(t *testing.T, name string, v any, body []byte) {
	t.Helper()
	if err := validate(t, v, body); err != nil {
		t.Errorf("%s is not as openapi.json describes it: %v", name, err)
	}
}

// validate checks body against the document's schema of v's type. Fields that are not described count as wrong here,
// although clients are to ignore them.
func validate(t *testing.T, v any, body []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range doc.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any) {
		if m := s.(map[string]any); m["properties"] != nil {
			m["additionalProperties"] = false
		}
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("mem:///openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("mem:///openapi.json" + newSchemas(t).of(v)["$ref"].(string))
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}
