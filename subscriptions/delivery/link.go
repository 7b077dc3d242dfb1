package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"tidings/events"
	"tidings/hub"
)

// link is one receiver's socket. One goroutine reads what the receiver says of tokens, one writes tokens; nothing is
// queued between them: what the engine lets go is written at once, and how much that is the receiver's acknowledgements
// say.
type link struct {
	w      *Websocket
	conn   *websocket.Conn
	party  hub.ID
	stream hub.ID
	bearer string
	room   chan struct{} // half the window is free; holds one

	mu      sync.Mutex
	flying  map[string]flight // tokens that were sent, by jti
	starved bool              // there is more to send than there was room for
	closing bool
}

// flight is a token that is on its way, until it is owed again.
type flight struct {
	attempt int
	until   time.Time
}

// goodbye is a close code and what it means here.
type goodbye struct {
	code   int
	reason string
}

func (g *goodbye) Error() string { return g.reason }

// errGone: the connection is over.
var errGone = errors.New("connection is over")

// serve returns when the connection is over and nothing of it is under way any more.
func (l *link) serve() {
	ctx, cancel := context.WithCancel(l.w.ctx)
	defer cancel()
	l.conn.SetReadLimit(events.MaxPoll)
	l.listen()
	var writing sync.WaitGroup
	writing.Go(func() { l.write(ctx) })
	l.read(ctx)
	cancel()
	l.conn.Close() // frees a writer that is stuck
	writing.Wait()
	l.release()
}

// end closes the socket with a code. From here on no frame is sent; the receiver has a while to answer, and what it
// says of tokens until then counts.
func (l *link) end(code int, reason string) {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return
	}
	l.closing = true
	deadline := time.Now().Add(l.w.closeTime)
	l.conn.SetReadDeadline(deadline)
	l.mu.Unlock()
	l.hangUp(l.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), deadline))
}

// hangUp ends a connection that cannot be written to: half a frame cannot be followed by a close frame.
func (l *link) hangUp(err error) {
	if err != nil && !errors.Is(err, websocket.ErrCloseSent) {
		l.conn.Close()
	}
}

// listen lets the receiver be silent as long as it answers pings.
func (l *link) listen() {
	silence := 2*l.w.keepalive + l.w.writeTime
	l.conn.SetPongHandler(func(string) error { return l.patience(silence) })
	l.patience(silence)
}

// patience gives the receiver time for what is next; one that closes has its own.
func (l *link) patience(d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return nil
	}
	return l.conn.SetReadDeadline(time.Now().Add(d))
}

// linger takes what the receiver still sends while it has not read our goodbye: closing a connection with unread bytes
// would take the close frame away from it.
func (l *link) linger() {
	raw := l.conn.NetConn()
	if raw.SetReadDeadline(time.Now().Add(l.w.closeTime)) == nil {
		io.Copy(io.Discard, io.LimitReader(raw, 4*events.MaxPoll))
	}
}

// check asks anew whether the caller may have the stream's tokens: its credential may have been revoked or have ended,
// the stream may be another (WS-03).
func (l *link) check(ctx context.Context) error {
	caller, err := l.w.engine.Authenticate(ctx, l.bearer)
	if err != nil {
		return err
	}
	_, err = l.w.poll.streamOf(ctx, caller, l.stream.String(), events.MethodWebsocket)
	return err
}

// read takes frames until the connection is over.
func (l *link) read(ctx context.Context) {
	for {
		request, err := l.frame()
		var wrong *goodbye
		switch {
		case errors.As(err, &wrong):
			l.end(wrong.code, wrong.reason)
			l.linger()
			return
		case err != nil || !l.admit(ctx, request):
			return
		case len(request.Ack)+len(request.SetErrs) == 0:
			continue
		}
		if err = l.check(ctx); err == nil {
			err = l.settle(ctx, request)
		}
		if err != nil {
			l.fail(ctx, err)
		}
	}
}

// admit waits until the party may say that much: a frame counts as a request does, and as several if what it says takes
// several transactions. Meanwhile it is not read, so that a receiver that talks too much is slowed down and not cut off.
func (l *link) admit(ctx context.Context, request events.PollRequest) bool {
	const again = 10 * time.Millisecond
	for n := len(request.Ack) + len(request.SetErrs); ; n -= settleAtOnce {
		for l.w.often.Take(string(l.party[:])) != nil {
			pause := time.NewTimer(again)
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
				return false
			}
		}
		if n <= settleAtOnce {
			l.listen() // the time it was not read is not its silence
			return true
		}
	}
}

// fail ends the socket for what the engine said.
func (l *link) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	code, reason := farewell(err)
	if code == events.CloseReconnect {
		l.w.log.Error("a receiver's socket cannot go on", "stream", l.stream, "error", err)
	}
	l.end(code, reason)
}

// frame reads one frame. What the receiver began to say it has to end: not even a pong buys more time for the rest.
func (l *link) frame() (events.PollRequest, error) {
	kind, from, err := l.conn.NextReader()
	var body []byte
	begun := err == nil
	if begun {
		l.conn.SetPongHandler(func(string) error { return nil })
		l.patience(l.w.frameTime)
		body, err = io.ReadAll(from)
	}
	var late net.Error
	switch {
	case err == nil:
		l.listen()
		return readFrame(kind, body)
	case errors.Is(err, websocket.ErrReadLimit): // the library has said so
		return events.PollRequest{}, &goodbye{websocket.CloseMessageTooBig, "the frame is too large"}
	case begun && errors.As(err, &late) && late.Timeout():
		return events.PollRequest{}, &goodbye{events.CloseSlow, "the frame took too long"}
	}
	return events.PollRequest{}, errGone
}

