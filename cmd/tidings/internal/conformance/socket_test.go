package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const socketMethod = "urn:tidings:delivery:websocket"

// socket is a receiver's end of the websocket method. What it reads are the bodies of RFC 8936.
type socket struct {
	t      *try
	stream object
	conn   *websocket.Conn
	frames chan object // closed at the end
	pings  chan struct{}
	mu     sync.Mutex
	err    error
	keeps  map[string]string // compact tokens by jti
}

// dial opens a socket, or gives the answer that refused it.
func (t *try) dial(stream object, header http.Header) (*socket, *http.Response) {
	transport, _ := t.client.Transport.(*http.Transport)
	d := websocket.Dialer{NetDialContext: transport.DialContext, HandshakeTimeout: patience}
	conn, res, err := d.DialContext(t.ctx, pollURL(stream), header)
	if err != nil {
		if res == nil {
			panic(err)
		}
		return nil, res
	}
	s := &socket{t: t, stream: stream, conn: conn, frames: make(chan object, 100), pings: make(chan struct{}, 100), keeps: map[string]string{}}
	conn.SetPingHandler(func(data string) error {
		s.pings <- struct{}{}
		return conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
	})
	t.closing = append(t.closing, func() { conn.Close() })
	go func() {
		defer close(s.frames)
		for {
			kind, text, err := conn.ReadMessage()
			var frame object
			if err == nil && kind == websocket.TextMessage {
				frame, err = strictObject(text)
			}
			if err != nil {
				s.mu.Lock()
				s.err = err
				s.mu.Unlock()
				return
			}
			s.frames <- frame
		}
	}()
	return s, nil
}

func (t *try) open(stream object) *socket {
	s, res := t.dial(stream, http.Header{"Authorization": {"Bearer " + t.token}})
	t.need(s != nil, "WS-01 WS-02", "the socket was refused: %v", res)
	return s
}

// says sends a frame.
func (s *socket) says(frame object) {
	if err := s.conn.WriteMessage(websocket.TextMessage, []byte(text(frame))); err != nil {
		s.t.check(false, "WS-04", "a frame could not be sent: %v", err)
	}
}

// frame waits for the next one.
func (s *socket) frame(rows string) []*set {
	timer := time.NewTimer(s.t.patience)
	defer timer.Stop()
	select {
	case frame, open := <-s.frames:
		s.t.need(open, rows, "the socket ended: %v", s.ended())
		sets, ok := frame["sets"].(object)
		s.t.need(ok && len(sets) > 0, "WS-04", "a frame without sets: %v", frame)
		var list []*set
		for jti, compact := range sets {
			text, _ := compact.(string)
			set := s.t.accept(text, s.stream)
			s.t.check(set.jti == jti, "WS-04", "under %q is the token %q", jti, set.jti)
			list = append(list, set)
		}
		return list
	case <-timer.C:
		s.t.need(false, rows, "no frame came")
	}
	return nil
}

// quiet: no frame came until now.
func (s *socket) quiet(rows string) {
	select {
	case frame, open := <-s.frames:
		s.t.check(false, rows, "came %v (open %t)", frame, open)
	default:
		s.t.check(true, rows, "")
	}
}

func (s *socket) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// code waits for the end and gives its close code.
func (s *socket) code() int {
	timer := time.NewTimer(s.t.patience)
	defer timer.Stop()
	for {
		select {
		case _, open := <-s.frames:
			if open {
				continue
			}
			var end *websocket.CloseError
			if errors.As(s.ended(), &end) {
				return end.Code
			}
			return -1
		case <-timer.C:
			return 0
		}
	}
}

func (t *try) createSocket() object {
	return t.create(object{"delivery": object{"method": socketMethod}})
}

