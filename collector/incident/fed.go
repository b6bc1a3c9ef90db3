package incident

import (
	"strings"

	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/rules"
)

// Lapsed: an alert that another program sent was neither sent again nor said to be over. What is not heard of is not known
// to be mended.
const Lapsed End = "not heard of any more"

const fedOrigins = "feed/"

// IsFed tells whether an alert is one that another program sent.
func IsFed(o rules.Origin) bool { return strings.HasPrefix(o.ID, fedOrigins) }

// FedOrigin stands for the rule of an alert that another program sent: one for each, by its labels, whoever of a pair of
// senders sent it. sender is who did.
func FedOrigin(of model.Fingerprint, name, sender string) rules.Origin {
	return rules.Origin{ID: fedOrigins + of.String(), Group: sender, Name: name}
}

// Fed tells whether another program sent the alert.
func (a Alert) Fed() bool { return strings.HasPrefix(a.ID, fedOrigins) }
