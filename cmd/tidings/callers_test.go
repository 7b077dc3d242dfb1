package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"tidings/events"
)

// AU-06, CI-16, CI-20, CI-30, CI-31: what a party's token may be used for, over the whole program. A token that lacks the
// scope is told which; nothing else changes.
func TestScopes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		var stream events.StreamConfiguration
		w.must("POST", "/ssf/streams", w.shop.Token, object{}, &stream)
		id := stream.StreamID
		for _, scope := range []string{"ssf.read", "ssf.manage", "changes.read", "subjects.read", "live.ticket"} {
			var made credential
			w.tidings(&made, "token", "add", "--role", "party", "--party", w.shop.ID, "--scope", scope)
			for _, e := range []struct {
				method, path string
				body         any
				may          string // the scopes that do
			}{
				{"GET", "/ssf/streams", nil, "ssf.read ssf.manage"},
				{"GET", "/ssf/streams?stream_id=" + id, nil, "ssf.read ssf.manage"},
				{"GET", "/ssf/status?stream_id=" + id, nil, "ssf.read ssf.manage"},
				{"POST", "/ssf/streams", object{}, "ssf.manage"},
				{"PATCH", "/ssf/streams", object{"stream_id": id, "description": scope}, "ssf.manage"},
				{"PUT", "/ssf/streams", object{"stream_id": id}, "ssf.manage"},
				{"POST", "/ssf/status", object{"stream_id": id, "status": "enabled"}, "ssf.manage"},
				{"POST", "/ssf/verify", object{"stream_id": id}, "ssf.manage"},
				{"POST", "/ssf/poll/" + id, object{"returnImmediately": true}, "ssf.manage"},
				{"DELETE", "/ssf/streams?stream_id=none", nil, "ssf.manage"},
				{"GET", "/delta", nil, "changes.read"},
				{"GET", "/subjects/" + anna.id, nil, "subjects.read"},
				{"POST", "/live/tickets", object{"subjects": []json.RawMessage{anna.subject}}, "live.ticket"},
				{"POST", "/signals", object{"userName": "anna", "type": "session-revoked"}, "scim.write operator"},
				{"GET", "/scim/v2/Users", nil, "scim.write"},
			} {
				status, header := call(e.method, w.hub.url+e.path, made.Token, e.body, nil)
				first, _, _ := strings.Cut(e.may, " ")
				want := `Bearer realm="tidings", error="insufficient_scope", scope="` + first + `"`
				challenge := header.Get("WWW-Authenticate")
				switch {
				case strings.Contains(" "+e.may+" ", " "+scope+" "):
					if status == http.StatusUnauthorized || status == http.StatusForbidden || status == 0 {
						t.Errorf("%s with %s: %d", e.method+" "+e.path, scope, status)
					}
				case status != http.StatusForbidden || !strings.HasPrefix(challenge, want):
					t.Errorf("%s with %s: %d, challenge %q", e.method+" "+e.path, scope, status, challenge)
				}
			}
			if out, stderr, code := s.try("token", "add", "--role", "party", "--party", w.shop.ID); code != 1 || !strings.Contains(stderr, "has 2 valid tokens") {
				t.Errorf("a third token: %d %q %q", code, out, stderr)
			}
			w.tidings(nil, "token", "revoke", made.ID)
			if status, _ := call("GET", w.hub.url+"/delta", made.Token, nil, nil); status != http.StatusUnauthorized {
				t.Errorf("revoked: %d", status)
			}
		}
		w.clean()
	})
}
