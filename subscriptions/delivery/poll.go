package delivery

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

const (
	// maxPollSets bounds one answer, also for those who ask for no limit (PO-01).
	maxPollSets = 100
	// settleAtOnce bounds the outcomes of one transaction; a request of a megabyte can hold many.
	settleAtOnce = 500
	// maxWaiting bounds a party's polls that wait.
	maxWaiting = 64
	// leastPoll is the rest of a waiting poll between two looks: hints come with every commit of anybody. A SET that was
	// handed out and not acknowledged comes due without a hint, so there is a look every now and then in any case.
	leastPoll = 50 * time.Millisecond
	lookAgain = 5 * time.Second
	// writeTime is how long a receiver may take to read an answer.
	writeTime = 15 * time.Second
)

// PollEngine is what polling needs of the engine (*hub.Hub).
type PollEngine interface {
	Wake() <-chan struct{}
	Closing() <-chan struct{}
	Still(ctx context.Context, c hub.Caller) error
	Stream(ctx context.Context, c hub.Caller, id string) (*hub.Stream, error)
	NextTokens(ctx context.Context, stream hub.ID, owner string, busy time.Duration, n int) (out []hub.Outgoing, more bool, err error)
	Waiting(ctx context.Context, stream hub.ID) (bool, error)
	Settle(ctx context.Context, stream hub.ID, outcomes []hub.Outcome) error
}

// Poll answers receivers that fetch their tokens (RFC 8936): POST …/{stream_id}, with the caller in the context.
type Poll struct {
	engine PollEngine
	log    *slog.Logger
	node   string

	wait time.Duration // how long a poll is held at most (PB-02)
	// lease is how long what was handed out is not handed out again (PB-20), unless it is acknowledged before.
	lease time.Duration

	mu      sync.Mutex
	waiting map[hub.ID]int
}

// NewPoll makes the handler.
func NewPoll(engine PollEngine, log *slog.Logger) *Poll {
	name := make([]byte, 8)
	rand.Read(name)
	return &Poll{
		engine: engine, log: log, node: "poll-" + hex.EncodeToString(name),
		wait: 30 * time.Second, lease: 30 * time.Second, waiting: map[hub.ID]int{},
	}
}

// ServeHTTP takes what the receiver reports and answers with what is next, waiting for it if need be.
func (p *Poll) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	caller, known := hub.CallerFrom(ctx)
	if !known {
		p.refuse(w, r, hub.ErrUnauthenticated)
		return
	}
	stream, request, err := p.read(w, r, caller)
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	if err := p.settle(ctx, stream.ID, request); err != nil {
		p.refuse(w, r, err)
		return
	}
	out, more, err := p.next(ctx, caller, stream, request)
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	due := time.Now().Add(p.lease)
	// Whether the client has gone is asked before: one that hangs up once it has its answer did not go without it.
	if ctx.Err() != nil || p.answer(w, out, more) != nil {
		p.release(ctx, stream.ID, out, time.Now()) // nobody has it (PB-21)
		panic(http.ErrAbortHandler)                // or an answer without a body would be sent (PS-01)
	}
	p.release(ctx, stream.ID, out, due)
}

// wrong is a request that is refused for its form.
type wrong struct{ problem }

func (e wrong) Error() string { return e.Title }

// read finds whose stream it is and what is asked. The stream comes first: what a stranger sends is not even parsed.
func (p *Poll) read(w http.ResponseWriter, r *http.Request, caller hub.Caller) (*hub.Stream, events.PollRequest, error) {
	var request events.PollRequest
	stream, err := p.streamOf(r.Context(), caller, r.PathValue("stream_id"), events.MethodPoll)
	if err != nil {
		return nil, request, err
	}
	if text := r.Header.Get("Content-Type"); text != "" {
		if kind, _, err := mime.ParseMediaType(text); err != nil || kind != "application/json" {
			return nil, request, wrong{problem{Status: http.StatusUnsupportedMediaType, Type: urn + "media-type", Title: "The request body must be application/json"}}
		}
	}
	// To its end: only then does the server notice that the client has gone (PB-21).
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, events.MaxPoll))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, request, wrong{problem{Status: http.StatusRequestEntityTooLarge, Type: urn + "too-large", Title: "The request body is too large"}}
	}
	if err != nil {
		return nil, request, fmt.Errorf("poll: %w: body ended early", events.ErrInvalidRequest)
	}
	request, err = events.ParsePollRequest(body)
	return stream, request, err
}

