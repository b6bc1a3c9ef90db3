package sample

import (
	"fmt"
	"slices"
	"strings"
)

// mount is one line of mountinfo.
type mount struct {
	device, point, fstype string
	// dev is major:minor, which tells two file systems at the same place apart.
	dev      string
	readOnly bool
}

// parseMountinfo reads the format of /proc/PID/mountinfo, see proc_pid_mountinfo(5):
//
//	36 35 98:0 /root /mnt/point rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//
// Of several mounts on one point the last counts, since it is the one to be seen.
func parseMountinfo(path, content string) ([]mount, error) {
	var out []mount
	at := map[string]int{}
	for line := range strings.Lines(content) {
		line = strings.TrimRight(line, "\n")
		before, after, ok := strings.Cut(line, " - ")
		f, g := strings.Split(before, " "), strings.SplitN(after, " ", 3)
		if !ok || len(f) < 6 || len(g) != 3 {
			return nil, fmt.Errorf("%s: want a line as in proc_pid_mountinfo(5), got %q", path, line)
		}
		m := mount{
			dev: f[2], point: unescape(f[4]), fstype: unescape(g[0]), device: unescape(g[1]),
			// A mount can be read-only by itself (a bind mount), because its file system is, or because ext4 gave up
			// writing to it after an error.
			readOnly: hasOption(f[5], "ro") || hasOption(g[2], "ro") || hasOption(g[2], "emergency_ro"),
		}
		if i, seen := at[m.point]; seen {
			out[i] = m
			continue
		}
		at[m.point] = len(out)
		out = append(out, m)
	}
	return out, nil
}

func hasOption(options, want string) bool {
	return slices.Contains(strings.Split(options, ","), want)
}

// unescape undoes the kernel's \ooo for space, tab, newline, backslash and number sign.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1], '3') && octal(s[i+2], '7') && octal(s[i+3], '7') {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func octal(c, highest byte) bool { return '0' <= c && c <= highest }
