package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tidings/hub"
)

var feedTests = map[string]func(f *fixture){
	"pages": func(f *fixture) {
		p := f.party()
		users := f.users("u", 25)
		f.grantAll([]*hub.Party{p, f.party()}, users, "title")
		f.update(users[3], "title")
		f.revoke(f.row(p, users[4].ID).Grant)
		head := f.head()
		tags := map[int64]hub.Tag{}
		for _, l := range f.lines(0) {
			tags[l.Position] = l.Tag
		}
		var seen []hub.ID
		at := int64(0)
		for more := true; more; {
			page := f.feed(hub.FeedQuery{Party: p.ID, After: at, Limit: 10, At: at})
			if page.Head.Position != head.Position || page.Head.Tag != head.Tag || page.Party.ID != p.ID {
				f.Errorf("page of %+v at %+v", page.Party, page.Head)
			}
			if page.LineTag != tags[at] {
				f.Errorf("the tag at %d is %x", at, page.LineTag)
			}
			if len(page.Rows) == 0 {
				f.Fatal("an empty page")
			}
			for _, r := range page.Rows {
				if r.Grant.Position <= at || r.Grant.Party != p.ID || r.Grant.Entry != r.Entry.ID {
					f.Errorf("after %d: %+v", at, r.Grant)
				}
				if r.Entry.Attributes != nil {
					f.Error("values were not asked for")
				}
				if len(r.Entry.Marks) == 0 || r.Entry.Type != "User" || !r.Entry.Active || r.Entry.Version == 0 {
					f.Errorf("entry: %+v", r.Entry)
				}
				at = r.Grant.Position
				seen = append(seen, r.Entry.ID)
			}
			if page.Last != at || page.LastTag != tags[at] {
				f.Errorf("last is %d with %x, not %d with %x", page.Last, page.LastTag, at, tags[at])
			}
			more = page.More
		}
		if len(seen) != 25 || seen[23] != users[3].ID || seen[24] != users[4].ID {
			f.Errorf("%d rows, or not in order", len(seen))
		}
		page := f.feed(hub.FeedQuery{Party: p.ID, After: at, Limit: 10, At: at})
		if len(page.Rows) != 0 || page.More || page.LineTag != tags[at] {
			f.Errorf("at the end: %+v", page)
		}
	},

	"a page that fits exactly": func(f *fixture) {
		p := f.party()
		f.grantAll([]*hub.Party{p}, f.users("u", 10), "title")
		if page := f.feed(hub.FeedQuery{Party: p.ID, Limit: 10}); len(page.Rows) != 10 || page.More {
			f.Errorf("%d rows, more %v", len(page.Rows), page.More)
		}
		if page := f.feed(hub.FeedQuery{Party: p.ID, Limit: 9}); len(page.Rows) != 9 || !page.More {
			f.Errorf("%d rows, more %v", len(page.Rows), page.More)
		}
	},

	"values": func(f *fixture) {
		p, e := f.party(), f.user("ada")
		g := f.grant(p, e.ID, "title")
		page := f.feed(hub.FeedQuery{Party: p.ID, Limit: 5, Values: true})
		f.equal("entry", page.Rows[0].Entry, f.entry(e.ID))
		f.equal("grant", page.Rows[0].Grant, g)
		f.equal("told", f.row(p, e.ID), page.Rows[0])
	},

	"a tag of no line": func(f *fixture) { // I8
		p := f.party()
		if page := f.feed(hub.FeedQuery{Party: p.ID, Limit: 1, At: f.head().Position + 5}); page.LineTag != (hub.Tag{}) {
			f.Errorf("tag %x", page.LineTag)
		}
		page := f.feed(hub.FeedQuery{Party: p.ID, Limit: 1, At: f.head().Position})
		if page.LineTag != f.head().Tag {
			f.Errorf("tag %x, head %x", page.LineTag, f.head().Tag)
		}
	},

	"an agreement reads the entries": func(f *fixture) {
		old := f.user("old")
		p := f.agreement("title")
		users := f.users("u", 5)
		g := f.commit(f.newGroup("g")).Entries[0]
		f.commit(f.deletion(users[0]))
		f.update(users[1], "nickName")
		var got []hub.ID
		for at, more := int64(0), true; more; {
			page := f.feed(hub.FeedQuery{Party: p.ID, After: at, Limit: 3, Values: true})
			for _, r := range page.Rows {
				if r.Grant != nil || r.Entry.Position <= at {
					f.Errorf("%+v", r)
				}
				at = r.Entry.Position
				got = append(got, r.Entry.ID)
			}
			if len(page.Rows) > 0 && page.Last != at {
				f.Errorf("last %d, not %d", page.Last, at)
			}
			more = page.More
		}
		want := []hub.ID{old.ID, users[2].ID, users[3].ID, users[4].ID, g.ID, users[0].ID, users[1].ID}
		f.equal("rows", got, want)
		page, err := f.store.Told(f.ctx, p.ID, []hub.ID{users[1].ID, hub.NewID()})
		f.must(err)
		if len(page.Rows) != 1 || page.Rows[0].Grant != nil || page.Rows[0].Entry.Attributes == nil {
			f.Errorf("told: %+v", page.Rows)
		}
	},

	"told": func(f *fixture) {
		p, other := f.party(), f.party()
		users := f.users("u", 4)
		f.grant(p, users[0].ID, "title")
		f.grant(other, users[1].ID, "title")
		f.grant(p, users[2].ID, "title")
		f.commit(f.deletion(users[2]))
		page, err := f.store.Told(f.ctx, p.ID, []hub.ID{users[3].ID, users[2].ID, users[1].ID, users[0].ID, users[0].ID, hub.NewID()})
		f.must(err)
		rows := map[hub.ID]hub.FeedRow{}
		for _, r := range page.Rows {
			rows[r.Entry.ID] = r
		}
		if len(rows) != 2 || rows[users[2].ID].Entry.Deleted == 0 || !rows[users[2].ID].Grant.Gone {
			f.Errorf("%+v", page.Rows)
		}
		f.equal("values", rows[users[0].ID].Entry.Attributes, users[0].Attributes)
		if page.Head.Position != f.head().Position || page.Party.ID != p.ID {
			f.Errorf("%+v", page)
		}
		if page, err = f.store.Told(f.ctx, p.ID, nil); err != nil || len(page.Rows) != 0 || page.Party.ID != p.ID {
			f.Errorf("nothing asked: %+v, %v", page, err)
		}
	},
}

