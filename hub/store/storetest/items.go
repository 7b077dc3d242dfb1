package storetest

import (
	"crypto/sha256"
	"fmt"

	"tidings/consent"
	"tidings/hub"
	"tidings/hub/schema"
)

// Items and what commits them.

// try commits items and returns the receipt, whatever became of them.
func (f *fixture) try(items ...hub.Item) hub.Receipt {
	f.Helper()
	r, err := f.store.Commit(f.ctx, hub.Batch{Now: f.tick(), Items: items})
	f.must(err)
	if len(r.Errors) != r.Done || len(r.Entries) != r.Done || len(r.Grants) != r.Done || len(r.Parties) != r.Done {
		f.Fatalf("receipt of %d items is uneven: %d errors, %d entries, %d grants, %d parties", r.Done, len(r.Errors), len(r.Entries), len(r.Grants), len(r.Parties))
	}
	return r
}

// commit commits items that all have to be taken.
func (f *fixture) commit(items ...hub.Item) hub.Receipt {
	f.Helper()
	r := f.try(items...)
	if r.Done != len(items) {
		f.Fatalf("%d of %d items were taken", r.Done, len(items))
	}
	for i, err := range r.Errors {
		if err != nil {
			f.Fatalf("item %d: %v", i, err)
		}
	}
	return r
}

// refused commits one item that must be refused, and leave nothing.
func (f *fixture) refused(want error, it hub.Item) {
	f.Helper()
	before := f.head()
	r := f.try(it)
	if r.Done != 1 {
		f.Fatal("item was not taken")
	}
	f.wants(r.Errors[0], want)
	if after := f.head(); after.Position != before.Position || after.Tag != before.Tag {
		f.Errorf("a refused item moved the head from %d to %d", before.Position, after.Position)
	}
}

func (f *fixture) line(k hub.ChangeKind, entry hub.ID, names ...string) hub.Change {
	return hub.Change{Kind: k, Entry: entry, Attributes: names, Time: f.tick(), Actor: "test", Source: source, Txn: f.word()}
}

// newUser is an item that makes a person known by its key.
func (f *fixture) newUser(key string) hub.Item {
	id := hub.NewID()
	return hub.Item{
		Entry: &hub.EntryWrite{
			Entry: hub.Entry{ID: id, Type: schema.User, Source: source, Active: true, Attributes: schema.Attributes{
				"userName": key, "title": f.word(), "nickName": f.word(), "emails": []any{map[string]any{"value": f.word(), "primary": true}}}},
			UserName: key, Keys: []string{key},
		},
		Lines: []hub.Change{f.line(hub.Created, id, "active", "emails", "nickName", "title", "userName")},
	}
}

func (f *fixture) user(key string) *hub.Entry {
	f.Helper()
	return f.commit(f.newUser(key)).Entries[0]
}

func (f *fixture) users(prefix string, n int) (all []*hub.Entry) {
	f.Helper()
	for from := 0; from < n; from += 500 {
		var items []hub.Item
		for i := from; i < min(n, from+500); i++ {
			items = append(items, f.newUser(fmt.Sprintf("%s%05d", prefix, i)))
		}
		all = append(all, f.commit(items...).Entries...)
	}
	return all
}

// change is an item that gives attributes of an entry new values.
func (f *fixture) change(e *hub.Entry, names ...string) hub.Item {
	w := &hub.EntryWrite{Entry: *e, UserName: e.Attributes["userName"].(string), Keys: []string{e.Attributes["userName"].(string)}}
	w.Entry.Attributes = schema.Attributes{}
	for n, v := range e.Attributes {
		w.Entry.Attributes[n] = v
	}
	for _, n := range names {
		w.Entry.Attributes[n] = f.word()
	}
	return hub.Item{Entry: w, Lines: []hub.Change{f.line(hub.Updated, e.ID, names...)}}
}

// update commits a change and moves *e on to what was written.
func (f *fixture) update(e *hub.Entry, names ...string) {
	f.Helper()
	*e = *f.commit(f.change(e, names...)).Entries[0]
}

func (f *fixture) toggle(e *hub.Entry, active bool) hub.Item {
	it := f.change(e)
	it.Entry.Entry.Active = active
	it.Lines[0].Kind, it.Lines[0].Attributes = hub.DisabledEntry, []string{"active"}
	if active {
		it.Lines[0].Kind = hub.EnabledEntry
	}
	return it
}

func (f *fixture) deletion(e *hub.Entry) hub.Item {
	w := &hub.EntryWrite{Entry: hub.Entry{ID: e.ID, Type: e.Type, Source: e.Source, Version: e.Version}, Delete: true}
	return hub.Item{Entry: w, Lines: []hub.Change{f.line(hub.Deleted, e.ID)}}
}

// group is an item that makes or rewrites a group whose members are known by keys.
func (f *fixture) newGroup(key string, members ...string) hub.Item {
	id := hub.NewID()
	e := hub.Entry{ID: id, Type: schema.Group, Source: source, Active: true, Attributes: schema.Attributes{"displayName": f.word()}}
	return hub.Item{
		Entry: &hub.EntryWrite{Entry: e, Keys: []string{key}, References: memberRefs(id, members)},
		Lines: []hub.Change{f.line(hub.Created, id, "active", "displayName", "members")},
	}
}

