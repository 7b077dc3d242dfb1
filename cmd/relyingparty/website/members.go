package website

import (
	"maps"
	"slices"
	"sync"

	"tidings/events"
)

// roster lists the people who share something with the website, or did: by the ids under which the hub knows them to
// this website alone.
type roster struct {
	mu    sync.Mutex
	known map[string]standing
	heard int // how much was heard so far
}

type standing struct {
	shares bool
	heard  int
}

// begin says from when on what is heard is newer than an answer that is about to be asked for.
func (r *roster) begin() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.heard
}

// replace takes a whole snapshot. What was heard since it began stands, being newer. Who was known and is not in it
// shares nothing any more.
func (r *roster) replace(sharing map[string]bool, since int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := map[string]standing{}
	for id, s := range r.known {
		if s.heard <= since {
			s.shares = false
		}
		next[id] = s
	}
	for id, shares := range sharing {
		if next[id].heard <= since {
			next[id] = standing{shares, since}
		}
	}
	r.known = next
}

// set notes what was heard of one person.
func (r *roster) set(id string, shares bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[string]standing{}
	}
	r.heard++
	r.known[id] = standing{shares, r.heard}
}

// end notes what a fetch found out, unless something newer was heard since it began.
func (r *roster) end(id string, since int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, there := r.known[id]; there && s.heard <= since {
		r.known[id] = standing{false, s.heard}
	}
}

// has reports whether somebody of this id is known at all.
func (r *roster) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, there := r.known[id]
	return there
}

// sharing lists who shares something now; ended counts who does no more.
func (r *roster) sharing() (ids []string, ended int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(r.known)) {
		if r.known[id].shares {
			ids = append(ids, id)
		} else {
			ended++
		}
	}
	return ids, ended
}

// subject is how the hub's events name a person.
func subject(id string) events.Subject { return events.SCIM("/Users/"+id, "") }
