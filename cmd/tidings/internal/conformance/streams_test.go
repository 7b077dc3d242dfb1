package conformance

import (
	"regexp"
	"slices"
	"strings"
)

const (
	revoked  = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
	changed  = "https://schemas.openid.net/secevent/caep/event-type/credential-change"
	disabled = "https://schemas.openid.net/secevent/risc/event-type/account-disabled"
	patched  = "urn:ietf:params:scim:event:prov:patch:notice"
)

// unreserved characters (RFC 3986 section 2.3).
var unreserved = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)

// whole looks at a stream object as every answer with one shows it.
func (t *try) whole(a answer) object {
	t.check(a.isJSON(), "RD-04", "a stream comes as %s", a.media())
	t.check(a.header.Get("Cache-Control") == "no-store", "RD-04", "Cache-Control is %q", a.header.Get("Cache-Control"))
	s, err := strictObject(a.body)
	t.need(err == nil, "CR-06 RD-03", "this is no stream: %v: %v", err, a)
	t.need(unreserved.MatchString(idOf(s)), "SC-01 CR-06", "stream_id is %v", s["stream_id"])
	t.check(s["iss"] == t.program.issuer, "SC-02 CR-06", "iss is %v", s["iss"])
	t.check(same(audience(s["aud"]), []string{t.audience}), "SC-03 CR-06 DE-09", "aud is %v", s["aud"])
	supported, delivered := texts(s["events_supported"]), texts(s["events_delivered"])
	t.check(len(supported) > 0, "SC-04", "events_supported is %v", s["events_supported"])
	t.check(delivered != nil && subset(delivered, supported), "SC-06 CR-06", "events_delivered is %v", s["events_delivered"])
	delivery, _ := s["delivery"].(object)
	method, _ := delivery["method"].(string)
	url, _ := delivery["endpoint_url"].(string)
	t.check(slices.Contains(texts(t.meta["delivery_methods_supported"]), method), "SC-07 CR-06 CI-09", "delivery is %v", s["delivery"])
	t.check(strings.Contains(url, "://"), "SC-08", "endpoint_url is %q", url)
	_, shown := delivery["authorization_header"]
	t.check(!shown, "SC-22 PR-11", "the authorization_header is shown")
	interval, present := s["min_verification_interval"]
	seconds, number := interval.(float64)
	t.check(!present || number && seconds >= 0 && seconds == float64(int(seconds)), "SC-10", "min_verification_interval is %v", interval)
	if requested := texts(s["events_requested"]); requested != nil {
		for _, e := range delivered {
			t.check(slices.Contains(requested, e), "SC-06", "%s was not requested", e)
		}
	}
	return s
}

const wholeRows = "SC-01 SC-02 SC-03 SC-04 SC-06 SC-07 SC-08 SC-10 SC-22 CR-06 RD-04 DE-09 PR-11 CI-09 "

// creating: SSF 1.0 section 8.1.1.1.
func creating(t *try) {
	a := t.manage("POST", t.streams(), "{}")
	t.need(a.status == 201, "CR-01 CR-07 CI-10", "{} answered %v", a)
	first := t.whole(a)
	delivery, _ := first["delivery"].(object)
	t.check(delivery["method"] == "urn:ietf:rfc:8936", "CR-02 DE-04", "without delivery the method is %v", delivery["method"])
	t.check(strings.HasPrefix(pollURL(first), base(t.program.issuer)), "CR-03 SC-08 DE-04", "endpoint_url is %q", pollURL(first))
	t.check(len(texts(first["events_delivered"])) > 0, "SC-20", "events_delivered is %v", first["events_delivered"])
	status := t.manage("GET", one(t.statuses(), idOf(first)), nil)
	t.check(status.object()["status"] == "enabled", "CR-08", "a new stream is %v", status)

	a = t.manage("POST", t.streams(), object{"description": "second", "delivery": object{"method": "urn:ietf:rfc:8936"}})
	t.need(a.status == 201, "CR-05 CR-07", "a second stream answered %v", a)
	second := t.whole(a)
	t.check(idOf(second) != idOf(first), "CR-05 SC-01", "the second stream has the id of the first")
	t.check(pollURL(second) != pollURL(first), "DE-05", "two streams are polled at one URL")
	t.check(second["description"] == "second", "SC-11", "description is %v", second["description"])

	supported := texts(first["events_supported"])
	a = t.manage("POST", t.streams(), object{"events_requested": []string{"urn:example:unknown", supported[0], "https://nobody.example/x", supported[1]}})
	t.need(a.status == 201, "SC-05", "unknown event types answered %v", a)
	t.check(same(texts(t.whole(a)["events_delivered"]), supported[:2]), "SC-06 SC-05", "events_delivered is %v", a.object()["events_delivered"])
	a = t.manage("POST", t.streams(), object{"events_requested": []string{"urn:example:unknown"}})
	list, ok := a.object()["events_delivered"].([]any)
	t.check(a.status == 201 && ok && len(list) == 0, "SC-21", "events_delivered of nothing known is %v", a.object()["events_delivered"])

	// What is the transmitter's is not the receiver's to choose.
	a = t.manage("POST", t.streams(), object{"stream_id": idOf(first), "iss": "https://evil.example", "aud": "urn:evil", "events_delivered": []string{}, "unknown": object{}})
	t.need(a.status == 201, "CR-09", "a create that names what is the transmitter's answered %v", a)
	third := t.whole(a)
	t.check(idOf(third) != idOf(first) && third["iss"] == t.program.issuer && same(audience(third["aud"]), []string{t.audience}), "CR-09", "a receiver chose what is the transmitter's: %v", a)

	a = t.manage("POST", t.streams(), object{"description": strings.Repeat("däs ", 1000)})
	said, _ := a.object()["description"].(string)
	t.check(a.status == 201 && said != "" && strings.HasPrefix(strings.Repeat("däs ", 1000), said), "SC-11", "a long description answered %v", a)
	a = t.manage("POST", t.streams(), object{"delivery": object{"method": "urn:example:pigeon"}})
	t.check(a.status == 400, "CR-04", "an unknown method answered %v", a)
	a = t.manage("POST", t.streams(), "{ broken")
	t.check(a.status == 400, "CR-06", "a body that is no JSON answered %v", a)
}

