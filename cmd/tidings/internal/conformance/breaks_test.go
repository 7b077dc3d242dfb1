package conformance

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// fracture is a way to break one row.
type fracture struct {
	row, how string
	in       string // the proof that has to turn red; the first that names the row if empty
	by       breaker
	wire
}

// The paths of the program's endpoints, as far as a fracture has to know them.
const (
	metadataAt = "/.well-known/ssf-configuration"
	keysAt     = "/jwks.json"
	streamsAt  = "/ssf/streams"
	statusAt   = "/ssf/status"
	verifyAt   = "/ssf/verify"
	pollAt     = "/ssf/poll/"
	addAt      = "/ssf/subjects:add"
	removeAt   = "/ssf/subjects:remove"
)

// matches: "POST /ssf/poll/" is a method and a part of the path, "push" a push, "" anything from the receiver.
func (x *exchange) matches(what string) bool {
	if what == "push" || x.push {
		return what == "push" && x.push
	}
	method, part, _ := strings.Cut(what, " ")
	return what == "" || method == x.req.Method && strings.Contains(x.req.URL.Path, part)
}

// after changes the answer, before the request; instead there is no program.
func after(what string, edit func(x *exchange)) breaker {
	return func(x *exchange, pass func()) {
		pass()
		if x.matches(what) {
			edit(x)
		}
	}
}

func before(what string, edit func(x *exchange)) breaker {
	return func(x *exchange, pass func()) {
		if x.matches(what) {
			edit(x)
		}
		pass()
	}
}

func instead(what string, answer func(x *exchange) bool) breaker {
	return func(x *exchange, pass func()) {
		x.header = http.Header{"Content-Type": {"application/json"}}
		if !x.matches(what) || !answer(x) {
			pass()
		}
	}
}

// turn makes a status out of another, where the request holds a text.
func turn(what string, from, to int, holding string) breaker {
	return after(what, func(x *exchange) {
		if x.status == from && (strings.Contains(string(x.body), holding) || strings.Contains(x.req.URL.RawQuery, holding)) {
			x.status = to
		}
	})
}

// swallow answers in the program's place where the request holds a text.
func swallow(what string, status int, holding string) breaker {
	return instead(what, func(x *exchange) bool {
		x.status = status
		return strings.Contains(string(x.body), holding)
	})
}

// doc changes the objects of a good JSON answer.
func doc(what string, edit func(m object)) breaker {
	return after(what, func(x *exchange) {
		var v any
		if x.status >= 300 || json.Unmarshal(x.answer, &v) != nil {
			return
		}
		list, isList := v.([]any)
		if !isList {
			list = []any{v}
		}
		for _, m := range list {
			edit(m.(object))
		}
		x.answer = []byte(text(v))
	})
}

// said changes the JSON object of a request.
func said(what string, edit func(m object)) breaker {
	return before(what, func(x *exchange) {
		var m object
		if json.Unmarshal(x.body, &m) == nil {
			edit(m)
			x.body = []byte(text(m))
		}
	})
}

type missing struct{}

// put gives a member another value, or takes it away.
func put(name string, value any) func(object) {
	return func(m object) {
		if value == (missing{}) {
			delete(m, name)
		} else {
			m[name] = value
		}
	}
}

func metadataWith(name string, value any) breaker {
	if value == nil {
		value = missing{}
	}
	if _, list := value.([]any); list {
		return doc("GET "+metadataAt, func(m object) { m[name] = value })
	}
	return doc("GET "+metadataAt, put(name, value))
}

func streamWith(edit func(object)) breaker { return doc("POST "+streamsAt, edit) }

func deliveryWith(name string, value any) breaker {
	return streamWith(func(m object) { put(name, value)(m["delivery"].(object)) })
}

func header(what, name, value string) breaker {
	return after(what, func(x *exchange) {
		x.header.Del(name)
		if value != "" {
			x.header.Set(name, value)
		}
	})
}

// tokens changes every token by its compact text, and the keys with them.
func tokens(edit func(compact string) string) breaker {
	return func(x *exchange, pass func()) {
		if x.push {
			x.body = []byte(edit(string(x.body)))
		}
		pass()
		var m object
		if x.push || x.status != 200 || json.Unmarshal(x.answer, &m) != nil {
			return
		}
		switch {
		case strings.Contains(x.req.URL.Path, keysAt):
			forgeKeys(m)
		case strings.Contains(x.req.URL.Path, pollAt):
			sets, _ := m["sets"].(object)
			forged := object{}
			for _, compact := range sets {
				out := edit(compact.(string))
				jti, _ := decodePart(strings.Split(out, ".")[1])["jti"].(string)
				forged[jti] = out
			}
			m["sets"] = forged
		default:
			return
		}
		x.answer = []byte(text(m))
	}
}

func forged(edit func(header, claims object)) breaker {
	return tokens(func(compact string) string { return forge(compact, edit) })
}

func claim(name string, value any) breaker {
	return forged(func(_, claims object) { put(name, value)(claims) })
}

// told changes the events of a type, by the last part of its name.
func told(event string, edit func(claims, payload object)) breaker {
	return forged(func(_, claims object) {
		for name, payload := range claims["events"].(object) {
			if strings.HasSuffix(name, event) {
				edit(claims, payload.(object))
			}
		}
	})
}

func payload(event, name string, value any) breaker {
	return told(event, func(_, p object) { put(name, value)(p) })
}

func renamed(event, to string) breaker {
	return told(event, func(c, p object) { c["events"] = object{to: p} })
}

func named(event string, subject object) breaker {
	return told(event, func(c, _ object) { c["sub_id"] = subject })
}

// twice delivers what matches two times.
func twice(x *exchange, pass func()) {
	pass()
	if x.push {
		pass()
	}
}

// polls changes what a poll says.
func polls(edit func(m object)) breaker { return said("POST "+pollAt, edit) }

func polledWith(edit func(m object)) breaker { return doc("POST "+pollAt, edit) }

var breaks = slices.Concat(discoveryBreaks, streamBreaks, accessBreaks, statusBreaks, pushBreaks, pollBreaks, tokenBreaks, subjectBreaks, eventBreaks)