func (f *fixture) regroup(g *hub.Entry, key string, renamed bool, members ...string) hub.Item {
	w := &hub.EntryWrite{Entry: *g, Keys: []string{key}, References: memberRefs(g.ID, members), Renamed: renamed}
	names := []string{"members"}
	if renamed {
		w.Entry.Attributes = schema.Attributes{"displayName": f.word()}
		names = []string{"displayName", "members"}
	}
	return hub.Item{Entry: w, Lines: []hub.Change{f.line(hub.Updated, g.ID, names...)}}
}

func memberRefs(from hub.ID, keys []string) (refs []hub.Reference) {
	for _, k := range keys {
		refs = append(refs, hub.Reference{From: from, Name: "members", Key: k})
	}
	return refs
}

func (f *fixture) newParty(change func(*hub.Party)) hub.Item {
	id := hub.NewID()
	p := hub.Party{ID: id, Name: f.word(), Audience: "urn:test:" + id.String(), Profile: "tidings", Sector: id, SubjectFormat: "iss_sub",
		Origins: []string{"https://a.example"}, CreatedAt: f.tick()}
	if change != nil {
		change(&p)
	}
	token := &hub.Token{ID: hub.NewID(), Role: hub.RoleParty, Party: id, Name: p.Name, Hash: sha256.Sum256(id[:]), CreatedAt: p.CreatedAt}
	return hub.Item{Party: &hub.PartyWrite{Party: p, Token: token}, Lines: []hub.Change{{Kind: hub.PartyAdded, Party: id, Time: p.CreatedAt, Actor: "test"}}}
}

func (f *fixture) party() *hub.Party {
	f.Helper()
	return f.commit(f.newParty(nil)).Parties[0]
}

func (f *fixture) agreement(names ...string) *hub.Party {
	f.Helper()
	return f.commit(f.newParty(func(p *hub.Party) {
		p.Agreement, p.Bounds = true, consent.Bounds{Types: []string{"User"}, Attributes: names}
	})).Parties[0]
}

func (f *fixture) parties(n int) (all []*hub.Party) {
	f.Helper()
	for from := 0; from < n; from += 500 {
		var items []hub.Item
		for range min(n, from+500) - from {
			items = append(items, f.newParty(nil))
		}
		all = append(all, f.commit(items...).Parties...)
	}
	return all
}

func (f *fixture) changeParty(p *hub.Party, k hub.ChangeKind) hub.Item {
	return hub.Item{Party: &hub.PartyWrite{Party: *p}, Lines: []hub.Change{{Kind: k, Party: p.ID, Time: f.tick(), Actor: "test"}}}
}

func both(names ...string) consent.Terms {
	return consent.Terms{Attributes: names, Purposes: consent.Transfer | consent.Notify}
}

func (f *fixture) newGrant(p *hub.Party, e hub.ID, terms consent.Terms) hub.Item {
	g := hub.Grant{ID: hub.NewID(), Party: p.ID, Entry: e, Terms: terms}
	l := f.line(hub.Granted, e, terms.Attributes...)
	l.Party = p.ID
	return hub.Item{Grant: &hub.GrantWrite{Grant: g}, Lines: []hub.Change{l}}
}

func (f *fixture) grant(p *hub.Party, e hub.ID, names ...string) *hub.Grant {
	f.Helper()
	return f.commit(f.newGrant(p, e, both(names...))).Grants[0]
}

// grantTo gives every party a grant for one entry, or one party grants for all entries.
func (f *fixture) grantAll(parties []*hub.Party, entries []*hub.Entry, names ...string) {
	f.Helper()
	var items []hub.Item
	for _, p := range parties {
		for _, e := range entries {
			items = append(items, f.newGrant(p, e.ID, both(names...)))
		}
	}
	for len(items) > 0 {
		n := min(len(items), 500)
		f.commit(items[:n]...)
		items = items[n:]
	}
}

func (f *fixture) grantLine(g *hub.Grant, k hub.ChangeKind) hub.Item {
	l := f.line(k, g.Entry)
	l.Party = g.Party
	return hub.Item{Grant: &hub.GrantWrite{Grant: *g}, Lines: []hub.Change{l}}
}

func (f *fixture) revoke(g *hub.Grant) {
	f.Helper()
	*g = *f.commit(f.grantLine(f.freshGrant(g), hub.Revoked)).Grants[0]
}

func (f *fixture) freshGrant(g *hub.Grant) *hub.Grant {
	f.Helper()
	now, err := f.store.Grant(f.ctx, g.ID)
	f.must(err)
	return now
}

func (f *fixture) regrade(g *hub.Grant, narrowed bool, terms consent.Terms, changed ...string) hub.Item {
	it := f.grantLine(f.freshGrant(g), hub.Regraded)
	it.Grant.Grant.Terms, it.Grant.Names, it.Grant.Narrowed = terms, changed, narrowed
	it.Lines[0].Attributes = changed
	return it
}