// readFrame reads what a receiver says of tokens: ack and setErrs of RFC 8936 section 2.2. Other members are passed
// over; how much it is sent a receiver says by acknowledging.
func readFrame(kind int, body []byte) (events.PollRequest, error) {
	if kind != websocket.TextMessage {
		return events.PollRequest{}, &goodbye{websocket.CloseUnsupportedData, "frames are text"}
	}
	request, err := events.ParsePollRequest(body)
	if err != nil {
		return events.PollRequest{}, &goodbye{websocket.CloseInvalidFramePayloadData, "the frame is not as in RFC 8936 section 2.2"}
	}
	return request, nil
}

// settle takes the receiver's word, and wakes the writer when there is room for a good portion again.
func (l *link) settle(ctx context.Context, request events.PollRequest) error {
	if err := l.w.poll.settle(ctx, l.stream, request); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, jti := range request.Ack {
		delete(l.flying, jti)
	}
	for jti := range request.SetErrs {
		delete(l.flying, jti)
	}
	if l.starved && len(l.flying) <= l.w.window/2 {
		select {
		case l.room <- struct{}{}:
		default:
		}
	}
	return nil
}

// write sends what is next on the stream whenever there is something, until the socket is over.
func (l *link) write(ctx context.Context) {
	ping := time.NewTicker(l.w.keepalive)
	defer ping.Stop()
	for {
		wake := l.w.engine.Wake()
		more, err := l.tell(ctx)
		if errors.Is(err, errGone) {
			return
		}
		if err != nil {
			l.fail(ctx, err)
			return
		}
		if more && l.free() >= (l.w.window+1)/2 {
			continue
		}
		l.mu.Lock()
		l.starved = more
		l.mu.Unlock()
		if !l.rest(ctx, wake, ping.C) {
			return
		}
	}
}

// rest waits for a hint, for room, or for the next look, and pings meanwhile; false when the socket is over. Hints come
// with every commit of anybody.
func (l *link) rest(ctx context.Context, wake <-chan struct{}, ping <-chan time.Time) bool {
	least, again := time.NewTimer(leastPoll), time.NewTimer(l.w.look)
	defer least.Stop()
	defer again.Stop()
	for hinted, rested := false, false; !hinted || !rested; {
		select {
		case <-l.room:
			return true
		case <-again.C:
			return true
		case <-wake:
			wake, hinted = nil, true
		case <-least.C:
			rested = true
		case <-ping:
			// One that does not read is found out by its pong, which does not come.
			if err := l.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(l.w.writeTime)); err != nil {
				l.hangUp(err)
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// free is how many tokens more may be on their way. Those whose lease is over are owed again and do not count.
func (l *link) free() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for jti, f := range l.flying {
		if !now.Before(f.until) {
			delete(l.flying, jti)
		}
	}
	return l.w.window - len(l.flying)
}

// tell sends one frame of what is next, as much as there is room for. As an answered poll it ends the attempts when the
// frame is written: the tokens are owed until they are acknowledged, and due again when their lease is over, so that the
// end of a grant need not wait for a receiver that is slow to acknowledge (WS-05).
func (l *link) tell(ctx context.Context) (more bool, err error) {
	if err := l.check(ctx); err != nil {
		return false, err
	}
	room := l.free()
	if room <= 0 {
		return true, nil // what is acknowledged next makes some
	}
	out, more, err := l.w.engine.NextTokens(ctx, l.stream, l.w.poll.node, l.w.poll.lease, room)
	if err != nil || len(out) == 0 {
		return more && err == nil, err
	}
	due := time.Now().Add(l.w.poll.lease)
	l.fly(out, due) // before they are sent: an acknowledgement can be fast
	if err := l.send(out, more); err != nil {
		return false, err // what flies is released when the socket is over
	}
	l.w.poll.release(ctx, l.stream, out, due)
	return more, nil
}

func (l *link) fly(out []hub.Outgoing, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range out {
		l.flying[t.JTI] = flight{t.Attempts, until}
	}
}

func (l *link) send(out []hub.Outgoing, more bool) error {
	frame := events.PollResponse{MoreAvailable: more}
	for _, t := range out {
		frame.Sets = append(frame.Sets, events.Set{JTI: t.JTI, Compact: string(t.Compact)})
	}
	body, err := json.Marshal(frame)
	if err != nil {
		return err
	}
	l.conn.SetWriteDeadline(time.Now().Add(l.w.writeTime))
	if err := l.conn.WriteMessage(websocket.TextMessage, body); err != nil {
		l.hangUp(err) // it does not read, or is gone
		return errGone
	}
	return nil
}

// release makes due at once what was sent and not acknowledged: the next socket gets the same bytes.
func (l *link) release() {
	l.free()
	l.mu.Lock()
	out := make([]hub.Outgoing, 0, len(l.flying))
	for jti, f := range l.flying {
		out = append(out, hub.Outgoing{JTI: jti, Attempts: f.attempt})
	}
	l.mu.Unlock()
	if len(out) > 0 {
		l.w.poll.release(l.w.ctx, l.stream, out, time.Now())
	}
}
