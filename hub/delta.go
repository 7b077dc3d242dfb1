package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"tidings/consent"
	"tidings/events"
	"tidings/hub/schema"
)

// Bounds of one delta page. A page looks at no more than lookRatio times its limit and may be empty with more to come,
// so its cost follows its size.
const (
	MaxPage   = 1000
	MaxWait   = time.Minute
	lookRatio = 10
)

// Delta reads the next page of what the calling party may know: with no cursor a snapshot, then only changes; "now" for
// a cursor at the head. An empty answer with nothing more waits up to wait for something to come. Each page is decided
// under the grants as they stand when it is read. ErrCursorInvalid, ErrCursorExpired, ErrForbidden; for who waits
// ErrTooMany, and ErrUnauthenticated if its credential has ended meanwhile.
func (h *Hub) Delta(ctx context.Context, c Caller, text string, limit int, wait time.Duration) (events.Page, error) {
	if c.Role != RoleParty {
		return events.Page{}, ErrForbidden
	}
	if limit < 1 || limit > MaxPage {
		return events.Page{}, fmt.Errorf("%w: limit is 1 to %d", ErrBadRequest, MaxPage)
	}
	if wait < 0 || wait > MaxWait {
		return events.Page{}, fmt.Errorf("%w: wait is 0 to %d seconds", ErrBadRequest, int(MaxWait.Seconds()))
	}
	wake := h.Wake()
	page, err := h.deltaPage(ctx, c.Party, text, limit)
	if err != nil || !idle(page) || wait == 0 || text == "now" {
		return page, err
	}
	if !h.waits.enter(c.Party) {
		return events.Page{}, fmt.Errorf("%w: calls that wait", ErrTooMany)
	}
	defer h.waits.leave(c.Party)
	page, err = h.awaitPage(ctx, wake, c.Party, page, limit, wait)
	if e := h.Still(ctx, c); e != nil { // the last thing before the answer
		return events.Page{}, e
	}
	return page, err
}

// idle reports whether a page tells nothing and none follows.
func idle(p events.Page) bool { return len(p.Changes) == 0 && !p.More }

// awaitPage reads on after an idle page until one is not, or there is no more time.
func (h *Hub) awaitPage(ctx context.Context, wake <-chan struct{}, party ID, page events.Page, limit int, wait time.Duration) (events.Page, error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for idle(page) && h.rest(ctx, wake, deadline.C) {
		wake = h.Wake()
		next, err := h.deltaPage(ctx, party, page.Cursor, limit)
		if err != nil {
			return events.Page{}, err
		}
		page = next
	}
	return page, nil
}

func (h *Hub) deltaPage(ctx context.Context, party ID, text string, limit int) (events.Page, error) {
	read, err := h.startReading(ctx, party, text)
	if err != nil {
		return events.Page{}, err
	}
	page := events.Page{Changes: []events.Item{}, ExpiresIn: int64(TombstoneLife.Seconds())}
	for looked := 0; looked < lookRatio && len(page.Changes) == 0; looked++ {
		more, err := read.next(ctx, limit, func(r FeedRow, terms consent.Terms, t consent.Telling) error {
			page.Changes = append(page.Changes, read.item(r, terms, t))
			return nil
		})
		if err != nil {
			return events.Page{}, err
		}
		if page.More = more; !more {
			break
		}
	}
	page.Cursor = h.keys.sealCursor(read.at)
	return page, nil
}

// reading is one reader's walk along its party's feed.
type reading struct {
	h      *Hub
	at     cursor
	sector *sector
	page   *FeedPage
	now    int64
	last   aged
}

// aged is the lifetime that terms were found to give on a page.
type aged struct {
	page  *FeedPage
	terms consent.Terms
	age   int64
}

// startReading opens a cursor for a party: "" begins a snapshot, "now" stands at the head.
func (h *Hub) startReading(ctx context.Context, party ID, text string) (*reading, error) {
	r := &reading{h: h}
	if text == "" || text == "now" {
		page, err := h.store.Feed(ctx, FeedQuery{Party: party, After: 1 << 62, Limit: 1})
		if err != nil {
			return nil, fmt.Errorf("read feed: %w", err)
		}
		r.at = cursor{Party: party, Generation: page.Party.Generation, Began: page.Head.Position, Tag: page.Head.Tag}
		if text == "now" {
			r.at.Base, r.at.At, r.at.Began = page.Head.Position, page.Head.Position, 0
		}
		r.page = page
	} else {
		at, err := h.keys.openCursor(text)
		if err != nil {
			return nil, err
		}
		if at.Party != party {
			return nil, ErrCursorInvalid
		}
		r.at = at
	}
	return r, nil
}

