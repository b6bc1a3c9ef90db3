package ingest

import (
	"context"
	"net/netip"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules/window"
)

// Sink takes reports.
type Sink interface {
	// Apply returns nil only when everything the report caused or carried is durable. Reports of one agent come one
	// after the other, those of different agents at the same time. After an error the agent sends the report again, so
	// what of it was already done must be recognised by (asset, epoch, event) and (asset, source, block, time). A *Later
	// says what to tell the agent.
	Apply(ctx context.Context, r Report) error
}

// Later is an error of a Sink that cannot take the report now and wants the agent to know why.
type Later struct {
	// Text tells a person what is in the way and what to do: "the collector's disk is full: …".
	Text string
	// After is when to try again; 5 s when zero.
	After time.Duration
}

// Error is Text.
func (l *Later) Error() string { return l.Text }

// Report is what one agent had to say at one time, checked. All texts are valid UTF-8 on one line, without control and
// direction-changing characters. It belongs to the Sink, but for the Values of blocks that are not Late: they are
// overwritten by a later report once Apply has returned.
type Report struct {
	// Agent is who reports, by its certificate; Asset is the host it reports for.
	Agent fleet.Agent
	Asset window.Asset
	// Epoch and Sequence name the report of this agent for good.
	Epoch, Sequence uint64
	MadeAt          time.Time
	// ReceivedAt is by the collector's clock. The report is a sign of life at this time, even one without blocks.
	ReceivedAt time.Time
	Blocks     []window.Block
	Events     []Event
	// NewEvents is told by the Sink how many of Events it did not have yet: only those count for the quotas. A Sink that
	// does not know tells nothing, and all count.
	NewEvents func(n int)
	// EventsDropped is how many events more there were than the agent's quota allows.
	EventsDropped int
	// Inventory is nil when nothing about the host has changed.
	Inventory *Inventory
	Tables    []Table
	// Bundles answer what was asked for in an Ack; nobody says that they do.
	Bundles []Bundle
	// Goodbye is why the agent stops, nil when it does not.
	Goodbye *string
	// Replayed is a report that came behind a newer one of its agent: out of its spool, because the collector asked or
	// because the line was down. All its blocks are Late.
	Replayed bool
	// Lane is why the agent sent it, one of wire's Lane words; empty when it did not say.
	Lane string
	// Waiting is how many more reports of the agent were never acknowledged; -1 when it did not say.
	Waiting int
	// ReplayedSince is since when the agent has sent again all it holds; zero when it has not.
	ReplayedSince time.Time
	// HeldSince is how far back the agent's spool goes; zero when it never let go of anything.
	HeldSince time.Time
	// From is the address its connection came from: the host's, or that of what stands between it and the collector. Not
	// valid when there is none.
	From netip.Addr
}

// Event is something that happened once.
type Event struct {
	// ID is unique within (asset, epoch).
	ID   uint64
	Kind string
	// At is when; never later than the report's receipt: an event that claims so has the receipt's time and the claimed
	// one in Fields["stated_at"].
	At     time.Time
	Text   string
	Fields map[string]string
}

// Inventory describes the host.
type Inventory struct {
	Hostname     string    `json:"hostname"`
	OS           string    `json:"os"`
	OSVersion    string    `json:"os_version"`
	Kernel       string    `json:"kernel"`
	Architecture string    `json:"architecture"`
	MachineID    string    `json:"machine_id"`
	BootID       string    `json:"boot_id"`
	BootedAt     time.Time `json:"booted_at,omitzero"`
	AgentVersion string    `json:"agent_version"`
	CPUs         uint32    `json:"cpus"`
	MemoryBytes  uint64    `json:"memory_bytes"`
	Addresses    []string  `json:"addresses"`
	// Zone is the host's IANA time zone, empty when it cannot tell.
	Zone string `json:"zone"`
}

// Bundle is evidence that was asked for: its table's kind is Name.
type Bundle struct {
	Name, Argument string
	Table          Table
}

// Table is evidence: rows of text that replace the table of the same kind before.
type Table struct {
	Kind      string     `json:"kind"`
	SampledAt time.Time  `json:"sampled_at"`
	Columns   []string   `json:"columns"`
	Rows      [][]string `json:"rows"`
	// NoneBecause says why there are no rows.
	NoneBecause string `json:"none_because,omitempty"`
}
