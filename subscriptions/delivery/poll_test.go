package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// pollHouse is a hub with a polling party that was granted a person.
type pollHouse struct {
	*house
	store   hub.Store
	settled *counted
	p       testParty
	e       *hub.Entry
	g       *hub.Grant
	stream  *hub.Stream
	poll    *Poll
	url     string
}

func newPollHouse(t testing.TB, change ...func(*Poll)) *pollHouse {
	h := &pollHouse{}
	h.house, h.store = newStoredHouse(t)
	h.p = h.party()
	h.e = h.person("ann", "Engineer")
	h.g = h.grant(h.p, h.e)
	h.stream = h.house.stream(h.p, subscriptions.Delivery{Method: events.MethodPoll})
	h.settled = &counted{PollEngine: h.Hub}
	h.poll = NewPoll(h.settled, quiet())
	h.poll.wait = 300 * time.Millisecond
	for _, f := range change {
		f(h.poll)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /ssf/poll/{stream_id}", h.poll)
	server := httptest.NewServer(as(h.Hub, mux))
	t.Cleanup(server.Close)
	h.url = server.URL + "/ssf/poll/"
	return h
}

// as finds the caller by the token of the request, as the frame around the faces does.
func as(h *hub.Hub, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c hub.Caller
		if token := r.Header.Get("Test-Caller"); token != "" {
			if err := json.Unmarshal([]byte(token), &c); err != nil {
				panic(err)
			}
			r = r.WithContext(hub.WithCaller(r.Context(), c))
		}
		next.ServeHTTP(w, r)
	})
}

func (h *pollHouse) request(ctx context.Context, c *hub.Caller, stream, kind, body string) (int, string, http.Header) {
	h.t.Helper()
	r := must(http.NewRequestWithContext(ctx, http.MethodPost, h.url+stream, strings.NewReader(body)))(h.t)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	if c != nil {
		r.Header.Set("Test-Caller", string(must(json.Marshal(c))(h.t)))
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		if ctx.Err() == nil {
			h.t.Fatal(err)
		}
		return 0, "", nil
	}
	defer a.Body.Close()
	return a.StatusCode, string(must(io.ReadAll(a.Body))(h.t)), a.Header
}

// ask polls and expects an answer of sets.
func (h *pollHouse) ask(body string, args ...any) events.PollResponse {
	h.t.Helper()
	code, text, head := h.request(h.ctx, &h.p.caller, h.stream.ID.String(), "application/json", fmt.Sprintf(body, args...))
	if code != 200 || head.Get("Content-Type") != "application/json" { // PS-03
		h.t.Fatalf("%d %s %s", code, head.Get("Content-Type"), text)
	}
	if !strings.Contains(text, `"sets":{`) { // PS-01
		h.t.Fatalf("sets is no object: %s", text)
	}
	var a events.PollResponse
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		h.t.Fatal(err)
	}
	if !a.MoreAvailable && strings.Contains(text, "moreAvailable") { // PS-02
		h.t.Errorf("says that nothing more is available: %s", text)
	}
	return a
}

func only(t testing.TB, a events.PollResponse) set {
	t.Helper()
	if len(a.Sets) != 1 {
		t.Fatalf("%d sets", len(a.Sets))
	}
	s := readSet(t, a.Sets[0].Compact)
	if s.JTI != a.Sets[0].JTI {
		t.Errorf("under %s stands %s", a.Sets[0].JTI, s.JTI)
	}
	return s
}

// counted is an engine that counts what was settled, and looks for tokens.
type counted struct {
	PollEngine
	settled, looked atomic.Int32
}

func (c *counted) NextTokens(ctx context.Context, stream hub.ID, owner string, busy time.Duration, n int) ([]hub.Outgoing, bool, error) {
	defer c.looked.Add(1)
	return c.PollEngine.NextTokens(ctx, stream, owner, busy, n)
}

func (c *counted) Settle(ctx context.Context, stream hub.ID, outcomes []hub.Outcome) error {
	defer c.settled.Add(1)
	return c.PollEngine.Settle(ctx, stream, outcomes)
}

// handOut asks for the one token there is, and returns when its lease has begun, which is after the answer. The lease
// is then ended, as time would.
func (h *pollHouse) handOut(body string) set {
	h.t.Helper()
	before := h.settled.settled.Load()
	s := only(h.t, h.ask("%s", body))
	eventually(h.t, "the lease begins", func() bool { return h.settled.settled.Load() > before })
	return s
}

func (h *pollHouse) endLease(s set) {
	h.t.Helper()
	if err := h.Settle(h.ctx, h.stream.ID, []hub.Outcome{{JTI: s.JTI, Next: subscriptions.Retry}}); err != nil {
		h.t.Fatal(err)
	}
}

