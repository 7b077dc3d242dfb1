package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	_ "github.com/jackc/pgx/v5/stdlib" // for database/sql, as the tests look into either store

	"tidings/events"
)

// attempt is one bad request. The zero values of method, token and media type are what the face's good caller sends.
type attempt struct {
	name         string
	method, path string
	token        string // anonymous for none
	media, body  string
	header       http.Header
	status       int
	kind         string // of the problem, or the scimType
}

const anonymous = "anonymous"

// bad knows what the attempts are made with.
type bad struct {
	*world
	store            *sql.DB
	version          []string // of an embedded store, at the last look
	last             string   // what was seen then
	anna, bert       person
	club             credential
	operator         credential
	revoked          credential
	stream, foreign  string // poll streams of shop and club
	pushing          string // push stream of shop, paused
	own, other, lost string // cursors: the shop's, the club's, one of another hub
	old              string // of the club, before its bounds changed
	expired, used    string // tickets
}

func (s site) bad() *bad {
	s.t.Helper()
	b := &bad{world: s.world("--origin", "https://shop.example")}
	b.store = s.open()
	b.store.SetMaxOpenConns(1) // versions can be compared on one connection only
	b.tidings(&b.club, "party", "add", "--name", "club")
	b.tidings(&b.operator, "token", "add", "--role", "operator", "--name", "op")
	b.tidings(&b.revoked, "token", "add", "--role", "directory", "--name", "old")
	b.tidings(nil, "token", "revoke", b.revoked.ID)
	b.anna = b.person("anna", object{"title": "Clerk"}, "--attributes", "title,emails")
	b.bert = b.person("bert", object{"title": "Cook"})
	var made events.StreamConfiguration
	b.must("POST", "/ssf/streams", b.shop.Token, object{}, &made)
	b.stream = made.StreamID
	b.must("POST", "/ssf/streams", b.club.Token, object{}, &made)
	b.foreign = made.StreamID
	b.must("POST", "/ssf/streams", b.shop.Token, object{"delivery": object{"method": events.MethodPush, "endpoint_url": "http://127.0.0.1:9/", "authorization_header": "secret"}}, &made)
	b.pushing = made.StreamID
	b.must("POST", "/ssf/status", b.shop.Token, object{"stream_id": b.pushing, "status": "paused"}, nil)
	b.own, b.other = b.delta(b.shop.Token, "").Cursor, b.delta(b.club.Token, "").Cursor
	elsewhere := site{s.t, []string{"--store", "sqlite:" + filepath.Join(s.t.TempDir(), "hub.db")}}.world()
	b.lost = elsewhere.delta(elsewhere.shop.Token, "").Cursor
	elsewhere.hub.kill()

	// What only time brings: tickets that were not used in two minutes, a party whose bounds were changed.
	b.expired = b.ticket(b.anna.subject)
	b.query(b.store, "UPDATE scratch SET expires = 1")
	b.old = b.delta(b.club.Token, "").Cursor
	b.query(b.store, "UPDATE party SET generation = generation + 1 WHERE created_at = (SELECT max(created_at) FROM party)") // the club's
	b.used = b.ticket(b.anna.subject)
	b.browser("ticket=" + b.used).conn.Close()
	return b
}

const (
	asJSON = "application/json"
	asSCIM = "application/scim+json"
	user   = `"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"]`
	patch  = `"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]`
)

