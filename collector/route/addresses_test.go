package route

import (
	"net/mail"
	"testing"
)

// TestAddressesCanBeRead: whatever somebody is called, a mail program reads back name and address.
func TestAddressesCanBeRead(t *testing.T) {
	for _, name := range []string{"Pat Client", "Miller, Pat", `Pat "the cable" Miller`, "Pat (Ops)", "a;b", `back\slash`, "Dr. Zoë Ünal", "x@y"} {
		text := addresses([]Person{{Name: name, Email: "pat@client.example"}, {Email: "joe@client.example"}})
		got, err := mail.ParseAddressList(text)
		if err != nil || len(got) != 2 || got[0].Name != name || got[0].Address != "pat@client.example" || got[1].Address != "joe@client.example" {
			t.Errorf("%q became %s, which reads as %v, %v", name, text, got, err)
		}
	}
}
