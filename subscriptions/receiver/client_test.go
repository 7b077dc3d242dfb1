package receiver_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings/events"
	"tidings/subscriptions/receiver"
)

// SSF 1.0 section 8.1: each call as the hub expects it, with the bearer token in the header and nowhere else.
func TestStreams(t *testing.T) {
	server, client := newHub(t)
	var got []string
	record := func(status int, body any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			got = append(got, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+string(text)))
			if r.Header.Get("Authorization") != "Bearer "+bearer {
				t.Errorf("CI-18: authorization is %q", r.Header.Get("Authorization"))
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			if body != nil {
				_ = json.NewEncoder(w).Encode(body)
			}
		}
	}
	stream := events.StreamConfiguration{StreamID: "st1", Audience: events.Audience{audience}, EventsDelivered: []events.Type{}}
	server.HandleFunc("POST /ssf/streams", record(201, stream))
	server.HandleFunc("GET /ssf/streams", record(200, []events.StreamConfiguration{stream}))
	server.HandleFunc("DELETE /ssf/streams", record(204, nil))
	server.HandleFunc("GET /ssf/status", record(200, events.StreamStatus{StreamID: "st1", Status: events.StatusEnabled}))
	server.HandleFunc("POST /ssf/status", record(200, events.StreamStatus{StreamID: "st1", Status: events.StatusPaused}))
	server.HandleFunc("POST /ssf/verify", record(204, nil))
	server.HandleFunc("POST /live/tickets", record(200, events.Ticket{Ticket: "t", ExpiresIn: 60}))
	ctx := t.Context()

	made, err := client.CreateStream(ctx, events.StreamConfiguration{Description: "ours"})
	list, err2 := client.ReadStreams(ctx)
	status, err3 := client.Status(ctx, "st1")
	paused, err4 := client.SetStatus(ctx, events.StreamStatus{StreamID: "st1", Status: events.StatusPaused})
	ticket, err5 := client.Ticket(ctx, events.Opaque("u1"))
	err = errors.Join(err, err2, err3, err4, err5, client.Verify(ctx, "st1", "abc"), client.Verify(ctx, "st1", ""), client.DeleteStream(ctx, "st1"))
	if err != nil {
		t.Fatal(err)
	}
	if made.StreamID != "st1" || len(list) != 1 || status.Status != events.StatusEnabled || paused.Status != events.StatusPaused || ticket.Ticket != "t" {
		t.Errorf("answers: %v %v %v %v %v", made, list, status, paused, ticket)
	}
	want := []string{
		`POST /ssf/streams {"description":"ours"}`,
		`GET /ssf/streams`,
		`GET /ssf/status?stream_id=st1`,
		`POST /ssf/status {"stream_id":"st1","status":"paused"}`,
		`POST /live/tickets {"subjects":[{"format":"opaque","id":"u1"}]}`,
		`POST /ssf/verify {"stream_id":"st1","state":"abc"}`,
		`POST /ssf/verify {"stream_id":"st1"}`, // VE-06
		`DELETE /ssf/streams?stream_id=st1`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("calls:\n%s", strings.Join(got, "\n"))
	}
}

func TestProblems(t *testing.T) {
	server, client := newHub(t)
	server.HandleFunc("GET /ssf/streams", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := client.ReadStreams(t.Context())
	var p *receiver.Problem
	if !errors.As(err, &p) || p.Status != 429 || p.RetryAfter != 7*time.Second {
		t.Errorf("%v", err)
	}
}

// PB-18, PU-09: no secret in the clear, and none to where an answer points.
func TestTokenStaysHome(t *testing.T) {
	called := false
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { called = true }))
	defer plain.Close()
	server, client := newHub(t)
	server.HandleFunc("GET /delta", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) })
	for _, err := range client.Delta(t.Context(), "", 0) {
		var p *receiver.Problem
		if !errors.As(err, &p) || p.Status != http.StatusFound || called {
			t.Errorf("redirected: %v", err)
		}
	}
	far := &receiver.Client{Base: "http://hub.example", Token: receiver.StaticToken(bearer)}
	if _, err := far.Subject(t.Context(), "u1", nil); !errors.Is(err, receiver.ErrInsecure) {
		t.Errorf("in the clear: %v", err)
	}
}

