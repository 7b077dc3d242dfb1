package hub_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/hub/schema"
)

// An entry that changes twice around the end of a page stands only at its newest place; a reader with one position
// would miss the first change (invariant 3).
func TestPageBetweenTwoChangesOfOneEntry(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", map[string]any{"title": "Clerk"})
		bert := w.person("bert", nil)
		w.grant(p, anna, "title")
		w.grant(p, bert, "title")
		cursor := w.now(p)
		w.patch(anna, replace("active", false))
		w.patch(bert, replace("title", "Cook"))
		w.patch(bert, replace("title", "Chef"))
		first := w.delta(p, cursor, 1) // reads anna's row or bert's, whichever stands first
		w.patch(anna, replace("title", "Manager"))
		var told []events.Item
		told = append(told, first.Changes...)
		for page := first; ; {
			page = w.delta(p, page.Cursor, 1)
			told = append(told, page.Changes...)
			if !page.More {
				break
			}
		}
		id := w.subjectID(p, anna)
		var last events.Item
		for _, it := range told {
			if it.ID == id {
				last = it
			}
		}
		if last.Change != events.Disabled || !slices.Contains(last.Attributes, "title") || !slices.Contains(last.Attributes, "active") {
			t.Errorf("the disabling was lost: %+v", told)
		}
	})
}

// A grant that was revoked and given again between two reads is told as "added": forget what you hold and take this.
func TestRevokeAndGrantAgain(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", map[string]any{"title": "Clerk", "displayName": "Anna"})
		g := w.grant(p, anna, "title", "displayName")
		cursor := w.now(p)
		w.revoke(g)
		again := w.grant(p, anna, "title")
		if again.ID != g.ID {
			t.Errorf("giving again made another grant: %v, was %v", again.ID, g.ID)
		}
		page := w.delta(p, cursor, 10)
		if len(page.Changes) != 1 || page.Changes[0].Change != events.Added || !slices.Equal(page.Changes[0].Attributes, []string{"title"}) {
			t.Errorf("got %+v", page.Changes)
		}
	})
}

// A reader's cursor from before a backup was restored belongs to another history: another line stands at its place
// (invariant 8).
func TestRestoredBackup(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", nil)
		w.grant(p, anna, "title")
		w.patch(anna, replace("title", "Clerk"))
		cursor := w.now(p)
		if _, err := w.h.Delta(w.ctx(), p.caller, cursor, 10, 0); err != nil {
			t.Fatal(err)
		}
		w.restore(p, func(other *world) {
			if _, err := other.h.Delta(other.ctx(), p.caller, cursor, 10, 0); !errors.Is(err, hub.ErrCursorExpired) {
				t.Errorf("a cursor of another history: %v, want ErrCursorExpired", err)
			}
		})
	})
}

// What each purpose gives: transfer only tells that a subject came and went, notify only gives no values.
func TestPurposes(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		for _, c := range []struct {
			name     string
			purposes consent.Purposes
			told     bool
			fetch    error
		}{
			{"transfer", consent.Transfer, false, nil},
			{"notify", consent.Notify, true, hub.ErrNoTransfer},
			{"both", consent.Transfer | consent.Notify, true, nil},
		} {
			t.Run(c.name, func(t *testing.T) {
				e := w.person(c.name, map[string]any{"title": "Clerk"})
				cursor := w.now(p)
				g := w.grantFor(p, e, c.purposes, "title")
				page := w.delta(p, cursor, 10)
				if len(page.Changes) != 1 || page.Changes[0].Change != events.Added || (page.Changes[0].MaxAge != nil) != (c.fetch == nil) {
					t.Fatalf("given: %+v", page.Changes)
				}
				v, err := w.h.Subject(w.ctx(), p.caller, w.subjectID(p, e))
				if !errors.Is(err, c.fetch) {
					t.Fatalf("fetch: %v, want %v", err, c.fetch)
				}
				w.patch(e, replace("title", "Cook"))
				page = w.delta(p, page.Cursor, 10)
				if told := len(page.Changes) == 1; told != c.told {
					t.Errorf("updated: %+v", page.Changes)
				}
				if after, err := w.h.Subject(w.ctx(), p.caller, w.subjectID(p, e)); err == nil && after.ETag == v.ETag {
					t.Error("the values changed under one ETag")
				}
				w.revoke(g)
				page = w.delta(p, page.Cursor, 10)
				if len(page.Changes) != 1 || page.Changes[0].Change != events.Removed || page.Changes[0].Reason != events.ReasonEnded {
					t.Errorf("revoked: %+v", page.Changes)
				}
				if _, err := w.h.Subject(w.ctx(), p.caller, w.subjectID(p, e)); !errors.Is(err, hub.ErrGrantEnded) {
					t.Errorf("fetch after the end: %v", err)
				}
			})
		}
	})
}

