package web

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"tidings/events"
	"tidings/hub"
	"tidings/hub/schema"
	"tidings/subscriptions"
)

var (
	// ErrTooLarge: the body is larger than the endpoint takes.
	ErrTooLarge = errors.New("request body is too large")
	// ErrMediaType: the body is not declared as JSON.
	ErrMediaType = errors.New("request body is not application/json")
	errMethod    = errors.New("method is not allowed here")
	errInternal  = errors.New("internal error")
)

// problem is one line of the table: how an error is told. With told set, the error's own text is the detail: only
// errors whose text is written for the caller.
type problem struct {
	err    error
	status int
	kind   string
	title  string
	told   bool
	retry  int    // Retry-After in seconds
	start  string // where to start anew
}

const urn = "urn:tidings:problem:"

var table = []problem{
	{err: hub.ErrUnauthenticated, status: http.StatusUnauthorized, kind: urn + "unauthenticated", title: "A valid bearer token is needed"},
	{err: hub.ErrForbidden, status: http.StatusForbidden, kind: urn + "forbidden", title: "This credential does not allow that"},
	{err: hub.ErrNotFound, status: http.StatusNotFound, kind: urn + "not-found", title: "There is nothing of yours here"},
	{err: hub.ErrCursorInvalid, status: http.StatusBadRequest, kind: events.ProblemCursorInvalid, title: "This is no cursor of yours"},
	{err: hub.ErrCursorExpired, status: http.StatusGone, kind: events.ProblemCursorExpired, title: "The cursor expired; read a new snapshot", start: "/delta"},
	{err: hub.ErrGrantEnded, status: http.StatusGone, kind: events.ProblemGrantEnded, title: "The grant for this subject ended; forget what you hold"},
	{err: hub.ErrAgreementEnded, status: http.StatusGone, kind: events.ProblemAgreementEnded, title: "The agreement does not cover this subject any more; forget what you hold"},
	{err: hub.ErrNoTransfer, status: http.StatusForbidden, kind: events.ProblemNoTransfer, title: "The grant allows notices, not values"},
	{err: hub.ErrTooSoon, status: http.StatusTooManyRequests, kind: urn + "too-soon", title: "Asked too often", retry: 1},
	{err: hub.ErrTooMany, status: http.StatusTooManyRequests, kind: urn + "too-many", title: "As many of these are under way as may be", retry: 10},
	{err: hub.ErrSubjects, status: http.StatusTooManyRequests, kind: urn + "too-many-subjects", title: "The stream leaves out as many subjects as it may; add some again"},
	{err: hub.ErrLimit, status: http.StatusConflict, kind: urn + "limit", title: "You have as many of these as you may"},
	{err: hub.ErrConflict, status: http.StatusConflict, kind: urn + "conflict", title: "It was changed by someone else meanwhile"},
	{err: hub.ErrDisabled, status: http.StatusConflict, kind: urn + "disabled", title: "The stream is disabled; enable it first"},
	{err: hub.ErrBusy, status: http.StatusServiceUnavailable, kind: urn + "busy", title: "Try again shortly", retry: 1},
	{err: context.DeadlineExceeded, status: http.StatusServiceUnavailable, kind: urn + "busy", title: "Try again shortly", retry: 1},
	{err: hub.ErrBadRequest, status: http.StatusBadRequest, kind: urn + "bad-request", title: "The request cannot be understood", told: true},
	{err: ErrTooLarge, status: http.StatusRequestEntityTooLarge, kind: urn + "too-large", title: "The request body is too large"},
	{err: ErrMediaType, status: http.StatusUnsupportedMediaType, kind: urn + "media-type", title: "The request body must be application/json"},
	{err: errMethod, status: http.StatusMethodNotAllowed, kind: urn + "method", title: "The method is not allowed here"},
}

var internal = problem{err: errInternal, status: http.StatusInternalServerError, kind: urn + "internal", title: "Something failed inside the hub"}

func find(err error) problem {
	for _, p := range table {
		if errors.Is(err, p.err) {
			return p
		}
	}
	var refused *schema.Error
	var invalid *subscriptions.Invalid
	if errors.As(err, &refused) || errors.As(err, &invalid) {
		return problem{status: http.StatusBadRequest, kind: urn + "bad-request", title: "The request cannot be understood", told: true}
	}
	return internal
}

// Failed logs an error that is the hub's fault, for a face that answers in a format of its own; nothing else logs errors
// of these faces.
func Failed(r *http.Request, err error) {
	leaveIfGone(r)
	logger(r).Error("request failed", slog.String("method", method(r)), slog.String("route", route(r)), slog.Any("err", err))
}

// leaveIfGone does not return where the caller has gone: whatever failed, failed for that, and there is nobody to answer.
func leaveIfGone(r *http.Request) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
}

// Refuse answers with the problem that err means.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	leaveIfGone(r)
	p := find(err)
	if p.status >= 500 {
		Failed(r, err)
	}
	body := struct {
		Type    string `json:"type"`
		Title   string `json:"title"`
		Status  int    `json:"status"`
		Detail  string `json:"detail,omitempty"`
		Restart string `json:"restart,omitempty"`
	}{Type: p.kind, Title: p.title, Status: p.status, Restart: p.start}
	if p.told {
		body.Detail = err.Error()
	}
	var lacks *hub.Insufficient
	if errors.As(err, &lacks) {
		w.Header().Set("WWW-Authenticate", insufficient(lacks.Scopes))
	}
	var often *TooOften
	if errors.As(err, &often) {
		p.retry = often.Seconds()
	}
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retry))
	}
	w.Header().Set("Cache-Control", "no-store")
	write(w, p.status, "application/problem+json", body)
}

// Handler is a handler that leaves its errors to the table.
type Handler func(w http.ResponseWriter, r *http.Request) error

func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h(w, r); err != nil {
		Refuse(w, r, err)
	}
}

// Write answers with a JSON document. A Content-Type that was set stays.
func Write(w http.ResponseWriter, status int, v any) error {
	kind := w.Header().Get("Content-Type")
	if kind == "" {
		kind = "application/json"
	}
	write(w, status, kind, v)
	return nil
}

// write encodes first, so that a value that cannot be encoded is an error and not half an answer.
func write(w http.ResponseWriter, status int, kind string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // every document here is made of plain values
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// A caller that does not take its answer has gone; there is nobody left to tell.
	_, _ = w.Write(body)
}
