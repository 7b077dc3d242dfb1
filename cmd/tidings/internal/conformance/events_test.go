package conformance

import (
	"slices"
	"strings"
	"time"
)

const (
	scim = "urn:ietf:params:scim:event:"
	caep = "https://schemas.openid.net/secevent/caep/event-type/"
	risc = "https://schemas.openid.net/secevent/risc/event-type/"
)

// listener takes what is pushed on a stream, in order, and looks at each token and its payload.
type listener struct {
	*hook
	stream object
	heard  int
}

func (t *try) listen(requested []string) *listener {
	h := t.hook()
	body := object{"delivery": object{"method": "urn:ietf:rfc:8935", "endpoint_url": h.url}}
	if requested != nil {
		body["events_requested"] = requested
	}
	return &listener{h, t.create(body), 0}
}

// next are the next n tokens.
func (l *listener) next(n int, rows string) (sets []*set) {
	for range n {
		l.heard++
		s := l.t.accept(l.await(l.heard, rows).body, l.stream)
		l.t.fits(s, l.stream)
		sets = append(sets, s)
	}
	return sets
}

// until takes tokens until one matches.
func (l *listener) until(rows string, match func(*set) bool) (s *set) {
	l.t.need(eventually(l.t.patience, func() bool {
		s = l.next(1, rows)[0]
		return match(s)
	}), rows, "the token did not come")
	return s
}

// short are the events of some tokens without their common beginnings.
func short(sets []*set) (list []string) {
	for _, s := range sets {
		name := s.event
		for _, prefix := range []string{scim, caep, risc} {
			name = strings.TrimPrefix(name, prefix)
		}
		list = append(list, name)
	}
	return list
}

// required are the members that an event's payload must have, and the values that some may have.
var required = map[string]map[string][]string{
	caep + "session-revoked":                    {},
	caep + "credential-change":                  {"credential_type": nil, "change_type": {"create", "revoke", "update", "delete"}},
	caep + "assurance-level-change":             {"namespace": {"RFC8176", "RFC6711", "ISO-IEC-29115", "NIST-IAL", "NIST-AAL", "NIST-FAL"}, "current_level": nil},
	caep + "device-compliance-change":           {"previous_status": {"compliant", "not-compliant"}, "current_status": {"compliant", "not-compliant"}},
	caep + "session-established":                {},
	caep + "session-presented":                  {},
	caep + "risk-level-change":                  {"principal": {"USER", "DEVICE", "SESSION", "TENANT", "ORG_UNIT", "GROUP"}, "current_level": {"LOW", "MEDIUM", "HIGH"}},
	risc + "account-credential-change-required": {},
	risc + "account-purged":                     {},
	risc + "account-disabled":                   {},
	risc + "account-enabled":                    {},
	risc + "identifier-changed":                 {},
	risc + "identifier-recycled":                {},
	risc + "credential-compromise":              {"credential_type": nil},
	risc + "recovery-activated":                 {},
	risc + "recovery-information-changed":       {},
}

// payloadRows are the rows that fits looks at in every token of a change.
const payloadRows = "SC-06 SU-06 CA-01 CA-02 CA-03 CA-04 CA-05 CA-06 SV-06 SV-07 SV-08 "

