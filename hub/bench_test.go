package hub_test

import (
	"crypto"
	"encoding/base64"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
	"golang.org/x/sync/errgroup"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/hub/schema"
	"tidings/subscriptions"
)

// Each benchmark does the same work in turn with the hub and with its bare baseline, so that whatever else the machine
// does falls on both, and prints their ratio: "of-bare" is the hub's rate by the baseline's (more is better),
// "times-bare" the hub's time by the baseline's (less is better).

// contest sums what the two sides took.
type contest struct {
	b         *testing.B
	hub, bare time.Duration
}

// round lets both do the same work once. Only the hub's part counts for the benchmark's own figures.
func (c *contest) round(bare, hub func()) {
	c.b.StopTimer()
	began := time.Now()
	bare()
	c.bare += time.Since(began)
	c.b.StartTimer()
	began = time.Now()
	hub()
	c.hub += time.Since(began)
}

// rates reports things per second, with each things a round.
func (c *contest) rates(things string, each int) {
	n := float64(c.b.N * each)
	c.b.ReportMetric(n/c.hub.Seconds(), things+"/s")
	c.b.ReportMetric(n/c.bare.Seconds(), "bare-"+things+"/s")
	c.b.ReportMetric(c.bare.Seconds()/c.hub.Seconds(), "of-bare")
}

// town is a hub with people.
type town struct {
	b     *testing.B
	h     *hub.Hub
	store hub.Store
}

func newTown(b *testing.B, p site) *town {
	store := p.open()
	b.Cleanup(func() { store.Close() })
	h := must(hub.Open(b.Context(), store, hub.NewKeyFile(), hub.Config{Issuer: "https://hub.example.com", AllowInsecureReceivers: true}))(b)
	return &town{b, h, store}
}

// batch is how many reports the hub commits together; portion is how many are reported at once, as an import does.
const (
	batch   = 500
	portion = 4 * batch
)

// person is what a directory says of somebody, the n-th time.
func person(key string, n int) schema.Resource {
	r, err := schema.Normalize(schema.User, map[string]any{
		"userName": key, "displayName": "Person " + key, "title": fmt.Sprint("Engineer ", n), "preferredLanguage": "en",
		"name":         map[string]any{"givenName": "Given", "familyName": "Family " + key, "formatted": "Given Family " + key},
		"emails":       []any{map[string]any{"value": key + "@example.com", "type": "work", "primary": true}},
		"phoneNumbers": []any{map[string]any{"value": "tel:+1-201-555-0123", "type": "work"}},
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": map[string]any{"employeeNumber": key, "department": "Research"},
	})
	if err != nil {
		panic(err)
	}
	return r
}

func reports(from, count, n int) []hub.Report {
	out := make([]hub.Report, count)
	for i := range out {
		key := fmt.Sprintf("person-%07d", from+i)
		r := person(key, n)
		out[i] = hub.Report{Source: "bench", Key: key, Type: schema.User, Resource: &r}
	}
	return out
}

// ingest reports in batches and returns the results.
func (t *town) ingest(all []hub.Report) (results []hub.Result) {
	for some := range slices.Chunk(all, portion) {
		for _, r := range must(t.h.Ingest(t.b.Context(), some...))(t.b) {
			if r.Err != nil || r.Kind == "" {
				t.b.Fatalf("not taken: %q %v", r.Kind, r.Err)
			}
			results = append(results, r)
		}
	}
	return results
}

// party makes a relying party and its caller.
func (t *town) party() (hub.Party, hub.Caller) {
	p, token, err := t.h.AddParty(t.b.Context(), "bench", hub.PartyRequest{Name: "shop"})
	if err != nil {
		t.b.Fatal(err)
	}
	return p, must(t.h.Authenticate(t.b.Context(), token))(t.b)
}

var granted = []string{"displayName", "emails", "name", "title"}

// grant lets parties know people, a full transaction at a time.
func (t *town) grant(parties []hub.Party, people []*hub.Entry) (grants []*hub.Grant) {
	var items []hub.Item
	for _, e := range people {
		for _, p := range parties {
			g := hub.Grant{ID: hub.NewID(), Party: p.ID, Entry: e.ID, Terms: consent.Terms{Attributes: granted, Purposes: consent.Transfer | consent.Notify}}
			items = append(items, hub.Item{Grant: &hub.GrantWrite{Grant: g}, Lines: []hub.Change{{Kind: hub.Granted, Entry: e.ID, Party: p.ID}}})
		}
	}
	for some := range slices.Chunk(items, hub.MaxMoves) {
		receipt := must(t.store.Commit(t.b.Context(), hub.Batch{Now: 1, Items: some}))(t.b)
		if receipt.Done != len(some) || slices.ContainsFunc(receipt.Errors, func(err error) bool { return err != nil }) {
			t.b.Fatal("grants were refused")
		}
		grants = append(grants, receipt.Grants...)
	}
	return grants
}

