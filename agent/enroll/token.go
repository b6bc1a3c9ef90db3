// Package enroll gives an agent its identity: a one-time token becomes a key that never leaves the host, a certificate
// of the collector's own small authority, and later its renewal. The collector chooses who the agent is; the agent
// trusts exactly the authority whose fingerprint the token carried (DESIGN D7).
package enroll

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// tokenPrefix names the token's format; another format gets another prefix.
const tokenPrefix = "wb1."

// maxToken bounds the text of a token: an address of 253 letters and what else is in it fit many times over.
const maxToken = 4096

// ErrToken is wrapped by errors about the text of a token: the token cannot be used, however often it is tried.
var ErrToken = errors.New("token cannot be used")

// Token is what `watchbill token create` prints: where the collector is, how to know it, and the right to enrol once.
//
// Text form: `wb1.` followed by the unpadded base64url of the JSON object
// {"a": collector's host:port, "f": hex SHA-256 of its CA certificate's DER, "i": id, "s": secret}.
type Token struct {
	// Address is the collector's agents' listener as host:port; IPv6 in brackets.
	Address string `json:"a"`
	// Fingerprint is the SHA-256 of the CA certificate's DER in lower-case hexadecimal.
	Fingerprint string `json:"f"`
	// ID names the token for people; it is not secret.
	ID string `json:"i"`
	// Secret is what the collector checks.
	Secret string `json:"s"`
}

// String is the token's text. It holds the secret: do not log it.
func (t Token) String() string {
	raw, err := json.Marshal(t)
	if err != nil { // four strings always marshal
		panic(err)
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
}

// ParseToken reads a token's text, white space around it ignored. Errors wrap ErrToken, say what is wrong with it and
// never repeat it.
func ParseToken(text string) (Token, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return Token{}, badToken("it is empty")
	case len(text) > maxToken:
		return Token{}, badToken("it is %d letters long, more than any token is", len(text))
	case strings.ContainsAny(text, " \t\r\n"):
		return Token{}, badToken("there is white space inside it: it is one line and must be copied whole")
	}
	encoded, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok {
		return Token{}, badToken("it does not begin with %q", tokenPrefix)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return Token{}, badToken("it is damaged (%v)", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	var t Token
	if err := d.Decode(&t); err != nil {
		return Token{}, badToken("it is damaged or was cut off (%v)", err)
	}
	if d.More() {
		return Token{}, badToken("something follows its end")
	}
	return t, t.check()
}

func (t Token) check() error {
	if err := checkAddress(t.Address); err != nil {
		return badToken("%v", err)
	}
	if raw, err := hex.DecodeString(t.Fingerprint); err != nil || len(raw) != sha256.Size {
		return badToken("its fingerprint is not a SHA-256 in hexadecimal")
	}
	if t.ID == "" || t.Secret == "" {
		return badToken("its id or secret is missing")
	}
	return nil
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Errorf("collector address %q is not host:port (IPv6 as [2001:db8::1]:9721)", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("collector address %q has no port between 1 and 65535", address)
	}
	return nil
}

func badToken(format string, args ...any) error {
	return fmt.Errorf("%w: %s: make a new one with `watchbill token create` and copy all of it", ErrToken, fmt.Sprintf(format, args...))
}