var discoveryBreaks = []fracture{
	{row: "WK-01", how: "not between host and path", by: turn("GET "+metadataAt, 200, 404, "")},
	{row: "WK-02", how: "not with a slash at the end", by: after("GET "+metadataAt+"/tenant/", func(x *exchange) { x.status = 404 })},
	{row: "WK-03", how: "as text", by: header("GET "+metadataAt, "Content-Type", "text/plain")},
	{row: "WK-04", how: "another slash", by: doc("GET "+metadataAt, func(m object) { m["issuer"] = m["issuer"].(string) + "/" })},
	{row: "WK-04", how: "no slash", in: "on the internet", by: doc("GET "+metadataAt, func(m object) { m["issuer"] = strings.TrimSuffix(m["issuer"].(string), "/") })},
	{row: "WK-05", how: "a legacy document", by: turn("GET /.well-known/risc-configuration", 404, 200, "")},
	{row: "WK-06", how: "every tenant", by: turn("GET "+metadataAt+"/other", 404, 200, "")},
	{row: "WK-06", how: "the Host as issuer", by: after("GET "+metadataAt, func(x *exchange) {
		x.answer = []byte(strings.ReplaceAll(string(x.answer), "127.0.0.1", x.req.Host))
	})},
	{row: "MD-01", how: "missing", by: metadataWith("spec_version", nil)},
	{row: "CI-02", how: "a draft", by: metadataWith("spec_version", "1_0-ID1")},
	{row: "MD-02", how: "another issuer", by: metadataWith("issuer", "https://evil.example")},
	{row: "MD-03", how: "missing", by: metadataWith("jwks_uri", nil)},
	{row: "CI-04", how: "missing", by: metadataWith("jwks_uri", nil)},
	{row: "MD-04", how: "no poll", by: metadataWith("delivery_methods_supported", []any{"urn:ietf:rfc:8935"})},
	{row: "CI-03", how: "missing", by: metadataWith("delivery_methods_supported", nil)},
	{row: "MD-05", how: "missing", by: metadataWith("configuration_endpoint", nil)},
	{row: "CI-05", how: "missing", by: metadataWith("configuration_endpoint", nil)},
	{row: "MD-06", how: "missing", by: metadataWith("status_endpoint", nil)},
	{row: "CI-06", how: "missing", by: metadataWith("status_endpoint", nil)},
	{row: "MD-07", how: "missing", by: metadataWith("add_subject_endpoint", nil)},
	{row: "MD-08", how: "missing", by: metadataWith("remove_subject_endpoint", nil)},
	{row: "MD-09", how: "missing", by: metadataWith("verification_endpoint", nil)},
	{row: "CI-07", how: "missing", by: metadataWith("verification_endpoint", nil)},
	{row: "MD-10", how: "missing", by: metadataWith("critical_subject_members", nil)},
	{row: "MD-11", how: "no spec_urn", by: metadataWith("authorization_schemes", []any{object{"urn": "urn:ietf:rfc:6749"}})},
	{row: "CI-08", how: "mTLS only", by: metadataWith("authorization_schemes", []any{object{"spec_urn": "urn:ietf:rfc:8705"}})},
	{row: "MD-12", how: "something", by: metadataWith("default_subjects", "SOME")},
	{row: "CI-11", how: "none", by: metadataWith("default_subjects", "NONE")},
	{row: "MD-13", how: "there", by: metadataWith("events_supported", []any{revoked})},
	{row: "MD-20", how: "an empty array", by: metadataWith("critical_subject_members", []any{})},
	{row: "MD-21", how: "for authorized receivers", by: after("GET "+metadataAt, func(x *exchange) {
		if x.req.Header.Get("Authorization") == "" {
			x.status = 401
		}
	})},
	{row: "MD-23", how: "with credentials only", in: "key set", by: turn("GET "+keysAt, 200, 401, "")},
	{row: "MD-23", how: "plain HTTP", in: "on the internet", by: doc("GET "+metadataAt, func(m object) {
		m["status_endpoint"] = strings.Replace(m["status_endpoint"].(string), "https", "http", 1)
	})},
	{row: "MD-24", how: "keys without kid", by: doc("GET "+keysAt, func(m object) { delete(m["keys"].([]any)[0].(object), "kid") })},
	{row: "CI-01", how: "TLS 1.1", wire: wire{oldTLS: true}},
	{row: "EV-07", how: "TLS 1.1", wire: wire{oldTLS: true}},
	{row: "PB-17", how: "TLS 1.1", wire: wire{oldTLS: true}},
	{row: "CR-10", how: "any host", by: turn("POST "+streamsAt, 400, 201, "169.254")},
	{row: "PU-01", how: "plain HTTP", by: turn("POST "+streamsAt, 400, 201, "http://receiver.example")},
	{row: "PU-09", how: "loopback", by: turn("POST "+streamsAt, 400, 201, "localhost")},
}

