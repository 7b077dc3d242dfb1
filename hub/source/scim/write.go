package scim

import (
	"net/http"

	"tidings/hub"
	"tidings/hub/schema"
)

// create, as every write here, reads the whole request before anything is done: what is answered 400 changed nothing.
func (p *provider) create(w http.ResponseWriter, r *http.Request, c hub.Caller, t schema.Type) error {
	v, err := readView(r, t)
	if err != nil {
		return err
	}
	resource, err := readResource(w, r, t)
	if err != nil {
		return err
	}
	e, err := p.ingest(r, c, hub.Report{Key: hub.NewID().String(), Type: t, Resource: &resource, Create: true})
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusCreated, e, v)
}

// replace is PUT: attributes that are not sent are cleared (SM-15).
func (p *provider) replace(w http.ResponseWriter, r *http.Request, c hub.Caller, e *hub.Entry) error {
	v, err := readView(r, e.Type)
	if err != nil {
		return err
	}
	version, err := expected(r, e)
	if err != nil {
		return err
	}
	resource, err := readResource(w, r, e.Type)
	if err != nil {
		return err
	}
	e, err = p.ingest(r, c, hub.Report{Entry: e.ID, Type: e.Type, Resource: &resource, IfVersion: version})
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, e, v)
}

// patch hands the operations to the engine, which applies them to the entry as it stands at the commit. A group's answer
// is 204: it may have a hundred thousand members of whom one came (SM-44).
func (p *provider) patch(w http.ResponseWriter, r *http.Request, c hub.Caller, e *hub.Entry) error {
	v, err := readView(r, e.Type)
	if err != nil {
		return err
	}
	version, err := expected(r, e)
	if err != nil {
		return err
	}
	body, err := read(w, r)
	if err != nil {
		return err
	}
	e, err = p.ingest(r, c, hub.Report{Entry: e.ID, Type: e.Type, Patch: body, IfVersion: version})
	if err != nil {
		return err
	}
	if e.Type == schema.Group && !r.URL.Query().Has("attributes") {
		w.Header().Set("ETag", etag(e))
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return p.show(w, r, http.StatusOK, e, v)
}

func (p *provider) delete(w http.ResponseWriter, r *http.Request, c hub.Caller, e *hub.Entry) error {
	version, err := expected(r, e)
	if err != nil {
		return err
	}
	if _, err := p.ingest(r, c, hub.Report{Entry: e.ID, Type: e.Type, Gone: true, IfVersion: version}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func readResource(w http.ResponseWriter, r *http.Request, t schema.Type) (schema.Resource, error) {
	body, err := read(w, r)
	if err != nil {
		return schema.Resource{}, err
	}
	members, err := schema.Parse(body)
	if err != nil {
		return schema.Resource{}, err
	}
	return schema.Normalize(t, members)
}

// ingest reports one object and returns the entry as it stands after the commit.
func (p *provider) ingest(r *http.Request, c hub.Caller, report hub.Report) (*hub.Entry, error) {
	report.Source, report.Actor = Source, c.Actor()
	results, err := p.engine.Ingest(r.Context(), report)
	if err != nil {
		return nil, err
	}
	return results[0].Entry, results[0].Err
}
