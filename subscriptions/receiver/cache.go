package receiver

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidings/events"
)

// Cache holds copies in memory: it fetches on demand, and drops or renews what it is told has changed. Client is
// required. It hears of changes by CatchUp, called in a loop, and by Tell, for each token received; either is enough.
// Hearing of nothing, it still keeps each copy only for its lifetime. It is safe for concurrent use.
type Cache struct {
	Client *Client
	// Max bounds the number of copies; 10,000 by default. The one with the least time left makes room.
	Max int

	mu       sync.Mutex
	copies   map[string]holding
	fetching map[string]*fetch
	cursor   string
}

type holding struct {
	Copy
	stale bool // something changed: ask before the next use
}

// fetch is a call under way for all who want the same subject. What is told of the subject meanwhile is noted here by
// version, since the answer may be older than that.
type fetch struct {
	done             chan struct{}
	copy             Copy
	err              error
	changed, removed int64
	forgotten        bool // do not hold the answer
}

// Get returns a copy that may be used now: the one held, or else a fetched one. ErrEnded means that nothing may be known
// of the subject, ErrNoTransfer that nothing may be fetched; other errors mean that the hub cannot be asked, and nothing
// may be used meanwhile. The copy is shared and must not be written to.
func (c *Cache) Get(ctx context.Context, id string) (Copy, error) {
	c.mu.Lock()
	h, ok := c.copies[id]
	if ok && !c.Client.now().Before(h.Until) {
		delete(c.copies, id) // not even to ask whether it is current: it may not be kept
		ok = false
	}
	if ok && !h.stale {
		c.mu.Unlock()
		return h.Copy, nil
	}
	f, shared := c.fetching[id]
	if !shared {
		f = &fetch{done: make(chan struct{})}
		if c.fetching == nil {
			c.fetching = map[string]*fetch{}
		}
		c.fetching[id] = f
		var held *Copy
		if ok {
			held = &h.Copy
		}
		go c.fetch(context.WithoutCancel(ctx), id, held, f) // others may wait for it longer than this caller
	}
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.copy, f.err
	case <-ctx.Done():
		return Copy{}, ctx.Err()
	}
}

func (c *Cache) fetch(ctx context.Context, id string, held *Copy, f *fetch) {
	f.copy, f.err = c.Client.Subject(ctx, id, held)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(f.done)
	delete(c.fetching, id)
	if got := version(f.copy.Version); f.err == nil && f.removed > 0 && f.removed >= got {
		f.copy, f.err = Copy{}, ErrEnded
	} else if f.err == nil && !f.forgotten {
		c.hold(f.copy, f.changed > got)
	}
	if errors.Is(f.err, ErrEnded) || errors.Is(f.err, ErrNoTransfer) {
		delete(c.copies, id)
	}
}

// hold keeps a copy, if it may be kept at all, and makes room for it. The caller holds mu.
func (c *Cache) hold(copy Copy, stale bool) {
	if !c.Client.now().Before(copy.Until) {
		delete(c.copies, copy.ID)
		return
	}
	if c.copies == nil {
		c.copies = map[string]holding{}
	}
	most := c.Max
	if most <= 0 {
		most = 10_000
	}
	if _, there := c.copies[copy.ID]; !there && len(c.copies) >= most {
		c.expire()
		if len(c.copies) >= most {
			var least string
			for id, h := range c.copies {
				if least == "" || h.Until.Before(c.copies[least].Until) {
					least = id
				}
			}
			delete(c.copies, least)
		}
	}
	c.copies[copy.ID] = holding{copy, stale}
}

// Expire drops copies whose lifetime is over. CatchUp does so too.
func (c *Cache) Expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire()
}

func (c *Cache) expire() {
	now := c.Client.now()
	for id, h := range c.copies {
		if !now.Before(h.Until) {
			delete(c.copies, id)
		}
	}
}

