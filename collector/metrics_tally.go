package collector

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// This file keeps totals of tickets in the store, with the changes that they come of, so that a restart forgets none and
// nothing is counted by reading tickets.

// ratingGroups are those of ratings by score.
var ratingGroups = [...]string{"promoter", "passive", "detractor"}

// ratingGroup is the group of a score from 0 to 10.
func ratingGroup(score int) string {
	switch {
	case score >= 9:
		return ratingGroups[0]
	case score >= 7:
		return ratingGroups[1]
	}
	return ratingGroups[2]
}

// tallies are the names under which the store counts a ticket.
func tallies(t ticket.Ticket) (names []string) {
	if who := t.Facts[ticket.FactFirst]; who != "" {
		names = append(names, tallyFirst+who)
	}
	if t.Rating != nil {
		names = append(names, tallyRating+ratingGroup(t.Rating.Score))
	}
	return names
}

const (
	tallyFirst  = "first "
	tallyRating = "rating "

	// tallyTerms and tallyTermsBytes are of the documents of terms that the store keeps.
	tallyTerms      = "terms documents"
	tallyTermsBytes = "terms bytes"
)

// tallyChange takes the ticket as it was off the totals and adds it as it became. It is called before the change is written.
func tallyChange(tx store.Tx, c ticket.Change) error {
	if !tallied(c) {
		return nil
	}
	by := map[string]int{}
	if c.Before > 0 {
		was, err := tx.Ticket(c.Ticket.ID)
		if err != nil {
			return err
		}
		for _, name := range tallies(was) {
			by[name]--
		}
	}
	for _, name := range tallies(c.Ticket) {
		by[name]++
	}
	for name, n := range by {
		if err := tx.AddTally(name, n); err != nil {
			return err
		}
	}
	return nil
}

// tallied tells whether a change may alter a total.
func tallied(c ticket.Change) bool {
	for _, e := range c.Events {
		switch e.Kind {
		case ticket.Opened, ticket.FactsChanged, ticket.Rated:
			return true
		}
	}
	return false
}

// tallyGauges tell the totals: some records are read for a scrape.
type tallyGauges struct{ store store.Store }

var (
	firstDesc = prometheus.NewDesc("watchbill_first_to_know",
		"Incidents by who knew of them first, over all tickets: monitoring, or a person who reported it.", []string{"who"}, nil)
	termsDesc = prometheus.NewDesc("watchbill_terms_documents",
		"Documents of terms that the store keeps, one for every agreement that tickets were opened under or moved to; none is ever removed.", nil, nil)
	termsBytesDesc = prometheus.NewDesc("watchbill_terms_bytes", "Size of all documents of terms that the store keeps.", nil, nil)
	npsDesc        = prometheus.NewDesc("watchbill_nps_score",
		"Net promoter score over the last rating of every ticket, from -100 to 100: the share of promoters less that of detractors. Absent before the first.", nil, nil)
)

// Describe implements prometheus.Collector.
func (g *tallyGauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range [...]*prometheus.Desc{firstDesc, npsDesc, termsDesc, termsBytesDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *tallyGauges) Collect(ch chan<- prometheus.Metric) {
	first, rated := map[string]int{}, map[string]int{}
	var documents, size int
	err := g.store.View(context.Background(), func(tx store.Tx) (err error) {
		for _, who := range []string{ticket.FirstMonitoring, ticket.FirstPerson} {
			if first[who], err = tx.Tally(tallyFirst + who); err != nil {
				return err
			}
		}
		for _, group := range ratingGroups {
			if rated[group], err = tx.Tally(tallyRating + group); err != nil {
				return err
			}
		}
		if documents, err = tx.Tally(tallyTerms); err != nil {
			return err
		}
		size, err = tx.Tally(tallyTermsBytes)
		return err
	})
	if err != nil {
		for _, d := range [...]*prometheus.Desc{firstDesc, npsDesc, termsDesc, termsBytesDesc} {
			ch <- prometheus.NewInvalidMetric(d, err)
		}
		return
	}
	ch <- prometheus.MustNewConstMetric(termsDesc, prometheus.GaugeValue, float64(documents))
	ch <- prometheus.MustNewConstMetric(termsBytesDesc, prometheus.GaugeValue, float64(size))
	for who, n := range first {
		ch <- prometheus.MustNewConstMetric(firstDesc, prometheus.GaugeValue, float64(n), who)
	}
	if all := rated["promoter"] + rated["passive"] + rated["detractor"]; all > 0 { // 0 would be a score
		score := 100 * float64(rated["promoter"]-rated["detractor"]) / float64(all)
		ch <- prometheus.MustNewConstMetric(npsDesc, prometheus.GaugeValue, score)
	}
}
