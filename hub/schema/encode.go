package schema

import (
	"encoding/json"
	"maps"
	"slices"
)

// Encode writes attributes as JSON with sorted members: byte for byte what encoding/json writes, without reflection,
// since every entry that changes is written while others wait for the log's head.
func Encode(a Attributes) ([]byte, error) { return appendValue(make([]byte, 0, 512), a) }

func appendValue(b []byte, v any) (_ []byte, err error) {
	switch v := v.(type) {
	case map[string]any:
		if v == nil {
			return append(b, "null"...), nil
		}
		b = append(b, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendText(b, name); err != nil {
				return nil, err
			}
			if b, err = appendValue(append(b, ':'), v[name]); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case []any:
		if v == nil {
			return append(b, "null"...), nil
		}
		b = append(b, '[')
		for i, element := range v {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendValue(b, element); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case string:
		return appendText(b, v)
	}
	other, err := json.Marshal(v)
	return append(b, other...), err
}

// appendText writes text that needs no escape by itself and leaves everything else to encoding/json.
func appendText(b []byte, text string) ([]byte, error) {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			escaped, err := json.Marshal(text)
			return append(b, escaped...), err
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"'), nil
}
