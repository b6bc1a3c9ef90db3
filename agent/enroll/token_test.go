package enroll

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

var goodToken = Token{Address: "[2001:db8::1]:9721", Fingerprint: strings.Repeat("ab", 32), ID: "k3y", Secret: "k3y.s3cret"}

func TestTokenRoundTrip(t *testing.T) {
	got, err := ParseToken(" \n" + goodToken.String() + "\n")
	if err != nil || got != goodToken {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestParseTokenRefuses(t *testing.T) {
	raw := func(json string) string { return tokenPrefix + base64.RawURLEncoding.EncodeToString([]byte(json)) }
	with := func(change func(*Token)) string { x := goodToken; change(&x); return x.String() }
	for _, tt := range []struct{ name, text, says string }{
		{"empty", " \n", "empty"},
		{"another kind", "wbo_abc", "does not begin with"},
		{"in two lines", goodToken.String()[:20] + "\n" + goodToken.String()[20:], "white space inside"},
		{"cut off", goodToken.String()[:60], "cut off"},
		{"not base64", tokenPrefix + "!!", "damaged"},
		{"huge", tokenPrefix + strings.Repeat("A", maxToken), "letters long"},
		{"unknown field", raw(`{"a":"h:1","z":1}`), "damaged"},
		{"something after it", raw(`{"a":"h:1"}{}`), "follows its end"},
		{"no port", with(func(x *Token) { x.Address = "collector" }), "host:port"},
		{"no host", with(func(x *Token) { x.Address = ":9721" }), "host:port"},
		{"port of letters", with(func(x *Token) { x.Address = "c:https" }), "port between"},
		{"short fingerprint", with(func(x *Token) { x.Fingerprint = "abcd" }), "fingerprint"},
		{"no secret", with(func(x *Token) { x.Secret = "" }), "secret is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseToken(tt.text)
			if !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "watchbill token create") {
				t.Errorf("error %v, want one about %q that says what to do", err, tt.says)
			}
			if err != nil && strings.Contains(err.Error(), goodToken.Secret) {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(goodToken.String())
	f.Add("wb1.e30")
	f.Add("wb1.")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseToken(text)
		if err != nil {
			return
		}
		again, err := ParseToken(got.String())
		if err != nil || again != got {
			t.Errorf("%q read as %+v, written and read again as %+v, %v", text, got, again, err)
		}
	})
}
