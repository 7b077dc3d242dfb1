package subscriptions_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings/events"
	. "tidings/subscriptions"
)

func push(url string) Settings {
	return Settings{Delivery: Delivery{Method: events.MethodPush, EndpointURL: url}}
}

func TestValidate(t *testing.T) {
	header := func(value string) Settings {
		s := push("https://rp.example/events")
		s.Delivery.AuthorizationHeader = value
		return s
	}
	method := func(method, url, header string) Settings {
		return Settings{Delivery: Delivery{Method: method, EndpointURL: url, AuthorizationHeader: header}}
	}
	for _, row := range []struct {
		id       string
		settings Settings
		insecure bool
		member   string // of the Invalid; "" for none
	}{
		{"CR-01", Settings{}, false, ""},
		{"SC-08 push", push("https://rp.example/events?x=1"), false, ""},
		{"SC-08 push without endpoint", push(""), false, "delivery.endpoint_url"},
		{"CR-04 unknown method", method("urn:example:pigeon", "", ""), false, "delivery.method"},
		{"CR-04 endpoint without method", method("", "https://rp.example/", ""), false, "delivery.method"},
		{"CR-10 http", push("http://rp.example/events"), false, "delivery.endpoint_url"},
		{"http permitted", push("http://rp.example/events"), true, ""},
		{"CR-10 ftp", push("ftp://rp.example/events"), true, "delivery.endpoint_url"},
		{"CR-10 relative", push("/events"), true, "delivery.endpoint_url"},
		{"CR-10 no host", push("https:///events"), true, "delivery.endpoint_url"},
		{"CR-10 opaque", push("https:rp.example"), true, "delivery.endpoint_url"},
		{"CR-10 userinfo", push("https://a:b@rp.example/"), true, "delivery.endpoint_url"},
		{"CR-10 fragment", push("https://rp.example/#"), true, "delivery.endpoint_url"},
		{"CR-10 line break", push("https://rp.example/\r\nX: y"), true, "delivery.endpoint_url"},
		{"CR-10 long", push("https://rp.example/" + strings.Repeat("a", 2048)), true, "delivery.endpoint_url"},
		{"CR-10 loopback", push("https://127.0.0.1/"), false, "delivery.endpoint_url"},
		{"CR-10 loopback v6", push("https://[::1]:8443/"), false, "delivery.endpoint_url"},
		{"CR-10 mapped", push("https://[::ffff:10.0.0.1]/"), false, "delivery.endpoint_url"},
		{"CR-10 private", push("https://192.168.1.1/"), false, "delivery.endpoint_url"},
		{"CR-10 metadata", push("https://169.254.169.254/latest"), false, "delivery.endpoint_url"},
		{"CR-10 localhost", push("https://LOCALHOST./"), false, "delivery.endpoint_url"},
		{"loopback permitted", push("http://127.0.0.1:8080/"), true, ""},
		{"CR-10 private beside it", push("http://10.0.0.1/"), true, "delivery.endpoint_url"},
		{"CR-10 metadata beside it", push("http://169.254.169.254/latest"), true, "delivery.endpoint_url"},
		{"public address", push("https://192.0.1.1/"), false, ""},
		{"SC-09", header("Bearer abc"), false, ""},
		{"SC-23 second header", header("Bearer abc\r\nX-Evil: 1"), false, "delivery.authorization_header"},
		{"DE-02 not verbatim", header("Bearer abc "), false, "delivery.authorization_header"},
		{"header is long", header(strings.Repeat("a", 4097)), false, "delivery.authorization_header"},
		{"DE-04", method(events.MethodPoll, "", ""), false, ""},
		{"DE-04 own URL", method(events.MethodPoll, "https://rp.example/", ""), false, "delivery.endpoint_url"},
		{"CR-04", method("urn:example:carrier-pigeon", "", ""), false, "delivery.method"},
		{"SC-09 poll", method(events.MethodPoll, "", "Bearer abc"), false, "delivery.authorization_header"},
		{"CR-10 a number that some take for an address", push("https://0x7f.1/"), false, "delivery.endpoint_url"},
		{"CR-10 likewise", push("https://2130706433/"), false, "delivery.endpoint_url"},
		{"a name with digits", push("https://4hosts.example2/"), false, ""},
	} {
		t.Run(row.id, func(t *testing.T) {
			_, err := row.settings.Validate(row.insecure)
			var invalid *Invalid
			if errors.As(err, &invalid) != (row.member != "") || invalid != nil && invalid.Member != row.member {
				t.Errorf("refused as %v, want %q", err, row.member)
			}
			if err != nil && strings.Contains(err.Error(), "abc") {
				t.Errorf("the error quotes the secret: %v", err)
			}
		})
	}
}

