package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxDepth bounds the nesting of any JSON a stranger sends; a SCIM resource in a
// :full event needs about six levels.
const maxDepth = 32

// object reads one JSON object, member by member, with the exact names as sent.
//
// encoding/json alone keeps the last of repeated names and matches struct fields
// without regard to case; a checker and a user of the same bytes could then
// disagree about what was signed. Hence names are unique at every depth here, and
// callers look them up in the map.
func object(data []byte) (map[string]json.RawMessage, error) {
	if err := wellFormed(data); err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil || members == nil {
		return nil, errors.New("not a JSON object")
	}
	return members, nil
}

// wellFormed reports whether data is exactly one JSON value in valid UTF-8,
// without repeated member names, nested no deeper than maxDepth.
func wellFormed(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("JSON is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := uniqueNames(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

func uniqueNames(dec *json.Decoder, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("JSON nested deeper than %d", maxDepth)
	}
	token, err := dec.Token()
	if err != nil {
		return errors.New("not JSON")
	}
	opening, nested := token.(json.Delim)
	if !nested {
		return nil
	}
	seen := map[string]struct{}{}
	for dec.More() {
		if opening == '{' {
			name, err := dec.Token()
			if err != nil {
				return errors.New("not JSON")
			}
			// The decoder yields names of objects as strings only.
			text, _ := name.(string)
			if _, repeated := seen[text]; repeated {
				return errors.New("JSON member repeated")
			}
			seen[text] = struct{}{}
		}
		if err := uniqueNames(dec, depth+1); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return errors.New("not JSON")
	}
	return nil
}

// text reads a JSON string that is not empty (RFC 9493 §3: members are neither
// null nor empty; RFC 8417 gives no meaning to empty claims either).
func text(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", false
	}
	return s, s != ""
}

// texts reads a JSON array of strings that are not empty.
func texts(raw json.RawMessage) ([]string, bool) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil || items == nil {
		return nil, false
	}
	list := make([]string, len(items))
	for i, item := range items {
		s, ok := text(item)
		if !ok {
			return nil, false
		}
		list[i] = s
	}
	return list, true
}

// quote appends s as a JSON string. Unlike encoding/json it leaves <, > and &
// as they are: nothing here is ever put into HTML, and subjects compare by text.
func quote(out []byte, s string) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				out = append(append(out, s[from:i]...), "\uFFFD"...)
				from = i + 1
			}
			i += size
			continue
		}
		if c < 0x20 || c == '"' || c == '\\' {
			out = append(out, s[from:i]...)
			if c < 0x20 {
				out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			} else {
				out = append(out, '\\', c)
			}
			from = i + 1
		}
		i++
	}
	return append(append(out, s[from:]...), '"')
}