var streamBreaks = []fracture{
	{row: "SC-01", how: "reserved characters", by: streamWith(func(m object) { m["stream_id"] = "a/b" })},
	{row: "SC-02", how: "another issuer", by: streamWith(put("iss", "https://evil.example"))},
	{row: "SC-03", how: "another audience", by: streamWith(put("aud", "urn:evil"))},
	{row: "DE-09", how: "shared by all", by: streamWith(put("aud", "https://receivers.example"))},
	{row: "SC-04", how: "missing", by: streamWith(put("events_supported", missing{}))},
	{row: "SC-06", how: "more than supported", by: streamWith(func(m object) { m["events_delivered"] = append(m["events_delivered"].([]any), "urn:x") })},
	{row: "SC-07", how: "missing", by: streamWith(put("delivery", missing{}))},
	{row: "SC-08", how: "missing", by: deliveryWith("endpoint_url", missing{})},
	{row: "SC-10", how: "text", by: streamWith(put("min_verification_interval", "soon"))},
	{row: "SC-22", how: "shown", by: deliveryWith("authorization_header", "secret")},
	{row: "PR-11", how: "shown", by: deliveryWith("authorization_header", "secret")},
	{row: "SC-22", how: "lost by writing back", in: "put", by: said("PUT "+streamsAt, func(m object) {
		if d, ok := m["delivery"].(object); ok {
			d["authorization_header"] = ""
		}
	})},
	{row: "CR-06", how: "no iss", by: streamWith(put("iss", missing{}))},
	{row: "CI-09", how: "another method", by: deliveryWith("method", "urn:x")},
	{row: "RD-04", how: "stored", by: header("POST "+streamsAt, "Cache-Control", "public")},
	{row: "CR-01", how: "refused", by: turn("POST "+streamsAt, 201, 400, "")},
	{row: "AU-08", how: "not offered", by: turn("POST "+streamsAt, 201, 404, "")},
	{row: "CI-10", how: "refused", by: turn("POST "+streamsAt, 201, 403, "")},
	{row: "CR-02", how: "push", by: deliveryWith("method", "urn:ietf:rfc:8935")},
	{row: "DE-04", how: "push", by: deliveryWith("method", "urn:ietf:rfc:8935")},
	{row: "CR-03", how: "no endpoint_url", by: deliveryWith("endpoint_url", missing{})},
	{row: "DE-05", how: "one URL", by: streamWith(func(m object) {
		d := m["delivery"].(object)
		d["endpoint_url"], _, _ = strings.Cut(d["endpoint_url"].(string), pollAt)
	})},
	{row: "CR-04", how: "taken", by: turn("POST "+streamsAt, 400, 201, "pigeon")},
	{row: "CR-05", how: "refused", by: turn("POST "+streamsAt, 201, 403, "second")},
	{row: "CR-07", how: "200", by: turn("POST "+streamsAt, 201, 200, "second")},
	{row: "CR-08", how: "paused", by: doc("GET "+statusAt, put("status", "paused"))},
	{row: "CR-09", how: "chosen", by: after("POST "+streamsAt, func(x *exchange) {
		if strings.Contains(string(x.body), "urn:evil") {
			m := answer{body: x.answer}.object()
			m["aud"] = "urn:evil"
			x.answer = []byte(text(m))
		}
	})},
	{row: "SC-05", how: "refused", by: turn("POST "+streamsAt, 201, 400, "urn:example:unknown")},
	{row: "SC-11", how: "another", by: streamWith(func(m object) {
		if m["description"] != nil {
			m["description"] = "another"
		}
	})},
	{row: "SC-20", how: "nothing", by: streamWith(put("events_delivered", []any{}))},
	{row: "SC-21", how: "left out", by: streamWith(func(m object) {
		if len(m["events_delivered"].([]any)) == 0 {
			delete(m, "events_delivered")
		}
	})},
	{row: "CI-32", how: "without session-revoked", by: streamWith(func(m object) {
		m["events_delivered"] = slices.DeleteFunc(m["events_delivered"].([]any), func(v any) bool { return v == revoked })
	})},
	{row: "RD-01", how: "an object for one", by: after("GET "+streamsAt, func(x *exchange) {
		if list := (answer{body: x.answer}).array(); len(list) == 1 {
			x.answer = []byte(text(list[0]))
		}
	})},
	{row: "RD-02", how: "404 for none", by: after("GET "+streamsAt, func(x *exchange) {
		if string(x.answer) == "[]" {
			x.status = 404
		}
	})},
	{row: "RD-03", how: "an array", by: after("GET "+streamsAt, func(x *exchange) {
		if m := (answer{body: x.answer}).object(); x.status == 200 && m != nil {
			x.answer = []byte(text([]any{m}))
		}
	})},
	{row: "AU-04", how: "403", by: turn("GET "+streamsAt, 404, 403, "")},
	{row: "AU-04", how: "foreign and unknown answer differently", in: "strangers", by: after("", func(x *exchange) {
		if x.status == 404 && strings.Contains(x.req.URL.String()+string(x.body), "00000000-0000") {
			x.answer = []byte(`{"title":"There is no such stream"}`)
		}
	})},
	{row: "AU-09", how: "only one", by: after("GET "+streamsAt, func(x *exchange) {
		if list := (answer{body: x.answer}).array(); len(list) > 1 {
			x.answer = []byte(text(list[:1]))
		}
	})},

	{row: "UP-01", how: "stream_id in the query", by: after("PATCH "+streamsAt, func(x *exchange) {
		if x.req.URL.RawQuery != "" {
			x.status = 200
		}
	})},
	{row: "UP-02", how: "description ignored", by: said("PATCH "+streamsAt, put("description", missing{}))},
	{row: "UP-03", how: "description lost", by: said("PATCH "+streamsAt, func(m object) {
		if m["description"] == nil {
			m["description"] = nil
		}
	})},
	{row: "UP-05", how: "taken", by: turn("PATCH "+streamsAt, 400, 200, "evil")},
	{row: "UP-09", how: "taken", by: turn("PATCH "+streamsAt, 400, 200, "urn:evil")},
	{row: "UP-07", how: "held against what will be", by: after("PATCH "+streamsAt, func(x *exchange) {
		if x.status == 200 && strings.Contains(string(x.body), `"extra"`) {
			x.status = 400
		}
	})},
	{row: "UP-08", how: "as it was", by: doc("PATCH "+streamsAt, func(m object) { m["events_delivered"] = m["events_supported"] })},
	{row: "UP-11", how: "400", by: turn("PATCH "+streamsAt, 404, 400, "nobody")},
	{row: "UP-13", how: "refused", by: turn("PATCH "+streamsAt, 200, 400, `"extra"`)},
	{row: "UP-14", how: "kept for another endpoint", by: said("PATCH "+streamsAt, func(m object) {
		if d, ok := m["delivery"].(object); ok {
			d["authorization_header"] = "Bearer theirs"
		}
	})},
	{row: "UP-04", how: "as PATCH", by: before("PUT "+streamsAt, func(x *exchange) { x.req.Method = "PATCH" })},
	{row: "UP-06", how: "needed", by: after("PUT "+streamsAt, func(x *exchange) {
		if !strings.Contains(string(x.body), `"iss"`) {
			x.status = 400
		}
	})},
	{row: "UP-12", how: "the queue is lost", by: polledWith(put("sets", object{}))},
	{row: "DL-01", how: "200", by: turn("DELETE "+streamsAt, 204, 200, "")},
	{row: "DL-02", how: "again", by: turn("DELETE "+streamsAt, 404, 204, "")},
	{row: "DL-03", how: "500", by: turn("POST "+pollAt, 404, 500, "")},
}

var accessBreaks = []fracture{
	{row: "AU-01", how: "open", by: turn("", 401, 200, "")},
	{row: "AU-02", how: "everybody's", by: turn("", 404, 200, "")},
	{row: "AU-03", how: "403", by: turn("", 401, 403, "")},
	{row: "AU-05", how: "any role", by: turn("", 403, 200, "")},
	{row: "AU-06", how: "no challenge", by: header("", "WWW-Authenticate", "")},
	{row: "AU-07", how: "taken", by: turn("", 400, 200, "access_token")},
	{row: "CI-18", how: "taken", by: turn("", 400, 200, "access_token")},
	{row: "CI-19", how: "not looked at", by: turn("", 401, 200, "")},
	{row: "CI-20", how: "no error", by: header("", "WWW-Authenticate", "Bearer")},
	{row: "DE-06", how: "no challenge", by: header("POST "+pollAt, "WWW-Authenticate", "")},
	{row: "PB-16", how: "no challenge", by: header("POST "+pollAt, "WWW-Authenticate", "")},
	{row: "MD-22", how: "open", by: turn("POST "+pollAt, 401, 200, "")},
	{row: "PB-22", how: "open", by: turn("POST "+pollAt, 401, 200, "")},
}

