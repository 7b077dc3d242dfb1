package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tidings/events"
	"tidings/subscriptions"
)

// KeyState is where a signing key stands in its life.
type KeyState string

const (
	// NextKey: published, so that receivers come to know it, and signs nothing yet.
	NextKey KeyState = "next"
	// ActiveKey signs. Each algorithm has one.
	ActiveKey KeyState = "active"
	// RetiredKey signs nothing any more and is published for what it signed.
	RetiredKey KeyState = "retired"
)

const (
	// DefaultKeySetAge is how long receivers may keep the key set, where the program decides nothing else.
	DefaultKeySetAge = 5 * time.Minute
	// RetiredLife is how long a retired key stays published at least, unless an operator ends it (RetireKey). It stays
	// longer while tokens that it signed are not settled (MD-24).
	RetiredLife = 30 * 24 * time.Hour
	// maxKeys bounds the keys of one algorithm: readers of key sets have bounds too.
	maxKeys = 16
)

// SigningKey is what may be shown of a key that signs tokens. Times are Unix microseconds.
type SigningKey struct {
	ID        string
	Algorithm events.Algorithm
	State     KeyState
	Published int64 // since when it is in the key set
	Since     int64 // since when it has its state
	Due       int64 // of a next key: when it becomes active
	// Tokens that it signed and that are not settled yet.
	Tokens int
}

// keyring is one version of the signing keys. It is immutable.
//
// Three things together keep every token's key in the published set. The set is read from the store whenever it is asked
// for, and a key is in it for longer than readers may keep it before it signs. An attempt begins only under the version
// that it was signed or read under (Store.Begin). A key leaves only when no token of it is unsettled (Store.SwapKeyring).
type keyring struct {
	version int64
	keys    []ringKey
	signers map[string]*events.Signer // by key id
	public  events.KeySet
}

// ringKey is a key as it is kept, sealed.
type ringKey struct {
	ID        string           `json:"kid"`
	Algorithm events.Algorithm `json:"alg"`
	State     KeyState         `json:"state"`
	Published int64            `json:"published"`
	Since     int64            `json:"since"`
	Due       int64            `json:"due,omitempty"`
	Private   []byte           `json:"private"` // PKCS #8
}

func newKeyring(version int64, keys []ringKey) (*keyring, error) {
	r := &keyring{version: version, keys: keys, signers: make(map[string]*events.Signer, len(keys))}
	var public []events.PublicKey
	for _, key := range keys {
		private, err := events.ParsePrivate(key.Private)
		if err != nil {
			return nil, fmt.Errorf("read signing key: %w", err)
		}
		signer, err := events.NewSigner(private, key.Algorithm, key.ID)
		if err != nil {
			return nil, fmt.Errorf("read signing key: %w", err)
		}
		r.signers[key.ID] = signer
		public = append(public, signer.PublicKey())
	}
	var err error
	r.public, err = events.NewKeySet(public...)
	return r, err
}

// signer is the active key of an algorithm; each has one from the beginning.
func (r *keyring) signer(alg events.Algorithm) (*events.Signer, string) {
	key := r.keys[r.find(alg, ActiveKey)]
	return r.signers[key.ID], key.ID
}

func (r *keyring) find(alg events.Algorithm, state KeyState) int {
	return slices.IndexFunc(r.keys, func(k ringKey) bool { return k.Algorithm == alg && k.State == state })
}

// activate gives the next key of an algorithm the place of the active one.
func activate(keys []ringKey, alg events.Algorithm, now int64) {
	for i := range keys {
		switch k := &keys[i]; {
		case k.Algorithm != alg:
		case k.State == ActiveKey:
			k.State, k.Since = RetiredKey, now
		case k.State == NextKey:
			k.State, k.Since, k.Due = ActiveKey, now, 0
		}
	}
}

// known is when every reader of the key set has read it since the last active key was published, if none keeps it for
// longer than age. The first keys of a store were in every set.
func (r *keyring) known(age time.Duration) (at int64) {
	first := slices.MinFunc(r.keys, func(a, b ringKey) int { return cmp.Compare(a.Published, b.Published) }).Published
	for _, k := range r.keys {
		if k.State == ActiveKey && k.Published > first {
			at = max(at, k.Published+age.Microseconds())
		}
	}
	return at
}