// Altered, foreign and made-up cursors are refused as such (invariant 8); a foreign one gives nothing (invariant 10).
func TestCursorOfSomebodyElse(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, other := w.party(hub.PartyRequest{}), w.party(hub.PartyRequest{Name: "other"})
		cursor := w.now(p)
		altered := []byte(cursor)
		altered[len(altered)/2] ^= 1
		for name, text := range map[string]string{"foreign": w.now(other), "altered": string(altered), "rubbish": "rubbish", "short": cursor[:20]} {
			if _, err := w.h.Delta(w.ctx(), p.caller, text, 10, 0); !errors.Is(err, hub.ErrCursorInvalid) {
				t.Errorf("%s cursor: %v, want ErrCursorInvalid", name, err)
			}
		}
	})
}

// A line that concerns more rows than one transaction may move goes on as an echo: the same line at new positions, with
// its names stamped anew. A reader whose base passed the first of them misses none of the rest, although rows that were
// only moved later would say nothing had changed since its base.
func TestWideLine(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		const members = hub.MaxMoves + 500
		p := w.party(hub.PartyRequest{})
		var refs []any
		for i := range w.crowd(p, members, "groups") {
			refs = append(refs, map[string]any{"value": fmt.Sprintf("person%d", i)})
		}
		group := func(name string) {
			r := must(schema.Normalize(schema.Group, map[string]any{"displayName": name, "members": refs}))(t)
			w.ingest(hub.Report{Source: "test", Key: "group", Type: schema.Group, Resource: &r})
		}
		for _, name := range []string{"Gardeners", "Growers"} { // everybody joins; then the group is renamed
			cursor := w.now(p)
			group(name)
			told := map[string]bool{}
			read := func() {
				for more := true; more; {
					page := w.delta(p, cursor, 200)
					for _, it := range page.Changes {
						if it.Change == events.Updated && slices.Contains(it.Attributes, "groups") {
							told[it.ID] = true
						}
					}
					cursor, more = page.Cursor, page.More
				}
			}
			read() // to the end of the feed, while the line is unfinished: the base moves up
			if len(told) >= members {
				t.Errorf("%s: the whole line was one transaction (%d rows)", name, len(told))
			}
			if err := w.h.FinishEchoes(w.ctx()); err != nil {
				t.Fatal(err)
			}
			read()
			if len(told) != members {
				t.Errorf("%s: %d of %d members were told", name, len(told), members)
			}
		}
	})
}

// Grants that are given while changes are being committed see them or their result: a reader that follows ends with
// what the directory holds (invariant 6).
func TestGrantGivenBesideAChange(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		people := make([]*hub.Entry, 10)
		for i := range people {
			people[i] = w.person(fmt.Sprintf("person%d", i), nil)
		}
		cursor := w.now(p)
		failed := make(chan error, 2*len(people))
		for _, e := range people {
			go func() {
				var err error
				for i := range 10 {
					body := fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"title","value":"%d"}]}`, i)
					var results []hub.Result
					if results, err = w.h.Ingest(w.ctx(), hub.Report{Entry: e.ID, Patch: []byte(body)}); err == nil {
						err = results[0].Err
					}
				}
				failed <- err
			}()
			go func() {
				_, err := w.h.Grant(w.ctx(), "test", hub.GrantRequest{Entry: e.ID, Party: p.ID, Attributes: []string{"title"}})
				failed <- err
			}()
		}
		holds := map[string]any{}
		read := func() {
			page := w.delta(p, cursor, 3)
			for _, it := range page.Changes {
				holds[it.ID] = must(w.h.Subject(w.ctx(), p.caller, it.ID))(t).Resource["title"]
			}
			cursor = page.Cursor
		}
		for left := cap(failed); left > 0; {
			select {
			case err := <-failed:
				if err != nil {
					t.Fatal(err)
				}
				left--
			default:
				read()
			}
		}
		for range len(people) {
			read()
		}
		for _, e := range people {
			if got := holds[w.subjectID(p, e)]; got != "9" {
				t.Errorf("the reader holds %v, the directory 9", got)
			}
		}
	})
}

// older than what they hold.
func TestVersionGrowsWithoutAClock(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{Agreement: true, Types: []string{"User"}, Attributes: []string{"title"}})
		anna := w.person("anna", nil)
		fetch := func() string { return must(w.h.Subject(w.ctx(), p.caller, w.subjectID(p, anna)))(t).ETag }
		last := fetch()
		for _, title := range []string{"Clerk", "Cook"} {
			w.clock = w.clock.Add(-time.Second)
			w.patch(anna, replace("title", title))
			if tag := fetch(); len(tag) < len(last) || tag <= last {
				t.Errorf("version %s after %s", tag, last)
			} else {
				last = tag
			}
		}
	})
}
