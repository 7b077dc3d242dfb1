package storetest

import (
	"errors"
	"fmt"
	"slices"

	"tidings/hub"
)

var referenceTests = map[string]func(f *fixture){
	"members are told of their group": func(f *fixture) {
		p := f.party()
		a, b, c := f.user("a"), f.user("b"), f.user("c")
		ga, gb := f.grant(p, a.ID, "groups"), f.grant(p, b.ID, "title")
		before := f.head().Position
		g := f.commit(f.newGroup("g", "a", "b")).Entries[0]
		if lines := f.lines(before); len(lines) != 3 || lines[0].Entry != g.ID {
			f.Fatalf("lines: %+v", lines)
		} else {
			for _, l := range lines[1:] {
				if l.Kind != hub.Updated || !slices.Equal(l.Attributes, []string{"groups"}) || l.Source != source || l.Txn != lines[0].Txn || l.Actor != "test" {
					f.Errorf("line: %+v", l)
				}
			}
		}
		a = f.entry(a.ID)
		if a.Marks.Of("groups") != a.Position || a.Position <= before || a.Version != 1 {
			f.Errorf("member: %+v", a)
		}
		if now := f.freshGrant(ga); now.Position != a.Position || now.Version != 2 {
			f.Errorf("grant of groups: %+v", now)
		}
		if now := f.freshGrant(gb); now.Version != 1 {
			f.Errorf("grant without groups: %+v", now)
		}

		before = f.head().Position
		f.commit(f.regroup(f.entry(g.ID), "g", false, "b", "c"))
		told := map[hub.ID]int{}
		for _, l := range f.lines(before) {
			told[l.Entry]++
		}
		if len(told) != 3 || told[a.ID] != 1 || told[c.ID] != 1 || told[g.ID] != 1 {
			f.Errorf("told: %v", told)
		}

		before = f.head().Position
		f.commit(f.regroup(f.entry(g.ID), "g", true, "b", "c"))
		if lines := f.lines(before); len(lines) != 3 {
			f.Errorf("renamed: %+v", lines)
		}
	},

	"pointers are read from both sides": func(f *fixture) {
		a := f.user("a")
		g := f.commit(f.newGroup("g", "a", "nobody")).Entries[0]
		from, to, err := f.store.References(f.ctx, g.ID)
		f.must(err)
		slices.SortFunc(from, func(x, y hub.Reference) int { return slices.Compare([]byte(x.Key), []byte(y.Key)) })
		if len(to) != 0 || len(from) != 2 || from[0] != (hub.Reference{From: g.ID, Name: "members", Key: "a", Target: a.ID}) || !from[1].Target.IsZero() {
			f.Errorf("from the group: %+v, to it: %+v", from, to)
		}
		from, to, err = f.store.References(f.ctx, a.ID)
		f.must(err)
		if len(from) != 0 || len(to) != 1 || to[0].From != g.ID {
			f.Errorf("from the member: %+v, to it: %+v", from, to)
		}
		open, err := f.store.Unresolved(f.ctx, source, 10)
		f.must(err)
		if len(open) != 1 || open[0].Key != "nobody" || open[0].From != g.ID {
			f.Errorf("unresolved: %+v", open)
		}
		if open, _ = f.store.Unresolved(f.ctx, "other", 10); len(open) != 0 {
			f.Errorf("unresolved of another source: %+v", open)
		}
	},

	"resolving is a change": func(f *fixture) {
		g := f.commit(f.newGroup("g", "late")).Entries[0]
		before := f.head().Position
		late := f.user("late")
		from, _, err := f.store.References(f.ctx, g.ID)
		f.must(err)
		if from[0].Target != late.ID {
			f.Errorf("target: %+v", from)
		}
		now, then := f.entry(g.ID), f.entry(late.ID)
		if now.Marks.Of("members") <= before || now.Version != g.Version {
			f.Errorf("the group was not told: %+v", now)
		}
		if then.Marks.Of("groups") <= before {
			f.Errorf("the member was not told: %+v", then)
		}
		if open, _ := f.store.Unresolved(f.ctx, source, 10); len(open) != 0 {
			f.Errorf("unresolved: %+v", open)
		}
	},

	"a later key of an entry resolves": func(f *fixture) {
		g := f.commit(f.newGroup("g", "cn=ada")).Entries[0]
		e := f.user("ada")
		it := f.change(e, "title")
		it.Entry.Keys = []string{"ada", "cn=ada"}
		f.commit(it)
		if from, _, _ := f.store.References(f.ctx, g.ID); from[0].Target != e.ID {
			f.Errorf("target: %+v", from)
		}
	},

	"targets are found within a batch, in any order": func(f *fixture) {
		r := f.commit(f.newGroup("g", "a", "b"), f.newUser("a"), f.newUser("b"))
		from, _, err := f.store.References(f.ctx, r.Entries[0].ID)
		f.must(err)
		for _, ref := range from {
			if ref.Target.IsZero() {
				f.Errorf("unresolved: %+v", ref)
			}
		}
		for _, e := range r.Entries[1:] {
			if f.entry(e.ID).Marks.Of("groups") == 0 {
				f.Errorf("member was not told")
			}
		}
	},

	"targets by id": func(f *fixture) {
		boss := f.user("boss")
		it := f.newUser("a")
		it.Entry.References = []hub.Reference{{From: it.Entry.Entry.ID, Name: manager, Key: boss.ID.String()}, {From: it.Entry.Entry.ID, Name: "members", Key: hub.NewID().String()}}
		e := f.commit(it).Entries[0]
		from, _, err := f.store.References(f.ctx, e.ID)
		f.must(err)
		for _, ref := range from {
			if ref.Name == manager && ref.Target != boss.ID || ref.Name != manager && !ref.Target.IsZero() {
				f.Errorf("%+v", ref)
			}
		}
	},

	"a target that goes": func(f *fixture) {
		p := f.party()
		boss := f.user("boss")
		it := f.newUser("a")
		it.Entry.References = []hub.Reference{{From: it.Entry.Entry.ID, Name: manager, Key: "boss"}}
		a := f.commit(it).Entries[0]
		g := f.grant(p, a.ID, manager)
		group := f.commit(f.newGroup("g", "boss", "a")).Entries[0]
		before := f.head().Position
		f.commit(f.deletion(f.entry(boss.ID)))
		if now := f.entry(a.ID); now.Marks.Of(manager) <= before {
			f.Errorf("who pointed was not told: %+v", now)
		}
		if now := f.freshGrant(g); now.Position <= before {
			f.Errorf("the grant did not move: %+v", now)
		}
		if now := f.entry(group.ID); now.Marks.Of("members") <= before {
			f.Errorf("the group was not told: %+v", now)
		}
		from, _, err := f.store.References(f.ctx, a.ID)
		f.must(err)
		if len(from) != 1 || !from[0].Target.IsZero() {
			f.Errorf("%+v", from)
		}
		again := f.user("boss") // a new entry under the old key is the target from now on
		if from, _, _ = f.store.References(f.ctx, a.ID); from[0].Target != again.ID {
			f.Errorf("%+v", from)
		}
	},

	"a group that goes": func(f *fixture) {
		a := f.user("a")
		g := f.commit(f.newGroup("g", "a")).Entries[0]
		before := f.head().Position
		f.commit(f.deletion(f.entry(g.ID)))
		if now := f.entry(a.ID); now.Marks.Of("groups") <= before {
			f.Errorf("the member was not told: %+v", now)
		}
		from, _, err := f.store.References(f.ctx, g.ID)
		f.must(err)
		_, to, err := f.store.References(f.ctx, a.ID)
		f.must(err)
		if len(from)+len(to) != 0 {
			f.Errorf("pointers remain: %+v %+v", from, to)
		}
	},

	"what points within what goes": func(f *fixture) { // a group and its member deleted in one batch
		a := f.user("a")
		g := f.commit(f.newGroup("g", "a")).Entries[0]
		f.commit(f.deletion(f.entry(g.ID)), f.deletion(f.entry(a.ID)))
		b := f.user("b")
		h := f.commit(f.newGroup("h", "b")).Entries[0]
		f.commit(f.deletion(f.entry(b.ID)), f.deletion(f.entry(h.ID)))
	},

	"groups in groups and circles": func(f *fixture) {
		r := f.commit(f.newGroup("g", "h", "g"), f.newGroup("h", "g"))
		f.commit(f.deletion(f.entry(r.Entries[0].ID)))
		f.commit(f.regroup(f.entry(r.Entries[1].ID), "h", true))
	},
}

