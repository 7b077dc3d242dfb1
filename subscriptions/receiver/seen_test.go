package receiver

import (
	"strconv"
	"testing"
)

// Ids are remembered for a while and not for ever: a hub that sends a million tokens must not fill our memory.
func TestSeenIsBounded(t *testing.T) {
	var s seen
	for i := range 3 * remembered {
		id := strconv.Itoa(i)
		if s.begin(id) != unknown {
			t.Fatalf("%s was never there", id)
		}
		s.end(id, true)
	}
	if len(s.state) != remembered {
		t.Errorf("%d ids are remembered", len(s.state))
	}
	if s.begin(strconv.Itoa(2*remembered)) != kept {
		t.Error("the oldest that fits was forgotten")
	}
	if s.begin("0") != unknown {
		t.Error("the first is still remembered")
	}
}
