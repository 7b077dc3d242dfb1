package website

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tidings/subscriptions/receiver"
)

// card is what a page shows of one person.
type card struct {
	ID       string
	Name     string
	Initials string
	Hue      int // of the picture that stands for a photo, one of 12
	// Ended: nothing is held, as the person shares nothing any more. Away: the hub cannot be asked.
	Ended, Away bool
	Inactive    bool
	Facts       []fact
	Version     string
	Until       time.Time
	Held        []string // names of the attributes that were granted and have a value
}

// fact is one line of a card.
type fact struct{ Name, Label, Value string }

// labels are the attributes that the website knows how to call, in the order in which it shows them.
var labels = []struct{ name, label string }{
	{"title", "Title"}, {"department", "Department"}, {"organization", "Organisation"}, {"name", "Full name"},
	{"nickName", "Called"}, {"userName", "User name"}, {"emails", "Mail"}, {"phoneNumbers", "Phone"},
	{"addresses", "Address"}, {"groups", "Groups"}, {"userType", "Kind"}, {"preferredLanguage", "Language"},
	{"locale", "Locale"}, {"timezone", "Time zone"},
}

// newCard makes a card of a copy. An answer that is no resource is shown as one without values.
func newCard(c receiver.Copy) card {
	var resource map[string]any
	if json.Unmarshal(c.Resource, &resource) != nil {
		resource = map[string]any{}
	}
	held := flatten(resource)
	out := card{ID: c.ID, Version: c.Version, Until: c.Until}
	for name := range held {
		out.Held = append(out.Held, name)
	}
	slices.Sort(out.Held)
	for _, l := range labels {
		if value := text(held[l.name]); value != "" {
			out.Facts = append(out.Facts, fact{l.name, l.label, value})
		}
	}
	active, given := held["active"].(bool)
	out.Inactive = given && !active
	out.Name = cmp.Or(text(held["displayName"]), text(held["name"]), text(held["userName"]), "A member")
	out.Initials = initials(out.Name)
	hash := fnv.New32a()
	hash.Write([]byte(c.ID))
	out.Hue = int(hash.Sum32() % 12)
	return out
}

// flatten puts the attributes of extensions beside the others, by their short names, and leaves out what is about the
// resource as such.
func flatten(resource map[string]any) map[string]any {
	out := map[string]any{}
	for name, value := range resource {
		switch inner, complex := value.(map[string]any); {
		case name == "id" || name == "schemas" || name == "meta":
		case complex && strings.HasPrefix(name, "urn:"):
			for short, value := range inner {
				out[short] = value
			}
		default:
			out[name] = value
		}
	}
	return out
}

// text writes a SCIM value for people.
func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case []any:
		var lines []string
		for _, element := range v {
			line := text(element)
			if m, ok := element.(map[string]any); ok && line != "" {
				if kind := text(m["type"]); kind != "" {
					line = fmt.Sprintf("%s (%s)", line, kind)
				}
			}
			if line != "" {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "\n")
	case map[string]any:
		// The names that SCIM has for "all of it" in emails, groups, names and addresses.
		for _, whole := range []string{"display", "displayName", "formatted", "value"} {
			if s := text(v[whole]); s != "" {
				return s
			}
		}
		return strings.TrimSpace(text(v["givenName"]) + " " + text(v["familyName"]))
	}
	return ""
}

// initials are the first letters of the first and the last word of a name.
func initials(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' && r != '-' })
	if len(words) == 0 {
		return "?"
	}
	out := ""
	for _, word := range slices.Compact([]string{words[0], words[len(words)-1]}) {
		r, _ := utf8.DecodeRuneInString(word)
		out += string(unicode.ToUpper(r))
	}
	return out
}