const manager = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager"

// wide is a number of rows beyond what one transaction moves.
const wide = hub.MaxMoves + 205

var wideTests = map[string]func(f *fixture){
	"a line that many parties hear": func(f *fixture) {
		e := f.user("ada")
		parties := f.parties(wide)
		f.grantAll(parties, []*hub.Entry{e}, "nickName", "title")
		before := f.head().Position
		r := f.commit(f.change(e, "title"))
		if !r.Echoing {
			f.Error("the receipt does not say that the line is unfinished")
		}
		moved := func() (n int) {
			for _, g := range f.grants() {
				if g.Position > before {
					n++
				}
			}
			return n
		}
		if n := moved(); n != hub.MaxMoves {
			f.Errorf("%d rows were moved at once", n)
		}
		f.check()
		f.changeNow(e.ID, "nickName") // something else in between
		ids, err := f.store.Echoes(f.ctx, 10)
		f.must(err)
		if len(ids) != 2 {
			f.Fatalf("echoes: %v", ids)
		}
		f.commit(hub.Item{Echo: ids[0]})
		// Another node has read the same list: what is done is done.
		two, err := f.open().Commit(f.ctx, hub.Batch{Now: f.tick(), Items: []hub.Item{{Echo: ids[0]}, f.newUser("bob")}})
		f.must(err)
		if two.Done != 2 || !errors.Is(two.Errors[0], hub.ErrNotFound) || two.Errors[1] != nil {
			f.Errorf("%+v", two)
		}
		f.finishEchoes()
		if n := moved(); n != wide {
			f.Errorf("%d of %d rows were moved", n, wide)
		}
		// Who was moved by the echo finds the name after its base: it was stamped anew.
		now := f.entry(e.ID)
		last := f.row(parties[len(parties)-1], e.ID).Grant
		if last.Position < now.Marks.Of("title") {
			f.Errorf("the echo's names stand at %d, the entry at %d", now.Marks.Of("title"), now.Position)
		}
		for _, l := range f.lines(before) {
			if l.Entry == e.ID && l.Kind != hub.Updated {
				f.Errorf("line: %+v", l)
			}
		}
	},

	"a deletion that many parties hear": func(f *fixture) {
		e := f.user("ada")
		parties := f.parties(wide)
		f.grantAll(parties, []*hub.Entry{e}, "title")
		s := f.stream(parties[wide-1])
		f.changeNow(e.ID, "title")
		f.finishEchoes()
		f.issue(s)
		f.commit(f.deletion(f.entry(e.ID)))
		f.silent(e.Attributes["title"].(string))
		// Nobody may be told any more, whether or not its row has moved yet.
		for _, p := range []*hub.Party{parties[0], parties[wide/2], parties[wide-1]} {
			if row := f.row(p, e.ID); hub.Live(row, *p, f.now) {
				f.Error("still live for a party")
			}
		}
		for _, sending := range f.sendable(s) {
			if sending.Delivery.Kind != "removed" && f.begin(f.attempt(sending))[0] {
				f.Error("a deleted entry is sent")
			}
		}
		f.finishEchoes()
		for _, g := range f.grants() {
			if g.Ended == 0 || !g.Gone {
				f.Fatalf("a grant runs on: %+v", g)
			}
		}
	},

	"a group of many": func(f *fixture) {
		users := f.users("u", wide)
		p := f.party()
		f.grantAll([]*hub.Party{p}, users, "groups")
		var keys []string
		for i := range users {
			keys = append(keys, fmt.Sprintf("u%05d", i))
		}
		before := f.head().Position
		r := f.commit(f.newGroup("g", keys...))
		if !r.Echoing || r.Head.Position-before > hub.MaxMoves+1 {
			f.Errorf("%d positions at once, echoing: %v", r.Head.Position-before, r.Echoing)
		}
		f.check()
		f.commit(f.deletion(f.entry(users[wide-1].ID))) // one goes before its turn came
		f.finishEchoes()
		seen := map[int64]bool{}
		for _, row := range f.feed(hub.FeedQuery{Party: p.ID, Limit: 2 * wide}).Rows {
			if g := row.Grant; !g.Gone && row.Entry.Marks.Of("groups") <= before || g.Position <= before || seen[g.Position] {
				f.Fatalf("a member was not told, or two stand at one place: %+v", g)
			}
			seen[row.Grant.Position] = true
		}
		if len(seen) != wide {
			f.Errorf("%d rows", len(seen))
		}
		before = f.head().Position
		f.commit(f.deletion(f.entry(r.Entries[0].ID)))
		f.finishEchoes()
		for _, row := range f.feed(hub.FeedQuery{Party: p.ID, Limit: 2 * wide}).Rows {
			if !row.Grant.Gone && row.Entry.Marks.Of("groups") <= before {
				f.Fatal("a member was not told of the end")
			}
		}
	},

	"a batch ends at its budget": func(f *fixture) {
		parties := f.parties(400)
		users := f.users("u", 4)
		f.grantAll(parties, users, "title")
		var items []hub.Item
		for _, u := range users {
			items = append(items, f.change(f.entry(u.ID), "title"))
		}
		r := f.try(items...)
		if r.Done != 2 || r.Echoing {
			f.Fatalf("%d items of 400 rows were taken, echoing %v", r.Done, r.Echoing)
		}
		for i, u := range users {
			if changed := f.entry(u.ID).Version == 2; changed != (i < r.Done) {
				f.Errorf("item %d: changed %v", i, changed)
			}
		}
		f.commit(items[r.Done])
	},
}

func (f *fixture) grants() []hub.Grant {
	f.Helper()
	all, err := f.store.Grants(f.ctx, hub.ID{}, hub.ID{}, 10*wide)
	f.must(err)
	return all
}

// changeNow changes an entry as it stands.
func (f *fixture) changeNow(id hub.ID, names ...string) {
	f.Helper()
	f.commit(f.change(f.entry(id), names...))
}
