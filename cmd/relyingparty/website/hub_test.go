package website

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings/hub"
	"tidings/hub/schema"
	"tidings/hub/store/sqlite"
	"tidings/subscriptions/delivery"
	"tidings/web"
	"tidings/web/api"
	"tidings/web/ssf"
)

// running is a hub with the faces that a website calls, and a website beside it.
type running struct {
	t     *testing.T
	hub   *hub.Hub
	party hub.Party
	site  *Site
	url   string // of the website
}

// start runs a hub with one person who shares a little, and a website that has its stream.
func start(t *testing.T) *running {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "hub.db"))
	must(t, err)
	t.Cleanup(func() { _ = store.Close() })
	hubListener, siteListener := listen(t), listen(t)
	issuer, origin := "http://"+hubListener.Addr().String(), "http://"+siteListener.Addr().String()
	h, err := hub.Open(t.Context(), store, hub.NewKeyFile(), hub.Config{Issuer: issuer, AllowInsecureReceivers: true})
	must(t, err)
	streams, err := ssf.Routes(h)
	must(t, err)
	log := slog.New(slog.DiscardHandler)
	handler, err := web.New(web.Config{Issuer: issuer, Log: log, Metrics: prometheus.NewRegistry(), Auth: h}, streams, api.Routes(h))
	must(t, err)
	party, token, err := h.AddParty(t.Context(), "test", hub.PartyRequest{Name: "Club"})
	must(t, err)
	site, err := New(Config{Name: "Club", URL: origin, Hub: issuer, Token: token, Log: log})
	must(t, err)

	r := &running{t: t, hub: h, party: party, site: site, url: origin}
	r.report("nora", map[string]any{"displayName": "Nora", "title": "Gardener", "nickName": "Secret"})
	r.grant("nora", "displayName", "title")

	ctx, stop := context.WithCancel(context.Background())
	server := web.NewServer(handler, log)
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	pusher := delivery.NewPusher(h, delivery.Outward{Insecure: true}, log)
	var all sync.WaitGroup
	all.Go(func() { _ = h.Run(ctx) })
	all.Go(func() { _ = pusher.Run(ctx) })
	all.Go(func() {
		if err := server.Serve(hubListener); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	all.Go(func() {
		if err := site.Serve(ctx, siteListener); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		_ = server.Close()
		all.Wait()
	})
	select {
	case <-site.Ready():
	case <-time.After(20 * time.Second):
		t.Fatal("the website never got its stream")
	}
	return r
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// report says how the directory knows a person.
func (r *running) report(userName string, attributes map[string]any) hub.ID {
	r.t.Helper()
	attributes["userName"] = userName
	resource, err := schema.Normalize(schema.User, attributes)
	must(r.t, err)
	results, err := r.hub.Ingest(r.t.Context(), hub.Report{Source: "test", Key: userName, Type: schema.User, Resource: &resource, Actor: "test"})
	must(r.t, err)
	must(r.t, results[0].Err)
	return results[0].Entry.ID
}

func (r *running) grant(userName string, attributes ...string) *hub.Grant {
	r.t.Helper()
	g, err := r.hub.Grant(r.t.Context(), "test", hub.GrantRequest{UserName: userName, Party: r.party.ID, Attributes: attributes})
	must(r.t, err)
	return g
}

// known is the id by which the website knows a person.
func (r *running) known(userName string) string {
	r.t.Helper()
	e, err := r.hub.EntryByUserName(r.t.Context(), userName)
	must(r.t, err)
	s, err := r.hub.SubjectFor(r.t.Context(), r.party, e)
	must(r.t, err)
	return strings.TrimPrefix(s.Member("uri"), "/Users/")
}

// received waits for a token of a type and about a person.
func (r *running) received(kind, id string) letter {
	r.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		mail, changed := r.site.mail.latest()
		for _, l := range mail {
			if l.Type == kind && l.ID == id {
				return l
			}
		}
		select {
		case <-changed:
		case <-deadline:
			r.t.Fatalf("no %s came; there are %v", kind, mail)
		}
	}
}

func (r *running) get(path string) (int, string) {
	r.t.Helper()
	return r.ask(http.MethodGet, path, "")
}
