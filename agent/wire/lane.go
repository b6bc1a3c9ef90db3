package wire

// What a request says about its report that the report itself, made long before and kept in the spool, cannot know. An
// agent of an earlier release says neither.
const (
	// HeaderLane is why the report is sent: one of the Lane words.
	HeaderLane = "Watchbill-Lane"
	// HeaderWaiting is how many reports of the agent, beside those in this request, the collector has not had yet: a
	// decimal number. The collector grants credits (Ack.credits) to those that have some, and knows at 0 that nothing is
	// missing any more.
	HeaderWaiting = "Watchbill-Waiting"
	// HeaderReplayed is the Ack.replay_since_ms since which everything the agent holds has been sent again, and the
	// Ack.incarnation that asked for it, which may not be the one that reads this: two decimal numbers with a space
	// between. It is missing while nothing was asked for or a replay goes on.
	HeaderReplayed = "Watchbill-Replayed"
)

// roundBits is where a round begins in an Ack.incarnation.
const roundBits = 32

// Round is the Ack.incarnation of a collector's start that asks one agent again for what that very start has acknowledged,
// for the so-manieth time. An agent needs to know nothing of it: what differs is another incarnation.
func Round(start uint64, round uint32) uint64 { return start + uint64(round)<<roundBits }

// Start is which start of the collector an Ack.incarnation is of, whatever the round.
func Start(incarnation uint64) uint64 { return incarnation & (1<<roundBits - 1) }

// The lanes.
const (
	// LaneLive is the newest report; it goes ahead of everything else and needs no credit.
	LaneLive = "live"
	// LaneBacklog is a report that the collector never had, or never acknowledged. It costs a credit.
	LaneBacklog = "backlog"
	// LaneReplay is a report that was acknowledged once and that the collector asked to see again. It costs a credit.
	LaneReplay = "replay"
)
