package main

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings/events"
)

// hearer is a relying party's webhook, written from the RFCs: it verifies, remembers, and answers 202, but now and then
// that it has no time.
type hearer struct {
	t        *testing.T
	jwks     func() []byte
	issuer   string
	audience string

	mu    sync.Mutex
	keys  events.KeySet
	seen  map[string]bool
	told  map[string]map[string]int64 // subject, name: highest version told
	order map[string]int64            // subject: last version heard for the first time
	ended map[string]int              // subject: session revocations
	wrong []string
}

func (h *hearer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	compact, err := io.ReadAll(r.Body)
	if err != nil {
		return // the hub died in the middle
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.keys.Len() == 0 {
		if h.keys, err = events.ParseKeySet(h.jwks()); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
	}
	token, err := events.Verify(compact, h.keys, events.Expect{Issuer: h.issuer, Audience: h.audience, Now: time.Now(), Skew: time.Second})
	if err != nil {
		h.wrong = append(h.wrong, err.Error())
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if rand.IntN(50) == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if !h.seen[token.JTI] {
		h.seen[token.JTI] = true
		h.hear(token)
	}
	w.WriteHeader(http.StatusAccepted)
}

func (h *hearer) hear(token events.Token) {
	switch token.Event {
	case events.SessionRevoked:
		h.ended[token.SubID.Member("sub")]++
	case events.ProvPatchNotice:
		_, id, _ := strings.Cut(token.SubID.Member("uri"), "/Users/")
		version := number(fmt.Sprint(token.Payload["version"]))
		if version < h.order[id] {
			h.wrong = append(h.wrong, fmt.Sprintf("subject %s: version %d told after %d", id, version, h.order[id]))
		}
		h.order[id] = version
		if h.told[id] == nil {
			h.told[id] = map[string]int64{}
		}
		names, _ := token.Payload["attributes"].([]any)
		for _, n := range names {
			h.told[id][fmt.Sprint(n)] = max(h.told[id][fmt.Sprint(n)], version)
		}
	}
}

// number reads W/"12".
func number(etag string) int64 {
	n, _ := strconv.ParseInt(strings.Trim(strings.TrimPrefix(etag, "W/"), `"`), 10, 64)
	return n
}

// subject is one person whom one worker patches, one patch after another.
type subject struct {
	entry, id string
	owed      map[string]int64 // name: version after the last acknowledged patch of it
	values    map[string]string
	disabled  int
}

// A hub that is killed again and again while it works loses nothing that it acknowledged (invariants 1, 3, 7): for every
// subject and attribute patched with a 2xx the receiver is told that name by a token of that version or a later one, in
// the order of versions; every signal arrives; what is fetched is what the directory holds; and the store is clean.
func TestKilledHubLosesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, s site) {
		patches, kills := 400, 4
		if os.Getenv("SOAK") != "" {
			patches, kills = 2000, 10
		}
		address := freeAddress(t)
		var party struct{ ID, Token, Audience string }
		var directory struct{ ID, Token string }
		s.tidings(&party, "party", "add", "--name", "shop")
		s.tidings(&directory, "token", "add", "--role", "directory", "--name", "hr")
		hub := s.serve(address)
		url := hub.url

		h := &hearer{t: t, issuer: url, audience: party.Audience, seen: map[string]bool{}, told: map[string]map[string]int64{},
			order: map[string]int64{}, ended: map[string]int{}}
		h.jwks = func() []byte {
			resp, err := http.Get(url + "/jwks.json")
			if err != nil {
				return nil
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			return b
		}
		receiver := httptest.NewServer(h)
		defer receiver.Close()

		subjects := make([]*subject, 10)
		for i := range subjects {
			subjects[i] = s.enrol(url, directory.Token, party.ID, fmt.Sprintf("person%d", i))
		}
		if status, _ := call("POST", url+"/ssf/streams", party.Token, map[string]any{
			"delivery": map[string]any{"method": "urn:ietf:rfc:8935", "endpoint_url": receiver.URL}}, nil); status != http.StatusCreated {
			t.Fatalf("create stream: %d", status)
		}

		var done atomic.Int64
		var workers sync.WaitGroup
		for _, p := range subjects {
			workers.Go(func() {
				for i := range patches / len(subjects) {
					p.patch(t, url, directory.Token, party.Token, i)
					done.Add(1)
				}
			})
		}
		for k := range kills {
			at := int64((k + 1) * patches / (kills + 1))
			if !eventually(2*time.Minute, func() bool { return done.Load() >= at }) {
				t.Fatalf("stuck at %d patches", done.Load())
			}
			hub.kill()
			hub = s.serve(address)
		}
		workers.Wait()

		var missing []string
		if !eventually(90*time.Second, func() bool { missing = h.missing(subjects); return len(missing) == 0 }) {
			t.Errorf("not told: %q", missing)
		}
		for _, p := range subjects {
			p.compare(t, url, directory.Token, party.Token)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.wrong) > 0 {
			t.Errorf("the receiver found %q", h.wrong)
		}
		hub.kill()
		if out, _, code := s.try("fsck"); code != 0 {
			t.Errorf("fsck: %s", out)
		}
	})
}

