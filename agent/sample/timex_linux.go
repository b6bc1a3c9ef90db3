package sample

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

// timexSampler tells what the kernel knows of its clock's quality: adjtimex(2), which changes nothing when asked so.
type timexSampler struct {
	adjtimex func(*unix.Timex) (state int, err error)
}

// Read fails when the call is not allowed.
func (s timexSampler) Read(context.Context, time.Time) (Reading, error) {
	var t unix.Timex // no mode: it only reads
	state, err := s.adjtimex(&t)
	if errors.Is(err, unix.EPERM) {
		return Reading{}, fmt.Errorf("adjtimex: %w: a system call filter denies it, although it only reads; in a systemd unit "+
			"leave out ProtectClock= and add SystemCallFilter=adjtimex", err)
	}
	if err != nil {
		return Reading{}, fmt.Errorf("adjtimex: %w", err)
	}
	unit := 1e6 // microseconds, or with STA_NANO nanoseconds, in those fields that follow it
	if t.Status&unix.STA_NANO != 0 {
		unit = 1e9
	}
	const (
		micro     = 1e6
		frequency = 1e6 * 65536 // parts per million with 16 bits behind the point
	)
	return Reading{Samples: []wire.Sample{
		{Name: "node_timex_sync_status", Value: b2f(state != unix.TIME_ERROR)},
		{Name: "node_timex_offset_seconds", Value: float64(t.Offset) / unit},
		{Name: "node_timex_frequency_adjustment_ratio", Value: 1 + float64(t.Freq)/frequency},
		{Name: "node_timex_maxerror_seconds", Value: float64(t.Maxerror) / micro},
		{Name: "node_timex_estimated_error_seconds", Value: float64(t.Esterror) / micro},
		{Name: "node_timex_status", Value: float64(t.Status)},
		{Name: "node_timex_loop_time_constant", Value: float64(t.Constant)},
		{Name: "node_timex_tick_seconds", Value: float64(t.Tick) / micro},
		{Name: "node_timex_pps_frequency_hertz", Value: float64(t.Ppsfreq) / frequency},
		{Name: "node_timex_pps_jitter_seconds", Value: float64(t.Jitter) / unit},
		{Name: "node_timex_pps_shift_seconds", Value: float64(t.Shift)},
		{Name: "node_timex_pps_stability_hertz", Value: float64(t.Stabil) / frequency},
		{Name: "node_timex_pps_jitter_total", Value: float64(t.Jitcnt)},
		{Name: "node_timex_pps_calibration_total", Value: float64(t.Calcnt)},
		{Name: "node_timex_pps_error_total", Value: float64(t.Errcnt)},
		{Name: "node_timex_pps_stability_exceeded_total", Value: float64(t.Stbcnt)},
		{Name: "node_timex_tai_offset_seconds", Value: float64(t.Tai)},
	}}, nil
}
