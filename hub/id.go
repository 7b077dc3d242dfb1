package hub

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"time"
)

// ID names an entry, grant, party, stream, delivery or credential: 48 bits of time, so that new rows fall together in
// an index, and 80 random bits. An id is never used again. Parties never see one: outside, an entry is known under the
// id that Sectors makes of it.
type ID [16]byte

var idText = base32.HexEncoding.WithPadding(base32.NoPadding)

// ErrID is text that is no id.
var ErrID = errors.New("not an id")

// NewID makes an id.
func NewID() (id ID) {
	binary.BigEndian.PutUint64(id[:8], uint64(time.Now().UnixMilli())<<16)
	rand.Read(id[6:])
	return id
}

// ParseID reads the text form. Exactly one text stands for an id, so that a look-up by text is a look-up by id.
func ParseID(text string) (id ID, err error) {
	if len(text) != 26 {
		return ID{}, ErrID
	}
	upper := make([]byte, len(text))
	for i := range len(text) {
		c := text[i]
		if c >= 'A' && c <= 'Z' {
			return ID{}, ErrID
		}
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	if n, err := idText.Decode(id[:], upper); err != nil || n != len(id) || id.String() != text {
		return ID{}, ErrID
	}
	return id, nil
}

// String is the text form: 26 lower-case characters of base32hex.
func (id ID) String() string {
	text := []byte(idText.EncodeToString(id[:]))
	for i, c := range text {
		if c >= 'A' {
			text[i] = c + 'a' - 'A'
		}
	}
	return string(text)
}

// IsZero reports whether id names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText and UnmarshalText write and read the text form in JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the text form.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// Tag marks one line of one history: eight random bytes. A cursor carries the tag of the line it stands at, so that a
// restored backup or a lost failover, which give the same positions to other lines, are noticed (410, never a jump).
type Tag [8]byte

// NewTag makes a tag.
func NewTag() (t Tag) {
	rand.Read(t[:])
	return t
}
