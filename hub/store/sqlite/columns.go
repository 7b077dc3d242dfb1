package sqlite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"tidings/hub"
	"tidings/hub/schema"
)

// How values stand in columns: ids as blobs of 16 bytes, NULL for none; lists of names as text with a blank between
// (no canonical name holds one); compound values as JSON; masks as integers of 63 bits.

func blob(id hub.ID) any {
	if id.IsZero() {
		return nil
	}
	return id[:]
}

func blobs(ids []hub.ID) []any {
	all := make([]any, len(ids))
	for i, id := range ids {
		all[i] = id[:]
	}
	return all
}

// orNull is b, NULL where it is nil: drivers differ in what they make of a nil slice.
func orNull(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

// idColumn scans an id.
type idColumn hub.ID

func (c *idColumn) Scan(v any) error {
	switch b := v.(type) {
	case nil:
		*c = idColumn{}
		return nil
	case []byte:
		if len(b) == len(c) {
			copy(c[:], b)
			return nil
		}
	}
	return fmt.Errorf("column holds no id")
}

func id(dest *hub.ID) *idColumn { return (*idColumn)(dest) }

// tagColumn scans a tag.
type tagColumn hub.Tag

func (c *tagColumn) Scan(v any) error {
	if b, ok := v.([]byte); ok && len(b) == len(c) {
		copy(c[:], b)
		return nil
	}
	return fmt.Errorf("column holds no tag")
}

func tag(dest *hub.Tag) *tagColumn { return (*tagColumn)(dest) }

// nameColumn scans a list of names.
type nameColumn []string

func (c *nameColumn) Scan(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("column holds no names")
	}
	*c = nil
	if text != "" {
		*c = strings.Split(text, " ")
	}
	return nil
}

func names(dest *[]string) *nameColumn { return (*nameColumn)(dest) }

func joined(names []string) string { return strings.Join(names, " ") }

// blobColumn scans bytes that may be NULL; the copy is the caller's.
type blobColumn []byte

func bytesOf(dest *[]byte) *blobColumn { return (*blobColumn)(dest) }

func (c *blobColumn) Scan(v any) error {
	switch b := v.(type) {
	case nil:
		*c = nil
		return nil
	case []byte:
		*c = bytes.Clone(b)
		return nil
	}
	return fmt.Errorf("column holds no bytes")
}

// jsonColumn scans a JSON text, as NULL the zero value.
type jsonColumn struct{ dest any }

func (c jsonColumn) Scan(v any) error {
	switch t := v.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(t), c.dest)
	}
	return fmt.Errorf("column holds no JSON")
}

func jsonText(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// decodeAttributes reads an entry's document; numbers stay as they were written (schema.Attributes).
func decodeAttributes(doc string) (a schema.Attributes, err error) {
	d := json.NewDecoder(strings.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&a); err != nil {
		return nil, fmt.Errorf("decode an entry: %w", err)
	}
	return a, nil
}
