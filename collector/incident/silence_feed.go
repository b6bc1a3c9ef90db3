package incident

import (
	"fmt"
	"strings"
	"time"

	"github.com/watchbill/watchbill/rules"
)

// RemoteWriteSilent is the alert about a program that wrote samples steadily and does not any more. What it alone wrote is
// unknown meanwhile: one cause, one incident, and none for each of its assets.
const RemoteWriteSilent = "RemoteWriteSilent"

// feedOrigin is the rule that RemoteWriteSilent comes from.
const feedOrigin = "feed-silence"

// FeedOrigin is the rule that alerts about silent programs come from.
func FeedOrigin() rules.Origin {
	return rules.Origin{ID: feedOrigin, Group: "watchbill", Name: RemoteWriteSilent}
}

// IsFeed tells whether an alert's origin is FeedOrigin.
func IsFeed(o rules.Origin) bool { return o.ID == feedOrigin }

// Feed is a program that writes samples.
type Feed struct {
	// Sender is its operator's name, Asset the one that stands for it.
	Sender, Asset string
	// First and Heard are when it was first and last heard, Pace its usual time between two requests.
	First, Heard time.Time
	Pace         time.Duration
	// Alone are the assets that nobody else reports.
	Alone []string
}

// steady is for how long a program must have been heard before its silence means something.
const steady = time.Minute

// SilentFor tells whether a program that was heard steadily is silent: for longer than so many of its paces, at least
// least, counted from since when the collector started after it was last heard.
func (f Feed) SilentFor(paces int, least time.Duration, started, now time.Time) bool {
	since := f.Heard
	if started.After(since) {
		since = started
	}
	return f.Heard.Sub(f.First) >= steady && now.Sub(since) > max(time.Duration(paces)*f.Pace, least)
}

// Silent is the alert about it.
func (f Feed) Silent(now time.Time) rules.Alert {
	said := fmt.Sprintf("Its last request came at %s; one usually comes at least every %v. ", clock(f.Heard), f.Pace.Round(time.Second))
	switch n := len(f.Alone); n {
	case 0:
		said += "No asset is written by it alone."
	case 1:
		said += fmt.Sprintf("Nothing is known meanwhile of %s, which it alone writes: its alerts stay as they are.", f.Alone[0])
	default:
		said += fmt.Sprintf("Nothing is known meanwhile of %d assets that it alone writes, whose alerts stay as they are: %s.", n,
			someOf(f.Alone))
	}
	return alert(RemoteWriteSilent, Critical, f.Heard, now, map[string]string{
		"instance": f.Asset, "sender": f.Sender, "customer": OwnCustomer, "service": Availability, "system": "monitoring",
	}, fmt.Sprintf("Nothing is written any more by %s", f.Sender), said,
		"Is the program up that remote-writes with the token of "+f.Sender+", and what does its log say of remote write? "+
			"Can it reach the operators' listener? If it is not wanted any more: watchbill operator remove "+f.Sender+".")
}

// someOf are the first names of a list, and how many more there are.
func someOf(all []string) string {
	if more := len(all) - maxNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:maxNames], ", "), more)
	}
	return strings.Join(all, ", ")
}
