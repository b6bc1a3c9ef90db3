// Package api is how operators, scrapers and the console look into a collector and act on it: the JSON API under
// /api/watchbill/v1/, Prometheus' query API under /api/v1/, health, /metrics, /federate and the form of a rating. It decides nothing: it authenticates, asks the rooms that know,
// and writes their answers in one stable form, the read models of this package.
//
// Everything under /api/watchbill/v1/ wants a person's token as "Authorization: Bearer TOKEN"; to read, as the password of basic
// authentication, too, for which a browser asks that follows a link. /-/healthy and /-/ready
// are open, and so is /rate/ for whoever has the link that was sent when a ticket closed. /metrics and /federate are open where the listener is bound to loopback and the request is for a loopback
// name, so that a page in a browser cannot read them through a name of its own; elsewhere they want a token, as bearer
// or as the password of basic authentication.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/history/remote"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Root is the path under which the JSON API stands.
const Root = "/api/watchbill/v1"

// Desk is where people's actions on tickets are decided and committed.
type Desk interface {
	// Act does a to the ticket with this ID or number. What the ticket does not allow wraps ticket.ErrRefused, with a
	// text for the person; an unknown ticket wraps store.ErrNotFound.
	// A refusal by a gate is kept as an attempt and is a *ticket.GateError. Of a.Other only ID or Number needs to be set.
	Act(ctx context.Context, ref string, a ticket.Action, by ticket.By) (ticket.Ticket, error)
	// Open opens what a person reports or asks for. What cannot be opened wraps ticket.ErrRefused.
	Open(ctx context.Context, b ticket.Birth, by ticket.By) (ticket.Ticket, error)
	// StandsFor are the parties that somebody stands for on a ticket, by roles, as a contact or by a rota. Act fills them in
	// by itself.
	StandsFor(tx store.Tx, t ticket.Ticket, by ticket.By) ([]string, error)
	// RateByLink takes the answer of whoever has the link that was sent at a ticket's close, once; a link that was used and
	// one that never was wrap ticket.ErrRefused alike.
	RateByLink(ctx context.Context, ref, token string, score int, text string) error
	Intakes
}

// Options is what an API looks at and acts through. All fields are required unless they say otherwise.
type Options struct {
	Store  store.Store
	Desk   Desk
	Terms  Terms
	OnCall OnCall
	// Silencer keeps silences and maintenance windows.
	Silencer Silencer
	Fleet    Fleet
	Rules    Rules
	// Window tells what assets last reported and serves their samples to /federate.
	Window Window
	// History is what Prometheus' API reads, nil where it is off; Retention is how long it is kept, Interval the evaluation's,
	// which is the step of subqueries that name none. Query are the limits that New starts with,
	// DefaultQueryLimits when zero.
	History   Curves
	Retention time.Duration
	Interval  time.Duration
	Query     QueryLimits
	// Gatherer is what /metrics shows.
	Gatherer prometheus.Gatherer
	// Ready lists why the collector should not be asked yet; empty when it is ready.
	Ready func() []string
	// Reload reads configuration, rules and fleet again; it joins every fault it finds and then leaves all as it was.
	// What it answers says what takes effect at the next start only, and what should be mended about the rules.
	Reload func(ctx context.Context) (Reloaded, error)
	// Reloads tells whether the last attempt at that was good, and when what is in force was read. Nil: it never changes.
	Reloads func() (good bool, at time.Time)
	// Resent is called after a buried message was queued again, so that the outbox looks at once.
	Resent func()
	// Receivers are those that are configured, by name: true for those that take notices of tickets, false for Alertmanagers.
	Receivers func() map[string]bool
	// Backup makes a verified copy of the store. It waits while another is made, and returns soon after ctx ends.
	Backup func(ctx context.Context) (Download, error)

	// Alertmanager answers /api/v2/ but for silences. Nil: nothing does.
	Alertmanager http.Handler
	// RemoteWrite takes in samples of other programs, under /api/v1/write; nobody does when nil. Feeds tells what they are of.
	RemoteWrite http.Handler
	Feeds       Feeds
	// Engines tells how the engines do that samples are written on to; there are none when nil.
	Engines func() []remote.Status

	Build       Build
	Incarnation uint64
	StoragePath string
	// AgentAddress is host:port where agents report, for the command that enrols one.
	AgentAddress string
	// Loopback tells that the operators' listener is bound to a loopback address.
	Loopback bool
	// Now is the clock; time.Now when nil. Logger is slog.Default() when nil.
	Now    func() time.Time
	Logger *slog.Logger
}

