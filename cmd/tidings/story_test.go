package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidings/events"
)

// One change and its end, along every way out (invariants 4, 5, 9): of two patched attributes the granted one is told,
// once, to webhook, feed, fetch and browser; after the revocation one removal, 410, and nothing ever after.
func TestStoryOfAChange(t *testing.T) {
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		h := w.webhook()
		h.header = "Bearer the-shop-knows-this"
		anna := w.person("anna", object{"title": "Clerk", "nickName": "Annie", "displayName": "Anna Berg"}, "--attributes", "title")
		bert := w.person("bert", object{"title": "Cook"}, "--attributes", "title")
		w.push(h)
		start := w.delta(w.shop.Token, "")
		if len(start.Changes) != 2 || start.More {
			t.Fatalf("the snapshot has %d changes", len(start.Changes))
		}
		visitor := w.browser("ticket=" + w.ticket(anna.subject))

		before := time.Now()
		w.patch(anna, object{"title": "Head Clerk", "nickName": "Ann"})
		told := h.await(t, anna, 1)
		first := told.at.Sub(before)
		if told.Event != events.ProvPatchNotice || told.names() != "title" {
			t.Errorf("told %s of %q", told.Event, told.names())
		}
		if got := visitor.hears(t); !sameJSON(got, anna.subject) {
			t.Errorf("the browser heard of %s", got)
		}
		page := w.delta(w.shop.Token, start.Cursor)
		if len(page.Changes) != 1 {
			t.Fatalf("delta lists %d changes", len(page.Changes))
		}
		item := page.Changes[0]
		if item.ID != anna.id || item.Change != events.Updated || !slices.Equal(item.Attributes, []string{"title"}) || item.Version != told.Payload["version"] {
			t.Errorf("delta says %+v, the token %v", item, told.Payload)
		}
		values := object{}
		header := w.must("GET", "/subjects/"+anna.id, w.shop.Token, nil, &values)
		if got := strings.Join(slices.Sorted(maps.Keys(values)), " "); got != "active id meta schemas title" || values["title"] != "Head Clerk" {
			t.Errorf("fetched %v", values)
		}
		if header.Get("Cache-Control") != "private, max-age=43200" || header.Get("ETag") != item.Version || *item.MaxAge != 43200 {
			t.Errorf("a copy may be kept: %q, %d", header.Get("Cache-Control"), *item.MaxAge)
		}

		// What was not granted is told to nobody; the next change of what was granted proves that nothing came before it.
		w.patch(anna, object{"nickName": "Anni", "displayName": "A. Berg"})
		before = time.Now()
		w.patch(anna, object{"title": "Manager"})
		soon(t, "a change", first, h.await(t, anna, 2).at.Sub(before))
		visitor.hears(t)
		if got := kinds(h.tokens(anna)); !slices.Equal(got, []string{"prov:patch:notice", "prov:patch:notice"}) {
			t.Errorf("told %q", got)
		}

		w.tidings(nil, "grant", "revoke", anna.grant)
		before = time.Now()
		first = h.await(t, anna, 3).at.Sub(before)
		if got := visitor.hears(t); !sameJSON(got, anna.subject) {
			t.Errorf("the browser heard of %s", got)
		}
		page = w.delta(w.shop.Token, page.Cursor)
		if len(page.Changes) != 1 || page.Changes[0].ID != anna.id || page.Changes[0].Change != events.Removed || page.Changes[0].Reason != events.ReasonEnded ||
			page.Changes[0].Attributes != nil || page.Changes[0].MaxAge != nil {
			t.Errorf("after the revocation delta says %+v", page.Changes)
		}
		w.gone(anna)

		later := w.browser("ticket=" + w.ticket(anna.subject, bert.subject))
		w.patch(anna, object{"title": "Director"})
		w.must("DELETE", "/scim/v2/Users/"+anna.entry, w.directory.Token, nil, nil)
		w.patch(bert, object{"title": "Chef"})
		h.await(t, bert, 1)
		if got := kinds(h.tokens(anna)); !slices.Equal(got, []string{"prov:patch:notice", "prov:patch:notice", "feed:remove"}) {
			t.Errorf("told %q", got)
		}
		if got := later.hears(t); !sameJSON(got, bert.subject) {
			t.Errorf("the browser heard of %s", got)
		}
		select {
		case n := <-visitor.frames:
			t.Errorf("the old socket heard %v", n)
		default:
		}
		for _, cursor := range []string{page.Cursor, ""} {
			if page := w.delta(w.shop.Token, cursor); len(page.Changes) != 1 || page.Changes[0].ID != bert.id {
				t.Errorf("delta from %.8q tells %+v", cursor, page.Changes)
			}
		}
		w.gone(anna)
		w.tidings(nil, "grant", "revoke", bert.grant)
		before = time.Now()
		soon(t, "a revocation", first, h.await(t, bert, 2).at.Sub(before))
		w.clean()
	})
}

// gone: the values of somebody whose grant ended are answered with 410 and the problem that says so.
func (w *world) gone(p person) {
	w.t.Helper()
	var problem struct{ Type string }
	if status, _ := call("GET", w.hub.url+"/subjects/"+p.id, w.shop.Token, nil, &problem); status != http.StatusGone || problem.Type != events.ProblemGrantEnded {
		w.t.Errorf("values after the end: %d %s", status, problem.Type)
	}
}

func (w *world) clean() {
	w.t.Helper()
	if out, stderr, code := w.try("fsck"); code != 0 || strings.TrimSpace(out) != "clean" {
		w.t.Errorf("fsck: %d %s %s", code, out, stderr)
	}
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && fmt.Sprint(x) == fmt.Sprint(y)
}