var statusBreaks = []fracture{
	{row: "ST-01", how: "404", by: turn("GET "+statusAt, 200, 404, "")},
	{row: "ST-02", how: "another word", by: doc("GET "+statusAt, put("status", "active"))},
	{row: "ST-03", how: "enabled", by: turn("GET "+statusAt, 404, 200, "nobody")},
	{row: "ST-04", how: "204", by: turn("POST "+statusAt, 200, 204, "")},
	{row: "ST-06", how: "taken", by: turn("POST "+statusAt, 400, 200, "asleep")},
	{row: "ST-07", how: "forgotten", by: doc("GET "+statusAt, put("reason", missing{}))},
	{row: "ST-08", how: "all at once", by: doc("GET "+statusAt, put("status", "paused"))},
	{row: "ST-17", how: "409", by: turn("POST "+statusAt, 200, 409, "enabled")},
	{row: "ST-10", how: "something else", by: payload("prov:patch:notice", "attributes", []string{"nickName"})},
	{row: "ST-11", how: "goes on", by: said("POST "+statusAt, func(m object) {
		if m["status"] == "paused" {
			m["status"] = "enabled"
		}
	})},
	{row: "ST-11", how: "goes on", in: "pause of a push", by: said("POST "+statusAt, put("status", "enabled"))},
	{row: "ST-12", how: "forgotten", by: swallow("POST "+verifyAt, 204, "")},
	{row: "ST-13", how: "forgotten", by: swallow("POST "+verifyAt, 204, "after")},
	{row: "ST-14", how: "held", by: said("POST "+statusAt, func(m object) {
		if m["status"] == "disabled" {
			m["status"] = "paused"
		}
	})},
	{row: "ST-15", how: "500", by: turn("POST "+verifyAt, 204, 500, "meanwhile")},
	{row: "ST-16", how: "not held", by: withoutTheHeld()},
	{row: "VE-01", how: "202", by: turn("POST "+verifyAt, 204, 202, "")},
	{row: "VE-02", how: "another type", by: renamed("/verification", "https://schemas.openid.net/secevent/sse/event-type/verification")},
	{row: "VE-03", how: "another subject", by: named("/verification", object{"format": "opaque", "id": "x"})},
	{row: "VE-04", how: "another", by: told("/verification", func(_, p object) {
		if p["state"] != nil {
			p["state"] = "another"
		}
	})},
	{row: "VE-05", how: "made up", by: payload("/verification", "state", "mine")},
	{row: "VE-06", how: "made up", by: payload("/verification", "state", "mine")},
	{row: "VE-07", how: "not sent", by: polledWith(put("sets", object{}))},
	{row: "VE-13", how: "not sent", by: swallow("POST "+verifyAt, 204, "")},
	{row: "VE-08", how: "400", by: turn("POST "+verifyAt, 404, 400, "nobody")},
	{row: "VE-09", how: "any time", by: turn("POST "+verifyAt, 429, 204, "")},
	{row: "VE-09", how: "never", by: turn("POST "+verifyAt, 204, 429, "in time")},
	{row: "PR-10", how: "without limit", by: turn("POST "+verifyAt, 429, 204, "")},
}

// withoutTheHeld drops what a paused stream held.
func withoutTheHeld() breaker {
	var paused string
	return func(x *exchange, pass func()) {
		if m := (answer{body: x.body}).object(); x.matches("POST "+statusAt) && m["status"] == "paused" {
			paused, _ = m["stream_id"].(string)
		}
		pass()
		if m := (answer{body: x.answer}).object(); x.matches("POST "+pollAt) && paused != "" && strings.HasSuffix(x.req.URL.Path, paused) {
			sets, _ := m["sets"].(object)
			for jti, compact := range sets {
				if claims := decodePart(strings.Split(compact.(string), ".")[1]); claims["events"].(object)[patched] != nil {
					delete(sets, jti)
				}
			}
			x.answer = []byte(text(m))
		}
	}
}

var pushBreaks = []fracture{
	{row: "PU-02", how: "as JWT", by: before("push", func(x *exchange) { x.req.Header.Set("Content-Type", "application/jwt") })},
	{row: "EV-04", how: "as JSON", by: before("push", func(x *exchange) { x.req.Header.Set("Content-Type", "application/json") })},
	{row: "PU-01", how: "PUT", in: "push", by: before("push", func(x *exchange) { x.req.Method = "PUT" })},
	{row: "PU-03", how: "anything", by: before("push", func(x *exchange) { x.req.Header.Set("Accept", "*/*") })},
	{row: "PU-04", how: "a line break", by: before("push", func(x *exchange) { x.body = append(x.body, '\n') })},
	{row: "PU-06", how: "another", by: before("push", func(x *exchange) { x.req.Header.Set("Authorization", "Bearer another") })},
	{row: "DE-03", how: "invented", by: before("push", func(x *exchange) { x.req.Header.Set("Authorization", "Bearer x") })},
	{row: "DE-02", how: "left out", by: before("push", func(x *exchange) { x.req.Header.Del("Authorization") })},
	{row: "SC-09", how: "left out", by: before("push", func(x *exchange) { x.req.Header.Del("Authorization") })},
	{row: "SC-23", how: "not verbatim", by: before("push", func(x *exchange) {
		if a := x.req.Header.Get("Authorization"); a != "" {
			x.req.Header.Set("Authorization", "Authorization: "+a)
		}
	})},
	{row: "DE-01", how: "nothing comes", by: instead("push", func(x *exchange) bool { x.status = 202; return true })},
	{row: "PA-01", how: "again", by: twice},
	{row: "PA-02", how: "again", by: twice},
	{row: "RE-01", how: "again", by: twice},
	{row: "RE-06", how: "again", by: twice},
	{row: "PA-07", how: "given up", by: after("push", func(x *exchange) { x.status = 202 })},
	{row: "RE-02", how: "at once", by: twice},
	{row: "RE-03", how: "signed anew", by: forged(func(object, object) {})},
	{row: "PA-03", how: "again", by: twice},
	{row: "PA-04", how: "once more", by: twice},
	{row: "PA-08", how: "followed", by: func(x *exchange, pass func()) {
		pass()
		if x.status == 307 {
			pass()
		}
	}},
	{row: "VE-12", how: "repeated", by: twice},
	{row: "VE-12", how: "refused", in: "poll", by: turn("POST "+pollAt, 200, 400, "invalid_state")},
	{row: "PU-07", how: "any certificate", wire: wire{blind: true}},
}

