package delivery

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"tidings/events"
	"tidings/subscriptions"
)

// TestSwitchedProtocols: I11. A receiver that answers a push with 101 and then says nothing has the raw connection,
// which no deadline ends. It is refused like any other that does not take its tokens, and keeps nothing from stopping.
func TestSwitchedProtocols(t *testing.T) {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	t.Cleanup(func() { listener.Close() })
	var asked atomic.Int32
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go func() {
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				io.Copy(io.Discard, r.Body)
				io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
				asked.Add(1)
			}()
		}
	}()
	h := newHouse(t)
	p := h.party()
	h.grant(p, h.person("ann", "Engineer"))
	s := h.stream(p, subscriptions.Delivery{Method: events.MethodPush, EndpointURL: "http://" + listener.Addr().String()})
	stop := h.runPusher()
	h.person("ann", "Chief")
	eventually(t, "the push is asked", func() bool { return asked.Load() > 0 })
	eventually(t, "it is settled", func() bool {
		stream, err := h.Stream(h.ctx, p.caller, s.ID.String())
		return err == nil && stream.Failures > 0
	})
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(10 * time.Second):
		t.Fatal("the pusher does not stop")
	}
}