const atOnce = `{"returnImmediately":true}`

// TestPoll: PO-01 to PO-05, PS-01 to PS-03, PB-05 to PB-08, PB-12, PB-20: handed out, leased, handed out again with the
// same bytes, acknowledged, never seen again.
func TestPoll(t *testing.T) {
	h := newPollHouse(t)
	if a := h.ask(atOnce); len(a.Sets) != 0 || a.MoreAvailable {
		t.Errorf("nothing happened: %+v", a)
	}
	h.person("ann", "Chief")
	first := h.handOut(atOnce)
	if first.Subject != h.subject(h.p, h.e) {
		t.Errorf("subject %q", first.Subject)
	}
	if a := h.ask(atOnce); len(a.Sets) != 0 {
		t.Error("handed out twice at a time")
	}
	h.endLease(first)
	again := h.handOut(`{"maxEvents":5}`)
	if again.compact != first.compact {
		t.Error("the repeat is another token")
	}
	// Unknown ids are passed over. The acknowledgement is applied before the next sets are chosen.
	h.endLease(first)
	if a := h.ask(`{"ack":["unknown",%q],"returnImmediately":true}`, first.JTI); len(a.Sets) != 0 {
		t.Error("acknowledged and told again")
	}
	if a := h.ask(`{"ack":[%q],"maxEvents":0,"returnImmediately":true}`, first.JTI); len(a.Sets) != 0 {
		t.Error("acknowledging twice")
	}
	if a := h.ask(`{}`); len(a.Sets) != 0 {
		t.Error("an acknowledged token returns")
	}
}

// TestPollLimits: PO-01: maxEvents counts, and more is announced.
func TestPollLimits(t *testing.T) {
	h := newPollHouse(t)
	for i := range 5 {
		name := fmt.Sprint("user", i)
		h.grant(h.p, h.person(name, "none"))
		h.person(name, "changed")
	}
	seen := map[string]bool{}
	for _, n := range []int{2, 2, 100} {
		a := h.ask(`{"maxEvents":%d,"returnImmediately":true}`, n)
		if len(a.Sets) > n || n == 2 && (len(a.Sets) != 2 || !a.MoreAvailable) {
			t.Fatalf("%d of at most %d sets, more: %v", len(a.Sets), n, a.MoreAvailable)
		}
		for _, s := range a.Sets {
			seen[s.JTI] = true
		}
	}
	if len(seen) < 5 {
		t.Errorf("%d tokens", len(seen))
	}
}

// TestLongPoll: PB-01, PB-02, PB-04: the answer waits for something to come, no longer than agreed.
func TestLongPoll(t *testing.T) {
	h := newPollHouse(t, func(p *Poll) { p.wait = time.Minute })
	answer := make(chan events.PollResponse, 2)
	go func() { answer <- h.ask(`{}`) }()
	h.waiters(1)
	h.person("ann", "Chief")
	first := only(t, <-answer)
	h.ask(`{"ack":[%q],"maxEvents":0,"returnImmediately":true}`, first.JTI)
	go func() { answer <- h.ask(`{"maxEvents":0}`) }()
	h.waiters(1)
	h.person("ann", "Other")
	if a := <-answer; len(a.Sets) != 0 || !a.MoreAvailable {
		t.Errorf("maxEvents 0: %+v", a)
	}
	only(t, h.ask(atOnce)) // it was not taken by the poll that wanted none
	h.poll.wait = 50 * time.Millisecond
	if a := h.ask(`{}`); len(a.Sets) != 0 {
		t.Errorf("at the end of the wait: %+v", a)
	}
}

func (h *pollHouse) waiters(n int) {
	h.t.Helper()
	eventually(h.t, fmt.Sprint(n, " polls wait"), func() bool {
		h.poll.mu.Lock()
		defer h.poll.mu.Unlock()
		return h.poll.waiting[h.p.ID] == n
	})
}

// TestPollAbandoned: PB-21. A client that goes away frees its place and takes nothing with it.
func TestPollAbandoned(t *testing.T) {
	h := newPollHouse(t, func(p *Poll) { p.wait = time.Minute })
	ctx, cancel := context.WithCancel(h.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.request(ctx, &h.p.caller, h.stream.ID.String(), "application/json", `{}`)
	}()
	h.waiters(1)
	cancel()
	<-done
	h.waiters(0)
	h.person("ann", "Chief")
	only(t, h.ask(atOnce))
}

