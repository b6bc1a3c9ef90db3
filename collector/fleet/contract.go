package fleet

// Contract is what a customer and the operator agreed on for a span of days. Words of policy sets (sets, units, clocks,
// modes, systems, regions, hours) are kept as written: package policy checks them.
type Contract struct {
	// ID is a word of [a-z0-9-], unique in the fleet.
	ID string `yaml:"id" json:"id"`
	// Customer is whose it is.
	Customer string `yaml:"-" json:"customer,omitempty"`
	// Sets are the policy sets that it is under, by name.
	Sets []string `yaml:"sets,omitempty,flow" json:"sets,omitempty"`
	// Override names the winning set where several define the same: targets, gate.four-eyes and so on → set.
	Override map[string]string `yaml:"override,omitempty" json:"override,omitempty"`
	// From and Until are its first and last day, in its zone; empty is open on that side.
	From  Date `yaml:"from,omitempty" json:"from,omitempty"`
	Until Date `yaml:"until,omitempty" json:"until,omitempty"`
	// Agreement is the written agreement's number; empty or "none" without one.
	Agreement string `yaml:"agreement,omitempty" json:"agreement,omitempty"`
	// Cover is the hours of enhanced cover: 24x7; empty for the sets' own.
	Cover string `yaml:"cover,omitempty" json:"cover,omitempty"`
	// OnCall says that the customer may call the on-call service outside hours.
	OnCall bool `yaml:"oncall,omitempty" json:"oncall,omitempty"`
	// Zone and Region replace the sets' time zone and holidays; empty leaves them, and the customer's zone bounds the days.
	Zone   string `yaml:"zone,omitempty" json:"zone,omitempty"`
	Region string `yaml:"region,omitempty" json:"region,omitempty"`
	// Overlays are enhanced hours for a while, or for good.
	Overlays []Overlay `yaml:"overlays,omitempty" json:"overlays,omitempty"`
	// Targets replace the sets' one by one.
	Targets []Target `yaml:"targets,omitempty" json:"targets,omitempty"`
	Phase   Phase    `yaml:"phase,omitempty" json:"phase,omitempty"`
	// Ordered and Paid are when it was ordered and when the initial payment came; Entitled says otherwise when support
	// begins. See Registry.Entitled.
	Ordered  Date `yaml:"ordered,omitempty" json:"ordered,omitempty"`
	Paid     Date `yaml:"paid,omitempty" json:"paid,omitempty"`
	Entitled Date `yaml:"entitled,omitempty" json:"entitled,omitempty"`
	// Model is who runs the platform beside the IT provider.
	Model Model `yaml:"model,omitempty" json:"model,omitempty"`
	// Owners are the systems whose owner was contracted separately.
	Owners []Owner `yaml:"owners,omitempty" json:"owners,omitempty"`
	// Supports is what it covers and is therefore not charged for: hosting, maintenance and so on.
	Supports []string `yaml:"supports,omitempty,flow" json:"supports,omitempty"`
	// Terms are the SLA terms as people read them.
	Terms Prose `yaml:"terms,omitempty" json:"terms,omitempty"`
	// At is as in Customer.
	At string `yaml:"-" json:"-"`
}

// Agreed tells whether there is a written agreement.
func (c Contract) Agreed() bool { return c.Agreement != "" && c.Agreement != "none" }

// Phase is how far a customer's project has come.
type Phase string

// The phases. Empty is the same as PhaseLive.
const (
	PhaseImplementation Phase = "implementation"
	PhaseLive           Phase = "live"
)

// Phases lists them.
func Phases() []Phase { return []Phase{PhaseImplementation, PhaseLive} }

// Model is the operating model: who runs the platform beside the IT provider.
type Model string

// The operating models. Empty is the policy set's own.
const (
	ModelSeparate  Model = "separate"   // a separate hosting provider does
	ModelSameParty Model = "same-party" // the IT provider does
)

// Models lists them.
func Models() []Model { return []Model{ModelSeparate, ModelSameParty} }

// Overlay is other hours than the calendar's.
type Overlay struct {
	// Name is unique within the contract.
	Name string `yaml:"name" json:"name"`
	// From and Until are its first and last day; empty is open on that side.
	From  Date `yaml:"from,omitempty" json:"from,omitempty"`
	Until Date `yaml:"until,omitempty" json:"until,omitempty"`
	// Hours are spans of the clock by days of the week, both as written: mon-fri → 07:00-22:00.
	Hours map[string]Spans `yaml:"hours,omitempty" json:"hours,omitempty"`
	// Holidays says that these hours count on holidays too.
	Holidays bool `yaml:"holidays,omitempty" json:"holidays,omitempty"`
	// At is as in Customer.
	At string `yaml:"-" json:"-"`
}

// Spans are spans of the clock as written. One of them may be written without a list.
type Spans []string

// Target replaces one of a policy set's.
type Target struct {
	Priority string `yaml:"priority" json:"priority"`
	Clock    string `yaml:"clock" json:"clock"`
	// Within is DURATION,MODE or DURATION,MODE,inform, as written: "30m,business".
	Within string `yaml:"within" json:"within"`
	// At is as in Customer.
	At string `yaml:"-" json:"-"`
}

// Owner is a system that somebody else owns than the policy set says.
type Owner struct {
	System string `yaml:"system" json:"system"`
	// Owner is the party.
	Owner string `yaml:"owner" json:"owner"`
	// Agreement is the number of the agreement that says so.
	Agreement string `yaml:"agreement,omitempty" json:"agreement,omitempty"`
	// At is as in Customer.
	At string `yaml:"-" json:"-"`
}