func (b *bad) attempts() []attempt {
	anna, users := "/scim/v2/Users/"+b.anna.entry, "/scim/v2/Users"
	large := strings.Repeat("x", 2<<20)
	deep := strings.Repeat(`{"a":`, 500) + "1" + strings.Repeat("}", 500)
	post := func(name, path, body string, status int, kind string) attempt {
		return attempt{name: name, method: "POST", path: path, body: body, status: status, kind: kind}
	}
	get := func(name, path string, status int, kind string) attempt {
		return attempt{name: name, method: "GET", path: path, status: status, kind: kind}
	}
	list := []attempt{
		// SCIM (RFC 7644 section 3.12)
		post("malformed", users, `{"userName":`, 400, "invalidSyntax"),
		post("no object", users, `["userName"]`, 400, "invalidSyntax"),
		{name: "empty", method: "POST", path: users, media: asSCIM, status: 400, kind: "invalidSyntax"},
		post("two objects", users, `{`+user+`,"userName":"x"}{}`, 400, "invalidSyntax"),
		post("name twice", users, `{`+user+`,"userName":"x","userName":"y"}`, 400, "invalidSyntax"),
		post("not UTF-8", users, "{"+user+",\"userName\":\"x\xff\"}", 400, "invalidSyntax"),
		post("deep", users, `{`+user+`,"userName":"x","name":`+deep+`}`, 400, "invalidSyntax"),
		post("no userName", users, `{`+user+`}`, 400, "invalidValue"),
		post("wrong type", users, `{`+user+`,"userName":7}`, 400, "invalidValue"),
		post("wrong type inside", users, `{`+user+`,"userName":"x","name":"y"}`, 400, "invalidValue"),
		post("wrong type of active", users, `{`+user+`,"userName":"x","active":"perhaps"}`, 400, "invalidValue"),
		post("taken", users, `{`+user+`,"userName":"ANNA"}`, 409, "uniqueness"),
		post("oversized", users, `{`+user+`,"userName":"`+large+`"}`, 413, ""),
		{name: "media type", method: "POST", path: users, media: "text/plain", body: `{` + user + `,"userName":"x"}`, status: 415},
		{name: "form", method: "POST", path: users, media: "application/x-www-form-urlencoded", body: `userName=x`, status: 415},
		{name: "no media type", method: "POST", path: users, media: "-", body: `{` + user + `,"userName":"x"}`, status: 415},
		{name: "unknown attribute", method: "PATCH", path: anna, body: `{` + patch + `,"Operations":[{"op":"replace","path":"shoeSize","value":"44"}]}`, status: 400, kind: "invalidPath"},
		{name: "bad path", method: "PATCH", path: anna, body: `{` + patch + `,"Operations":[{"op":"replace","path":"emails..value","value":"x"}]}`, status: 400, kind: "invalidPath"},
		{name: "bad filter in a path", method: "PATCH", path: anna, body: `{` + patch + `,"Operations":[{"op":"replace","path":"emails[type eq","value":"x"}]}`, status: 400, kind: "invalidFilter"},
		{name: "unknown operation", method: "PATCH", path: anna, body: `{` + patch + `,"Operations":[{"op":"move","path":"title","value":"x"}]}`, status: 400, kind: "invalidSyntax"},
		{name: "no operations", method: "PATCH", path: anna, body: `{` + patch + `}`, status: 400, kind: "invalidSyntax"},
		{name: "remove nothing", method: "PATCH", path: anna, body: `{` + patch + `,"Operations":[{"op":"remove"}]}`, status: 400, kind: "noTarget"},
		{name: "read-only", method: "PATCH", path: anna, body: `{` + patch + `,"Operations":[{"op":"replace","path":"id","value":"x"}]}`, status: 400, kind: "mutability"},
		{name: "half a patch", method: "PATCH", path: anna, body: `{` + patch + `,"Operations":[{"op":"replace","path":"title","value":"Boss"},{"op":"replace","path":"nope","value":"x"}]}`, status: 400, kind: "invalidPath"},
		{name: "stale version", method: "PATCH", path: anna, header: http.Header{"If-Match": {`W/"77"`}}, body: `{` + patch + `,"Operations":[{"op":"replace","path":"title","value":"Boss"}]}`, status: 412},
		{name: "take a name", method: "PUT", path: anna, body: `{` + user + `,"userName":"bert"}`, status: 409, kind: "uniqueness"},
		get("bad filter", users+`?filter=userName+eq`, 400, "invalidFilter"),
		get("bad operator", users+`?filter=userName+is+%22x%22`, 400, "invalidFilter"),
		get("unbalanced filter", users+`?filter=(userName+eq+%22x%22`, 400, "invalidFilter"),
		get("empty filter", users+`?filter=`, 400, "invalidFilter"),
		get("deep filter", users+`?filter=`+strings.Repeat("not+(", 300)+"title+pr"+strings.Repeat(")", 300), 400, "invalidFilter"),
		get("bad count", users+`?count=many`, 400, "invalidValue"),
		get("unknown person", users+"/"+b.shop.ID, 404, ""),
		get("no id", users+"/%2e%2e%2fx", 404, ""),
		get("unknown endpoint", "/scim/v2/Shoes", 404, ""),
		get("below a person", anna+"/title", 404, ""),
		{name: "method", method: "PUT", path: users, body: `{}`, status: 405},
		{name: "method of a person", method: "POST", path: anna, body: `{}`, status: 405},
		post("bulk", "/scim/v2/Bulk", `{}`, 501, ""),
		{name: "delete unknown", method: "DELETE", path: users + "/" + b.shop.ID, status: 404},

		// streams
		post("malformed", "/ssf/streams", `{"delivery":`, 400, "bad-request"),
		post("no object", "/ssf/streams", `[]`, 400, "bad-request"),
		{name: "empty", method: "POST", path: "/ssf/streams", media: asJSON, status: 400, kind: "bad-request"},
		post("name twice", "/ssf/streams", `{"description":"a","description":"b"}`, 400, "bad-request"),
		post("deep", "/ssf/streams", deep, 400, "bad-request"),
		post("wrong type", "/ssf/streams", `{"delivery":"push"}`, 400, "bad-request"),
		post("wrong type of a list", "/ssf/streams", `{"events_requested":"all"}`, 400, "bad-request"),
		post("unknown method", "/ssf/streams", `{"delivery":{"method":"urn:smtp"}}`, 400, "bad-request"),
		post("no endpoint", "/ssf/streams", `{"delivery":{"method":"urn:ietf:rfc:8935"}}`, 400, "bad-request"),
		post("endpoint is no web URL", "/ssf/streams", `{"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"gopher://x.example/"}}`, 400, "bad-request"),
		post("user in the endpoint", "/ssf/streams", `{"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://a:b@x.example/"}}`, 400, "bad-request"),
		post("line break in the header", "/ssf/streams", `{"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://x.example/","authorization_header":"a\r\nHost: b"}}`, 400, "bad-request"),
		post("oversized", "/ssf/streams", `{"description":"`+large+`"}`, 413, "too-large"),
		{name: "media type", method: "POST", path: "/ssf/streams", media: "text/plain", body: `{}`, status: 415, kind: "media-type"},
		{name: "form", method: "POST", path: "/ssf/streams", media: "application/x-www-form-urlencoded", body: `a=b`, status: 415, kind: "media-type"},
		{name: "patch of nothing", method: "PATCH", path: "/ssf/streams", body: `{"description":"x"}`, status: 400, kind: "bad-request"},
		{name: "patch of a foreign stream", method: "PATCH", path: "/ssf/streams", body: `{"stream_id":"` + b.foreign + `","description":"x"}`, status: 404, kind: "not-found"},
		{name: "patch of what is ours", method: "PATCH", path: "/ssf/streams", body: `{"stream_id":"` + b.stream + `","aud":"urn:x","description":"x"}`, status: 400, kind: "bad-request"},
		{name: "put without delivery", method: "PUT", path: "/ssf/streams", body: `{"stream_id":"` + b.pushing + `"}`, status: 400, kind: "bad-request"},
		get("two streams", "/ssf/streams?stream_id=a&stream_id=b", 400, "bad-request"),
		get("no stream", "/ssf/streams?stream_id=", 400, "bad-request"),
		get("foreign stream", "/ssf/streams?stream_id="+b.foreign, 404, "not-found"),
		get("unknown stream", "/ssf/streams?stream_id="+b.shop.ID, 404, "not-found"),
		get("stream that is no id", "/ssf/streams?stream_id=%27%20OR%201=1", 404, "not-found"),
		{name: "delete of all", method: "DELETE", path: "/ssf/streams", status: 400, kind: "bad-request"},
		{name: "delete of a foreign stream", method: "DELETE", path: "/ssf/streams?stream_id=" + b.foreign, status: 404, kind: "not-found"},
		get("status of nothing", "/ssf/status", 400, "bad-request"),
		get("status of a foreign stream", "/ssf/status?stream_id="+b.foreign, 404, "not-found"),
		post("unknown status", "/ssf/status", `{"stream_id":"`+b.stream+`","status":"sleeping"}`, 400, "bad-request"),
		post("no status", "/ssf/status", `{"stream_id":"`+b.stream+`"}`, 400, "bad-request"),
		post("pause a foreign stream", "/ssf/status", `{"stream_id":"`+b.foreign+`","status":"paused"}`, 404, "not-found"),
		post("verify nothing", "/ssf/verify", `{}`, 400, "bad-request"),
		post("verify a foreign stream", "/ssf/verify", `{"stream_id":"`+b.foreign+`"}`, 404, "not-found"),
		post("state is no text", "/ssf/verify", `{"stream_id":"`+b.stream+`","state":{}}`, 400, "bad-request"),
		post("long state", "/ssf/verify", `{"stream_id":"`+b.stream+`","state":"`+strings.Repeat("x", 5000)+`"}`, 400, "bad-request"),
		{name: "method", method: "PUT", path: "/ssf/verify", body: `{}`, status: 405, kind: "method"},

		// polls (RFC 8936)
		post("malformed", "/ssf/poll/"+b.stream, `{"ack":`, 400, "bad-request"),
		post("wrong type", "/ssf/poll/"+b.stream, `{"ack":"x"}`, 400, "bad-request"),
		post("negative", "/ssf/poll/"+b.stream, `{"maxEvents":-1}`, 400, "bad-request"),
		post("name twice", "/ssf/poll/"+b.stream, `{"ack":[],"ack":[]}`, 400, "bad-request"),
		post("oversized", "/ssf/poll/"+b.stream, `{"ack":["`+large+`"]}`, 413, "too-large"),
		{name: "media type", method: "POST", path: "/ssf/poll/" + b.stream, media: "text/plain", body: `{}`, status: 415, kind: "media-type"},
		post("foreign stream", "/ssf/poll/"+b.foreign, `{}`, 404, "not-found"),
		post("stream that pushes", "/ssf/poll/"+b.pushing, `{}`, 404, "not-found"),
		post("unknown stream", "/ssf/poll/nope", `{}`, 404, "not-found"),
		get("method", "/ssf/poll/"+b.stream, 405, "method"),

		// delta and values
		get("no cursor", "/delta?cursor=abc", 400, "cursor-invalid"),
		get("altered cursor", "/delta?cursor="+altered(b.own), 400, "cursor-invalid"),
		get("cut cursor", "/delta?cursor="+b.own[:len(b.own)-5], 400, "cursor-invalid"),
		get("foreign cursor", "/delta?cursor="+b.other, 400, "cursor-invalid"),
		get("cursor of another hub", "/delta?cursor="+b.lost, 410, "cursor-expired"),
		{name: "old cursor", method: "GET", path: "/delta?cursor=" + b.old, token: b.club.Token, status: 410, kind: "cursor-expired"},
		get("long cursor", "/delta?cursor="+strings.Repeat("A", 8000), 400, "cursor-invalid"),
		get("two cursors", "/delta?cursor=now&cursor=now", 400, "bad-request"),
		get("limit 0", "/delta?limit=0", 400, "bad-request"),
		get("no limit", "/delta?limit=ten", 400, "bad-request"),
		get("negative wait", "/delta?wait=-1", 400, "bad-request"),
		{name: "method", method: "POST", path: "/delta", body: `{}`, status: 405, kind: "method"},
		get("unknown subject", "/subjects/"+b.shop.ID, 404, "not-found"),
		get("entry's own id", "/subjects/"+b.anna.entry, 404, "not-found"),
		get("subject that is no id", "/subjects/nobody", 404, "not-found"),
		{name: "foreign subject", method: "GET", path: "/subjects/" + b.anna.id, token: b.club.Token, status: 404, kind: "not-found"},
		{name: "method", method: "PUT", path: "/subjects/" + b.anna.id, body: `{}`, status: 405, kind: "method"},

		// live
		post("malformed", "/live/tickets", `{"subjects":[`, 400, "bad-request"),
		post("no subjects", "/live/tickets", `{}`, 400, "bad-request"),
		post("subject is null", "/live/tickets", `{"subjects":[null]}`, 400, "bad-request"),
		post("malformed subject", "/live/tickets", `{"subjects":[{"format":"email","email":7}]}`, 400, "bad-request"),
		post("too many subjects", "/live/tickets", `{"subjects":[`+strings.TrimSuffix(strings.Repeat(`{"format":"opaque","id":"x"},`, 101), ",")+`]}`, 400, "bad-request"),
		post("oversized", "/live/tickets", `{"subjects":["`+large+`"]}`, 413, "too-large"),
		{name: "media type", method: "POST", path: "/live/tickets", media: "text/plain", body: `{}`, status: 415, kind: "media-type"},
		{name: "no ticket", method: "GET", path: "/live", token: anonymous, status: 404, kind: "ticket"},
		{name: "forged ticket", method: "GET", path: "/live?ticket=abc", token: anonymous, status: 404, kind: "ticket"},
		{name: "expired ticket", method: "GET", path: "/live?ticket=" + b.expired, token: anonymous, status: 404, kind: "ticket"},
		{name: "used ticket", method: "GET", path: "/live?ticket=" + b.used, token: anonymous, status: 404, kind: "ticket"},
		{name: "foreign origin", method: "GET", path: "/live?ticket=" + b.ticket(b.anna.subject), header: http.Header{"Origin": {"https://evil.example"}}, status: 403, kind: "origin"},
		{name: "no origin at all", method: "GET", path: "/live?ticket=" + b.ticket(b.anna.subject), header: http.Header{"Origin": {"null"}}, status: 403, kind: "origin"},
		{name: "altered cursor", method: "GET", path: "/live?cursor=" + altered(b.own) + "&ticket=" + b.ticket(b.anna.subject), status: 400, kind: "cursor-invalid"},
		{name: "foreign cursor", method: "GET", path: "/live?cursor=" + b.other + "&ticket=" + b.ticket(b.anna.subject), status: 400, kind: "cursor-invalid"},
		{name: "cursor of another hub", method: "GET", path: "/live?cursor=" + b.lost + "&ticket=" + b.ticket(b.anna.subject), status: 410, kind: "cursor-expired"},
		{name: "method", method: "POST", path: "/live", body: `{}`, status: 405, kind: "method"},

		// the frame
		get("unknown path", "/nope", 404, "not-found"),
		get("root", "/", 404, "not-found"),
		{name: "invented method", method: "BREW", path: "/delta", status: 405, kind: "method"},
		{name: "unknown path, unknown caller", method: "GET", path: "/admin", token: anonymous, status: 404, kind: "not-found"},
		{name: "method of the keys", method: "POST", path: "/jwks.json", body: `{}`, status: 405, kind: "method"},
		{name: "method of the metadata", method: "DELETE", path: "/.well-known/ssf-configuration", status: 405, kind: "method"},
		{name: "method of the script", method: "POST", path: "/live.js", body: `{}`, status: 405, kind: "method"},
		{name: "huge header", method: "GET", path: "/delta", header: http.Header{"X-Large": {strings.Repeat("x", 100<<10)}}, status: 431, kind: "none"},
		{name: "long token", method: "GET", path: "/delta", token: strings.Repeat("x", 8<<10), status: 401, kind: "unauthenticated"},
		{name: "long path", method: "GET", path: "/subjects/" + strings.Repeat("x", 16<<10), status: 404, kind: "not-found"},
		{name: "two credentials", method: "GET", path: "/delta", header: http.Header{"Authorization": {"Bearer " + b.shop.Token, "Bearer " + b.club.Token}}, status: 401, kind: "unauthenticated"},
		{name: "another scheme", method: "GET", path: "/delta", token: anonymous, header: http.Header{"Authorization": {"Basic " + b.shop.Token}}, status: 401, kind: "unauthenticated"},
	}
	return append(list, b.credentials()...)
}

