package ssf_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tidings/hub"
	"tidings/hub/schema"
)

const (
	addSubject    = "/ssf/subjects:add"
	removeSubject = "/ssf/subjects:remove"
)

// person makes somebody, granted to the receiver if there are attributes, and returns the receiver's subject of them.
func (tr *transmitter) person(userName string, granted ...string) string {
	tr.t.Helper()
	r, err := schema.Normalize(schema.User, map[string]any{"userName": userName})
	if err != nil {
		tr.t.Fatal(err)
	}
	results, err := tr.hub.Ingest(tr.t.Context(), hub.Report{Source: "test", Key: userName, Type: schema.User, Resource: &r})
	if err != nil || results[0].Err != nil {
		tr.t.Fatal(err, results)
	}
	if len(granted) > 0 {
		if _, err := tr.hub.Grant(tr.t.Context(), "test", hub.GrantRequest{UserName: userName, Party: tr.receiverParty.ID, Attributes: granted}); err != nil {
			tr.t.Fatal(err)
		}
	}
	s, err := tr.hub.SubjectFor(tr.t.Context(), tr.receiverParty, results[0].Entry)
	if err != nil {
		tr.t.Fatal(err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		tr.t.Fatal(err)
	}
	return string(text)
}

// title changes somebody's title.
func (tr *transmitter) title(userName, title string) {
	tr.t.Helper()
	r, err := schema.Normalize(schema.User, map[string]any{"userName": userName, "title": title})
	if err != nil {
		tr.t.Fatal(err)
	}
	if _, err := tr.hub.Ingest(tr.t.Context(), hub.Report{Source: "test", Key: userName, Type: schema.User, Resource: &r}); err != nil {
		tr.t.Fatal(err)
	}
}

// waiting counts the events that may leave now.
func (tr *transmitter) waiting(stream string) int {
	tr.t.Helper()
	id, err := hub.ParseID(stream)
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.now = tr.now.Add(time.Hour)
	out, _, err := tr.hub.Next(tr.t.Context(), id, "test", time.Minute, 100)
	if err != nil {
		tr.t.Fatal(err)
	}
	return len(out)
}

func about(stream, subject string) string {
	return `{"stream_id":"` + stream + `","subject":` + subject + `}`
}

// SU-01 to SU-04, SU-07, SU-09, SU-10, SU-12.
func TestSubjects(t *testing.T) {
	tr := open(t, "https://hub.example")
	anna := tr.person("anna", "title")
	id, _ := tr.create(`{}`)
	for range 2 { // SU-10
		if a := tr.want(204, "POST", removeSubject, about(id, anna)); len(a.raw) != 0 {
			t.Errorf("SU-04: %s", a.raw)
		}
	}
	tr.want(204, "POST", removeSubject, about(id, `{"format":"opaque","id":"`+id+`"}`))
	tr.title("anna", "Clerk")
	if n := tr.waiting(id); n != 0 {
		t.Errorf("SU-07: %d events of a subject that was removed", n)
	}
	for _, c := range []call{ // SU-12
		{"PATCH", streams, `{"stream_id":"` + id + `","description":"x"}`}, {"PUT", streams, `{"stream_id":"` + id + `"}`},
		{"POST", "/ssf/status", `{"stream_id":"` + id + `","status":"paused"}`}, {"POST", "/ssf/status", `{"stream_id":"` + id + `","status":"disabled"}`},
		{"POST", "/ssf/status", `{"stream_id":"` + id + `","status":"enabled"}`},
	} {
		tr.want(200, c.method, c.path, c.body)
	}
	tr.title("anna", "Cook")
	if n := tr.waiting(id); n != 0 {
		t.Errorf("SU-12: %d events of a subject that was removed", n)
	}
	tr.want(204, "POST", "/ssf/verify", `{"stream_id":"`+id+`"}`)
	if n := tr.waiting(id); n != 1 {
		t.Errorf("SU-09: %d events of the stream's own subject", n)
	}
	for _, verified := range []string{``, `,"verified":true`, `,"verified":false`, `,"verified":null`} { // SU-02, SU-10
		body := strings.TrimSuffix(about(id, anna), "}") + verified + "}"
		if a := tr.want(200, "POST", addSubject, body); len(a.raw) != 0 {
			t.Errorf("SU-01: %s", a.raw)
		}
	}
	if n := tr.waiting(id); n != 2 { // the verification comes again, it was not settled
		t.Errorf("SU-07: %d events of a subject that was added again", n-1)
	}
	tr.want(204, "DELETE", streams+"?stream_id="+id, "")
	tr.want(404, "POST", addSubject, about(id, anna))
}

// SU-03, PR-01: who is not there, was not granted, is another's or was never off the stream gets the answer of everybody.
func TestSubjectsTellNothing(t *testing.T) {
	tr := open(t, "https://hub.example")
	id, _ := tr.create(`{}`)
	subjects := map[string]string{
		"granted": tr.person("anna", "title"), "not granted": tr.person("bert"), "nobody": `{"format":"scim","uri":"/Users/` + hub.NewID().String() + `"}`,
		"no id": `{"format":"opaque","id":"x"}`, "address": `{"format":"email","email":"bert@example.com"}`, "phone (SI-03)": `{"format":"phone","phone_number":"+4930123456"}`,
		"another issuer's": `{"format":"iss_sub","iss":"https://other.example","sub":"x"}`, "complex": `{"format":"complex","tenant":{"format":"opaque","id":"t"}}`,
		"account": `{"format":"account","uri":"acct:bert@example.com"}`, "did": `{"format":"did","url":"did:web:example.com"}`,
	}
	for path, want := range map[string]int{addSubject: 200, removeSubject: 204} {
		var first answer
		for name, subject := range subjects {
			a := tr.send(tr.receiver, "POST", path, about(id, subject))
			a.header.Del("Date")
			if first.header == nil {
				first = a
			}
			if a.status != want || len(a.raw) != 0 || fmt.Sprint(a.header) != fmt.Sprint(first.header) {
				t.Errorf("%s %s: %d %v %s", path, name, a.status, a.header, a.raw)
			}
		}
	}
}

// SU-05, MA-07: 400 for what names nobody, and nothing of it in the answer.
func TestSubjectsBadInput(t *testing.T) {
	tr := open(t, "https://hub.example")
	anna := tr.person("anna", "title")
	id, _ := tr.create(`{}`)
	for _, body := range []string{
		``, `[]`, `{}`, `{"stream_id":"` + id + `"}`, `{"subject":` + anna + `}`, about(id, `null`), about(id, `7`), about(id, `[]`), about(id, `{}`), about(id, `"secret"`),
		about(id, `{"format":"secret"}`), about(id, `{"format":"email","email":"secret"}`), about(id, `{"format":"email","email":"secret@example.com","more":"x"}`),
		about(id, `{"format":"complex"}`), about(id, `{"format":"complex","secret":{"format":"opaque","id":"x"}}`), about(id, `{"format":"aliases","identifiers":[]}`),
		about(id, `{"format":"complex","user":{"format":"complex","user":{"format":"opaque","id":"secret"}}}`), `{"stream_id":7,"subject":` + anna + `}`,
		`{"stream_id":"` + id + `","subject":` + anna + `,"subject":` + anna + `}`, about(id, `{"format":"opaque","id":"`+strings.Repeat("x", 9000)+`"}`),
	} {
		for _, path := range []string{addSubject, removeSubject} {
			if a := tr.send(tr.receiver, "POST", path, body, "Content-Type", "application/json"); a.status != 400 || bytes.Contains(a.raw, []byte("secret")) {
				t.Errorf("%s %s: %d %s", path, body, a.status, a.raw)
			}
		}
	}
	tr.want(400, "POST", addSubject, `{"stream_id":"`+id+`","subject":`+anna+`,"verified":"yes"}`)
	tr.title("anna", "Clerk")
	if n := tr.waiting(id); n != 1 {
		t.Errorf("a refused request changed something: %d events", n)
	}
}
