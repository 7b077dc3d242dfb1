package hub

import (
	"encoding/binary"
	"slices"
)

// Marks remembers for attribute names the position of their last change. Stores keep the encoded form and read it for
// every row of a page, so Since decodes only what it returns.
type Marks []byte

// Since lists the names whose position is greater than base, sorted. It reads valid marks (Valid) only.
func (m Marks) Since(base int64) (names []string) {
	m.each(func(name []byte, position int64) {
		if position > base {
			names = append(names, string(name))
		}
	})
	return names
}

// Of is the position of one name, 0 when it never changed.
func (m Marks) Of(name string) (at int64) {
	m.each(func(n []byte, position int64) {
		if string(n) == name {
			at = position
		}
	})
	return at
}

// Stamp gives the names the position. The receiver is unchanged; the result is sorted by name, so equal marks are equal
// bytes.
func (m Marks) Stamp(position int64, names ...string) Marks {
	if len(names) == 0 {
		return m
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	out := make(Marks, 0, len(m)+len(names)*24)
	put := func(name string, at int64) {
		out = binary.AppendUvarint(out, uint64(len(name)))
		out = append(out, name...)
		out = binary.AppendUvarint(out, uint64(at))
	}
	m.each(func(name []byte, at int64) {
		for len(names) > 0 && names[0] < string(name) {
			put(names[0], position)
			names = names[1:]
		}
		if len(names) > 0 && names[0] == string(name) {
			at, names = position, names[1:]
		}
		put(string(name), at)
	})
	for _, n := range names {
		put(n, position)
	}
	return out
}

// Valid reports whether the encoding is whole: fsck asks, readers trust.
func (m Marks) Valid() bool { return m.each(func([]byte, int64) {}) }

func (m Marks) each(f func(name []byte, position int64)) bool {
	for b := []byte(m); len(b) > 0; {
		n, w := binary.Uvarint(b)
		if w <= 0 || uint64(len(b)-w) < n {
			return false
		}
		name := b[w : w+int(n)]
		b = b[w+int(n):]
		position, w := binary.Uvarint(b)
		if w <= 0 {
			return false
		}
		b = b[w:]
		f(name, int64(position))
	}
	return true
}