// TestPollLosesItsRight: I4, I10. What was revoked, deleted or changed while a poll waits ends the wait, and its caller is
// told nothing; the tokens are still owed.
func TestPollLosesItsRight(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(h *pollHouse) error
		want int
	}{
		"revoked": {func(h *pollHouse) error { return h.RevokeToken(h.ctx, h.p.caller.Token) }, 401},
		"deleted": {func(h *pollHouse) error { return h.DeleteStream(h.ctx, h.p.caller, h.stream.ID.String()) }, 404},
		"pushed": {func(h *pollHouse) error {
			_, err := h.UpdateStream(h.ctx, h.p.caller, h.stream.ID.String(), func(_ hub.Stream, s *subscriptions.Settings) error {
				s.Delivery = subscriptions.Delivery{Method: events.MethodPush, EndpointURL: "https://hook.example.org/"}
				return nil
			})
			return err
		}, 404},
	} {
		t.Run(name, func(t *testing.T) {
			h := newPollHouse(t, func(p *Poll) { p.wait = time.Minute })
			type answer struct {
				code int
				text string
			}
			answers := make(chan answer, 1)
			go func() {
				code, text, _ := h.request(h.ctx, &h.p.caller, h.stream.ID.String(), "application/json", `{}`)
				answers <- answer{code, text}
			}()
			eventually(t, "it looked", func() bool { return h.settled.looked.Load() > 0 })
			if err := c.end(h); err != nil {
				t.Fatal(err)
			}
			h.person("ann", "Chief")
			if got := <-answers; got.code != c.want {
				t.Errorf("%d %s, want %d", got.code, got.text, c.want)
			}
			if name == "revoked" {
				if out, _, err := h.NextTokens(h.ctx, h.stream.ID, "test", time.Second, 10); err != nil || len(out) != 1 {
					t.Errorf("owed: %d, %v", len(out), err)
				}
			}
		})
	}
}

// TestWaitingPollsBounded: I11.
func TestWaitingPollsBounded(t *testing.T) {
	h := newPollHouse(t)
	h.poll.waiting[h.p.ID] = maxWaiting
	code, _, head := h.request(h.ctx, &h.p.caller, h.stream.ID.String(), "application/json", `{}`)
	if code != 429 || head.Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q", code, head.Get("Retry-After"))
	}
	h.ask(atOnce)
}

// TestSetErrs: PO-04, PB-11, PB-13: what was not accepted does not return, whatever else is said of it.
func TestSetErrs(t *testing.T) {
	h := newPollHouse(t, func(p *Poll) { p.lease = 50 * time.Millisecond })
	h.person("ann", "Chief")
	jti := only(t, h.ask(atOnce)).JTI
	if a := h.ask(`{"ack":[%q],"setErrs":{%q:{"err":"invalid_request","description":"no"}},"returnImmediately":true}`, jti, jti); len(a.Sets) != 0 {
		t.Error("told again")
	}
	if dead := must(h.store.DeadLetters(h.ctx, hub.LetterQuery{Party: h.p.ID, Limit: 10}))(t); len(dead) != 1 || dead[0].Reason != "invalid_request" {
		t.Errorf("dead letters: %+v", dead)
	}
	h.poll.wait = 200 * time.Millisecond
	if a := h.ask(`{}`); len(a.Sets) != 0 {
		t.Error("told again later")
	}
	h.person("ann", "Other")
	only(t, h.ask(atOnce)) // the stream goes on
}

// TestPollPaused: ST-11, PB-22: a paused stream answers, with nothing.
func TestPollPaused(t *testing.T) {
	h := newPollHouse(t)
	h.person("ann", "Chief")
	must(h.SetStatus(h.ctx, h.p.caller, h.stream.ID.String(), subscriptions.Paused, ""))(t)
	for _, body := range []string{atOnce, `{}`} {
		if a := h.ask("%s", body); len(a.Sets) != 0 {
			t.Error("a paused stream tells")
		}
	}
	must(h.SetStatus(h.ctx, h.p.caller, h.stream.ID.String(), subscriptions.Enabled, ""))(t)
	if len(h.ask(atOnce).Sets) == 0 {
		t.Error("what was held is lost")
	}
}

// TestRevokedInPollWindow: I5. A token that was handed out and not acknowledged is not handed out again after the grant
// ended; its end is.
func TestRevokedInPollWindow(t *testing.T) {
	h := newPollHouse(t, func(p *Poll) { p.lease, p.wait = 50*time.Millisecond, 10*time.Second })
	h.person("ann", "Chief")
	first := only(t, h.ask(atOnce))
	if err := h.Revoke(h.ctx, "test", h.g.ID); err != nil {
		t.Fatal(err)
	}
	s := only(t, h.ask(`{}`))
	if s.JTI == first.JTI || !strings.HasSuffix(string(s.Type), "feed:remove") {
		t.Errorf("after the end: %s", s.Type)
	}
	h.person("ann", "Other")
	h.poll.wait = 300 * time.Millisecond
	if a := h.ask(`{"ack":[%q,%q]}`, first.JTI, s.JTI); len(a.Sets) != 0 {
		t.Error("told after the end")
	}
}

