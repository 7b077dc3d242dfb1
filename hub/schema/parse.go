package schema

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a body; the deepest resource needs five levels.
const maxDepth = 32

// Parse decodes a request body: one JSON object in UTF-8, nothing after it, no key twice at any level (two readers of
// such a body see different values), nesting at most 32. Numbers become json.Number. Errors are *Error
// invalidSyntax.
func Parse(body []byte) (map[string]any, error) {
	if !utf8.Valid(body) {
		return nil, refuse(InvalidSyntax, "the body is not UTF-8")
	}
	// Valid first: it sees what follows the object and what the token reader below would let pass.
	if !json.Valid(body) {
		return nil, refuse(InvalidSyntax, "the body is not one JSON value")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	v, err := decode(d, 0)
	if err != nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, refuse(InvalidSyntax, "the body is not a JSON object")
	}
	return object, nil
}

func decode(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, refuse(InvalidSyntax, "the body is not JSON")
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth == maxDepth {
		return nil, refuse(InvalidSyntax, "the body is nested too deeply")
	}
	if delim == '[' {
		return decodeArray(d, depth+1)
	}
	return decodeObject(d, depth+1)
}

func decodeArray(d *json.Decoder, depth int) (any, error) {
	list := []any{}
	for d.More() {
		v, err := decode(d, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.Token()
	return list, err
}

func decodeObject(d *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, refuse(InvalidSyntax, "the body is not JSON")
		}
		key := token.(string)
		if _, twice := object[key]; twice {
			return nil, refuse(InvalidSyntax, "%s is given twice", printable(key))
		}
		if object[key], err = decode(d, depth); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return object, err
}