// fits looks at what a token says: a type that the stream gets, with the members that the type has.
func (t *try) fits(s *set, stream object) {
	own := strings.Contains(s.event, "/secevent/ssf/") // about the stream itself: needs no asking (VE-07, SE-05)
	t.check(own || slices.Contains(texts(stream["events_delivered"]), s.event), "SC-06 SU-06", "%s is not among events_delivered", s.event)
	for name, values := range required[s.event] {
		value, ok := s.payload[name].(string)
		row := map[string]string{
			"credential-change": "CA-12", "assurance-level-change": "CA-13", "device-compliance-change": "CA-14", "risk-level-change": "CA-17", "credential-compromise": "RI-07",
		}[s.event[strings.LastIndexByte(s.event, '/')+1:]]
		t.check(ok && value != "" && (values == nil || slices.Contains(values, value)), row, "%s of %s is %v", name, s.event, s.payload[name])
	}
	switch {
	case strings.HasPrefix(s.event, caep):
		at, ok := s.payload["event_timestamp"].(float64)
		now := float64(time.Now().Unix())
		t.check(ok && at <= now+1 && at > now-600, "CA-01 CA-05", "event_timestamp is %v", s.payload["event_timestamp"])
		if s.event == changed {
			kind, _ := s.payload["credential_type"].(string)
			for name, of := range map[string]string{"x509_issuer": "x509", "x509_serial": "x509", "fido2_aaguid": "fido2"} {
				t.check(s.payload[name] == nil || strings.HasPrefix(kind, of), "CA-25", "%s of %s", name, kind)
			}
		}
		who, present := s.payload["initiating_entity"]
		t.check(!present || slices.Contains([]any{"admin", "user", "policy", "system"}, who), "CA-02", "initiating_entity is %v", who)
		for name, rows := range map[string]string{"reason_admin": "CA-03 CA-06", "reason_user": "CA-04 CA-06"} {
			reason, present := s.payload[name]
			says, _ := reason.(object)
			good := !present || len(says) > 0
			for _, words := range says {
				w, ok := words.(string)
				good = good && ok && w != ""
			}
			t.check(good, rows, "%s is %v", name, reason)
		}
		t.check(!strings.Contains(text(s.payload["reason_user"]), "@"), "CA-07", "reason_user is %v", s.payload["reason_user"])
	case strings.HasPrefix(s.event, scim):
		_, data := s.payload["data"]
		attributes, named := s.payload["attributes"]
		t.check(data == strings.HasSuffix(s.event, ":full"), "SV-07", "%s carries data: %t", s.event, data)
		if strings.HasSuffix(s.event, ":notice") || strings.HasSuffix(s.event, ":full") {
			t.check(data != named, "SV-08", "%s has data: %t, attributes: %t", s.event, data, named)
		}
		if named {
			t.check(len(texts(attributes)) > 0, "SV-06", "attributes is %v", attributes)
		}
		version, present := s.payload["version"]
		_, isText := version.(string)
		t.check(!present || isText, "SV-06", "version is %v", version)
	}
}

// isSCIM: the token's subject is the resource itself.
func (t *try) isSCIM(s *set, who person) {
	t.check(s.subject["format"] == "scim" && s.subject["uri"] == who.uri, "SV-02 SV-14", "%s names %v, not %s", s.event, s.subject, who.uri)
	t.check(!strings.Contains(text(s.claims), who.entry), "PR-05", "the token holds the directory's own id")
}

// isPerson: the token's subject is the person as CAEP and RISC name one.
func (t *try) isPerson(s *set, who person) {
	user := s.subject
	if inner, ok := user["user"].(object); ok {
		user = inner
	}
	t.check(user["format"] == "iss_sub" && user["iss"] == t.program.issuer && user["sub"] == who.opaque(), "CI-12 PR-05 FM-04", "%s names %v, not %s", s.event, s.subject, who.opaque())
}

