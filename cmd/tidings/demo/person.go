package demo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tidings/consent"
	"tidings/hub"
	"tidings/hub/schema"
	"tidings/subscriptions"
)

// person is one of the directory's people. This is the directory's own page: it may show values.
type person struct {
	ID       hub.ID
	Name     string
	UserName string
	Title    string
	Active   bool
	Shares   bool // has a grant that runs
	Card     string
}

// form is what can be edited.
type form struct {
	Version                         int64
	DisplayName, Title, Mail, Phone string
	Active                          bool
}

// edited are the attributes that the form speaks of.
var edited = []string{"active", "displayName", "emails", "phoneNumbers", "title"}

func newPerson(e *hub.Entry) person {
	return person{ID: e.ID, Name: called(e), UserName: str(e.Attributes["userName"]), Title: str(e.Attributes["title"]), Active: e.Active}
}

func called(e *hub.Entry) string {
	name, _ := e.Attributes["name"].(map[string]any)
	return cmp.Or(str(e.Attributes["displayName"]), str(name["formatted"]), str(e.Attributes["userName"]), "(no name)")
}

func str(v any) string {
	s, _ := v.(string)
	return s
}

func (p *pages) people(w http.ResponseWriter, r *http.Request) error {
	grants, err := p.readGrants(r.Context(), hub.ID{})
	if err != nil {
		return err
	}
	shares := map[hub.ID]bool{}
	for _, g := range grants {
		shares[g.Entry] = g.State == "live"
	}
	var list []person
	for after := (hub.ID{}); ; {
		entries, _, err := p.engine.Entries(r.Context(), schema.User, after, pageLines)
		if err != nil {
			return fmt.Errorf("read people: %w", err)
		}
		for _, e := range entries {
			one := newPerson(e)
			one.Shares = shares[e.ID]
			list, after = append(list, one), e.ID
		}
		if len(entries) < pageLines {
			break
		}
	}
	slices.SortFunc(list, func(a, b person) int {
		if a.Shares != b.Shares { // those at whom there is something to see come first
			if a.Shares {
				return -1
			}
			return 1
		}
		return cmp.Or(strings.Compare(a.Name, b.Name), bytes.Compare(a.ID[:], b.ID[:]))
	})
	p.render(w, http.StatusOK, "people", page{Here: "people", People: list})
	return nil
}

// find reads the person of the path.
func (p *pages) find(r *http.Request) (*hub.Entry, error) {
	who, err := id(r)
	if err != nil {
		return nil, err
	}
	e, err := p.engine.Entry(r.Context(), who)
	if err == nil && e.Type != schema.User {
		err = hub.ErrNotFound
	}
	return e, err
}

func (p *pages) person(w http.ResponseWriter, r *http.Request) error {
	e, err := p.find(r)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, e, page{Form: newForm(e)})
}

func (p *pages) show(w http.ResponseWriter, r *http.Request, status int, e *hub.Entry, with page) error {
	var err error
	with.Here, with.Person = "people", newPerson(e)
	if with.Person.Card, err = p.card(r.Context(), e); err != nil {
		return err
	}
	if with.Grants, err = p.readGrants(r.Context(), e.ID); err != nil {
		return err
	}
	if with.Trail, err = p.readTrail(r, e, with.Grants); err != nil {
		return err
	}
	p.render(w, status, "person", with)
	return nil
}

func newForm(e *hub.Entry) form {
	return form{
		Version: e.Version, Active: e.Active,
		DisplayName: str(e.Attributes["displayName"]), Title: str(e.Attributes["title"]),
		Mail: first(e.Attributes["emails"]), Phone: first(e.Attributes["phoneNumbers"]),
	}
}

// edit reports the person as the form says they are. The hub finds out what that changes.
func (p *pages) edit(w http.ResponseWriter, r *http.Request) error {
	e, err := p.find(r)
	if err != nil {
		return err
	}
	f := form{
		DisplayName: r.PostFormValue("displayName"), Title: r.PostFormValue("title"), Mail: r.PostFormValue("mail"),
		Phone: r.PostFormValue("phone"), Active: r.PostFormValue("active") == "on",
	}
	if f.Version, err = strconv.ParseInt(r.PostFormValue("version"), 10, 64); err != nil {
		return p.show(w, r, http.StatusBadRequest, e, page{Form: newForm(e), Problem: "The form was incomplete; nothing was changed."})
	}
	result, err := p.report(r.Context(), e, f)
	refused := (*schema.Error)(nil)
	switch {
	case errors.Is(err, hub.ErrVersion):
		return p.show(w, r, http.StatusConflict, e, page{Form: newForm(e), Problem: "Somebody else changed this person meanwhile. This is how they stand now."})
	case errors.As(err, &refused):
		return p.show(w, r, http.StatusBadRequest, e, page{Form: f, Problem: "This cannot be saved: " + refused.Detail})
	case err != nil:
		return err
	}
	http.Redirect(w, r, fmt.Sprintf("/demo/people/%s?line=%d#trail", e.ID, result.Position), http.StatusSeeOther)
	return nil
}