// API answers operators.
type API struct {
	o       Options
	started time.Time
	gauges  *gauges
	queries *queries
	turned  turnedAway
	// approving is held from the look at an approval until it is used up.
	approving sync.Mutex
}

// New is an API over o. It starts nothing.
func New(o Options) *API {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Resent == nil {
		o.Resent = func() {}
	}
	if o.Query == (QueryLimits{}) {
		o.Query = DefaultQueryLimits()
	}
	if o.Engines == nil {
		o.Engines = func() []remote.Status { return nil }
	}
	if o.Receivers == nil {
		o.Receivers = func() map[string]bool { return nil }
	}
	started := o.Now()
	if o.Reloads == nil {
		o.Reloads = func() (bool, time.Time) { return true, started }
	}
	a := &API{o: o, started: started, queries: newQueries(o.Interval)}
	a.SetQueryLimits(o.Query)
	a.gauges = newGauges(a)
	return a
}

// Collector is the gauges that are read from the store and the window when /metrics is asked: tickets, assets, messages
// and the build. Register it once with the registry behind Options.Gatherer.
func (a *API) Collector() prometheus.Collector { return a.gauges }

// Limits that keep a slow or greedy client from holding the collector.
const (
	// ReadHeaderTimeout, IdleTimeout and MaxHeaderBytes are for the http.Server that serves Handler.
	ReadHeaderTimeout = 5 * time.Second
	IdleTimeout       = 2 * time.Minute
	MaxHeaderBytes    = 32 << 10

	bodyLimit = 64 << 10
	// directoryLimit is for what is put, whole: a customer may have thousands of assets.
	directoryLimit = 8 << 20
	readTimeout    = 10 * time.Second
	answerTimeout  = 30 * time.Second
	streamTimeout  = 2 * time.Minute
	// backupTimeout bounds making a backup; handing it out goes on while the client takes a chunk in chunkTimeout.
	backupTimeout = 30 * time.Minute
	chunkTimeout  = time.Minute
)

// endpoint is one row of the API's table: who may call it and what it does.
type endpoint struct {
	pattern string
	// does says for people what it answers or does.
	does  string
	right fleet.Right
	serve func(a *API, r *http.Request, who fleet.Operator) (any, error)
	// timeout bounds serve; answerTimeout when zero.
	timeout time.Duration
}

