package hub_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/hub/schema"
)

// An entry written by its id keeps the names under which its source knows it, so that the source finds it again.
func TestEntryWrittenByIDStaysKnownToItsSource(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		anna := w.person("anna", nil)
		w.patch(anna, replace("title", "Clerk"))
		if again := w.person("anna", map[string]any{"title": "Cook"}); again.ID != anna.ID {
			t.Errorf("the source's next report made another entry")
		}
	})
}

// Reports state facts: the same fact again is no change, and neither is a no-op patch (SM-45, SM-73).
func TestSameFactTwiceIsNoChange(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		anna := w.person("anna", map[string]any{"title": "Clerk"})
		head := must(w.h.Head(w.ctx()))(t)
		again := w.person("anna", map[string]any{"title": "Clerk"})
		r := w.patch(anna, replace("title", "Clerk"))
		if again.Version != anna.Version || r.Kind != "" || must(w.h.Head(w.ctx()))(t).Position != head.Position {
			t.Errorf("an equal report moved the log")
		}
	})
}

// Each report of a call has its own result: a taken name, a version that does not match, an unknown attribute refuse one
// and let the others in (invariant 1).
func TestEachReportHasItsOwnResult(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		anna := w.person("anna", nil)
		resource := func(name string) *schema.Resource {
			r, err := schema.Normalize(schema.User, map[string]any{"userName": name})
			if err != nil {
				t.Fatal(err)
			}
			return &r
		}
		results, err := w.h.Ingest(w.ctx(),
			hub.Report{Source: "other", Key: "1", Type: schema.User, Resource: resource("ANNA")},
			hub.Report{Source: "other", Key: "2", Type: schema.User, Resource: resource("bert")},
			hub.Report{Entry: anna.ID, IfVersion: anna.Version + 7, Patch: []byte(`{}`)},
			hub.Report{Entry: anna.ID, Patch: []byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"nope","value":1}]}`)},
			hub.Report{Entry: hub.NewID(), Gone: true},
			hub.Report{Source: "other", Key: "2", Type: schema.User, Resource: resource("bert"), Create: true},
			hub.Report{Source: "other", Key: "3", Type: schema.User, Resource: resource("carla")},
			hub.Report{Source: "other", Key: "4", Type: schema.User, Resource: resource(strings.Repeat("x", 4000))},
		)
		if err != nil {
			t.Fatal(err)
		}
		var refused *schema.Error
		for i, want := range []error{hub.ErrTaken, nil, hub.ErrVersion, nil, hub.ErrNotFound, hub.ErrTaken, nil, nil} {
			if i == 3 || i == 7 {
				if !errors.As(results[i].Err, &refused) {
					t.Errorf("report %d: %v", i, results[i].Err)
				}
				continue
			}
			if !errors.Is(results[i].Err, want) {
				t.Errorf("report %d: %v, want %v", i, results[i].Err, want)
			}
		}
	})
}

// Many callers at once share transactions, and each gets the result of its own report.
func TestCallersShareCommits(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		const callers = 50
		errs := make(chan error, callers)
		for i := range callers {
			go func() {
				r, err := schema.Normalize(schema.User, map[string]any{"userName": hub.NewID().String()})
				if err == nil {
					var results []hub.Result
					results, err = w.h.Ingest(w.ctx(), hub.Report{Source: "test", Key: string(rune('a' + i)), Type: schema.User, Resource: &r})
					if err == nil {
						err = results[0].Err
					}
				}
				errs <- err
			}()
		}
		for range callers {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if _, total, err := w.h.Entries(w.ctx(), schema.User, hub.ID{}, 10); err != nil || total != callers {
			t.Errorf("%d entries, %v", total, err)
		}
	})
}

// References resolve when their target comes, whatever comes first, and a party is told its own id of a target only if
// that target is told to it too.
func TestReferences(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		const manager = schema.EnterpriseUser + ":manager"
		p := w.party(hub.PartyRequest{})
		anna := w.person("anna", map[string]any{schema.EnterpriseUser: map[string]any{"manager": map[string]any{"value": "bert"}}})
		w.grant(p, anna, "manager")
		cursor := w.now(p)
		managerOf := func() any {
			v := must(w.h.Subject(w.ctx(), p.caller, w.subjectID(p, anna)))(t)
			extension, _ := v.Resource[schema.EnterpriseUser].(map[string]any)
			m, _ := extension["manager"].(map[string]any)
			return m["value"]
		}
		if got := managerOf(); got != nil {
			t.Errorf("an unknown target was told: %v", got)
		}
		bert := w.person("bert", nil)
		page := w.delta(p, cursor, 10)
		if len(page.Changes) != 1 || len(page.Changes[0].Attributes) != 1 || page.Changes[0].Attributes[0] != manager {
			t.Errorf("resolving is a change: %+v", page.Changes)
		}
		if got := managerOf(); got != nil {
			t.Errorf("a target that the party may not know was told: %v", got)
		}
		w.grant(p, bert, "title")
		if got := managerOf(); got != w.subjectID(p, bert) {
			t.Errorf("manager is %v, want the party's id of bert", got)
		}
	})
}

// the same batch.
func TestTargetGoesBesideAnotherChange(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		const manager = schema.EnterpriseUser + ":manager"
		p := w.party(hub.PartyRequest{})
		report := func(title string) hub.Report {
			r := must(schema.Normalize(schema.User, map[string]any{"userName": "anna", "title": title,
				schema.EnterpriseUser: map[string]any{"manager": map[string]any{"value": "bert"}}}))(t)
			return hub.Report{Source: "test", Key: "anna", Type: schema.User, Resource: &r}
		}
		bert := w.person("bert", nil)
		anna := w.ingest(report("Clerk")).Entry
		w.grant(p, anna, "title", "manager")
		w.grant(p, bert, "title")
		cursor := w.now(p)
		must(w.h.Ingest(w.ctx(), report("Cook"), hub.Report{Entry: bert.ID, Gone: true}))(t)
		if page := w.delta(p, cursor, 10); !names(page, w.subjectID(p, anna), manager) {
			t.Errorf("gone: %+v", page.Changes)
		}
		cursor = w.now(p)
		b := must(schema.Normalize(schema.User, map[string]any{"userName": "bert"}))(t)
		must(w.h.Ingest(w.ctx(), report("Clerk"), hub.Report{Source: "test", Key: "bert", Type: schema.User, Resource: &b}))(t)
		if page := w.delta(p, cursor, 10); !names(page, w.subjectID(p, anna), manager) {
			t.Errorf("come: %+v", page.Changes)
		}
	})
}

func names(page events.Page, id, name string) bool {
	return slices.ContainsFunc(page.Changes, func(it events.Item) bool { return it.ID == id && slices.Contains(it.Attributes, name) })
}

// A key means one object: a report of another type is refused and changes nothing.
func TestKeyOfAnotherType(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		anna := w.person("anna", map[string]any{"title": "Clerk"})
		g := must(schema.Normalize(schema.Group, map[string]any{"displayName": "Anna's"}))(t)
		results := must(w.h.Ingest(w.ctx(), hub.Report{Source: "test", Key: "anna", Type: schema.Group, Resource: &g}))(t)
		if results[0].Err == nil {
			t.Errorf("taken: %+v", results[0])
		}
		if e := must(w.h.Entry(w.ctx(), anna.ID))(t); e.Attributes["title"] != "Clerk" {
			t.Errorf("now %v", e.Attributes)
		}
	})
}

// Whether a target may be told is a part of what the attribute that names it says: a grant of the target that begins or
// ends is a change of it, for that party alone, so that no copy without it is called current.
func TestGrantOfATargetIsAChange(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		const manager = schema.EnterpriseUser + ":manager"
		p, other := w.party(hub.PartyRequest{}), w.party(hub.PartyRequest{Name: "other"})
		bert := w.person("bert", nil)
		anna := w.person("anna", map[string]any{schema.EnterpriseUser: map[string]any{"manager": map[string]any{"value": "bert"}}})
		w.grant(p, anna, "title", "manager")
		w.grant(other, anna, "manager")
		fetch := func() string { return must(w.h.Subject(w.ctx(), p.caller, w.subjectID(p, anna)))(t).ETag }
		tag, cursor, beside := fetch(), w.now(p), w.now(other)
		for _, step := range []func(){
			func() { w.grant(p, bert, "title") },
			func() { w.revoke(w.grant(p, bert, "title")) },
			func() {
				must(w.h.Grant(w.ctx(), "test", hub.GrantRequest{Entry: bert.ID, Party: p.ID, Attributes: []string{"title"}, Until: w.clock.Add(time.Minute)}))(t)
			},
			func() {
				w.clock = w.clock.Add(time.Hour)
				if err := w.h.Sweep(w.ctx()); err != nil {
					t.Fatal(err)
				}
			},
		} {
			step()
			page := w.delta(p, cursor, 10)
			if !names(page, w.subjectID(p, anna), manager) {
				t.Errorf("read %+v", page.Changes)
			}
			now := fetch()
			if now == tag {
				t.Errorf("another value under the version %s", tag)
			}
			tag, cursor = now, page.Cursor
		}
		if page := w.delta(other, beside, 10); len(page.Changes) != 0 {
			t.Errorf("a party was told of another's grants: %+v", page.Changes)
		}
	})
}

// A target that many entries name is told of in several transactions, none of them wider than any other.
func TestGrantOfATargetOfMany(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{})
		bert := w.person("bert", nil)
		var reports []hub.Report
		for i := range hub.MaxMoves + 10 {
			r := must(schema.Normalize(schema.User, map[string]any{"userName": fmt.Sprint(i),
				schema.EnterpriseUser: map[string]any{"manager": map[string]any{"value": "bert"}}}))(t)
			reports = append(reports, hub.Report{Source: "test", Key: fmt.Sprint(i), Type: schema.User, Resource: &r})
		}
		var items []hub.Item
		for _, r := range must(w.h.Ingest(w.ctx(), reports...))(t) {
			g := hub.Grant{ID: hub.NewID(), Party: p.ID, Entry: r.Entry.ID, Terms: consent.Terms{
				Attributes: []string{schema.EnterpriseUser + ":manager"}, Purposes: consent.Transfer | consent.Notify}}
			items = append(items, hub.Item{Grant: &hub.GrantWrite{Grant: g}, Lines: []hub.Change{{Kind: hub.Granted}}})
		}
		for len(items) > 0 {
			items = items[must(w.store.Commit(w.ctx(), hub.Batch{Now: w.clock.UnixMicro(), Items: items}))(t).Done:]
		}
		cursor, before := w.now(p), must(w.store.Head(w.ctx()))(t).Position
		w.grant(p, bert, "title")
		if moved := must(w.store.Head(w.ctx()))(t).Position - before; moved > hub.MaxMoves+1 {
			t.Errorf("one transaction took %d positions", moved)
		}
		if err := w.h.FinishEchoes(w.ctx()); err != nil {
			t.Fatal(err)
		}
		told := 0
		for page := w.delta(p, cursor, 1000); ; page = w.delta(p, page.Cursor, 1000) {
			told += len(page.Changes)
			if !page.More {
				break
			}
		}
		if want := len(reports) + 1; told != want {
			t.Errorf("told of %d, want %d", told, want)
		}
	})
}

// A key that an entry gave up means nobody, or whoever is called so now: pointers by it do not stay with the entry.
func TestKeyGivenUp(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		user := func(key, name string, aliases ...string) *hub.Entry {
			r := must(schema.Normalize(schema.User, map[string]any{"userName": name}))(t)
			return w.ingest(hub.Report{Source: "test", Key: key, Aliases: aliases, Type: schema.User, Resource: &r}).Entry
		}
		a := user("1", "anna", "dn=x")
		g := must(schema.Normalize(schema.Group, map[string]any{"displayName": "G", "members": []any{map[string]any{"value": "dn=x"}}}))(t)
		w.ingest(hub.Report{Source: "test", Key: "g", Type: schema.Group, Resource: &g})
		p := w.party(hub.PartyRequest{})
		w.grant(p, a, "groups")
		cursor := w.now(p)
		user("1", "anna", "dn=y")
		if page := w.delta(p, cursor, 10); !names(page, w.subjectID(p, a), "groups") {
			t.Errorf("the end of a membership: %+v", page.Changes)
		}
		b := user("2", "bert", "dn=x")
		_, toA, _ := w.store.References(w.ctx(), a.ID)
		_, toB, _ := w.store.References(w.ctx(), b.ID)
		if len(toA) != 0 || len(toB) != 1 {
			t.Errorf("to the one that gave it up %v, to the one that has it %v", toA, toB)
		}
	})
}

// A batch is decided while the one before it is committed, yet not against what that one is about to change: here the
// second says what stood there before the first.
func TestReportsApplyInOrderAcrossBatches(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		const people = 500
		report := func(title string) (all []hub.Report) {
			for i := range people {
				key := fmt.Sprint("p", i)
				r := must(schema.Normalize(schema.User, map[string]any{"userName": key, "title": title}))(t)
				all = append(all, hub.Report{Source: "test", Key: key, Type: schema.User, Resource: &r})
			}
			return all
		}
		must(w.h.Ingest(w.ctx(), slices.Concat(report("Clerk"), report("Cook"), report("Clerk"))...))(t)
		for i := range people {
			name := fmt.Sprint("p", i)
			if e := must(w.store.ByUserName(w.ctx(), name))(t); e.Attributes["title"] != "Clerk" || e.Version != 3 {
				t.Fatalf("%s is a %v in version %d", name, e.Attributes["title"], e.Version)
			}
		}
	})
}
