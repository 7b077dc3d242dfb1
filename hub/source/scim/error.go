package scim

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"tidings/hub"
	"tidings/hub/schema"
)

const errorURN = "urn:ietf:params:scim:api:messages:2.0:Error"

// failure is an error in the form of RFC 7644 section 3.12.
type failure struct {
	status   int
	ScimType string
	Detail   string
}

func (f *failure) Error() string { return f.Detail }

// failures is the table from the hub's errors to SCIM's.
var failures = []struct {
	err error
	failure
}{
	{hub.ErrUnauthenticated, failure{http.StatusUnauthorized, "", "a valid bearer token is needed"}},
	{hub.ErrForbidden, failure{http.StatusForbidden, "", "this credential is not for a directory"}},
	{hub.ErrNotFound, failure{http.StatusNotFound, "", "there is no such resource"}},
	{hub.ErrTaken, failure{http.StatusConflict, "uniqueness", "userName belongs to another resource"}},
	{hub.ErrVersion, failure{http.StatusPreconditionFailed, "", "the resource is at another version"}},
	{hub.ErrConflict, failure{http.StatusServiceUnavailable, "", "the resource is changing too fast; try again"}},
	{hub.ErrBusy, failure{http.StatusServiceUnavailable, "", "try again shortly"}},
}

func describe(err error) (failure, bool) {
	var f *failure
	if errors.As(err, &f) {
		return *f, true
	}
	var refused *schema.Error
	if errors.As(err, &refused) {
		return failure{http.StatusBadRequest, refused.ScimType, refused.Detail}, true
	}
	for _, known := range failures {
		if errors.Is(err, known.err) {
			return known.failure, true
		}
	}
	return failure{http.StatusInternalServerError, "", "something failed inside the hub"}, false
}

// refuse answers with an error, and logs it if it is the hub's fault.
func (p *provider) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the caller has gone: there is nobody to answer
	}
	f, known := describe(err)
	if !known {
		p.log.Error("SCIM request failed", slog.String("method", r.Method), slog.Any("err", err))
	}
	if f.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	p.write(w, r, f.status, struct {
		Schemas  []string `json:"schemas"`
		Status   string   `json:"status"` // a string, by the RFC
		ScimType string   `json:"scimType,omitempty"`
		Detail   string   `json:"detail"`
	}{[]string{errorURN}, strconv.Itoa(f.status), f.ScimType, f.Detail})
}

func (p *provider) write(w http.ResponseWriter, r *http.Request, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // every document here is made of plain values
	}
	w.Header().Set("Content-Type", mediaType(r))
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// A caller that does not take its answer has gone; there is nobody left to tell.
	_, _ = w.Write(body)
}