var concurrentTests = map[string]func(f *fixture){
	"readers that follow miss nothing": func(f *fixture) { // I2, I3
		const writers, each, readers = 4, 12, 3
		p := f.party()
		users := f.users("u", 12)
		f.grantAll([]*hub.Party{p}, users, "title")
		start := f.head().Position
		stores := []hub.Store{f.store, f.open()}
		done := make(chan struct{})
		var writing, reading sync.WaitGroup
		for i := range writers {
			writing.Go(func() {
				s := stores[i%2]
				for range each {
					for _, u := range users[i*3 : i*3+3] {
						r, err := s.Commit(f.ctx, hub.Batch{Now: f.tick(), Items: []hub.Item{f.change(u, "title"), f.newUser(f.word())}})
						if err != nil || r.Errors[0] != nil || r.Errors[1] != nil {
							f.Errorf("commit: %v %v", err, r.Errors)
							return
						}
						*u = *r.Entries[0]
					}
				}
			})
		}
		for i := range readers {
			reading.Go(func() { f.follow(stores[i%2], p, start, done) })
		}
		writing.Wait()
		close(done)
		reading.Wait()
		if got, want := f.head().Position, start+writers*each*3*2; got != want {
			f.Errorf("head %d, not %d", got, want)
		}
	},

	"one of many writers wins": func(f *fixture) { // I1: compare and swap
		e := f.user("ada")
		stores := []hub.Store{f.store, f.open()}
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for i := range 16 {
			it := f.change(e, "title")
			wg.Go(func() {
				r, err := stores[i%2].Commit(f.ctx, hub.Batch{Now: f.tick(), Items: []hub.Item{it}})
				if err != nil {
					f.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if r.Errors[0] == nil {
					won++
				} else if !errors.Is(r.Errors[0], hub.ErrConflict) {
					f.Error(r.Errors[0])
				}
			})
		}
		wg.Wait()
		if now := f.entry(e.ID); won != 1 || now.Version != 2 {
			f.Errorf("%d won, version %d", won, now.Version)
		}
	},

	"one of many gets the name": func(f *fixture) {
		stores := []hub.Store{f.store, f.open()}
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for i := range 12 {
			it := f.newUser("ada")
			wg.Go(func() {
				r, err := stores[i%2].Commit(f.ctx, hub.Batch{Now: f.tick(), Items: []hub.Item{it}})
				if err != nil {
					f.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if r.Errors[0] == nil {
					won++
				} else if !errors.Is(r.Errors[0], hub.ErrTaken) {
					f.Error(r.Errors[0])
				}
			})
		}
		wg.Wait()
		if won != 1 {
			f.Errorf("%d got the name", won)
		}
	},

	"a grant and a change leave no gap": func(f *fixture) { // I6
		other := f.open()
		for i := range 12 {
			p, e := f.party(), f.user(fmt.Sprint("u", i))
			var wg sync.WaitGroup
			wg.Go(func() { f.tryOn(other, f.change(e, "title")) })
			wg.Go(func() { f.tryOn(f.store, f.newGrant(p, e.ID, both("title"))) })
			wg.Wait()
			g, now := f.row(p, e.ID).Grant, f.entry(e.ID)
			if now.Marks.Of("title") > g.Given && g.Position < now.Marks.Of("title") {
				f.Fatalf("granted at %d, changed at %d, stands at %d", g.Given, now.Marks.Of("title"), g.Position)
			}
		}
	},

	"watchers are woken": func(f *fixture) { // I12: hints; from this handle and from another
		other := f.open()
		ctx, cancel := context.WithCancel(f.ctx)
		here, there := f.store.Watch(ctx), other.Watch(ctx)
		for i := range 5 {
			f.user(fmt.Sprint("u", i))
			for _, c := range []<-chan struct{}{here, there} {
				select {
				case <-c:
				case <-time.After(patience):
					f.Fatal("no hint")
				}
			}
		}
		cancel()
		for _, c := range []<-chan struct{}{here, there} {
			f.closed(c)
		}
	},

	"a call gives up with its context": func(f *fixture) {
		ctx, cancel := context.WithCancel(f.ctx)
		cancel()
		if _, err := f.store.Commit(ctx, hub.Batch{Now: f.tick(), Items: []hub.Item{f.newUser("ada")}}); err == nil {
			f.Error("committed")
		}
		if _, err := f.store.Head(ctx); err == nil {
			f.Error("read")
		}
		if h := f.head(); h.Position != 0 {
			f.Errorf("head %d", h.Position)
		}
	},
}

func (f *fixture) tryOn(s hub.Store, it hub.Item) {
	r, err := s.Commit(f.ctx, hub.Batch{Now: f.tick(), Items: []hub.Item{it}})
	if err != nil || r.Errors[0] != nil {
		f.Errorf("commit: %v %v", err, r.Errors)
	}
}

func (f *fixture) closed(c <-chan struct{}) {
	f.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, open := <-c:
			if !open {
				return
			}
		case <-deadline:
			f.Fatal("the channel stays open")
		}
	}
}