// life: what a receiver is told from the grant to its end.
func life(t *try) {
	l := t.listen(nil)
	none := t.program.newPerson(object{"title": "Nobody's"}) // nobody granted anything: nothing is told
	who := t.program.newPerson(object{"title": "Clerk", "displayName": "Anna", "nickName": "Annie",
		"phoneNumbers": []any{object{"value": "+4930901820", "primary": true}}, "emails": []any{object{"value": "anna@old.example", "primary": true}}})
	t.allow(t.program, &who, granted)
	s := l.next(1, "MP-18 SV-20")[0]
	t.check(s.event == scim+"feed:add", "MP-18 SV-20 MP-01", "a grant is told as %s", s.event)
	t.isSCIM(s, who)

	before := time.Now().Unix()
	t.program.patch(none, object{"title": "Still nobody's"})
	t.program.patch(who, object{"displayName": "A. Berg"}) // was not granted
	t.program.patch(who, object{"title": "Head Clerk", "displayName": "Anna Berg"})
	s = l.next(1, "MP-02 SV-24")[0]
	t.check(s.event == patched, "MP-02 SV-24 EV-12 PR-03 PR-08", "a change is told as %s", s.event)
	t.check(same(texts(s.payload["attributes"]), []string{"title"}), "MP-02 SV-24 EV-12 PR-08", "told are %v", s.payload["attributes"])
	t.check(!strings.Contains(text(s.claims), "Head Clerk"), "SV-07 PR-06", "a notice holds the value")
	t.isSCIM(s, who)

	t.program.patch(who, object{"active": false})
	three := l.next(3, "MP-05 SV-30 RI-03")
	t.check(three[0].event == revoked, "MP-05", "of a disabling comes first %s", three[0].event)
	t.check(same(short(three[1:]), []string{"prov:deactivate", "account-disabled"}), "MP-05 MP-08 SV-30 RI-03", "of a disabling came %v", short(three))
	t.check(three[0].txn == three[1].txn && three[1].txn == three[2].txn && three[0].txn != s.txn, "SP-09 SV-05", "the tokens of one change have the causes %s %s %s", three[0].txn, three[1].txn, three[2].txn)
	at, _ := three[0].payload["event_timestamp"].(float64)
	t.check(int64(at) >= before && int64(at) <= time.Now().Unix(), "MP-32 CA-01", "event_timestamp is %v", at)
	for _, s := range three {
		if strings.HasPrefix(s.event, scim) {
			t.isSCIM(s, who)
		} else {
			t.isPerson(s, who)
		}
	}
	t.program.patch(who, object{"active": true})
	two := l.next(2, "MP-06 SV-29 RI-04 MP-30")
	t.check(same(short(two), []string{"prov:activate", "account-enabled"}), "MP-06 SV-29 RI-04 MP-30", "of an enabling came %v", short(two))

	t.program.patch(who, object{"password": "correct horse battery"})
	two = l.next(2, "MP-09")
	t.check(same(short(two), []string{"credential-change", "prov:patch:notice"}), "MP-09 CA-12", "of a new password came %v", short(two))
	for _, s := range two {
		if s.event == changed {
			t.check(s.payload["credential_type"] == "password" && s.payload["change_type"] == "update", "MP-09 CA-12 CA-20 CA-21", "of a new password: %v", s.payload)
		} else {
			t.check(same(texts(s.payload["attributes"]), []string{"password"}), "MP-09", "of a new password: %v", s.payload)
		}
		t.check(!strings.Contains(text(s.claims), "correct horse"), "MP-09", "the password is told")
	}

	t.program.patch(who, object{"emails": []any{object{"value": "anna@new.example", "primary": true}}})
	two = l.next(2, "MP-03 RI-05")
	t.check(same(short(two), []string{"identifier-changed", "prov:patch:notice"}), "MP-03 RI-05", "of a new address came %v", short(two))
	for _, s := range two {
		if s.event == risc+"identifier-changed" {
			t.check(s.subject["format"] == "email" && s.subject["email"] == "anna@old.example", "RI-05 MP-03", "the subject is %v", s.subject)
		} else {
			t.isSCIM(s, who) // the id stays
			t.check(s.subject["uri"] == who.uri, "MP-04", "a rename gave another id")
		}
		t.check(!strings.Contains(text(s.claims), "anna@new"), "PR-08", "the new address is told")
	}

	t.program.patch(who, object{"phoneNumbers": []any{object{"value": "+49 30 901821", "primary": true}}})
	two = l.next(2, "RI-23")
	for _, s := range two {
		if s.event == risc+"identifier-changed" {
			t.check(text(s.subject) == text(object{"format": "phone_number", "phone_number": "+4930901820"}), "RI-23", "the subject is %v", s.subject)
		}
	}
	t.check(same(short(two), []string{"identifier-changed", "prov:patch:notice"}), "RI-23", "of a new number came %v", short(two))

	// A narrower grant names what it took away, once, without its value.
	t.allow(t.program, &who, "title,emails,phoneNumbers,userName")
	s = l.next(1, "MP-19")[0]
	t.check(s.event == patched && same(texts(s.payload["attributes"]), []string{"nickName"}), "MP-19", "of a narrowed grant came %s %v", s.event, s.payload)
	t.check(!strings.Contains(text(s.claims), "Annie"), "MP-19", "the value is told")
	t.program.patch(who, object{"nickName": "Nan"})

	t.program.tidings(nil, "grant", "revoke", who.grant)
	s = l.next(1, "MP-20 SV-21")[0]
	t.check(s.event == scim+"feed:remove", "MP-20 SV-21 PR-12 PR-03", "an end is told as %s", s.event)
	t.isSCIM(s, who)
	t.program.patch(who, object{"title": "Director"})

	gone := t.program.newPerson(object{"title": "Leaver"})
	t.allow(t.program, &gone, granted)
	s = l.next(1, "MP-20 PR-12")[0]
	t.check(s.event == scim+"feed:add" && s.subject["uri"] == gone.uri, "MP-20 PR-12", "after the end came %s", s.event)
	t.program.call("DELETE", "/scim/v2/Users/"+gone.entry, t.program.directory, "")
	three = l.next(3, "MP-07 SV-28 RI-02")
	t.check(same(short(three), []string{"session-revoked", "prov:delete", "account-purged"}), "MP-07 SV-28 RI-02", "of a deletion came %v", short(three))
	for _, s := range three {
		if s.event == scim+"prov:delete" {
			t.isSCIM(s, gone)
			t.check(s.payload["data"] == nil && s.payload["attributes"] == nil, "SV-28", "prov:delete carries %v", s.payload)
		}
	}
}

