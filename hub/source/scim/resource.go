package scim

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidings/hub"
	"tidings/hub/schema"
)

// mediaType is SCIM's, unless the client asks for plain JSON only (SM-06).
func mediaType(r *http.Request) string {
	accept := strings.ToLower(strings.Join(r.Header.Values("Accept"), ","))
	if strings.Contains(accept, "application/json") && !strings.Contains(accept, "application/scim+json") {
		return "application/json"
	}
	return "application/scim+json"
}

// etag is the position of the last line about the entry: it moves with every change that can be seen in the resource,
// also of what is derived (a person's groups), which the entry's own version does not count (SM-73).
func etag(e *hub.Entry) string { return `W/"` + strconv.FormatInt(e.Position, 10) + `"` }

func (p *provider) location(e *hub.Entry) string {
	return p.base + "/" + string(e.Type) + "s/" + e.ID.String()
}

// moment writes a time of the engine.
func moment(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano) }

// view is what of a resource a client wants to see (SM-17): all of it, only some attributes, or all but some.
type view struct {
	only, without []string // canonical names
	meta, active  bool
}

func readView(r *http.Request, t schema.Type) (view, error) {
	query := r.URL.Query()
	only, without := query.Get("attributes"), query.Get("excludedAttributes")
	if only != "" && without != "" {
		return view{}, &schema.Error{ScimType: schema.InvalidValue, Detail: "attributes and excludedAttributes exclude each other"}
	}
	if len(only)+len(without) > 4096 {
		return view{}, &schema.Error{ScimType: schema.InvalidValue, Detail: "too many attributes are named"}
	}
	v := view{meta: only == "", active: only == ""}
	for name := range strings.SplitSeq(only+","+without, ",") {
		name = strings.TrimSpace(name)
		if strings.EqualFold(name, "meta") {
			v.meta = only != ""
			continue
		}
		canonical, err := schema.ParseName(t, name)
		switch {
		case err != nil: // unknown, or always or never shown
		case canonical == "active":
			v.active = only != ""
		case only != "":
			v.only = append(v.only, canonical)
		case !strings.Contains(name[strings.LastIndexByte(name, ':')+1:], "."): // a part of an attribute is not left out
			v.without = append(v.without, canonical)
		}
	}
	if only != "" && v.only == nil {
		v.only = []string{}
	}
	return v, nil
}

func (v view) of(t schema.Type, a schema.Attributes) schema.Attributes {
	switch {
	case v.only != nil:
		return schema.Select(t, a, v.only)
	case v.without != nil:
		return schema.Select(t, a, slices.DeleteFunc(schema.Names(t), func(n string) bool { return slices.Contains(v.without, n) }))
	}
	return a
}

// resource is an entry as its directory sees it.
func (p *provider) resource(ctx context.Context, e *hub.Entry, v view) (map[string]any, error) {
	attributes, err := p.engine.Document(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("make resource: %w", err)
	}
	out := map[string]any{"schemas": schema.URNs(e.Type, attributes), "id": e.ID.String()}
	for name, value := range v.of(e.Type, attributes) {
		out[name] = value
	}
	if v.active && e.Type == schema.User {
		out["active"] = e.Active
	}
	if v.meta {
		out["meta"] = map[string]any{
			"resourceType": string(e.Type), "location": p.location(e), "version": etag(e),
			"created": moment(e.CreatedAt), "lastModified": moment(e.Changed),
		}
	}
	return out, nil
}

// show answers with an entry.
func (p *provider) show(w http.ResponseWriter, r *http.Request, status int, e *hub.Entry, v view) error {
	doc, err := p.resource(r.Context(), e, v)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag(e))
	w.Header().Set("Location", p.location(e))
	p.write(w, r, status, doc)
	return nil
}

func (p *provider) get(w http.ResponseWriter, r *http.Request, e *hub.Entry) error {
	if names(r.Header.Values("If-None-Match"), etag(e)) {
		w.Header().Set("ETag", etag(e))
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	v, err := readView(r, e.Type)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, e, v)
}

// names says whether a list of entity tags holds the tag, compared weakly. Ours hold no comma.
func names(headers []string, tag string) bool {
	for one := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		one = strings.TrimSpace(one)
		if one == "*" || one != "" && strings.TrimPrefix(one, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// expected is the version that a write may find: that of the entry whose tag the client named, any if it named none.
// The entry may change between here and the commit; then the engine refuses.
func expected(r *http.Request, e *hub.Entry) (int64, error) {
	tags := r.Header.Values("If-Match")
	switch {
	case len(tags) == 0:
		return 0, nil
	case !names(tags, etag(e)):
		return 0, hub.ErrVersion
	}
	return e.Version, nil
}
