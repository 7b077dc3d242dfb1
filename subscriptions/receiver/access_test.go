package receiver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"tidings/subscriptions/receiver"
)

// CI-14, CI-18: the secret goes to the token endpoint only, once for many calls, and again before the token ends.
func TestAccessToken(t *testing.T) {
	server, client := newHub(t)
	now := time.Now()
	client.Now = func() time.Time { return now }
	client.Token = receiver.AccessToken(client, "the party", "its:secret", "changes.read", "ssf.read")
	given, failing := 0, false
	server.HandleFunc("POST /oauth/token", func(w http.ResponseWriter, r *http.Request) {
		given++
		user, password, _ := r.BasicAuth()
		if user != "the+party" || password != "its%3Asecret" || r.PostFormValue("grant_type") != "client_credentials" || r.PostFormValue("scope") != "changes.read ssf.read" {
			t.Errorf("%q %q %v", user, password, r.PostForm)
		}
		if failing {
			w.WriteHeader(http.StatusUnauthorized)
		}
		fmt.Fprintf(w, `{"access_token":"short-%d","token_type":"bearer","expires_in":600}`, given)
	})
	var mu sync.Mutex
	var used []string
	server.HandleFunc("GET /ssf/status", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		used = append(used, r.Header.Get("Authorization"))
		fmt.Fprint(w, `{"stream_id":"s","status":"enabled"}`)
	})
	call := func() error { _, err := client.Status(t.Context(), "s"); return err }
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if err := call(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	now = now.Add(481 * time.Second)
	if err := call(); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(used) != "[Bearer short-1 Bearer short-1 Bearer short-1 Bearer short-1 Bearer short-1 Bearer short-2]" {
		t.Errorf("used %v", used)
	}
	now, failing = now.Add(time.Hour), true
	var problem *receiver.Problem
	if err := call(); !errors.As(err, &problem) || problem.Status != http.StatusUnauthorized || len(used) != 6 {
		t.Errorf("%v", err)
	}
	far := &receiver.Client{Base: "http://hub.example"}
	if _, err := receiver.AccessToken(far, "p", "s")(context.Background()); !errors.Is(err, receiver.ErrInsecure) {
		t.Errorf("in the clear: %v", err)
	}
}