// The shortest of the policy's class, the party's bound and the grant's end wins (invariant 9), in the feed and in the
// fetch alike.
func TestLifetimes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		var club credential
		w.tidings(&club, "party", "add", "--name", "club", "--max-age", "20m")
		for _, c := range []struct {
			party       credential
			name, flags string
			least, most int64
		}{
			{w.shop, "class by day", "--attributes name", 86400, 86400},
			{w.shop, "class work", "--attributes title", 43200, 43200},
			{w.shop, "class contact", "--attributes name,title,emails", 3600, 3600},
			{w.shop, "grant", "--attributes emails --until 10m", 500, 600},
			{w.shop, "class before grant", "--attributes emails --until 30d", 3600, 3600},
			{club, "party", "--attributes title", 1200, 1200},
			{club, "grant before party", "--attributes title --until 10m", 500, 600},
			{club, "party before grant", "--attributes title --until 40m", 1200, 1200},
		} {
			userName := strings.ReplaceAll(c.name, " ", ".")
			w.person(userName, object{"title": "Clerk"})
			_, subject := w.grant(c.party.ID, userName, strings.Fields(c.flags)...)
			id := subjectID(t, subject)
			header := w.must("GET", "/subjects/"+id, c.party.Token, nil, nil)
			age, _ := strconv.ParseInt(strings.TrimPrefix(header.Get("Cache-Control"), "private, max-age="), 10, 64)
			page := w.delta(c.party.Token, "")
			at := slices.IndexFunc(page.Changes, func(i events.Item) bool { return i.ID == id })
			if at < 0 || age < c.least || age > c.most || *page.Changes[at].MaxAge < age || *page.Changes[at].MaxAge > c.most+1 {
				t.Errorf("%s: fetched for %d seconds, delta says %+v", c.name, age, page.Changes)
			}
		}
		// Notices alone carry no lifetime, for there is nothing to fetch (design: the table of purposes).
		dora := w.person("dora", object{"title": "Clerk"}, "--attributes", "title", "--purposes", "notify")
		var problem struct{ Type string }
		if status, _ := call("GET", w.hub.url+"/subjects/"+dora.id, w.shop.Token, nil, &problem); status != http.StatusForbidden || problem.Type != events.ProblemNoTransfer {
			t.Errorf("values of a grant for notices: %d %s", status, problem.Type)
		}
	})
}

// A party under an agreement learns of people and groups without their grants, and of their deletion.
func TestStoryOfAnAgreement(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world("--agreement", "--types", "User,Group", "--attributes", "userName,displayName,members")
		h := w.webhook()
		w.push(h)
		anna := w.person("anna", object{"displayName": "Anna", "title": "Clerk"})
		var group struct{ ID string }
		w.must("POST", "/scim/v2/Groups", w.directory.Token, object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"},
			"displayName": "Clerks", "members": []any{object{"value": anna.entry}}}, &group)
		page := w.delta(w.shop.Token, "")
		slices.SortFunc(page.Changes, func(a, b events.Item) int { return strings.Compare(b.Type, a.Type) })
		if len(page.Changes) != 2 || page.Changes[0].Type != "User" || !slices.Equal(page.Changes[0].Attributes, []string{"displayName", "userName"}) ||
			page.Changes[1].Type != "Group" || !slices.Equal(page.Changes[1].Attributes, []string{"displayName", "members"}) {
			t.Fatalf("the snapshot: %+v", page.Changes)
		}
		anna.id = page.Changes[0].ID
		clerks := person{id: page.Changes[1].ID}
		if anna.id == anna.entry || clerks.id == group.ID {
			t.Error("the party is told the directory's ids")
		}
		if first := h.await(t, anna, 1); first.Event != events.ProvCreateNotice {
			t.Errorf("told %s of %q", first.Event, first.names())
		}
		h.await(t, clerks, 1)
		var shown struct {
			DisplayName string
			Members     []struct{ Value string }
		}
		if w.must("GET", "/subjects/"+clerks.id, w.shop.Token, nil, &shown); shown.DisplayName != "Clerks" || len(shown.Members) != 1 || shown.Members[0].Value != anna.id {
			t.Errorf("the group is fetched as %+v", shown)
		}
		values := object{}
		if w.must("GET", "/subjects/"+anna.id, w.shop.Token, nil, &values); values["title"] != nil || values["displayName"] != "Anna" {
			t.Errorf("fetched %v", values)
		}
		if _, stderr, code := w.try("grant", "add", "--user", "anna", "--party", w.shop.ID, "--attributes", "title"); code == 0 || !strings.Contains(stderr, "agreement") {
			t.Errorf("a grant beside the agreement: %d %s", code, stderr)
		}
		told := len(h.tokens(anna))
		w.must("DELETE", "/scim/v2/Users/"+anna.entry, w.directory.Token, nil, nil)
		h.await(t, anna, told+3)
		if got := kinds(h.tokens(anna)); !slices.Contains(got, "prov:delete") || slices.Contains(got, "feed:remove") {
			t.Errorf("the deletion was told as %q", got)
		}
		var problem struct{ Type string }
		if status, _ := call("GET", w.hub.url+"/subjects/"+anna.id, w.shop.Token, nil, &problem); status != http.StatusGone || problem.Type != events.ProblemAgreementEnded {
			t.Errorf("values of somebody deleted: %d %s", status, problem.Type)
		}
		w.clean()
	})
}