// RFC 8936 section 2.4: what was kept is acknowledged, what is refused is reported, what failed is neither.
func TestReceive(t *testing.T) {
	server, client := newHub(t)
	signer := server.signer(t, "k1", true)
	fine, refused, failing := server.token("u1", events.FeedAdd, nil), server.token("u2", events.FeedAdd, nil), server.token("u3", events.FeedAdd, nil)
	forged := server.signer(t, "k1", false)
	waiting := events.Sets{
		{JTI: fine.JTI, Compact: sign(t, signer, fine)}, {JTI: refused.JTI, Compact: sign(t, signer, refused)},
		{JTI: failing.JTI, Compact: sign(t, signer, failing)}, {JTI: "forged", Compact: sign(t, forged, fine)},
		{JTI: "other", Compact: sign(t, signer, fine)},
	}
	polls := 0
	server.HandleFunc("POST /ssf/poll/st1", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		q, err := events.ParsePollRequest(body)
		if err != nil {
			t.Error(err)
		}
		for _, jti := range slices.Concat(q.Ack, slices.Collect(maps.Keys(q.SetErrs))) {
			waiting = slices.DeleteFunc(waiting, func(s events.Set) bool { return s.JTI == jti })
		}
		if polls++; polls == 2 {
			if q.SetErrs[refused.JTI].Err != events.CodeInvalidState || q.SetErrs["forged"].Err != events.CodeInvalidKey ||
				q.SetErrs["other"].Err != events.CodeInvalidRequest || !slices.Equal(q.Ack, []string{fine.JTI}) {
				t.Errorf("settled with %s", body)
			}
			if *q.MaxEvents != 0 || !q.ReturnImmediately {
				t.Errorf("PB-03: %s", body)
			}
			answer(w, events.PollResponse{})
			return
		}
		answer(w, events.PollResponse{Sets: waiting})
	})
	stream := events.StreamConfiguration{Audience: events.Audience{audience},
		Delivery: &events.Delivery{Method: events.MethodPoll, EndpointURL: server.URL + "/ssf/poll/st1"}}
	full := errors.New("disk is full")
	keep := func(_ context.Context, token events.Token) error {
		switch token.JTI {
		case refused.JTI:
			return &receiver.Refusal{Code: events.CodeInvalidState}
		case failing.JTI:
			return full
		}
		return nil
	}
	if err := client.Receive(t.Context(), stream, keep); !errors.Is(err, full) {
		t.Errorf("ended with %v", err)
	}
	if len(waiting) != 1 || waiting[0].JTI != failing.JTI {
		t.Errorf("%d tokens wait", len(waiting))
	}

	// It comes again; what was kept is acknowledged though the caller is ending.
	ctx, cancel := context.WithCancel(t.Context())
	err := client.Receive(ctx, stream, func(context.Context, events.Token) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) || len(waiting) != 0 {
		t.Errorf("ended with %v, %d tokens wait", err, len(waiting))
	}
}

// A reader that applies pages in order misses nothing; an expired cursor starts a snapshot.
func TestDelta(t *testing.T) {
	server, client := newHub(t)
	var asked []string
	item := func(id string) []events.Item { return []events.Item{{ID: id, Subject: events.SCIM("/Users/"+id, "")}} }
	server.HandleFunc("GET /delta", func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		switch r.URL.Query().Get("cursor") {
		case "c0":
			problem(w, http.StatusGone, events.ProblemCursorExpired)
		case "":
			answer(w, events.Page{Changes: item("u1"), Cursor: "c1", More: true})
		case "c1":
			answer(w, events.Page{Changes: item("u2"), Cursor: "c2"})
		case "c2":
			answer(w, events.Page{Cursor: "c3"})
		default:
			problem(w, http.StatusGone, events.ProblemAgreementEnded)
		}
	})
	read := func(cursor string, wait time.Duration) (ids, last string, snapshot bool, err error) {
		for page, e := range client.Delta(t.Context(), cursor, wait) {
			if err = e; e != nil {
				break
			}
			for _, c := range page.Changes {
				ids += c.ID + " "
			}
			last, snapshot = page.Cursor, page.Snapshot
		}
		return
	}
	for _, row := range []struct {
		cursor   string
		ids      string
		last     string
		snapshot bool
	}{{"", "u1 u2 ", "c2", true}, {"c1", "u2 ", "c2", false}, {"c0", "u1 u2 ", "c2", true}, {"c2", "", "c3", false}} {
		ids, last, snapshot, err := read(row.cursor, 0)
		if ids != row.ids || last != row.last || snapshot != row.snapshot || err != nil {
			t.Errorf("from %q: %q, %q, snapshot %v, %v", row.cursor, ids, last, snapshot, err)
		}
	}
	if _, _, _, err := read("c9", 0); !errors.Is(err, receiver.ErrEnded) {
		t.Errorf("agreement ended: %v", err)
	}
	asked = nil
	_, _, _, _ = read("c2", time.Hour)
	if !slices.Equal(asked, []string{"cursor=c2&wait=60"}) {
		t.Errorf("asked %q", asked)
	}
	for range client.Delta(t.Context(), "", 0) {
		break // a reader may stop
	}
}