var pollBreaks = []fracture{
	{row: "PO-01", how: "no limit", by: polls(put("maxEvents", missing{}))},
	{row: "PO-02", how: "held", by: polls(put("returnImmediately", missing{}))},
	{row: "PO-03", how: "not read", by: thereAgain()},
	{row: "PB-05", how: "after the selection", by: thereAgain()},
	{row: "PO-04", how: "refused", by: turn("POST "+pollAt, 200, 400, `"err"`)},
	{row: "PB-11", how: "refused", by: turn("POST "+pollAt, 200, 400, `"err"`)},
	{row: "PO-05", how: "refused", by: turn("POST "+pollAt, 200, 400, `"unknown":1`)},
	{row: "PS-01", how: "an array", by: polledWith(put("sets", []string{}))},
	{row: "PS-02", how: "false", by: polledWith(func(m object) {
		if m["moreAvailable"] == nil {
			m["moreAvailable"] = false
		}
	})},
	{row: "PS-03", how: "as text", by: header("POST "+pollAt, "Content-Type", "text/plain")},
	{row: "PB-03", how: "not read", by: polls(put("maxEvents", missing{}))},
	{row: "PB-06", how: "there again", by: thereAgain()},
	{row: "PB-12", how: "refused", by: turn("POST "+pollAt, 200, 400, `"unknown"`)},
	{row: "PB-01", how: "not held", by: polls(put("returnImmediately", true))},
	{row: "PB-04", how: "gives some", by: after("POST "+pollAt, func(x *exchange) {
		if strings.Contains(string(x.body), `"maxEvents":0`) {
			x.answer = []byte(`{"sets":{"a":"b"}}`)
		}
	})},
	{row: "PB-02", how: "at once", by: polls(put("returnImmediately", true))},
	{row: "PB-07", how: "never again", by: onlyOnce()},
	{row: "PB-08", how: "never again", by: onlyOnce()},
	{row: "PB-20", how: "to two at once", by: toEverybody()},
	{row: "PB-21", how: "lost", by: polledWith(put("sets", object{}))},
	{row: "PB-13", how: "refused", by: turn("POST "+pollAt, 200, 400, `"both"`)},
	{row: "PB-14", how: "taken", by: turn("POST "+pollAt, 400, 200, "")},
	{row: "PB-15", how: "needed", by: after("POST "+pollAt, func(x *exchange) {
		if strings.Contains(string(x.body), `"err"`) && x.req.Header.Get("Content-Language") == "" {
			x.status = 400
		}
	})},
}

// onlyOnce gives each token once.
func onlyOnce() breaker {
	seen := map[string]bool{}
	return polledWith(func(m object) {
		sets, _ := m["sets"].(object)
		for jti := range sets {
			if seen[jti] {
				delete(sets, jti)
			}
			seen[jti] = true
		}
	})
}

// thereAgain gives what was acknowledged beside what is next.
func thereAgain() breaker {
	seen := object{}
	return func(x *exchange, pass func()) {
		pass()
		if !x.matches("POST "+pollAt) || x.status != 200 {
			return
		}
		m := answer{body: x.answer}.object()
		sets, _ := m["sets"].(object)
		for _, jti := range texts(answer{body: x.body}.object()["ack"]) {
			if compact, ok := seen[jti]; ok {
				sets[jti] = compact
			}
		}
		for jti, compact := range sets {
			seen[jti] = compact
		}
		x.answer = []byte(text(m))
	}
}

// toEverybody gives what was given before to whoever asks next.
func toEverybody() breaker {
	var last object
	return polledWith(func(m object) {
		sets, _ := m["sets"].(object)
		if len(sets) == 0 && last != nil {
			m["sets"] = last
		} else if len(sets) > 0 {
			last = sets
		}
	})
}

func both(claims object) {
	list := claims["events"].(object)
	list["urn:ietf:params:scim:event:feed:add"] = object{}
}

func subjectWith(subject any) breaker { return claim("sub_id", subject) }

var tokenBreaks = []fracture{
	{row: "SP-01", how: "JWT", by: forged(func(h, _ object) { h["typ"] = "JWT" })},
	{row: "EV-03", how: "missing", by: forged(func(h, _ object) { delete(h, "typ") })},
	{row: "SP-02", how: "missing", by: claim("sub_id", missing{})},
	{row: "ET-10", how: "missing", by: claim("sub_id", missing{})},
	{row: "RI-24", how: "missing", by: claim("sub_id", missing{})},
	{row: "FM-05", how: "text", by: subjectWith("somebody")},
	{row: "SP-04", how: "there", by: claim("sub", "somebody")},
	{row: "ET-06", how: "there", by: claim("sub", "somebody")},
	{row: "SV-01", how: "as sub", by: claim("sub", "/Users/1")},
	{row: "SP-05", how: "there", by: claim("exp", 1999999999)},
	{row: "ET-07", how: "there", by: claim("exp", 1999999999)},
	{row: "EV-10", how: "there", by: claim("exp", 1999999999)},
	{row: "SP-06", how: "another", by: claim("iss", "https://evil.example")},
	{row: "ET-01", how: "missing", by: claim("iss", missing{})},
	{row: "SP-07", how: "another", by: claim("aud", "urn:evil")},
	{row: "ET-04", how: "missing", by: claim("aud", missing{})},
	{row: "SP-09", how: "missing", by: claim("txn", missing{})},
	{row: "ET-08", how: "missing", by: claim("txn", missing{})},
	{row: "SP-10", how: "two", by: forged(func(_, c object) { both(c) })},
	{row: "EV-01", how: "two", by: forged(func(_, c object) { both(c) })},
	{row: "CI-22", how: "two", by: forged(func(_, c object) { both(c) })},
	{row: "ET-05", how: "none", by: claim("events", object{})},
	{row: "EV-02", how: "null", by: forged(func(_, c object) { c["events"] = object{verification: nil} })},
	{row: "SP-11", how: "in the future", by: claim("iat", time.Now().Unix()+3600)},
	{row: "ET-02", how: "text", by: claim("iat", "now")},
	{row: "ET-03", how: "always the same", in: "push taken", by: before("push", func(x *exchange) {
		x.body = []byte(forge(string(x.body), func(_, c object) { c["jti"] = "always the same one" }))
	})},
	{row: "SP-16", how: "another signature", by: tokens(func(compact string) string {
		return forge(forge(compact, func(_, c object) {}), func(_, c object) {})[:strings.LastIndexByte(compact, '.')+1] + strings.Repeat("A", 86)
	})},
	{row: "EV-05", how: "a symmetric algorithm", by: forged(func(h, _ object) { h["alg"] = "HS256" })},
	{row: "CI-13", how: "another algorithm", by: forged(func(h, _ object) { h["alg"] = "ES256" })},
	{row: "SP-15", how: "another algorithm", by: forged(func(h, _ object) { h["alg"] = "ES256" })},
	{row: "MD-24", how: "another kid", in: "interoperability profile", by: forged(func(h, _ object) { h["kid"] = "another" })},
	{row: "FM-01", how: "another member", by: subjectWith(object{"format": "opaque", "id": "x", "email": "x@people.example"})},
	{row: "FM-02", how: "an unknown format", by: subjectWith(object{"format": "phone", "phone": "+1"})},
	{row: "SI-01", how: "an unknown format", by: subjectWith(object{"format": "employee", "number": "1"})},
	{row: "FM-03", how: "empty", by: subjectWith(object{"format": "opaque", "id": ""})},
	{row: "SI-02", how: "nested", by: subjectWith(object{"format": "complex", "user": object{"format": "complex", "user": object{"format": "opaque", "id": "x"}}})},
	{row: "RI-22", how: "in the payload", by: payload("", "subject_type", "x")},
}