// people makes entries without the detour through reports.
func (t *town) people(from, count int) (people []*hub.Entry) {
	for len(people) < count {
		var items []hub.Item
		for i := range min(batch, count-len(people)) {
			key := fmt.Sprintf("person-%07d", from+len(people)+i)
			r := person(key, 0)
			e := hub.Entry{ID: hub.NewID(), Type: schema.User, Source: "bench", Attributes: r.Attributes, Active: true}
			items = append(items, hub.Item{
				Entry: &hub.EntryWrite{Entry: e, UserName: key, Keys: []string{key}},
				Lines: []hub.Change{{Kind: hub.Created, Entry: e.ID, Source: "bench", Attributes: append(schema.Diff(schema.User, nil, r.Attributes), "active")}},
			})
		}
		receipt := must(t.store.Commit(t.b.Context(), hub.Batch{Now: 1, Items: items}))(t.b)
		people = append(people, receipt.Entries...)
	}
	return people
}

func entriesOf(results []hub.Result) (entries []*hub.Entry) {
	for _, r := range results {
		entries = append(entries, r.Entry)
	}
	return entries
}

// BenchmarkIngest reports 2,000 people, new ones and known ones with a changed title that one party was granted. Bare: the
// same rows inserted and updated by prepared statements (PostgreSQL: arrays), with the same transactions of 500 people.
// To be at least 0.5 of it.
func BenchmarkIngest(b *testing.B) {
	b.Run("create", func(b *testing.B) { onBoth(b, benchCreate) })
	b.Run("update", func(b *testing.B) { onBoth(b, benchUpdate) })
}

func benchCreate(b *testing.B, sites func() site) {
	t, other := newTown(b, sites()), sites()
	other.open().Close()
	db := other.bare()
	c := &contest{b: b}
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		all, rows := reports(n*portion, portion, 0), make([]bareRow, portion)
		for i, r := range all {
			names := append(schema.Diff(schema.User, nil, r.Resource.Attributes), "active")
			at := int64(n*portion + i + 1)
			rows[i] = encode(hub.NewID(), r.Key, r.Resource.Attributes, hub.Marks(nil).Stamp(at, names...), strings.Join(names, " "), at, 1)
		}
		c.round(func() { inBatches(rows, db.create) }, func() { t.ingest(all) })
	}
	c.rates("entries", portion)
}

func benchUpdate(b *testing.B, sites func() site) {
	const people = 4000
	fill := func(p site) (*town, []*hub.Entry, []*hub.Grant) {
		t := newTown(b, p)
		party, _ := t.party()
		entries := entriesOf(t.ingest(reports(0, people, 0)))
		return t, entries, t.grant([]hub.Party{party}, entries)
	}
	t, _, _ := fill(sites())
	other := sites()
	o, entries, grants := fill(other)
	position := must(o.store.Head(b.Context()))(b).Position
	db := other.bare()
	c := &contest{b: b}
	for n := 1; b.Loop(); n++ {
		b.StopTimer()
		from := n * portion % people
		all, rows := reports(from, portion, n), make([]bareRow, portion)
		for i, r := range all {
			e := entries[from+i]
			position++
			rows[i] = encode(e.ID, r.Key, r.Resource.Attributes, e.Marks.Stamp(position, "title"), "title", position, int64(n+1))
			rows[i].grant = grants[from+i].ID[:]
		}
		c.round(func() { inBatches(rows, db.update) }, func() { t.ingest(all) })
	}
	c.rates("entries", portion)
}

func inBatches(rows []bareRow, write func([]bareRow)) {
	for some := range slices.Chunk(rows, batch) {
		write(some)
	}
}

// BenchmarkDelta reads a page of 200 in the middle of a feed: within a snapshot, and of changes after one. Bare: the
// same index range joined with its entries. To take at most 1.5 times as long, however large the store is.
func BenchmarkDelta(b *testing.B) {
	b.Run("10000x20", func(b *testing.B) {
		onBoth(b, func(b *testing.B, sites func() site) { benchDelta(b, sites(), 10_000, 20) })
	})
	if os.Getenv("BIG") != "" {
		b.Run("1000000x1", func(b *testing.B) {
			onBoth(b, func(b *testing.B, sites func() site) { benchDelta(b, sites(), 1_000_000, 1) })
		})
	}
}

