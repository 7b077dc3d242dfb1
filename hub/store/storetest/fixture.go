package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"tidings/hub"
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
	for i, p := range parties {
		if i > 10 && i < len(parties)-10 {
			continue // as the others
		}
		note(f.store.Feed(f.ctx, hub.FeedQuery{Party: p.ID, Limit: 10_000, Values: true}))
		note(f.store.DeadLetters(f.ctx, hub.LetterQuery{Party: p.ID, Limit: 1000}))
		streams, err := f.store.Streams(f.ctx, p.ID)
		f.must(err)
		for _, s := range streams {
			sendings, err := f.store.Sendable(f.ctx, s.ID, f.now+1<<40, 1000)
			note(sendings, err)
			for _, s := range sendings {
				for _, t := range s.Delivery.Tokens {
					all.Write(t.Compact) // JSON has another way to write bytes
				}
			}
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

func sorted[T ~string](s []T) []T {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}
