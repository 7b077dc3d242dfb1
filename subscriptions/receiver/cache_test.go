package receiver_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"tidings/events"
	"tidings/subscriptions/receiver"
)

// subjects answers /subjects/{id} and /delta as a hub does, and counts.
type subjects struct {
	mu       sync.Mutex
	version  int
	status   int // other than 200: a grant that ended
	kind     string
	fetches  int
	current  int // 304s
	page     events.Page
	gone     bool // the next cursor has expired
	cursors  []string
	underway chan struct{} // if not nil: a fetch says here that it has read, and waits
}

func (s *subjects) set(change func(*subjects)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *subjects) counts() (fetches, current int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches, s.current
}

func newCache(t *testing.T) (*hub, *subjects, *receiver.Cache) {
	server, client := newHub(t)
	s := &subjects{version: 3, status: 200}
	server.HandleFunc("GET /subjects/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.fetches++
		status, kind, underway := s.status, s.kind, s.underway
		etag := fmt.Sprintf(`W/"%d"`, s.version)
		s.mu.Unlock()
		if underway != nil {
			underway <- struct{}{}
			<-underway
		}
		if status != 200 {
			problem(w, status, kind)
			return
		}
		w.Header().Set("ETag", etag)
		w.Header().Set("Cache-Control", "private, max-age=60")
		if r.Header.Get("If-None-Match") == etag {
			s.set(func(s *subjects) { s.current++ })
			w.WriteHeader(http.StatusNotModified)
			return
		}
		answer(w, map[string]string{"id": r.PathValue("id"), "etag": etag})
	})
	server.HandleFunc("GET /delta", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cursors = append(s.cursors, r.URL.Query().Get("cursor"))
		if s.gone {
			s.gone = false
			problem(w, http.StatusGone, events.ProblemCursorExpired)
			return
		}
		answer(w, s.page)
	})
	return server, s, &receiver.Cache{Client: client}
}

// get fetches or takes a copy and says its version.
func get(t *testing.T, c *receiver.Cache, id string) string {
	t.Helper()
	copy, err := c.Get(t.Context(), id)
	if err != nil {
		t.Errorf("%s: %v", id, err)
	}
	return copy.Version
}

// A copy is used for its lifetime and not a moment longer; after that it is fetched anew, as it may not even be kept to
// be compared.
func TestLifetime(t *testing.T) {
	server, s, c := newCache(t)
	for range 3 {
		get(t, c, "u1")
	}
	server.pass(60*time.Second - time.Nanosecond)
	get(t, c, "u1")
	if fetches, _ := s.counts(); fetches != 1 {
		t.Errorf("%d fetches within the lifetime", fetches)
	}
	server.pass(time.Nanosecond)
	get(t, c, "u1")
	if fetches, current := s.counts(); fetches != 2 || current != 0 {
		t.Errorf("%d fetches, %d by comparing, after the lifetime", fetches, current)
	}
	server.pass(time.Hour)
	s.set(func(s *subjects) { s.status = http.StatusBadGateway })
	if _, err := c.Get(t.Context(), "u1"); err == nil {
		t.Error("an old copy was handed out while the hub is away")
	}
}

