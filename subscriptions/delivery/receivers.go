package delivery

import (
	"net/url"
	"strings"
	"sync"

	"tidings/hub"
)

// receivers bounds what is under way to one receiver: to all streams of a party together, and to all streams that go to
// one host, whoever owns them (RE-08). A lane that finds no room is prodded when there is some.
type receivers struct {
	most int // deliveries under way to one

	mu     sync.Mutex
	loaded map[string]*load // by party, and by host
}

type load struct {
	flying  int
	waiting map[*lane]bool
}

// receiverOf names what a stream's pushes load.
func receiverOf(to hub.Endpoint) []string {
	names := []string{"party " + to.Party.String()}
	if u, err := url.Parse(to.URL); err == nil {
		names = append(names, "host "+strings.ToLower(u.Host))
	}
	return names
}

// take takes room for at most want deliveries and returns for how many there is, as much as leaves something for each
// lane that waits. With none, the lane waits.
func (r *receivers) take(l *lane, names []string, want int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		of := r.loaded[name]
		if of == nil {
			of = &load{waiting: map[*lane]bool{}}
			r.loaded[name] = of
		}
		delete(of.waiting, l)
		free := r.most - of.flying
		if free <= 0 {
			of.waiting[l] = true
			r.tidy(names)
			return 0
		}
		want = min(want, max(1, free/(1+len(of.waiting))))
	}
	for _, name := range names {
		r.loaded[name].flying += want
	}
	return want
}

// give returns room.
func (r *receivers) give(names []string, n int) {
	if n == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		of := r.loaded[name]
		of.flying -= n
		for l := range of.waiting {
			delete(of.waiting, l) // one that still finds none waits anew
			l.prod()
		}
	}
	r.tidy(names)
}

// tidy forgets receivers that nothing goes to.
func (r *receivers) tidy(names []string) {
	for _, name := range names {
		if of := r.loaded[name]; of != nil && of.flying == 0 && len(of.waiting) == 0 {
			delete(r.loaded, name)
		}
	}
}
