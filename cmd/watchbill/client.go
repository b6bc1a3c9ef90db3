package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector"
	"github.com/watchbill/watchbill/collector/api"
)

const (
	defaultURL = "http://127.0.0.1:9720"
	// tokenEnv overrides the token that lies in the storage.
	tokenEnv = "WATCHBILL_TOKEN"
	// callTimeout is longer than the collector's own, so that its words for being late arrive.
	callTimeout = 40 * time.Second
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 64 << 20
)

// connection is how a client command reaches a collector, from its flags.
type connection struct {
	url     string
	storage string
	output  string
}

// connect gives cmd and everything below it the flags of a client.
func connect(cmd *cobra.Command) *connection {
	c := &connection{}
	f := cmd.PersistentFlags()
	f.StringVar(&c.url, "url", defaultURL, "where the collector's operators' listener is; with https:// and an authority of your own, $SSL_CERT_FILE names its certificate")
	f.StringVar(&c.storage, "storage.path", collector.DefaultStoragePath(),
		"directory in which the operator's token lies ("+collector.TokenName+"); $"+tokenEnv+" overrides it")
	f.StringVarP(&c.output, "output", "o", "text", "text for people, json for programs (the API's objects, unchanged)")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// token finds the operator's token and tells where it is from. A missing one is no error yet: the collector says
// whether it wants one.
func (c *connection) token() (token, from string, err error) {
	if t := strings.TrimSpace(os.Getenv(tokenEnv)); t != "" {
		return t, "$" + tokenEnv, nil
	}
	file := filepath.Join(c.storage, collector.TokenName)
	info, err := os.Stat(file)
	if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", "", fmt.Errorf("%s can be read by others (mode %04o): run `chmod 600 %s`; if somebody did read it, "+
			"remove that operator and add a new one", file, info.Mode().Perm(), file)
	}
	b, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return "", file, nil
	case err != nil:
		return "", "", fmt.Errorf("read the operator's token: %w", err)
	}
	return strings.TrimSpace(string(b)), file, nil
}

// call sends one request and returns the answer's JSON as it came. in is the body, nil for none.
func (c *connection) call(ctx context.Context, method, path string, q url.Values, in any) (json.RawMessage, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, asked, err := c.send(ctx, method, path, q, body)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return c.answer(resp, asked)
}

// asked is the token that a request was sent with and where it is from.
type asked struct{ token, from string }

// send sends one request; body is JSON, nil for none. The caller closes the answer's body.
func (c *connection) send(ctx context.Context, method, path string, q url.Values, body io.Reader) (*http.Response, asked, error) {
	base, err := c.base()
	if err != nil {
		return nil, asked{}, err
	}
	target := strings.TrimSuffix(base.String(), "/") + api.Root + path
	if strings.HasPrefix(path, "/-/") || strings.HasPrefix(path, "/api/") { // what Prometheus and Alertmanager have there, too, stands beside the API
		target = strings.TrimSuffix(base.String(), "/") + path
	}
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, asked{}, usagef("--url %q: %v", c.url, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return c.do(req)
}

// do sends a request with the token. The caller closes the answer's body.
func (c *connection) do(req *http.Request) (resp *http.Response, as asked, err error) {
	if as.token, as.from, err = c.token(); err != nil {
		return nil, as, err
	}
	if as.token != "" {
		req.Header.Set("Authorization", "Bearer "+as.token)
	}
	req.Header.Set("Accept", "application/json")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if resp, err = client.Do(req); err != nil {
		return nil, as, c.unreachable(err)
	}
	return resp, as, nil
}

// base checks --url.
func (c *connection) base() (*url.URL, error) {
	u, err := url.Parse(c.url)
	switch {
	case (err != nil || u.Host == "") && !strings.ContainsAny(c.url, "/@"):
		return nil, usagef("--url: want http://HOST:PORT or https://HOST:PORT, got %q: say http://%s", c.url, c.url)
	case err != nil:
		return nil, usagef("--url: %v", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, usagef("--url: want http://HOST:PORT or https://HOST:PORT, got %q", c.url)
	case u.User != nil:
		return nil, usagef("--url: leave name and password out; the token is read from --storage.path or $%s", tokenEnv)
	}
	return u, nil
}

// errUnreachable marks that no collector answered at all.
var errUnreachable = errors.New("no collector answers")

func (c *connection) unreachable(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("the collector at %s speaks HTTP without TLS: say --url http://%s", c.url, strings.TrimPrefix(c.url, "https://"))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the collector at %s did not answer within %v: see its log", c.url, callTimeout)
	}
	why := err
	for next := errors.Unwrap(why); next != nil; next = errors.Unwrap(why) {
		why = next
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("the certificate of the collector at %s is of an authority that this host does not trust (%w): put that authority's "+
			"certificate into the system's store, or name its file in $SSL_CERT_FILE", c.url, why)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		switch op.Op {
		case "dial":
			return fmt.Errorf("%w at %s (%w): start one with `watchbill up`, or name another with --url", errUnreachable, c.url, why)
		case "proxyconnect":
			return fmt.Errorf("the proxy that $HTTP_PROXY or $HTTPS_PROXY names does not answer (%w): put the host of %s into $NO_PROXY "+
				"if it needs none", why, c.url)
		}
	}
	return fmt.Errorf("the line to the collector at %s failed: %w", c.url, why)
}

// answer reads a response: the object, or the collector's error in words for a person.
func (c *connection) answer(resp *http.Response, as asked) (json.RawMessage, error) {
	raw, err := c.body(resp)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 && json.Valid(raw) {
		return bytes.TrimSpace(raw), nil
	}
	var in struct{ Error *api.Error }
	if json.Unmarshal(raw, &in) != nil || in.Error == nil {
		return nil, c.stranger(resp)
	}
	switch {
	case in.Error.Code == "no_operators":
		return nil, in.Error
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, c.unauthorized(as)
	}
	in.Error.Status = resp.StatusCode
	return nil, in.Error
}

// body reads an answer whole, up to maxAnswer.
func (c *connection) body(resp *http.Response) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer of the collector at %s broke off: %w", c.url, err)
	case len(raw) > maxAnswer:
		return nil, fmt.Errorf("the answer of the collector at %s has more than %d MiB: ask for less", c.url, maxAnswer>>20)
	}
	return raw, nil
}