// credentials tries every endpoint that wants one with none, with wrong ones and with those of another role.
func (b *bad) credentials() (list []attempt) {
	for _, e := range []struct{ method, path, body string }{
		{"GET", "/delta", ""}, {"GET", "/subjects/" + b.anna.id, ""}, {"POST", "/live/tickets", `{"subjects":[]}`},
		{"GET", "/ssf/streams", ""}, {"POST", "/ssf/streams", `{}`}, {"PATCH", "/ssf/streams", `{"stream_id":"` + b.stream + `"}`},
		{"PUT", "/ssf/streams", `{"stream_id":"` + b.stream + `"}`}, {"DELETE", "/ssf/streams?stream_id=" + b.stream, ""},
		{"GET", "/ssf/status?stream_id=" + b.stream, ""}, {"POST", "/ssf/status", `{"stream_id":"` + b.stream + `","status":"disabled"}`},
		{"POST", "/ssf/verify", `{"stream_id":"` + b.stream + `"}`}, {"POST", "/ssf/poll/" + b.stream, `{}`},
		{"GET", "/scim/v2/Users", ""}, {"POST", "/scim/v2/Users", `{` + user + `,"userName":"mallory"}`}, {"GET", "/scim/v2/Users/" + b.anna.entry, ""},
		{"PUT", "/scim/v2/Users/" + b.anna.entry, `{` + user + `,"userName":"anna"}`}, {"PATCH", "/scim/v2/Users/" + b.anna.entry, `{}`},
		{"DELETE", "/scim/v2/Users/" + b.anna.entry, ""}, {"GET", "/scim/v2/Groups", ""}, {"GET", "/scim/v2/ServiceProviderConfig", ""},
	} {
		scim := strings.HasPrefix(e.path, "/scim/")
		kinds := [3]string{"unauthenticated", "forbidden", "bad-request"}
		if scim {
			kinds = [3]string{}
		}
		add := func(name, token, path string, status int, kind string) {
			list = append(list, attempt{name: name, method: e.method, path: path, token: token, body: e.body, status: status, kind: kind})
		}
		add("no token", anonymous, e.path, 401, kinds[0])
		add("unknown token", "tdg_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", e.path, 401, kinds[0])
		add("cut token", b.good(e.path)[:20], e.path, 401, kinds[0])
		add("revoked token", b.revoked.Token, e.path, 401, kinds[0])
		add("operator's token", b.operator.Token, e.path, 403, kinds[1])
		if scim {
			add("party's token", b.shop.Token, e.path, 403, kinds[1])
		} else {
			add("directory's token", b.directory.Token, e.path, 403, kinds[1])
		}
		query := "?"
		if strings.Contains(e.path, "?") {
			query = "&"
		}
		add("token in the query", anonymous, e.path+query+"access_token="+b.good(e.path), 400, kinds[2])
		add("token in the query too", "", e.path+query+"access_token="+b.good(e.path), 400, kinds[2])
	}
	return list
}

