package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tidings/hub/schema"
)

// view is the entries that a batch of reports speaks of, as they stand and as the batch changes them.
type view struct {
	keyed  map[sourceKey]*draft
	byID   map[ID]*draft
	drafts []*draft
}

type sourceKey struct{ source, key string }

// draft is one entry in a batch: as it was read, as it will be, and the lines that lead there.
type draft struct {
	before *Entry // nil if new
	entry  Entry
	// aliases known to lead to the entry, so that a new one is noticed.
	known   map[string]bool
	write   *EntryWrite
	lines   []Change
	signals []Signal
	jobs    []*job
	results []Result
	// held: a job waits for the next round, and all after it with it.
	held bool
}

// load reads what the jobs speak of.
func (h *Hub) load(ctx context.Context, jobs []*job) (*view, error) {
	v := &view{keyed: map[sourceKey]*draft{}, byID: map[ID]*draft{}}
	wanted := map[string]map[string]bool{}
	for _, j := range jobs {
		if r := j.report; r.Entry.IsZero() {
			if wanted[r.Source] == nil {
				wanted[r.Source] = map[string]bool{}
			}
			for _, key := range r.keys {
				wanted[r.Source][key] = true
			}
			continue
		}
		if v.byID[j.report.Entry] != nil {
			continue
		}
		e, err := h.store.Entry(ctx, j.report.Entry)
		switch {
		case err == nil && e.Deleted == 0:
			v.add(e)
		case err != nil && !errors.Is(err, ErrNotFound):
			return nil, fmt.Errorf("read entry: %w", err)
		}
	}
	for source, set := range wanted {
		keys := slices.Sorted(maps.Keys(set))
		entries, err := h.store.Entries(ctx, source, keys)
		if err != nil {
			return nil, fmt.Errorf("read entries: %w", err)
		}
		for i, e := range entries {
			if e == nil {
				continue
			}
			d := v.byID[e.ID]
			if d == nil {
				d = v.add(e)
			}
			v.keyed[sourceKey{source, keys[i]}] = d
			d.known[keys[i]] = true
		}
	}
	return v, nil
}

func (v *view) add(e *Entry) *draft {
	d := &draft{before: e, entry: *e, known: map[string]bool{}}
	v.byID[e.ID] = d
	return d
}

