package oauth

import (
	"encoding/base64"
	"net/url"
	"testing"
)

// FuzzBasic: no header makes the parser panic, and what it takes is exactly what a client that encodes as RFC 6749 section
// 2.3.1 says would have sent.
func FuzzBasic(f *testing.F) {
	f.Add("Basic "+base64.StdEncoding.EncodeToString([]byte("a%3Ab:c+d")), "a:b", "c d")
	f.Add("basic  QTpC", "%", ":")
	f.Add("Basic", "", "x")
	f.Add("Bearer x", "ä", "\x00")
	f.Fuzz(func(t *testing.T, header, client, secret string) {
		if c, s, ok := parseBasic(header); ok && (c == "" || s == "") || !ok && (c != "" && s != "") {
			t.Fatalf("%q gives %q %q %v", header, c, s, ok)
		}
		if len(client)+len(secret) > 300 {
			return
		}
		sent := "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(client)+":"+url.QueryEscape(secret)))
		c, s, ok := parseBasic(sent)
		if ok != (client != "" && secret != "") || ok && (c != client || s != secret) {
			t.Fatalf("%q %q was read as %q %q %v", client, secret, c, s, ok)
		}
	})
}
