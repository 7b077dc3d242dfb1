package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// An operator says what a party's streams may ask for, how its events name people and what its tokens hold, and lets
// values travel by policy (SC-04, CA-11, SV-13).
func TestOfferCommands(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	var added struct{ ID string }
	if err := json.Unmarshal([]byte(s.does("party", "add", "--name", "shop", "--events", "scim,session-revoked", "--claims", "email,dept=department", "--json")), &added); err != nil {
		t.Fatal(err)
	}
	id := added.ID
	var set struct {
		SubjectFormat string            `json:"subject_format"`
		Events        []string          `json:"events"`
		Claims        map[string]string `json:"claims"`
	}
	read := func(out string) {
		t.Helper()
		set.Events, set.Claims = nil, nil
		if err := json.Unmarshal([]byte(out), &set); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	read(s.does("party", "set", id, "--subject-format", "phone_number", "--json"))
	if set.SubjectFormat != "phone_number" || len(set.Events) < 5 || set.Claims["email"] != "emails" {
		t.Errorf("set %+v", set)
	}
	read(s.does("party", "set", id, "--events", "all", "--claims", "none", "--json"))
	if len(set.Events) != 0 || len(set.Claims) != 0 {
		t.Errorf("set %+v", set)
	}
	s.refuses(1, "not offered", "party", "set", id, "--events", "sessions-revoked")
	s.refuses(1, "neither a usual name", "party", "set", id, "--claims", "shoe_size")
	s.refuses(1, "iss_sub or email", "party", "add", "--name", "x", "--profile", "caep", "--subject-format", "opaque")

	shown := s.does("policy", "show")
	s.does("policy", "apply", s.write("policy.json", strings.Replace(shown, `"values": false`, `"values": true`, 1)))
	if now := s.does("policy", "show"); !strings.Contains(now, `"values": true`) {
		t.Errorf("policy %s", now)
	}
	s.refuses(2, "is no policy", "policy", "apply", s.write("bad.json", `{"valeus":true}`))
	s.refuses(2, "is no policy", "policy", "apply", s.write("more.json", shown+"}"))
	s.refuses(1, "unknown attribute", "policy", "apply", s.write("worse.json", `{"max_age":1000000000,"classes":[{"name":"x","attributes":["shoeSize"],"withheld":true}]}`))

	s.does("import", s.write("anna.ldif", "dn: uid=anna,dc=example\nobjectClass: inetOrgPerson\nuid: anna\ncn: Anna\nsn: Berg\n"))
	s.does("signal", "raise", "--user", "anna", "--type", "session-revoked", "--member", `session={"format":"jwt_id","iss":"https://idp.example","jti":"j1"}`)
	s.does("signal", "raise", "--user", "anna", "--type", "device-compliance-change", "--member", "device=d1",
		"--payload", `{"previous_status":"compliant","current_status":"not-compliant"}`)
}