// twoReceivers: each is told of the same change in words of its own, of which nothing can be joined.
func twoReceivers(t *try) {
	other := t.beside()
	defer t.program.give("tidings", other.party)
	theirOwn := t.person
	other.allow(t.program, &theirOwn, granted)
	// Before the other party is taken again: it would hear what the next try does to this person.
	defer func() { t.program.tidings(nil, "grant", "revoke", theirOwn.grant) }()
	mine, theirs := t.listen(nil), other.listen(nil)
	t.program.patch(t.person, object{"title": "Known to two"})
	a, b := mine.next(1, "SP-08")[0], theirs.next(1, "SP-08")[0]
	t.failures = append(t.failures, other.failures...)
	t.closing = append(t.closing, other.closing...)
	t.check(a.event == patched && b.event == patched, "SP-08", "came %s and %s", a.event, b.event)
	t.check(a.jti != b.jti && text(a.claims["aud"]) != text(b.claims["aud"]), "SP-08 DE-09", "two receivers share %s for %v", a.jti, a.claims["aud"])
	t.check(text(a.subject) != text(b.subject) && a.txn != b.txn, "EV-13", "two receivers can join %v", a.subject)
	for _, s := range []*set{a, b} {
		t.check(strings.HasPrefix(audience(s.claims["aud"])[0], "urn:"), "EV-11", "aud is %v", s.claims["aud"])
	}
}

// agreement: a party under an agreement learns of who joins, without anybody's grant.
func agreement(t *try) {
	l := t.listen(nil)
	who := t.program.newPerson(object{"title": "New here"})
	// Others come and go meanwhile: who it is about says the fetched title.
	s := l.until("SV-22 PR-07 MP-01", func(s *set) bool {
		uri, _ := s.subject["uri"].(string)
		id := uri[strings.LastIndexByte(uri, '/')+1:]
		_, _, body := t.program.call("GET", "/subjects/"+id, t.token, "")
		return strings.HasPrefix(uri, "/Users/") && answer{body: body}.object()["title"] == "New here"
	})
	t.check(s.event == scim+"prov:create:notice", "SV-22 PR-07 MP-01", "a new person is told as %s", s.event)
	full := t.listen([]string{scim + "prov:create:full"})
	created := t.program.newPerson(object{"title": "Told in full"})
	all := full.until("SV-23", func(s *set) bool { return strings.Contains(text(s.payload["data"]), "Told in full") })
	data, _ := all.payload["data"].(object)
	t.check(strings.HasSuffix(text(all.subject["uri"]), text(data["id"])[1:]) && !strings.Contains(text(data), created.entry), "SV-23", "data is %v of %v", data, all.subject)
	status, _, body := t.program.call("POST", "/scim/v2/Groups", t.program.directory, text(object{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "Clerks of " + who.name,
	}))
	t.need(status == 201, "", "a group: %d %s", status, body)
	isGroup := func(s *set) bool { return strings.HasPrefix(text(s.subject["uri"]), `"/Groups/`) }
	s = l.until("SV-22", isGroup)
	t.check(s.event == scim+"prov:create:notice", "SV-22", "a new group is told as %s", s.event)
	uri, _ := s.subject["uri"].(string)
	t.program.call("PATCH", "/scim/v2/Groups/"+idIn(body), t.program.directory, text(object{
		"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		"Operations": []any{object{"op": "add", "path": "members", "value": []any{object{"value": who.entry}}}},
	}))
	s = l.until("MP-16", func(s *set) bool { return s.subject["uri"] == uri })
	t.check(s.event == patched && same(texts(s.payload["attributes"]), []string{"members"}), "MP-16", "of a new member came %s %v", s.event, s.payload)
}

func idIn(body []byte) string {
	id, _ := answer{body: body}.object()["id"].(string)
	return id
}

// raise raises a signal as an operator does.
func (t *try) raise(who person, kind string, payload, members object) {
	body := object{"userName": who.name, "type": kind}
	if payload != nil {
		body["payload"] = payload
	}
	if members != nil {
		body["members"] = members
	}
	status, _, answer := t.program.call("POST", "/signals", t.program.operator, text(body))
	t.need(status == 202, "", "the signal %s answered %d %s", kind, status, answer)
}

