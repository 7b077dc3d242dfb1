package consent

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// marks are positions by name.
type marks map[string]int64

func (m marks) Since(base int64) (names []string) {
	for n, at := range m {
		if at > base {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

const both = Transfer | Notify

func TestTell(t *testing.T) {
	terms := func(p Purposes, names ...string) Terms { return Terms{Attributes: names, Purposes: p} }
	for _, c := range []struct {
		name        string
		row         Row
		base, began int64
		want        Telling
	}{
		{"given after base", Row{Terms: terms(both, "title", "name"), Given: 5, Active: true, Entry: marks{"title": 9}, Grant: marks{}}, 4, 0, Telling{Added, []string{"name", "title"}}},
		{"given after base, not active", Row{Terms: terms(both, "title"), Given: 5, Entry: marks{}, Grant: marks{}}, 4, 0, Telling{Added, []string{"active", "title"}}},
		{"given after base, not active, transfer only", Row{Terms: terms(Transfer, "title"), Given: 5, Entry: marks{}, Grant: marks{}}, 4, 0, Telling{Added, []string{"title"}}},
		{"changed inside", Row{Terms: terms(both, "name"), Given: 1, Active: true, Entry: marks{"name.familyName": 6, "name.givenName": 5, "title": 7}, Grant: marks{}}, 5, 0, Telling{Updated, []string{"name.familyName"}}},
		{"changed outside", Row{Terms: terms(both, "name"), Given: 1, Active: true, Entry: marks{"title": 7}, Grant: marks{}}, 5, 0, Telling{}},
		{"transfer only", Row{Terms: terms(Transfer, "title"), Given: 1, Active: true, Entry: marks{"title": 7, "active": 7}, Grant: marks{}}, 5, 0, Telling{}},
		{"disabled", Row{Terms: terms(both, "title"), Given: 1, Entry: marks{"active": 6, "title": 7}, Grant: marks{}}, 5, 0, Telling{Disabled, []string{"active", "title"}}},
		{"disabled and enabled again", Row{Terms: terms(Notify, "title"), Given: 1, Active: true, Entry: marks{"active": 6}, Grant: marks{}}, 5, 0, Telling{Enabled, []string{"active"}}},
		{"name left the grant", Row{Terms: terms(both, "title"), Given: 1, Active: true, Entry: marks{}, Grant: marks{"emails": 6}}, 5, 0, Telling{Updated, []string{"emails"}}},
		{"name left the grant before base", Row{Terms: terms(both, "title"), Given: 1, Active: true, Entry: marks{"emails": 7}, Grant: marks{"emails": 4}}, 5, 0, Telling{}},
		{"ended", Row{Terms: terms(both, "title"), Given: 1, Ended: 6, Entry: marks{"title": 7}, Grant: marks{}}, 5, 0, Telling{Kind: Removed}},
		{"gone", Row{Terms: terms(both, "title"), Given: 1, Gone: true, Entry: marks{}, Grant: marks{}}, 5, 0, Telling{Kind: Removed}},
		{"ended before the snapshot began", Row{Terms: terms(both, "title"), Given: 1, Ended: 6, Entry: marks{}, Grant: marks{}}, 0, 6, Telling{}},
		{"ended after the snapshot began", Row{Terms: terms(both, "title"), Given: 1, Ended: 7, Entry: marks{}, Grant: marks{}}, 0, 6, Telling{Kind: Removed}},
		{"expired, tombstone to come", Row{Terms: Terms{Attributes: []string{"title"}, Purposes: both, Until: 100}, Given: 1, Entry: marks{"title": 7}, Grant: marks{}}, 5, 0, Telling{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Tell(c.row, c.base, c.began, 100); got.Kind != c.want.Kind || !slices.Equal(got.Names, c.want.Names) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// Whatever the row: without a live grant nothing but its end is told, and no name outside the grant but one that left it.
func TestTellNothingElse(t *testing.T) {
	names := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"title", "name", "name.familyName", "emails", "active"}), rapid.ID)
	drawn := func(t *rapid.T, label string) marks {
		m := marks{}
		for _, n := range names.Draw(t, label) {
			m[n] = rapid.Int64Range(1, 10).Draw(t, n)
		}
		return m
	}
	rapid.Check(t, func(t *rapid.T) {
		position := rapid.Int64Range(0, 10)
		r := Row{Terms: Terms{Attributes: names.Draw(t, "granted"), Purposes: Purposes(rapid.IntRange(1, 3).Draw(t, "purposes")), Until: rapid.Int64Range(0, 3).Draw(t, "until")},
			Given: position.Draw(t, "given"), Ended: position.Draw(t, "ended"), Gone: rapid.Bool().Draw(t, "gone"), Active: rapid.Bool().Draw(t, "active"),
			Entry: drawn(t, "entry"), Grant: drawn(t, "grant")}
		told := Tell(r, position.Draw(t, "base"), position.Draw(t, "began"), 2)
		live := r.Ended == 0 && !r.Gone && !r.Terms.Expired(2)
		if !live && told.Kind != "" && told.Kind != Removed || told.Kind == Removed && (live || len(told.Names) > 0) {
			t.Fatalf("told %v of a grant that is live: %v", told, live)
		}
		for _, n := range told.Names {
			if _, left := r.Grant.(marks)[n]; n != "active" && !left && !Covered(r.Terms.Attributes, n) {
				t.Fatalf("%s is outside the grant", n)
			}
		}
		if !r.Terms.Purposes.Has(Notify) && told.Kind != "" && told.Kind != Added && told.Kind != Removed {
			t.Fatalf("told %v without notify", told)
		}
	})
}

func TestMaxAge(t *testing.T) {
	policy := Policy{MaxAge: 24 * time.Hour, Classes: []Class{{Attributes: []string{"emails"}, MaxAge: time.Hour}, {Attributes: []string{"name.familyName"}, MaxAge: 2 * time.Hour},
		{Attributes: []string{"active"}, MaxAge: 30 * time.Minute}}}
	now := int64(1_000_000_000)
	in := func(d time.Duration) int64 { return now + d.Microseconds() }
	for _, c := range []struct {
		name   string
		terms  Terms
		bounds Bounds
		want   time.Duration
	}{
		{"policy", Terms{Attributes: []string{"title"}}, Bounds{}, 24 * time.Hour},
		{"shortest class", Terms{Attributes: []string{"title", "emails"}}, Bounds{}, time.Hour},
		{"class of a part", Terms{Attributes: []string{"name"}}, Bounds{}, 2 * time.Hour},
		{"active comes with notices", Terms{Attributes: []string{"title"}, Purposes: both}, Bounds{}, 30 * time.Minute},
		{"party", Terms{Attributes: []string{"emails"}}, Bounds{MaxAge: time.Minute}, time.Minute},
		{"grant", Terms{Attributes: []string{"emails"}, Until: in(90 * time.Second)}, Bounds{MaxAge: 2 * time.Minute}, 90 * time.Second},
		{"whole seconds", Terms{Until: in(1500 * time.Millisecond)}, Bounds{}, time.Second},
		{"over", Terms{Until: in(-time.Hour)}, Bounds{}, 0},
	} {
		if got := MaxAge(c.terms, policy, c.bounds, now); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWithin(t *testing.T) {
	policy := Policy{Classes: []Class{{Attributes: []string{"roles", "name.formatted"}, Withheld: true}}}
	for _, c := range []struct {
		name    string
		granted []string
		bounds  Bounds
		want    []string
	}{
		{"no bounds", []string{"title", "emails"}, Bounds{}, []string{"emails", "title"}},
		{"bounds", []string{"title", "emails"}, Bounds{Attributes: []string{"title"}}, []string{"title"}},
		{"broader than the bounds", []string{"name"}, Bounds{Attributes: []string{"name.familyName"}}, []string{"name.familyName"}},
		{"finer than the bounds", []string{"name.familyName"}, Bounds{Attributes: []string{"name"}}, []string{"name.familyName"}},
		{"withheld", []string{"title", "roles"}, Bounds{}, []string{"title"}},
		{"holds something withheld", []string{"name"}, Bounds{}, nil},
	} {
		if got := Within(c.granted, policy, c.bounds); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestCurrent(t *testing.T) {
	terms := Terms{Attributes: []string{"title"}}
	if got := Current([]string{"active", "emails", "phoneNumbers", "title"}, terms, marks{"emails": 3}); !slices.Equal(got, []string{"active", "emails", "title"}) {
		t.Errorf("got %q: a name that never was the party's business stays out, one that left the grant is named", got)
	}
}

func TestParsePurposes(t *testing.T) {
	if p, err := ParsePurposes([]string{" Notify", "transfer"}); err != nil || p != both || !slices.Equal(p.Names(), []string{"transfer", "notify"}) {
		t.Errorf("got %v, %v", p, err)
	}
	for _, bad := range [][]string{nil, {""}, {"everything"}} {
		if _, err := ParsePurposes(bad); !errors.Is(err, ErrPurpose) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
