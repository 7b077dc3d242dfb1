package scim

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidings/hub"
	"tidings/hub/schema"
)

const (
	listURN      = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	defaultCount = 100
	maxCount     = 200
	// maxLook bounds the entries that one request looks at; a list that needs more is refused (tooMany).
	maxLook  = 100_000
	lookPage = 500
)

var errTooMany = &failure{http.StatusBadRequest, "tooMany", `the list is too long to look through; ask by userName eq "…" or id eq "…"`}

// listing is the page that a client asks for.
type listing struct {
	start, count int // 1-based first, and how many at most
	filter       schema.Filter
	filtered     bool
	// derived: the filter may ask for what is not stored with the entry, so documents have to be made to look at.
	derived bool
}

// page is what was found.
type page struct {
	total   int
	entries []*hub.Entry
}

func readListing(r *http.Request) (l listing, err error) {
	query := r.URL.Query()
	if l.start, err = index(query.Get("startIndex"), 1, 1); err != nil {
		return l, err
	}
	if l.count, err = index(query.Get("count"), defaultCount, 0); err != nil {
		return l, err
	}
	l.count = min(l.count, maxCount)
	text := query.Get("filter")
	if text == "" {
		if query.Has("filter") {
			err = &schema.Error{ScimType: schema.InvalidFilter, Detail: "the filter is empty"}
		}
		return l, err
	}
	for _, name := range []string{"groups", "members", "manager"} {
		l.derived = l.derived || strings.Contains(strings.ToLower(text), name)
	}
	l.filtered = true
	l.filter, err = schema.ParseFilter(text)
	return l, err
}

// index reads startIndex or count: too small is taken as the least (SM-23), what is no number is a mistake.
func index(text string, otherwise, least int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, &schema.Error{ScimType: schema.InvalidValue, Detail: "startIndex and count are numbers"}
	}
	return max(n, least), nil
}

func (p *provider) list(w http.ResponseWriter, r *http.Request, t schema.Type) error {
	l, err := readListing(r)
	if err != nil {
		return err
	}
	v, err := readView(r, t)
	if err != nil {
		return err
	}
	found, err := p.search(r.Context(), t, l)
	if err != nil {
		return err
	}
	resources := make([]map[string]any, len(found.entries))
	for i, e := range found.entries {
		if resources[i], err = p.resource(r.Context(), e, v); err != nil {
			return err
		}
	}
	writeList(p, w, r, found.total, l.start, resources)
	return nil
}

// writeList answers with a ListResponse (SM-20); nothing found is 200 with no Resources (SM-21).
func writeList[T any](p *provider, w http.ResponseWriter, r *http.Request, total, start int, resources []T) {
	p.write(w, r, http.StatusOK, struct {
		Schemas      []string `json:"schemas"`
		TotalResults int      `json:"totalResults"`
		StartIndex   int      `json:"startIndex"`
		ItemsPerPage int      `json:"itemsPerPage"`
		Resources    []T      `json:"Resources,omitempty"`
	}{[]string{listURN}, total, start, len(resources), resources})
}

func (p *provider) search(ctx context.Context, t schema.Type, l listing) (page, error) {
	name, value, simple := l.filter.Equality()
	switch {
	case simple && name == "username" && t == schema.User:
		return l.one(func() (*hub.Entry, error) { return p.engine.EntryByUserName(ctx, value) })
	case simple && name == "id":
		return l.one(func() (*hub.Entry, error) { return p.find(ctx, t, value) })
	}
	select {
	case p.scans <- struct{}{}:
		defer func() { <-p.scans }()
	case <-ctx.Done():
		return page{}, ctx.Err()
	}
	if !l.filtered {
		return p.walk(ctx, t, l)
	}
	return p.scan(ctx, t, l)
}

// one is a list of at most one entry, found by an index.
func (l listing) one(find func() (*hub.Entry, error)) (page, error) {
	e, err := find()
	switch {
	case errors.Is(err, hub.ErrNotFound):
		return page{}, nil
	case err != nil:
		return page{}, err
	}
	found := page{total: 1}
	if l.start == 1 && l.count > 0 {
		found.entries = []*hub.Entry{e}
	}
	return found, nil
}

// walk lists entries in the order of their ids, which is stable: new ones come last.
func (p *provider) walk(ctx context.Context, t schema.Type, l listing) (page, error) {
	after, skip := p.places.find(t, l.start)
	if skip > maxLook {
		return page{}, errTooMany
	}
	for skip > 0 {
		entries, total, err := p.engine.Entries(ctx, t, after, min(skip, lookPage))
		if err != nil {
			return page{}, err
		}
		if len(entries) == 0 {
			return page{total: total}, nil
		}
		skip -= len(entries)
		after = entries[len(entries)-1].ID
	}
	entries, total, err := p.engine.Entries(ctx, t, after, max(l.count, 1))
	if err != nil {
		return page{}, err
	}
	entries = entries[:min(len(entries), l.count)]
	if n := len(entries); n > 0 {
		p.places.keep(t, l.start+n, entries[n-1].ID)
	}
	return page{total, entries}, nil
}

// scan looks at every entry of the type.
func (p *provider) scan(ctx context.Context, t schema.Type, l listing) (page, error) {
	var found page
	var after hub.ID
	for looked := 0; ; looked += lookPage {
		entries, total, err := p.engine.Entries(ctx, t, after, lookPage)
		if err != nil {
			return page{}, err
		}
		if looked == 0 && total > maxLook {
			return page{}, errTooMany
		}
		for _, e := range entries {
			match, err := p.matches(ctx, l, e)
			if err != nil {
				return page{}, err
			}
			if !match {
				continue
			}
			found.total++
			if found.total >= l.start && len(found.entries) < l.count {
				found.entries = append(found.entries, e)
			}
		}
		if len(entries) < lookPage || looked > maxLook {
			return found, nil
		}
		after = entries[len(entries)-1].ID
	}
}

func (p *provider) matches(ctx context.Context, l listing, e *hub.Entry) (bool, error) {
	attributes := e.Attributes
	if l.derived {
		var err error
		if attributes, err = p.engine.Document(ctx, e); err != nil {
			return false, err
		}
	}
	return l.filter.Match(e.Type, schema.Document{
		ID: e.ID.String(), Active: e.Active, Attributes: attributes,
		Created: time.UnixMicro(e.CreatedAt).UTC(), LastModified: time.UnixMicro(e.Changed).UTC(),
		Version: etag(e), Location: p.location(e),
	}), nil
}

// places remembers where pages ended, so that a client that reads page after page (Okta does) does not make each one
// walk from the beginning. It is a hint: without it a walk is longer. Going on after the last entry of the page before
// also is what a client wants if entries came or went in between.
type places struct {
	mu    sync.Mutex
	after map[place]hub.ID
}

type place struct {
	t     schema.Type
	start int
}

const maxPlaces = 1024

func (s *places) keep(t schema.Type, start int, after hub.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.after) >= maxPlaces {
		clear(s.after)
	}
	s.after[place{t, start}] = after
}

// find is the entry after which a page starts, and how many more are to be skipped.
func (s *places) find(t schema.Type, start int) (after hub.ID, skip int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.after[place{t, start}]; ok {
		return id, 0
	}
	return hub.ID{}, start - 1
}
