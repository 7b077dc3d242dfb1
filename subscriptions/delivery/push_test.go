package delivery

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// receiver is a relying party's webhook.
type receiver struct {
	*httptest.Server
	t      testing.TB
	answer atomic.Pointer[http.HandlerFunc] // nil: 202

	mu   sync.Mutex
	sets []set // taken ones
	seen []set // all
	head http.Header
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{t: t}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	s := readSet(r.t, string(body))
	answer := r.answer.Load()
	r.mu.Lock()
	r.seen = append(r.seen, s)
	if answer == nil {
		r.sets = append(r.sets, s)
	}
	r.head = req.Header.Clone()
	r.head.Set("Method", req.Method)
	r.mu.Unlock()
	if answer != nil {
		(*answer)(w, req)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (r *receiver) answers(f http.HandlerFunc) {
	if f == nil {
		r.answer.Store(nil)
		return
	}
	r.answer.Store(&f)
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func (r *receiver) taken() []set {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sets)
}

func (r *receiver) all() []set {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

func (r *receiver) push() subscriptions.Delivery {
	return subscriptions.Delivery{Method: events.MethodPush, EndpointURL: r.URL + "/events?tenant=1"}
}

// runPusher sends for the house until the test or the returned function ends it.
func (h *house) runPusher(change ...func(*Pusher)) (stop func()) {
	p := NewPusher(h.Hub, Outward{Insecure: true}, quiet())
	p.answerTime = time.Second
	for _, f := range change {
		f(p)
	}
	ctx, cancel := context.WithCancel(h.ctx)
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	h.t.Cleanup(stop)
	return stop
}

func ofType(sets []set, types ...string) (found []set) {
	for _, s := range sets {
		if slices.ContainsFunc(types, func(suffix string) bool { return strings.HasSuffix(string(s.Type), suffix) }) {
			found = append(found, s)
		}
	}
	return found
}

// TestPush: PU-01 to PU-06, DE-02, DE-03.
func TestPush(t *testing.T) {
	for _, secret := range []string{"", "Bearer a-secret  of its own"} {
		h, r := newHouse(t), newReceiver(t)
		p := h.party()
		e := h.person("ann", "Engineer")
		h.grant(p, e)
		d := r.push()
		d.AuthorizationHeader = secret
		h.stream(p, d)
		h.runPusher()
		h.person("ann", "Chief")
		eventually(t, "a token arrives", func() bool { return len(r.taken()) > 0 })
		r.mu.Lock()
		head, got := r.head, r.sets[0]
		r.mu.Unlock()
		if got.Subject != h.subject(p, e) {
			t.Errorf("subject %q", got.Subject)
		}
		for name, want := range map[string]string{"Method": "POST", "Content-Type": "application/secevent+jwt", "Accept": "application/json"} {
			if head.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, head.Get(name), want)
			}
		}
		if v, there := head["Authorization"]; there != (secret != "") || there && v[0] != secret {
			t.Errorf("Authorization %q, configured %q", v, secret)
		}
		if _, there := head["Accept-Encoding"]; there {
			t.Error("asks for a compressed answer")
		}
	}
}

// TestPushRetry: RE-03, PA-07: what was not taken goes again, the same bytes.
func TestPushRetry(t *testing.T) {
	h, r := newHouse(t), newReceiver(t)
	p := h.party()
	e := h.person("ann", "Engineer")
	h.grant(p, e)
	h.stream(p, r.push())
	r.answers(status(503))
	h.runPusher()
	h.person("ann", "Chief")
	eventually(t, "an attempt", func() bool { return len(r.all()) > 0 })
	r.answers(nil)
	eventually(t, "a second attempt", func() bool { return len(r.taken()) > 0 })
	if all := r.all(); all[0].compact != r.taken()[0].compact {
		t.Error("the retry is another token")
	}
}

// TestPushResumes: I7. A sender that stops leaves owed what was under way, and another one sends the same bytes.
func TestPushResumes(t *testing.T) {
	h, r := newHouse(t), newReceiver(t)
	p := h.party()
	e := h.person("ann", "Engineer")
	h.grant(p, e)
	h.stream(p, r.push())
	r.answers(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
	stop := h.runPusher(func(p *Pusher) { p.answerTime = time.Minute })
	h.person("ann", "Chief")
	eventually(t, "an attempt", func() bool { return len(r.all()) > 0 })
	stop()
	r.answers(nil)
	h.runPusher()
	eventually(t, "the token arrives", func() bool { return len(r.taken()) > 0 })
	if all := r.all(); all[0].compact != r.taken()[0].compact {
		t.Error("the second sender made another token")
	}
}

// TestOneSubjectInOrder: of one subject one at a time, in order; different subjects in parallel.
func TestOneSubjectInOrder(t *testing.T) {
	h, r := newHouse(t), newReceiver(t)
	p := h.party()
	var mu sync.Mutex
	flying, parallel, seen := map[string]int{}, make(chan struct{}), false
	for i := range 8 {
		h.grant(p, h.person(fmt.Sprint("user", i), "none"))
	}
	r.answers(nil)
	d := r.push()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		subject := readSet(t, string(body)).Subject
		mu.Lock()
		flying[subject]++
		if flying[subject] > 1 {
			t.Error("two tokens of one subject at once")
		}
		if len(flying) > 1 && !seen {
			seen = true
			close(parallel)
		}
		mu.Unlock()
		<-parallel // the first ones stay until one of another subject is there too
		mu.Lock()
		if flying[subject]--; flying[subject] == 0 {
			delete(flying, subject)
		}
		mu.Unlock()
		req.Body = io.NopCloser(strings.NewReader(string(body)))
		r.ServeHTTP(w, req)
	}))
	defer front.Close()
	d.EndpointURL = front.URL
	h.stream(p, d)
	h.runPusher()
	for n := range 10 {
		for i := range 8 {
			h.person(fmt.Sprint("user", i), fmt.Sprint("title", n))
		}
	}
	eventually(t, "everybody is told of", func() bool { return len(ofType(r.taken(), "prov:patch:notice")) >= 8 })
}

