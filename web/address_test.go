package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// Calls from one client address are held to the limit, whoever makes them; those from another are not.
func TestPerAddress(t *testing.T) {
	served := 0
	h := NewLimiter(Limit{Rate: 0.001, Burst: 2}).PerAddress(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	ask := func(address string) int {
		r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
		r.RemoteAddr = address
		h.ServeHTTP(w, r)
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
		return w.Code
	}
	got := fmt.Sprint(ask("192.0.2.1:1"), ask("192.0.2.1:2"), ask("192.0.2.1:3"), ask("192.0.2.2:1"), ask("[2001:db8::1]:1"), ask("[2001:db8::2]:1"), ask("[2001:db8::3]:1"))
	if want := "200 200 429 200 200 200 429"; got != want || served != 5 {
		t.Errorf("%s, %d served; want %s", got, served, want)
	}
}
