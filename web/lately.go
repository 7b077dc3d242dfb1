package web

import (
	"sync"
	"time"
)

// lastingTime is how long an answer that strangers may ask for counts as the present one.
const lastingTime = time.Second

// lately makes of a question one that is asked no more than once in lastingTime, whoever asks: who asks sooner gets the
// last answer. Health and metrics are for everybody and read the store; bounding who asks would let a stranger behind the
// address of a load balancer make the hub seem dead.
func lately[T any](ask func() (T, error)) func() (T, error) {
	var (
		mu    sync.Mutex
		until time.Time
		last  T
		err   error
	)
	return func() (T, error) {
		mu.Lock()
		defer mu.Unlock()
		if !time.Now().Before(until) {
			last, err = ask()
			until = time.Now().Add(lastingTime)
		}
		return last, err
	}
}
