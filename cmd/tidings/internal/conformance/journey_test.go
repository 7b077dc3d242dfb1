package conformance

import (
	"slices"
	"strings"
)

// way is how a receiver takes the tokens of a stream, one by one.
type way struct {
	stream object
	next   func(rows string) *set
	quiet  func(rows string) // nothing came that next did not give
}

// pushed, polled and socketed are the three ways.
func (t *try) byPush() *way {
	l := t.listen(nil)
	return &way{l.stream, func(rows string) *set { return l.next(1, rows)[0] }, func(rows string) {
		t.check(len(l.all()) == l.heard, rows, "%d pushes came unasked", len(l.all())-l.heard)
	}}
}

func (t *try) byPoll() *way {
	stream := t.create(object{})
	var queue []*set
	next := func(rows string) *set {
		if len(queue) == 0 {
			t.next(stream, rows, func(s *set) bool { queue = append(queue, s); return true })
		}
		s := queue[0]
		queue = queue[1:]
		return s
	}
	return &way{stream, next, func(rows string) {
		p := t.poll(stream, atOnce(nil))
		t.check(len(queue)+len(p.sets) == 0, rows, "came unasked: %v %v", queue, p.raw)
	}}
}

func (t *try) bySocket() *way {
	stream := t.createSocket()
	s := t.open(stream)
	var queue []*set
	next := func(rows string) *set {
		if len(queue) == 0 {
			queue = s.frame(rows)
			for _, set := range queue {
				s.says(object{"ack": []string{set.jti}})
			}
		}
		set := queue[0]
		queue = queue[1:]
		return set
	}
	return &way{stream, next, func(rows string) {
		t.check(len(queue) == 0, rows, "came unasked: %v", queue)
		s.quiet(rows)
	}}
}

// choose adds a subject to a stream or removes it.
func (t *try) choose(endpoint, id string, subject any) answer {
	return t.manage("POST", t.endpoint(endpoint+"_subject_endpoint"), object{"stream_id": id, "subject": subject})
}

// journey drives a stream through its life.
func journey(open func(*try) *way) func(*try) {
	return func(t *try) {
		w := open(t)
		id := idOf(w.stream)
		witness := t.create(object{"events_requested": []string{patched}})
		change := func(title string) {
			t.program.patch(t.person, object{"title": title})
			t.told(witness, "SU-06")
		}
		subject := object{"format": "scim", "uri": t.uri}

		t.verify(w.stream, "journey")
		s := w.next("VE-13")
		t.check(s.event == verification && s.payload["state"] == "journey", "VE-13", "came %s %v", s.event, s.payload)

		a := t.choose("remove", id, subject)
		t.check(a.status == 204 && len(a.body) == 0, "SU-04", "removing a subject answered %v", a)
		change("Removed")
		w.quiet("SU-07 SU-06 SU-11")
		a = t.choose("add", id, subject)
		t.check(a.status == 200 && len(a.body) == 0, "SU-01", "adding a subject answered %v", a)
		s = w.next("SU-07")
		t.check(s.event == scim+"feed:add", "SU-07", "a subject that was added again is told as %s", s.event)
		t.isSCIM(s, t.person)

		change("Event")
		s = w.next("SU-06")
		t.check(s.event == patched && same(texts(s.payload["attributes"]), []string{"title"}), "SU-06", "came %s %v", s.event, s.payload)

		t.status(id, "paused")
		change("Held")
		w.quiet("ST-11")
		t.status(id, "enabled")
		s = w.next("ST-10")
		t.check(s.event == patched && same(texts(s.payload["attributes"]), []string{"title"}), "ST-10", "after the pause came %s %v", s.event, s.payload)

		a = t.manage("PUT", t.streams(), object{"stream_id": id, "delivery": w.stream["delivery"], "events_requested": []string{revoked}})
		t.need(a.status == 200, "UP-04", "PUT answered %v", a)
		w.stream["events_delivered"] = a.object()["events_delivered"]
		change("Not asked for any more")
		w.quiet("SU-06 SC-06")
		t.raise(t.person, "session-revoked", nil, nil)
		s = w.next("SU-06")
		t.check(s.event == revoked, "SU-06 SC-06", "came %s", s.event)
		a = t.manage("PATCH", t.streams(), object{"stream_id": id, "events_requested": []string{patched, scim + "feed:add"}})
		t.need(a.status == 200, "UP-02", "PATCH answered %v", a)
		w.stream["events_delivered"] = a.object()["events_delivered"]
		change("Asked for again")
		s = w.next("UP-02")
		t.check(s.event == patched, "UP-02", "came %s", s.event)

		// What was taken off stays off through updates and a pause.
		t.choose("remove", id, subject)
		a = t.manage("PATCH", t.streams(), object{"stream_id": id, "description": "still off"})
		t.status(id, "paused")
		t.status(id, "enabled")
		t.check(a.status == 200, "SU-12", "PATCH answered %v", a)
		change("Off")
		w.quiet("SU-12")

		a = t.manage("DELETE", one(t.streams(), id), nil)
		t.check(a.status == 204, "DL-01", "DELETE answered %v", a)
		change("Gone")
	}
}

