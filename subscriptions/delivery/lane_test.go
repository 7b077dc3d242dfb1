package delivery

import (
	"context"
	"testing"
	"time"

	"tidings/hub"
)

// TestLaneKeepsItsRest: a lane that is cut off because the leases were lost remembers what its receiver asked for.
func TestLaneKeepsItsRest(t *testing.T) {
	p := NewPusher(newHouse(t).Hub, Outward{}, quiet())
	l := &lane{stream: hub.NewID(), running: true, rest: time.Now().Add(time.Hour), window: 1}
	p.lanes[l.stream] = l
	lost, lose := context.WithCancel(t.Context())
	lose()
	p.fly(lost, l)
	p.forget()
	if p.lanes[l.stream] != l || l.running {
		t.Error("the lane is forgotten")
	}
}