// CR-02: no delivery means poll. SC-11: a description is cut, by characters. SC-05: unknown types are kept, not refused.
func TestValidateKeeps(t *testing.T) {
	asked := []events.Type{"urn:example:later", "", events.Type(strings.Repeat("x", 513)), events.SessionRevoked}
	s, err := Settings{Description: strings.Repeat("ä", 1500), Requested: asked}.Validate(false)
	if err != nil || s.Delivery.Method != events.MethodPoll || s.Description != strings.Repeat("ä", 1000) {
		t.Errorf("%v: %q, %d bytes", err, s.Delivery.Method, len(s.Description))
	}
	if want := []events.Type{"urn:example:later", events.SessionRevoked}; !slices.Equal(s.Requested, want) {
		t.Errorf("keeps %q", s.Requested)
	}
	if asked[1] != "" {
		t.Error("the caller's list was written to")
	}
}

func TestDelivered(t *testing.T) {
	all := []Profile{Tidings, CAEP}
	for _, p := range all {
		if got := (Offer{Profile: p}).Delivered(Settings{}); !slices.Equal(got, (Offer{Profile: p}).Defaults()) || len(got) == 0 {
			t.Errorf("SC-20 %s: %v", p, got)
		}
		for _, d := range (Offer{Profile: p}).Defaults() {
			if !slices.Contains((Offer{Profile: p}).Supported(), d) {
				t.Errorf("SC-06 %s: default %s is not offered", p, d)
			}
		}
		for _, o := range (Offer{Profile: p}).Supported() {
			if definition, known := events.Lookup(o); !known || definition.Values {
				t.Errorf("%s offers %s, whose events hold values", p, o)
			}
		}
		got := Offer{Profile: p}.Delivered(Settings{Requested: []events.Type{"urn:example:later", events.SessionRevoked, events.FeedAdd, events.SessionRevoked}})
		if len(got) != 2 {
			t.Errorf("SC-05 SC-06 %s: %v", p, got)
		}
		for _, settings := range []Settings{{Requested: []events.Type{}}, {Requested: []events.Type{events.SessionsRevoked}}} {
			if text, _ := json.Marshal((Offer{Profile: p}).Delivered(settings)); string(text) != "[]" {
				t.Errorf("SC-21 %s: %s", p, text)
			}
		}
	}
}

