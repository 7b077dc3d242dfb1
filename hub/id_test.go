package hub_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	. "tidings/hub"
)

func TestIDText(t *testing.T) {
	seen := map[ID]bool{}
	for range 1000 {
		id := NewID()
		if seen[id] || id.IsZero() {
			t.Fatal("an id came twice")
		}
		seen[id] = true
		text := id.String()
		if len(text) != 26 || text != strings.ToLower(text) {
			t.Fatalf("text form %q", text)
		}
		if back, err := ParseID(text); err != nil || back != id {
			t.Fatalf("%q reads as %v, %v", text, back, err)
		}
		if _, err := ParseID(strings.ToUpper(text)); strings.ToUpper(text) != text && !errors.Is(err, ErrID) {
			t.Fatal("two texts stand for one id")
		}
	}
}

// Ids made later sort later, to the millisecond: new rows fall together in an index.
func TestIDsSortByTime(t *testing.T) {
	first := NewID()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if later := NewID(); string(later[:6]) != string(first[:6]) {
			if string(later[:]) < string(first[:]) {
				t.Fatal("a later id sorts first")
			}
			return
		}
	}
	t.Fatal("time stands still")
}

func TestIDInJSON(t *testing.T) {
	id := NewID()
	text, err := json.Marshal(map[ID]ID{id: id})
	if err != nil {
		t.Fatal(err)
	}
	var back map[ID]ID
	if err := json.Unmarshal(text, &back); err != nil || back[id] != id {
		t.Errorf("%s reads as %v, %v", text, back, err)
	}
}

func TestTagsDiffer(t *testing.T) {
	if a, b := NewTag(), NewTag(); a == b {
		t.Error("two lines have one tag")
	}
}

// FuzzID: strangers send ids in paths and bodies. Whatever is accepted is the one text of its id.
func FuzzID(f *testing.F) {
	f.Add(ID{}.String())
	f.Add(NewID().String())
	f.Add("ZZZZZZZZZZZZZZZZZZZZZZZZZZ")
	f.Add("00000000000000000000000001")
	f.Add("0000000000000000000000000\n")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseID(text)
		if err != nil {
			if !errors.Is(err, ErrID) || !id.IsZero() {
				t.Errorf("%q: %v, %v", text, id, err)
			}
			return
		}
		if id.String() != text {
			t.Errorf("%q is not the text of its id", text)
		}
	})
}