// unauthorized is what to do about a token that the collector does not take.
func (c *connection) unauthorized(as asked) error {
	if as.token == "" {
		return fmt.Errorf("the collector at %s wants an operator's token and there is none in %s: point --storage.path "+
			"at the collector's storage, or set $%s to a token that `watchbill operator add NAME` printed", c.url, as.from, tokenEnv)
	}
	return fmt.Errorf("the collector at %s does not know the token from %s: an administrator makes a new one with "+
		"`watchbill operator add NAME`", c.url, as.from)
}

// refusedToken is unauthorized where an answer has no code that tells a token from a collector with no operator yet: that is asked.
func (c *connection) refusedToken(ctx context.Context, as asked) error {
	if as.token == "" {
		var e *api.Error
		if _, err := c.call(ctx, http.MethodGet, "/", nil, nil); errors.As(err, &e) && e.Code == "no_operators" {
			return e
		}
	}
	return c.unauthorized(as)
}

// stranger is that what answers is no collector.
func (c *connection) stranger(resp *http.Response) error {
	return fmt.Errorf("%s answered %q, but not as a collector does: check --url%s", c.url, resp.Status, maybeTLS(resp))
}

func (c *connection) checkOutput() error {
	if c.output != "text" && c.output != "json" {
		return usagef("--output: want text or json, got %q", c.output)
	}
	return nil
}

// maybeTLS names what else a bad request can mean: a TLS listener answers so to a client that does not speak TLS.
func maybeTLS(resp *http.Response) string {
	if resp.StatusCode == http.StatusBadRequest && resp.TLS == nil {
		return " (with TLS it begins with https://)"
	}
	return ""
}

// ask calls and decodes the answer into out. With --output json it prints the answer instead and reports true.
func (c *connection) ask(cmd *cobra.Command, method, path string, q url.Values, in, out any) (printed bool, err error) {
	if err := c.checkOutput(); err != nil {
		return false, err
	}
	raw, err := c.call(cmd.Context(), method, path, q, in)
	if err != nil {
		return false, c.gate(cmd, err)
	}
	if c.output == "json" {
		return true, printJSON(cmd.OutOrStdout(), raw)
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return false, fmt.Errorf("the collector at %s answered something this release does not read (%w): use the same "+
			"release on both sides", c.url, err)
	}
	return false, nil
}

// gate prints the refusal of a gate as JSON where that was asked for; run prints it for people.
func (c *connection) gate(cmd *cobra.Command, err error) error {
	var e *api.Error
	if c.output != "json" || !errors.As(err, &e) || e.Gate == "" {
		return err
	}
	raw, err := json.Marshal(api.Refused{Error: *e, Gate: e.Gate, Missing: e.Missing})
	if err != nil {
		return fmt.Errorf("encode the refusal: %w", err)
	}
	return errors.Join(errSaid, printJSON(cmd.OutOrStdout(), raw))
}

// sayGate names a gate that refused and everything that is missing, one by line.
func sayGate(w io.Writer, e *api.Error) {
	fmt.Fprintf(w, "watchbill: refused: gate %s is missing:\n", clean(e.Gate))
	for _, m := range e.Missing {
		fmt.Fprintf(w, "  %s\n", clean(m))
	}
	for _, also := range e.Also {
		fmt.Fprintf(w, "gate %s is missing:\n", clean(also.Gate))
		for _, m := range also.Missing {
			fmt.Fprintf(w, "  %s\n", clean(m))
		}
	}
	if e.Code == "refused" { // not of a ticket, whose verbs say what to do
		fmt.Fprintf(w, "%s\n", clean(e.Hint))
	}
}

// printJSON prints a JSON value indented, in letters that do nothing to a terminal.
func printJSON(w io.Writer, raw []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	b.WriteByte('\n')
	_, err := w.Write(cleanJSON(b.Bytes()))
	return err
}
