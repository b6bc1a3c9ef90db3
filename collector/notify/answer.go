package notify

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/watchbill/watchbill/collector/outbox"
)

// How much of a receiver's answer is read at all, and how much of it is shown, in bytes.
const (
	maxAnswer = 4096
	maxShown  = 200
)

// judge reads an HTTP answer and closes it: nil for 2xx; an error wrapping outbox.ErrRefused where the same call again
// would be answered the same; any other error where a later one may not. Retry-After (RFC 9110, 10.2.3) is passed on as
// *outbox.RetryAfter.
func judge(resp *http.Response, now time.Time) error {
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // the status decides; the text is for people
	code := resp.StatusCode
	if code >= 200 && code < 300 {
		return nil
	}
	err := fmt.Errorf("it answered %d %s", code, http.StatusText(code))
	if text := shown(b); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	switch {
	case code >= 300 && code < 400:
		return fmt.Errorf("%w: %w; it sends calls elsewhere: set url to where it wants them", outbox.ErrRefused, err)
	case final(code):
		return fmt.Errorf("%w: %w", outbox.ErrRefused, err)
	}
	if wait, ok := retryAfter(resp.Header.Get("Retry-After"), now); ok {
		return &outbox.RetryAfter{Wait: wait, Err: err}
	}
	return err
}

// final tells whether the same call again would be answered the same: all 4xx but those that speak of this moment
// (RFC 9110, 15.5; RFC 6585; RFC 4918; RFC 8470).
func final(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusLocked, http.StatusTooEarly,
		http.StatusTooManyRequests:
		return false
	}
	return code >= 400 && code < 500
}

// retryAfter reads seconds or an HTTP date; false when there is neither, or it has passed.
func retryAfter(h string, now time.Time) (time.Duration, bool) {
	if h == "" {
		return 0, false
	}
	if s, err := strconv.ParseUint(h, 10, 31); err == nil {
		return time.Duration(s) * time.Second, s > 0
	}
	t, err := http.ParseTime(h)
	if err != nil {
		return 0, false
	}
	return t.Sub(now), t.After(now)
}

// shown is the beginning of an answer as it may stand in a log, a terminal or a page: one line of printable text, at
// most maxShown bytes.
func shown(b []byte) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return '.'
		}
		return r
	}, strings.ToValidUTF8(string(b), "."))
	clean = strings.Join(strings.Fields(clean), " ")
	if len(clean) <= maxShown {
		return clean
	}
	return strings.ToValidUTF8(clean[:maxShown], "") + "…"
}

// readFull reads up to len(b) bytes; a short file is no error.
func readFull(r io.Reader, b []byte) (int, error) {
	n, err := io.ReadFull(r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}
