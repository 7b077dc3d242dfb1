package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/hub/schema"
	"tidings/subscriptions"
)

// reporter is what a test and one run of a random test have in common.
type reporter interface {
	Helper()
	Error(...any)
	Errorf(string, ...any)
	Fatal(...any)
	Fatalf(string, ...any)
	Failed() bool
}

// fixture is a fresh store and the words in which tests speak of it. Its clock moves only when it is told to.
type fixture struct {
	reporter
	ctx    context.Context
	open   func() hub.Store
	store  hub.Store
	opened []hub.Store

	mu  sync.Mutex
	now int64
	n   int
}

const source = "people"

func newFixture(t *testing.T, factory Factory) *fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	open := factory(t)
	f := &fixture{reporter: t, ctx: ctx, now: 1_000_000}
	f.open = func() hub.Store {
		s := open()
		f.opened = append(f.opened, s)
		return s
	}
	t.Cleanup(cancel)
	t.Cleanup(f.close)
	f.store = f.open()
	return f
}

// close closes what was opened and is still open.
func (f *fixture) close() {
	for _, s := range f.opened {
		if err := s.Close(); err != nil {
			f.Errorf("close: %v", err)
		}
	}
	f.opened = nil
}

// check asks the store itself.
func (f *fixture) check() {
	f.Helper()
	problems, err := f.store.Check(f.ctx)
	if err != nil {
		f.Fatalf("check: %v", err)
	}
	for _, p := range problems {
		f.Errorf("check: %s", p)
	}
}

func (f *fixture) tick() int64 { return f.pass(1) }

func (f *fixture) clock() int64 { return f.pass(0) }

// pass lets time pass.
func (f *fixture) pass(time int64) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now += time
	return f.now
}

// word is a text that occurs nowhere else, so that a search for it is a search for what was said.
func (f *fixture) word() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	return fmt.Sprintf("word-%d-said", f.n)
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// wants fails unless err is what was expected.
func (f *fixture) wants(err, want error) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Errorf("got %v, want %v", err, want)
	}
}

// equal compares by JSON, since attributes are what JSON makes of them.
func (f *fixture) equal(what string, got, want any) {
	f.Helper()
	g, w := jsonOf(got), jsonOf(want)
	if g != w {
		f.Errorf("%s is\n%s\nnot\n%s", what, g, w)
	}
}