// endpoints is the JSON API under Root, whole.
func endpoints() []endpoint {
	return []endpoint{
		{"GET /{$}", "this list", fleet.MayRead, (*API).index, 0},
		{"GET /tickets", "tickets, open ones in the queue's order; ?open= state= customer= asset= priority= order= …", fleet.MayRead, (*API).listTickets, 0},
		{"POST /tickets", "open a ticket: what a person reports or asks for", fleet.MayOpen, (*API).openTicket, 0},
		{"GET /tickets/{ref}", "one ticket whole, by number or ID", fleet.MayRead, (*API).showTicket, 0},
		{"GET /tickets/{ref}/chain", "whether its timeline and evidence are what was written", fleet.MayRead, (*API).verifyTicket, 0},
		{"GET /tickets/{ref}/clocks", "its clocks, explained interval by interval", fleet.MayRead, (*API).explainClocks, 0},
		// Which right a verb wants stands with the verb, and is asked when it is known that the ticket exists for who acts.
		{"POST /tickets/{ref}/{verb}", "act on it: ack, start, note, handoff, resolve … ; {\"text\": …}", fleet.MayRead, (*API).actOnTicket, 0},
		{"GET /rebase", "open tickets that newer policies or calendars would move; ?customer=", fleet.MayRebase, (*API).listRebases, 0},
		{"GET /policies", "the policy sets in force", fleet.MayRead, (*API).listPolicies, 0},
		{"GET /customers", "customers with contracts, contacts, sites and assets", fleet.MayRead, (*API).listCustomers, 0},
		{"GET /customers/{id}", "one customer", fleet.MayRead, (*API).showCustomer, 0},
		{"PUT /customers/{id}", "declare a customer, whole", fleet.MayEditCustomers, (*API).putCustomer, 0},
		{"DELETE /customers/{id}", "take back a customer that was declared by command", fleet.MayEditCustomers, (*API).removeCustomer, 0},
		{"GET /departments", "departments that own customers", fleet.MayRead, (*API).listDepartments, 0},
		{"GET /departments/{id}", "one department", fleet.MayRead, (*API).showDepartment, 0},
		{"PUT /departments/{id}", "declare a department, whole", fleet.MayEditCustomers, (*API).putDepartment, 0},
		{"DELETE /departments/{id}", "take back a department that was declared by command", fleet.MayEditCustomers, (*API).removeDepartment, 0},
		{"GET /people", "who is named in the directory", fleet.MayRead, (*API).listPeople, 0},
		{"PUT /people/{id}", "declare a person, whole", fleet.MayEditCustomers, (*API).putPerson, 0},
		{"DELETE /people/{id}", "take back a person that was declared by command", fleet.MayEditCustomers, (*API).removePerson, 0},
		{"GET /contacts", "the operator's own contacts, by role", fleet.MayRead, (*API).listContacts, 0},
		{"PUT /contacts", "declare the operator's own contacts, all of them", fleet.MayAdminister, (*API).putContacts, 0},
		{"GET /approved-software", "software, applications and connections that are approved", fleet.MayRead, (*API).listSoftware, 0},
		{"PUT /approved-software", "declare the approved software, all of it", fleet.MayAdminister, (*API).putSoftware, 0},
		{"GET /contracts", "contracts with the targets that hold; ?customer=", fleet.MayRead, (*API).listContracts, 0},
		{"GET /contracts/{id}", "one contract", fleet.MayRead, (*API).showContract, 0},
		{"GET /export", "what is declared, as the directory's YAML; ?customer=", fleet.MayRead, (*API).exportDirectory, 0},
		{"GET /oncall", "who is on call now and next; ?at= until=", fleet.MayRead, (*API).showOnCall, 0},
		{"GET /oncall/overrides", "overrides of on-call rotas", fleet.MayRead, (*API).listOverrides, 0},
		{"POST /oncall/overrides", "put somebody else on call for a while", fleet.MayOverrideRota, (*API).addOverride, 0},
		{"DELETE /oncall/overrides/{id}", "take an override back", fleet.MayOverrideRota, (*API).dropOverride, 0},
		{"GET /intakes", "what has to be read beside the desk, and since when it was not", fleet.MayRead, (*API).listIntakes, 0},
		{"POST /intakes/{name}/read", "confirm that an intake was read", fleet.MayWork, (*API).readIntake, 0},
		{"GET /reports/{report}", "sla, first-to-know, nps, lifecycle, availability or compliance; ?from= until= customer= department= format=csv", fleet.MayReport, (*API).showReport, 0},
		{"GET /assets", "what is watched, and whether it reports", fleet.MayRead, (*API).listAssets, 0},
		{"GET /assets/{name}", "one asset with its samplers and open tickets", fleet.MayRead, (*API).showAsset, 0},
		{"GET /alerts", "alerts that are pending or firing (?resolved=true: and those that ended within 15 minutes)", fleet.MayRead, (*API).listAlerts, 0},
		{"GET /maintenance", "maintenance windows: which hold, and when; ?at=", fleet.MayRead, (*API).listMaintenance, 0},
		{"GET /rules", "the loaded rules with their health", fleet.MayRead, (*API).listRules, 0},
		{"GET /outbox", "messages that are not delivered; ?state= limit=", fleet.MayRead, (*API).listMessages, 0},
		{"POST /outbox/{id}/resend", "queue a message again, by its ID or how that begins", fleet.MayResend, (*API).resendMessage, 0},
		{"DELETE /outbox/{id}", "forget a buried or parked message", fleet.MayResend, (*API).dropMessage, 0},
		{"GET /agents", "agents with their certificates", fleet.MayRead, (*API).listAgents, 0},
		{"POST /agents/{id}/revoke", "end an agent's right to report", fleet.MayAdminister, (*API).revokeAgent, 0},
		{"GET /authorities", "the authorities that sign certificates", fleet.MayRead, (*API).listAuthorities, 0},
		{"POST /authorities/rotate", "let a new authority take over", fleet.MayAdminister, (*API).rotateAuthority, 0},
		{"POST /authorities/{fingerprint}/retire", "trust an old authority no longer", fleet.MayAdminister, (*API).retireAuthority, 0},
		{"GET /tokens", "enrolment tokens, without their secrets", fleet.MayAdminister, (*API).listTokens, 0},
		{"POST /tokens", "make an enrolment token", fleet.MayAdminister, (*API).createToken, 0},
		{"GET /operators", "who has a token, and which role", fleet.MayAdminister, (*API).listOperators, 0},
		{"POST /operators", "add an operator", fleet.MayAdminister, (*API).addOperator, 0},
		{"DELETE /operators/{name}", "remove an operator", fleet.MayAdminister, (*API).removeOperator, 0},
		{"GET /status", "the collector at a glance", fleet.MayRead, (*API).showStatus, 0},
		{"GET /backup", "a copy of the store as it is now", fleet.MayAdminister, (*API).backup, backupTimeout},
		{"GET /openapi.json", "this API, described", fleet.MayRead, (*API).showDocument, 0},
	}
}