// follow reads lines and a feed by cursor while others write, until done and the end is reached. Lines have to be dense
// from the first one on, and every row that stands at the end has to have been read at its place.
func (f *fixture) follow(s hub.Store, p *hub.Party, start int64, done <-chan struct{}) {
	at, feedAt, base := start, int64(0), int64(0)
	read := map[hub.ID]int64{}
	for last := false; ; {
		select {
		case <-done:
			last = true
		default:
		}
		lines, err := s.Changes(f.ctx, at, 7)
		if err != nil {
			f.Errorf("changes: %v", err)
			return
		}
		for _, l := range lines {
			if l.Position != at+1 {
				f.Errorf("line %d after %d", l.Position, at)
				return
			}
			at = l.Position
		}
		page, err := s.Feed(f.ctx, hub.FeedQuery{Party: p.ID, After: feedAt, Limit: 3, At: feedAt})
		if err != nil {
			f.Errorf("feed: %v", err)
			return
		}
		for _, r := range page.Rows {
			if r.Grant.Position <= feedAt {
				f.Errorf("row at %d after %d", r.Grant.Position, feedAt)
			}
			feedAt = r.Grant.Position
			if names := r.Entry.Marks.Since(base); base > 0 && !slices.Contains(names, "title") {
				f.Errorf("row at %d moved, and since %d only %v changed", feedAt, base, names)
			}
			read[r.Entry.ID] = r.Entry.Marks.Of("title")
		}
		if !page.More {
			feedAt, base = page.Head.Position, page.Head.Position
		}
		if last && len(lines) == 0 && len(page.Rows) == 0 {
			break
		}
	}
	page, err := s.Feed(f.ctx, hub.FeedQuery{Party: p.ID, Limit: 1000})
	if err != nil {
		f.Errorf("feed: %v", err)
		return
	}
	for _, r := range page.Rows {
		if read[r.Entry.ID] != r.Entry.Marks.Of("title") {
			f.Errorf("missed a change: read at %d, changed at %d", read[r.Entry.ID], r.Entry.Marks.Of("title"))
		}
	}
}
