package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/web"
)

// Engine is what this face needs of the hub.
type Engine interface {
	Delta(ctx context.Context, c hub.Caller, cursor string, limit int, wait time.Duration) (events.Page, error)
	Subject(ctx context.Context, c hub.Caller, id string) (hub.Values, error)
	NewTicket(ctx context.Context, c hub.Caller, subjects []events.Subject) (ticket string, expiresIn time.Duration, err error)
	Raise(ctx context.Context, actor string, r hub.SignalRequest) (txn string, err error)
}

// Bounds of what a party may ask for at once.
const (
	defaultPage = 100
	maxTicket   = 64 << 10 // bytes of a ticket request
)

type face struct{ engine Engine }

// Routes are the endpoints of this face.
func Routes(e Engine) []web.Route {
	f := face{e}
	return []web.Route{
		{Method: http.MethodGet, Pattern: "/delta", Handler: web.Handler(f.delta)},
		{Method: http.MethodGet, Pattern: "/subjects/{id}", Handler: web.Handler(f.subject)},
		{Method: http.MethodPost, Pattern: "/live/tickets", Handler: web.Handler(f.ticket)},
		{Method: http.MethodPost, Pattern: "/signals", Handler: web.Handler(f.signal)},
	}
}

func (f face) delta(w http.ResponseWriter, r *http.Request) error {
	caller, err := web.Caller(r, hub.ChangesRead)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	if len(query["cursor"]) > 1 {
		return fmt.Errorf("%w: cursor is given twice", hub.ErrBadRequest)
	}
	limit, err := number(query, "limit", defaultPage, 1, hub.MaxPage)
	if err != nil {
		return err
	}
	wait, err := number(query, "wait", 0, 0, int(hub.MaxWait/time.Second))
	if err != nil {
		return err
	}
	page, err := f.engine.Delta(r.Context(), caller, query.Get("cursor"), limit, time.Duration(wait)*time.Second)
	if err != nil {
		return err
	}
	return web.Write(w, http.StatusOK, page)
}

// number reads a whole number from the query. More than the greatest is taken as that, since it is a wish; what is no
// number, or too small, is a mistake.
func number(query url.Values, name string, otherwise, least, greatest int) (int, error) {
	text := query.Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || len(query[name]) > 1 {
		return 0, fmt.Errorf("%w: %s is a number of at least %d", hub.ErrBadRequest, name, least)
	}
	return min(n, greatest), nil
}

// subject answers with the granted attributes. A 304 is the cheap answer to "is my copy still current?", and renews
// how long it may be kept.
func (f face) subject(w http.ResponseWriter, r *http.Request) error {
	caller, err := web.Caller(r, hub.SubjectsRead)
	if err != nil {
		return err
	}
	values, err := f.engine.Subject(r.Context(), caller, r.PathValue("id"))
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("ETag", values.ETag)
	h.Set("Cache-Control", "private, max-age="+strconv.FormatInt(int64(values.MaxAge/time.Second), 10))
	// Two parties behind one private cache must not get each other's copies.
	h.Set("Vary", "Authorization")
	if matches(r.Header.Values("If-None-Match"), values.ETag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", "application/scim+json")
	return web.Write(w, http.StatusOK, values.Resource)
}

// matches compares entity tags weakly (RFC 9110 section 13.1.2). The hub's tags hold no comma.
func matches(headers []string, etag string) bool {
	for _, tag := range strings.Split(strings.Join(headers, ","), ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || tag != "" && strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(etag, "W/") {
			return true
		}
	}
	return false
}

// ticket lets one browser listen, once. Subjects that are unknown or were not granted are left out without a word: the
// answer must not tell who is known here.
func (f face) ticket(w http.ResponseWriter, r *http.Request) error {
	caller, err := web.Caller(r, hub.LiveTicket)
	if err != nil {
		return err
	}
	body, err := web.Read(w, r, maxTicket)
	if err != nil {
		return err
	}
	subjects, err := readSubjects(body)
	if err != nil {
		return err
	}
	ticket, life, err := f.engine.NewTicket(r.Context(), caller, subjects)
	if err != nil {
		return err
	}
	return web.Write(w, http.StatusOK, events.Ticket{Ticket: ticket, ExpiresIn: int64(life / time.Second)})
}

func readSubjects(body web.Members) ([]events.Subject, error) {
	var subjects []events.Subject
	if err := body.Get("subjects", &subjects); err != nil {
		return nil, err
	}
	for _, s := range subjects {
		if s.IsZero() {
			return nil, fmt.Errorf("%w: a subject is null", hub.ErrBadRequest)
		}
	}
	if len(subjects) == 0 {
		return nil, fmt.Errorf("%w: subjects is missing", hub.ErrBadRequest)
	}
	return subjects, nil
}
