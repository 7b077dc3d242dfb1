package delivery

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"

	"tidings/events"
	"tidings/hub"
)

// problem is an RFC 9457 answer. The WWW-Authenticate header of a 401 (PB-16) is added by the frame around all faces,
// which knows what was wrong with the credential.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

func (p problem) write(w http.ResponseWriter) {
	if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests {
		// Spread, so that those who were refused together do not come back together.
		w.Header().Set("Retry-After", strconv.Itoa(1+rand.IntN(10)))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

const urn = "urn:tidings:problem:"

// problemOf translates what the engine says. What is not the caller's doing shows nothing of itself.
func problemOf(err error) problem {
	switch {
	case errors.Is(err, hub.ErrUnauthenticated):
		return problem{Status: http.StatusUnauthorized, Type: urn + "unauthenticated", Title: "A valid bearer token is needed"}
	case errors.Is(err, hub.ErrForbidden):
		return problem{Status: http.StatusForbidden, Type: urn + "forbidden", Title: "This credential does not allow that"}
	case errors.Is(err, hub.ErrNotFound):
		return problem{Status: http.StatusNotFound, Type: urn + "not-found", Title: "There is nothing of yours here"}
	case errors.Is(err, events.ErrInvalidRequest):
		return problem{Status: http.StatusBadRequest, Type: urn + "bad-request", Title: "The request cannot be understood", Detail: err.Error()}
	case errors.Is(err, hub.ErrCursorInvalid):
		return problem{Status: http.StatusBadRequest, Type: events.ProblemCursorInvalid, Title: "This is no cursor of yours"}
	case errors.Is(err, hub.ErrCursorExpired):
		return problem{Status: http.StatusGone, Type: events.ProblemCursorExpired, Title: "The cursor expired; begin without one"}
	case errors.Is(err, hub.ErrBusy), errors.Is(err, errFull):
		return problem{Status: http.StatusServiceUnavailable, Type: urn + "busy", Title: "Try again shortly"}
	case errors.Is(err, hub.ErrTooSoon):
		return problem{Status: http.StatusTooManyRequests, Type: urn + "too-soon", Title: "Asked too often"}
	case errors.Is(err, hub.ErrTooMany):
		return problem{Status: http.StatusTooManyRequests, Type: urn + "too-many", Title: "As many of these are under way as may be"}
	}
	return problem{Status: http.StatusInternalServerError, Type: urn + "internal", Title: "Something failed inside the hub"}
}
