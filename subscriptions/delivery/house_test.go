package delivery

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/hub/schema"
	"tidings/hub/store/sqlite"
	"tidings/subscriptions"
)

const issuer = "https://hub.example.com"

// house is a real hub on a real store.
type house struct {
	t   testing.TB
	ctx context.Context
	*hub.Hub
	store hub.Store
	key   []byte // of the store's secrets, for another node
}

func newHouse(t testing.TB) *house {
	h, _ := newStoredHouse(t)
	return h
}

func newStoredHouse(t testing.TB) (*house, hub.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	store, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "hub.db"))
	if err != nil {
		t.Fatal(err)
	}
	key := hub.NewKeyFile()
	h, err := hub.Open(ctx, store, key, hub.Config{Issuer: issuer, AllowInsecureReceivers: true})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if problems, err := store.Check(context.Background()); err != nil || len(problems) > 0 {
			t.Errorf("fsck: %v %q", err, problems)
		}
		store.Close()
	})
	return &house{t: t, ctx: ctx, Hub: h, store: store, key: key}, store
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// person makes a person, or changes her title.
func (h *house) person(name, title string) *hub.Entry {
	h.t.Helper()
	results := must(h.Ingest(h.ctx, h.report(name, title)))(h.t)
	if results[0].Err != nil {
		h.t.Fatal(results[0].Err)
	}
	return results[0].Entry
}

func (h *house) report(name, title string) hub.Report {
	h.t.Helper()
	r := must(schema.Normalize(schema.User, map[string]any{"userName": name, "title": title}))(h.t)
	return hub.Report{Source: "test", Key: name, Type: schema.User, Resource: &r}
}

type testParty struct {
	hub.Party
	caller hub.Caller
}

func (h *house) party(origins ...string) testParty {
	h.t.Helper()
	p, token, err := h.AddParty(h.ctx, "test", hub.PartyRequest{Name: "shop", Origins: origins})
	if err != nil {
		h.t.Fatal(err)
	}
	return testParty{p, must(h.Authenticate(h.ctx, token))(h.t)}
}

func (h *house) grant(p testParty, e *hub.Entry) *hub.Grant {
	h.t.Helper()
	return must(h.Grant(h.ctx, "test", hub.GrantRequest{Entry: e.ID, Party: p.ID, Attributes: []string{"title"}}))(h.t)
}

func (h *house) stream(p testParty, d subscriptions.Delivery) *hub.Stream {
	h.t.Helper()
	return must(h.CreateStream(h.ctx, p.caller, subscriptions.Settings{Delivery: d}))(h.t)
}

func (h *house) subject(p testParty, e *hub.Entry) string {
	h.t.Helper()
	return must(h.SubjectFor(h.ctx, p.Party, e))(h.t).Member("uri")
}

// set is what a receiver reads in a token.
type set struct {
	JTI     string
	Subject string `json:"-"`
	Type    events.Type
	Payload map[string]any
	compact string
}

func readSet(t testing.TB, compact string) set {
	t.Helper()
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		t.Fatalf("no compact token: %q", compact)
	}
	payload := must(base64.RawURLEncoding.DecodeString(parts[1]))(t)
	var claims struct {
		JTI   string                         `json:"jti"`
		SubID map[string]any                 `json:"sub_id"`
		Event map[events.Type]map[string]any `json:"events"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	s := set{JTI: claims.JTI, compact: compact}
	for _, name := range []string{"uri", "id", "sub"} {
		if text, ok := claims.SubID[name].(string); ok {
			s.Subject = text
		}
	}
	for s.Type, s.Payload = range claims.Event {
	}
	return s
}

// eventually waits for a condition that others bring about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(20 * time.Second); !holds(); <-look.C {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

type unlimited struct{}

func (unlimited) Take(string) error { return nil }

// allowance is how often something may be done yet.
type allowance struct{ left atomic.Int64 }

func (a *allowance) grant(n int64) { a.left.Add(n) }

func (a *allowance) Take(string) error {
	if a.left.Add(-1) < 0 {
		a.left.Add(1)
		return hub.ErrTooSoon
	}
	return nil
}