// What tokens say of a held copy of version 3: older news is no news, except of a subject that was added anew.
func TestTell(t *testing.T) {
	scim := func(kind events.Type, version string) events.Token {
		payload := map[string]any{}
		if version != "" {
			payload["version"] = version
		}
		return events.Token{Event: kind, SubID: events.SCIM("/Users/u1", ""), Payload: payload}
	}
	const none, ask, fetch = "used", "asked whether current", "fetched"
	for _, row := range []struct {
		token func(issuer string) events.Token
		want  string
	}{
		{func(string) events.Token { return scim(events.ProvPatchNotice, `W/"2"`) }, none},
		{func(string) events.Token { return scim(events.ProvPatchNotice, `W/"3"`) }, none},
		{func(string) events.Token { return scim(events.ProvPatchNotice, `W/"4"`) }, ask},
		{func(string) events.Token { return scim(events.ProvPatchNotice, "") }, ask},
		{func(string) events.Token { return scim(events.ProvDeactivate, `W/"4"`) }, ask},
		{func(string) events.Token { return scim(events.FeedAdd, `W/"2"`) }, fetch},
		{func(string) events.Token { return scim(events.ProvCreateNotice, `W/"4"`) }, fetch},
		{func(string) events.Token { return scim(events.FeedRemove, `W/"2"`) }, none},
		{func(string) events.Token { return scim(events.FeedRemove, `W/"4"`) }, fetch},
		{func(string) events.Token { return scim(events.ProvDelete, "") }, fetch},
		{func(i string) events.Token {
			return events.Token{Issuer: i, Event: events.AccountPurged, SubID: events.IssSub(i, "u1")}
		}, fetch},
		{func(i string) events.Token {
			return events.Token{Issuer: i, Event: events.AccountPurged, SubID: events.IssSub("https://x", "u1")}
		}, none},
		{func(string) events.Token {
			return events.Token{Event: events.AccountDisabled, SubID: events.Opaque("u1")}
		}, ask},
		{func(string) events.Token {
			return events.Token{Event: events.FeedChanged, SubID: events.Opaque("st1")}
		}, fetch},
		{func(string) events.Token {
			return events.Token{Event: events.SessionRevoked, SubID: events.Opaque("u1")}
		}, none},
		{func(string) events.Token {
			return events.Token{Event: events.ProvDelete, SubID: events.SCIM("/Users/u2", "")}
		}, none},
	} {
		server, s, c := newCache(t)
		get(t, c, "u1")
		token := row.token(server.URL)
		c.Tell(token)
		get(t, c, "u1")
		got := none
		if fetches, current := s.counts(); current == 1 {
			got = ask
		} else if fetches == 2 {
			got = fetch
		}
		if got != row.want {
			t.Errorf("%s %v about a %v: %s, want %s", token.Event, token.Payload, token.SubID, got, row.want)
		}
	}
}

// ErrEnded and ErrNoTransfer: what was held is gone, and stays so.
func TestEnded(t *testing.T) {
	for kind, want := range map[string]error{
		events.ProblemGrantEnded: receiver.ErrEnded, "": receiver.ErrEnded, events.ProblemNoTransfer: receiver.ErrNoTransfer,
	} {
		_, s, c := newCache(t)
		get(t, c, "u1")
		c.Tell(events.Token{Event: events.ProvPatchNotice, SubID: events.SCIM("/Users/u1", "")})
		s.set(func(s *subjects) {
			s.kind = kind
			s.status = map[string]int{events.ProblemGrantEnded: 410, "": 404, events.ProblemNoTransfer: 403}[kind]
		})
		for range 2 {
			if _, err := c.Get(t.Context(), "u1"); !errors.Is(err, want) {
				t.Errorf("%s: %v", kind, err)
			}
		}
		s.set(func(s *subjects) { s.status = 200 })
		get(t, c, "u1")
		if _, current := s.counts(); current != 0 {
			t.Errorf("%s: the copy was still held", kind)
		}
	}
}