// next reads up to limit rows after the cursor in one snapshot, tells those that are to be told, and moves the cursor.
func (r *reading) next(ctx context.Context, limit int, tell func(FeedRow, consent.Terms, consent.Telling) error) (more bool, err error) {
	anchor := r.at.anchor()
	page, err := r.h.store.Feed(ctx, FeedQuery{Party: r.at.Party, After: r.at.At, Limit: limit, At: anchor})
	switch {
	case errors.Is(err, ErrNotFound):
		return false, ErrUnauthenticated // the party was removed meanwhile
	case err != nil:
		return false, fmt.Errorf("read feed: %w", err)
	case page.Party.Generation != r.at.Generation,
		anchor > page.Head.Position, anchor < page.Head.Oldest,
		anchor > 0 && page.LineTag != r.at.Tag:
		return false, ErrCursorExpired
	}
	if r.sector == nil {
		if r.sector, err = r.h.keys.sector(ctx, page.Party.Sector); err != nil {
			return false, err
		}
	}
	r.page, r.now = page, r.h.now()
	for _, row := range page.Rows {
		rule, ok := ruled(row, page.Party, page.Head.Policy)
		if !ok {
			continue
		}
		t := consent.Tell(rule, r.at.Base, r.at.Began, r.now)
		if t.Kind == "" {
			continue
		}
		if err := tell(row, rule.Terms, t); err != nil {
			return false, err
		}
	}
	r.move(page)
	return page.More, nil
}

// move takes the cursor past a page: along the feed while there is more, and with its base up to the head at the end.
func (r *reading) move(page *FeedPage) {
	if !page.More {
		r.at.Base, r.at.At, r.at.Began, r.at.Tag = page.Head.Position, page.Head.Position, 0, page.Head.Tag
		return
	}
	r.at.At = page.Last
	if r.at.Base > 0 {
		r.at.Tag = page.LastTag
	}
}

// ruled is a feed row as the rules see it: a grant, or an agreement in its place, with policy and the party's bounds
// laid over the terms.
func ruled(row FeedRow, p Party, policy consent.Policy) (consent.Row, bool) {
	e := row.Entry
	if !p.Bounds.AllowsType(string(e.Type)) {
		return consent.Row{}, false
	}
	r := consent.Row{Gone: e.Deleted != 0, Active: e.Active, Entry: e.Marks, Grant: Marks(nil)}
	if p.Agreement {
		// An agreement over several types names the attributes of all of them; to tell a group's "userName" would make
		// one up.
		names := slices.DeleteFunc(slices.Clone(p.Bounds.Attributes), func(n string) bool {
			_, err := schema.ParseName(e.Type, n)
			return err != nil
		})
		r.Terms = consent.Terms{Attributes: names, Purposes: consent.Transfer | consent.Notify}
		r.Given, r.Ended = e.Created, e.Deleted
	} else {
		g := row.Grant
		r.Terms, r.Given, r.Ended, r.Grant = g.Terms, g.Given, g.Ended, g.Marks
	}
	r.Terms.Attributes = consent.Within(r.Terms.Attributes, policy, p.Bounds)
	return r, true
}

func (r *reading) item(row FeedRow, terms consent.Terms, t consent.Telling) events.Item {
	p := r.page.Party
	id := r.sector.subject(row.Entry.ID)
	it := events.Item{
		ID:         id,
		Subject:    scim(row.Entry.Type, id),
		Type:       string(row.Entry.Type),
		Change:     events.Kind(t.Kind),
		Attributes: t.Names,
		Version:    row.etag(p),
	}
	if t.Kind == consent.Removed {
		it.Reason = events.ReasonEnded
		if row.gone() {
			it.Reason = events.ReasonDeleted
		}
		return it
	}
	if terms.Purposes.Has(consent.Transfer) {
		age := r.maxAge(terms)
		it.MaxAge = &age
	}
	return it
}

// maxAge is how long a copy may be kept, in seconds. Rows of a page seldom differ in their terms, and finding the classes
// of every name anew was a sixth of a page.
func (r *reading) maxAge(terms consent.Terms) int64 {
	if l := r.last; l.page != r.page || l.terms.Until != terms.Until || !slices.Equal(l.terms.Attributes, terms.Attributes) {
		age := consent.MaxAge(terms, r.page.Head.Policy, r.page.Party.Bounds, r.now)
		r.last = aged{r.page, terms, int64(age.Seconds())}
	}
	return r.last.age
}

// gone: the party's knowledge of the entry ended because the entry did, and not by the end of its grant.
func (row FeedRow) gone() bool {
	if row.Grant != nil && row.Grant.Ended != 0 {
		return row.Grant.Gone
	}
	return row.Entry.Deleted != 0
}

// etag is the version that the party sees: the grant's own counter, moved with its row and so silent about changes that
// are none of the party's business. Under an agreement the time of the entry's last line takes its place.
func (row FeedRow) etag(p Party) string {
	return `W/"` + strconv.FormatInt(row.version(p), 10) + `"`
}

func (row FeedRow) version(p Party) int64 {
	if p.Agreement || row.Grant == nil {
		return row.Entry.Changed
	}
	return row.Grant.Version
}