// signals: what a receiver is asked to do once (CAEP, RISC, and the use cases of the interoperability profile).
func signals(t *try) {
	supported := texts(t.create(object{})["events_supported"])
	t.check(!slices.Contains(supported, risc+"sessions-revoked"), "RI-14", "the deprecated sessions-revoked is offered")
	l := t.listen(supported)
	opaque := func(id string) object { return object{"format": "opaque", "id": id} }
	for _, c := range []struct {
		kind, rows       string
		payload, members object
	}{
		{caep + "session-revoked", "CA-10 MP-22 CI-23", nil, nil},
		{caep + "session-revoked", "CA-10 MP-21", object{"reason_user": object{"en": "Signed out."}}, object{"session": opaque("s-1")}},
		{caep + "credential-change", "CA-12 CI-24 MP-11 CA-20 CA-21", object{"credential_type": "fido2-roaming", "change_type": "delete", "fido2_aaguid": "accced6a-63f5-490a-9eea-e59bc1896cfc"}, nil},
		{caep + "assurance-level-change", "CA-13 CA-22 CA-23 CA-24 MP-24", object{"namespace": "NIST-AAL", "current_level": "nist-aal2", "previous_level": "nist-aal1", "change_direction": "increase"}, nil},
		{caep + "device-compliance-change", "CA-14 CI-25 MP-25", object{"previous_status": "compliant", "current_status": "not-compliant"}, object{"device": opaque("d-1")}},
		{caep + "session-established", "CA-15", object{"acr": "AAL2", "amr": []string{"otp"}}, nil},
		{caep + "session-presented", "CA-16", object{"fp_ua": "abb0b6e7da81a42233f8f2b1a8ddb1b9a4c81611"}, nil},
		{caep + "risk-level-change", "CA-17 CA-24", object{"principal": "USER", "current_level": "HIGH", "risk_reason": "PASSWORD_FOUND_IN_DATA_BREACH"}, nil},
		{risc + "credential-compromise", "RI-07 MP-13", object{"credential_type": "password"}, nil},
		{risc + "account-credential-change-required", "RI-01 MP-12", nil, nil},
		{risc + "recovery-activated", "RI-12 MP-14", nil, nil},
		{risc + "recovery-information-changed", "RI-13 MP-14", nil, nil},
		{risc + "identifier-recycled", "RI-06", object{"kind": "email", "old": "recycled@people.example"}, nil},
	} {
		t.raise(t.person, c.kind, c.payload, c.members)
		s := l.next(1, c.rows)[0]
		t.check(s.event == c.kind, c.rows, "%s is told as %s", c.kind, s.event)
		for name, value := range c.payload {
			if name == "kind" || name == "old" {
				continue
			}
			t.check(text(s.payload[name]) == text(value), c.rows, "%s of %s is %v", name, c.kind, s.payload[name])
		}
		if c.members != nil {
			for name, value := range c.members {
				t.check(s.subject["format"] == "complex" && text(s.subject[name]) == text(value), c.rows+" SP-13", "the subject is %v", s.subject)
			}
		}
		if c.kind == risc+"identifier-recycled" {
			t.check(s.subject["format"] == "email" && s.subject["email"] == "recycled@people.example", c.rows, "the subject is %v", s.subject)
		} else {
			t.isPerson(s, t.person)
		}
		if strings.HasPrefix(c.kind, caep) {
			reason, _ := s.payload["reason_admin"].(object)
			t.check(len(reason) > 0, "CI-23 CI-24 CI-25 CA-03", "%s has no reason_admin", c.kind)
		}
	}
}