// subjects: SSF 1.0 section 8.1.3.
func subjects(t *try) {
	stream, witness := t.create(object{}), t.create(object{})
	id := idOf(stream)
	scimSubject := object{"format": "scim", "uri": t.uri}
	issSub := object{"format": "iss_sub", "iss": t.program.issuer, "sub": t.opaque()}
	unknown := object{"format": "email", "email": "nobody@nowhere.example"}
	quiet := func(rows string, title string) {
		t.program.patch(t.person, object{"title": title})
		t.told(witness, "SU-06")
		p := t.poll(stream, atOnce(nil))
		t.check(len(p.sets) == 0, rows, "%s: told %v", title, p.raw)
	}

	// The same answer for who is known and who is not, at the first time and the second.
	for range 2 {
		for name, subject := range map[string]any{"known": scimSubject, "unknown": unknown, "phone": object{"format": "phone_number", "phone_number": "+4930901820"}} {
			a := t.choose("remove", id, subject)
			t.check(a.status == 204 && len(a.body) == 0, "SU-04 SU-10 PR-01", "removing the %s answered %v", name, a)
		}
	}
	quiet("SU-11 SU-07", "Off")
	for range 2 {
		for name, subject := range map[string]any{"known": scimSubject, "unknown": unknown} {
			a := t.choose("add", id, subject)
			t.check(a.status == 200 && len(a.body) == 0, "SU-01 SU-03 SU-10 PR-01", "adding the %s answered %v", name, a)
		}
	}
	t.next(stream, "SU-07 SU-10", ofType("feed:add"))

	// One person by other names: another order of members, another format, inside complex, among aliases.
	for name, subject := range map[string]string{
		"MA-01": `{"uri":"` + t.uri + `","format":"scim"}`, "SU-11": text(issSub),
		"MA-06": text(object{"format": "complex", "user": issSub}), "MA-08": text(object{"format": "aliases", "identifiers": []any{unknown, issSub}}),
	} {
		a := t.manage("POST", t.endpoint("remove_subject_endpoint"), `{"stream_id":"`+id+`","subject":`+subject+`}`)
		t.check(a.status == 204, name, "removing %s answered %v", subject, a)
		quiet(name, "Off as "+name)
		a = t.manage("POST", t.endpoint("add_subject_endpoint"), `{"stream_id":"`+id+`","subject":`+text(scimSubject)+`,"verified":false}`)
		t.check(a.status == 200, "SU-02", "adding what was not verified answered %v", a)
		t.next(stream, name, ofType("feed:add"))
	}
	for _, c := range []object{
		{"format": "phone", "phone": "+4930901820"}, {"format": "phone_number", "phone_number": "+4930901820"}, {"format": "phone", "phone_number": "+4930901820"},
	} {
		a := t.choose("remove", id, c)
		t.check(a.status == 204 || c["phone"] != nil, "SI-03", "removing %v answered %v", c, a)
	}

	// The stream itself cannot be taken off.
	a := t.choose("remove", id, object{"format": "opaque", "id": id})
	t.check(a.status == 204 || a.status == 400, "SU-09", "removing the stream itself answered %v", a)
	t.verify(stream, "still here")
	s := t.next(stream, "SU-09", ofType("/verification"))
	t.check(s.payload["state"] == "still here", "SU-09", "came %v", s.payload)

	for _, endpoint := range []string{"add", "remove"} {
		url := t.endpoint(endpoint + "_subject_endpoint")
		for _, bad := range []any{
			"{", object{}, object{"stream_id": id}, object{"subject": scimSubject}, object{"stream_id": id, "subject": nil}, object{"stream_id": id, "subject": "x"},
			object{"stream_id": id, "subject": object{"format": "email"}}, object{"stream_id": id, "subject": object{"format": "opaque", "id": ""}},
			object{"stream_id": id, "subject": object{"format": "email", "email": "a@b.example", "extra": "x"}},
		} {
			a := t.manage("POST", url, bad)
			t.check(a.status == 400, "SU-05", "%s with %v answered %v", endpoint, bad, a)
		}
		a := t.manage("POST", url, object{"stream_id": id, "subject": object{"format": "complex", "shoe": unknown}})
		t.check(a.status == 400, "MA-07", "%s of a complex subject without a known member answered %v", endpoint, a)
		a = t.manage("POST", url, object{"stream_id": "nobody", "subject": scimSubject})
		t.check(a.status == 404, "SU-05", "%s on an unknown stream answered %v", endpoint, a)
		a = t.call("POST", url, "nobody", object{"stream_id": id, "subject": scimSubject})
		t.check(a.status == 401, "SU-05", "%s by nobody answered %v", endpoint, a)
		a = t.call("POST", url, t.program.operator, object{"stream_id": id, "subject": scimSubject})
		t.check(a.status == 403, "SU-05", "%s by an operator answered %v", endpoint, a)
	}

	// Adding never widens what was granted.
	stranger := t.program.newPerson(object{"title": "Nobody's", "emails": []any{object{"value": "stranger@people.example", "primary": true}}})
	for _, subject := range []object{{"format": "email", "email": "stranger@people.example"}, {"format": "email", "email": stranger.name}, {"format": "scim", "uri": "/Users/" + stranger.entry}} {
		a := t.choose("add", id, subject)
		t.check(a.status == 200, "PR-01 SU-03", "adding a stranger answered %v", a)
	}
	t.program.patch(stranger, object{"title": "Still nobody's"})
	t.program.patch(t.person, object{"title": "After the stranger"})
	s = t.next(stream, "PR-03", anyType)
	t.check(s.subject["uri"] == t.uri && s.event == patched, "PR-03 PR-08", "a stranger was told: %v", s.claims)
}

