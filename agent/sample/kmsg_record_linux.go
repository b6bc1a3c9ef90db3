package sample

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// kmsgRecord is one message of the kernel.
type kmsgRecord struct {
	// level is that of syslog(3), 0 being an emergency; facility 0 is the kernel itself, others write here as root.
	level, facility int
	sequence        uint64
	// since is the time since boot, without what the host slept.
	since   time.Duration
	message string
}

// levels are the names of the levels, as dmesg(1) has them.
var levels = [...]string{"emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"}

var errKmsg = errors.New("want a record as in Documentation/ABI/testing/dev-kmsg")

// parseKmsg reads one record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg of the kernel):
//
//	6,339,5140900,-;NET: Registered protocol family 10
//	 SUBSYSTEM=net
func parseKmsg(s string) (kmsgRecord, error) {
	head, body, ok := strings.Cut(s, ";")
	f := strings.Split(head, ",")
	if !ok || len(f) < 3 {
		return kmsgRecord{}, fmt.Errorf("%w, got %.100q", errKmsg, s)
	}
	prefix, err := strconv.ParseUint(f[0], 10, 16)
	if err != nil {
		return kmsgRecord{}, fmt.Errorf("%w: priority %.20q", errKmsg, f[0])
	}
	r := kmsgRecord{level: int(prefix & 7), facility: int(prefix >> 3)}
	if r.sequence, err = strconv.ParseUint(f[1], 10, 64); err != nil {
		return kmsgRecord{}, fmt.Errorf("%w: sequence %.20q", errKmsg, f[1])
	}
	us, err := strconv.ParseUint(f[2], 10, 53)
	if err != nil {
		return kmsgRecord{}, fmt.Errorf("%w: time %.20q", errKmsg, f[2])
	}
	r.since = time.Duration(us) * time.Microsecond
	r.message, _, _ = strings.Cut(body, "\n") // what follows are properties of the device
	r.message = strings.TrimSpace(r.message)
	return r, nil
}
