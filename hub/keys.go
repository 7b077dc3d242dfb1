package hub

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const keyFileHead = "tidings-key-1 "

// NewKeyFile makes the contents of a key file: one line of text that opens all secrets of one store. Whoever has it and
// the store has everything; without it the store's secrets are lost.
func NewKeyFile() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return []byte(keyFileHead + base64.RawURLEncoding.EncodeToString(key) + "\n")
}

// Unused reports whether a store holds no secrets yet. Only then may a missing key file be made: a new one beside a used
// store could open nothing.
func Unused(ctx context.Context, s Store) (bool, error) {
	secrets, err := s.Secrets(ctx)
	return len(secrets) == 0, err
}

// Keys are the secrets of a store, unwrapped. A secret never changes under its name, so what was read once is kept; the
// keyring does, and is known by its version.
type Keys struct {
	store  Store
	wrap   cipher.AEAD
	seal   cipher.AEAD
	sealID [4]byte

	mu      sync.Mutex
	sectors map[ID]*sector
	ring    *keyring // the newest that was read
}

// sector is the key under which a group of parties knows entries: one AES block per subject id, so that no table is
// needed and two sectors cannot join their data.
type sector struct {
	block cipher.Block
	txn   []byte
}

// OpenKeys opens a store's secrets with its key file and makes those that are missing, signing keys as of now. ErrKeyFile, ErrWrongKey.
func OpenKeys(ctx context.Context, s Store, keyFile []byte, now int64) (*Keys, error) {
	key, err := parseKeyFile(keyFile)
	if err != nil {
		return nil, err
	}
	k := &Keys{store: s, wrap: newAEAD(key), sectors: map[ID]*sector{}}
	// "check" is the first secret of a store: if it opens, so does everything else.
	if _, err := k.secret(ctx, "check", random32); err != nil {
		return nil, err
	}
	seal, err := k.secret(ctx, "seal", random32)
	if err != nil {
		return nil, err
	}
	k.seal = newAEAD(seal)
	sum := sha256.Sum256(seal)
	copy(k.sealID[:], sum[:])
	if err := k.initKeyring(ctx, now); err != nil {
		return nil, fmt.Errorf("open signing keys: %w", err)
	}
	return k, nil
}

func parseKeyFile(text []byte) ([]byte, error) {
	encoded, ok := strings.CutPrefix(string(bytes.TrimSpace(text)), keyFileHead)
	key, err := base64.RawURLEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) != 32 {
		return nil, ErrKeyFile
	}
	return key, nil
}

func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // keys are 32 bytes by construction
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func random32() ([]byte, error) {
	b := make([]byte, 32)
	rand.Read(b)
	return b, nil
}

// secret reads the secret of a name, making it if it is missing. Two processes that start at once agree: the store keeps
// the first only.
func (k *Keys) secret(ctx context.Context, name string, make func() ([]byte, error)) ([]byte, error) {
	secrets, err := k.store.Secrets(ctx)
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	i := slices.IndexFunc(secrets, func(s Secret) bool { return s.Name == name })
	var kept Secret
	if i >= 0 {
		kept = secrets[i]
	} else {
		fresh, err := make()
		if err != nil {
			return nil, fmt.Errorf("make secret %s: %w", name, err)
		}
		if kept, err = k.store.InitSecret(ctx, k.wrapped(name, fresh)); err != nil {
			return nil, fmt.Errorf("keep secret %s: %w", name, err)
		}
	}
	return k.open(kept)
}

func (k *Keys) wrapped(name string, plain []byte) Secret {
	return Secret{Name: name, Wrapped: k.wrap.Seal(nil, nil, plain, []byte(name)), CreatedAt: time.Now().UnixMicro()}
}

func (k *Keys) open(s Secret) ([]byte, error) {
	plain, err := k.wrap.Open(nil, nil, s.Wrapped, []byte(s.Name))
	if err != nil {
		return nil, ErrWrongKey
	}
	return plain, nil
}

func (k *Keys) sector(ctx context.Context, id ID) (*sector, error) {
	k.mu.Lock()
	s := k.sectors[id]
	k.mu.Unlock()
	if s != nil {
		return s, nil
	}
	key, err := k.secret(ctx, "subject:"+id.String(), random32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	txn, err := hkdf.Key(sha256.New, key, nil, "txn", 32)
	if err != nil {
		return nil, err
	}
	s = &sector{block: block, txn: txn}
	k.mu.Lock()
	k.sectors[id] = s
	k.mu.Unlock()
	return s, nil
}

// subject is the id under which the sector knows an entry, for good.
func (s *sector) subject(entry ID) string {
	var out ID
	s.block.Encrypt(out[:], entry[:])
	return out.String()
}

// entry turns a sector's subject id back; text that is none gives ErrNotFound, and one that was made up gives an entry
// that does not exist, so both end alike.
func (s *sector) entry(subject string) (ID, error) {
	in, err := ParseID(subject)
	if err != nil {
		return ID{}, ErrNotFound
	}
	var out ID
	s.block.Decrypt(out[:], in[:])
	return out, nil
}

// transaction is a txn as the sector is told it: the same for all tokens of one cause, and of no use for joining what
// two sectors hold.
func (s *sector) transaction(txn string) string {
	mac := hmac.New(sha256.New, s.txn)
	mac.Write([]byte(txn))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// sealed and unsealed protect what the store keeps for the engine alone (old identifiers, authorization headers,
// tickets); context binds a value to its place.
func (k *Keys) sealed(value []byte, context string) []byte {
	return k.seal.Seal(nil, nil, value, []byte(context))
}

func (k *Keys) unsealed(sealed []byte, context string) ([]byte, error) {
	return k.seal.Open(nil, nil, sealed, []byte(context))
}
