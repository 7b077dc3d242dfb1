package events_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"tidings/events"
)

func marshal(t *testing.T, value any) string {
	t.Helper()
	out, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// The bodies look as they are documented, and say [] and {} where there is nothing.
func TestSharedBodies(t *testing.T) {
	hour, yes, state := int64(3600), true, ""
	subject := events.Opaque("s")
	zero := 0
	tests := []struct {
		id    string
		value any
		want  string
	}{
		{"page", events.Page{Cursor: "c", More: true, ExpiresIn: 2592000, Changes: []events.Item{
			{ID: "1", Subject: subject, Type: "User", Change: events.Updated, Attributes: []string{"emails"}, Version: `W/"12"`, MaxAge: &hour},
			{ID: "2", Subject: subject, Type: "User", Change: events.Removed, Reason: events.ReasonEnded},
		}}, `{"changes":[{"id":"1","subject":{"format":"opaque","id":"s"},"type":"User","change":"updated","attributes":["emails"],"version":"W/\"12\"","max_age":3600},` +
			`{"id":"2","subject":{"format":"opaque","id":"s"},"type":"User","change":"removed","reason":"ended"}],"cursor":"c","more":true,"expires_in":2592000}`},
		{"empty page", events.Page{Cursor: "c"}, `{"changes":[],"cursor":"c","more":false,"expires_in":0}`},
		{"first frame", events.Notice{Cursor: "c"}, `{"cursor":"c"}`},
		{"notice", events.Notice{Subject: subject, Cursor: "c"}, `{"subject":{"format":"opaque","id":"s"},"cursor":"c"}`},
		{"empty notices", events.Notices{Cursor: "c", Ticket: "t"}, `{"notices":[],"cursor":"c","ticket":"t"}`},
		{"PS-01", events.PollResponse{}, `{"sets":{}}`},
		{"PS-02", events.PollResponse{Sets: events.Sets{{"j", "a.b.c"}, {"a", "d.e.f"}}, MoreAvailable: true}, `{"sets":{"j":"a.b.c","a":"d.e.f"},"moreAvailable":true}`},
		{"PO-05", events.PollRequest{}, `{}`},
		{"PO-01", events.PollRequest{MaxEvents: &zero, ReturnImmediately: true, Ack: []string{"j"}, SetErrs: map[string]events.SetError{"k": {Err: "invalid_key"}}},
			`{"maxEvents":0,"returnImmediately":true,"ack":["j"],"setErrs":{"k":{"err":"invalid_key"}}}`},
		{"MD-20", events.Metadata{Issuer: "https://a", DeliveryMethodsSupported: []string{}, AuthorizationSchemes: []events.AuthorizationScheme{}}, `{"issuer":"https://a"}`},
		{"MD-11", events.Metadata{Issuer: "https://a", SpecVersion: events.SpecVersion, AuthorizationSchemes: []events.AuthorizationScheme{{SpecURN: events.SchemeOAuth}}},
			`{"spec_version":"1_0","issuer":"https://a","authorization_schemes":[{"spec_urn":"urn:ietf:rfc:6749"}]}`},
		{"SC-21", events.StreamConfiguration{StreamID: "s", Issuer: "i", Audience: events.Audience{"a"}, EventsDelivered: []events.Type{}},
			`{"stream_id":"s","iss":"i","aud":"a","events_delivered":[]}`},
		{"CR-01", events.StreamConfiguration{}, `{}`},
		{"SC-08", events.StreamConfiguration{Audience: events.Audience{"a", "b"}, Delivery: &events.Delivery{Method: events.MethodPush, EndpointURL: "https://r", AuthorizationHeader: "Bearer x"}},
			`{"aud":["a","b"],"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://r","authorization_header":"Bearer x"}}`},
		{"ST-01", events.StreamStatus{StreamID: "s", Status: events.StatusPaused}, `{"stream_id":"s","status":"paused"}`},
		{"SU-01", events.SubjectRequest{StreamID: "s", Subject: subject, Verified: &yes}, `{"stream_id":"s","subject":{"format":"opaque","id":"s"},"verified":true}`},
		{"VE-04", events.VerificationRequest{StreamID: "s", State: &state}, `{"stream_id":"s","state":""}`},
		{"VE-06", events.VerificationRequest{StreamID: "s"}, `{"stream_id":"s"}`},
	}
	for _, test := range tests {
		t.Run(test.id, func(t *testing.T) {
			got := marshal(t, test.value)
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			back := reflect.New(reflect.TypeOf(test.value))
			if err := json.Unmarshal([]byte(got), back.Interface()); err != nil {
				t.Fatal(err)
			}
			if again := marshal(t, back.Elem().Interface()); again != got {
				t.Errorf("read back as %s", again)
			}
		})
	}
}

// WK-01, WK-02: the well-known path stands between host and path.
func TestMetadataURL(t *testing.T) {
	tests := map[string]string{
		"https://tr.example":            "https://tr.example/.well-known/ssf-configuration",
		"https://tr.example/":           "https://tr.example/.well-known/ssf-configuration",
		"https://tr.example/issuer1":    "https://tr.example/.well-known/ssf-configuration/issuer1",
		"https://tr.example/issuer1/":   "https://tr.example/.well-known/ssf-configuration/issuer1",
		"https://tr.example:8443/a%2Fb": "https://tr.example:8443/.well-known/ssf-configuration/a%2Fb",
		"http://127.0.0.1:8080":         "http://127.0.0.1:8080/.well-known/ssf-configuration",
		"https://tr.example/?a=b":       "", // MD-02
		"https://tr.example/#a":         "",
		"https://ann@tr.example/":       "",
		"tr.example":                    "",
		"urn:tr":                        "",
		"":                              "",
	}
	for issuer, want := range tests {
		got, err := events.MetadataURL(issuer)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q and error %v, want %q", issuer, got, err, want)
		}
	}
}

