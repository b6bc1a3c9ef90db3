package ticket

// The kinds of event that the desk's verbs add to those of the lifecycle.
const (
	// GlassBroken is a gate that somebody went through all the same, with what it was missing and why.
	GlassBroken Kind = "break_glass"
	// Escalated is a rung of a ladder that a person took; Detail.Told says which, and who is told.
	Escalated Kind = "escalated"
	// Updated is a stakeholder update; Detail.What is why it came late: workload, absence, or empty.
	Updated Kind = "stakeholder_update"
	// RatingAsked keeps the digest of the token, in Detail.What, of a link by which the reporter may answer once.
	RatingAsked Kind = "rating_asked"
)

// repliedNote is Detail.What of a note with which the customer answered.
const repliedNote = "reply"

// IsReply tells a note with which somebody of the customer or department answered: it is for everybody who sees the ticket.
func (e Event) IsReply() bool {
	return e.Kind == Noted && e.Detail != nil && e.Detail.What == repliedNote
}