func (p *pages) report(ctx context.Context, e *hub.Entry, f form) (hub.Result, error) {
	// A person needs a userName; the report does not speak of it (edited).
	body := map[string]any{"active": f.Active, "userName": e.Attributes["userName"]}
	for name, value := range map[string]string{"displayName": f.DisplayName, "title": f.Title} {
		if value = strings.TrimSpace(value); value != "" {
			body[name] = value
		}
	}
	for name, value := range map[string]string{"emails": f.Mail, "phoneNumbers": f.Phone} {
		if list := replaceFirst(e.Attributes[name], strings.TrimSpace(value)); len(list) > 0 {
			body[name] = list
		}
	}
	resource, err := schema.Normalize(schema.User, body)
	if err != nil {
		return hub.Result{}, err
	}
	results, err := p.engine.Ingest(ctx, hub.Report{
		Source: actor, Entry: e.ID, Type: schema.User, Resource: &resource, Names: edited, IfVersion: f.Version, Actor: actor,
	})
	if err != nil {
		return hub.Result{}, fmt.Errorf("report: %w", err)
	}
	return results[0], results[0].Err
}

// first is the value of the first element of a multi-valued attribute.
func first(v any) string {
	list, _ := v.([]any)
	if len(list) == 0 {
		return ""
	}
	m, _ := list[0].(map[string]any)
	return str(m["value"])
}

// replaceFirst puts a value in the place of the first element, or takes that away if there is no value. The others, and
// what else the element says, stay.
func replaceFirst(v any, value string) []any {
	list, _ := v.([]any)
	list = slices.Clone(list)
	switch {
	case value == "" && len(list) > 0:
		return list[1:]
	case value == "":
		return nil
	case len(list) == 0:
		return []any{map[string]any{"value": value, "type": "work"}}
	}
	m, _ := list[0].(map[string]any)
	changed := maps.Clone(m)
	changed["value"] = value
	list[0] = changed
	return list
}

// trail follows one edit: the line in the log, what the website may hear of it, and whether its stream has sent that.
type trail struct {
	Position  int64 // 0: nothing differed
	Line      *line
	Told      []string // names that the grant covers
	Withheld  []string
	Granted   bool
	Left      bool // the stream has passed the line
	Trouble   string
	Card      string
	Party     string
	FollowURL string // where to ask again; "" when there is nothing more to come
}

// trail is the trail alone, for a page that waits for the rest of it.
func (p *pages) trail(w http.ResponseWriter, r *http.Request) error {
	e, err := p.find(r)
	if err != nil {
		return err
	}
	grants, err := p.readGrants(r.Context(), e.ID)
	if err != nil {
		return err
	}
	t, err := p.readTrail(r, e, grants)
	if err != nil {
		return err
	}
	p.render(w, http.StatusOK, "trail", page{Trail: t})
	return nil
}

func (p *pages) readTrail(r *http.Request, e *hub.Entry, grants []grant) (*trail, error) {
	text := r.URL.Query().Get("line")
	if text == "" {
		return nil, nil
	}
	t := &trail{Party: p.conf.Party.Name}
	var err error
	if t.Card, err = p.card(r.Context(), e); err != nil {
		return nil, err
	}
	if t.Position, err = strconv.ParseInt(text, 10, 64); err != nil || t.Position <= 0 {
		t.Position = 0
		return t, nil
	}
	lines, err := p.lines(r.Context(), t.Position-1, 1)
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 || lines[0].Entry != e.ID {
		return nil, nil
	}
	t.Line = &lines[0]
	t.judge(grants)
	if len(t.Told) == 0 {
		return t, nil
	}
	if err := p.watch(r.Context(), t, grants[0].Position); err != nil {
		return nil, err
	}
	if !t.Left {
		t.FollowURL = fmt.Sprintf("/demo/people/%s/trail?line=%d", e.ID, t.Position)
	}
	return t, nil
}

// judge sorts the names of the line by whether the grant covers them; the hub itself does so when it tells.
func (t *trail) judge(grants []grant) {
	var covered []string
	if t.Granted = len(grants) > 0 && grants[0].State == "live" && grants[0].Terms.Purposes.Has(consent.Notify); t.Granted {
		covered = append(slices.Clone(grants[0].Terms.Attributes), "active") // whether an account is active concerns every grant
	}
	for _, name := range t.Line.Attributes {
		short := name[strings.LastIndexByte(name, ':')+1:]
		if consent.Covered(covered, name) {
			t.Told = append(t.Told, short)
		} else {
			t.Withheld = append(t.Withheld, short)
		}
	}
}

// watch looks whether the website's stream has passed the place where the change stands in its feed.
func (p *pages) watch(ctx context.Context, t *trail, position int64) error {
	streams, err := p.engine.Streams(ctx, hub.Caller{Role: hub.RoleParty, Party: p.conf.Party.ID})
	if err != nil {
		return fmt.Errorf("read streams: %w", err)
	}
	for _, s := range streams {
		t.Left = t.Left || s.Status == subscriptions.Enabled && s.At >= position && s.Failures == 0
		if s.Failures > 0 {
			t.Trouble = s.Problem
		}
	}
	return nil
}
