package sample

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// raidEvery is how often arrays and bonds are looked at: each has a dozen files.
const raidEvery = 15 * time.Second

// mdadmSampler tells of software RAID: /sys/block/md*/md, which says in single words what /proc/mdstat draws.
// Files: https://docs.kernel.org/admin-guide/md.html
type mdadmSampler struct{ host }

// mdStates are the states of node_md_state, in node_exporter's words.
var mdStates = []string{"active", "inactive", "recovering", "resync", "check"}

// Read fails when an array cannot be read. Hosts without arrays have no samples.
func (s mdadmSampler) Read(context.Context, time.Time) (Reading, error) {
	entries, err := os.ReadDir(s.sys("block"))
	if errors.Is(err, fs.ErrNotExist) {
		return Reading{}, nil
	}
	if err != nil {
		return Reading{}, fmt.Errorf("list block devices: %w", err)
	}
	var out []wire.Sample
	count := 0
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "md") {
			continue
		}
		if count++; count > maxArrays {
			continue
		}
		array, err := s.array(e.Name())
		if err != nil {
			return Reading{}, fmt.Errorf("RAID array %s: %w", e.Name(), err)
		}
		out = append(out, array...)
	}
	if count > maxArrays {
		out = append(out, leftOut("mdadm", count-maxArrays))
	}
	return Reading{Samples: out}, nil
}

func (s mdadmSampler) array(name string) ([]wire.Sample, error) {
	dir := s.sys("block", name, "md")
	state, err := sysText(dir + "/array_state")
	if err != nil || state == "" { // stopped since
		return nil, err
	}
	action, err := sysText(dir + "/sync_action")
	if err != nil {
		return nil, err
	}
	disks, err := memberStates(dir)
	if err != nil {
		return nil, err
	}
	required, err := sysText(dir + "/raid_disks") // "4", while it is reshaped "5 (4)"
	if err != nil {
		return nil, err
	}
	need, _ := word([]byte(required))
	total, known := decimal(need)
	degraded, _, err := value(dir + "/degraded") // not of arrays without redundancy
	if err != nil {
		return nil, err
	}
	size, _, err := value(s.sys("block", name, "size")) // sectors
	if err != nil {
		return nil, err
	}
	blocks := size / 2
	out := []wire.Sample{
		sample("node_md_disks_required", float64(total), "device", name),
		sample("node_md_blocks", blocks, "device", name),
		sample("node_md_blocks_synced", synced(dir, action, blocks), "device", name),
		sample("node_md_degraded", degraded, "device", name),
	}
	if known {
		out = append(out, sample("node_md_raid_disks", float64(total), "device", name))
	}
	for _, d := range []string{"active", "failed", "spare"} {
		out = append(out, sample("node_md_disks", disks[d], "device", name, "state", d))
	}
	now := mdState(state, action)
	for _, st := range mdStates {
		out = append(out, sample("node_md_state", b2f(st == now), "device", name, "state", st))
	}
	return out, nil
}

// mdState is the word for an array's state and what is being done to it.
func mdState(state, action string) string {
	switch {
	case state == "inactive" || state == "clear":
		return "inactive"
	case action == "recover" || action == "reshape":
		return "recovering"
	case action == "resync":
		return "resync"
	case action == "check" || action == "repair":
		return "check"
	}
	return "active"
}

// memberStates counts an array's disks.
func memberStates(dir string) (map[string]float64, error) {
	members, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	count := map[string]float64{}
	for _, m := range members {
		if !strings.HasPrefix(m.Name(), "dev-") {
			continue
		}
		text, err := sysText(dir + "/" + m.Name() + "/state")
		if err != nil {
			return nil, err
		}
		switch flags := "," + text + ","; {
		case strings.Contains(flags, ",faulty,"):
			count["failed"]++
		case strings.Contains(flags, ",in_sync,"):
			count["active"]++
		case strings.Contains(flags, ",spare,"):
			count["spare"]++
		}
	}
	return count, nil
}

// synced is how much of the array is known to be good, in blocks of 1 KiB: all of it unless something is under way.
func synced(dir, action string, blocks float64) float64 {
	if action == "" || action == "idle" || action == "frozen" {
		return blocks
	}
	text, err := sysText(dir + "/sync_completed") // "1024 / 2048" sectors, or "none"
	if err != nil {
		return blocks
	}
	first, _ := word([]byte(text))
	done, ok := decimal(first)
	if !ok {
		return blocks
	}
	return float64(done) / 2
}

// bondingSampler tells how many of a bond's devices work: /sys/class/net/bonding_masters.
// Files: https://docs.kernel.org/networking/bonding.html
type bondingSampler struct{ host }

// Read fails when a bond cannot be read. Hosts without bonds have no samples.
func (s bondingSampler) Read(context.Context, time.Time) (Reading, error) {
	text, err := sysText(s.sys("class/net/bonding_masters"))
	if err != nil {
		return Reading{}, err
	}
	masters := strings.Fields(text)
	var out []wire.Sample
	for _, m := range masters[:min(len(masters), maxBonds)] {
		text, err := sysText(s.sys("class/net", m, "bonding/slaves"))
		if err != nil {
			return Reading{}, fmt.Errorf("bond %s: %w", m, err)
		}
		slaves, active := strings.Fields(text), 0
		for _, slave := range slaves {
			status, err := sysText(s.sys("class/net", slave, "bonding_slave/mii_status"))
			if err != nil {
				return Reading{}, fmt.Errorf("bond %s: %w", m, err)
			}
			if status == "up" {
				active++
			}
		}
		out = append(out, sample("node_bonding_slaves", float64(len(slaves)), "master", m),
			sample("node_bonding_active", float64(active), "master", m))
	}
	if left := len(masters) - maxBonds; left > 0 {
		out = append(out, leftOut("bonding", left))
	}
	return Reading{Samples: out}, nil
}