// good is the token that a path wants.
func (b *bad) good(path string) string {
	if strings.HasPrefix(path, "/scim/") {
		return b.directory.Token
	}
	return b.shop.Token
}

// altered changes one character in the middle.
func altered(text string) string {
	c := "A"
	if text[20] == 'A' {
		c = "B"
	}
	return text[:20] + c + text[21:]
}

// Whatever strangers send, they get one clear error in the endpoint's own format, with the right status, and nothing has
// changed.
func TestBadInput(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		b := s.bad()
		all := b.attempts()
		before := b.state()
		for _, a := range all {
			name := fmt.Sprintf("%s (%s %.60s)", a.name, a.method, a.path)
			for _, fault := range b.refused(a) {
				t.Errorf("%s: %s", name, fault)
			}
			if after := b.state(); after != before {
				t.Errorf("%s changed something: %s", name, firstDifference(before, after))
				before = after
			}
		}
		b.sockets()
		if log := b.hub.log.String(); strings.Contains(log, "level=ERROR") {
			t.Errorf("the hub blames itself:\n%s", log)
		}
		b.clean()
	})
}

// state is all that is stored, but for tickets, which are used up by trying, and when tokens were used. SQLite says whether anybody wrote since the
// last look; only then there is something to look at.
func (b *bad) state() string {
	b.t.Helper()
	if b.folder() != "" {
		version := b.query(b.store, "PRAGMA data_version")
		if slices.Equal(version, b.version) {
			return b.last
		}
		b.version = version
	}
	b.last = b.dump(b.store, "scratch", "token") +
		strings.Join(b.query(b.store, "SELECT id, role, party, name, hash, scopes, created_at, expires, revoked FROM token ORDER BY id"), "\n")
	return b.last
}