func jsonOf(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// --- commits

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

// --- reading

func (f *fixture) head() hub.Head {
	f.Helper()
	h, err := f.store.Head(f.ctx)
	f.must(err)
	return h
}

func (f *fixture) feed(q hub.FeedQuery) *hub.FeedPage {
	f.Helper()
	page, err := f.store.Feed(f.ctx, q)
	f.must(err)
	return page
}

// row reads what a party's feed says of an entry.
func (f *fixture) row(p *hub.Party, e hub.ID) *hub.FeedRow {
	f.Helper()
	page, err := f.store.Told(f.ctx, p.ID, []hub.ID{e})
	f.must(err)
	for _, r := range page.Rows {
		if r.Entry.ID == e {
			return &r
		}
	}
	return nil
}

func (f *fixture) entry(id hub.ID) *hub.Entry {
	f.Helper()
	e, err := f.store.Entry(f.ctx, id)
	f.must(err)
	return e
}

func (f *fixture) lines(after int64) []hub.Change {
	f.Helper()
	l, err := f.store.Changes(f.ctx, after, 100_000)
	f.must(err)
	return l
}

// finishEchoes goes on with wide lines until none is left, and says how many commits that took.
func (f *fixture) finishEchoes() (rounds int) {
	f.Helper()
	for {
		ids, err := f.store.Echoes(f.ctx, 10)
		f.must(err)
		if len(ids) == 0 {
			return rounds
		}
		if rounds++; rounds > 100 {
			f.Fatal("echoes never end")
		}
		before := f.head()
		r := f.try(hub.Item{Echo: ids[0]})
		if r.Done != 1 || r.Errors[0] != nil {
			f.Fatalf("echo: %+v", r.Errors)
		}
		if moved := f.head().Position - before.Position; moved > hub.MaxMoves {
			f.Fatalf("one step of an echo took %d positions", moved)
		}
	}
}

// silent fails if any of the words can still be read anywhere.
func (f *fixture) silent(words ...string) {
	f.Helper()
	var all strings.Builder
	note := func(v any, err error) {
		if err != nil && !errors.Is(err, hub.ErrNotFound) {
			f.Errorf("read: %v", err)
		}
		all.WriteString(jsonOf(v))
	}
	note(f.store.Changes(f.ctx, 0, 100_000))
	parties, err := f.store.Parties(f.ctx)
	f.must(err)
	for _, p := range parties {
		note(f.store.Feed(f.ctx, hub.FeedQuery{Party: p.ID, Limit: 10_000, Values: true}))
		note(f.store.DeadLetters(f.ctx, p.ID, 1000))
		streams, err := f.store.Streams(f.ctx, p.ID)
		f.must(err)
		for _, s := range streams {
			note(f.store.Sendable(f.ctx, s.ID, f.now+1<<40, 1000))
		}
	}
	note(f.store.Grants(f.ctx, hub.ID{}, hub.ID{}, 10_000))
	for _, t := range []string{"User", "Group"} {
		page, _, err := f.store.List(f.ctx, t, hub.ID{}, 10_000)
		note(page, err)
	}
	note(f.store.Unresolved(f.ctx, source, 1000))
	for _, w := range words {
		if strings.Contains(all.String(), w) {
			f.Errorf("%q can still be read", w)
		}
	}
}

// --- streams

func (f *fixture) stream(p *hub.Party) *hub.Stream {
	f.Helper()
	s, err := f.store.CreateStream(f.ctx, hub.Stream{ID: hub.NewID(), Party: p.ID, Status: subscriptions.Enabled, CreatedAt: f.tick(),
		Settings: subscriptions.Settings{Requested: []events.Type{"urn:test:event"}, Description: f.word(),
			Delivery: subscriptions.Delivery{Method: events.MethodPush, EndpointURL: "https://r.example/", AuthorizationHeader: "sealed"}}}, 5)
	f.must(err)
	return s
}

func (f *fixture) streamNow(s *hub.Stream) *hub.Stream {
	f.Helper()
	now, err := f.store.Stream(f.ctx, s.Party, s.ID)
	f.must(err)
	return now
}

// decide tells whatever the rules want told: the engine's decision without its policies.
func decide(in hub.Issuing) hub.Issued {
	s, page := in.Stream, in.Page
	out := hub.Issued{Base: s.Base, At: s.At, Tag: s.Tag, Signal: s.Signal, Generation: page.Party.Generation}
	if s.Generation != page.Party.Generation {
		out.Drop = true
		out.Base, out.At, out.Tag, out.Signal = page.Head.Position, page.Head.Position, page.Head.Tag, page.Head.Position
		out.Deliveries = []hub.Delivery{own(&s, "urn:test:feed-changed")}
		return out
	}
	telling := func(row hub.FeedRow) hub.Delivery {
		d := hub.Delivery{ID: hub.NewID(), Stream: s.ID, Party: s.Party, Entry: row.Entry.ID, Generation: page.Party.Generation,
			Version: row.Entry.Position, Position: row.Entry.Position, Time: row.Entry.Changed}
		if g := row.Grant; g != nil {
			d.Given, d.Version, d.Position, d.Time = g.Given, g.Version, g.Position, g.Changed
		}
		return d
	}
	for _, sig := range in.Signals {
		out.Signal = sig.Position
		if row, ok := in.SignalRows[sig.Entry]; ok && sig.Concerns(row, page.Party, in.Now) && (row.Grant == nil || row.Grant.Given < sig.Position) {
			d := telling(row)
			d.Signal, d.Position, d.Txn = sig.Position, sig.Position, sig.Txn
			out.Deliveries = append(out.Deliveries, d)
		}
	}
	for _, row := range page.Rows {
		if told := tell(row, page.Party, s.Base, in.Now); told.Kind != "" && page.Party.Bounds.AllowsType(string(row.Entry.Type)) {
			d := telling(row)
			d.Kind, d.Names = told.Kind, told.Names
			out.Deliveries = append(out.Deliveries, d)
		}
	}
	if !in.MoreSignals {
		out.Signal = page.Head.Position
	}
	if page.More {
		out.At, out.Tag = page.Last, page.LastTag
	} else {
		out.Base, out.At, out.Tag = page.Head.Position, page.Head.Position, page.Head.Tag
	}
	return out
}

func tell(row hub.FeedRow, p hub.Party, base, now int64) consent.Telling {
	r := consent.Row{Terms: both(p.Bounds.Attributes...), Given: row.Entry.Created, Ended: row.Entry.Deleted, Gone: row.Entry.Deleted != 0,
		Active: row.Entry.Active, Entry: row.Entry.Marks, Grant: hub.Marks(nil)}
	if g := row.Grant; g != nil {
		r.Terms, r.Given, r.Ended, r.Gone, r.Grant = g.Terms, g.Given, g.Ended, g.Gone, g.Marks
	}
	return consent.Tell(r, base, 0, now)
}

func own(s *hub.Stream, t events.Type) hub.Delivery {
	return hub.Delivery{ID: hub.NewID(), Stream: s.ID, Party: s.Party, Type: t, Payload: []byte(`{"state":"x"}`)}
}

func (f *fixture) issue(s *hub.Stream) (more bool) {
	f.Helper()
	more, err := f.store.Issue(f.ctx, s.ID, f.tick(), hub.Window, decide)
	f.must(err)
	return more
}

func (f *fixture) sendable(s *hub.Stream) []hub.Sending {
	f.Helper()
	sendings, err := f.store.Sendable(f.ctx, s.ID, f.tick(), 100)
	f.must(err)
	return sendings
}

// one wants exactly one delivery to be sendable.
func (f *fixture) one(s *hub.Stream) hub.Sending {
	f.Helper()
	all := f.sendable(s)
	if len(all) != 1 {
		f.Fatalf("%d deliveries may be sent, not one: %+v", len(all), all)
	}
	return all[0]
}

func (f *fixture) attempt(s hub.Sending) hub.Attempt {
	a := hub.Attempt{Delivery: s.Delivery.ID, Owner: "node", Busy: f.now + 1000, Generation: s.Party.Generation, Position: s.Delivery.Position}
	if s.Row != nil && s.Row.Grant != nil {
		a.Given, a.Regraded = s.Row.Grant.Given, s.Row.Grant.Regraded
	}
	if len(s.Delivery.Tokens) == 0 {
		jti := f.word()
		a.Tokens = []hub.SignedToken{{JTI: jti, Compact: []byte("token " + jti)}}
	}
	return a
}

func (f *fixture) begin(attempts ...hub.Attempt) []bool {
	f.Helper()
	begun, err := f.store.Begin(f.ctx, f.tick(), attempts)
	f.must(err)
	if len(begun) != len(attempts) {
		f.Fatalf("%d answers to %d attempts", len(begun), len(attempts))
	}
	return begun
}

// send begins the one delivery that may be sent and returns the token's id.
func (f *fixture) send(s *hub.Stream) (jti string) {
	f.Helper()
	sending := f.one(s)
	a := f.attempt(sending)
	if !f.begin(a)[0] {
		f.Fatal("the attempt may not begin")
	}
	if len(a.Tokens) == 0 {
		return sending.Delivery.Tokens[0].JTI
	}
	return a.Tokens[0].JTI
}

func (f *fixture) settle(s *hub.Stream, next subscriptions.Next, due int64, jtis ...string) {
	f.Helper()
	var outcomes []hub.Outcome
	for _, j := range jtis {
		outcomes = append(outcomes, hub.Outcome{JTI: j, Next: next, Due: due, Reason: "test"})
	}
	f.must(f.store.Settle(f.ctx, s.ID, f.tick(), outcomes))
}

func kinds(lines []hub.Change) (all []hub.ChangeKind) {
	for _, l := range lines {
		all = append(all, l.Kind)
	}
	return all
}

func sorted[T ~string](s []T) []T {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

// eventually waits for something that another goroutine or process brings about.
func (f *fixture) eventually(what string, ok func() bool) {
	f.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.Fatalf("%s: not within %v", what, patience)
		}
	}
}
