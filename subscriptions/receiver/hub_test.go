package receiver_test

import (
	"crypto"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"tidings/events"
	"tidings/subscriptions/receiver"
)

const (
	audience = "https://rp.example"
	bearer   = "party-token"
)

// hub is a hub as its receivers see it: metadata and keys as the SSF demands, and whatever else a test handles.
type hub struct {
	*http.ServeMux
	URL string

	mu       sync.Mutex
	keys     []events.PublicKey
	down     bool
	keyReads int
	now      time.Time
}

// newHub starts a hub, and a client with its clock.
func newHub(t *testing.T) (*hub, *receiver.Client) {
	h := &hub{ServeMux: http.NewServeMux(), now: time.Unix(1_700_000_000, 0)}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.URL = server.URL
	h.HandleFunc("GET /.well-known/ssf-configuration", func(w http.ResponseWriter, r *http.Request) {
		answer(w, events.Metadata{
			SpecVersion: events.SpecVersion, Issuer: h.URL, JWKSURI: h.URL + "/jwks.json",
			ConfigurationEndpoint: h.URL + "/ssf/streams", StatusEndpoint: h.URL + "/ssf/status", VerificationEndpoint: h.URL + "/ssf/verify",
		})
	})
	h.HandleFunc("GET /jwks.json", func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.keyReads++
		if h.down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		if r.Header.Get("Authorization") != "" {
			t.Error("the party's token was sent for keys")
		}
		set, err := events.NewKeySet(h.keys...)
		if err != nil {
			t.Error(err)
		}
		answer(w, set)
	})
	return h, &receiver.Client{Base: h.URL, Token: receiver.StaticToken(bearer), Now: h.clock}
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func problem(w http.ResponseWriter, status int, kind string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": kind})
}

func (h *hub) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hub) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// set changes the hub, and reads how often its keys were read.
func (h *hub) set(change func(*hub)) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(h)
	return h.keyReads
}

func (h *hub) reads() int { return h.set(func(*hub) {}) }

// signer makes a key; published says whether the hub shows it.
func (h *hub) signer(t *testing.T, kid string, published bool) *events.Signer {
	key, err := events.GenerateKey(events.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return h.signerOf(t, key, kid, published)
}

func (h *hub) signerOf(t *testing.T, key crypto.Signer, kid string, published bool) *events.Signer {
	s, err := events.NewSigner(key, events.ES256, kid)
	if err != nil {
		t.Fatal(err)
	}
	if published {
		h.set(func(h *hub) { h.keys = append(h.keys, s.PublicKey()) })
	}
	return s
}

// token is a token of the hub about a subject of the given id.
func (h *hub) token(id string, kind events.Type, payload map[string]any) events.Token {
	return events.Token{
		Issuer: h.URL, JTI: events.NewJTI(), IssuedAt: h.clock().Unix(), Audience: events.Audience{audience},
		SubID: events.SCIM("/Users/"+id, ""), Event: kind, Payload: payload,
	}
}

func sign(t *testing.T, s *events.Signer, token events.Token) string {
	t.Helper()
	compact, err := s.Sign(token)
	if err != nil {
		t.Fatal(err)
	}
	return string(compact)
}