// TestPollRefusals: PB-14, PB-16, PB-22, I10: who may ask what, and the same answer for what is not there and not yours.
func TestPollRefusals(t *testing.T) {
	h := newPollHouse(t)
	other := h.party()
	foreign := h.house.stream(other, subscriptions.Delivery{Method: events.MethodPoll}).ID.String()
	push := h.house.stream(h.p, subscriptions.Delivery{Method: events.MethodPush, EndpointURL: "https://hook.example.org/"}).ID.String()
	own := h.stream.ID.String()
	operator := &hub.Caller{Role: hub.RoleOperator}
	h.person("ann", "Chief")
	handed := h.handOut(atOnce)
	jti := handed.JTI
	for name, c := range map[string]struct {
		caller             *hub.Caller
		stream, kind, body string
		want               int
	}{
		"nobody":             {nil, own, "application/json", atOnce, 401},
		"not a party":        {operator, own, "application/json", atOnce, 403},
		"unknown stream":     {&h.p.caller, hub.NewID().String(), "application/json", atOnce, 404},
		"no id":              {&h.p.caller, "..%2f", "application/json", atOnce, 404},
		"foreign stream":     {&h.p.caller, foreign, "application/json", `{"ack":["` + jti + `"]}`, 404},
		"pushed stream":      {&h.p.caller, push, "application/json", atOnce, 404},
		"no type":            {&h.p.caller, own, "", atOnce, 200},
		"charset":            {&h.p.caller, own, "application/json; charset=utf-8", atOnce, 200},
		"wrong type":         {&h.p.caller, own, "text/plain", atOnce, 415},
		"no JSON":            {&h.p.caller, own, "application/json", `{`, 400},
		"empty":              {&h.p.caller, own, "application/json", ``, 400},
		"array":              {&h.p.caller, own, "application/json", `[]`, 400},
		"negative":           {&h.p.caller, own, "application/json", `{"maxEvents":-1}`, 400},
		"fraction":           {&h.p.caller, own, "application/json", `{"maxEvents":1.5}`, 400},
		"text for a number":  {&h.p.caller, own, "application/json", `{"maxEvents":"1"}`, 400},
		"text for ack":       {&h.p.caller, own, "application/json", `{"ack":"x"}`, 400},
		"text for setErrs":   {&h.p.caller, own, "application/json", `{"setErrs":"x"}`, 400},
		"twice":              {&h.p.caller, own, "application/json", `{"ack":[],"ack":[]}`, 400},
		"too large":          {&h.p.caller, own, "application/json", `{"x":"` + strings.Repeat("x", events.MaxPoll) + `"}`, 413},
		"other members":      {&h.p.caller, own, "application/json", `{"x":1,"returnImmediately":true}`, 200},
		"large number":       {&h.p.caller, own, "application/json", `{"maxEvents":1000000,"returnImmediately":true}`, 200},
		"null ack":           {&h.p.caller, own, "application/json", `{"ack":null,"setErrs":null,"returnImmediately":true}`, 200},
		"stranger's garbage": {nil, own, "application/json", `{`, 401},
	} {
		code, body, _ := h.request(h.ctx, c.caller, c.stream, c.kind, c.body)
		if code != c.want {
			t.Errorf("%s: %d %s, want %d", name, code, body, c.want)
		}
	}
	_, unknown, _ := h.request(h.ctx, &h.p.caller, hub.NewID().String(), "application/json", atOnce)
	if _, body, _ := h.request(h.ctx, &h.p.caller, foreign, "application/json", atOnce); body != unknown {
		t.Errorf("foreign: %s, unknown: %s", body, unknown)
	}
	// An acknowledgement on a foreign stream, or by a foreign party, settles nothing.
	h.request(h.ctx, &other.caller, foreign, "application/json", `{"ack":["`+jti+`"],"returnImmediately":true}`)
	if out, _, err := h.Next(h.ctx, h.stream.ID, "test", time.Second, 10); err != nil || len(out) > 0 {
		t.Fatal(out, err) // leased still
	}
	h.endLease(handed)
	if s := only(t, h.ask(atOnce)); s.JTI != jti {
		t.Error("a foreign acknowledgement settled it")
	}
}
