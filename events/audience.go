package events

import (
	"errors"
	"slices"
)

// Audience names whom a SET or stream is for: in JSON one string, or an array of
// several (RFC 7519 §4.1.3, SSF 1.0 §8.1.1).
type Audience []string

// MarshalJSON writes a single name as a string.
func (a Audience) MarshalJSON() ([]byte, error) { return a.append(nil), nil }

func (a Audience) append(out []byte) []byte {
	if len(a) == 1 {
		return quote(out, a[0])
	}
	out = append(out, '[')
	for i, name := range a {
		if i > 0 {
			out = append(out, ',')
		}
		out = quote(out, name)
	}
	return append(out, ']')
}

// UnmarshalJSON reads a string or an array of one string at least, none empty.
func (a *Audience) UnmarshalJSON(data []byte) error {
	if name, ok := text(data); ok {
		*a = Audience{name}
		return nil
	}
	names, ok := texts(data)
	if !ok || len(names) == 0 {
		return errors.New("aud is missing or neither a string nor an array of strings")
	}
	*a = names
	return nil
}

// Equal reports whether both name the same parties, in any order.
func (a Audience) Equal(other Audience) bool {
	return slices.Equal(slices.Compact(slices.Sorted(slices.Values(a))), slices.Compact(slices.Sorted(slices.Values(other))))
}
