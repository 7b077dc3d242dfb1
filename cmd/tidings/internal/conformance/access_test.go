package conformance

import (
	"net/http"
	"strings"
)

// call is one that a receiver may make of a stream.
type call struct {
	name, method, url string
	body              object
}

// calls are all that refer to a stream.
func (t *try) calls(stream object) []call {
	id := idOf(stream)
	list := []call{
		{"read", "GET", one(t.streams(), id), nil},
		{"list", "GET", t.streams(), nil},
		{"create", "POST", t.streams(), object{}},
		{"patch", "PATCH", t.streams(), object{"stream_id": id, "description": "evil"}},
		{"put", "PUT", t.streams(), object{"stream_id": id, "delivery": stream["delivery"], "description": "evil"}},
		{"status", "GET", one(t.statuses(), id), nil},
		{"set status", "POST", t.statuses(), object{"stream_id": id, "status": "paused"}},
		{"verify", "POST", t.endpoint("verification_endpoint"), object{"stream_id": id}},
		{"poll", "POST", pollURL(stream), atOnce(nil)},
		{"delete", "DELETE", one(t.streams(), id), nil},
	}
	return list
}

// sent is the call's body as it is sent; nil for none.
func (c call) sent() any {
	if c.body == nil {
		return nil
	}
	return c.body
}

// access: who may call (SSF 1.0 section 8, RFC 6750 section 3).
func access(t *try) {
	stream := t.create(object{"description": "mine"})
	state := func() string {
		return text([]string{string(t.manage("GET", t.streams(), nil).body), string(t.manage("GET", one(t.statuses(), idOf(stream)), nil).body)})
	}
	before := state()
	for _, c := range t.calls(stream) {
		rows := "AU-01 AU-03 AU-06 CI-19 CI-20"
		if c.name == "poll" {
			rows += " DE-06 MD-22 PB-16 PB-22"
		}
		for _, token := range []string{"", "nobody", t.token[:len(t.token)-4], t.token + "x"} {
			a := t.call(c.method, c.url, token, c.sent())
			t.check(a.status == 401, rows, "%s with the token %.5q… answered %v", c.name, token, a)
			challenge := a.header.Get("WWW-Authenticate")
			t.check(strings.HasPrefix(challenge, "Bearer"), rows, "%s is refused with the challenge %q", c.name, challenge)
			t.check(token == "" || strings.Contains(challenge, `error="invalid_token"`), "AU-06 CI-20", "%s is refused with the challenge %q", c.name, challenge)
		}
		for role, token := range map[string]string{"directory": t.program.directory, "operator": t.program.operator} {
			a := t.call(c.method, c.url, token, c.sent())
			t.check(a.status == 403, "AU-05 AU-06 CI-19", "%s by the %s answered %v", c.name, role, a)
			t.check(strings.Contains(a.header.Get("WWW-Authenticate"), `error="insufficient_scope"`), "AU-06 CI-20", "%s is refused with %q", c.name, a.header.Get("WWW-Authenticate"))
		}
		query := "?access_token=" + t.token
		if strings.Contains(c.url, "?") {
			query = strings.Replace(query, "?", "&", 1)
		}
		for _, token := range []string{"", t.token} {
			a := t.call(c.method, c.url+query, token, c.sent())
			t.check(a.status == 400 || a.status == 401, "AU-07 CI-18", "%s with the token in the query answered %v", c.name, a)
			t.check(strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer"), "CI-20", "%s is refused with the challenge %q", c.name, a.header.Get("WWW-Authenticate"))
		}
		form := t.ask(c.method, c.url, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "access_token="+t.token)
		t.check(form.status == 401 || form.status == 400, "CI-18", "%s with the token in a form answered %v", c.name, form)
	}
	t.check(state() == before, "AU-01 AU-03", "a refused call changed something: %s, before %s", state(), before)
}

// strangers: another receiver's stream is not there, and neither is one that never was.
func strangers(t *try) {
	stream := t.create(object{"description": "mine"})
	before := t.manage("GET", one(t.streams(), idOf(stream)), nil)
	other := t.program.take("tidings")
	defer t.program.give("tidings", other)
	unknown := object{"stream_id": "00000000-0000-4000-8000-000000000000", "delivery": object{
		"method": "urn:ietf:rfc:8936", "endpoint_url": strings.Replace(pollURL(stream), idOf(stream), "00000000-0000-4000-8000-000000000000", 1)}}
	never := t.calls(unknown)
	for i, c := range t.calls(stream) {
		if c.name == "create" {
			continue
		}
		a := t.call(c.method, c.url, other.token, c.sent())
		if c.name == "list" {
			t.check(a.status == 200 && a.array() != nil && len(a.array()) == 0, "AU-02 AU-09", "another receiver lists %v", a)
			continue
		}
		t.check(a.status == 404, "AU-02 AU-04", "%s by another receiver answered %v", c.name, a)
		b := t.call(never[i].method, never[i].url, other.token, never[i].sent())
		t.check(a.status == b.status && string(a.body) == string(b.body) && a.media() == b.media(), "AU-04", "%s tells a foreign stream (%v) from an unknown one (%v)", c.name, a, b)
	}
	t.check(string(t.manage("GET", one(t.streams(), idOf(stream)), nil).body) == string(before.body), "AU-02", "another receiver changed the stream")
	s := t.manage("GET", one(t.statuses(), idOf(stream)), nil)
	t.check(s.object()["status"] == "enabled", "AU-02", "another receiver changed the status: %v", s)
}