// interoperable: what the CAEP interoperability profile expects of a stream.
func interoperable(t *try) {
	a := t.manage("POST", t.streams(), "{}")
	t.need(a.status == 201, "CI-10 AU-08", "create answered %v", a)
	stream := t.whole(a)
	delivered := texts(stream["events_delivered"])
	t.check(slices.Contains(delivered, revoked) && slices.Contains(delivered, changed), "CI-32 CI-09", "a stream gets %v", delivered)
	for _, call := range []answer{
		t.manage("GET", one(t.streams(), idOf(stream)), nil), t.manage("GET", one(t.statuses(), idOf(stream)), nil),
		t.manage("POST", t.statuses(), object{"stream_id": idOf(stream), "status": "enabled"}),
	} {
		t.check(call.status == 200, "CI-10 CI-06 AU-08", "answered %v", call)
	}
	a = t.verify(stream, "interop")
	t.check(a.status == 204, "CI-10 CI-07", "verify answered %v", a)
	s := t.next(stream, "CI-07", ofType("/verification"))
	t.check(s.header["alg"] == "RS256", "CI-13 SP-15", "signed with %v", s.header["alg"])
	key := t.key(s.header["kid"].(string))
	if key != nil && key.KeyType() == "RSA" {
		var raw struct{ N []byte }
		n, _ := key.Get("n")
		raw.N, _ = n.([]byte)
		t.check(len(raw.N) >= 256, "CI-13 SP-15", "an RSA key of %d bytes", len(raw.N))
	}
	a = t.manage("DELETE", one(t.streams(), idOf(stream)), nil)
	t.check(a.status == 204, "CI-10", "delete answered %v", a)
}

// reading: SSF 1.0 section 8.1.1.2.
func reading(t *try) {
	a := t.manage("GET", t.streams(), nil)
	t.check(a.status == 200 && a.array() != nil && len(a.array()) == 0, "RD-02", "without a stream: %v", a)
	made := t.create(object{"description": "mine"})
	a = t.manage("GET", t.streams(), nil)
	t.check(a.status == 200 && len(a.array()) == 1, "RD-01", "with one stream: %v", a)
	t.check(a.media() == "application/json" && a.header.Get("Cache-Control") == "no-store", "RD-04", "the list has headers %v", a.header)
	a = t.manage("GET", one(t.streams(), idOf(made)), nil)
	t.need(a.status == 200, "RD-03", "one stream: %v", a)
	t.check(text(t.whole(a)) == text(made), "RD-03", "read %v, created %v", a, made)
	a = t.manage("GET", one(t.streams(), "nobody"), nil)
	t.check(a.status == 404, "RD-03 AU-04", "an unknown stream: %v", a)
	t.create(object{})
	a = t.manage("GET", t.streams(), nil)
	t.check(len(a.array()) == 2, "RD-01 AU-09", "with two streams: %v", a)
}