func firstDifference(before, after string) string {
	old := strings.Split(before, "\n")
	for _, line := range strings.Split(after, "\n") {
		if !slices.Contains(old, line) {
			return line
		}
	}
	return "something is gone"
}

// refused makes an attempt and lists what is wrong with its answer.
func (b *bad) refused(a attempt) (faults []string) {
	b.t.Helper()
	req, err := http.NewRequest(a.method, b.hub.url+a.path, strings.NewReader(a.body))
	if err != nil {
		b.t.Fatal(err)
	}
	for name, values := range a.header {
		req.Header[name] = values
	}
	token := a.token
	if token == "" {
		token = b.good(a.path)
	}
	if token != anonymous && req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	scim := strings.HasPrefix(a.path, "/scim/")
	if media := a.media; media == "" && a.body != "" {
		req.Header.Set("Content-Type", map[bool]string{true: asSCIM, false: asJSON}[scim])
	} else if media != "" && media != "-" {
		req.Header.Set("Content-Type", media)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return []string{err.Error()}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return []string{err.Error()}
	}
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	check(resp.StatusCode == a.status, "status %d, not %d: %.300s", resp.StatusCode, a.status, text)
	if a.kind == "none" { // refused before there is a request
		return faults
	}
	check(resp.Header.Get("Cache-Control") == "no-store", "Cache-Control %q", resp.Header.Get("Cache-Control"))
	challenge := resp.Header.Get("WWW-Authenticate")
	check((a.status == 401 || a.status == 403) == strings.HasPrefix(challenge, "Bearer ") || a.status == 400 || a.kind == "origin", "WWW-Authenticate %q", challenge)
	check((a.status == 405) == (resp.Header.Get("Allow") != ""), "Allow %q", resp.Header.Get("Allow"))
	check(!strings.Contains(string(text), a.token) || a.token == "", "the answer quotes the token")
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	decode := json.NewDecoder(bytes.NewReader(text))
	decode.DisallowUnknownFields()
	if scim {
		var e struct {
			Schemas                  []string
			Status, ScimType, Detail string
		}
		err := decode.Decode(&e)
		check(err == nil && (media == asSCIM || media == asJSON) && slices.Equal(e.Schemas, []string{"urn:ietf:params:scim:api:messages:2.0:Error"}) &&
			e.Status == fmt.Sprint(a.status) && e.ScimType == a.kind && e.Detail != "", "no SCIM error (%s): %s, %.300s", a.kind, media, text)
		return faults
	}
	var p struct {
		Type, Title, Detail, Restart string
		Status                       int
	}
	err = decode.Decode(&p)
	check(err == nil && media == "application/problem+json" && p.Type == "urn:tidings:problem:"+a.kind && p.Title != "" && p.Status == a.status, "no problem (%s): %s, %.300s", a.kind, media, text)
	return faults
}

