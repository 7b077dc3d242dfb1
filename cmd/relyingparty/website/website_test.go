package website

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
	"tidings/subscriptions/receiver"
)

func (r *running) ask(method, path, body string) (int, string) {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	must(r.t, err)
	answer, err := http.DefaultClient.Do(q)
	must(r.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(r.t, err)
	return answer.StatusCode, string(text)
}

// TestCardFollowsTheDirectory: what was granted and nothing else is shown; a change, a revocation and a new grant are
// each told by a verified token, and the card says what is true after it.
func TestCardFollowsTheDirectory(t *testing.T) {
	r := start(t)
	id := r.known("nora")
	card := "/members/" + id + "/card"
	if code, text := r.get("/"); code != http.StatusOK || !strings.Contains(text, "Nora") || !strings.Contains(text, "Gardener") {
		t.Errorf("home: %d %s", code, text)
	}
	if _, text := r.get(card); strings.Contains(text, "Secret") || strings.Contains(text, "nickName") || !strings.Contains(text, "Copy valid until") {
		t.Errorf("card: %s", text)
	}

	r.report("nora", map[string]any{"displayName": "Nora", "title": "Head Gardener", "nickName": "Other"})
	// The page asks before the token has come: the answer is current all the same.
	if _, text := r.get(card); !strings.Contains(text, "Head Gardener") {
		t.Errorf("card after a change: %s", text)
	}
	l := r.received("prov:patch:notice", id)
	if !slices.Equal(l.Names, []string{"title"}) || l.KeyID == "" || l.Version == "" {
		t.Errorf("letter %+v", l)
	}

	grants, err := r.hub.Grants(t.Context(), r.party.ID, hub.ID{}, 10)
	must(t, err)
	must(t, r.hub.Revoke(t.Context(), "test", grants[0].ID))
	r.received("feed:remove", id)
	if _, text := r.get(card); !strings.Contains(text, "data-ended") || strings.Contains(text, "Nora") {
		t.Errorf("card after revocation: %s", text)
	}
	if _, text := r.get("/"); strings.Contains(text, "Nora") || !strings.Contains(text, "One person no longer shares") {
		t.Errorf("home after revocation: %s", text)
	}

	r.grant("nora", "displayName")
	if l := r.received("feed:add", id); !l.Joined {
		t.Errorf("letter %+v", l)
	}
	if _, text := r.get(card); !strings.Contains(text, "Nora") || strings.Contains(text, "Gardener") {
		t.Errorf("card after a new grant: %s", text)
	}
}

// TestLostStream: a stream that is gone or stopped is made anew, and what happened meanwhile is found in the snapshot.
func TestLostStream(t *testing.T) {
	caller := func(r *running) hub.Caller { return hub.Caller{Role: hub.RoleParty, Party: r.party.ID} }
	lose := map[string]func(*running, string) error{
		"deleted": func(r *running, id string) error { return r.hub.DeleteStream(r.t.Context(), caller(r), id) },
		"disabled": func(r *running, id string) error {
			_, err := r.hub.SetStatus(r.t.Context(), caller(r), id, subscriptions.Disabled, "test")
			return err
		},
	}
	for name, lost := range lose {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			before, err := r.hub.Streams(t.Context(), caller(r))
			must(t, err)
			must(t, lost(r, before[0].ID.String()))
			r.report("temba", map[string]any{"displayName": "Temba"})
			r.grant("temba", "displayName")
			r.site.wake() // as the passing of time would
			r.received("verification", "")
			r.until(func() bool { _, text := r.get("/"); return strings.Contains(text, "Temba") })
			after, err := r.hub.Streams(t.Context(), caller(r))
			must(t, err)
			if len(after) != 1 || after[0].ID == before[0].ID || after[0].Status != subscriptions.Enabled {
				t.Errorf("streams afterwards: %d", len(after))
			}
		})
	}
}

// until waits for something that the website does by itself.
func (r *running) until(so func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); {
		if time.Now().After(deadline) {
			r.t.Fatal("it never came to be so")
		}
	}
}

