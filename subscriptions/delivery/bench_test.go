package delivery

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"

	"tidings/hub"
)

const benchSockets = 1000

// BenchmarkFanOut tells 1,000 sockets of changes, from the commit on: bare is gorilla writing one prepared message to
// each of as many sockets, from as many goroutines as there are cores. The same clients read in both.
func BenchmarkFanOut(b *testing.B) {
	b.Run("bare", benchBare)
	b.Run("hub", benchHub)
}

// audience is many sockets whose frames are counted and not looked at.
type audience struct {
	frames atomic.Int64
	conns  []net.Conn
	done   sync.WaitGroup
}

// connect opens a websocket by hand: the client's side is to cost as little as it can.
func (a *audience) connect(b *testing.B, address, path string) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	c.Write([]byte("GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"))
	a.conns = append(a.conns, c)
	a.done.Go(func() { a.count(c) })
}

// count reads the answer's head, then counts frames by their lengths (server frames are not masked).
func (a *audience) count(c net.Conn) {
	buf := make([]byte, 0, 4096)
	head := true
	for {
		n, err := c.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return
		}
		buf = buf[:len(buf)+n]
		rest := buf
		if head {
			end := strings.Index(string(rest), "\r\n\r\n")
			if end < 0 {
				continue
			}
			rest, head = rest[end+4:], false
		}
		for len(rest) >= 2 {
			size := 2 + int(rest[1]&127)
			if rest[1]&127 == 126 {
				if len(rest) < 4 {
					break
				}
				size = 4 + int(rest[2])<<8 + int(rest[3])
			}
			if len(rest) < size {
				break
			}
			if rest[0]&15 == websocket.TextMessage {
				a.frames.Add(1)
			}
			rest = rest[size:]
		}
		buf = buf[:copy(buf[:cap(buf)], rest)]
	}
}

func (a *audience) close() {
	for _, c := range a.conns {
		c.Close()
	}
	a.done.Wait()
}

func (a *audience) await(b *testing.B, n int64) {
	eventually(b, "all frames arrive", func() bool { return a.frames.Load() >= n })
}

func heapAndStacks() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func benchHub(b *testing.B) {
	const people = 100
	h := newLiveHouse(b, people, func(l *Live) { l.queue = 16 << 20 })
	server := httptest.NewServer(h.live)
	defer server.Close()
	var a audience
	defer a.close()
	tickets := make([]string, benchSockets)
	for i := range tickets {
		tickets[i] = h.ticket()
	}
	before := heapAndStacks()
	for _, ticket := range tickets {
		a.connect(b, server.Listener.Addr().String(), "/live?ticket="+ticket)
	}
	a.await(b, benchSockets)
	memory := heapAndStacks() - before
	reports := make([]hub.Report, people)
	b.ResetTimer()
	told := int64(benchSockets)
	for left := b.N; left > 0; left -= people { // as bursts: a hundred changes in one commit
		size := min(people, left)
		for i := range reports[:size] {
			reports[i] = h.report(fmt.Sprint("user", i), hub.NewID().String())
		}
		if _, err := h.Ingest(h.ctx, reports[:size]...); err != nil {
			b.Fatal(err)
		}
		told += int64(size) * benchSockets
		a.await(b, told) // one entry changed twice before it is read is told once
	}
	b.ReportMetric(float64(memory)/benchSockets/1e3, "kB/pair") // of both ends of a connection
	b.ReportMetric(float64(told-benchSockets)/b.Elapsed().Seconds(), "writes/s")
}

func benchBare(b *testing.B) {
	upgrader := websocket.Upgrader{ReadBufferSize: 128, WriteBufferSize: 512, WriteBufferPool: &sync.Pool{}}
	conns := make(chan *websocket.Conn, benchSockets)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		conns <- c
	}))
	defer server.Close()
	var a audience
	defer a.close()
	var all []*websocket.Conn
	before := heapAndStacks()
	for range benchSockets {
		a.connect(b, server.Listener.Addr().String(), "/")
		all = append(all, <-conns)
	}
	memory := heapAndStacks() - before
	text := []byte(`{"subject":{"format":"scim","uri":"/Users/abcdefghijklmnopqrstuvwxyz"},"cursor":"` + strings.Repeat("x", 120) + `"}`)
	b.ResetTimer()
	for range b.N {
		message, err := websocket.NewPreparedMessage(websocket.TextMessage, text)
		if err != nil {
			b.Fatal(err)
		}
		var writing sync.WaitGroup
		cores := runtime.GOMAXPROCS(0)
		for core := range cores {
			writing.Go(func() {
				for i := core; i < len(all); i += cores {
					if err := all[i].WritePreparedMessage(message); err != nil {
						b.Error(err)
					}
				}
			})
		}
		writing.Wait()
	}
	a.await(b, int64(b.N)*benchSockets)
	b.ReportMetric(float64(memory)/benchSockets/1e3, "kB/pair")
	b.ReportMetric(float64(b.N)*benchSockets/b.Elapsed().Seconds(), "writes/s")
}