// refusing: a receiver that refuses the transmitter itself is told so once more, and then nothing (SSF 1.0 section 8.1.5).
func refusing(answer reply, row string) func(*try) {
	return func(t *try) {
		h := t.hook()
		h.says(func(int, pushed) reply { return answer })
		stream := t.push(h, object{"authorization_header": "Bearer expired"})
		id := idOf(stream)
		t.verify(stream, "refused")
		h.await(1, row)
		updated := "https://schemas.openid.net/secevent/ssf/event-type/stream-updated"
		last := t.accept(h.await(2, row+" SE-03").body, stream)
		t.need(last.event == updated, "SE-01 SE-03 "+row, "before the pause came %s", last.event)
		reason, isText := last.payload["reason"].(string)
		t.check(last.payload["status"] == "paused" && (isText || last.payload["reason"] == nil), "SE-01", "the payload is %v", last.payload)
		t.check(text(last.subject) == text(object{"format": "opaque", "id": id}), "SE-02", "sub_id is %v", last.subject)
		t.check(!slices.Contains(texts(stream["events_delivered"]), updated), "SE-05", "stream-updated is among events_delivered")
		t.need(eventually(t.patience, func() bool {
			return t.manage("GET", one(t.statuses(), id), nil).object()["status"] == "paused"
		}), row+" SE-03", "the stream is not paused")
		says := t.manage("GET", one(t.statuses(), id), nil).object()["reason"]
		t.check(says == reason, "ST-07 SE-01", "the status has the reason %v, the event %q", says, reason)

		witness := t.create(object{})
		t.program.patch(t.person, object{"title": "Held for " + row})
		t.told(witness, "ST-11")
		t.check(len(h.all()) == 2, "SE-09 ST-11", "%d pushes came to a paused stream", len(h.all())-2)

		// The receiver mends it and goes on; of its own change nothing is told.
		h.says(nil)
		t.status(id, "enabled")
		seen := map[string]bool{}
		t.need(eventually(t.patience, func() bool {
			for _, p := range h.all()[2:] {
				s := t.accept(p.body, stream)
				seen[s.event] = true
			}
			t.check(!seen[updated], "SE-06", "the receiver was told of its own change")
			return seen[patched] && seen[verification]
		}), row, "after the pause came %v", seen)
	}
}