var subjectBreaks = []fracture{
	{row: "SU-01", how: "204", by: turn("POST "+addAt, 200, 204, "")},
	{row: "SU-04", how: "200", by: turn("POST "+removeAt, 204, 200, "")},
	{row: "SU-06", how: "another event", in: "journey by poll", by: renamed("prov:patch:notice", scim+"prov:put:notice")},
	{row: "SU-07", how: "not taken off", by: swallow("POST "+removeAt, 204, "")},
	{row: "SU-07", how: "not added", in: "journey by socket", by: swallow("POST "+addAt, 200, "")},
	{row: "SU-11", how: "not taken off", by: swallow("POST "+removeAt, 204, "")},
	{row: "SU-12", how: "added by PATCH", by: addedByUpdate()},
	{row: "SU-02", how: "refused", by: turn("POST "+addAt, 200, 400, `"verified"`)},
	{row: "SU-03", how: "404", by: turn("POST "+addAt, 200, 404, "nowhere.example")},
	{row: "PR-01", how: "404", by: turn("POST "+removeAt, 204, 404, "nowhere.example")},
	{row: "SU-10", how: "409", by: turn("POST "+addAt, 200, 409, "")},
	{row: "SU-05", how: "404 as 400", by: turn("POST "+addAt, 404, 400, "")},
	{row: "SU-09", how: "taken off", by: polledWith(func(m object) {
		sets, _ := m["sets"].(object)
		for jti, compact := range sets {
			if strings.Contains(text(decodePart(strings.Split(compact.(string), ".")[1])), "still here") {
				delete(sets, jti)
			}
		}
	})},
	{row: "MA-01", how: "refused", by: turn("POST "+removeAt, 204, 400, `,"format":"scim"}`)},
	{row: "MA-06", how: "somebody else", by: swallow("POST "+removeAt, 204, `"complex"`)},
	{row: "MA-07", how: "taken", by: turn("POST "+addAt, 400, 200, "shoe")},
	{row: "MA-08", how: "somebody else", by: swallow("POST "+removeAt, 204, `"aliases"`)},
	{row: "SI-03", how: "refused", by: turn("POST "+removeAt, 204, 400, `phone_number`)},
	{row: "PA-05", how: "tried again and again", by: renamed("stream-updated", verification)},
	{row: "PA-06", how: "not paused", by: doc("GET "+statusAt, put("status", "enabled"))},
	{row: "SE-01", how: "no status", by: payload("stream-updated", "status", missing{})},
	{row: "SE-02", how: "another subject", by: named("stream-updated", object{"format": "opaque", "id": "x"})},
	{row: "SE-03", how: "nothing before", by: renamed("stream-updated", verification)},
	{row: "SE-05", how: "asked for", by: streamWith(func(m object) {
		m["events_delivered"] = append(m["events_delivered"].([]any), "https://schemas.openid.net/secevent/ssf/event-type/stream-updated")
	})},
	{row: "SE-06", how: "told", by: renamed("prov:patch:notice", "https://schemas.openid.net/secevent/ssf/event-type/stream-updated")},
	{row: "SE-09", how: "twice", by: func(x *exchange, pass func()) {
		pass()
		if x.push && strings.Contains(text(decodePart(strings.Split(string(x.body), ".")[1])), "stream-updated") {
			pass()
		}
	}},
	{row: "AU-06", how: "any scope", in: "scopes", by: turn("", 403, 200, "")},
	{row: "CI-15", how: "any scope", in: "scopes", by: turn("", 403, 200, "")},
	{row: "CI-16", how: "reading needs more", by: turn("GET "+streamsAt, 200, 403, "")},
	{row: "CI-30", how: "a poll with ssf.read", by: turn("POST "+pollAt, 403, 200, "")},
	{row: "CI-31", how: "create with ssf.read", by: turn("POST "+streamsAt, 403, 201, "")},
	{row: "CI-19", how: "revoked", in: "scopes", by: turn("", 401, 200, "")},

	{row: "SE-04", how: "another status", by: told("stream-updated", func(_, p object) {
		if p["status"] == "enabled" {
			p["status"] = "paused"
		}
	})},
	{row: "SE-08", how: "not told", by: polledWith(put("sets", object{}))},
	{row: "CI-14", how: "for a day", by: doc("POST /oauth/token", put("expires_in", 86400))},
	{row: "PB-18", how: "for a day", by: doc("POST /oauth/token", put("expires_in", 86400))},
	{row: "CI-21", how: "missing", by: turn("GET /.well-known/oauth-protected-resource", 200, 404, "")},
	{row: "CR-06", how: "twice", in: "bad input", by: turn("POST "+streamsAt, 400, 201, `"description":"a","description":"b"`)},
	{row: "AU-02", how: "changed", in: "bad input", by: doc("GET "+statusAt, func(m object) { m["seen"] = time.Now().UnixNano() })},

	{row: "WS-01", how: "not in the metadata", by: metadataWith("delivery_methods_supported", []any{"urn:ietf:rfc:8935", "urn:ietf:rfc:8936"})},
	{row: "DE-08", how: "not in the metadata", by: metadataWith("delivery_methods_supported", []any{"urn:ietf:rfc:8935", "urn:ietf:rfc:8936"})},
	{row: "WS-02", how: "the token in the query", wire: wire{query: true}},
	{row: "WS-03", how: "another code", wire: wire{close: 1000}},
	{row: "WS-04", how: "other words", wire: wire{down: func(m object) { m["events"] = m["sets"]; delete(m, "sets") }}},
	{row: "WS-05", how: "acknowledgements are lost", wire: wire{up: func(m object) { delete(m, "ack") }}},
	{row: "WS-06", how: "goes on", by: said("POST "+statusAt, put("status", "enabled"))},
	{row: "WS-07", how: "another code", wire: wire{close: 1000}},
	{row: "WS-07", how: "no ping", in: "socket kept alive", wire: wire{mute: true}},
}