// sockets get their bad news as close codes, since a page sees no status of a failed handshake.
func (b *bad) sockets() {
	b.t.Helper()
	for name, query := range map[string]string{
		"forged ticket": "ticket=abc", "expired ticket": "ticket=" + b.expired, "used ticket": "ticket=" + b.used, "no ticket": "",
	} {
		if code := b.browser(query).closed(b.t); code != events.CloseTicket {
			b.t.Errorf("%s: closed with %d", name, code)
		}
	}
	for name, cursor := range map[string]string{"altered": altered(b.own), "foreign": b.other, "of another hub": b.lost} {
		if code := b.browser("ticket=" + b.ticket(b.anna.subject) + "&cursor=" + cursor).closed(b.t); code != events.CloseCursorExpired {
			b.t.Errorf("cursor %s: closed with %d", name, code)
		}
	}
	where := "ws" + strings.TrimPrefix(b.hub.url, "http") + "/live?ticket="
	for origin, welcome := range map[string]bool{"https://evil.example": false, "null": false, "http://127.0.0.1": false, "https://shop.example:444": false, "https://shop.example": true, "https://SHOP.example:443": true} {
		conn, resp, err := websocket.DefaultDialer.Dial(where+b.ticket(b.anna.subject), http.Header{"Origin": {origin}})
		if (err == nil) != welcome || !welcome && resp.StatusCode != http.StatusForbidden {
			b.t.Errorf("a page of %s: %v", origin, err)
		}
		if err == nil {
			conn.Close()
		}
	}
	// A browser has nothing to say; one that does is cut, and nobody else.
	loud := b.browser("ticket=" + b.ticket(b.anna.subject))
	if err := loud.conn.WriteMessage(websocket.TextMessage, bytes.Repeat([]byte("x"), 1<<20)); err == nil {
		select {
		case _, open := <-loud.frames:
			if open {
				b.t.Error("a browser that talks got a notice")
			}
		case <-time.After(patience):
			b.t.Error("a browser that talks too much was not cut")
		}
	}
}

