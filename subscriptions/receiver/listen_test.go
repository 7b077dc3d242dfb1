package receiver_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tidings/events"
	"tidings/subscriptions/receiver"
)

// socketHub is a hub with one websocket stream: each connection is served as the test says.
func socketHub(t *testing.T, serve func(*websocket.Conn)) (*hub, *receiver.Client, events.StreamConfiguration) {
	server, client := newHub(t)
	var up websocket.Upgrader
	server.HandleFunc("GET /ssf/socket/st1", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+bearer {
			problem(w, http.StatusUnauthorized, "urn:tidings:problem:unauthenticated")
			return
		}
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		serve(c)
	})
	return server, client, events.StreamConfiguration{Audience: events.Audience{audience},
		Delivery: &events.Delivery{Method: events.MethodWebsocket, EndpointURL: "ws" + strings.TrimPrefix(server.URL, "http") + "/ssf/socket/st1"}}
}

// What was kept is acknowledged, what is refused is reported, what failed is neither; and what was said last arrives.
func TestListen(t *testing.T) {
	var server *hub
	var frames []events.PollResponse
	var said []events.PollRequest
	server, client, stream := socketHub(t, func(c *websocket.Conn) {
		for _, f := range frames {
			if err := c.WriteJSON(f); err != nil {
				t.Error(err)
			}
			var q events.PollRequest
			if err := c.ReadJSON(&q); err != nil {
				t.Error(err)
			}
			said = append(said, q)
		}
		c.ReadMessage() // its close frame, which is answered
	})
	signer := server.signer(t, "k1", true)
	fine, refused, failing := server.token("u1", events.FeedAdd, nil), server.token("u2", events.FeedAdd, nil), server.token("u3", events.FeedAdd, nil)
	set := func(token events.Token) events.Set {
		return events.Set{JTI: token.JTI, Compact: sign(t, signer, token)}
	}
	frames = []events.PollResponse{{Sets: events.Sets{set(fine)}}, {Sets: events.Sets{set(refused), {JTI: "other", Compact: set(fine).Compact}, set(failing)}}}
	full := errors.New("disk is full")
	err := client.Listen(t.Context(), stream, func(_ context.Context, token events.Token) error {
		switch token.JTI {
		case refused.JTI:
			return &receiver.Refusal{Code: events.CodeInvalidState}
		case failing.JTI:
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || len(said) != 2 {
		t.Fatalf("ended with %v after %d frames", err, len(said))
	}
	if !slices.Equal(said[0].Ack, []string{fine.JTI}) || len(said[1].Ack) != 0 || len(said[1].SetErrs) != 2 ||
		said[1].SetErrs[refused.JTI].Err != events.CodeInvalidState || said[1].SetErrs["other"].Err != events.CodeInvalidRequest {
		t.Errorf("said %+v", said)
	}
}

// How it ends: with ctx at once, and as a call would have it when the hub closes.
func TestListenEnds(t *testing.T) {
	for name, c := range map[string]struct {
		code, want int
	}{
		"token revoked": {websocket.ClosePolicyViolation, http.StatusUnauthorized},
		"stream gone":   {events.CloseGoAway, http.StatusNotFound},
		"reconnect":     {events.CloseReconnect, 0},
	} {
		_, client, stream := socketHub(t, func(conn *websocket.Conn) {
			conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(c.code, "why"), time.Now().Add(time.Second))
			conn.ReadMessage()
		})
		err := client.Listen(t.Context(), stream, nil)
		var p *receiver.Problem
		if errors.As(err, &p); err == nil || p != nil && p.Status != c.want || p == nil && c.want != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, client, stream := socketHub(t, func(conn *websocket.Conn) { cancel(); conn.ReadMessage() })
	if err := client.Listen(ctx, stream, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	client.Token = receiver.StaticToken("another")
	var p *receiver.Problem
	if err := client.Listen(t.Context(), stream, nil); !errors.As(err, &p) || p.Status != http.StatusUnauthorized {
		t.Errorf("refused with %v", err)
	}
	stream.Delivery.EndpointURL = "ws://hub.example/ssf/socket/st1"
	if err := client.Listen(t.Context(), stream, nil); !errors.Is(err, receiver.ErrInsecure) {
		t.Errorf("in the clear: %v", err)
	}
}
