package website

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"tidings/events"
	"tidings/subscriptions/receiver"
)

const (
	inboxPath = "/events"
	// remembered is how many received tokens the website shows.
	remembered = 30
)

// letter is one received token, as shown: names, never values.
type letter struct {
	At      time.Time
	Type    string
	Names   []string
	ID      string // whom it is about; "" if not somebody the website can show
	Version string
	JTI     string
	KeyID   string
	Joined  bool
}

// received holds the latest tokens, the newest first.
type received struct {
	mu      sync.Mutex
	letters []letter
	changed chan struct{}
}

// latest returns the letters, and a channel that is closed when there is another one.
func (r *received) latest() ([]letter, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.letters, r.changed
}

func (r *received) add(l letter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// A new slice: pages may be reading the old one.
	r.letters = append([]letter{l}, r.letters[:min(len(r.letters), remembered-1)]...)
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

type keyID struct{}

// receive answers a push. The SDK does all the checking; what is read here beforehand is only the name of the key, for
// show.
func (s *Site) receive(w http.ResponseWriter, r *http.Request) {
	inbox := s.inbox.Load()
	if inbox == nil {
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, events.MaxToken))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), keyID{}, kid(body)))
	r.Body = io.NopCloser(bytes.NewReader(body))
	inbox.ServeHTTP(w, r)
}

// kid is the name of the key in the header of a compact token. It is not believed before the token was verified with
// that key.
func kid(compact []byte) string {
	head, _, _ := bytes.Cut(compact, []byte{'.'})
	text, err := base64.RawURLEncoding.DecodeString(string(head))
	var header struct {
		KeyID string `json:"kid"`
	}
	if err != nil || json.Unmarshal(text, &header) != nil {
		return ""
	}
	return header.KeyID
}

// keep takes a verified token: copies that it outdates are dropped, the list of people and the visitors' pages follow.
func (s *Site) keep(ctx context.Context, t events.Token) error {
	if t.Event == events.Verification {
		state := s.state.Load()
		if got, given := t.Payload["state"].(string); given && (state == nil || got != *state) {
			return &receiver.Refusal{Code: events.CodeInvalidState, Description: "this verification was not asked for"}
		}
	}
	s.cache.Tell(t)
	if t.Event == events.FeedChanged {
		s.stale.Store(true)
		s.wake()
	}
	l := letter{At: time.Now(), Type: short(t.Event), Names: names(t), JTI: t.JTI}
	l.KeyID, _ = ctx.Value(keyID{}).(string)
	l.Version, _ = t.Payload["version"].(string)
	if id, found := strings.CutPrefix(t.SubID.Member("uri"), "/Users/"); found {
		l.ID = id
		l.Joined = t.Event == events.FeedAdd || t.Event == events.ProvCreateNotice
		s.members.set(id, t.Event != events.FeedRemove && t.Event != events.ProvDelete)
	}
	s.mail.add(l)
	return nil
}

// short is the last part of an event type's URI, which tells enough to a reader.
func short(t events.Type) string {
	text := strings.TrimPrefix(string(t), "urn:ietf:params:scim:event:")
	return text[strings.LastIndexByte(text, '/')+1:]
}

// names lists the attributes that an event names.
func names(t events.Token) []string {
	list, _ := t.Payload["attributes"].([]any)
	var out []string
	for _, v := range list {
		if name, ok := v.(string); ok {
			out = append(out, name[strings.LastIndexByte(name, ':')+1:])
		}
	}
	return out
}
