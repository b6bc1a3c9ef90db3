package sample

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// kernelKind is one kind of trouble that the kernel tells of. The named groups of match become fields of the event.
type kernelKind struct {
	kind string
	// hint is in every text that matches; it saves trying.
	hint  string
	match *regexp.Regexp
	// text says it in a sentence.
	text func(f map[string]string) string
	// key are the fields that make two of a kind the same thing.
	key []string
}

// kernelFact is a message of the kernel, understood.
type kernelFact struct {
	kind, text, key string
	fields          map[string]string
}

// kernelKinds are tried in order. The texts are those of Linux 4.4 to 6.12: mm/oom_kill.c, block/blk-core.c,
// fs/buffer.c, drivers/ata, drivers/nvme, fs/ext4/super.c, fs/xfs/xfs_message.c, fs/btrfs/messages.c,
// kernel/hung_task.c, kernel/watchdog.c, kernel/rcu, arch/x86/mm/fault.c, arch/x86/kernel/traps.c.
func kernelKinds() []kernelKind {
	filesystem := func(hint, expr string) kernelKind {
		return kernelKind{kind: "kernel_fs_error", hint: hint, match: regexp.MustCompile(expr), text: filesystemText, key: []string{"device"}}
	}
	device := func(hint, expr string) kernelKind {
		return kernelKind{kind: "kernel_io_error", hint: hint, match: regexp.MustCompile(expr), text: deviceText, key: []string{"device"}}
	}
	other := func(kind, hint, expr, what string, key ...string) kernelKind {
		return kernelKind{kind: kind, hint: hint, match: regexp.MustCompile(expr), key: key,
			text: func(f map[string]string) string { return what + ": " + f["detail"] }}
	}
	return []kernelKind{
		{
			kind: "kernel_oom", hint: "Killed process", key: []string{"process"}, text: oomText,
			match: regexp.MustCompile(`^(?:(?P<limit>Memory cgroup out of memory): |Out of memory[^:]*: )?Killed process (?P<pid>\d+) \((?P<process>.*)\),?(?: UID \d+,)? total-vm:\d+kB, anon-rss:(?P<resident>\d+)kB(?:, file-rss:\d+kB)?(?:, shmem-rss:\d+kB)?(?:, UID:(?P<uid>\d+))?`),
		},
		device(" error, dev ", `(?:I/O|critical \w+(?: \w+)?|recovered|protection|timeout) error, dev (?P<device>[^\s,]+), (?:sector|logical block) (?P<sector>\d+)(?:.*op 0x[0-9a-f]+:\((?P<operation>\w+)\))?`),
		device("I/O error on dev ", `I/O error on dev (?P<device>[^\s,]+), logical block (?P<block>\d+)(?:, (?P<detail>.+))?`),
		device("@ LBA", `^(?P<device>nvme\w+): (?P<detail>I/O Cmd\(.*\)) @ LBA (?P<sector>\d+)`),
		device("ata", `^(?P<device>ata\d+(?:\.\d+)?): (?P<detail>(?:failed command|error|exception Emask 0x[0-9a-f]*[1-9a-f]).*)`),
		filesystem("-fs error", `^(?P<filesystem>EXT[234])-fs error \(device (?P<device>[^)]+)\)(?:: (?P<detail>.*))?`),
		filesystem("-fs (", `^(?P<filesystem>EXT[234]|FAT|F2FS)-fs \((?P<device>[^)]+)\): (?P<detail>.*(?:read-only|[Ee]rror(?:[^s=]|$)|[Cc]orrupt|[Ff]ailed).*)`),
		filesystem("journal on device", `^(?P<detail>Aborting journal) on device (?P<device>[^\s.]+)`),
		filesystem("XFS (", `^(?P<filesystem>XFS) \((?P<device>[^)]+)\): (?P<detail>.*(?:[Cc]orrupt|I/O [Ee]rror|I/O error|[Ss]hut(?:ting)? ?down|Internal error|[Ff]orced shutdown).*)`),
		filesystem("BTRFS", `^(?P<filesystem>BTRFS)(?: error| critical|: error) \(device (?P<device>[^\s):]+)[^)]*\)(?: in|:) (?P<detail>.*)`),
		filesystem("BTRFS", `^(?P<filesystem>BTRFS) \w+ \(device (?P<device>[^\s):]+)[^)]*\): (?P<detail>.*(?:forced readonly|csum failed|checksum verify failed).*)`),
		filesystem("nfs: server", `^(?P<filesystem>nfs): server (?P<device>\S+) (?P<detail>not responding.*)`),
		{
			kind: "kernel_hung_task", hint: "blocked", key: []string{"process"},
			match: regexp.MustCompile(`^INFO: task (?P<process>.+):(?P<pid>\d+) (?:<\w+> )?(?:is )?blocked(?: in I/O wait| on \S+.*?)? for more than (?P<seconds>\d+) seconds`),
			text: func(f map[string]string) string {
				return fmt.Sprintf("%s (process %s) has waited for more than %s s without a break, as one does for a dead disk or file server.", f["process"], f["pid"], f["seconds"])
			},
		},
		other("kernel_lockup", "lockup", `(?P<detail>(?:soft|hard|HARD) (?:lockup|LOCKUP).*)`, "The kernel is stuck"),
		other("kernel_lockup", "LOCKUP", `(?P<detail>(?:hard|HARD) LOCKUP.*)`, "The kernel is stuck"),
		other("kernel_lockup", "rcu", `^rcu: INFO: (?P<detail>.*stall.*)`, "The kernel is stuck"),
		other("kernel_hardware_error", "Hardware Error", `^(?:mce: )?\[Hardware Error\]: (?P<detail>.*)`, "The hardware reports an error"),
		other("kernel_hardware_error", "EDAC ", `^EDAC (?P<detail>\w+: \d+ [CU]E .*)`, "The memory reports an error"),
		{
			kind: "kernel_segfault", hint: "]", key: []string{"process"}, text: segfaultText,
			match: regexp.MustCompile(`^(?:traps: )?(?P<process>[^\[]+)\[(?P<pid>\d+)\]:? (?P<cause>segfault|general protection(?: fault)?|trap [\w ]+?)(?: at | ip:|,).*?(?: in (?P<object>[^\s\[]+)\[.*)?$`),
		},
		other("kernel_table_full", "table", `^(?P<detail>nf_conntrack: .*table full.*|neighbour: .*table overflow.*)`, "The kernel drops packets"),
		other("kernel_bug", "", `^(?P<detail>(?:BUG: |kernel BUG at |Oops: |Kernel panic|Unable to handle kernel|general protection fault).*)`, "The kernel has failed itself; reboot it soon"),
	}
}

