package storetest

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"sync"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
)

var grantTests = map[string]func(f *fixture){
	"a grant is kept as given": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		terms := consent.Terms{Attributes: []string{"emails", "title"}, Purposes: consent.Notify, Until: 1 << 50}
		it := f.newGrant(p, e.ID, terms)
		g := f.commit(it).Grants[0]
		at := f.head().Position
		if g.Version != 1 || g.Given != at || g.Position != at || g.Ended != 0 || g.CreatedAt != it.Lines[0].Time {
			f.Errorf("written: %+v", g)
		}
		f.equal("grant", f.freshGrant(g), g)
		f.equal("terms", g.Terms, terms)
		if now := f.entry(e.ID); now.Position != e.Position {
			f.Error("a grant's line stamped the entry")
		}
	},

	"what a grant needs": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		f.refused(hub.ErrNotFound, f.newGrant(p, hub.NewID(), both("title")))
		f.refused(hub.ErrNotFound, f.newGrant(&hub.Party{ID: hub.NewID()}, e.ID, both("title")))
		f.refused(hub.ErrNotFound, f.newGrant(f.agreement("title"), e.ID, both("title")))
		gone := f.party()
		f.commit(f.changeParty(gone, hub.PartyRemoved))
		f.refused(hub.ErrNotFound, f.newGrant(gone, e.ID, both("title")))
		f.grant(p, e.ID, "title")
		f.refused(hub.ErrConflict, f.newGrant(p, e.ID, both("title")))
		f.commit(f.deletion(e))
		f.refused(hub.ErrNotFound, f.newGrant(f.party(), e.ID, both("title")))
	},

	"a grant is written as it was read": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		g := f.grant(p, e.ID, "title")
		stale := f.grantLine(g, hub.Revoked)
		f.update(e, "title") // the row moved: the version too
		f.refused(hub.ErrConflict, stale)
		f.update(e, "nickName") // not of the grant
		f.commit(f.grantLine(f.freshGrant(g), hub.Revoked))
		f.refused(hub.ErrConflict, stale)
	},

	"a revoked grant stands still": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		g := f.grant(p, e.ID, "title")
		f.revoke(g)
		if g.Ended != f.head().Position || g.Gone || g.Version != 2 || g.Position != g.Ended {
			f.Errorf("ended: %+v", g)
		}
		f.update(e, "title")
		f.equal("grant", f.freshGrant(g), g)
		f.commit(f.deletion(e))
		f.equal("grant", f.freshGrant(g), g)
	},

	"given again is the same grant": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		g := f.grant(p, e.ID, "title")
		f.commit(f.regrade(g, false, both("title", "nickName"), "nickName"))
		f.revoke(g)
		it := f.grantLine(g, hub.Granted)
		it.Grant.Grant.Terms = both("emails")
		now := f.commit(it).Grants[0]
		if now.ID != g.ID || now.Ended != 0 || now.Given != f.head().Position || now.Version != g.Version+1 || len(now.Marks) != 0 {
			f.Errorf("given again: %+v", now)
		}
		f.update(e, "title")
		f.equal("title is of the grant no more", f.freshGrant(g).Version, now.Version)
		it = f.change(e)
		it.Lines[0].Attributes = []string{"emails"}
		f.commit(it)
		f.equal("emails are", f.freshGrant(g).Version, now.Version+1)
	},

	"other terms": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		g := f.grant(p, e.ID, "title")
		now := f.commit(f.regrade(g, false, both("nickName"), "nickName", "title")).Grants[0]
		at := f.head().Position
		if now.Regraded != at || now.Given != g.Given || now.Marks.Of("title") != at || now.Marks.Of("nickName") != at {
			f.Errorf("regraded: %+v", now)
		}
		f.equal("grant", f.freshGrant(g), now)
		f.update(e, "nickName")
		if f.freshGrant(g).Version != now.Version+1 {
			f.Error("the new name does not move the row")
		}
	},

	"opt state": func(f *fixture) { // a move moves the row; other terms leave it; a new grant begins anew
		p, q, e := f.party(), f.party(), f.user("ada")
		g := f.grant(p, e.ID, "title")
		f.grant(q, e.ID, "title")
		s, other := f.stream(p), f.stream(q)
		it := f.grantLine(f.freshGrant(g), "opt-out-initiated")
		it.Grant.Grant.Opt = consent.OptingOut
		signal := f.newSignal(e.ID, "", "payload").Signals[0]
		signal.Party, signal.Type = p.ID, events.OptOutInitiated
		it.Signals = []hub.Signal{signal}
		r := f.commit(it)
		now := r.Grants[0]
		if now.Opt != consent.OptingOut || now.Regraded != r.Head.Position-1 || now.Position != now.Regraded || now.Version != g.Version+1 {
			f.Errorf("moved: %+v", now)
		}
		f.equal("grant", f.freshGrant(g), now)
		f.issue(s)
		f.issue(other)
		if d := f.one(s).Delivery; d.Signal != r.Head.Position || len(f.sendable(other)) != 0 {
			f.Errorf("told %+v", d)
		}
		out := f.grantLine(now, "opt-out-effective")
		out.Grant.Grant.Opt = consent.OptedOut
		f.commit(out)
		f.raise(e.ID, "", "of the account")
		f.issue(s)
		f.issue(other)
		if d := f.one(s).Delivery; d.Signal != r.Head.Position || len(f.sendable(other)) != 1 {
			f.Errorf("told after opting out: %+v", d)
		}
		if now := f.commit(f.regrade(g, false, both("title", "nickName"), "nickName")).Grants[0]; now.Opt != consent.OptedOut {
			f.Errorf("other terms: %+v", now)
		}
		f.revoke(g)
		if now := f.freshGrant(g); now.Opt != consent.OptedOut {
			f.Errorf("revoked: %+v", now)
		}
		if now := f.commit(f.grantLine(f.freshGrant(g), hub.Granted)).Grants[0]; now.Opt != consent.OptedIn {
			f.Errorf("given again: %+v", now)
		}
	},

	"active concerns every grant": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		g := f.grant(p, e.ID, "title")
		f.commit(f.toggle(e, false))
		if f.freshGrant(g).Version != 2 {
			f.Error("the row did not move")
		}
	},

	"a part moves who was given the whole": func(f *fixture) {
		p, q, e := f.party(), f.party(), f.user("ada")
		whole, part := f.grant(p, e.ID, "name"), f.grant(q, e.ID, "name.familyName")
		f.commit(hub.Item{Lines: []hub.Change{f.line(hub.Updated, e.ID, "name.familyName")}})
		if f.freshGrant(whole).Version != 2 || f.freshGrant(part).Version != 2 {
			f.Error("a row did not move")
		}
	},

	"a grant sees the change in its batch": func(f *fixture) { // I6
		p, e := f.party(), f.user("ada")
		r := f.commit(f.newGrant(p, e.ID, both("title")), f.change(e, "title"))
		if g := f.row(p, e.ID).Grant; g.Version != 2 || g.Position != r.Head.Position || g.Given != r.Head.Position-1 {
			f.Errorf("%+v", g)
		}
		created := f.newUser("bob")
		r = f.commit(created, f.newGrant(p, created.Entry.Entry.ID, both("title")), f.deletionOf(created))
		if g := f.row(p, created.Entry.Entry.ID).Grant; g.Ended != r.Head.Position || !g.Gone {
			f.Errorf("%+v", g)
		}
	},

	"several lines of one entry": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		g := f.grant(p, e.ID, "title")
		it := f.change(e, "title")
		it.Lines = append(it.Lines, f.line(hub.Updated, e.ID, "nickName"), f.line(hub.Updated, e.ID, "title"), f.line(hub.Updated, e.ID, "locale"))
		at := f.commit(it).Head.Position
		if g = f.freshGrant(g); g.Version != 3 || g.Position != at-1 {
			f.Errorf("%+v, head %d", g, at)
		}
		if now := f.entry(e.ID); now.Position != at || now.Marks.Of("title") != at-1 || now.Marks.Of("nickName") != at-2 || now.Version != e.Version+1 {
			f.Errorf("%+v", now)
		}
	},

	"expired grants are swept once": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		terms := both("title")
		terms.Until = f.now + 50
		g := f.commit(f.newGrant(p, e.ID, terms)).Grants[0]
		f.grant(p, f.user("bob").ID, "title")
		if due, err := f.store.Expired(f.ctx, terms.Until-1, 10); err != nil || len(due) != 0 {
			f.Errorf("too early: %+v, %v", due, err)
		}
		due, err := f.store.Expired(f.ctx, terms.Until, 10)
		f.must(err)
		if len(due) != 1 || due[0].ID != g.ID {
			f.Fatalf("due: %+v", due)
		}
		other := f.open()
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, s := range []hub.Store{f.store, other} {
			it := f.grantLine(&due[0], hub.Expired)
			wg.Go(func() {
				r, err := s.Commit(f.ctx, hub.Batch{Now: terms.Until, Items: []hub.Item{it}})
				if err == nil {
					err = r.Errors[0]
				}
				errs[i] = err
			})
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			f.Errorf("two sweepers: %v, %v", errs[0], errs[1])
		}
		if due, _ = f.store.Expired(f.ctx, terms.Until, 10); len(due) != 0 {
			f.Errorf("still due: %+v", due)
		}
		if g = f.freshGrant(g); g.Ended == 0 || g.Gone {
			f.Errorf("%+v", g)
		}
	},

	"grants are listed in order of id": func(f *fixture) {
		p, q := f.party(), f.party()
		users := f.users("u", 7)
		f.grantAll([]*hub.Party{p, q}, users, "title")
		f.revoke(f.row(p, users[0].ID).Grant)
		for _, c := range []struct {
			party hub.ID
			want  int
		}{{p.ID, 7}, {hub.ID{}, 14}} {
			var got []hub.ID
			for after := (hub.ID{}); ; {
				page, err := f.store.Grants(f.ctx, c.party, after, 3)
				f.must(err)
				if len(page) == 0 {
					break
				}
				for _, g := range page {
					if !c.party.IsZero() && g.Party != c.party {
						f.Error("another party's grant")
					}
					got = append(got, g.ID)
				}
				after = got[len(got)-1]
			}
			if len(got) != c.want || !slices.IsSortedFunc(got, func(a, b hub.ID) int { return slices.Compare(a[:], b[:]) }) {
				f.Errorf("%d grants", len(got))
			}
		}
	},
}