// operated: an operator stops a stream and lets it go on; its receiver is told before and after (SSF 1.0 section 8.1.5).
func operated(t *try) {
	stream := t.create(object{})
	id := idOf(stream)
	t.program.tidings(nil, "stream", "pause", id, "--reason", "upkeep")
	updated := func(rows, status string) {
		s := t.next(stream, rows, anyType)
		t.check(strings.HasSuffix(s.event, "/stream-updated") && s.payload["status"] == status, rows, "came %s %v, not %s", s.event, s.payload, status)
	}
	updated("SE-08 SE-05", "paused")
	a := t.manage("GET", one(t.statuses(), id), nil)
	t.check(a.object()["status"] == "paused" && a.object()["reason"] == "upkeep", "SE-08", "the status is %v", a)
	t.program.patch(t.person, object{"title": "Held by the operator"})
	t.program.tidings(nil, "stream", "resume", id)
	updated("SE-04 SE-05", "enabled")
	s := t.next(stream, "SE-04", anyType)
	t.check(s.event == patched, "SE-04", "after the pause came %s", s.event)
}

// scopes: what a token of a party may be used for (CAEP interoperability profile 1.0 section 2.7).
func scopes(t *try) {
	stream := t.create(object{"description": "mine"})
	token, revoke := t.anotherToken("--scope", "ssf.read")
	reads := []string{"read", "list", "status"}
	for _, c := range t.calls(stream) {
		a := t.call(c.method, c.url, token, c.sent())
		if slices.Contains(reads, c.name) {
			t.check(a.status == 200, "CI-16 CI-30", "%s with ssf.read answered %v", c.name, a)
			continue
		}
		rows := "AU-06 CI-15 CI-16 CI-30"
		if c.name == "create" {
			rows += " CI-31"
		}
		t.check(a.status == 403, rows, "%s with ssf.read answered %v", c.name, a)
		challenge := a.header.Get("WWW-Authenticate")
		t.check(strings.HasPrefix(challenge, "Bearer") && strings.Contains(challenge, `error="insufficient_scope"`), rows+" CI-20", "%s is refused with %q", c.name, challenge)
	}
	revoke()
	a := t.call("GET", t.streams(), token, nil)
	t.check(a.status == 401, "CI-19", "a revoked token answered %v", a)

	token, _ = t.anotherToken("--scope", "ssf.manage", "--until", "1m")
	for _, c := range t.calls(stream) {
		a := t.call(c.method, c.url, token, c.sent())
		t.check(a.status >= 200 && a.status < 300, "CI-16 CI-30", "%s with ssf.manage answered %v", c.name, a)
	}
}
