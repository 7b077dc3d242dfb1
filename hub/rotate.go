package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tidings/events"
	"tidings/subscriptions"
)

// KeySet holds the public keys that receivers check tokens with, as they are kept at this moment: keys that will sign,
// that sign and that signed.
func (h *Hub) KeySet(ctx context.Context) (events.KeySet, error) {
	ring, err := h.keys.readKeyring(ctx)
	if err != nil {
		return events.KeySet{}, fmt.Errorf("key set: %w", err)
	}
	return ring.public, nil
}

// SigningAlgorithms are those that a key signs with now: all of them, but for a while after a store of an older version was
// opened for the first time.
func (h *Hub) SigningAlgorithms(ctx context.Context) ([]events.Algorithm, error) {
	ring, err := h.keys.readKeyring(ctx)
	if err != nil {
		return nil, fmt.Errorf("signing algorithms: %w", err)
	}
	return slices.DeleteFunc(subscriptions.Algorithms(), func(alg events.Algorithm) bool { return ring.find(alg, ActiveKey) < 0 }), nil
}

// KeySetAge is how long receivers may keep the key set.
func (h *Hub) KeySetAge() time.Duration { return h.conf.KeySetAge }

// SigningKeys lists the keys that sign tokens, without what is secret of them.
func (h *Hub) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	ring, err := h.keys.readKeyring(ctx)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	signed, err := h.store.Signed(ctx)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	list := make([]SigningKey, len(ring.keys))
	for i, k := range ring.keys {
		list[i] = SigningKey{ID: k.ID, Algorithm: k.Algorithm, State: k.State, Published: k.Published, Since: k.Since, Due: k.Due, Tokens: signed[k.ID]}
	}
	return list, nil
}

// DefaultKeyDelay is how long a new key is published before it signs: longer than receivers may keep the key set, with as
// much again twice for caches on the way.
func (h *Hub) DefaultKeyDelay() time.Duration { return 3 * h.conf.KeySetAge }

// RotateKeys publishes a new key for each of the algorithms. After the delay, which is at least twice KeySetAge, it becomes
// active and the one before it retired; whoever runs the hub then does that (Run). ErrBadRequest, also when a next key
// waits already, and when there are too many.
func (h *Hub) RotateKeys(ctx context.Context, delay time.Duration, algorithms ...events.Algorithm) error {
	if delay < 2*h.conf.KeySetAge {
		return fmt.Errorf("%w: receivers may keep the key set for %v; a new key is to be published for twice as long at least before it signs", ErrBadRequest, h.conf.KeySetAge)
	}
	return h.rotate(ctx, algorithms, func(keys []ringKey, fresh ringKey) ([]ringKey, error) {
		if i := slices.IndexFunc(keys, func(k ringKey) bool { return k.Algorithm == fresh.Algorithm && k.State == NextKey }); i >= 0 {
			return nil, fmt.Errorf("%w: a next %s key is published already and becomes active at %s", ErrBadRequest, fresh.Algorithm,
				time.UnixMicro(keys[i].Due).UTC().Format(time.RFC3339))
		}
		fresh.Due = fresh.Published + delay.Microseconds()
		return append(keys, fresh), nil
	})
}

// ReplaceKeys makes a new key active at once for each of the algorithms, or the next one where one is published. Receivers
// that hold a key set from before do not know a new key for as long as KeySetAge: what they refuse meanwhile with
// invalid_key goes to them again after that. For emergencies.
func (h *Hub) ReplaceKeys(ctx context.Context, algorithms ...events.Algorithm) error {
	return h.rotate(ctx, algorithms, func(keys []ringKey, fresh ringKey) ([]ringKey, error) {
		if !slices.ContainsFunc(keys, func(k ringKey) bool { return k.Algorithm == fresh.Algorithm && k.State == NextKey }) {
			keys = append(keys, fresh)
		}
		activate(keys, fresh.Algorithm, fresh.Published)
		return keys, nil
	})
}

func (h *Hub) rotate(ctx context.Context, algorithms []events.Algorithm, add func(keys []ringKey, fresh ringKey) ([]ringKey, error)) error {
	var fresh []ringKey
	for _, alg := range algorithms {
		k, err := generated(alg, h.now())
		if err != nil {
			return fmt.Errorf("rotate keys: %w", err)
		}
		fresh = append(fresh, k)
	}
	_, err := h.keys.swap(ctx, func(keys []ringKey) (_ []ringKey, err error) {
		for _, k := range fresh {
			if keys, err = add(keys, k); err != nil {
				return nil, err
			}
			count := 0
			for _, other := range keys {
				if other.Algorithm == k.Algorithm {
					count++
				}
			}
			if count > maxKeys {
				return nil, fmt.Errorf("%w: there are %d %s keys; retire old ones first", ErrBadRequest, count-1, k.Algorithm)
			}
		}
		return keys, nil
	})
	if err != nil {
		return fmt.Errorf("rotate keys: %w", err)
	}
	return nil
}

