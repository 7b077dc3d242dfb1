package hub

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
)

// cursor is a reader's place in its party's feed. Two positions, because an entry that changes twice before it is read
// stands only at its newest place: rows are read where position > At, and told with everything since Base; Base moves
// up to At only when a read has reached the end of the feed.
type cursor struct {
	Party      ID
	Generation int64
	Base, At   int64
	// Began is the head at which a snapshot began (Base 0): what ended later is told, what ended before is not.
	Began int64
	// Tag is the tag of the line at anchor: if another line stands there, this is another history.
	Tag Tag
}

// anchor is the position whose line proves that the cursor belongs to this history. During a snapshot that is its
// beginning, since older lines may be trimmed while it is read.
func (c cursor) anchor() int64 {
	if c.Base == 0 {
		return c.Began
	}
	return c.At
}

const (
	cursorVersion = 1
	cursorPlain   = 16 + 8*4 + 8
)

// seal writes the cursor as opaque text: a visible position would let a party count what it may not see. Outside stand
// a version, the id of the key, and a checksum by which an altered text (400) is told from one sealed under a key that
// is no longer here (410).
func (k *Keys) sealCursor(c cursor) string {
	plain := make([]byte, 0, cursorPlain)
	plain = append(plain, c.Party[:]...)
	for _, n := range []int64{c.Generation, c.Base, c.At, c.Began} {
		plain = binary.BigEndian.AppendUint64(plain, uint64(n))
	}
	plain = append(plain, c.Tag[:]...)
	out := append([]byte{cursorVersion}, k.sealID[:]...)
	out = k.seal.Seal(out, nil, plain, []byte("cursor"))
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out))
	return base64.RawURLEncoding.EncodeToString(out)
}

// openCursor reads what sealCursor wrote. ErrCursorInvalid for text that is no cursor, ErrCursorExpired for one sealed
// under a key or in a version that is unknown here.
func (k *Keys) openCursor(text string) (cursor, error) {
	const overhead = 12 + 16
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < 9 {
		return cursor{}, ErrCursorInvalid
	}
	body, sum := raw[:len(raw)-4], raw[len(raw)-4:]
	switch {
	case crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(sum):
		return cursor{}, ErrCursorInvalid
	case body[0] != cursorVersion || [4]byte(body[1:5]) != k.sealID:
		return cursor{}, ErrCursorExpired
	case len(body) != 5+overhead+cursorPlain:
		return cursor{}, ErrCursorInvalid
	}
	plain, err := k.seal.Open(nil, nil, body[5:], []byte("cursor"))
	if err != nil {
		return cursor{}, ErrCursorInvalid
	}
	n := func(i int) int64 { return int64(binary.BigEndian.Uint64(plain[16+8*i:])) }
	return cursor{Party: ID(plain[:16]), Generation: n(0), Base: n(1), At: n(2), Began: n(3), Tag: Tag(plain[48:])}, nil
}