// generated makes a key that is published now. Its id does not begin like a flag: operators type it.
func generated(alg events.Algorithm, now int64) (k ringKey, err error) {
	for k.ID == "" || k.ID[0] == '-' {
		private, err := events.GenerateKey(alg)
		if err != nil {
			return k, err
		}
		der, err := events.MarshalPrivate(private)
		if err != nil {
			return k, err
		}
		if k, err = published(alg, der, now); err != nil {
			return k, err
		}
	}
	return k, nil
}

func published(alg events.Algorithm, der []byte, now int64) (k ringKey, err error) {
	private, err := events.ParsePrivate(der)
	if err != nil {
		return k, err
	}
	k = ringKey{Algorithm: alg, State: NextKey, Published: now, Since: now, Private: der}
	k.ID, err = events.KeyID(private.Public())
	return k, err
}

// initKeyring reads the keyring, making it for a store that has none. Two processes that start at once agree: the store
// keeps the first only.
func (k *Keys) initKeyring(ctx context.Context, now int64) error {
	_, err := k.readKeyring(ctx)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	keys, err := k.firstKeys(ctx, now)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(keys)
	if err != nil {
		return err
	}
	if _, err := k.store.InitSecret(ctx, k.wrapped(Keyring, plain)); err != nil {
		return fmt.Errorf("keep the keyring: %w", err)
	}
	_, err = k.readKeyring(ctx)
	return err
}

// firstKeys are an active key for each algorithm. A store that is older than keyrings has keys of its own for some: those
// are what its receivers know, and one of another algorithm waits until they know it too.
func (k *Keys) firstKeys(ctx context.Context, now int64) (keys []ringKey, err error) {
	older := false
	for _, alg := range subscriptions.Algorithms() {
		var key ringKey
		secret, err := k.store.Secret(ctx, "sign:"+string(alg))
		switch {
		case err == nil:
			older = true
			der, err := k.open(secret)
			if err != nil {
				return nil, err
			}
			if key, err = published(alg, der, secret.CreatedAt); err != nil {
				return nil, err
			}
		case !errors.Is(err, ErrNotFound):
			return nil, err
		default:
			if key, err = generated(alg, now); err != nil {
				return nil, err
			}
		}
		keys = append(keys, key)
	}
	for i := range keys {
		if older && keys[i].Published == now {
			keys[i].Due = now + (3 * DefaultKeySetAge).Microseconds()
			continue
		}
		activate(keys, keys[i].Algorithm, now)
	}
	return keys, nil
}

// readKeyring reads the keyring as committed now. What was read before is used again where the version is the same: to
// open and parse keys costs more than the look.
func (k *Keys) readKeyring(ctx context.Context) (*keyring, error) {
	secret, err := k.store.Secret(ctx, Keyring)
	if err != nil {
		return nil, fmt.Errorf("read the keyring: %w", err)
	}
	return k.ringOf(secret)
}

func (k *Keys) ringOf(secret Secret) (*keyring, error) {
	k.mu.Lock()
	known := k.ring
	k.mu.Unlock()
	if known != nil && known.version == secret.Version {
		return known, nil
	}
	plain, err := k.open(secret)
	if err != nil {
		return nil, err
	}
	var keys []ringKey
	if err := json.Unmarshal(plain, &keys); err != nil {
		return nil, errors.New("read the keyring: it is malformed") // the cause may quote bytes of a key
	}
	ring, err := newKeyring(secret.Version, keys)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ring == nil || k.ring.version < ring.version {
		k.ring = ring
	}
	return ring, nil
}

// keyring is the keyring of a version, or a newer one.
func (k *Keys) keyring(ctx context.Context, version int64) (*keyring, error) {
	k.mu.Lock()
	known := k.ring
	k.mu.Unlock()
	if known.version >= version {
		return known, nil
	}
	return k.readKeyring(ctx)
}

// swap replaces the keyring by what edit makes of it, reading and editing again when another process was faster. An edit
// that returns nil changes nothing.
func (k *Keys) swap(ctx context.Context, edit func(keys []ringKey) ([]ringKey, error), dropped ...string) (*keyring, error) {
	for range maxRounds {
		ring, err := k.readKeyring(ctx)
		if err != nil {
			return nil, err
		}
		keys, err := edit(slices.Clone(ring.keys))
		if err != nil || keys == nil {
			return ring, err
		}
		plain, err := json.Marshal(keys)
		if err != nil {
			return nil, err
		}
		secret := k.wrapped(Keyring, plain)
		secret.Version = ring.version
		kept, err := k.store.SwapKeyring(ctx, secret, dropped)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("swap the keyring: %w", err)
		}
		return k.ringOf(kept)
	}
	return nil, fmt.Errorf("swap the keyring: %w", ErrConflict)
}