// folded are the names of the object at its source, its own first.
func (r Report) folded() []string {
	keys := []string{schema.Fold(r.Key)}
	for _, a := range r.Aliases {
		if k := schema.Fold(a); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// decide applies the jobs to the view, in order. Reports of one entry apply one after another and share an item; those
// that have to wait for a round of their own are left unanswered.
func (v *view) decide(jobs []*job, now int64) []*draft {
	for _, j := range jobs {
		if d := v.about(j.report); d != nil && d.closed(j) {
			d.held = true
			continue
		}
		d, err := v.find(j.report)
		var r Result
		if err == nil {
			if d == nil {
				d = v.create(j.report)
			}
			r, err = d.apply(j.report, now)
		}
		if err != nil {
			j.finish(Result{Err: err}, nil)
			continue
		}
		if len(d.jobs) == 0 {
			v.drafts = append(v.drafts, d)
		}
		d.jobs, d.results = append(d.jobs, j), append(d.results, r)
	}
	return v.drafts
}

// closed: the job has to wait for the next round, since it or the one that is in must go alone, or since another waits.
func (d *draft) closed(j *job) bool {
	return d.held || len(d.jobs) > 0 && (j.alone || d.jobs[0].alone)
}

// about is the draft a report speaks of, if there is one.
func (v *view) about(r Report) *draft {
	if r.Entry.IsZero() {
		return v.keyed[sourceKey{r.Source, r.keys[0]}]
	}
	return v.byID[r.Entry]
}

// find is the draft a report speaks of; nil if there is none and the report may make one.
func (v *view) find(r Report) (*draft, error) {
	d := v.about(r)
	stands := d != nil && (d.before != nil || d.write != nil)
	switch {
	case stands && (r.Create || r.Entry.IsZero() && !r.Gone && r.Type != d.entry.Type):
		return nil, ErrTaken // what the source knows by this key is another object, and stays as it is
	case !stands && (!r.Entry.IsZero() || r.Patch != nil || r.Gone):
		return nil, ErrNotFound
	case !stands:
		return nil, nil // an earlier report of the batch failed to make it
	}
	return d, nil
}

// create starts a new entry. A failed first report leaves a draft that nobody finds or commits.
func (v *view) create(r Report) *draft {
	id := NewID()
	if own, err := ParseID(r.Key); err == nil && r.Create {
		id = own // a source that knows its objects by the hub's ids (SCIM) chose it for the new object
	}
	d := &draft{entry: Entry{ID: id, Type: r.Type, Source: r.Source, Active: true}, known: map[string]bool{}}
	v.keyed[sourceKey{r.Source, r.keys[0]}] = d
	v.byID[id] = d
	return d
}

// apply brings the draft to what the report says and notes the difference.
func (d *draft) apply(r Report, now int64) (Result, error) {
	if r.IfVersion != 0 && (r.IfVersion != d.entry.Version || d.write != nil) {
		return Result{}, ErrVersion
	}
	if r.Gone {
		return d.delete(r, now), nil
	}
	next, err := d.next(r)
	refs := schema.References(d.entry.Type, next.Attributes)
	if err == nil {
		err = bounded(r, next, refs)
	}
	if err != nil {
		return Result{}, err
	}
	names := schema.Diff(d.entry.Type, d.entry.Attributes, next.Attributes)
	kind := Updated
	switch {
	case d.before == nil && d.write == nil:
		kind = Created
		names = append(names, "active")
	case next.Active != d.entry.Active:
		names = append(names, "active")
		kind = EnabledEntry
		if !next.Active {
			kind = DisabledEntry
		}
	}
	slices.Sort(names)
	rekeyed := r.Entry.IsZero() && slices.ContainsFunc(r.keys, func(k string) bool { return !d.known[k] })
	if len(names) == 0 && !next.Password && !next.PasswordRemoved && !rekeyed {
		return Result{}, nil
	}
	if kind != Created {
		d.signals = append(d.signals, d.raise(kind, names, next, r, now)...)
	}
	renamed := d.entry.Type == schema.Group && slices.Contains(names, "displayName") && kind != Created
	d.entry.Attributes, d.entry.Active = next.Attributes, next.Active
	d.rewrite(r, renamed, refs)
	if len(names) == 0 {
		return Result{}, nil
	}
	d.lines = append(d.lines, Change{Kind: kind, Entry: d.entry.ID, Attributes: names, Time: now, Actor: r.Actor, Source: r.Source, Txn: r.Txn})
	return Result{Kind: kind, Names: names}, nil
}

// maxName bounds in bytes what stores keep in an index: a database refuses longer ones, and the whole batch with them.
const maxName = 1024

// bounded refuses names that are too long to be looked up by.
func bounded(r Report, next schema.Resource, refs []schema.Reference) error {
	userName, _ := next.Attributes["userName"].(string)
	long := len(schema.Fold(userName)) > maxName
	for _, k := range r.keys {
		long = long || len(k) > maxName
	}
	for _, ref := range refs {
		long = long || len(schema.Fold(ref.Value)) > maxName
	}
	if long {
		return &schema.Error{ScimType: schema.InvalidValue, Detail: "userName, references and keys have at most 1024 bytes"}
	}
	return nil
}

// next is the object as the report says it is.
func (d *draft) next(r Report) (schema.Resource, error) {
	current := schema.Resource{Attributes: d.entry.Attributes, Active: d.entry.Active}
	if r.Patch != nil {
		return schema.Patch(d.entry.Type, current, r.Patch)
	}
	next := *r.Resource
	if r.Names != nil && d.entry.Attributes != nil {
		next.Attributes = overlay(d.entry.Attributes, next.Attributes, r.Names)
		if !slices.Contains(r.Names, "active") {
			next.Active = current.Active
		}
	}
	return next, nil
}

// rewrite notes what has to be written of the entry besides its attributes.
func (d *draft) rewrite(r Report, renamed bool, refs []schema.Reference) {
	if d.write == nil {
		d.write = &EntryWrite{}
	}
	d.write.Renamed = d.write.Renamed || renamed
	if r.Entry.IsZero() {
		for _, k := range r.keys {
			d.known[k] = true
		}
		d.write.Keys = r.keys
	}
	if name, ok := d.entry.Attributes["userName"].(string); ok {
		d.write.UserName = schema.Fold(name)
	}
	d.write.References = nil
	for _, ref := range refs {
		d.write.References = append(d.write.References, Reference{From: d.entry.ID, Name: ref.Name, Key: schema.Fold(ref.Value)})
	}
}

func (d *draft) delete(r Report, now int64) Result {
	d.write = &EntryWrite{Delete: true}
	d.lines = append(d.lines, Change{Kind: Deleted, Entry: d.entry.ID, Time: now, Actor: r.Actor, Source: r.Source, Txn: r.Txn})
	d.signals = nil // the end of the entry ends everything about it
	return Result{Kind: Deleted}
}

// identifier is the one value of an attribute by which others may know a person.
func identifier(a schema.Attributes, name string) string { return schema.Preferred(a[name]) }

func (d *draft) item() (_ Item, err error) {
	d.write.Entry = d.entry
	if next := Identifiers(d.entry.Type, d.entry.Attributes); d.before == nil || !slices.Equal(next, Identifiers(d.entry.Type, d.before.Attributes)) {
		d.write.Identifiers = next
	}
	if !d.write.Delete {
		d.write.document, err = schema.Encode(d.entry.Attributes)
	}
	return Item{Entry: d.write, Lines: d.lines, Signals: d.signals}, err
}

// finish answers the jobs of a draft that was committed, or that had nothing to commit.
func (d *draft) finish(written *Entry, first int64) {
	if written == nil && d.write == nil {
		written = d.before
	}
	if written != nil && written.Deleted != 0 {
		written = nil
	}
	for i, j := range d.jobs {
		r := d.results[i]
		r.Entry = written
		if r.Kind != "" {
			r.Position = first
		}
		j.finish(r, nil)
	}
}
