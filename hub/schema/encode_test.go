package schema

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// Encode writes what encoding/json writes.
func TestEncode(t *testing.T) {
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		plain := []*rapid.Generator[any]{
			rapid.String().AsAny(), rapid.StringMatching(`[ -~<>&"\\\x00-\x1f]*`).AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil),
			rapid.Just[any](json.Number("12.5")), rapid.Just[any]([]any(nil)), rapid.Just[any](map[string]any(nil)),
		}
		if depth > 0 {
			plain = append(plain, rapid.SliceOfN(value(depth-1), 0, 3).AsAny(), rapid.MapOfN(rapid.String(), value(depth-1), 0, 4).AsAny())
		}
		return rapid.OneOf(plain...)
	}
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.MapOfN(rapid.String(), value(3), 0, 6).Draw(t, "attributes")
		want, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Encode(a); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s, %v, want %s", got, err, want)
		}
	})
}
