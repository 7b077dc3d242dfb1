package receiver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tidings/events"
)

// pollMost is how many SETs one poll asks for.
const pollMost = 100

// Poll asks at a poll stream's endpoint_url for SETs, and settles earlier ones (RFC 8936 section 2.4).
func (c *Client) Poll(ctx context.Context, endpoint string, q events.PollRequest) (events.PollResponse, error) {
	var answer events.PollResponse
	_, err := c.call(ctx, request{method: http.MethodPost, url: endpoint, body: q}, &answer)
	return answer, wrap("poll", err)
}

// Receive polls a stream until ctx ends, a call fails or keep does, and says which it was. Each token is checked and
// handed to keep, which is as Handler.Keep: what was kept is acknowledged, what is refused is reported, and what failed
// comes again. Tokens of one answer are taken one after another, in its order. Call it again, after a pause.
func (c *Client) Receive(ctx context.Context, stream events.StreamConfiguration, keep func(context.Context, events.Token) error) error {
	if stream.Delivery == nil || stream.Delivery.Method != events.MethodPoll || len(stream.Audience) == 0 {
		return errors.New("receive: not a poll stream")
	}
	most, none := pollMost, 0
	ask := events.PollRequest{MaxEvents: &most}
	for {
		answer, err := c.Poll(ctx, stream.Delivery.EndpointURL, ask)
		if err != nil {
			return err
		}
		ask, err = c.receive(ctx, stream.Audience[0], answer, keep)
		ask.MaxEvents = &most
		if failed := errors.Join(err, ctx.Err()); failed != nil {
			// The others were kept and must not come again, though the caller may be in a hurry to end.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			ask.MaxEvents, ask.ReturnImmediately = &none, true // both, to be answered at once (RFC 8936 section 2.4.2)
			_, err := c.Poll(ctx, stream.Delivery.EndpointURL, ask)
			return errors.Join(failed, err)
		}
	}
}

// receive checks the tokens of an answer one after another, hands them over, and returns what is to be said of them. An
// error is the last failure: of that token nothing is said.
func (c *Client) receive(ctx context.Context, audience string, answer events.PollResponse, keep func(context.Context, events.Token) error) (events.PollRequest, error) {
	said := events.PollRequest{SetErrs: map[string]events.SetError{}}
	var failed error
	for _, set := range answer.Sets {
		err := c.receiveOne(ctx, audience, set, keep)
		var refusal *Refusal
		switch {
		case err == nil:
			said.Ack = append(said.Ack, set.JTI)
		case errors.As(err, &refusal):
			said.SetErrs[set.JTI] = events.SetError{Err: refusal.Code, Description: refusal.Description}
		default:
			failed = fmt.Errorf("receive: %w", err)
		}
	}
	return said, failed
}

// receiveOne checks one token and hands it over.
func (c *Client) receiveOne(ctx context.Context, audience string, set events.Set, keep func(context.Context, events.Token) error) error {
	token, err := c.Open(ctx, []byte(set.Compact), audience)
	switch {
	case errors.Is(err, ErrUnavailable):
		return err
	case err != nil:
		return &Refusal{events.Code(err), err.Error()}
	case token.JTI != set.JTI:
		return &Refusal{events.CodeInvalidRequest, "the SET has another jti"}
	}
	return keep(ctx, token)
}
