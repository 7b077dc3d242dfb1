package scim_test

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"tidings/hub"
	"tidings/hub/source/scim"
)

func sorted(names []string) string {
	slices.Sort(names)
	return strings.Join(names, " ")
}

// Bad input: each gives one SCIM error, and nothing is written.
func TestBadInput(t *testing.T) {
	s := serve(t)
	id := s.user("ada")
	before := s.head()
	for _, c := range []struct {
		name, scimType string
		status         int
		body           string
		headers        []string
	}{
		{"malformed", "invalidSyntax", 400, `{"userName":`, nil},
		{"not an object", "invalidSyntax", 400, `["userName"]`, nil},
		{"two objects", "invalidSyntax", 400, `{"userName":"x"}{}`, nil},
		{"empty", "invalidSyntax", 400, ``, []string{"Content-Type", "application/json"}},
		{"not UTF-8", "invalidSyntax", 400, "{\"userName\":\"\xff\"}", nil},
		{"a name twice", "invalidSyntax", 400, `{"userName":"x","userName":"y"}`, nil},
		{"two spellings", "invalidSyntax", 400, `{"userName":"x","USERNAME":"y"}`, nil},
		{"too deep", "invalidSyntax", 400, `{"name":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, nil},
		{"unknown attribute", "invalidSyntax", 400, `{"userName":"x","shoeSize":"43"}`, nil},
		{"wrong type", "invalidValue", 400, `{"userName":{"a":1}}`, nil},
		{"no userName", "invalidValue", 400, `{"title":"x"}`, nil},
		{"two primary", "invalidValue", 400, `{"userName":"x","emails":[{"value":"a","primary":true},{"value":"b","primary":true}]}`, nil},
		{"too large", "", 413, `{"userName":"x","title":"` + strings.Repeat("x", 1<<20) + `"}`, nil},
		{"text", "", 415, `{"userName":"x"}`, []string{"Content-Type", "text/plain"}},
		{"form", "", 415, `userName=x`, []string{"Content-Type", "application/x-www-form-urlencoded"}},
		{"no type", "", 415, `{"userName":"x"}`, []string{"Content-Type", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := *s
			s.t = t
			s.refused(c.status, c.scimType, "POST", "/Users", c.body, c.headers...)
			s.refused(c.status, c.scimType, "PUT", "/Users/"+id, c.body, c.headers...)
		})
	}
	s.want(201, "POST", "/Users", `{"userName":"ok"}`, "Content-Type", "application/scim+json; charset=utf-8")
	for _, path := range []string{"/Users", "/Users/" + id, "/Schemas"} {
		if a := s.refused(405, "", "OPTIONS", path, ""); a.header.Get("Allow") == "" {
			t.Errorf("%s: 405 without Allow", path)
		}
	}
	if after := s.head(); after != before+1 {
		t.Errorf("refused requests left %d lines", after-before-1)
	}
}

// AU-03, AU-06, AU-07: whoever is no directory gets nothing but an error in SCIM's form, on every path.
func TestCallers(t *testing.T) {
	s := serve(t)
	id := s.user("ada")
	for _, path := range []string{"/Users", "/Users/" + id, "/Users/" + hub.NewID().String(), "/Groups", "/ServiceProviderConfig", "/Schemas", "/Me", "/nothing", "/"} {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			a := s.refused(401, "", method, path, "{}", "Authorization", "")
			if a.header.Get("WWW-Authenticate") != `Bearer realm="tidings", resource_metadata="https://hub.example/.well-known/oauth-protected-resource"` {
				t.Errorf("no token: WWW-Authenticate %q", a.header.Get("WWW-Authenticate"))
			}
			for _, bad := range []string{"Bearer tdg_wrong", "Bearer", "Bearer ", "Bearer " + strings.Repeat("x", 5000), "bearer " + s.directory[:len(s.directory)-1]} {
				if a := s.refused(401, "", method, path, "{}", "Authorization", bad); !strings.Contains(a.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
					t.Errorf("bad token: WWW-Authenticate %q", a.header.Get("WWW-Authenticate"))
				}
			}
			s.refused(401, "", method, path, "{}", "Authorization", "Basic "+s.directory)
			for _, other := range []string{s.party, s.operator} {
				if a := s.refused(403, "", method, path, "{}", "Authorization", "Bearer "+other); !strings.Contains(a.header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
					t.Errorf("other role: WWW-Authenticate %q", a.header.Get("WWW-Authenticate"))
				}
			}
			s.refused(400, "", method, path+"?access_token="+s.directory, "{}")
			s.refused(400, "", method, path+"?access_token="+s.directory, "{}", "Authorization", "")
		}
	}
}

// A token that was revoked is as good as none, at once.
func TestRevokedToken(t *testing.T) {
	s := serve(t)
	s.want(200, "GET", "/Users", "")
	tokens, err := s.hub.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range tokens {
		if token.Role == hub.RoleDirectory {
			if err := s.hub.RevokeToken(t.Context(), token.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.refused(401, "", "GET", "/Users", "")
}

// SM-02, SM-03, SH-09, SH-10: discovery.
func TestDiscovery(t *testing.T) {
	s := serve(t)
	config := s.want(200, "GET", "/ServiceProviderConfig", "")
	for name, want := range map[string]bool{"patch": true, "filter": true, "etag": true, "bulk": false, "sort": false, "changePassword": false} {
		if got := config.body[name].(map[string]any)["supported"]; got != want {
			t.Errorf("%s: supported is %v", name, got)
		}
	}
	// RFC 9967 section 4; SV-31 and SV-40 to SV-45 are not offered.
	security, _ := config.body["securityEvents"].(map[string]any)
	uris, _ := security["eventUris"].([]any)
	if security["asyncRequest"] != "none" || !slices.Contains(uris, any("urn:ietf:params:scim:event:prov:patch:notice")) || slices.Contains(uris, any("urn:ietf:params:scim:event:misc:asyncresp")) {
		t.Errorf("securityEvents %v", security)
	}
	for path, id := range map[string]string{"/ResourceTypes": "User", "/Schemas": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"} {
		all := s.want(200, "GET", path+"?count=1&startIndex=9&sortBy=x", "")
		if n := len(all.body["Resources"].([]any)); n < 2 {
			t.Errorf("%s lists %d: paging is to be ignored", path, n)
		}
		one := s.want(200, "GET", path+"/"+id, "")
		if one.body["meta"].(map[string]any)["location"] != "https://hub.example/scim/v2"+path+"/"+id {
			t.Errorf("%s: meta %v", path, one.body["meta"])
		}
		s.refused(403, "", "GET", path+"?filter=id+pr", "")
		s.refused(404, "", "GET", path+"/nothing", "")
	}
	s.refused(501, "", "GET", "/Me", "")
	s.refused(501, "", "POST", "/Bulk", "{}")
}

// FuzzUsers sends anything as a body and a query: never a 5xx, and an error is always one of SCIM's.
func FuzzUsers(f *testing.F) {
	for _, seed := range [][2]string{
		{ada, "count=1"}, {`{"userName":"x"}`, `filter=userName+eq+%22x%22`}, {"{", "startIndex=-9223372036854775809"},
		{`{"schemas":null,"userName":"\u0000"}`, "attributes=a.b:c.,,%00"}, {op(`{"op":"add","path":"emails[type eq \"a\"]","value":{}}`), "excludedAttributes=urn:a:b.c"},
	} {
		f.Add(seed[0], seed[1])
	}
	s := serve(f)
	id := s.user("fuzzed")
	f.Fuzz(func(t *testing.T, body, query string) {
		for _, to := range [][2]string{{"GET", "/Users"}, {"POST", "/Users"}, {"PATCH", "/Users/" + id}, {"PUT", "/Users/" + id}, {"GET", "/Users/" + id}} {
			r := httptest.NewRequest(to[0], scim.Path+to[1], strings.NewReader(body))
			r.URL.RawQuery = query
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+s.directory)
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			if kind := w.Header().Get("Content-Type"); w.Code >= 500 || w.Code >= 400 && kind != "application/scim+json" {
				t.Errorf("%s %s: %d %s", to[0], to[1], w.Code, kind)
			}
		}
	})
}