// addedByUpdate forgets what was taken off when the stream is updated.
func addedByUpdate() breaker {
	var last *exchange
	return func(x *exchange, pass func()) {
		if x.matches("POST " + removeAt) {
			last = &exchange{req: x.req.Clone(context.Background()), body: x.body}
		}
		pass()
		if x.matches("PATCH "+streamsAt) && last != nil {
			again := *x
			x.req, x.body = last.req, last.body
			x.req.URL.Path = strings.Replace(x.req.URL.Path, removeAt, addAt, 1)
			x.req.Method = "POST"
			pass()
			*x = again
		}
	}
}

var eventBreaks = []fracture{
	{row: "SU-06", how: "not asked for", by: renamed("feed:add", scim+"misc:asyncresp")},
	{row: "CA-01", how: "text", by: payload("session-revoked", "event_timestamp", "now")},
	{row: "CA-05", how: "in the envelope", by: told("session-revoked", func(c, p object) {
		c["event_timestamp"] = p["event_timestamp"]
		delete(p, "event_timestamp")
	})},
	{row: "CA-02", how: "another", by: payload("session-revoked", "initiating_entity", "somebody")},
	{row: "CA-03", how: "empty", by: payload("session-revoked", "reason_admin", object{})},
	{row: "CA-06", how: "text", by: payload("session-revoked", "reason_admin", "why")},
	{row: "SV-06", how: "nothing", by: payload("prov:patch:notice", "attributes", []string{})},
	{row: "SV-07", how: "in a notice", by: payload("prov:patch:notice", "data", object{"title": "x"})},
	{row: "SV-08", how: "neither", by: payload("prov:patch:notice", "attributes", missing{})},
	{row: "MP-01", how: "as a creation", by: renamed("feed:add", scim+"prov:create:notice")},
	{row: "MP-18", how: "as a creation", by: renamed("feed:add", scim+"prov:create:notice")},
	{row: "SV-20", how: "as a creation", by: renamed("feed:add", scim+"prov:create:notice")},
	{row: "MP-02", how: "more than granted", by: payload("prov:patch:notice", "attributes", []string{"title", "displayName"})},
	{row: "EV-12", how: "more than granted", by: payload("prov:patch:notice", "attributes", []string{"title", "displayName"})},
	{row: "PR-08", how: "more than granted", in: "life of a grant", by: payload("prov:patch:notice", "attributes", []string{"title", "displayName"})},
	{row: "PR-03", how: "untold", by: renamed("prov:patch:notice", scim+"feed:add")},
	{row: "SV-24", how: "as a replacement", by: renamed("prov:patch:notice", scim+"prov:put:notice")},
	{row: "PR-06", how: "the value", by: payload("prov:patch:notice", "title", "Head Clerk")},
	{row: "SV-02", how: "absolute", by: named("feed:add", object{"format": "scim", "uri": "https://hub.example/Users/1"})},
	{row: "SV-14", how: "another format", by: named("feed:add", object{"format": "uri", "uri": "/Users/1"})},
	{row: "PR-05", how: "another id", by: named("session-revoked", object{"format": "opaque", "id": "x"})},
	{row: "CI-12", how: "another format", by: named("session-revoked", object{"format": "opaque", "id": "x"})},
	{row: "FM-04", how: "another format", by: named("session-revoked", object{"format": "uri", "uri": "urn:x"})},
	{row: "MP-05", how: "the revocation is missing", by: renamed("session-revoked", risc+"account-disabled")},
	{row: "SV-30", how: "as a change", by: renamed("prov:deactivate", patched)},
	{row: "RI-03", how: "as purged", by: renamed("account-disabled", risc+"account-purged")},
	{row: "SV-05", how: "another cause", by: told("prov:deactivate", func(c, _ object) { c["txn"] = "another" })},
	{row: "SP-09", how: "another cause", in: "life of a grant", by: told("account-disabled", func(c, _ object) { c["txn"] = "another" })},
	{row: "MP-32", how: "another time", by: payload("session-revoked", "event_timestamp", 1)},
	{row: "MP-06", how: "as added", by: renamed("prov:activate", scim+"feed:add")},
	{row: "SV-29", how: "as added", by: renamed("prov:activate", scim+"feed:add")},
	{row: "RI-04", how: "as disabled", by: renamed("account-enabled", risc+"account-disabled")},
	{row: "MP-30", how: "left disabled", by: renamed("prov:activate", scim+"prov:deactivate")},
	{row: "MP-09", how: "as created", by: payload("credential-change", "change_type", "create")},
	{row: "CA-12", how: "no credential_type", by: payload("credential-change", "credential_type", missing{})},
	{row: "CA-04", how: "text", by: payload("session-revoked", "reason_user", "Signed out.")},
	{row: "CA-07", how: "the admin's", by: payload("", "reason_user", object{"en": "user1@people.example"})},
	{row: "CA-25", how: "x509 of a password", by: payload("credential-change", "x509_serial", "1")},
	{row: "MP-08", how: "as deleted", by: renamed("prov:deactivate", scim+"prov:delete")},
	{row: "RI-23", how: "another format", by: told("identifier-changed", func(c, _ object) {
		if c["sub_id"].(object)["format"] == "phone_number" {
			c["sub_id"] = object{"format": "phone", "phone": "+4930901820"}
		}
	})},
	{row: "MP-19", how: "with the value", by: told("prov:patch:notice", func(_, p object) {
		if text(p["attributes"]) == `["nickName"]` {
			p["nickName"] = "Annie"
		}
	})},
	{row: "SP-08", how: "one for all", by: claim("jti", "one for all of them")},
	{row: "EV-11", how: "that of access tokens", by: claim("aud", "https://hub.example")},
	{row: "EV-13", how: "one for all", by: named("prov:patch:notice", object{"format": "scim", "uri": "/Users/1"})},
	{row: "SV-22", how: "as added", by: renamed("prov:create:notice", scim+"feed:add")},
	{row: "PR-07", how: "not told", by: renamed("prov:create:notice", scim+"feed:add")},
	{row: "MP-16", how: "no members", by: payload("prov:patch:notice", "attributes", []string{"displayName"})},
	{row: "CA-20", how: "another type", by: payload("credential-change", "credential_type", "secret")},
	{row: "CA-21", how: "another word", by: payload("credential-change", "change_type", "renew")},
	{row: "MP-03", how: "the new address", by: named("identifier-changed", object{"format": "email", "email": "anna@new.example"})},
	{row: "RI-05", how: "the person", by: named("identifier-changed", object{"format": "opaque", "id": "x"})},
	{row: "MP-04", how: "another id", by: told("prov:patch:notice", func(c, p object) {
		if text(p["attributes"]) == `["emails"]` {
			c["sub_id"] = object{"format": "scim", "uri": "/Users/another"}
		}
	})},
	{row: "MP-20", how: "as a deletion", by: renamed("feed:remove", scim+"prov:delete")},
	{row: "SV-21", how: "as a deletion", by: renamed("feed:remove", scim+"prov:delete")},
	{row: "PR-12", how: "as a change", by: renamed("feed:remove", patched)},
	{row: "MP-07", how: "as an end", by: renamed("prov:delete", scim+"feed:remove")},
	{row: "SV-28", how: "with an ending", by: renamed("prov:delete", scim+"prov:delete:notice")},
	{row: "RI-02", how: "as disabled", by: renamed("account-purged", risc+"account-disabled")},

	{row: "RI-08", how: "another move", by: renamed("/opt-in", risc+"opt-out-initiated")},
	{row: "RI-09", how: "another move", by: renamed("/opt-out-initiated", risc+"opt-in")},
	{row: "RI-10", how: "another move", by: renamed("/opt-out-cancelled", risc+"opt-in")},
	{row: "RI-11", how: "another move", by: renamed("/opt-out-effective", risc+"opt-in")},
	{row: "RI-20", how: "not kept", by: renamed("prov:patch:notice", revoked)},
	{row: "MP-31", how: "told to all", by: renamed("session-revoked", risc+"opt-out-effective")},
	{row: "SV-25", how: "no operations", by: payload("prov:patch:full", "data", object{"title": "Seen"})},
	{row: "SV-13", how: "another value", by: payload("prov:patch:full", "data", object{"Operations": []any{}})},
	{row: "SV-23", how: "no id", by: told("prov:create:full", func(_, p object) { delete(p["data"].(object), "id") })},
	{row: "CA-11", how: "no claims", by: payload("token-claims-change", "claims", missing{})},
	{row: "MP-23", how: "another value", by: payload("token-claims-change", "claims", object{"job": "Unseen"})},
	{row: "CA-10", how: "another type", by: renamed("session-revoked", risc+"sessions-revoked")},
	{row: "MP-22", how: "another type", by: renamed("session-revoked", risc+"sessions-revoked")},
	{row: "CI-23", how: "no reason_admin", by: payload("session-revoked", "reason_admin", missing{})},
	{row: "CI-24", how: "no reason_admin", by: payload("credential-change", "reason_admin", missing{})},
	{row: "CI-25", how: "no reason_admin", by: payload("device-compliance-change", "reason_admin", missing{})},
	{row: "MP-21", how: "all sessions", by: withoutMember("session-revoked")},
	{row: "SP-13", how: "all devices", by: withoutMember("device-compliance-change")},
	{row: "MP-11", how: "no AAGUID", by: payload("credential-change", "fido2_aaguid", missing{})},
	{row: "CA-13", how: "no level", by: payload("assurance-level-change", "current_level", missing{})},
	{row: "CA-22", how: "another namespace", by: payload("assurance-level-change", "namespace", "mine")},
	{row: "CA-23", how: "another direction", by: payload("assurance-level-change", "change_direction", "up")},
	{row: "CA-24", how: "no level before", by: payload("assurance-level-change", "previous_level", missing{})},
	{row: "MP-24", how: "another type", by: renamed("assurance-level-change", caep+"risk-level-change")},
	{row: "CA-14", how: "another word", by: payload("device-compliance-change", "current_status", "bad")},
	{row: "MP-25", how: "another type", by: renamed("device-compliance-change", caep+"risk-level-change")},
	{row: "CA-15", how: "amr as text", by: payload("session-established", "amr", "otp")},
	{row: "CA-16", how: "no fp_ua", by: payload("session-presented", "fp_ua", missing{})},
	{row: "CA-17", how: "lower case", by: payload("risk-level-change", "current_level", "high")},
	{row: "RI-07", how: "no credential_type", by: payload("credential-compromise", "credential_type", missing{})},
	{row: "MP-13", how: "another type", by: renamed("credential-compromise", caep+"credential-change")},
	{row: "RI-01", how: "another type", by: renamed("account-credential-change-required", risc+"credential-compromise")},
	{row: "MP-12", how: "another type", by: renamed("account-credential-change-required", risc+"credential-compromise")},
	{row: "RI-12", how: "another type", by: renamed("recovery-activated", risc+"recovery-information-changed")},
	{row: "MP-14", how: "another type", by: renamed("recovery-activated", risc+"recovery-information-changed")},
	{row: "RI-13", how: "another type", by: renamed("recovery-information-changed", risc+"recovery-activated")},
	{row: "RI-06", how: "the person", by: named("identifier-recycled", object{"format": "opaque", "id": "x"})},
	{row: "RI-14", how: "offered", by: streamWith(func(m object) { m["events_supported"] = append(m["events_supported"].([]any), risc+"sessions-revoked") })},
}

// withoutMember takes from a complex subject what narrows it.
func withoutMember(event string) breaker {
	return told(event, func(c, _ object) {
		if sub := c["sub_id"].(object); sub["format"] == "complex" {
			c["sub_id"] = sub["user"]
		}
	})
}
