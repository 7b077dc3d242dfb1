package conformance

import (
	"net/http"
	"strings"
)

// badInput: what cannot be understood gets its status code, and nothing has changed.
func badInput(t *try) {
	mine := t.create(object{"description": "mine", "events_requested": []string{patched}})
	pushes := t.push(t.hook(), object{"authorization_header": "Bearer very secret"})
	t.status(idOf(pushes), "paused")
	id := idOf(mine)
	state := func() string {
		var all []string
		for _, url := range []string{t.streams(), one(t.statuses(), id), one(t.statuses(), idOf(pushes))} {
			all = append(all, string(t.manage("GET", url, nil).body))
		}
		return strings.Join(all, "\n")
	}
	before := state()
	large := strings.Repeat("x", 1<<20)
	with := func(members string) string { return `{"stream_id":"` + id + `",` + members + `}` }
	verify, add, remove := t.endpoint("verification_endpoint"), t.endpoint("add_subject_endpoint"), t.endpoint("remove_subject_endpoint")
	delivery := `"delivery":{"method":"urn:ietf:rfc:8936","endpoint_url":"` + pollURL(mine) + `"}`
	somebody := `"subject":{"format":"opaque","id":"x"}`

	type bad struct {
		rows, method, url string
		bodies            []string
	}
	// What no call takes, whatever it is for.
	never := func(rest string) []string {
		return []string{
			``, `{`, `[]`, `null`, `"x"`, `7`, with(rest) + `{}`, with(rest + `,"stream_id":"` + id + `"`), with(rest + `,"x":{"a":1,"a":2}`),
			with(rest + `,"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000)), "{\"stream_id\":\"" + id + "\"," + rest + ",\"x\":\"\xff\"}",
		}
	}
	for _, c := range []bad{
		{"CR-06", "POST", t.streams(), append(never(`"description":"evil"`),
			`{"delivery":"push"}`, `{"delivery":[]}`, `{"delivery":{"method":7}}`, `{"delivery":{"method":"urn:ietf:rfc:8935"}}`, `{"description":7}`,
			`{"events_requested":"all"}`, `{"events_requested":[7]}`, `{"events_requested":{}}`, `{"description":"a","description":"b"}`,
			`{"delivery":{"method":"urn:ietf:rfc:8936","method":"urn:ietf:rfc:8935"}}`,
			`{"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"`+strings.Repeat("https://x.example/", 1000)+`"}}`,
			`{"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://x.example/","authorization_header":"a\r\nX: b"}}`)},
		{"UP-01 UP-11", "PATCH", t.streams(), append(never(`"description":"evil"`),
			`{"description":"evil"}`, `{"stream_id":7,"description":"evil"}`, `{"stream_id":"","description":"evil"}`, with(`"description":7`),
			with(`"events_requested":"all"`), with(`"delivery":"poll"`), with(`"aud":7,"description":"evil"`), with(`"events_delivered":"x","description":"evil"`),
			with(`"delivery":{"method":"urn:ietf:rfc:8936","endpoint_url":"https://evil.example/"}`))},
		{"UP-01 UP-11", "PUT", t.streams(), append(never(delivery+`,"description":"evil"`),
			`{`+delivery+`}`, with(`"delivery":7`), with(delivery+`,"iss":7`), with(delivery+`,"min_verification_interval":"1"`))},
		{"ST-06", "POST", t.statuses(), append(never(`"status":"disabled"`),
			with(`"reason":"x"`), with(`"status":7`), with(`"status":"ENABLED"`), with(`"status":"disabled","reason":7`), `{"status":"disabled"}`)},
		{"VE-08", "POST", verify, append(never(`"state":"evil"`), with(`"state":7`), with(`"state":{}`), `{"state":"x"}`)},
		{"SU-05", "POST", add, append(never(somebody), with(`"subject":7`), with(`"verified":true`), with(somebody+`,"verified":"yes"`), `{`+somebody+`}`)},
		{"SU-05", "POST", remove, append(never(somebody), with(`"subject":[]`), with(`"subject":{"format":"opaque","format":"email","id":"x"}`), `{`+somebody+`}`)},
	} {
		for _, body := range c.bodies {
			a := t.ask(c.method, c.url, http.Header{"Authorization": {"Bearer " + t.token}, "Content-Type": {"application/json"}}, body)
			t.check(a.status == 400, c.rows, "%s %s with %.90q answered %v", c.method, c.url, body, a)
			t.check(!strings.Contains(string(a.body), "very secret"), c.rows+" PR-11", "a secret is told")
		}
		for name, body := range map[string]string{"a member": `{"stream_id":"` + id + `","description":"` + large + `","status":"paused","state":"` + large + `"}`, "nothing but space": strings.Repeat(" ", 1<<20)} {
			a := t.ask(c.method, c.url, http.Header{"Authorization": {"Bearer " + t.token}}, body)
			t.check(a.status == 413 || a.status == 400, c.rows, "%s %s with a megabyte of %s answered %v", c.method, c.url, name, a)
		}
		for _, media := range []string{"text/plain", "application/x-www-form-urlencoded", "application/secevent+jwt"} {
			a := t.ask(c.method, c.url, http.Header{"Authorization": {"Bearer " + t.token}, "Content-Type": {media}}, with(`"status":"disabled","description":"evil"`))
			t.check(a.status == 415 || a.status == 400, c.rows, "%s %s as %s answered %v", c.method, c.url, media, a)
		}
		after := state()
		t.check(after == before, c.rows+" AU-02", "%s %s changed something: %s", c.method, c.url, after)
	}
	for _, query := range []string{"?stream_id=", "?stream_id=" + id + "&stream_id=" + id, "?stream_id=%27%20OR%201=1--", "?stream_id=../" + id, "?stream_id=" + strings.Repeat("x", 4000)} {
		for _, endpoint := range []string{t.streams(), t.statuses()} {
			a := t.manage("GET", endpoint+query, nil)
			t.check(a.status == 400 || a.status == 404, "RD-03", "GET with %.60s answered %v", query, a)
		}
		a := t.manage("DELETE", t.streams()+query, nil)
		t.check(a.status == 400 || a.status == 404, "DL-01", "DELETE with %.60s answered %v", query, a)
	}
	t.check(state() == before, "DL-01 AU-02", "something changed: %s", state())
	p := t.poll(mine, atOnce(nil))
	t.check(len(p.sets) == 0, "VE-08", "a refused call is told of: %v", p.raw)
}
