package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tidings/events"
	"tidings/subscriptions/receiver"
)

// A receiver with a socket, through the whole program: a digest stream's notices, the first at once, then only signals;
// the cursor fetches what changed; a token in the query opens nothing; a hub that stops says so, and the one after it
// gives what was not acknowledged.
func TestStoryOfASocket(t *testing.T) {
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		var made events.StreamConfiguration
		w.must("POST", "/ssf/streams", w.shop.Token, object{
			"delivery":         object{"method": events.MethodWebsocket},
			"events_requested": []events.Type{events.Digest, events.SessionRevoked},
		}, &made)
		if want := "ws" + strings.TrimPrefix(w.hub.url, "http") + "/ssf/socket/" + made.StreamID; made.Delivery.EndpointURL != want || made.DigestInterval != 60 {
			t.Fatalf("made %+v, %d s", made.Delivery, made.DigestInterval)
		}
		conn, answer, err := websocket.DefaultDialer.Dial(made.Delivery.EndpointURL+"?access_token="+w.shop.Token, nil)
		if err == nil {
			conn.Close()
			t.Fatal("a token in the query opens a socket")
		}
		if answer.StatusCode/100 != 4 || answer.Header.Get("WWW-Authenticate") == "" {
			body, _ := io.ReadAll(answer.Body)
			t.Errorf("a token in the query: %d %s", answer.StatusCode, body)
		}
		if _, answer, err = websocket.DefaultDialer.Dial(made.Delivery.EndpointURL, nil); err == nil || answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("no token: %v", answer)
		}

		client := &receiver.Client{Base: w.hub.url, Token: receiver.StaticToken(w.shop.Token)}
		took := make(chan events.Token, 10)
		ended := make(chan error, 1)
		busy := errors.New("not now")
		listen := func(keep func(events.Token) error) {
			ended <- client.Listen(t.Context(), made, func(_ context.Context, token events.Token) error {
				took <- token
				return keep(token)
			})
		}
		next := func() events.Token {
			t.Helper()
			select {
			case token := <-took:
				return token
			case err := <-ended:
				t.Fatalf("the socket ended: %v", err)
			case <-time.After(patience):
				t.Fatal("nothing came")
			}
			return events.Token{}
		}
		go listen(func(events.Token) error { return nil })
		w.patch(anna, object{"title": "Cook"})
		digest := next()
		cursor, _ := digest.Payload["cursor"].(string)
		if page := w.delta(w.shop.Token, cursor); digest.Event != events.Digest || len(page.Changes) != 1 || page.Changes[0].ID != anna.id {
			t.Errorf("%s led to %+v", digest.Event, page.Changes)
		}
		w.patch(anna, object{"title": "Count"}) // belongs to the next digest
		w.tidings(nil, "signal", "raise", "--user", "anna", "--type", "session-revoked")
		if signal := next(); signal.Event != events.SessionRevoked {
			t.Errorf("a signal is told as %s", signal.Event)
		}

		w.hub.stop(t)
		var closed *websocket.CloseError
		if err := <-ended; !errors.As(err, &closed) || closed.Code != events.CloseReconnect {
			t.Errorf("a hub that stops: %v", err)
		}
		w.tidings(nil, "signal", "raise", "--user", "anna", "--type", "session-revoked")
		w.hub = s.serve(strings.TrimPrefix(w.hub.url, "http://"))
		go listen(func(events.Token) error { return busy })
		first := next()
		if err := <-ended; !errors.Is(err, busy) {
			t.Errorf("ended with %v", err)
		}
		go listen(func(events.Token) error { return nil })
		if again := next(); again.JTI != first.JTI {
			t.Error("what was not acknowledged is another token")
		}
	})
}