// streamOf finds the stream whose tokens the caller may fetch by a method; of another method there is none.
func (p *Poll) streamOf(ctx context.Context, c hub.Caller, id, method string) (*hub.Stream, error) {
	if c.Role != hub.RoleParty {
		return nil, hub.ErrForbidden
	}
	stream, err := p.engine.Stream(ctx, c, id)
	if err == nil && stream.Settings.Delivery.Method != method {
		err = hub.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return stream, nil
}

// settle applies acknowledgements, then errors (PB-05). What is not on the stream or was settled before changes nothing
// (PB-12); a token in both lists was not accepted (PB-13).
func (p *Poll) settle(ctx context.Context, stream hub.ID, request events.PollRequest) error {
	outcomes := make([]hub.Outcome, 0, len(request.Ack)+len(request.SetErrs))
	for _, jti := range request.Ack {
		if _, both := request.SetErrs[jti]; !both {
			outcomes = append(outcomes, hub.Outcome{JTI: jti, Next: subscriptions.Done})
		}
	}
	for jti, said := range request.SetErrs {
		next, reason := subscriptions.PollError(said.Err)
		outcomes = append(outcomes, hub.Outcome{JTI: jti, Next: next, Reason: reason, Description: said.Description})
	}
	if len(request.SetErrs) > 0 {
		p.log.Warn("receiver did not accept tokens", "stream", stream, "tokens", len(request.SetErrs))
	}
	for len(outcomes) > 0 {
		n := min(len(outcomes), settleAtOnce)
		if err := p.engine.Settle(ctx, stream, outcomes[:n]); err != nil {
			return err
		}
		outcomes = outcomes[n:]
	}
	return nil
}

// next begins what is next on the stream. Unless it has to return immediately it waits for something to come, no longer
// than the wait and no longer than the client does. A stream that is not enabled has nothing to send (ST-11).
func (p *Poll) next(ctx context.Context, caller hub.Caller, stream *hub.Stream, request events.PollRequest) (out []hub.Outgoing, more bool, err error) {
	limit := maxPollSets
	if request.MaxEvents != nil {
		limit = min(limit, *request.MaxEvents)
	}
	look := func() (err error) {
		if limit == 0 { // PB-04: it wants to know, and takes none
			more, err = p.engine.Waiting(ctx, stream.ID)
		} else {
			out, more, err = p.engine.NextTokens(ctx, stream.ID, p.node, p.lease, limit)
		}
		return err
	}
	if request.ReturnImmediately {
		if limit == 0 {
			return nil, false, nil
		}
		err = look()
		return out, more, err
	}
	if !p.enter(stream.Party) {
		return nil, false, fmt.Errorf("%w: polls that wait", hub.ErrTooMany)
	}
	defer p.leave(stream.Party)
	deadline := time.NewTimer(p.wait)
	defer deadline.Stop()
	for {
		wake := p.engine.Wake()
		if err = look(); err != nil || len(out) > 0 || limit == 0 && more {
			return out, more, err
		}
		if !p.hold(ctx, wake, deadline.C) {
			return nil, false, nil
		}
		// While it waited the credential may have ended, and the stream too, or gone over to another method (TestPollLosesItsRight).
		if err = p.engine.Still(ctx, caller); err != nil {
			return nil, false, err
		}
		if _, err = p.streamOf(ctx, caller, stream.ID.String(), events.MethodPoll); err != nil {
			return nil, false, err
		}
	}
}

// hold waits for a hint; false when there is no more time.
func (p *Poll) hold(ctx context.Context, wake <-chan struct{}, deadline <-chan time.Time) bool {
	least, again := time.NewTimer(leastPoll), time.NewTimer(lookAgain)
	defer least.Stop()
	defer again.Stop()
	select {
	case <-wake:
	case <-again.C:
	case <-deadline:
		return false
	case <-p.engine.Closing():
		return false
	case <-ctx.Done():
		return false
	}
	select {
	case <-least.C:
	case <-deadline:
		return false
	case <-p.engine.Closing():
		return false
	case <-ctx.Done():
		return false
	}
	return true
}

func (p *Poll) enter(party hub.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[party] >= maxWaiting {
		return false
	}
	p.waiting[party]++
	return true
}

func (p *Poll) leave(party hub.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[party]--; p.waiting[party] == 0 {
		delete(p.waiting, party)
	}
}

func (p *Poll) answer(w http.ResponseWriter, out []hub.Outgoing, more bool) error {
	response := events.PollResponse{MoreAvailable: more}
	for _, t := range out {
		response.Sets = append(response.Sets, events.Set{JTI: t.JTI, Compact: string(t.Compact)})
	}
	body, err := json.Marshal(response)
	if err != nil {
		return err
	}
	// A server's own deadline may have passed while the poll waited; where it cannot be set, there is none.
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(time.Now().Add(writeTime))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if _, err := w.Write(body); err != nil {
		return err
	}
	return c.Flush()
}

// release ends the attempts: what was handed out is owed until it is acknowledged, and due again at the given time. An
// acknowledgement that was faster has settled it, and then this changes nothing.
func (p *Poll) release(ctx context.Context, stream hub.ID, out []hub.Outgoing, due time.Time) {
	outcomes := make([]hub.Outcome, len(out))
	for i, t := range out {
		outcomes[i] = hub.Outcome{JTI: t.JTI, Next: subscriptions.Retry, Due: due.UnixMicro(), Attempt: t.Attempts}
	}
	// If this fails, the attempts end by themselves when the time given to Next is over.
	if err := p.engine.Settle(context.WithoutCancel(ctx), stream, outcomes); err != nil {
		p.log.Error("handed-out tokens stay leased", "stream", stream, "tokens", len(out), "error", err)
	}
}

func (p *Poll) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var form wrong
	if errors.As(err, &form) {
		form.write(w)
		return
	}
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody is there
	}
	answer := problemOf(err)
	if answer.Status == http.StatusInternalServerError {
		p.log.Error("poll failed", "error", err)
	}
	answer.write(w)
}
