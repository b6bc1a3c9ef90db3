package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/watchbill/watchbill/agent/enroll"
)

// operator asks the collector's operators' API for tokens, as an administrator.
type operator struct {
	url    string
	token  string
	client *http.Client
}

// Where an administrator's token is looked for, beside --token-file.
const (
	tokenName = "operator.token"
	tokenEnv  = "WATCHBILL_TOKEN"
)

// callTimeout bounds one call; maxAnswer what is read of an answer.
const (
	callTimeout = time.Minute
	maxAnswer   = 1 << 20
)

// newOperator checks where the API is and finds the token: in a file, in a collector's storage, or in the environment.
func newOperator(base, file, storage string) (*operator, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("--url %q: want http://HOST:PORT or https://HOST:PORT", base)
	}
	token, err := operatorToken(file, storage)
	if err != nil {
		return nil, err
	}
	return &operator{url: strings.TrimSuffix(base, "/"), token: token, client: &http.Client{
		Timeout:       callTimeout,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func operatorToken(file, storage string) (string, error) {
	if file == "" && storage != "" {
		file = filepath.Join(storage, tokenName)
	}
	if file == "" {
		if t := strings.TrimSpace(os.Getenv(tokenEnv)); t != "" {
			return t, nil
		}
		return "", fmt.Errorf("an administrator's token is needed: name the collector's storage with --collector-storage, "+
			"a file with --token-file, or set $%s", tokenEnv)
	}
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no operator's token in %s: `watchbill up` leaves one in its storage, `watchbill operator add` prints one", file)
	}
	if err != nil {
		return "", fmt.Errorf("read the operator's token: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// apiError is the collector's refusal.
type apiError struct {
	status int
	text   string
}

func (e *apiError) Error() string {
	return fmt.Sprintf("the collector answered %d: %s", e.status, e.text)
}

// enrolment asks for a token that enrols one agent.
func (o *operator) enrolment(ctx context.Context, a planned) (enroll.Token, error) {
	body, err := json.Marshal(map[string]string{"customer": a.Customer, "site": a.Site, "asset": a.Name})
	if err != nil {
		return enroll.Token{}, fmt.Errorf("encode the request for a token: %w", err)
	}
	var made struct {
		Text string `json:"text"`
	}
	if err := o.call(ctx, http.MethodPost, "/api/watchbill/v1/tokens", body, &made); err != nil {
		return enroll.Token{}, fmt.Errorf("token for %s: %w", a.Name, err)
	}
	t, err := enroll.ParseToken(made.Text)
	if err != nil {
		return enroll.Token{}, fmt.Errorf("token for %s: %w", a.Name, err)
	}
	return t, nil
}

// call sends one request and decodes its answer.
func (o *operator) call(ctx context.Context, method, path string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, o.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+o.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := o.client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: is the collector's operators' listener at %s?", err, o.url)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the collector's answer: %w", err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		var said struct {
			Error struct {
				Message string `json:"message"`
				Hint    string `json:"hint"`
			} `json:"error"`
		}
		e := &apiError{status: resp.StatusCode, text: http.StatusText(resp.StatusCode)}
		if json.Unmarshal(raw, &said) == nil && said.Error.Message != "" {
			e.text = strings.TrimSpace(said.Error.Message + ": " + said.Error.Hint)
		}
		return e
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s answered what a collector does not (%w): check --url", o.url, err)
	}
	return nil
}