// CatchUp goes on from "now", since what is fetched on demand needs no snapshot; what was held before that is not certain.
func TestCatchUp(t *testing.T) {
	_, s, c := newCache(t)
	catchUp := func() {
		t.Helper()
		if err := c.CatchUp(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(step string, want int) {
		t.Helper()
		get(t, c, "u1")
		if fetches, _ := s.counts(); fetches != want {
			t.Errorf("%s: %d fetches, want %d", step, fetches, want)
		}
	}
	s.page = events.Page{Cursor: "c1"}
	expect("before", 1)
	catchUp()
	expect("at first", 2)
	catchUp()
	expect("nothing happened", 2)
	s.set(func(s *subjects) {
		s.page = events.Page{Cursor: "c2", Changes: []events.Item{{ID: "u1", Change: events.Updated, Version: `W/"4"`}}}
	})
	catchUp()
	s.set(func(s *subjects) { s.version = 4 })
	expect("updated", 3)
	s.set(func(s *subjects) {
		s.page = events.Page{Cursor: "c3", Changes: []events.Item{{ID: "u1", Change: events.Removed}}}
	})
	catchUp()
	s.set(func(s *subjects) { s.page = events.Page{Cursor: "c4"} })
	expect("removed", 4)
	s.set(func(s *subjects) { s.gone = true })
	catchUp()
	expect("cursor expired", 5)
	catchUp()
	if got, want := fmt.Sprint(s.cursors), "[now c1 c1 c2 c3 now c4]"; got != want {
		t.Errorf("cursors %s, want %s", got, want)
	}
}

// A removal or change that is told while a fetch is under way is not undone by the older answer.
func TestFetchOvertaken(t *testing.T) {
	for _, row := range []struct {
		kind    events.Type
		version string
		err     error
		refetch bool // the answer is not used a second time
	}{
		{events.FeedRemove, `W/"4"`, receiver.ErrEnded, true},
		{events.FeedRemove, "", receiver.ErrEnded, true},
		{events.FeedRemove, `W/"2"`, nil, false},
		{events.ProvPatchNotice, `W/"4"`, nil, true},
		{events.ProvPatchNotice, `W/"3"`, nil, false},
		{events.FeedChanged, "", nil, true},
	} {
		_, s, c := newCache(t)
		underway := make(chan struct{})
		s.underway = underway
		result := make(chan error, 1)
		go func() {
			_, err := c.Get(t.Context(), "u1")
			result <- err
		}()
		<-underway
		token := events.Token{Event: row.kind, SubID: events.SCIM("/Users/u1", ""), Payload: map[string]any{}}
		if row.version != "" {
			token.Payload["version"] = row.version
		}
		c.Tell(token)
		s.set(func(s *subjects) { s.underway = nil })
		underway <- struct{}{}
		if err := <-result; !errors.Is(err, row.err) {
			t.Errorf("%s %s: %v", row.kind, row.version, err)
		}
		before, _ := s.counts()
		get(t, c, "u1")
		if after, _ := s.counts(); (after > before) != row.refetch {
			t.Errorf("%s %s: %d fetches, then %d", row.kind, row.version, before, after)
		}
	}
}

// Many who want the same subject at once cost the hub one fetch.
func TestFetchIsShared(t *testing.T) {
	_, s, c := newCache(t)
	underway := make(chan struct{})
	s.underway = underway
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { get(t, c, "u1") })
	}
	<-underway
	underway <- struct{}{}
	all.Wait()
	if fetches, _ := s.counts(); fetches != 1 {
		t.Errorf("%d fetches", fetches)
	}
}

// The number of copies is bounded; the one that ends first makes room, and dead ones first of all.
func TestCacheIsBounded(t *testing.T) {
	server, s, c := newCache(t)
	c.Max = 2
	for _, id := range []string{"u1", "u2", "u3"} {
		get(t, c, id)
		server.pass(time.Second)
	}
	get(t, c, "u2")
	get(t, c, "u3")
	if fetches, _ := s.counts(); fetches != 3 {
		t.Errorf("%d fetches: a newer copy made room", fetches)
	}
	get(t, c, "u1")
	if fetches, _ := s.counts(); fetches != 4 {
		t.Errorf("%d fetches: the oldest copy is still there", fetches)
	}
}

// Use by many at once; the race detector watches.
func TestCacheConcurrently(t *testing.T) {
	_, s, c := newCache(t)
	s.page = events.Page{Cursor: "c1", Changes: []events.Item{{ID: "u2", Change: events.Removed}}}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 20 {
				id := fmt.Sprintf("u%d", (i+n)%3)
				if _, err := c.Get(t.Context(), id); err != nil && !errors.Is(err, receiver.ErrEnded) {
					t.Error(err)
				}
				switch n % 5 {
				case 0:
					c.Tell(events.Token{Event: events.ProvPatchNotice, SubID: events.SCIM("/Users/"+id, "")})
				case 1:
					if err := c.CatchUp(t.Context(), 0); err != nil {
						t.Error(err)
					}
				case 2:
					c.Expire()
				}
			}
		})
	}
	all.Wait()
}