// CatchUp applies what changed since it last ran. If there is nothing yet it waits for up to wait, at most a minute; so
// it may be called in a loop, with a pause after an error. At first, and when the hub has forgotten its place, the cache
// forgets all it holds and goes on from here: it needs no snapshot, as it fetches on demand.
func (c *Cache) CatchUp(ctx context.Context, wait time.Duration) error {
	c.mu.Lock()
	cursor := c.cursor
	c.mu.Unlock()
	for {
		anew := cursor == ""
		if anew {
			cursor, wait = Now, 0
		}
		page, err := c.Client.page(ctx, cursor, wait)
		switch {
		case errors.Is(err, ErrCursorExpired) && !anew:
			cursor = ""
			continue
		case errors.Is(err, ErrEnded):
			c.mu.Lock()
			c.forget()
			c.mu.Unlock()
			return err
		case err != nil:
			return err
		}
		c.apply(page, anew)
		if cursor = page.Cursor; !page.More {
			return nil
		}
	}
}

func (c *Cache) apply(page events.Page, anew bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if anew { // only now: what was fetched before this answer may have changed unnoticed
		c.forget()
	}
	for _, item := range page.Changes {
		c.change(item)
	}
	c.cursor = page.Cursor
	c.expire()
}

func (c *Cache) forget() {
	clear(c.copies)
	for _, f := range c.fetching {
		f.forgotten = true
	}
}

// doubt is for news of changes that do not say of whom: every copy is asked about before its next use. The caller holds
// mu.
func (c *Cache) doubt() {
	for id, h := range c.copies {
		h.stale = true
		c.copies[id] = h
	}
	for _, f := range c.fetching {
		f.changed = math.MaxInt64
	}
}

// Tell applies a received token; tokens that say nothing of a copy are passed over. Where digests come, CatchUp asks for
// less.
func (c *Cache) Tell(t events.Token) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch t.Event {
	case events.FeedChanged:
		c.forget()
	case events.Digest:
		c.doubt()
	}
	kind, ok := kinds[t.Event]
	if !ok {
		return
	}
	text, _ := t.Payload["version"].(string)
	c.change(events.Item{ID: subjectID(t), Change: kind, Version: text})
}

// kinds says which event types concern copies. Those that carry values are taken as notices: a copy is what was fetched,
// whole and with its lifetime.
var kinds = map[events.Type]events.Kind{
	events.FeedAdd:          events.Added,
	events.ProvCreateNotice: events.Added,
	events.ProvPatchNotice:  events.Updated,
	events.ProvPutNotice:    events.Updated,
	events.ProvCreateFull:   events.Added,
	events.ProvPatchFull:    events.Updated,
	events.ProvPutFull:      events.Updated,
	events.ProvActivate:     events.Enabled,
	events.ProvDeactivate:   events.Disabled,
	events.ProvDelete:       events.Removed,
	events.FeedRemove:       events.Removed,
	events.AccountEnabled:   events.Enabled,
	events.AccountDisabled:  events.Disabled,
	events.AccountPurged:    events.Removed,
}

// subjectID is the id by which the hub names a subject to this party, "" if the subject holds none.
func subjectID(t events.Token) string {
	switch t.SubID.Format() {
	case events.FormatSCIM:
		uri := t.SubID.Member("uri")
		return uri[strings.LastIndexByte(uri, '/')+1:]
	case events.FormatOpaque:
		return t.SubID.Member("id")
	case events.FormatIssSub:
		if t.SubID.Member("iss") == t.Issuer {
			return t.SubID.Member("sub")
		}
	}
	return ""
}

// change applies one change. Pushes may overtake each other: a change that is older than what is held says nothing new,
// except that an added subject is always taken anew. A change without a version is believed. The caller holds mu.
func (c *Cache) change(item events.Item) {
	told := version(item.Version)
	if told == 0 {
		told = math.MaxInt64
	}
	if f, ok := c.fetching[item.ID]; ok {
		if item.Change == events.Removed {
			f.removed = max(f.removed, told)
		} else {
			f.changed = max(f.changed, told)
		}
	}
	h, ok := c.copies[item.ID]
	if !ok {
		return
	}
	current := version(h.Version)
	switch item.Change {
	case events.Added:
		delete(c.copies, item.ID)
	case events.Removed:
		if told >= current {
			delete(c.copies, item.ID)
		}
	default:
		if told > current {
			h.stale = true
			c.copies[item.ID] = h
		}
	}
}

// version reads the hub's entity tags, which count: W/"12". Of any other text it is 0, older than all.
func version(etag string) int64 {
	digits, _ := strings.CutPrefix(etag, "W/")
	n, err := strconv.ParseInt(strings.Trim(digits, `"`), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
