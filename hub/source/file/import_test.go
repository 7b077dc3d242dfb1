package file_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"tidings/hub"
	"tidings/hub/schema"
	"tidings/hub/source/file"
	"tidings/hub/store/sqlite"
)

func newHub(t *testing.T) *hub.Hub {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "hub.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	h, err := hub.Open(t.Context(), store, hub.NewKeyFile(), hub.Config{Issuer: "https://hub.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if problems, err := h.Check(context.Background()); err != nil || problems != nil {
			t.Errorf("fsck: %v %v", problems, err)
		}
	})
	return h
}

func load(t *testing.T, to file.Ingester, in io.Reader) file.Summary {
	t.Helper()
	sum, err := file.Import(t.Context(), in, to, file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := sum.Created + sum.Updated + sum.Unchanged + sum.Containers + len(sum.Refused); n != sum.Read {
		t.Errorf("read %d records, accounted for %d", sum.Read, n)
	}
	return sum
}

// counts of a summary: read, created, updated, unchanged, containers, refused, dangling.
func counts(s file.Summary) [7]int {
	return [7]int{s.Read, s.Created, s.Updated, s.Unchanged, s.Containers, len(s.Refused), len(s.Dangling)}
}

func user(t *testing.T, h *hub.Hub, userName string) *hub.Entry {
	t.Helper()
	e, err := h.EntryByUserName(t.Context(), userName)
	if err != nil {
		t.Fatalf("%s: %v", userName, err)
	}
	return e
}

func entries(t *testing.T, h *hub.Hub, of schema.Type) []*hub.Entry {
	t.Helper()
	all, _, err := h.Entries(t.Context(), of, hub.ID{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestImportMaps(t *testing.T) {
	h := newHub(t)
	sum := load(t, h, open(t, "testdata/mapping.ldif"))
	if want := [7]int{10, 6, 0, 0, 4, 0, 2}; counts(sum) != want {
		t.Fatalf("%v, want %v: %+v", counts(sum), want, sum)
	}
	const enterprise = schema.EnterpriseUser
	chief := "cn=chief\\, the,ou=staff,dc=example,dc=org"
	list := func(v ...any) []any { return v }
	type object = map[string]any
	for name, want := range map[string]schema.Attributes{
		"rholt": {
			"externalId": "5d6c1f1e-6a53-4e0b-9c58-0d3c2c1d8b11",
			"userName":   "rholt",
			// cn as in the RDN, sn the first
			"name":        object{"formatted": "Runa Holt", "familyName": "Holt", "givenName": "Runa"},
			"displayName": "Runa H.",
			"emails": list(object{"value": "runa@example.org", "type": "work", "primary": true},
				object{"value": "press@example.org", "type": "work"}),
			"phoneNumbers": list(object{"value": "+44 1632 960001", "type": "work"}, object{"value": "+44 7700 900001", "type": "mobile"}),
			"title":        "Pilot", "preferredLanguage": "nb-NO", "userType": "Employee",
			enterprise: object{"employeeNumber": "7", "department": "42", "organization": "Example", "manager": object{"value": chief}},
		},
		"chief@example.org": { // no uid: mail
			"externalId": chief, "userName": "chief@example.org",
			"name":   object{"formatted": "Chief, The", "familyName": "Chief"},
			"emails": list(object{"value": "chief@example.org", "type": "work", "primary": true}),
		},
		"Nameless": { // neither uid nor mail: RDN
			"externalId": "cn=nameless+sn=less,ou=staff,dc=example,dc=org", "userName": "Nameless",
			"name":     object{"formatted": "Namenlos", "familyName": "Less"},
			enterprise: object{"manager": object{"value": "cn=gone,ou=staff,dc=example,dc=org"}},
		},
		"plain": {
			"externalId": "uid=plain,ou=staff,dc=example,dc=org", "userName": "plain", "name": object{"familyName": "Plain"},
		},
	} {
		if e := user(t, h, name); !reflect.DeepEqual(e.Attributes, want) || !e.Active || e.Source != "file" {
			t.Errorf("%s: got\n%v\nwant\n%v", name, e.Attributes, want)
		}
	}
	groups := map[any]any{}
	for _, e := range entries(t, h, schema.Group) {
		groups[e.Attributes["displayName"]] = e.Attributes["members"]
	}
	if want := map[any]any{
		"Crew":  list(object{"value": "cn=runa holt,ou=staff,dc=example,dc=org"}, object{"value": "cn=watch,dc=example,dc=org"}),
		"Watch": list(object{"value": chief}, object{"value": "ou=staff,dc=example,dc=org"}),
	}; !reflect.DeepEqual(groups, want) {
		t.Errorf("groups %v, want %v", groups, want)
	}
	// A container is nobody.
	if want := []file.Dangling{
		{50, enterprise + ":manager", "cn=gone,ou=staff,dc=example,dc=org"},
		{81, "members", "ou=staff,dc=example,dc=org"},
	}; !slices.Equal(sum.Dangling, want) {
		t.Errorf("dangling %v, want %v", sum.Dangling, want)
	}
}

// TestImportResolves: references find their target before or after it, whatever the spelling of the DN, and although the
// target is known by its entryUUID.
func TestImportResolves(t *testing.T) {
	h := newHub(t)
	load(t, h, open(t, "testdata/mapping.ldif"))
	doc, err := h.Document(t.Context(), user(t, h, "rholt"))
	if err != nil {
		t.Fatal(err)
	}
	manager := doc[schema.EnterpriseUser].(map[string]any)["manager"].(map[string]any)["value"]
	if want := user(t, h, "chief@example.org").ID.String(); manager != want {
		t.Errorf("manager %v, want %v", manager, want)
	}
	if groups := fmt.Sprint(doc["groups"]); !strings.Contains(groups, "Crew") {
		t.Errorf("groups %v", groups)
	}
}

// TestImportTakesNoPassword: neither a value nor the fact gets through (a directory's export always has them all).
func TestImportTakesNoPassword(t *testing.T) {
	spy := &spy{}
	load(t, spy, open(t, "testdata/mapping.ldif"))
	text, err := json.Marshal(spy.reports)
	if err != nil {
		t.Fatal(err)
	}
	if len(spy.reports) != 6 || strings.Contains(string(text), "marker-secret") || strings.Contains(string(text), "SSHA") {
		t.Errorf("%d reports: %s", len(spy.reports), text)
	}
	for _, r := range spy.reports {
		if r.Resource.Password || r.Names == nil {
			t.Errorf("%s: password %v, names %v", r.Key, r.Resource.Password, r.Names)
		}
	}
	h := newHub(t)
	load(t, h, open(t, "testdata/mapping.ldif"))
	load(t, h, strings.NewReader("dn: uid=plain,ou=Staff,dc=example,dc=org\nobjectClass: person\nuid: plain\nsn: Plain\nuserPassword: new\n"))
	changes, err := h.Changes(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if c.Kind != hub.Created && !slices.Equal(c.Attributes, []string{"groups"}) {
			t.Errorf("change %v of %v", c.Kind, c.Attributes)
		}
	}
}

// TestImportAgain: the same file changes nothing; another face's attributes stay as they are; what left the file leaves
// the entry.
func TestImportAgain(t *testing.T) {
	h := newHub(t)
	load(t, h, open(t, "testdata/mapping.ldif"))
	head, err := h.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := load(t, h, open(t, "testdata/mapping.ldif"))
	if want := [7]int{10, 0, 0, 6, 4, 0, 2}; counts(sum) != want {
		t.Errorf("again: %v, want %v", counts(sum), want)
	}
	if now, err := h.Head(t.Context()); err != nil || now.Position != head.Position {
		t.Errorf("the head moved from %d to %d (%v)", head.Position, now.Position, err)
	}
	results, err := h.Ingest(t.Context(), hub.Report{Entry: user(t, h, "rholt").ID, Actor: "test",
		Patch: []byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[
			{"op":"add","path":"nickName","value":"Ru"},{"op":"add","path":"name.middleName","value":"M"},{"op":"replace","path":"active","value":false}]}`)})
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	moved := "dn: cn=Runa Holt,ou=Gone,dc=example,dc=org\nobjectClass: person\ncn: Runa Holt\nsn: Holt\nuid: rholt\n" +
		"entryUUID: 5d6c1f1e-6a53-4e0b-9c58-0d3c2c1d8b11\n"
	if sum = load(t, h, strings.NewReader(moved)); sum.Updated != 1 {
		t.Errorf("moved: %+v", sum)
	}
	e := user(t, h, "rholt")
	if want := (schema.Attributes{
		"externalId": "5d6c1f1e-6a53-4e0b-9c58-0d3c2c1d8b11", "userName": "rholt", "nickName": "Ru",
		"name": map[string]any{"formatted": "Runa Holt", "familyName": "Holt", "middleName": "M"},
	}); !reflect.DeepEqual(e.Attributes, want) || e.Active {
		t.Errorf("active %v, %v, want %v", e.Active, e.Attributes, want)
	}
}

func TestImportRefusesRecordByRecord(t *testing.T) {
	h := newHub(t)
	sum := load(t, h, open(t, "testdata/broken.ldif"))
	if want := [7]int{20, 3, 0, 0, 0, 17, 0}; counts(sum) != want {
		t.Errorf("%v, want %v", counts(sum), want)
	}
	mapped := map[int]string{}
	for _, r := range sum.Refused {
		if r.DN != "" {
			mapped[r.Line] = r.Reason
		}
	}
	if want := map[int]string{
		48: "sn is not UTF-8 text",
		58: "dn is not a distinguished name",
		62: "member is not a distinguished name",
		72: "dn stood in the file before",
		77: "its userName or its dn belongs to another entry",
		87: "entryuuid stood in the file before",
	}; !reflect.DeepEqual(mapped, want) {
		t.Errorf("refused %v, want %v", mapped, want)
	}
	if !slices.IsSortedFunc(sum.Refused, func(a, b file.Refusal) int { return a.Line - b.Line }) {
		t.Error("refusals are not in the order of the file")
	}
	// Whole or not at all: of the refused nothing is there.
	for _, e := range entries(t, h, schema.User) {
		if name := e.Attributes["userName"]; name != "good1" && name != "good2" && name != "id1" {
			t.Errorf("%v came in", name)
		}
	}
	if e := user(t, h, "good1"); e.Attributes["name"].(map[string]any)["familyName"] != "One" || e.Version != 1 {
		t.Errorf("good1 was touched: %v", e.Attributes)
	}
}

// TestImportInBatches: more than one transaction holds, with a reference to the last record in the first.
func TestImportInBatches(t *testing.T) {
	var b strings.Builder
	const people = 4321
	for i := range people {
		fmt.Fprintf(&b, "dn: uid=p%d,dc=example,dc=org\nobjectClass: person\nuid: p%d\nsn: P\nmanager: uid=p%d,dc=example,dc=org\n\n", i, i, (i+people-1)%people)
	}
	h := newHub(t)
	spy := &spy{to: h}
	var progress []int
	last := int64(0)
	sum, err := file.Import(t.Context(), strings.NewReader(b.String()), spy, file.Options{Source: "hr", Actor: "someone",
		Progress: func(bytes int64, records int) { last, progress = bytes, append(progress, records) }})
	if want := [7]int{people, people, 0, 0, 0, 0, 0}; err != nil || counts(sum) != want {
		t.Fatalf("%v %v, want %v", err, counts(sum), want)
	}
	if last != int64(b.Len()) || !slices.Equal(progress, []int{2000, 4000, people}) || spy.largest != 2000 {
		t.Errorf("progress %v, %d of %d bytes, batches of %d", progress, last, b.Len(), spy.largest)
	}
	changes, err := h.Changes(t.Context(), 0, 3*people)
	if err != nil || len(changes) < people {
		t.Fatal(len(changes), err)
	}
	for _, c := range changes {
		if c.Source != "hr" || c.Actor != "someone" || c.Txn != changes[0].Txn || c.Txn == "" {
			t.Fatalf("change %+v", c)
		}
	}
}

func TestImportEndsEarly(t *testing.T) {
	const good = "dn: uid=a,dc=org\nobjectClass: person\nuid: a\nsn: A\n\n"
	broken := errors.New("broken")
	h := newHub(t)
	sum, err := file.Import(t.Context(), io.MultiReader(strings.NewReader(good+"dn: uid=b,dc=org\nuid: b\n"), iotest.ErrReader(broken)), h, file.Options{})
	if !errors.Is(err, broken) || sum.Created != 1 || sum.Read != 1 {
		t.Errorf("a broken disk: %+v %v", sum, err)
	}
	if _, err := file.Import(t.Context(), strings.NewReader("\xfe\xff"), h, file.Options{}); !errors.Is(err, file.ErrNotLDIF) {
		t.Errorf("UTF-16: %v", err)
	}
	if _, err := file.Import(t.Context(), strings.NewReader(good), &spy{err: hub.ErrBusy}, file.Options{}); !errors.Is(err, hub.ErrBusy) {
		t.Errorf("busy: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if sum, err := file.Import(ctx, strings.NewReader(good), h, file.Options{}); !errors.Is(err, context.Canceled) || sum.Unchanged != 0 {
		t.Errorf("cancelled: %+v %v", sum, err)
	}
}

// TestSampleDirectory: the directory that the demo starts with goes in whole.
func TestSampleDirectory(t *testing.T) {
	h := newHub(t)
	sum := load(t, h, open(t, "../../../cmd/tidings/demo/people.ldif"))
	if want := [7]int{47, 44, 0, 0, 3, 0, 0}; counts(sum) != want {
		t.Errorf("%v, want %v: %+v", counts(sum), want, sum)
	}
}

// FuzzImport: whatever the file, an import ends, its counts add up, and what was marked as a password stays out.
func FuzzImport(f *testing.F) {
	f.Add("dn: uid=a,dc=org\nobjectClass: person\nuid: a\nsn:: /w==\nmail: \n")
	f.Add("dn: cn=a,dc=org\nobjectClass: group\nmember: cn=b\nuniqueMember: cn=c#'01'B\nentryUUID: x\n")
	f.Add("dn: \nobjectClass: inetOrgPerson\ncn;lang-de: \n\ndn:: AA==\nuid: a\nsn: b\n")
	f.Fuzz(func(t *testing.T, in string) {
		in = strings.ReplaceAll(in, "PASSWORD", "")
		in = strings.ReplaceAll(in, "\n\n", "\nuserPassword: PASSWORD\nuserPassword;x-a: PASSWORD\n\n")
		spy := &spy{}
		sum, err := file.Import(t.Context(), strings.NewReader(in+"\nuserPassword: PASSWORD"), spy, file.Options{})
		if err != nil && !errors.Is(err, file.ErrNotLDIF) {
			t.Fatal(err)
		}
		if sum.Created != len(spy.reports) || sum.Created+sum.Containers+len(sum.Refused) != sum.Read {
			t.Fatalf("%d reports: %+v", len(spy.reports), sum)
		}
		text, err := json.Marshal(spy.reports)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "PASSWORD") && !strings.Contains(strings.ReplaceAll(in, "userPassword: PASSWORD", ""), "PASSWORD") {
			t.Fatalf("a password got through: %s", text)
		}
		for _, r := range spy.reports {
			if r.Key == "" || r.Resource.Attributes == nil || r.Resource.Password {
				t.Fatalf("report %+v", r)
			}
		}
	})
}

// spy sees what an import says, and passes it on to a hub if it has one.
type spy struct {
	to      *hub.Hub
	err     error
	reports []hub.Report
	largest int
}

func (s *spy) Ingest(ctx context.Context, reports ...hub.Report) ([]hub.Result, error) {
	s.reports = append(s.reports, reports...)
	s.largest = max(s.largest, len(reports))
	if s.to != nil {
		return s.to.Ingest(ctx, reports...)
	}
	results := make([]hub.Result, len(reports))
	for i := range results {
		results[i] = hub.Result{Kind: hub.Created, Entry: &hub.Entry{ID: hub.NewID()}}
	}
	return results, s.err
}

func (s *spy) Unresolved(ctx context.Context, source string, limit int) ([]hub.Reference, error) {
	if s.to == nil {
		return nil, nil
	}
	return s.to.Unresolved(ctx, source, limit)
}