func TestAudience(t *testing.T) {
	for in, want := range map[string]events.Audience{`"a"`: {"a"}, `["a"]`: {"a"}, `["a","b"]`: {"a", "b"}} {
		var got events.Audience
		if err := json.Unmarshal([]byte(in), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v (%v)", in, got, err)
		}
	}
	for _, bad := range []string{`""`, `[]`, `[""]`, `[1]`, `{}`, `1`} {
		if err := json.Unmarshal([]byte(bad), new(events.Audience)); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
	// UP-05, UP-13: order is of no matter where a receiver repeats what it was told.
	if !(events.Audience{"a", "b"}).Equal(events.Audience{"b", "a"}) || (events.Audience{"a", "b"}).Equal(events.Audience{"a"}) {
		t.Error("audiences are compared in order, or not wholly")
	}
}

func TestParsePollRequest(t *testing.T) {
	three := 3
	tests := []struct {
		id, in string
		want   *events.PollRequest // nil: refused
	}{
		{"PO-05", `{}`, &events.PollRequest{}},
		{"PO-05 other members", `{"extra":[{}],"Ack":"no"}`, &events.PollRequest{}},
		{"PO-01 to PO-04", `{"maxEvents":3,"returnImmediately":true,"ack":["a","b"],"setErrs":{"c":{"err":"invalid_key","description":"x"}}}`,
			&events.PollRequest{MaxEvents: &three, ReturnImmediately: true, Ack: []string{"a", "b"}, SetErrs: map[string]events.SetError{"c": {Err: "invalid_key", Description: "x"}}}},
		{"null is absent", `{"maxEvents":null,"returnImmediately":null,"ack":null,"setErrs":null}`, &events.PollRequest{}},
		{"PO-01 negative", `{"maxEvents":-1}`, nil},
		{"PO-01 fraction", `{"maxEvents":1.5}`, nil},
		{"PO-01 text", `{"maxEvents":"1"}`, nil},
		{"PO-02 text", `{"returnImmediately":"true"}`, nil},
		{"PO-03 text", `{"ack":"a"}`, nil},
		{"PO-03 numbers", `{"ack":[1]}`, nil},
		{"PO-04 array", `{"setErrs":["a"]}`, nil},
		{"member repeated", `{"ack":["a"],"ack":["b"]}`, nil},
		{"array", `[]`, nil},
		{"null", `null`, nil},
		{"nothing", ``, nil},
		{"too large", `{"a":"` + strings.Repeat("a", events.MaxPoll) + `"}`, nil},
	}
	for _, test := range tests {
		t.Run(test.id, func(t *testing.T) {
			got, err := events.ParsePollRequest([]byte(test.in))
			if test.want == nil {
				if !errors.Is(err, events.ErrInvalidRequest) {
					t.Errorf("error %v, want ErrInvalidRequest", err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, *test.want) {
				t.Errorf("got %+v (%v), want %+v", got, err, *test.want)
			}
		})
	}
}

func FuzzParsePollRequest(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"maxEvents":0,"ack":["a"]}`, `{"setErrs":{"a":{"err":"x"}}}`, `{"maxEvents":1e3}`, `{"ack":[null]}`, `[`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		request, err := events.ParsePollRequest(data)
		if err != nil {
			return
		}
		if request.MaxEvents != nil && *request.MaxEvents < 0 {
			t.Fatal("maxEvents is negative")
		}
		out, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		again, err := events.ParsePollRequest(out)
		if err != nil {
			t.Fatalf("%s is not read back: %v", out, err)
		}
		if same, err := json.Marshal(again); err != nil || string(same) != string(out) {
			t.Fatalf("%s is read back as %s (%v)", out, same, err)
		}
	})
}