// patching: SSF 1.0 section 8.1.1.3.
func patching(t *try) {
	first := t.create(object{"description": "old"})
	supported := texts(first["events_supported"])
	id, url := idOf(first), t.streams()
	read := func() object { return t.manage("GET", one(url, id), nil).object() }

	a := t.manage("PATCH", url, object{"stream_id": id, "description": "new"})
	t.need(a.status == 200, "UP-02 UP-01", "answered %v", a)
	s := t.whole(a)
	t.check(s["description"] == "new" && read()["description"] == "new", "UP-02", "description is %v", s["description"])
	t.check(same(texts(s["events_delivered"]), texts(first["events_delivered"])) && text(s["delivery"]) == text(first["delivery"]), "UP-03", "more than the description changed: %v", a)
	a = t.manage("PATCH", url, object{"stream_id": id, "events_requested": supported[:2]})
	s = t.whole(a)
	t.check(a.status == 200 && same(texts(s["events_delivered"]), supported[:2]), "UP-02 UP-08", "events_delivered is %v", s["events_delivered"])
	t.check(s["description"] == "new" && read()["description"] == "new", "UP-03", "description is %v", s["description"])

	// events_delivered is held against what was before this update; lists are sets.
	turned := []string{supported[1], supported[0]}
	a = t.manage("PATCH", url, object{"stream_id": id, "events_requested": supported[:1], "events_delivered": turned, "extra": 1})
	t.check(a.status == 200 && same(texts(a.object()["events_delivered"]), supported[:1]), "UP-07 UP-13 UP-08", "answered %v", a)
	a = t.manage("PATCH", url, object{"stream_id": id, "events_requested": supported[:2], "events_delivered": supported[:2]})
	t.check(a.status == 400 && same(texts(read()["events_delivered"]), supported[:1]), "UP-07 UP-05", "answered %v", a)

	whole := read()
	whole["description"] = "whole"
	a = t.manage("PATCH", url, whole)
	t.check(a.status == 200 && read()["description"] == "whole", "UP-05", "the whole object answered %v", a)
	t.foreignValues("PATCH", id)

	a = t.manage("PATCH", url, object{"description": "x"})
	t.check(a.status == 400, "UP-01", "without stream_id: %v", a)
	a = t.manage("PATCH", one(url, id), object{"description": "x"})
	t.check(a.status == 400 && read()["description"] == "whole", "UP-01", "with stream_id in the query: %v", a)
	a = t.manage("PATCH", url, object{"stream_id": "nobody", "description": "x"})
	t.check(a.status == 404, "UP-11", "an unknown stream: %v", a)
	a = t.call("PATCH", url, "nobody", object{"stream_id": id})
	t.check(a.status == 401, "UP-11", "an unknown token: %v", a)

	// Delivery is replaced as a whole.
	h := t.hook()
	a = t.manage("PATCH", url, object{"stream_id": id, "delivery": object{"method": "urn:ietf:rfc:8935", "endpoint_url": h.url, "authorization_header": "Bearer theirs"}})
	delivery, _ := a.object()["delivery"].(object)
	t.need(a.status == 200 && delivery["endpoint_url"] == h.url, "UP-02 UP-14", "answered %v", a)
	t.verify(first, "a")
	t.check(h.await(1, "UP-14").header.Get("Authorization") == "Bearer theirs", "UP-14 DE-02", "pushed with %q", h.all()[0].header.Get("Authorization"))
	elsewhere := strings.TrimSuffix(h.url, "/events") + "/elsewhere"
	a = t.manage("PATCH", url, object{"stream_id": id, "delivery": object{"method": "urn:ietf:rfc:8935", "endpoint_url": elsewhere}})
	t.check(a.status == 200, "UP-14", "answered %v", a)
	t.verify(first, "b")
	_, has := h.await(2, "UP-14").header["Authorization"]
	t.check(!has, "UP-14", "another endpoint got the Authorization of the first")
}

// foreignValues: members of the transmitter's with other values are refused, and nothing changes.
func (t *try) foreignValues(method, id string) {
	before := t.manage("GET", one(t.streams(), id), nil)
	for name, value := range map[string]any{
		"iss": "https://evil.example", "aud": "urn:evil", "events_supported": []string{"urn:x"}, "events_delivered": []string{"urn:x"}, "min_verification_interval": 999,
	} {
		body := before.object()
		body[name], body["description"] = value, "evil"
		a := t.manage(method, t.streams(), body)
		after := t.manage("GET", one(t.streams(), id), nil)
		rows := "UP-05"
		if name == "aud" {
			rows += " UP-09 SC-03"
		}
		t.check(a.status == 400 && string(after.body) == string(before.body), rows, "%s with %s of another value: %v", method, name, a)
	}
}