// RetireKey takes a key out of the key set for good: a next one that is not wanted any more, or a retired one before its
// time. ErrInUse while tokens that it signed are not settled; ErrBadRequest for an active key, whose place another has to
// take first; ErrNotFound.
func (h *Hub) RetireKey(ctx context.Context, kid string) error {
	_, err := h.keys.swap(ctx, func(keys []ringKey) ([]ringKey, error) { return without(keys, kid) }, kid)
	if err != nil {
		return fmt.Errorf("retire key: %w", err)
	}
	return nil
}

// RecallKey is RetireKey for a key that nobody is to trust any more: what it signed and is not settled is made anew with
// the active key, under other jtis. Attempts under way end first: ErrInUse says that some had not when ctx ended, and the
// key is still published.
func (h *Hub) RecallKey(ctx context.Context, kid string) error {
	tick := time.NewTicker(recallEvery)
	defer tick.Stop()
	for {
		ring, err := h.keys.readKeyring(ctx)
		if err != nil {
			return fmt.Errorf("recall key: %w", err)
		}
		// Refused before anything is un-made.
		if _, err := without(slices.Clone(ring.keys), kid); err != nil {
			return fmt.Errorf("recall key: %w", err)
		}
		if _, err := h.store.Recall(ctx, kid, h.now()); err != nil {
			return fmt.Errorf("recall key: %w", err)
		}
		if err := h.RetireKey(ctx, kid); !errors.Is(err, ErrInUse) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("recall key: attempts with it are under way: %w", ErrInUse)
		}
	}
}

const recallEvery = time.Second

func without(keys []ringKey, kid string) ([]ringKey, error) {
	i := slices.IndexFunc(keys, func(k ringKey) bool { return k.ID == kid })
	switch {
	case i < 0:
		return nil, ErrNotFound
	case keys[i].State == ActiveKey:
		return nil, fmt.Errorf("%w: the key is active; rotate first, so that another takes its place", ErrBadRequest)
	}
	return slices.Delete(keys, i, i+1), nil
}

// AdvanceKeys makes next keys active whose time has come. Any process may: the keyring is compared and swapped.
func (h *Hub) AdvanceKeys(ctx context.Context) error {
	now := h.now()
	_, err := h.keys.swap(ctx, func(keys []ringKey) ([]ringKey, error) {
		due := false
		for _, alg := range subscriptions.Algorithms() {
			if slices.ContainsFunc(keys, func(k ringKey) bool { return k.Algorithm == alg && k.State == NextKey && k.Due <= now }) {
				activate(keys, alg, now)
				due = true
			}
		}
		if !due {
			return nil, nil
		}
		return keys, nil
	})
	return err
}

// ForgetKeys takes retired keys out of the key set whose life is over and that signed nothing that is not settled.
func (h *Hub) ForgetKeys(ctx context.Context) error {
	ring, err := h.keys.readKeyring(ctx)
	if err != nil {
		return err
	}
	for _, k := range ring.keys {
		if k.State != RetiredKey || k.Since > h.conf.Now().Add(-RetiredLife).UnixMicro() {
			continue
		}
		if err := h.RetireKey(ctx, k.ID); err != nil && !errors.Is(err, ErrInUse) && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// afterKeys lets tokens that are to be made anew wait until their receiver is bound to have read the key set since the
// last key was published. Sooner it would refuse the same key again, and that is the end of a delivery.
func (h *Hub) afterKeys(ctx context.Context, outcomes []Outcome) ([]Outcome, error) {
	if !slices.ContainsFunc(outcomes, func(o Outcome) bool { return o.Next == subscriptions.Remake }) {
		return outcomes, nil
	}
	ring, err := h.keys.readKeyring(ctx)
	if err != nil {
		return nil, err
	}
	outcomes = slices.Clone(outcomes)
	for i := range outcomes {
		if outcomes[i].Next == subscriptions.Remake {
			outcomes[i].Due = max(outcomes[i].Due, ring.known(h.conf.KeySetAge))
		}
	}
	return outcomes, nil
}

// checkKeys wants every token's key to be published. What comes and goes beside it is looked at twice.
func (h *Hub) checkKeys(ctx context.Context) (problems []string, err error) {
	before, err := h.store.Signed(ctx)
	if err != nil {
		return nil, err
	}
	set, err := h.KeySet(ctx)
	if err != nil {
		return nil, err
	}
	after, err := h.store.Signed(ctx)
	for kid, n := range after {
		if _, published := set.Find(kid); kid != "" && before[kid] > 0 && !published {
			problems = append(problems, fmt.Sprintf("%d tokens of key %s, which is not published", n, kid))
		}
	}
	return problems, err
}
