package scim

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strings"

	"tidings/hub"
	"tidings/hub/schema"
)

// Path is where the handler lives, below the issuer.
const Path = "/scim/v2"

// Source is the name under which the hub knows what comes through here. Objects are known by the hub's own ids, which
// are chosen here: userName is unique but changes, externalId is neither.
const Source = "scim"

// maxBody bounds a request in bytes.
const maxBody = 1 << 20

// Engine is what a SCIM service provider needs of the hub.
type Engine interface {
	Issuer() string
	Ingest(ctx context.Context, reports ...hub.Report) ([]hub.Result, error)
	Entry(ctx context.Context, id hub.ID) (*hub.Entry, error)
	EntryByUserName(ctx context.Context, userName string) (*hub.Entry, error)
	Entries(ctx context.Context, t schema.Type, after hub.ID, limit int) ([]*hub.Entry, int, error)
	Document(ctx context.Context, e *hub.Entry) (schema.Attributes, error)
}

type provider struct {
	engine Engine
	base   string // URL of the service
	log    *slog.Logger
	places places
	// scans admits the few requests at a time that look at many entries.
	scans chan struct{}
}

// New makes the handler of everything below Path.
func New(e Engine, log *slog.Logger) http.Handler {
	return &provider{
		engine: e, base: strings.TrimSuffix(e.Issuer(), "/") + Path, log: log,
		places: places{after: map[place]hub.ID{}}, scans: make(chan struct{}, 2),
	}
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := p.serve(w, r); err != nil {
		p.refuse(w, r, err)
	}
}

// serve asks who calls before it looks at anything else.
func (p *provider) serve(w http.ResponseWriter, r *http.Request) error {
	caller, ok := hub.CallerFrom(r.Context())
	switch {
	case r.URL.Query().Has("access_token"):
		return &failure{status: http.StatusBadRequest, Detail: "a token in the query is not accepted"}
	case !ok:
		return hub.ErrUnauthenticated
	}
	if err := caller.Need(hub.SCIMWrite); err != nil {
		// What is missing stands in the challenge (RFC 6750 section 3.1); the body cannot name it.
		w.Header().Set("WWW-Authenticate", `Bearer realm="tidings", error="insufficient_scope", scope="scim.write"`)
		return err
	}
	_, path, _ := strings.Cut(r.URL.Path, Path)
	steps := strings.Split(strings.Trim(path, "/"), "/")
	switch steps[0] {
	case "Users":
		return p.resources(w, r, caller, schema.User, steps[1:])
	case "Groups":
		return p.resources(w, r, caller, schema.Group, steps[1:])
	case "ServiceProviderConfig", "ResourceTypes", "Schemas":
		return p.discover(w, r, steps)
	case "Me", "Bulk":
		return &failure{status: http.StatusNotImplemented, Detail: "not offered"}
	}
	return hub.ErrNotFound
}

func (p *provider) resources(w http.ResponseWriter, r *http.Request, c hub.Caller, t schema.Type, steps []string) error {
	switch len(steps) {
	case 0:
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			return p.list(w, r, t)
		case http.MethodPost:
			return p.create(w, r, c, t)
		}
		return notAllowed(w, "GET, POST")
	case 1:
		// The entry is looked up before anything is said about the request: an unknown one is 404 for every method (SM-16).
		e, err := p.find(r.Context(), t, steps[0])
		if err != nil {
			return err
		}
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			return p.get(w, r, e)
		case http.MethodPut:
			return p.replace(w, r, c, e)
		case http.MethodPatch:
			return p.patch(w, r, c, e)
		case http.MethodDelete:
			return p.delete(w, r, c, e)
		}
		return notAllowed(w, "GET, PUT, PATCH, DELETE")
	}
	return hub.ErrNotFound
}

func notAllowed(w http.ResponseWriter, methods string) error {
	w.Header().Set("Allow", methods)
	return &failure{status: http.StatusMethodNotAllowed, Detail: "method is not allowed here"}
}

// find reads a living entry of the type.
func (p *provider) find(ctx context.Context, t schema.Type, text string) (*hub.Entry, error) {
	id, err := hub.ParseID(text)
	if err != nil {
		return nil, hub.ErrNotFound
	}
	e, err := p.engine.Entry(ctx, id)
	if err == nil && e.Type != t {
		return nil, hub.ErrNotFound
	}
	return e, err
}

// read reads a body that is declared as SCIM or plain JSON (SM-06).
func read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains([]string{"application/scim+json", "application/json"}, kind) {
		return nil, &failure{status: http.StatusUnsupportedMediaType, Detail: "body must be application/scim+json"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &failure{status: http.StatusRequestEntityTooLarge, Detail: "body is larger than 1 MiB"}
	case err != nil:
		return nil, &schema.Error{ScimType: schema.InvalidSyntax, Detail: "the body ended early"}
	}
	return body, nil
}