// refusedSignals: what breaks the definition of an event type is told to nobody.
func refusedSignals(t *try) {
	l := t.listen(nil)
	for _, c := range []struct {
		kind, row string
		payload   object
	}{
		{"session-revoked", "CA-06", object{"reason_admin": "plain text"}},
		{"session-revoked", "CA-02", object{"initiating_entity": "nobody"}},
		{"session-revoked", "CA-01", object{"event_timestamp": "yesterday"}},
		{"credential-change", "CA-12", object{"credential_type": "password"}},
		{"credential-change", "CA-21", object{"credential_type": "password", "change_type": "renew"}},
		{"risk-level-change", "CA-17", object{"principal": "USER", "current_level": "high"}},
		{"device-compliance-change", "CA-14", object{"current_status": "compliant"}},
		{"assurance-level-change", "CA-23", object{"namespace": "NIST-AAL", "current_level": "nist-aal1", "previous_level": "nist-aal2", "change_direction": "sideways"}},
		{"credential-compromise", "RI-07", nil},
		{"identifier-recycled", "RI-06", object{"kind": "email", "old": "nobody"}},
		{"sessions-revoked", "RI-14", nil},
	} {
		body := object{"userName": t.name, "type": c.kind}
		if c.payload != nil {
			body["payload"] = c.payload
		}
		status, _, answer := t.program.call("POST", "/signals", t.program.operator, text(body))
		t.check(status == 400, c.row, "%s with %v answered %d %s", c.kind, c.payload, status, answer)
	}
	t.verify(l.stream, "nothing before")
	s := t.accept(l.await(1, "CA-06").body, l.stream)
	t.check(s.event == verification, "CA-06", "a refused signal was told: %s", s.event)
}

// optingOut: a person's states towards one party, and what each move is told as (RISC 1.0 section 2.8).
func optingOut(t *try) {
	asked := []string{risc + "opt-in", risc + "opt-out-initiated", risc + "opt-out-cancelled", risc + "opt-out-effective", revoked, patched}
	l := t.listen(asked)
	other := t.beside()
	defer t.program.give("tidings", other.party)
	who := t.program.newPerson(object{"title": "Undecided"})
	t.allow(t.program, &who, granted)
	s := l.next(1, "RI-08")[0]
	t.check(s.event == risc+"opt-in", "RI-08", "a grant is told as %s", s.event)
	theirOwn := who
	other.allow(t.program, &theirOwn, granted)
	theirs := other.listen(append(asked, scim+"feed:add"))
	t.closing = append(t.closing, other.closing...)

	move := func(name string) { t.program.tidings(nil, "grant", "opt", who.grant, name) }
	hears := func(row, event string) {
		s := l.next(1, row)[0]
		t.check(s.event == risc+event, row, "%s is told as %s", event, s.event)
		t.isPerson(s, who)
	}
	refused := func(name string) {
		t.check(t.program.tries("grant", "opt", who.grant, name) != nil, "RI-20", "%s does not lead on from here, and is taken", name)
	}
	refused("opt-out-cancelled")
	refused("opt-out-effective")
	move("opt-out-initiated")
	hears("RI-09", "opt-out-initiated")
	t.raise(who, "session-revoked", nil, nil)
	s = l.next(1, "RI-09")[0]
	t.check(s.event == revoked, "RI-09", "while opting out is under way %s is told", s.event)
	move("opt-out-cancelled")
	hears("RI-10", "opt-out-cancelled")
	move("opt-out-initiated")
	hears("RI-09", "opt-out-initiated")
	move("opt-out-effective")
	hears("RI-11", "opt-out-effective")
	t.raise(who, "session-revoked", nil, nil)
	t.program.patch(who, object{"title": "Opted out"})
	s = l.next(1, "RI-11 RI-20")[0]
	t.check(s.event == patched, "RI-11 RI-20", "after opting out came %s", s.event)
	move("opt-in")
	hears("RI-08", "opt-in")

	// Another party, which the person did not speak of, hears the two signals and nothing of the moves.
	for i := range 3 {
		s := theirs.next(1, "MP-31")[0]
		t.check(!strings.Contains(s.event, "opt-"), "MP-31", "another party is told %s (%d)", s.event, i)
	}
	t.failures = append(t.failures, other.failures...)
}

// values: what travels where stream, grant and policy all say so.
func values(t *try) {
	l := t.listen([]string{scim + "prov:patch:full", caep + "token-claims-change"})
	t.program.patch(t.person, object{"title": "Seen", "displayName": "Not granted"})
	two := l.next(2, "SV-25 CA-11")
	t.check(same(short(two), []string{"prov:patch:full", "token-claims-change"}), "SV-25 CA-11 MP-23", "of a change came %v", short(two))
	for _, s := range two {
		t.check(!strings.Contains(text(s.claims), "Not granted"), "PR-08", "what was not granted is told")
		if s.event == scim+"prov:patch:full" {
			t.check(strings.Contains(text(s.payload["data"]), "Operations") && strings.Contains(text(s.payload["data"]), "Seen"), "SV-25 SV-13", "data is %v", s.payload["data"])
			continue
		}
		claims, _ := s.payload["claims"].(object)
		t.check(claims["job"] == "Seen" && len(claims) == 1, "CA-11 MP-23", "claims are %v", s.payload["claims"])
	}
}
