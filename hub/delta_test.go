package hub_test

import (
	"errors"
	"slices"
	"testing"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
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
