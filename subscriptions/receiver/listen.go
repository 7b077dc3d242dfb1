package receiver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"tidings/events"
)

const (
	// silence is how long the hub may be silent: it pings more often than that.
	silence = 90 * time.Second
	// farewell is for what is still to be said when the end has come.
	farewell = 5 * time.Second
)

// Listen keeps a socket open to a websocket stream and takes its tokens as they come, until ctx ends, the socket does or
// keep fails, and says which it was. Tokens are checked, kept and acknowledged as by Receive. Call it again, after a
// pause; a *Problem of status 401 means that it takes another bearer token, one of 404 that the stream is gone.
func (c *Client) Listen(ctx context.Context, stream events.StreamConfiguration, keep func(context.Context, events.Token) error) error {
	if stream.Delivery == nil || stream.Delivery.Method != events.MethodWebsocket || len(stream.Audience) == 0 {
		return errors.New("listen: not a websocket stream")
	}
	conn, err := c.dial(ctx, stream.Delivery.EndpointURL)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer conn.Close()
	// The end of ctx ends the waiting for a frame; what was kept by then is still acknowledged.
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })()
	for {
		answer, err := hear(ctx, conn)
		if err != nil {
			return fmt.Errorf("listen: %w", cmp.Or(ctx.Err(), err))
		}
		said, err := c.receive(ctx, stream.Audience[0], answer, keep)
		conn.SetWriteDeadline(time.Now().Add(farewell))
		if failed := errors.Join(err, conn.WriteJSON(said), ctx.Err()); failed != nil {
			leave(conn)
			return failed
		}
	}
}

// leave closes the socket and waits for the hub's part of it: then it has read what was said last.
func leave(conn *websocket.Conn) {
	until := time.Now().Add(farewell)
	err := conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), until)
	conn.SetReadDeadline(until)
	for err == nil {
		_, _, err = conn.NextReader()
	}
}

// dial opens the socket with the bearer token in the header, under the rules of every other call.
func (c *Client) dial(ctx context.Context, endpoint string) (*websocket.Conn, error) {
	r, err := c.request(ctx, request{url: "http" + strings.TrimPrefix(endpoint, "ws")}) // https of wss
	if err != nil {
		return nil, err
	}
	d := websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: 30 * time.Second}
	if t, ok := cmp.Or(c.HTTP, plainHTTP).Transport.(*http.Transport); ok {
		d.TLSClientConfig, d.Proxy, d.NetDialContext = t.TLSClientConfig, t.Proxy, t.DialContext
	}
	conn, answer, err := d.DialContext(ctx, endpoint, http.Header{"Authorization": r.Header["Authorization"]})
	if errors.Is(err, websocket.ErrBadHandshake) {
		body, _ := io.ReadAll(answer.Body) // the library keeps the beginning
		return nil, problem(answer, body)
	}
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(maxAnswer)
	conn.SetPingHandler(func(text string) error {
		await(ctx, conn)
		return conn.WriteControl(websocket.PongMessage, []byte(text), time.Now().Add(farewell))
	})
	return conn, nil
}

// hear waits for the next frame.
func hear(ctx context.Context, conn *websocket.Conn) (answer events.PollResponse, err error) {
	await(ctx, conn)
	kind, body, err := conn.ReadMessage()
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed) && closed.Code == websocket.ClosePolicyViolation:
		return answer, &Problem{Status: http.StatusUnauthorized, Title: closed.Text}
	case errors.As(err, &closed) && closed.Code == events.CloseGoAway:
		return answer, &Problem{Status: http.StatusNotFound, Title: closed.Text}
	case err != nil:
		return answer, err
	case kind != websocket.TextMessage:
		return answer, errors.New("frame is not text")
	}
	return answer, json.Unmarshal(body, &answer)
}

// await lets the hub be silent for a while, unless ctx is over: the deadline that says so may have come before this one.
func await(ctx context.Context, conn *websocket.Conn) {
	conn.SetReadDeadline(time.Now().Add(silence))
	if ctx.Err() != nil {
		conn.SetReadDeadline(time.Now())
	}
}