// enrol makes a person and the person's grant.
func (s site) enrol(url, token, party, name string) *subject {
	s.t.Helper()
	var user struct{ ID string }
	if status, _ := call("POST", url+"/scim/v2/Users", token, map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": name}, &user); status != http.StatusCreated {
		s.t.Fatalf("create: %d", status)
	}
	var grant struct{ Subject struct{ URI string } }
	s.tidings(&grant, "grant", "add", "--user", name, "--party", party, "--attributes", "title,displayName,nickName")
	return &subject{entry: user.ID, id: strings.TrimPrefix(grant.Subject.URI, "/Users/"), owed: map[string]int64{}, values: map[string]string{}}
}

var patched = []string{"title", "displayName", "nickName"}

// patch changes one attribute, or disables and enables, again and again until the hub says yes.
func (p *subject) patch(t *testing.T, url, directory, party string, i int) {
	path, value := patched[i%len(patched)], any(fmt.Sprintf("value %d", i))
	if i%10 == 5 || i%10 == 6 {
		path, value = "active", i%10 == 6
	}
	body := map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		"Operations": []any{map[string]any{"op": "replace", "path": path, "value": value}}}
	if !eventually(time.Minute, func() bool {
		status, _ := call("PATCH", url+"/scim/v2/Users/"+p.entry, directory, body, nil)
		return status == http.StatusOK
	}) {
		t.Errorf("patch was never acknowledged")
		return
	}
	if value == false {
		p.disabled++
	}
	text, ok := value.(string)
	if !ok {
		return
	}
	p.values[path] = text
	eventually(time.Minute, func() bool {
		status, header := call("GET", url+"/subjects/"+p.id, party, nil, nil)
		p.owed[path] = number(header.Get("ETag"))
		return status == http.StatusOK
	})
}

// missing lists what was acknowledged and has not been told.
func (h *hearer) missing(subjects []*subject) (missing []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range subjects {
		for _, name := range slices.Sorted(maps.Keys(p.owed)) {
			if h.told[p.id][name] < p.owed[name] {
				missing = append(missing, fmt.Sprintf("%s of %s at version %d, told %d", name, p.id, p.owed[name], h.told[p.id][name]))
			}
		}
		if h.ended[p.id] != p.disabled {
			missing = append(missing, fmt.Sprintf("%d session revocations of %s, told %d", p.disabled, p.id, h.ended[p.id]))
		}
	}
	return missing
}

// compare holds what the party fetches against what the directory has.
func (p *subject) compare(t *testing.T, url, directory, party string) {
	t.Helper()
	var fetched, stored map[string]any
	call("GET", url+"/subjects/"+p.id, party, nil, &fetched)
	call("GET", url+"/scim/v2/Users/"+p.entry, directory, nil, &stored)
	for _, name := range patched {
		if fetched[name] != p.values[name] || stored[name] != p.values[name] {
			t.Errorf("%s: fetched %v, stored %v, patched %v", name, fetched[name], stored[name], p.values[name])
		}
	}
	if fetched["active"] != stored["active"] {
		t.Errorf("active: fetched %v, stored %v", fetched["active"], stored["active"])
	}
}