// settles waits until nothing is owed on the stream, also nothing that is under way or due later.
func (h *house) settles(stream hub.ID) {
	h.t.Helper()
	eventually(h.t, "nothing is owed any more", func() bool {
		later := time.Now().Add(24 * time.Hour).UnixMicro()
		owed, err := h.store.Sendable(h.ctx, stream, later, 10)
		return err == nil && len(owed) == 0
	})
}

// TestHostileReceivers: PU-09, PA-08, RE-08. Receivers that never answer, answer without end, redirect, break off or fail
// do not delay a good one, and none of them makes the sender go anywhere else.
func TestHostileReceivers(t *testing.T) {
	h, good := newHouse(t), newReceiver(t)
	var inside atomic.Int32
	secret := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	defer secret.Close()
	endless := func(w http.ResponseWriter, code int) {
		w.WriteHeader(code)
		line := []byte(strings.Repeat("x", 4096))
		for {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}
	never := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	bad := map[string]http.HandlerFunc{
		"never answers": never, "nor does this": never, "nor this": never,
		"endless 400": func(w http.ResponseWriter, _ *http.Request) { endless(w, 400) },
		"endless 500": func(w http.ResponseWriter, _ *http.Request) { endless(w, 500) },
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, secret.URL, http.StatusTemporaryRedirect)
		},
		"breaks off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"fails":      status(500),
		"forbids":    status(403),
		"drips": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			for r.Context().Err() == nil {
				w.Write([]byte(" "))
				w.(http.Flusher).Flush()
				select {
				case <-time.After(50 * time.Millisecond):
				case <-r.Context().Done():
				}
			}
		},
	}
	people := make([]*hub.Entry, 20)
	for i := range people {
		people[i] = h.person(fmt.Sprint("user", i), "none")
	}
	var receivers []*receiver
	join := func(r *receiver) {
		p := h.party()
		for _, e := range people {
			h.grant(p, e)
		}
		h.stream(p, r.push())
	}
	for _, f := range bad {
		r := newReceiver(t)
		r.answers(f)
		receivers = append(receivers, r)
		join(r)
	}
	join(good)
	// As few places as there are receivers that keep one: the good one still gets through.
	h.runPusher(func(p *Pusher) { p.slots.free, p.hanging, p.answerTime = 3, 20*time.Millisecond, time.Minute })
	for i := range people {
		h.person(fmt.Sprint("user", i), "changed")
	}
	began := time.Now()
	eventually(t, "the good receiver has everything", func() bool { return len(ofType(good.taken(), "prov:patch:notice")) >= len(people) })
	t.Logf("good receiver served in %v", time.Since(began))
	for _, r := range receivers {
		eventually(t, "each bad one was tried", func() bool { return len(r.all()) > 0 })
	}
	if inside.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

// TestRevokedWhileRetrying: I5. What waits in a retry is not told after the grant ended; the end is.
func TestRevokedWhileRetrying(t *testing.T) {
	h, r := newHouse(t), newReceiver(t)
	p := h.party()
	e := h.person("ann", "Engineer")
	g := h.grant(p, e)
	s := h.stream(p, r.push())
	r.answers(status(503))
	h.runPusher()
	h.person("ann", "Chief")
	eventually(t, "an attempt", func() bool { return len(r.all()) > 0 })
	if err := h.Revoke(h.ctx, "test", g.ID); err != nil {
		t.Fatal(err)
	}
	r.answers(nil)
	eventually(t, "the end is told", func() bool { return len(ofType(r.taken(), "feed:remove")) > 0 })
	h.person("ann", "Other")
	h.settles(s.ID)
	for _, set := range r.taken() {
		if !strings.HasSuffix(string(set.Type), "feed:remove") {
			t.Errorf("told after the end: %s", set.Type)
		}
	}
}

