package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/events"
)

// careless is a receiver that polls over several connections and acknowledges as it likes: late, out of order, a part of
// what it has, some of it twice.
type careless struct {
	w    *world
	path string
	keys events.KeySet

	mu    sync.Mutex
	heard map[string]heard
	acked map[string]bool // an answer said so
	wrong []string
	polls map[string]int // that a hub answered
}

// ask makes one poll of a hub; what was acknowledged when it began may not come.
func (r *careless) ask(client *http.Client, hub string, random *rand.Rand) {
	r.mu.Lock()
	known := slices.Collect(maps.Keys(r.heard))
	settled := maps.Clone(r.acked)
	r.mu.Unlock()
	random.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
	body := object{"returnImmediately": true, "maxEvents": 1 + random.IntN(4)}
	ack := known[:random.IntN(len(known)+1)]
	if len(ack) > 0 {
		body["ack"] = append(ack, ack[0], "unknown")
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	request, err := http.NewRequest("POST", hub+r.path, bytes.NewReader(text))
	if err != nil {
		panic(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.w.shop.Token)
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return // the hub is dead; whether it took the acknowledgement, and what it handed out, nobody knows
	}
	defer answer.Body.Close()
	var got events.PollResponse
	if answer.StatusCode != http.StatusOK || json.NewDecoder(answer.Body).Decode(&got) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.polls[hub]++
	for _, jti := range ack {
		r.acked[jti] = true
	}
	if len(got.Sets) > body["maxEvents"].(int) {
		r.wrong = append(r.wrong, "more SETs than were asked for")
	}
	for _, s := range got.Sets {
		if settled[s.JTI] || slices.Contains(ack, s.JTI) {
			r.wrong = append(r.wrong, "an acknowledged SET came again")
		}
		token, err := events.Verify([]byte(s.Compact), r.keys, r.w.expect())
		if err != nil {
			r.wrong = append(r.wrong, err.Error())
		}
		r.heard[s.JTI] = heard{token, time.Now()}
	}
}

// newest is the newest version that was told of a person.
func (r *careless) newest(p person) (newest int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.heard {
		var version int
		text, _ := k.Payload["version"].(string)
		if _, err := fmt.Sscanf(text, `W/"%d"`, &version); err == nil && k.about(p) {
			newest = max(newest, version)
		}
	}
	return newest
}

// TestAcknowledging: PB-05 to PB-08, PB-10, PB-12, PB-20, I7: a receiver that acknowledges out of order, partly and twice,
// over two connections to two processes of which one is killed and started anew, misses nothing and sees nothing again that
// it had acknowledged.
func TestAcknowledging(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		p := w.poller()
		r := &careless{w: w, path: strings.TrimPrefix(p.endpoint, w.hub.url), keys: w.keys(), heard: map[string]heard{}, acked: map[string]bool{}, polls: map[string]int{}}
		address := freeAddress(t)
		beside := "http://" + address
		start := func() *served {
			return s.start("--listen", address, "--issuer", w.hub.url, "--allow-insecure-receivers")
		}
		answers := func() int {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.polls[beside]
		}
		second := start()
		var people []person
		for i := range 8 {
			people = append(people, w.person(fmt.Sprint("user", i), object{"title": "none"}, "--attributes", "title"))
		}
		done := make(chan struct{})
		var polls sync.WaitGroup
		for i, hub := range []string{w.hub.url, beside, w.hub.url} {
			polls.Go(func() {
				client := &http.Client{Transport: &http.Transport{}}
				defer client.CloseIdleConnections()
				random := rand.New(rand.NewPCG(uint64(i), 1))
				pace := time.NewTicker(3 * time.Millisecond)
				defer pace.Stop()
				for {
					select {
					case <-done:
						return
					case <-pace.C:
						r.ask(client, hub, random)
					}
				}
			})
		}
		for round := range 12 {
			for i, one := range people {
				if round == 11 && i%2 == 0 {
					w.patch(one, object{"active": false}) // several tokens each
				} else {
					w.patch(one, object{"title": fmt.Sprint("title ", round)})
				}
			}
			if round%5 == 4 {
				if before := answers(); !eventually(patience, func() bool { return answers() >= before+5 }) {
					t.Fatal("the second process does not answer")
				}
				second.kill() // with answers on their way
				second = start()
			}
		}
		told := func() bool {
			for _, one := range people {
				var version int
				header := w.must("GET", "/subjects/"+one.id, w.shop.Token, nil, nil)
				if _, err := fmt.Sscanf(header.Get("ETag"), `W/"%d"`, &version); err != nil {
					t.Fatal(err)
				}
				if r.newest(one) < version {
					return false
				}
			}
			return true
		}
		if !eventually(3*patience, told) { // what a killed process handed out comes again after its lease of 30 s
			t.Error("something was never told")
		}
		owed := func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.acked) < len(r.heard)
		}
		if !eventually(patience, func() bool { return !owed() }) {
			t.Error("not all was acknowledged")
		}
		close(done)
		polls.Wait()
		if fresh, _ := p.poll(object{"returnImmediately": true}); slices.ContainsFunc(fresh, func(k heard) bool { return r.acked[k.JTI] }) {
			t.Error("an acknowledged SET came again at the end")
		}
		slices.Sort(r.wrong)
		if wrong := slices.Compact(r.wrong); len(wrong) > 0 {
			t.Errorf("%q", wrong)
		}
		t.Logf("polls: %v, tokens: %d", r.polls, len(r.heard))
	})
}