// understand finds what a message tells of; false for what is no trouble by itself. Of what no pattern knows, only what
// the kernel calls critical or worse counts.
func understand(kinds []kernelKind, r kmsgRecord) (kernelFact, bool) {
	for _, k := range kinds {
		if k.hint != "" && !strings.Contains(r.message, k.hint) {
			continue
		}
		m := k.match.FindStringSubmatch(r.message)
		if m == nil {
			continue
		}
		fields := map[string]string{}
		for i, name := range k.match.SubexpNames() {
			if name != "" && m[i] != "" {
				fields[name] = m[i]
			}
		}
		key := k.kind
		for _, name := range k.key {
			key += "\x00" + fields[name]
		}
		return kernelFact{kind: k.kind, text: k.text(fields), key: key, fields: fields}, true
	}
	if r.level > 2 {
		return kernelFact{}, false
	}
	text := "The kernel reports as " + levels[r.level] + ": " + r.message
	return kernelFact{kind: "kernel_error", text: text, key: "kernel_error\x00" + plain(r.message), fields: map[string]string{}}, true
}

// oomText also turns the size into bytes and the limit into a word.
func oomText(f map[string]string) string {
	scope := "want of memory"
	if f["limit"] != "" {
		scope = "reaching the memory limit of its control group"
	}
	f["scope"] = map[bool]string{true: "cgroup", false: "host"}[f["limit"] != ""]
	delete(f, "limit")
	kib, _ := strconv.ParseUint(f["resident"], 10, 53) // the expression takes digits only
	delete(f, "resident")
	f["resident_bytes"] = strconv.FormatUint(kib<<10, 10)
	return fmt.Sprintf("The kernel killed %s (process %s) for %s; it held %s.", f["process"], f["pid"], scope, bytesText(kib<<10))
}

func deviceText(f map[string]string) string {
	what := cmp.Or(map[string]string{"READ": "reading", "WRITE": "writing", "FLUSH": "flushing"}[f["operation"]], "reading or writing")
	at := ""
	switch {
	case f["sector"] != "":
		at = ", sector " + f["sector"]
	case f["block"] != "":
		at = ", block " + f["block"]
	}
	if f["detail"] != "" {
		at += " (" + f["detail"] + ")"
	}
	return fmt.Sprintf("The device %s fails %s%s.", f["device"], what, at)
}

// filesystemText also notices that the file system cannot be written to any more.
func filesystemText(f map[string]string) string {
	lower := strings.ToLower(f["detail"])
	text := fmt.Sprintf("The file system %s on %s reports an error: %s", f["filesystem"], f["device"], f["detail"])
	for _, sign := range []string{"read-only", "readonly", "shutdown", "shutting down", "shut down"} {
		if strings.Contains(lower, sign) {
			f["read_only"] = "true"
			return fmt.Sprintf("The kernel stopped writing to the file system %s on %s: %s", f["filesystem"], f["device"], f["detail"])
		}
	}
	return text
}

func segfaultText(f map[string]string) string {
	text := fmt.Sprintf("%s (process %s) crashed: %s", f["process"], f["pid"], f["cause"])
	if f["object"] != "" {
		text += " in " + f["object"]
	}
	return text + "."
}

var variable = regexp.MustCompile(`0x[0-9a-fA-F]+|[0-9a-fA-F-]*\d[0-9a-fA-F-]*`)

// plain is s without what differs between two messages of the same kind: numbers, addresses, identifiers.
func plain(s string) string { return variable.ReplaceAllString(s, "#") }
