package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"tidings/hub"
	"tidings/hub/schema"
)

// Members are the members of a JSON object, by their exact names. encoding/json alone would match names in any case and
// keep the last of a repeated one; whoever checks and whoever uses the same bytes could then disagree.
type Members map[string]json.RawMessage

// Read reads a request's body of at most limit bytes: one JSON object, declared as such. ErrMediaType, ErrTooLarge,
// *schema.Error.
func Read(w http.ResponseWriter, r *http.Request, limit int64) (Members, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && !(strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json")) {
		return nil, ErrMediaType
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, ErrTooLarge
	case err != nil:
		return nil, fmt.Errorf("%w: the body ended early", hub.ErrBadRequest)
	}
	return parse(body)
}

func parse(body []byte) (Members, error) {
	if _, err := schema.Parse(body); err != nil {
		return nil, err // not one object, a name twice, too deep
	}
	var m Members
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("%w: the body is not a JSON object", hub.ErrBadRequest)
	}
	return m, nil
}

// Has reports whether the member was sent, be it as null.
func (m Members) Has(name string) bool {
	_, ok := m[name]
	return ok
}

// Get decodes a member. Absent and null leave what is there. An error wraps hub.ErrBadRequest and names the member.
func (m Members) Get(name string, into any) error {
	raw, ok := m[name]
	if !ok || string(raw) == "null" {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%w: %s is not what it should be", hub.ErrBadRequest, name)
	}
	return nil
}

// Object decodes a member that is an object; nil if it is absent or null.
func (m Members) Object(name string) (Members, error) {
	var inner Members
	err := m.Get(name, &inner)
	return inner, err
}

// Text decodes a member that has to be a string that is not empty.
func (m Members) Text(name string) (string, error) {
	var text string
	if err := m.Get(name, &text); err != nil {
		return "", err
	}
	if text == "" {
		return "", fmt.Errorf("%w: %s is missing", hub.ErrBadRequest, name)
	}
	return text, nil
}