// TestPausedPush: ST-11, ST-12. Nothing leaves a paused stream, not even a verification; enabled, it does.
func TestPausedPush(t *testing.T) {
	h, r := newHouse(t), newReceiver(t)
	p := h.party()
	s := h.stream(p, r.push())
	other := newReceiver(t)
	probe := h.stream(p, other.push())
	id := s.ID.String()
	must(h.SetStatus(h.ctx, p.caller, id, subscriptions.Paused, ""))(t)
	for _, stream := range []string{id, probe.ID.String()} {
		if err := h.Verify(h.ctx, p.caller, stream, nil); err != nil {
			t.Fatal(err)
		}
	}
	h.runPusher()
	eventually(t, "the other stream is served", func() bool { return len(other.taken()) > 0 })
	if len(r.all()) > 0 {
		t.Error("a paused stream sends")
	}
	must(h.SetStatus(h.ctx, p.caller, id, subscriptions.Enabled, ""))(t)
	eventually(t, "the verification arrives", func() bool { return len(ofType(r.taken(), "verification")) > 0 })
}

// TestRefusedTokens: PA-03, RE-01. A token that is refused for itself does not go again and does not stop the stream.
func TestRefusedTokens(t *testing.T) {
	h, r := newHouse(t), newReceiver(t)
	p := h.party()
	for _, name := range []string{"ann", "bob"} {
		h.grant(p, h.person(name, "none"))
	}
	s := h.stream(p, r.push())
	var refused atomic.Int32
	r.answers(func(w http.ResponseWriter, _ *http.Request) {
		if refused.Add(1) > 1 {
			w.WriteHeader(202)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(400)
		w.Write([]byte(`{"err":"invalid_request","description":"no"}`))
	})
	h.runPusher()
	h.person("ann", "Chief")
	eventually(t, "it is refused", func() bool { return refused.Load() == 1 })
	h.person("bob", "Chief")
	eventually(t, "the next goes", func() bool { return refused.Load() >= 2 })
	h.settles(s.ID)
	if all := r.all(); all[0].JTI == all[len(all)-1].JTI {
		t.Error("a refused token went again")
	}
	letters := must(h.DeadLetters(h.ctx, hub.LetterQuery{Stream: s.ID, Limit: 10}))(t)
	if len(letters) != 1 || letters[0].JTI != r.all()[0].JTI || letters[0].Reason != events.CodeInvalidRequest || letters[0].Attempts != 1 {
		t.Fatalf("dead letters: %+v", letters)
	}
	if _, description, err := h.DeadLetter(h.ctx, letters[0].ID); err != nil || description != "no" {
		t.Errorf("it said %q, %v", description, err)
	}
}

// TestWithoutHints: I12. With every hint removed the sender is right, only slower.
func TestWithoutHints(t *testing.T) {
	h, r := newHouse(t), newReceiver(t)
	p := h.party()
	e := h.person("ann", "Engineer")
	h.grant(p, e)
	h.stream(p, r.push())
	h.runPusher(func(p *Pusher) { p.engine = deaf{p.engine} })
	h.person("ann", "Chief")
	eventually(t, "the token arrives", func() bool { return len(r.taken()) > 0 })
}

// deaf is an engine whose hints are lost.
type deaf struct{ PushEngine }

func (deaf) Wake() <-chan struct{} { return nil }

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, " 5 ": 5 * time.Second, "-1": 0, "1.5": 0, "99999999999999999999": 0, "soon": 0,
		"Thu, 01 Jan 2026 00:01:00 GMT": time.Minute, "Wed, 31 Dec 2025 00:00:00 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{`{"err":"invalid_key"}`, `{"err":1}`, `[]`, "", "\x00", `{"err":"a\nb"}`, "Thu, 01 Jan 2026 00:01:00 GMT", "12"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, _ := refusal([]byte(text))
		next, after, reason := subscriptions.NextStep(subscriptions.Answer{Status: 400, Code: code, RetryAfter: retryAfter(text, time.Unix(0, 0))}, 1, 0.5)
		if after < 0 || len(reason) > 64 || strings.ContainsAny(reason, "\r\n") || next == subscriptions.Done {
			t.Errorf("%q: %v %v %q", text, next, after, reason)
		}
	})
}

// TestSlots: a lane that takes many does not keep others out, and a waiter that gives up loses nothing.
func TestSlots(t *testing.T) {
	s := &slots{free: 4}
	if n, _ := s.take(t.Context(), 16); n != 4 {
		t.Fatalf("got %d of 4", n)
	}
	order := make(chan string, 3)
	wait := func(name string, want int) {
		before := s.waiting()
		go func() {
			n, err := s.take(t.Context(), want)
			order <- fmt.Sprintf("%s %d %v", name, n, err)
		}()
		eventually(t, name+" waits", func() bool { return s.waiting() == before+1 })
	}
	wait("first", 16)
	wait("second", 16)
	gone, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := s.take(gone, 1); left <- err }()
	eventually(t, "a third waits", func() bool { return s.waiting() == 3 })
	cancel()
	if err := <-left; err == nil {
		t.Error("who gave up got a slot")
	}
	s.give(4)
	got := []string{<-order, <-order}
	slices.Sort(got)
	if !slices.Equal(got, []string{"first 2 <nil>", "second 2 <nil>"}) {
		t.Errorf("got %q", got)
	}
	if s.give(4); s.free != 4 {
		t.Errorf("%d free", s.free)
	}
}

func (s *slots) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.line)
}
