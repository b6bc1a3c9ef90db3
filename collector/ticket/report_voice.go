package ticket

import (
	"iter"
	"slices"
	"strings"
	"time"
)

// FirstToKnow is who knew of faults first.
type FirstToKnow struct {
	Customer string `json:"customer"`
	// Monitoring found that many before anybody reported them, a Person reported that many before monitoring found them.
	Monitoring int `json:"monitoring"`
	Person     int `json:"person"`
	// Rate is the share that monitoring knew first, from 0 to 1; null when there was no fault.
	Rate *float64 `json:"rate"`
}

// ReportFirstToKnow is who knew first of the faults whose tickets were received in a span, by customer, and last, without a
// customer, of all. Requests, tasks and what the house opened by itself are no faults; a ticket that was merged is counted
// where it went.
func ReportFirstToKnow(tickets iter.Seq[Ticket], span Span) []FirstToKnow {
	by := map[string]*FirstToKnow{}
	all := FirstToKnow{}
	for t := range tickets {
		if t.Kind != KindIncident || t.Merged != nil || !span.Holds(t.Received()) {
			continue
		}
		f := by[t.Customer]
		if f == nil {
			f = &FirstToKnow{Customer: t.Customer}
			by[t.Customer] = f
		}
		switch t.Facts[FactFirst] {
		case FirstMonitoring:
			f.Monitoring++
			all.Monitoring++
		case FirstPerson:
			f.Person++
			all.Person++
		}
	}
	out := []FirstToKnow{}
	for _, f := range by {
		out = append(out, f.rated())
	}
	slices.SortFunc(out, func(x, y FirstToKnow) int { return strings.Compare(x.Customer, y.Customer) })
	return append(out, all.rated())
}

func (f FirstToKnow) rated() FirstToKnow {
	if n := f.Monitoring + f.Person; n > 0 {
		rate := float64(f.Monitoring) / float64(n)
		f.Rate = &rate
	}
	return f
}

// NPS is how likely reporters are to recommend the service: answers from 0 to 10, of which 9 and 10 promote it, 0 to 6
// detract from it, and 7 and 8 do neither.
type NPS struct {
	// Period is a month as 2026-11; "all" for the whole span.
	Period     string `json:"period"`
	Answers    int    `json:"answers"`
	Promoters  int    `json:"promoters"`
	Passives   int    `json:"passives"`
	Detractors int    `json:"detractors"`
	// Score is the percentage of promoters less that of detractors, from -100 to 100; null without an answer.
	Score *float64 `json:"score"`
}

// ReportNPS counts the answers that were given in a span, by month of the zone, and last of all. Of a ticket that was
// answered more than once the last answer is the one that counts.
func ReportNPS(tickets iter.Seq[Ticket], span Span, zone *time.Location) []NPS {
	by := map[string]*NPS{}
	all := NPS{Period: "all"}
	for t := range tickets {
		if t.Rating == nil || !span.Holds(t.Rating.At) {
			continue
		}
		month := t.Rating.At.In(zone).Format("2006-01")
		n := by[month]
		if n == nil {
			n = &NPS{Period: month}
			by[month] = n
		}
		n.add(t.Rating.Score)
		all.add(t.Rating.Score)
	}
	out := []NPS{}
	for _, n := range by {
		out = append(out, n.scored())
	}
	slices.SortFunc(out, func(x, y NPS) int { return strings.Compare(x.Period, y.Period) })
	return append(out, all.scored())
}

func (n *NPS) add(score int) {
	n.Answers++
	switch {
	case score >= 9:
		n.Promoters++
	case score >= 7:
		n.Passives++
	default:
		n.Detractors++
	}
}

func (n NPS) scored() NPS {
	if n.Answers > 0 {
		score := 100 * float64(n.Promoters-n.Detractors) / float64(n.Answers)
		n.Score = &score
	}
	return n
}