// Endpoint is one thing the JSON API knows.
type Endpoint struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Does   string `json:"does"`
	// Right is what an operator's role must allow.
	Right fleet.Right `json:"right"`
}

// Index is every endpoint of the JSON API.
type Index struct {
	Endpoints []Endpoint `json:"endpoints"`
}

// index lists the API for somebody who looks around.
func (a *API) index(r *http.Request, _ fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	var out Index
	for _, e := range endpoints() {
		method, path := splitPattern(e.pattern)
		out.Endpoints = append(out.Endpoints, Endpoint{method, Root + strings.TrimSuffix(path, "{$}"), e.does, e.right})
	}
	return out, nil
}

// Handler serves everything of the operators' listener.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, e := range endpoints() {
		method, path := splitPattern(e.pattern)
		mux.Handle(method+" "+Root+path, a.endpoint(e))
	}
	mux.Handle(Root+"/", a.unknown(mux))
	a.silences(mux)
	mux.Handle("/api/v2/", a.alertFeed())
	a.mountPrometheus(mux)
	if a.o.RemoteWrite != nil {
		mux.Handle("/api/v1/write", ownAccord(a.o.RemoteWrite)) // it looks itself who sends, and says what of the method
	}

	for _, path := range []string{"alerts", "push", "receive"} { // of Alertmanager's first API, of Loki and Mimir, of Thanos
		mux.HandleFunc("POST /api/v1/"+path, a.misdirected)
	}

	metrics := promhttp.HandlerFor(a.o.Gatherer, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: promLog{a.o.Logger}, MaxRequestsInFlight: 4,
		Timeout: answerTimeout,
	})
	mux.Handle("GET /metrics", a.scrape(metrics))
	mux.Handle("GET /federate", a.scrape(http.HandlerFunc(a.federate)))
	mux.HandleFunc("GET /rate/{ref}/{token}", a.askRate)
	mux.HandleFunc("POST /rate/{ref}/{token}", a.takeRate)
	mux.HandleFunc("GET /-/healthy", a.healthy)
	mux.HandleFunc("GET /-/ready", a.ready)
	mux.Handle("POST /-/reload", a.endpoint(endpoint{"POST /-/reload", "read rules and fleet again", fleet.MayAdminister, (*API).reload, 0}))
	mux.Handle("/", a.unknown(mux))
	return a.guard(mux)
}