func benchDelta(b *testing.B, p site, people, parties int) {
	const limit, changed = 200, 1000
	t := newTown(b, p)
	var all []hub.Party
	var caller hub.Caller
	for range parties {
		party, c := t.party()
		all, caller = append(all, party), c
	}
	last := all[len(all)-1]
	for done := 0; done < people; done += batch {
		t.grant(all, t.people(done, batch))
	}
	db := p.bare()
	measure := func(b *testing.B, cursor string, after int64) {
		c := &contest{b: b}
		for b.Loop() {
			c.round(func() {
				if n := db.page(last.ID, after, limit); n != limit {
					b.Fatalf("%d rows", n)
				}
			}, func() {
				page, err := t.h.Delta(b.Context(), caller, cursor, limit, 0)
				if err != nil || len(page.Changes) != limit {
					b.Fatalf("%d changes, %v", len(page.Changes), err)
				}
			})
		}
		b.ReportMetric(c.hub.Seconds()/c.bare.Seconds(), "times-bare")
		b.ReportMetric(float64(c.bare.Nanoseconds())/float64(b.N), "bare-ns/op")
	}
	b.Run("snapshot", func(b *testing.B) {
		page := events.Page{}
		for n := 0; n < people/2; n += len(page.Changes) {
			page = must(t.h.Delta(b.Context(), caller, page.Cursor, 1000, 0))(b)
		}
		// The bare page begins somewhere in the middle too: which rows they are changes nothing.
		measure(b, page.Cursor, must(t.store.Head(b.Context()))(b).Position/2)
	})
	b.Run("changes", func(b *testing.B) {
		cursor := must(t.h.Delta(b.Context(), caller, "now", 1, 0))(b).Cursor
		after := must(t.store.Head(b.Context()))(b).Position
		t.ingest(reports(people/2, changed, int(after)))
		measure(b, cursor, after)
	})
}

// BenchmarkSign issues, makes, signs, begins and settles tokens about changed people, as push and poll do; RS256 costs so
// much more that the rest hardly shows. Bare: jwx signing finished payloads of the same size on the same cores, kept nowhere.
func BenchmarkSign(b *testing.B) {
	for _, alg := range []events.Algorithm{events.ES256, events.RS256} {
		b.Run(string(alg), func(b *testing.B) {
			onBoth(b, func(b *testing.B, sites func() site) { benchmarkSign(b, sites, alg) })
		})
	}
}

func benchmarkSign(b *testing.B, sites func() site, alg events.Algorithm) {
	const people, window = 1000, 128
	t := newTown(b, sites())
	party, caller := t.party()
	t.grant([]hub.Party{party}, entriesOf(t.ingest(reports(0, people, 0))))
	settings := subscriptions.Settings{Algorithm: alg, Delivery: subscriptions.Delivery{Method: events.MethodPoll}}
	stream := must(t.h.CreateStream(b.Context(), caller, settings))(b)
	key := must(events.GenerateKey(alg))(b)
	var payload []byte
	c := &contest{b: b}
	for n := 1; b.Loop(); n++ {
		b.StopTimer()
		t.ingest(reports(0, people, n))
		if payload == nil {
			payload = t.payload(stream)
			t.ingest(reports(0, 1, n+1_000_000))
		}
		c.round(func() { signAll(b, alg, key, payload, people) }, func() { t.send(stream, people, window) })
	}
	c.rates("tokens", people)
}

// send takes everything that a stream has, settling each portion before the next.
func (t *town) send(stream *hub.Stream, want, window int) {
	for got := 0; got < want; {
		out, _, err := t.h.Next(t.b.Context(), stream.ID, "bench", time.Minute, window)
		if err != nil || len(out) == 0 {
			t.b.Fatalf("%d tokens of %d, %v", got, want, err)
		}
		t.settle(stream, out)
		got += len(out)
	}
}

func (t *town) settle(stream *hub.Stream, out []hub.Outgoing) {
	outcomes := make([]hub.Outcome, len(out))
	for i, o := range out {
		outcomes[i] = hub.Outcome{JTI: o.JTI, Next: subscriptions.Done}
	}
	if err := t.h.Settle(t.b.Context(), stream.ID, outcomes); err != nil {
		t.b.Fatal(err)
	}
}

// payload takes one token from a stream and returns its claims.
func (t *town) payload(stream *hub.Stream) []byte {
	out, _, err := t.h.Next(t.b.Context(), stream.ID, "bench", time.Minute, 1)
	if err != nil || len(out) != 1 {
		t.b.Fatal(len(out), err)
	}
	t.settle(stream, out)
	return must(base64.RawURLEncoding.DecodeString(strings.Split(string(out[0].Compact), ".")[1]))(t.b)
}

// signAll signs a payload n times, on all cores.
func signAll(b *testing.B, alg events.Algorithm, key crypto.Signer, payload []byte, n int) {
	var g errgroup.Group
	cores := runtime.GOMAXPROCS(0)
	for range cores {
		g.Go(func() error {
			for range n / cores {
				if _, err := jws.Sign(payload, jws.WithKey(jwa.SignatureAlgorithm(alg), key)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}
