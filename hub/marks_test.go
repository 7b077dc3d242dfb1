package hub_test

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	. "tidings/hub"
)

// TestMarksModel holds the encoding against a map.
func TestMarksModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Marks
		want := map[string]int64{}
		names := rapid.SliceOfN(rapid.String(), 0, 3)
		for range rapid.IntRange(0, 20).Draw(t, "stamps") {
			at := rapid.Int64Range(0, 1<<62).Draw(t, "position")
			stamped := names.Draw(t, "names")
			before := bytes.Clone(m)
			next := m.Stamp(at, stamped...)
			if !bytes.Equal(before, m) {
				t.Fatal("stamping changed the receiver")
			}
			for _, n := range stamped {
				want[n] = at
			}
			m = next
		}
		if !m.Valid() {
			t.Fatal("not valid")
		}
		base := rapid.Int64Range(-1, 1<<62).Draw(t, "base")
		var since []string
		for n, at := range want {
			if m.Of(n) != at {
				t.Fatalf("%q stands at %d, not %d", n, m.Of(n), at)
			}
			if at > base {
				since = append(since, n)
			}
		}
		slices.Sort(since)
		if !slices.Equal(since, m.Since(base)) {
			t.Fatalf("since %d: %q, not %q", base, m.Since(base), since)
		}
	})
}

// Equal marks are equal bytes, in whatever order names were stamped: fsck and tests compare them.
func TestMarksAreCanonical(t *testing.T) {
	a := Marks(nil).Stamp(3, "title", "active").Stamp(4, "locale")
	b := Marks(nil).Stamp(4, "locale").Stamp(3, "active").Stamp(3, "title")
	if !bytes.Equal(a, b) {
		t.Errorf("%x is not %x", a, b)
	}
	if got := a.Stamp(9); !bytes.Equal(got, a) {
		t.Error("stamping nothing changed something")
	}
	if Marks(nil).Of("title") != 0 || !Marks(nil).Valid() {
		t.Error("no marks are not empty marks")
	}
}

// FuzzMarks: a damaged encoding is noticed (fsck) and never read past its end.
func FuzzMarks(f *testing.F) {
	f.Add([]byte(Marks(nil).Stamp(1, "title").Stamp(1<<40, "active")))
	f.Add([]byte{5, 'a'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1})
	f.Add([]byte{1, 'a', 0x80})
	f.Fuzz(func(t *testing.T, encoded []byte) {
		m := Marks(encoded)
		if !m.Valid() {
			return
		}
		names := m.Since(-1 << 63)
		if again := m.Stamp(7, "title"); !again.Valid() || again.Of("title") != 7 {
			t.Errorf("stamping %x made %x", m, again)
		}
		for _, n := range names {
			m.Of(n)
		}
	})
}
