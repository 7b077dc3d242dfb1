package hub_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"tidings/hub"
)

// AU-02, CI-19: a party takes a second token into use before the first one ends, each with its own scopes and end.
func TestPartyTokens(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.party(hub.PartyRequest{Name: "shop"})
		if !slices.Equal(p.caller.Scopes, hub.RoleParty.Scopes()) {
			t.Errorf("the first token may %v", p.caller.Scopes)
		}
		add := func(r hub.TokenRequest) (hub.Token, string, error) { return w.h.AddToken(w.ctx(), r) }
		second, text, err := add(hub.TokenRequest{Role: hub.RoleParty, Party: p.ID, Until: w.clock.Add(time.Hour),
			Scopes: []hub.Scope{hub.LiveTicket, hub.SSFRead}})
		if err != nil || second.Name != "shop" {
			t.Fatalf("%+v %v", second, err)
		}
		c := must(w.h.Authenticate(w.ctx(), text))(t)
		if c.Party != p.ID || c.Token != second.ID || !slices.Equal(c.Scopes, []hub.Scope{hub.SSFRead, hub.LiveTicket}) {
			t.Errorf("%+v", c)
		}
		if err := c.Need(hub.SSFManage, hub.SSFRead); err != nil {
			t.Error(err)
		}
		if err := c.Need(hub.SSFManage); !errors.Is(err, hub.ErrForbidden) {
			t.Error(err)
		}
		if _, _, err := add(hub.TokenRequest{Role: hub.RoleParty, Party: p.ID}); !errors.Is(err, hub.ErrLimit) {
			t.Errorf("a third: %v", err)
		}
		w.clock = w.clock.Add(time.Hour)
		if _, err := w.h.Authenticate(w.ctx(), text); !errors.Is(err, hub.ErrUnauthenticated) {
			t.Errorf("expired: %v", err)
		}
		third, text, err := add(hub.TokenRequest{Role: hub.RoleParty, Party: p.ID})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.h.RevokeToken(w.ctx(), third.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := w.h.Authenticate(w.ctx(), text); !errors.Is(err, hub.ErrUnauthenticated) {
			t.Errorf("revoked: %v", err)
		}
		for name, c := range map[string]struct {
			r    hub.TokenRequest
			want error
		}{
			"no role":           {hub.TokenRequest{Name: "x"}, hub.ErrBadRequest},
			"unknown role":      {hub.TokenRequest{Role: "king", Name: "x"}, hub.ErrBadRequest},
			"no party":          {hub.TokenRequest{Role: hub.RoleParty, Name: "x"}, hub.ErrBadRequest},
			"party of operator": {hub.TokenRequest{Role: hub.RoleOperator, Party: p.ID, Name: "x"}, hub.ErrBadRequest},
			"unknown party":     {hub.TokenRequest{Role: hub.RoleParty, Party: hub.NewID()}, hub.ErrNotFound},
			"party, named":      {hub.TokenRequest{Role: hub.RoleParty, Party: hub.NewID(), Name: "x"}, hub.ErrNotFound},
			"others' scope":     {hub.TokenRequest{Role: hub.RoleParty, Party: p.ID, Scopes: []hub.Scope{hub.SSFRead, hub.SCIMWrite}}, hub.ErrScope},
			"unknown scope":     {hub.TokenRequest{Role: hub.RoleDirectory, Name: "x", Scopes: []hub.Scope{"all"}}, hub.ErrScope},
			"past":              {hub.TokenRequest{Role: hub.RoleOperator, Name: "x", Until: w.clock}, hub.ErrUntil},
			"no name":           {hub.TokenRequest{Role: hub.RoleOperator}, hub.ErrBadRequest},
		} {
			if _, _, err := add(c.r); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// The last use is written down by and by; a request costs no write.
func TestLastUse(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		_, text, err := w.h.AddToken(w.ctx(), hub.TokenRequest{Role: hub.RoleOperator, Name: "root"})
		if err != nil {
			t.Fatal(err)
		}
		used := func() int64 { return must(w.h.Tokens(w.ctx()))(t)[0].Used }
		for range 3 {
			w.clock = w.clock.Add(time.Second)
			must(w.h.Authenticate(w.ctx(), text))(t)
		}
		if used() != 0 {
			t.Error("a request wrote")
		}
		for range 2 {
			if err := w.h.NoteUses(w.ctx()); err != nil {
				t.Fatal(err)
			}
			if used() != w.clock.UnixMicro() {
				t.Errorf("used at %d, not %d", used(), w.clock.UnixMicro())
			}
		}
	})
}
