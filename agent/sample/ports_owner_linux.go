package sample

import (
	"context"
	"os"
	"strconv"
	"strings"
)

// owner is a process, for a person.
type owner struct {
	pid     int
	command string
}

// eachFile calls f with every open file of every process whose files may be seen: what the link in /proc/PID/fd says.
// It returns how many processes' files are closed to the agent, for want of CAP_SYS_PTRACE.
func (h host) eachFile(ctx context.Context, p *pace, f func(pid int, fd, target string)) (closed int, err error) {
	pids, err := h.pids()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		dir := h.proc(strconv.Itoa(pid), "fd")
		d, err := os.Open(dir)
		if err != nil {
			if !gone(err) {
				closed++
			}
			continue
		}
		names, err := d.Readdirnames(-1)
		d.Close()
		if err != nil {
			continue // it has ended
		}
		for _, n := range names {
			if !p.step(ctx) {
				return closed, ctx.Err()
			}
			if target, err := os.Readlink(dir + "/" + n); err == nil {
				f(pid, n, target)
			}
		}
	}
	return closed, nil
}

// owners says whose the sockets are, by inode. There may be hundreds of thousands of them.
type owners struct {
	pids     map[uint64]int
	commands map[int]string
}

func (o owners) of(inode uint64) (owner, bool) {
	pid, ok := o.pids[inode]
	return owner{pid, o.commands[pid]}, ok
}

// socketOwners finds the processes of sockets, as far as they may be seen.
func (h host) socketOwners(ctx context.Context, p *pace) (out owners, closed int, err error) {
	out = owners{map[uint64]int{}, map[int]string{}}
	closed, err = h.eachFile(ctx, p, func(pid int, _, target string) {
		number, ok := strings.CutPrefix(target, "socket:[")
		if !ok {
			return
		}
		inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
		if err != nil {
			return
		}
		if _, known := out.commands[pid]; !known {
			out.commands[pid] = h.command(pid)
		}
		if _, taken := out.pids[inode]; !taken { // a socket that was inherited belongs to the first who has it
			out.pids[inode] = pid
		}
	})
	return out, closed, err
}

// command is the name of a process's command, empty when it has ended.
func (h host) command(pid int) string {
	content, err := read(h.proc(strconv.Itoa(pid), "comm"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(content)
}
