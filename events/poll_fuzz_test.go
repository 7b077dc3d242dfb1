package events_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"tidings/events"
)

// FuzzPollRequest: whatever a stranger sends is refused or read as it stands: what was read, written and read again is the
// same, and no member has a value that another reader of the same bytes could understand otherwise.
func FuzzPollRequest(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"maxEvents":1,"returnImmediately":true,"ack":["a","b"],"setErrs":{"c":{"err":"invalid_key","description":"no"}}}`,
		`{"ack":["a"],"ack":["b"]}`, `{"ACK":["a"]}`, `{"setErrs":{"a":{"err":"x"},"a":{"err":"y"}}}`, `{"setErrs":{"a":null}}`, `{"ack":[null]}`,
		`{"maxEvents":1e3}`, `{"maxEvents":-1}`, `{"maxEvents":9223372036854775808}`, `{"ack":null}`, "{\"ack\":[\"\xff\"]}", `[]`, `null`, ``, `{"ack":[]}{}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := events.ParsePollRequest(data)
		if err != nil {
			if !strings.Contains(err.Error(), "poll") || !reflect.DeepEqual(got, events.PollRequest{}) {
				t.Errorf("refused with %v, and %+v", err, got)
			}
			return
		}
		if got.MaxEvents != nil && *got.MaxEvents < 0 {
			t.Errorf("maxEvents %d", *got.MaxEvents)
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		again, err := events.ParsePollRequest(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if len(got.Ack) != len(again.Ack) || len(got.SetErrs) != len(again.SetErrs) || got.ReturnImmediately != again.ReturnImmediately {
			t.Errorf("%s is read as %+v, then as %+v", data, got, again)
		}
		for jti, said := range got.SetErrs {
			if again.SetErrs[jti] != said {
				t.Errorf("%q: %+v, then %+v", jti, said, again.SetErrs[jti])
			}
		}
	})
}

// PO-01 to PO-04, PB-14: a member of a wrong type, at any depth, or twice, refuses the whole request.
func TestPollRequestRefused(t *testing.T) {
	for _, text := range []string{
		`{"ack":[1]}`, `{"ack":[null]}`, `{"ack":{"a":1}}`, `{"ack":["a"],"ack":["b"]}`,
		`{"setErrs":["a"]}`, `{"setErrs":{"a":null}}`, `{"setErrs":{"a":"invalid_key"}}`, `{"setErrs":{"a":{"err":7}}}`, `{"setErrs":{"a":{"err":null}}}`,
		`{"setErrs":{"a":{"err":"x","err":"y"}}}`, `{"setErrs":{"a":{"err":"x"},"a":{"err":"y"}}}`, `{"setErrs":{"a":{"err":"x","description":7}}}`,
		`{"maxEvents":"1"}`, `{"maxEvents":1.5}`, `{"maxEvents":true}`, `{"returnImmediately":"true"}`, `{"returnImmediately":1}`,
	} {
		if got, err := events.ParsePollRequest([]byte(text)); err == nil {
			t.Errorf("%s is read as %+v", text, got)
		}
	}
	for text, err := range map[string]string{`{"setErrs":{"a":{}}}`: "", `{"setErrs":{"a":{"ERR":"x","err":"y"}}}`: "y"} {
		got, failed := events.ParsePollRequest([]byte(text))
		if failed != nil || got.SetErrs["a"].Err != err {
			t.Errorf("%s is read as %+v, %v", text, got, failed)
		}
	}
}