// open opens the site's store past the program.
func (s site) open() *sql.DB {
	s.t.Helper()
	driver, where := "pgx", s.flags[1]
	if folder := s.folder(); folder != "" {
		driver, where = "sqlite", "file:"+filepath.Join(folder, "hub.db")+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, where)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { db.Close() })
	return db
}

// query runs a statement and gives each row as text.
func (s site) query(db *sql.DB, statement string) (rows []string) {
	s.t.Helper()
	found, err := db.Query(statement)
	if err != nil {
		s.t.Fatal(err)
	}
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		s.t.Fatal(err)
	}
	for found.Next() {
		cells, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := found.Scan(into...); err != nil {
			s.t.Fatal(err)
		}
		for i, c := range cells {
			if b, ok := c.([]byte); ok {
				cells[i] = string(b)
			}
		}
		rows = append(rows, fmt.Sprint(cells...))
	}
	if found.Err() != nil {
		s.t.Fatal(found.Err())
	}
	return rows
}

// folder is where an embedded store lives; "" for PostgreSQL.
func (s site) folder() string {
	path, ok := strings.CutPrefix(s.flags[1], "sqlite:")
	if !ok {
		return ""
	}
	return filepath.Dir(path)
}

// dump is all that the store holds, row by row, without some tables.
func (s site) dump(db *sql.DB, without ...string) string {
	s.t.Helper()
	names := "SELECT name FROM sqlite_master WHERE type = 'table'"
	if s.folder() == "" {
		names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
	}
	tables := s.query(db, names)
	slices.Sort(tables)
	var all strings.Builder
	for _, table := range tables {
		if slices.Contains(without, table) {
			continue
		}
		rows := s.query(db, "SELECT * FROM "+table)
		slices.Sort(rows)
		fmt.Fprintf(&all, "%s:\n%s\n", table, strings.Join(rows, "\n"))
	}
	return all.String()
}
