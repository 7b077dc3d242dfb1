package delivery

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"tidings/events"
	"tidings/hub"
)

// maxFrame bounds what a browser may send at once, in bytes: it has nothing to say but to close.
const maxFrame = 512

var errClosing = errors.New("socket is closing")

// socket is one browser's connection. Frames wait in a queue that is bounded in bytes; a writer lives only while there
// is something to write, so that a silent socket costs one sleeping reader.
type socket struct {
	live    *Live
	tail    *tail
	entries []hub.ID
	conn    *websocket.Conn
	until   time.Time // when it needs a new ticket

	mu      sync.Mutex
	timer   *time.Timer
	queue   []*frame
	size    int  // bytes in the queue and with the writer
	writing bool // somebody writes, who looks at the queue again before he ends
	closing int  // the code with which it ends; 0 while it lives
}

// listen turns the request into a socket and tells it what it missed. The socket outlives the handler: its reader goes
// on, and the memory that serving the request took is free.
func (l *Live) listen(w http.ResponseWriter, r *http.Request, ticket *hub.Ticket, cursor string) {
	conn, err := l.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // answered by the upgrader
	}
	life := l.age - time.Duration(rand.Int64N(int64(l.age/5)))
	s := &socket{live: l, entries: ticket.Entries, conn: conn, until: time.Now().Add(life), writing: true}
	t, now, err := l.join(l.ctx, ticket, s)
	if err != nil {
		s.end(closeCode(err))
		s.write()
		s.read()
		return
	}
	s.mu.Lock()
	s.tail, s.timer = t, time.AfterFunc(l.keepalive, s.beat)
	s.mu.Unlock()
	go s.read()
	if err := s.begin(ticket, cursor, now); err != nil {
		s.end(closeCode(err))
	}
	s.write()
}

// turnAway answers a socket with nothing but a close code.
func (l *Live) turnAway(w http.ResponseWriter, r *http.Request, code int) {
	conn, err := l.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	s := &socket{live: l, conn: conn, writing: true}
	s.end(code)
	s.write()
	s.read()
}

// begin sends the first frame and then what was missed since the browser's cursor, if it brought one. The tail's frames
// wait in the queue meanwhile.
func (s *socket) begin(ticket *hub.Ticket, cursor, now string) error {
	if cursor == "" {
		return s.tellAll([]hub.Notice{{Cursor: now}}, time.Now())
	}
	p := past{live: s.live, ticket: ticket, cursor: cursor}
	first := []hub.Notice{{Cursor: cursor}}
	for more := true; more; first = nil {
		// Read before the first frame, which says that the cursor holds.
		found, at, further, err := p.next(s.live.ctx)
		if err != nil {
			return err
		}
		if err := s.tellAll(append(first, found...), at); err != nil {
			return err
		}
		more = further
	}
	return nil
}

func (s *socket) tellAll(notices []hub.Notice, at time.Time) error {
	frames := make([]*frame, len(notices))
	for i, n := range notices {
		f, err := newFrame(n, at)
		if err != nil {
			return err
		}
		frames[i] = f
	}
	var c check
	for i := range frames {
		if err := s.tell(frames[i:], &c); err != nil {
			return err
		}
	}
	return nil
}

// hear puts a frame in the queue. A socket whose queue is full does not read: it is cut, and comes back with its cursor.
func (s *socket) hear(f *frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing != 0 {
		return
	}
	if s.size+f.size > s.live.queue {
		s.close(events.CloseSlow)
		return
	}
	s.size += f.size
	s.queue = append(s.queue, f)
	s.wakeWriter()
}

// end closes the socket with a code; a socket that closes already keeps its own.
func (s *socket) end(code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close(code)
}

// close is end with the lock held.
func (s *socket) close(code int) {
	if s.closing == 0 {
		s.closing, s.queue = code, nil
		s.wakeWriter()
	}
}

func (s *socket) wakeWriter() {
	if !s.writing {
		s.writing = true
		go s.write()
	}
}

// write empties the queue and ends; or, if the socket is to close, says so.
func (s *socket) write() {
	for {
		s.mu.Lock()
		if s.closing != 0 {
			s.mu.Unlock()
			s.goodbye()
			return
		}
		batch := s.queue
		s.queue = nil
		if s.writing = len(batch) > 0; !s.writing {
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		var c check
		for i, f := range batch {
			if err := s.tell(batch[i:], &c); err != nil {
				s.end(closeCode(err))
				break
			}
			s.mu.Lock()
			s.size -= f.size
			s.mu.Unlock()
		}
	}
}

// check is what the engine last said about entries of frames that waited.
type check struct {
	at  time.Time
	may map[hub.ID]bool
}

// tell writes the first of some frames. If it waited since its grant was checked, the engine is asked again, for all of
// them at once; what may not be told any more is passed over (TestRevokedWhileQueued).
func (s *socket) tell(frames []*frame, c *check) error {
	f := frames[0]
	if !f.removed && !f.entry.IsZero() && time.Since(f.checked) > s.live.fresh {
		if c.may == nil || time.Since(c.at) > s.live.fresh {
			at := time.Now()
			may, err := s.tail.gate.mayHear(frames)
			if err != nil {
				return err
			}
			c.at, c.may = at, may
		}
		if !c.may[f.entry] {
			return nil
		}
	}
	s.mu.Lock()
	closing := s.closing != 0
	s.mu.Unlock()
	if closing {
		return errClosing
	}
	s.conn.SetWriteDeadline(time.Now().Add(s.live.writeTime))
	return s.conn.WritePreparedMessage(f.message)
}

// goodbye sends the close frame and gives the other side a while to answer it; the reader then ends the connection.
func (s *socket) goodbye() {
	s.mu.Lock()
	code := s.closing
	s.mu.Unlock()
	deadline := time.Now().Add(s.live.closeTime)
	if s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), deadline) != nil {
		s.conn.Close()
		return
	}
	s.conn.SetReadDeadline(deadline)
}

// read waits for pongs and for the end.
func (s *socket) read() {
	defer s.gone()
	s.conn.SetReadLimit(maxFrame)
	s.conn.SetPongHandler(s.alive)
	if s.alive("") != nil {
		return
	}
	for {
		if _, _, err := s.conn.NextReader(); err != nil {
			return
		}
		s.end(events.CloseGoAway)
	}
}

// alive takes a pong, or the beginning, as a sign of life.
func (s *socket) alive(string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing != 0 {
		return nil // the deadline is that of closing
	}
	return s.conn.SetReadDeadline(time.Now().Add(2*s.live.keepalive + s.live.writeTime))
}

// beat asks for a sign of life. A socket that has lived long needs a new ticket: its party's server is to say again
// whether this visitor may listen.
func (s *socket) beat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing != 0:
		return
	case time.Now().After(s.until):
		s.close(events.CloseTicket)
		return
	}
	s.timer.Reset(s.live.keepalive)
	go func() {
		if s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(s.live.writeTime)) != nil {
			s.conn.Close()
		}
	}()
}

// gone clears up after the connection.
func (s *socket) gone() {
	s.conn.Close()
	s.mu.Lock()
	if s.closing == 0 {
		s.closing = events.CloseGoAway
	}
	s.queue = nil
	t := s.tail
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	if t != nil {
		s.live.leave(t, s.entries, s)
	}
}