// deletionOf ends what an item of the same batch makes.
func (f *fixture) deletionOf(created hub.Item) hub.Item {
	e := created.Entry.Entry
	e.Version = 1
	return f.deletion(&e)
}

var partyTests = map[string]func(f *fixture){
	"a party is kept as given": func(f *fixture) {
		it := f.newParty(func(p *hub.Party) {
			p.Bounds = consent.Bounds{Types: []string{"User"}, Attributes: []string{"title"}, MaxAge: 1e9}
			p.Events, p.Claims = []events.Type{events.SessionRevoked}, map[string]string{"email": "emails"}
		})
		r := f.commit(it)
		want := it.Party.Party
		want.Generation = 1
		f.equal("written", r.Parties[0], want)
		got, err := f.store.Party(f.ctx, want.ID)
		f.must(err)
		f.equal("party", got, want)
		all, err := f.store.Parties(f.ctx)
		f.must(err)
		f.equal("parties", all, []hub.Party{want})
		f.refused(hub.ErrConflict, it)
	},

	"a change raises the generation": func(f *fixture) {
		p := f.party()
		it := f.changeParty(p, hub.PartyChanged)
		it.Party.Party.Name = "renamed"
		now := f.commit(it).Parties[0]
		if now.Generation != 2 || now.Name != "renamed" {
			f.Errorf("%+v", now)
		}
		f.refused(hub.ErrConflict, it)
		ghost := *p
		ghost.ID = hub.NewID()
		f.refused(hub.ErrConflict, f.changeParty(&ghost, hub.PartyChanged))
	},

	"a removed party has nothing": func(f *fixture) {
		p, other := f.party(), f.party()
		e := f.user("ada")
		f.grantAll([]*hub.Party{p, other}, []*hub.Entry{e}, "title")
		s := f.stream(p)
		f.update(e, "title")
		f.issue(s)
		sending := f.one(s)
		removed := f.commit(f.changeParty(p, hub.PartyRemoved)).Parties[0]
		if removed.Removed != f.head().Position {
			f.Errorf("%+v", removed)
		}
		_, err := f.store.Feed(f.ctx, hub.FeedQuery{Party: p.ID, Limit: 1})
		f.wants(err, hub.ErrNotFound)
		_, err = f.store.Told(f.ctx, p.ID, []hub.ID{e.ID})
		f.wants(err, hub.ErrNotFound)
		_, err = f.store.TokenByHash(f.ctx, sha256.Sum256(p.ID[:]))
		f.wants(err, hub.ErrNotFound)
		_, err = f.store.Stream(f.ctx, p.ID, s.ID)
		f.wants(err, hub.ErrNotFound)
		if f.begin(f.attempt(sending))[0] {
			f.Error("a removed party is sent something")
		}
		_, err = f.store.CreateStream(f.ctx, hub.Stream{ID: hub.NewID(), Party: p.ID}, 5)
		f.wants(err, hub.ErrNotFound)
		_, err = f.store.TokenByHash(f.ctx, sha256.Sum256(other.ID[:]))
		f.must(err)
		f.update(e, "title") // its grants are dead; nothing fails over them
	},

	"credentials": func(f *fixture) {
		p := f.party()
		got, err := f.store.TokenByHash(f.ctx, sha256.Sum256(p.ID[:]))
		f.must(err)
		if got.Role != hub.RoleParty || got.Party != p.ID || got.Revoked != 0 {
			f.Errorf("%+v", got)
		}
		token := hub.Token{ID: hub.NewID(), Role: hub.RoleOperator, Name: "root", Hash: [32]byte{1}, CreatedAt: f.tick()}
		f.must(f.store.AddToken(f.ctx, token))
		got, err = f.store.TokenByHash(f.ctx, token.Hash)
		f.must(err)
		f.equal("token", got, token)
		if err := f.store.AddToken(f.ctx, hub.Token{ID: hub.NewID(), Role: hub.RoleOperator, Hash: token.Hash}); err == nil {
			f.Error("two credentials have one hash")
		}
		_, err = f.store.TokenByHash(f.ctx, [32]byte{2})
		f.wants(err, hub.ErrNotFound)
		if all, err := f.store.Tokens(f.ctx); err != nil || len(all) != 2 {
			f.Errorf("%+v, %v", all, err)
		}
		f.must(f.store.RevokeToken(f.ctx, token.ID, f.tick()))
		_, err = f.store.TokenByHash(f.ctx, token.Hash)
		f.wants(err, hub.ErrNotFound)
		f.wants(f.store.RevokeToken(f.ctx, hub.NewID(), f.tick()), hub.ErrNotFound)
		f.must(f.store.UseTokens(f.ctx, map[hub.ID]int64{token.ID: 70, hub.NewID(): 70}))
		f.must(f.store.UseTokens(f.ctx, map[hub.ID]int64{token.ID: 60}))
		f.must(f.store.UseTokens(f.ctx, nil))
		all, err := f.store.Tokens(f.ctx)
		f.must(err)
		for _, t := range all {
			if used := t.ID == token.ID; used != (t.Used == 70) || used == (t.Used == 0) {
				f.Errorf("last used: %+v", t)
			}
		}
	},

	"two tokens of a party": func(f *fixture) {
		p, other := f.party(), f.party()
		now := f.tick()
		token := func(of *hub.Party) hub.Token {
			t := hub.Token{ID: hub.NewID(), Role: hub.RoleParty, Party: of.ID, Name: "next", CreatedAt: now, Expires: now + 10, Scopes: []hub.Scope{hub.SSFRead, hub.ChangesRead}}
			copy(t.Hash[:], t.ID[:])
			return t
		}
		second := token(p)
		f.must(f.store.AddToken(f.ctx, second)) // the first came with the party
		got, err := f.store.TokenByHash(f.ctx, second.Hash)
		f.must(err)
		f.equal("token", got, second)
		f.wants(f.store.AddToken(f.ctx, token(p)), hub.ErrLimit)
		f.must(f.store.AddToken(f.ctx, token(other)))
		now += 10 // the second expires
		third := token(p)
		f.must(f.store.AddToken(f.ctx, third))
		f.wants(f.store.AddToken(f.ctx, token(p)), hub.ErrLimit)
		f.must(f.store.RevokeToken(f.ctx, third.ID, now))

		var wg sync.WaitGroup // several nodes at once
		var mu sync.Mutex
		kept := 0
		for _, s := range []hub.Store{f.store, f.open(), f.open(), f.open()} {
			t := token(p)
			wg.Go(func() {
				switch err := s.AddToken(f.ctx, t); {
				case err == nil:
					mu.Lock()
					defer mu.Unlock()
					kept++
				case !errors.Is(err, hub.ErrLimit):
					f.Error(err)
				}
			})
		}
		wg.Wait()
		if kept != 1 {
			f.Errorf("%d were added", kept)
		}
		f.commit(f.changeParty(other, hub.PartyRemoved))
		f.wants(f.store.AddToken(f.ctx, token(other)), hub.ErrNotFound)
	},

	"keys of a party": func(f *fixture) {
		p, other := f.party(), f.party()
		key := func(name string) hub.Token {
			t := hub.Token{ID: hub.NewID(), Role: hub.RoleParty, Party: p.ID, Name: name, Key: []byte(name), CreatedAt: f.tick(), Scopes: []hub.Scope{hub.SSFRead}}
			copy(t.Hash[:], t.ID[:])
			return t
		}
		set := func(keys ...hub.Token) {
			f.Helper()
			f.must(f.store.SetKeys(f.ctx, p.ID, keys, f.tick()))
		}
		keys := func() []hub.Token {
			f.Helper()
			got, err := f.store.Keys(f.ctx, p.ID)
			f.must(err)
			slices.SortFunc(got, func(a, b hub.Token) int { return strings.Compare(a.Name, b.Name) })
			return got
		}
		have := func(want ...hub.Token) {
			f.Helper()
			f.equal("keys", keys(), want)
		}
		a, b, c := key("a"), key("b"), key("c")
		if len(keys()) != 0 {
			f.Error("a new party has keys")
		}
		set(a, b)
		have(a, b)
		set(key("b"), c) // the b that stands there stays, with its id
		have(b, c)
		got, err := f.store.Token(f.ctx, b.ID)
		f.must(err)
		f.equal("key", got, b)
		_, err = f.store.Token(f.ctx, a.ID)
		f.wants(err, hub.ErrNotFound)
		_, err = f.store.TokenByHash(f.ctx, b.Hash) // a key is no bearer token
		f.wants(err, hub.ErrNotFound)
		f.must(f.store.RevokeToken(f.ctx, c.ID, f.tick()))
		have(b)
		narrow := key("b")
		narrow.Scopes = []hub.Scope{hub.ChangesRead}
		set(narrow)
		have(narrow)
		bearer := hub.Token{ID: hub.NewID(), Role: hub.RoleParty, Party: p.ID, Name: "x", Hash: [32]byte{9}, CreatedAt: f.tick()}
		f.must(f.store.AddToken(f.ctx, bearer)) // keys do not count
		if keys, err := f.store.Keys(f.ctx, other.ID); err != nil || len(keys) != 0 {
			f.Errorf("another party has %d keys, %v", len(keys), err)
		}
		f.wants(f.store.SetKeys(f.ctx, hub.NewID(), nil, f.tick()), hub.ErrNotFound)

		sets := [][]hub.Token{{key("d"), key("e")}, {key("f"), key("g")}, {key("h"), key("i")}} // several nodes at once
		var wg sync.WaitGroup
		for i, s := range []hub.Store{f.store, f.open(), f.open()} {
			wg.Go(func() {
				if err := s.SetKeys(f.ctx, p.ID, sets[i], f.tick()); err != nil {
					f.Error(err)
				}
			})
		}
		wg.Wait()
		last := keys()
		if len(last) != 2 || last[0].Name[0]+1 != last[1].Name[0] {
			f.Errorf("sets were mixed: %s", jsonOf(last))
		}
		f.commit(f.changeParty(p, hub.PartyRemoved))
		if len(keys()) != 0 {
			f.Error("a removed party has keys")
		}
		_, err = f.store.Token(f.ctx, last[0].ID)
		f.wants(err, hub.ErrNotFound)
		f.wants(f.store.SetKeys(f.ctx, p.ID, nil, f.tick()), hub.ErrNotFound)
	},

	"the first secret stays": func(f *fixture) {
		stores := []hub.Store{f.store, f.open(), f.open()}
		got := make([]hub.Secret, 12)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				s, err := stores[i%len(stores)].InitSecret(f.ctx, hub.Secret{Name: "seal", Wrapped: []byte{byte(i)}, CreatedAt: int64(i)})
				if err != nil {
					f.Error(err)
				}
				got[i] = s
			})
		}
		wg.Wait()
		for _, s := range got {
			f.equal("secret", s, got[0])
		}
		_, err := f.store.InitSecret(f.ctx, hub.Secret{Name: "check", Wrapped: []byte("x")})
		f.must(err)
		all, err := f.store.Secrets(f.ctx)
		f.must(err)
		if len(all) != 2 {
			f.Errorf("%+v", all)
		}
	},
}