// SC-21: an empty list is not the lack of one, also after it was kept as JSON.
func TestSettingsKeepAnEmptyList(t *testing.T) {
	for _, s := range []Settings{{}, {Requested: []events.Type{}}} {
		text, err := json.Marshal(s)
		var back Settings
		if err != nil || json.Unmarshal(text, &back) != nil || (back.Requested == nil) != (s.Requested == nil) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestProfiles(t *testing.T) {
	if AlgorithmFor(CAEP) != events.RS256 || AlgorithmFor(Tidings) != events.ES256 { // CI-13
		t.Error("algorithms are mixed up")
	}
	for _, want := range []string{events.MethodPush, events.MethodPoll, events.MethodWebsocket} { // MD-04, WS-01
		if !slices.Contains(MethodsSupported(), want) {
			t.Errorf("%s is not supported", want)
		}
	}
	for _, want := range []events.Type{events.SessionRevoked, events.CredentialChange, events.DeviceComplianceChange} { // CI-23 to CI-25
		if !slices.Contains((Offer{Profile: CAEP}).Defaults(), want) {
			t.Errorf("%s is not told", want)
		}
	}
}

// Whatever a stranger asks for: what is accepted can be dialled and sent as it stands.
func FuzzValidate(f *testing.F) {
	for _, seed := range []string{"https://rp.example/events", "http://[::1]", "https://a@b", "https://%6c/", "https://x\x7f", "//h", "https://h:1/?#"} {
		f.Add(events.MethodPush, seed, "Bearer abc", true)
		f.Add("", seed, "\r\n", false)
	}
	f.Fuzz(func(t *testing.T, method, url, header string, insecure bool) {
		s, err := Settings{Description: url, Delivery: Delivery{Method: method, EndpointURL: url, AuthorizationHeader: header}}.Validate(insecure)
		if err != nil || s.Delivery.Method != events.MethodPush {
			return
		}
		r, err := http.NewRequest(http.MethodPost, s.Delivery.EndpointURL, nil)
		if err != nil || r.URL.Hostname() == "" || r.URL.User != nil || r.URL.Scheme != "https" && !insecure {
			t.Errorf("accepted %q: %v", url, err)
		}
		if strings.ContainsAny(header, "\r\n\x00") {
			t.Errorf("accepted the header %q", header)
		}
	})
}

// SC-05: what is not understood is ignored, also when there is much of it.
func TestManyRequested(t *testing.T) {
	var asked []events.Type
	for i := range 200 {
		asked = append(asked, events.Type(fmt.Sprint("urn:example:", i)), events.SessionRevoked)
	}
	s, err := Settings{Requested: append(asked, events.ProvDelete)}.Validate(false)
	if err != nil || len(s.Requested) != 2 || !slices.Contains(s.Requested, events.SessionRevoked) || !slices.Contains(s.Requested, events.ProvDelete) {
		t.Errorf("%v, %v", s.Requested, err)
	}
}

// CR-10: an operator can admit addresses; http stays refused.
func TestAllowedReceivers(t *testing.T) {
	inside := netip.MustParsePrefix("10.1.0.0/16")
	for url, want := range map[string]bool{
		"https://10.1.2.3/": true, "https://10.2.2.3/": false, "http://10.1.2.3/": false, "https://localhost/": false, "https://[::ffff:10.1.2.3]/": true,
	} {
		_, err := Settings{Delivery: Delivery{Method: events.MethodPush, EndpointURL: url}}.Validate(false, inside)
		if (err == nil) != want {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A stream of digests is told those and signals; one that asks for everything has not chosen digests.
func TestDigestStreams(t *testing.T) {
	o := Offer{Profile: Tidings}
	for _, row := range []struct {
		ask, want []events.Type
	}{
		{[]events.Type{events.Digest}, []events.Type{events.Digest}},
		{[]events.Type{events.ProvPatchNotice, events.AccountDisabled, events.SessionRevoked, events.Digest},
			[]events.Type{events.SessionRevoked, events.Digest}},
		{o.Supported(), slices.DeleteFunc(o.Supported(), func(t events.Type) bool { return t == events.Digest })},
	} {
		if got := o.Delivered(Settings{Requested: row.ask}); !slices.Equal(got, row.want) {
			t.Errorf("%v: %v", row.ask, got)
		}
	}
	bounded := Offer{Types: []events.Type{events.SessionRevoked, events.FeedAdd}}
	if got := bounded.Delivered(Settings{Requested: []events.Type{events.Digest, events.FeedAdd}}); !slices.Equal(got, []events.Type{events.FeedAdd}) {
		t.Errorf("where digests are not offered: %v", got)
	}
	for seconds, fine := range map[int64]bool{-1: false, 0: true, 1: true, 86400: true, 86401: false} {
		s, err := Settings{DigestInterval: seconds}.Validate(false)
		if (err == nil) != fine || fine && seconds > 0 && s.DigestEvery() != time.Duration(seconds)*time.Second {
			t.Errorf("%d: %v", seconds, err)
		}
	}
}
