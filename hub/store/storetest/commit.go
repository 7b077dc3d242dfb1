package storetest

import (
	"slices"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/hub/schema"
	"tidings/subscriptions"
)

var commitTests = map[string]func(f *fixture){
	"a new store stands at nothing": func(f *fixture) {
		h := f.head()
		if h.Position != 0 || h.Oldest != 0 {
			f.Errorf("head is %+v", h)
		}
		f.equal("policy", h.Policy, consent.Default())
		if l := f.lines(0); len(l) != 0 {
			f.Errorf("%d lines", len(l))
		}
	},

	"an entry is kept as given": func(f *fixture) {
		it := f.newUser("ada")
		r := f.commit(it)
		e := r.Entries[0]
		if e.Version != 1 || e.Created != 1 || e.Position != 1 || e.Deleted != 0 || e.CreatedAt != it.Lines[0].Time || e.Changed != it.Lines[0].Time {
			f.Errorf("written: %+v", e)
		}
		if r.Head.Position != 1 || r.Head.Tag == (hub.Tag{}) || r.Head.Tag != f.head().Tag {
			f.Errorf("head is %+v", r.Head)
		}
		f.equal("entry", f.entry(e.ID), e)
		f.equal("attributes", e.Attributes, it.Entry.Entry.Attributes)
		f.equal("marks", e.Marks.Since(0), []string{"active", "emails", "nickName", "title", "userName"})
		line := f.lines(0)[0]
		want := it.Lines[0]
		want.Position, want.Tag = 1, r.Head.Tag
		f.equal("line", line, want)
	},

	"a change counts the version and stamps what changed": func(f *fixture) {
		e := f.user("ada")
		f.update(e, "title")
		if e.Version != 2 || e.Position != 2 || e.Created != 1 || e.Marks.Of("title") != 2 || e.Marks.Of("nickName") != 1 {
			f.Errorf("written: %+v", e)
		}
		f.equal("entry", f.entry(e.ID), e)
		f.commit(f.toggle(e, false))
		if now := f.entry(e.ID); now.Active || now.Marks.Of("active") != 3 {
			f.Errorf("disabled: %+v", now)
		}
	},

	"values come back as they were": func(f *fixture) {
		it := f.newUser("ada")
		it.Entry.Entry.Attributes["name"] = map[string]any{"familyName": "Lovelace \u2028<&>\U0001F600", "givenName": "Ada\u0000"[:3]}
		it.Entry.Entry.Attributes["emails"] = []any{map[string]any{"value": "a@b", "primary": true}, map[string]any{"value": "c"}}
		it.Entry.Entry.Attributes["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"] = map[string]any{"department": "x"}
		e := f.commit(it).Entries[0]
		f.equal("attributes", f.entry(e.ID).Attributes, it.Entry.Entry.Attributes)
	},

	"positions are dense and tags differ": func(f *fixture) {
		f.users("u", 300)
		f.party()
		tags := map[hub.Tag]bool{}
		for i, l := range f.lines(0) {
			if l.Position != int64(i+1) || tags[l.Tag] {
				f.Fatalf("line %d stands at %d", i+1, l.Position)
			}
			tags[l.Tag] = true
		}
		if l, err := f.store.Changes(f.ctx, 100, 7); err != nil || len(l) != 7 || l[0].Position != 101 {
			f.Errorf("after 100: %v, %v", l, err)
		}
	},

	"an item is refused for itself": func(f *fixture) {
		a, b, c := f.user("a"), f.user("b"), f.user("c")
		stale := *b
		f.update(b, "title")
		before := f.entry(b.ID)
		r := f.try(f.change(a, "title"), f.change(&stale, "nickName"), f.change(c, "title"))
		if r.Done != 3 || r.Errors[0] != nil || r.Errors[2] != nil {
			f.Fatalf("%+v", r)
		}
		f.wants(r.Errors[1], hub.ErrConflict)
		if r.Entries[1] != nil || r.Entries[0] == nil || r.Entries[2] == nil {
			f.Error("the receipt shows the refused item, or not the others")
		}
		f.equal("refused entry", f.entry(b.ID), before)
		if n := len(f.lines(0)); int64(n) != r.Head.Position || r.Head.Position != 6 {
			f.Errorf("%d lines, head %d", n, r.Head.Position)
		}
	},

	"what must not exist and does": func(f *fixture) {
		e := f.user("ada")
		again := f.newUser("other")
		again.Entry.Entry.ID, again.Lines[0].Entry = e.ID, e.ID
		f.refused(hub.ErrConflict, again)
		ghost := *e
		ghost.ID = hub.NewID()
		f.refused(hub.ErrConflict, f.change(&ghost, "title"))
		f.commit(f.deletion(e))
		f.refused(hub.ErrConflict, f.change(f.entryWith(e), "title"))
		f.refused(hub.ErrConflict, f.deletion(f.entry(e.ID)))
	},

	"one entry twice in a batch": func(f *fixture) {
		e := f.user("ada")
		first := f.change(e, "title")
		second := f.change(e, "nickName")
		r := f.try(first, second)
		f.wants(r.Errors[1], hub.ErrConflict)
		second.Entry.Entry.Version = r.Entries[0].Version
		second.Entry.Entry.Attributes["title"] = first.Entry.Entry.Attributes["title"]
		f.commit(second)
		third, fourth := f.change(f.entry(e.ID), "title"), f.change(f.entry(e.ID), "title")
		fourth.Entry.Entry.Version++
		r = f.commit(third, fourth)
		if r.Entries[1].Version != r.Entries[0].Version+1 {
			f.Errorf("versions %d and %d", r.Entries[0].Version, r.Entries[1].Version)
		}
	},

	"names and keys belong to one": func(f *fixture) {
		ada := f.user("ada")
		same := f.newUser("eve")
		same.Entry.UserName = "ada"
		f.refused(hub.ErrTaken, same)
		same = f.newUser("eve")
		same.Entry.Keys = []string{"eve", "ada"}
		f.refused(hub.ErrTaken, same)
		r := f.try(f.newUser("bob"), f.newUser("bob"))
		if r.Errors[0] != nil {
			f.Errorf("the first is refused: %v", r.Errors[0])
		}
		f.wants(r.Errors[1], hub.ErrTaken)

		other := f.newUser("ada") // the same key of another source, without a userName, is another thing
		other.Entry.Entry.Source, other.Entry.UserName = "elsewhere", ""
		f.commit(other)
		g := f.newGroup("ada-team")
		g.Entry.UserName = "ada" // unique among entries of a type
		f.commit(g)

		f.commit(f.deletion(ada)) // what is gone takes no names
		f.user("ada")
	},

	"names move within a batch": func(f *fixture) {
		ada := f.user("ada")
		renamed := f.change(ada, "title")
		renamed.Entry.UserName, renamed.Entry.Keys = "ada2", []string{"ada2"}
		f.commit(renamed, f.newUser("ada"))
		if e, err := f.store.ByUserName(f.ctx, "ada2"); err != nil || e.ID != ada.ID {
			f.Errorf("renamed: %v, %v", e, err)
		}
		if e, err := f.store.ByUserName(f.ctx, "ada"); err != nil || e.ID == ada.ID {
			f.Errorf("new: %v, %v", e, err)
		}
		got, err := f.store.Entries(f.ctx, source, []string{"ada2", "nobody", "ada"})
		f.must(err)
		if got[0] == nil || got[0].ID != ada.ID || got[1] != nil || got[2] == nil {
			f.Errorf("by key: %v", got)
		}
	},

	"keys are the full set": func(f *fixture) {
		e := f.user("ada")
		it := f.change(e, "title")
		it.Entry.Keys = []string{"ada", "cn=ada"}
		f.commit(it)
		got, err := f.store.Entries(f.ctx, source, []string{"cn=ada", "ada"})
		f.must(err)
		if got[0] == nil || got[1] == nil || got[0].ID != e.ID || got[1].ID != e.ID {
			f.Errorf("two keys: %v", got)
		}
		it = f.change(got[0], "title")
		it.Entry.Keys = []string{"cn=ada"}
		f.commit(it)
		if got, _ = f.store.Entries(f.ctx, source, []string{"ada", "cn=ada"}); got[0] != nil || got[1] == nil {
			f.Errorf("one key: %v", got)
		}
	},

	"texts are compared as bytes": func(f *fixture) {
		for _, key := range []string{"ada", "ADA", "äda", "a\u0308da", "ada ", "ada%", "_da"} {
			f.user(key)
		}
		for _, key := range []string{"ada", "ADA", "äda", "a\u0308da", "ada ", "ada%", "_da"} {
			e, err := f.store.ByUserName(f.ctx, key)
			f.must(err)
			if e.Attributes["userName"] != key {
				f.Errorf("%q finds %q", key, e.Attributes["userName"])
			}
		}
	},

	"a line without a write": func(f *fixture) {
		e := f.user("ada")
		p := f.party()
		g := f.grant(p, e.ID, "title")
		f.commit(hub.Item{Lines: []hub.Change{f.line(hub.Updated, e.ID, "title")}})
		now := f.entry(e.ID)
		if now.Version != e.Version || now.Position != f.head().Position || now.Marks.Of("title") != now.Position {
			f.Errorf("entry: %+v", now)
		}
		if g = f.freshGrant(g); g.Position != now.Position || g.Version != 2 {
			f.Errorf("grant: %+v", g)
		}
		f.refused(hub.ErrNotFound, hub.Item{Lines: []hub.Change{f.line(hub.Updated, hub.NewID(), "title")}})
		f.commit(f.deletion(now))
		f.refused(hub.ErrNotFound, hub.Item{Lines: []hub.Change{f.line(hub.Updated, e.ID, "title")}})
	},

	"a cookie stands with its changes": func(f *fixture) {
		if c, err := f.store.Cookie(f.ctx, source); err != nil || c != nil {
			f.Errorf("before: %q, %v", c, err)
		}
		it := f.newUser("ada")
		it.Cookie = &hub.Cookie{Source: source, Value: []byte("one\x00")}
		f.commit(it)
		f.commit(hub.Item{Cookie: &hub.Cookie{Source: "other", Value: []byte("x")}})
		if c, err := f.store.Cookie(f.ctx, source); err != nil || string(c) != "one\x00" {
			f.Errorf("after: %q, %v", c, err)
		}
		refused := f.newUser("ada")
		refused.Cookie = &hub.Cookie{Source: source, Value: []byte("two")}
		f.refused(hub.ErrTaken, refused)
		if c, _ := f.store.Cookie(f.ctx, source); string(c) != "one\x00" {
			f.Errorf("a refused item moved the cookie to %q", c)
		}
		before := f.head()
		f.commit(hub.Item{Cookie: &hub.Cookie{Source: source, Value: []byte("three")}})
		if c, _ := f.store.Cookie(f.ctx, source); string(c) != "three" || f.head().Position != before.Position {
			f.Errorf("cookie alone: %q at %d", c, f.head().Position)
		}
	},

	"a policy raises every generation": func(f *fixture) {
		p, gone := f.party(), f.party()
		f.commit(f.changeParty(gone, hub.PartyRemoved))
		policy := consent.Default()
		policy.Values = true
		f.commit(hub.Item{Policy: &policy, Lines: []hub.Change{{Kind: hub.PolicyChanged, Time: f.tick(), Actor: "test"}}})
		f.equal("policy", f.head().Policy, policy)
		now, err := f.store.Party(f.ctx, p.ID)
		f.must(err)
		if now.Generation != p.Generation+1 {
			f.Errorf("generation %d after %d", now.Generation, p.Generation)
		}
		f.equal("policy of a page", f.feed(hub.FeedQuery{Party: p.ID, Limit: 1}).Head.Policy, policy)
	},

	"deletion erases": func(f *fixture) {
		p := f.party()
		e := f.user("ada")
		words := []string{e.Attributes["title"].(string), e.Attributes["nickName"].(string)}
		f.grant(p, e.ID, "title", "nickName")
		s := f.stream(p)
		f.update(e, "title")
		words = append(words, e.Attributes["title"].(string))
		f.issue(s)
		sending := f.one(s)
		a := f.attempt(sending)
		words = append(words, string(a.Tokens[0].Compact))
		f.begin(a)
		f.settle(s, subscriptions.Retry, f.now, a.Tokens[0].JTI)
		f.commit(hub.Item{Signals: []hub.Signal{{Entry: e.ID, Type: events.SessionRevoked, Payload: []byte("old name"), Expires: 1 << 50, Time: f.now}}})
		words = append(words, "b2xkIG5hbWU=")

		r := f.commit(f.deletion(f.entry(e.ID)))
		f.silent(append(words, `"ada"`)...)
		now := f.entry(e.ID)
		if now.Attributes != nil || len(now.Marks) != 0 || now.Active || now.Deleted != r.Head.Position || now.Position != now.Deleted || now.Created == 0 {
			f.Errorf("tombstone: %+v", now)
		}
		if g := f.row(p, e.ID).Grant; g.Ended != now.Deleted || !g.Gone || g.Position != now.Deleted {
			f.Errorf("grant: %+v", g)
		}
		if got, _ := f.store.Entries(f.ctx, source, []string{"ada"}); got[0] != nil {
			f.Error("found by its key")
		}
		_, err := f.store.ByUserName(f.ctx, "ada")
		f.wants(err, hub.ErrNotFound)
		if page, total, err := f.store.List(f.ctx, "User", hub.ID{}, 10); err != nil || total != 0 || len(page) != 0 {
			f.Errorf("listed: %d, %v", total, err)
		}
	},

	"changed, and gone with the same item": func(f *fixture) {
		p, a, e := f.party(), f.agreement("title"), f.user("ada")
		f.grant(p, e.ID, "title")
		both := f.deletion(e)
		both.Lines = append(f.change(e, "title").Lines, both.Lines...)
		made := f.newUser("bob")
		id := made.Entry.Entry.ID
		made.Entry = &hub.EntryWrite{Entry: hub.Entry{ID: id, Type: schema.User, Source: source}, Delete: true}
		made.Lines = append(made.Lines, f.line(hub.Deleted, id))
		f.commit(both, made)
		if e, made := f.entry(e.ID), f.entry(id); e.Deleted == 0 || made.Deleted == 0 || made.Created == 0 {
			f.Errorf("%+v, %+v", e, made)
		}
		if g := f.row(p, e.ID).Grant; !g.Gone || g.Ended != f.entry(e.ID).Deleted || f.row(a, e.ID) == nil {
			f.Errorf("%+v", g)
		}
		for _, key := range []string{"ada", "bob"} {
			_, err := f.store.ByUserName(f.ctx, key)
			f.wants(err, hub.ErrNotFound)
			f.user(key)
		}
	},

	"a list is in order of id": func(f *fixture) {
		f.users("u", 25)
		f.commit(f.newGroup("g"))
		var got []hub.ID
		after := hub.ID{}
		for {
			page, total, err := f.store.List(f.ctx, "User", after, 10)
			f.must(err)
			if total != 25 || len(page) > 10 {
				f.Fatalf("%d of %d", len(page), total)
			}
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				if e.Type != schema.User || len(e.Attributes) == 0 {
					f.Errorf("%+v", e)
				}
				got = append(got, e.ID)
			}
			after = got[len(got)-1]
		}
		if len(got) != 25 || !slices.IsSortedFunc(got, func(a, b hub.ID) int { return slices.Compare(a[:], b[:]) }) {
			f.Errorf("%d ids, or out of order", len(got))
		}
	},

	"what is not there": func(f *fixture) {
		_, err := f.store.Entry(f.ctx, hub.NewID())
		f.wants(err, hub.ErrNotFound)
		_, err = f.store.Grant(f.ctx, hub.NewID())
		f.wants(err, hub.ErrNotFound)
		_, err = f.store.Party(f.ctx, hub.NewID())
		f.wants(err, hub.ErrNotFound)
		_, err = f.store.Feed(f.ctx, hub.FeedQuery{Party: hub.NewID(), Limit: 1})
		f.wants(err, hub.ErrNotFound)
		_, err = f.store.Told(f.ctx, hub.NewID(), []hub.ID{hub.NewID()})
		f.wants(err, hub.ErrNotFound)
		_, err = f.store.Stream(f.ctx, hub.ID{}, hub.NewID())
		f.wants(err, hub.ErrNotFound)
		_, err = f.store.ByUserName(f.ctx, "nobody")
		f.wants(err, hub.ErrNotFound)
		f.refused(hub.ErrNotFound, hub.Item{Echo: hub.NewID()})
		if got, err := f.store.Entries(f.ctx, source, nil); err != nil || len(got) != 0 {
			f.Errorf("no keys: %v, %v", got, err)
		}
		if r, err := f.store.Commit(f.ctx, hub.Batch{Now: f.tick()}); err != nil || r.Done != 0 {
			f.Errorf("empty batch: %+v, %v", r, err)
		}
	},

	"everything stands after opening again": func(f *fixture) {
		p := f.party()
		e := f.user("ada")
		f.grant(p, e.ID, "title")
		s := f.stream(p)
		f.update(e, "title")
		f.issue(s)
		jti := f.send(s)
		again := f.open()
		page, err := again.Feed(f.ctx, hub.FeedQuery{Party: p.ID, Limit: 10, Values: true})
		f.must(err)
		f.equal("page", page, f.feed(hub.FeedQuery{Party: p.ID, Limit: 10, Values: true}))
		sendings, err := again.Sendable(f.ctx, s.ID, f.now+10_000, 10)
		f.must(err)
		if len(sendings) != 1 || len(sendings[0].Delivery.Tokens) != 1 || sendings[0].Delivery.Tokens[0].JTI != jti {
			f.Errorf("sendable: %+v", sendings)
		}
	},
}

// entryWith is a deleted entry dressed as if it lived, as one who read it before would write it.
func (f *fixture) entryWith(e *hub.Entry) *hub.Entry {
	now := f.entry(e.ID)
	now.Attributes = e.Attributes
	return now
}
