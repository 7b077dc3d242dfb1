package receiver

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"tidings/events"
)

// Handler receives pushed SETs (RFC 8935). Client, Audience and Keep are required. It is safe for concurrent use.
type Handler struct {
	Client *Client
	// Audience is the stream's aud, as the hub told it when the stream was made.
	Audience string
	// Authorization is the value of the header that every push must bring: the stream's authorization_header. Without
	// one anybody may hand over tokens, which is safe but for the work they make.
	Authorization string
	// Keep persists what was received; the hub is told that it arrived after Keep returned nil, and then sends it no
	// more. What is to be done about it can be done afterwards. A *Refusal makes the hub give the token up; any other
	// error makes it try again.
	Keep func(context.Context, events.Token) error

	seen seen
}

// Refusal says that a token will not be accepted however often it comes, with a code of RFC 8935 section 2.4 or
// invalid_state (SSF 1.0 section 8.1.4.1) for a verification that was not asked for.
type Refusal struct{ Code, Description string }

func (r *Refusal) Error() string { return "refused: " + r.Code }

// ServeHTTP answers a push. The order is that of RFC 8935 section 2: form, authenticity, audience, then keep, then 202.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if h.Authorization != "" && subtle.ConstantTimeCompare([]byte(h.Authorization), []byte(r.Header.Get("Authorization"))) != 1 {
		w.Header().Set("WWW-Authenticate", "Bearer")
		refuse(w, http.StatusUnauthorized, events.CodeAuthenticationFailed, "the Authorization header is not the stream's")
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != events.MediaType {
		refuse(w, http.StatusBadRequest, events.CodeInvalidRequest, "Content-Type is not "+events.MediaType)
		return
	}
	compact, err := io.ReadAll(http.MaxBytesReader(w, r.Body, events.MaxToken))
	if err != nil {
		refuse(w, http.StatusBadRequest, events.CodeInvalidRequest, "the body cannot be read or is too large")
		return
	}
	token, err := h.Client.Open(r.Context(), compact, h.Audience)
	switch {
	case errors.Is(err, ErrUnavailable):
		later(w)
	case err != nil:
		refuse(w, http.StatusBadRequest, events.Code(err), err.Error())
	default:
		h.keep(w, r, token)
	}
}

// keep hands a token over, once: a repeat is answered like the first (RFC 8935 section 2), and one that comes while the
// first is being kept comes too early.
func (h *Handler) keep(w http.ResponseWriter, r *http.Request, token events.Token) {
	switch h.seen.begin(token.JTI) {
	case kept:
		w.WriteHeader(http.StatusAccepted)
		return
	case underway:
		later(w)
		return
	}
	done := false
	defer func() { h.seen.end(token.JTI, done) }() // also if Keep panics: the token has to come again
	err := h.Keep(r.Context(), token)
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		refuse(w, http.StatusBadRequest, refusal.Code, refusal.Description)
	case err != nil:
		later(w)
	default:
		done = true
		w.WriteHeader(http.StatusAccepted)
	}
}

// refuse answers as RFC 8935 section 2.3 has it.
func refuse(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Language", "en")
	w.WriteHeader(status)
	// A sender that has gone learns nothing, and sends again.
	_ = json.NewEncoder(w).Encode(events.SetError{Err: code, Description: description})
}

func later(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "5")
	w.WriteHeader(http.StatusServiceUnavailable)
}