// TestVisitorsTicket: a ticket is had for whom the website knows, and for nobody else.
func TestVisitorsTicket(t *testing.T) {
	r := start(t)
	code, text := r.ask(http.MethodPost, "/members/"+r.known("nora")+"/ticket", "")
	var ticket events.Ticket
	if err := json.Unmarshal([]byte(text), &ticket); code != http.StatusOK || err != nil || ticket.Ticket == "" {
		t.Fatalf("%d %s", code, text)
	}
	taken, err := r.hub.TakeTicket(t.Context(), ticket.Ticket)
	if err != nil || len(taken.Entries) != 1 {
		t.Errorf("ticket: %v %v", taken, err)
	}
	for _, path := range []string{"/members/nobody/ticket", "/members/%2e%2e/ticket"} {
		if code, _ := r.ask(http.MethodPost, path, ""); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
	for _, path := range []string{"/members/nobody", "/members/nobody/card"} {
		if code, _ := r.get(path); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
}

// TestStrangersPushNothing: without the stream's Authorization value nothing is looked at, and before there is a stream
// the hub is asked to come again.
func TestStrangersPushNothing(t *testing.T) {
	r := start(t)
	if code, _ := r.ask(http.MethodPost, inboxPath, "a.b.c"); code != http.StatusUnauthorized {
		t.Errorf("without the value: %d", code)
	}
	if code, _ := r.ask(http.MethodPost, inboxPath, strings.Repeat("x", events.MaxToken+1)); code != http.StatusBadRequest {
		t.Errorf("too large: %d", code)
	}
	r.site.inbox.Store(nil)
	if code, _ := r.ask(http.MethodPost, inboxPath, "a.b.c"); code != http.StatusServiceUnavailable {
		t.Errorf("before there is a stream: %d", code)
	}
}

// TestForeignVerification: a verification that was not asked for is refused as SSF 1.0 section 8.1.4.1 has it.
func TestForeignVerification(t *testing.T) {
	r := start(t)
	token := events.Token{JTI: "j", Event: events.Verification, SubID: events.Opaque("s"), Payload: map[string]any{"state": "not ours"}}
	var refusal *receiver.Refusal
	if err := r.site.keep(t.Context(), token); !errors.As(err, &refusal) || refusal.Code != events.CodeInvalidState {
		t.Errorf("%v", err)
	}
	token.Payload["state"] = *r.site.state.Load()
	if err := r.site.keep(t.Context(), token); err != nil {
		t.Errorf("our own: %v", err)
	}
}

// TestFeedChanged: when the hub says that everything may be different, a snapshot is taken.
func TestFeedChanged(t *testing.T) {
	r := start(t)
	r.site.members.replace(map[string]bool{}, r.site.members.begin())
	r.site.members.end(r.known("nora"), r.site.members.begin())
	if _, text := r.get("/"); strings.Contains(text, "Nora") {
		t.Fatal("the list was not lost")
	}
	must(t, r.site.keep(t.Context(), events.Token{JTI: "j", Event: events.FeedChanged, SubID: events.Opaque("s")}))
	r.until(func() bool { _, text := r.get("/"); return strings.Contains(text, "Nora") })
}

// TestFollowingPages: a page is sent the list of what was received at once, and again with each token.
func TestFollowingPages(t *testing.T) {
	r := start(t)
	r.received("verification", "")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/received", nil)
	must(t, err)
	answer, err := http.DefaultClient.Do(q)
	must(t, err)
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for _, want := range []string{"verification", "prov:patch:notice"} {
		for found := false; !found; {
			if !lines.Scan() {
				t.Fatalf("no %s: %v", want, lines.Err())
			}
			found = strings.Contains(lines.Text(), want)
		}
		if want == "verification" {
			r.report("nora", map[string]any{"displayName": "Nora", "title": "Pruner"})
		}
	}
}

// TestHubIsAway: while the hub cannot be asked, copies serve as long as they may and nothing else is shown.
func TestHubIsAway(t *testing.T) {
	site, err := New(Config{Name: "Club", URL: "http://127.0.0.1:1", Hub: "http://127.0.0.1:1", Token: "t", Log: quiet})
	must(t, err)
	site.members.set("x", true)
	if c := site.card(t.Context(), "x"); !c.Away || c.Ended {
		t.Errorf("%+v", c)
	}
	if err := site.look(t.Context()); err == nil {
		t.Error("a hub that is away was reached")
	}
	select {
	case <-site.Ready():
		t.Error("ready without a hub")
	default:
	}
}

// TestBadConfiguration: what cannot work is refused before anything is served.
func TestBadConfiguration(t *testing.T) {
	good := Config{Name: "Club", URL: "http://127.0.0.1:8421", Hub: "http://127.0.0.1:8420", Token: "t", Log: quiet}
	for name, spoil := range map[string]func(*Config){
		"no URL": func(c *Config) { c.URL = "" }, "a URL with a path": func(c *Config) { c.URL += "/shop" },
		"no hub": func(c *Config) { c.Hub = "hub" }, "no token": func(c *Config) { c.Token = "" },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