// replacing: SSF 1.0 section 8.1.1.4.
func replacing(t *try) {
	first := t.create(object{"description": "old", "events_requested": []string{patched}})
	id, url := idOf(first), t.streams()
	a := t.manage("PUT", url, object{"stream_id": id, "delivery": first["delivery"]})
	t.need(a.status == 200, "UP-04 UP-06", "answered %v", a)
	s := t.whole(a)
	t.check(s["description"] == nil && s["events_requested"] == nil && len(texts(s["events_delivered"])) > 1, "UP-04", "what was not sent is still there: %v", a)
	whole := t.manage("GET", one(url, id), nil).object()
	whole["description"], whole["events_requested"] = "put", []string{revoked, patched}
	a = t.manage("PUT", url, whole)
	t.check(a.status == 200 && a.object()["description"] == "put" && same(texts(a.object()["events_delivered"]), []string{revoked, patched}), "UP-04 UP-08 UP-07", "answered %v", a)
	t.foreignValues("PUT", id)
	a = t.manage("PUT", url, object{"description": "x"})
	t.check(a.status == 400, "UP-01", "without stream_id: %v", a)
	a = t.manage("PUT", url, object{"stream_id": "nobody", "delivery": first["delivery"]})
	t.check(a.status == 404, "UP-11", "an unknown stream: %v", a)
	a = t.call("PUT", url, "nobody", object{"stream_id": id})
	t.check(a.status == 401, "UP-11", "an unknown token: %v", a)

	// Reading a stream that pushes and putting it back does not lose the secret that is not shown.
	h := t.hook()
	pushing := t.push(h, object{"authorization_header": "Bearer theirs"})
	back := t.manage("GET", one(url, idOf(pushing)), nil).object()
	back["description"] = "read, changed, written"
	a = t.manage("PUT", url, back)
	t.check(a.status == 200, "SC-22", "answered %v", a)
	t.verify(pushing, "kept")
	t.check(h.await(1, "SC-22").header.Get("Authorization") == "Bearer theirs", "SC-22 SC-09 SC-23", "pushed with %q", h.all()[0].header.Get("Authorization"))
	a = t.manage("PUT", url, object{"stream_id": idOf(pushing)})
	t.check(a.status == 400, "UP-04", "a push stream without delivery: %v", a)
}

// switching: a stream that held events goes on by another method (SSF 1.0 section 8.1.1.3 is silent on the queue).
func switching(t *try) {
	h := t.hook()
	h.says(func(int, pushed) reply { return reply{status: 503} })
	stream := t.push(h, object{})
	id := idOf(stream)
	t.verify(stream, "queued")
	h.await(1, "PU-01")
	a := t.manage("PATCH", t.streams(), object{"stream_id": id, "delivery": object{"method": "urn:ietf:rfc:8936"}})
	t.need(a.status == 200, "UP-12", "answered %v", a)
	s := t.next(a.object(), "UP-12", ofType("/verification"))
	t.check(s.payload["state"] == "queued", "UP-12", "state is %v", s.payload["state"])
}

// deleting: SSF 1.0 section 8.1.1.5.
func deleting(t *try) {
	stream, other := t.create(object{}), t.create(object{})
	id := idOf(stream)
	a := t.manage("DELETE", t.streams(), nil)
	t.check(a.status == 400 && len(t.manage("GET", t.streams(), nil).array()) == 2, "DL-01", "without stream_id: %v", a)
	// A poll that waits ends with the stream.
	ended := t.aside(func() answer { return t.manage("POST", pollURL(stream), "{}") })
	t.verify(other, nil)
	t.next(other, "VE-13", ofType("/verification")) // the other poll is on its way by now, or finds nothing

	a = t.manage("DELETE", one(t.streams(), id), nil)
	t.check(a.status == 204 && len(a.body) == 0, "DL-01", "answered %v", a)
	for _, call := range []func() answer{
		func() answer { return t.manage("DELETE", one(t.streams(), id), nil) },
		func() answer { return t.manage("GET", one(t.streams(), id), nil) },
		func() answer { return t.manage("GET", one(t.statuses(), id), nil) },
		func() answer { return t.manage("PATCH", t.streams(), object{"stream_id": id}) },
		func() answer { return t.manage("PUT", t.streams(), object{"stream_id": id}) },
		func() answer { return t.manage("POST", t.statuses(), object{"stream_id": id, "status": "enabled"}) },
		func() answer {
			return t.manage("POST", t.endpoint("verification_endpoint"), object{"stream_id": id})
		},
		func() answer { return t.manage("POST", pollURL(stream), atOnce(nil)) },
	} {
		a := call()
		t.check(a.status == 404, "DL-02", "after the deletion: %v", a)
	}
	select {
	case a := <-ended:
		t.check(a.status == 404 || string(a.body) == `{"sets":{}}`, "DL-03", "the poll that waited got %v", a)
	case <-t.ctx.Done():
		t.check(false, "DL-03", "the poll still waits")
	}
	a = t.manage("GET", one(t.streams(), idOf(other)), nil)
	t.check(a.status == 200, "DL-01", "the other stream: %v", a)
}