// socketLife: opening, frames, acknowledgements, and what happens to what was not acknowledged.
func socketLife(t *try) {
	stream := t.createSocket()
	t.check(strings.Contains(text(t.meta["delivery_methods_supported"]), socketMethod), "WS-01 DE-08", "delivery_methods_supported is %v", t.meta["delivery_methods_supported"])
	t.check(strings.HasPrefix(pollURL(stream), "ws"), "WS-01 DE-08", "endpoint_url is %q", pollURL(stream))
	for name, c := range map[string]struct {
		header http.Header
		query  string
		status []int
	}{
		"no token":           {nil, "", []int{401}},
		"unknown token":      {http.Header{"Authorization": {"Bearer nobody"}}, "", []int{401}},
		"token in the query": {nil, "?access_token=" + t.token, []int{400, 401}},
		"another role":       {http.Header{"Authorization": {"Bearer " + t.program.operator}}, "", []int{403}},
	} {
		asked := object{"delivery": object{"endpoint_url": pollURL(stream) + c.query}}
		s, res := t.dial(asked, c.header)
		if t.check(s == nil, "WS-02", "%s opens a socket", name) {
			t.check(res.StatusCode == c.status[0] || res.StatusCode == c.status[len(c.status)-1], "WS-02", "%s is refused with %d", name, res.StatusCode)
		}
	}

	first := t.open(stream)
	t.verify(stream, "one")
	one := first.frame("WS-04 WS-05")
	t.check(len(one) == 1 && one[0].payload["state"] == "one", "WS-04", "came %v", one)
	first.says(object{"ack": []string{one[0].jti}})
	t.verify(stream, "two")
	two := first.frame("WS-05")
	t.check(len(two) == 1 && two[0].payload["state"] == "two", "WS-05", "after the acknowledgement came %v", two)
	first.conn.Close()
	second := t.open(stream)
	again := second.frame("WS-05")
	t.check(len(again) == 1 && again[0].compact == two[0].compact, "WS-05 RE-03", "what was not acknowledged comes as %v", again)
	second.says(object{"setErrs": object{again[0].jti: object{"err": "invalid_state", "description": "no"}}})

	// A pause stops frames at once.
	witness := t.create(object{})
	t.status(idOf(stream), "paused")
	t.verify(stream, "three")
	t.verify(witness, nil)
	t.next(witness, "VE-13", ofType("/verification"))
	second.quiet("WS-06")
	t.status(idOf(stream), "enabled")
	three := second.frame("WS-06")
	t.check(three[0].payload["state"] == "three", "WS-06", "after the pause came %v", three)
	second.says(object{"ack": []string{three[0].jti}})

	// Loss of the token ends the socket.
	token, revoke := t.anotherToken()
	s, res := t.dial(stream, http.Header{"Authorization": {"Bearer " + token}})
	t.need(s != nil, "WS-02", "a second token is refused: %v", res)
	revoke()
	code := s.code()
	t.check(code == websocket.ClosePolicyViolation, "WS-03", "after the revocation of the token the socket ended with %d", code)

	for name, c := range map[string]struct {
		kind int
		text string
		code int
	}{
		"malformed":  {websocket.TextMessage, `{"ack":`, websocket.CloseInvalidFramePayloadData},
		"name twice": {websocket.TextMessage, `{"ack":[],"ack":[]}`, websocket.CloseInvalidFramePayloadData},
		"binary":     {websocket.BinaryMessage, `{}`, websocket.CloseUnsupportedData},
		"huge":       {websocket.TextMessage, `{"ack":["` + strings.Repeat("x", 2<<20) + `"]}`, websocket.CloseMessageTooBig},
	} {
		s := t.open(stream)
		_ = s.conn.WriteMessage(c.kind, []byte(c.text)) // it may be cut before it is sent
		got := s.code()
		// A frame that is cut while it is sent may break the connection before the code is read.
		t.check(got == c.code || name == "huge" && got == -1, "WS-07", "a %s frame ended the socket with %d", name, got)
	}
}

// socketAlive: pings come before a proxy would take the socket for dead.
func socketAlive(t *try) {
	s := t.open(t.createSocket())
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.pings:
		t.check(true, "WS-07", "")
	case <-timer.C:
		t.check(false, "WS-07", "no ping came")
	}
}

// relay passes the frames of a socket through the proxy.
func (p *proxy) relay(w http.ResponseWriter, r *http.Request, target string) {
	header := http.Header{}
	if token := r.Header.Get("Authorization"); token != "" {
		header.Set("Authorization", token)
	} else if token := r.URL.Query().Get("access_token"); token != "" && p.query {
		header.Set("Authorization", "Bearer "+token)
		r.URL.RawQuery = ""
	}
	d := websocket.Dialer{NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	there, res, err := d.DialContext(r.Context(), "ws"+strings.TrimPrefix(target, "http")+r.URL.RequestURI(), header)
	if err != nil {
		if res == nil {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(res.StatusCode)
		return
	}
	defer there.Close()
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	here, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer here.Close()
	there.SetPingHandler(func(data string) error {
		if p.mute {
			return there.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		}
		return here.WriteControl(websocket.PingMessage, []byte(data), time.Now().Add(time.Second))
	})
	here.SetPongHandler(func(data string) error {
		return there.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
	})
	done := make(chan struct{}, 2)
	pipe := func(from, to *websocket.Conn, edit func(object)) {
		defer func() { done <- struct{}{} }()
		for {
			kind, frame, err := from.ReadMessage()
			if err != nil {
				var end *websocket.CloseError
				if errors.As(err, &end) && end.Code != websocket.CloseAbnormalClosure && end.Code != websocket.CloseNoStatusReceived {
					code := end.Code
					if p.close != 0 {
						code = p.close
					}
					_ = to.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
				}
				to.Close()
				return
			}
			var m object
			if edit != nil && json.Unmarshal(frame, &m) == nil {
				edit(m)
				if len(m) == 0 {
					continue
				}
				frame = []byte(text(m))
			}
			if to.WriteMessage(kind, frame) != nil {
				return
			}
		}
	}
	go pipe(there, here, p.down)
	go pipe(here, there, p.up)
	<-done
	<-done
}
