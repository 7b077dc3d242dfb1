package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidings/events"
)

const (
	// keysFresh is how long keys are used without asking again, so that a withdrawn one is soon no longer believed.
	keysFresh = time.Hour
	// keysLast is how long they are used while the hub cannot be asked.
	keysLast = 24 * time.Hour
	// keysRest is the least time between two readings: a stranger can write any kid into a token.
	keysRest = 5 * time.Second
	// skew is how far the hub's clock may be ahead of this one.
	skew = time.Minute
)

// ErrUnavailable: the hub's keys cannot be read now, so nothing can be said of a token. It may be sent again later.
var ErrUnavailable = errors.New("the hub's keys are not available")

type keyCache struct {
	mu          sync.Mutex
	set         events.KeySet
	read, asked time.Time // when they were read, and when last asked for
}

// Open checks a compact SET (see events.Verify for the order and the errors) and returns its claims. Keys are read when
// needed: at first, after an hour, and when the token names one that is not known. An error may also be ErrUnavailable.
func (c *Client) Open(ctx context.Context, compact []byte, audience string) (events.Token, error) {
	began := c.now()
	expect := events.Expect{Issuer: c.Base, Audience: audience, Now: began, Skew: skew}
	keys, _, err := c.keysSince(ctx, began.Add(-keysFresh))
	if err != nil {
		return events.Token{}, err
	}
	token, err := events.Verify(compact, keys, expect)
	if !errors.Is(err, events.ErrUnknownKey) {
		return token, err
	}
	keys, read, err := c.keysSince(ctx, began)
	if err != nil {
		return events.Token{}, err
	}
	if read.Before(began) {
		return events.Token{}, ErrUnavailable // the key may be a new one
	}
	return events.Verify(compact, keys, expect)
}

// keysSince returns keys that were read at a moment or later, reading them if need be, and when they were read. While
// the hub cannot be asked, older ones are returned.
func (c *Client) keysSince(ctx context.Context, moment time.Time) (events.KeySet, time.Time, error) {
	k := &c.keys
	k.mu.Lock() // also while reading: whoever comes meanwhile wants the same keys
	defer k.mu.Unlock()
	now := c.now()
	if !k.read.IsZero() && !k.read.Before(moment) {
		return k.set, k.read, nil
	}
	err := ErrUnavailable
	if k.asked.IsZero() || now.Sub(k.asked) >= keysRest {
		k.asked = now
		// Whoever sent the token may hang up; the keys are for all who come after.
		var set events.KeySet
		if set, err = c.readKeys(context.WithoutCancel(ctx)); err == nil {
			k.set, k.read = set, now
			return set, now, nil
		}
	}
	if !k.read.IsZero() && now.Sub(k.read) < keysLast {
		return k.set, k.read, nil
	}
	return events.KeySet{}, time.Time{}, err
}

func (c *Client) readKeys(ctx context.Context) (events.KeySet, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	m, err := c.Discover(ctx)
	if err != nil {
		return events.KeySet{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	var raw json.RawMessage
	if _, err := c.call(ctx, request{url: m.JWKSURI, open: true}, &raw); err != nil {
		return events.KeySet{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	set, err := events.ParseKeySet(raw)
	if err != nil {
		return events.KeySet{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return set, nil
}
