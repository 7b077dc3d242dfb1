package live

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/gorilla/websocket"

	"tidings/events"
)

// TestScriptCaching: browsers ask at most once an hour, and then only whether it changed.
func TestScriptCaching(t *testing.T) {
	ask := func(tag string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, "/live.js", nil)
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		Routes()[0].Handler.ServeHTTP(w, r)
		return w.Result()
	}
	first := ask("")
	if first.StatusCode != http.StatusOK || first.Header.Get("Content-Type") != "text/javascript; charset=utf-8" ||
		first.Header.Get("Cache-Control") != "public, max-age=3600" || first.Header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
		t.Errorf("%d %v", first.StatusCode, first.Header)
	}
	if got := ask(first.Header.Get("ETag")).StatusCode; got != http.StatusNotModified {
		t.Errorf("known script: %d", got)
	}
	if got := ask(`"other"`).StatusCode; got != http.StatusOK {
		t.Errorf("other script: %d", got)
	}
}

// step is what the other side does with one request: a socket that sends frames and closes, or an HTTP answer.
type step struct {
	want   string   // "socket ticket cursor" or "poll ticket cursor"
	frames []string // cursors: the first as a frame of its own, the others with notices
	code   int      // close code; 0 leaves the socket open
	drop   bool     // close without a code
	status int      // HTTP answer in place of a socket
	body   string
}

// peer does what a hub may do, step by step: a running hub closes sockets with few of these codes when asked to.
type peer struct {
	mu    sync.Mutex
	steps []step
	asked []string
	hold  chan struct{} // ends sockets and polls that are left open
}

func (s *peer) next(r *http.Request) (step, bool) {
	kind := "poll"
	if websocket.IsWebSocketUpgrade(r) {
		kind = "socket"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, strings.TrimSpace(fmt.Sprintf("%s %s %s", kind, r.URL.Query().Get("ticket"), r.URL.Query().Get("cursor"))))
	if len(s.asked) > len(s.steps) {
		return step{}, false
	}
	return s.steps[len(s.asked)-1], true
}

func (s *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now, ok := s.next(r)
	switch {
	case !ok:
		<-s.hold
	case now.status != 0:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(now.status)
		_, _ = w.Write([]byte(now.body))
	default:
		s.socket(w, r, now)
	}
}

func (s *peer) socket(w http.ResponseWriter, r *http.Request, now step) {
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return // the browser has gone
	}
	defer conn.Close()
	for i, cursor := range now.frames {
		frame := events.Notice{Cursor: cursor}
		if i > 0 {
			frame.Subject = events.SCIM("/Users/"+cursor, "")
		}
		if conn.WriteJSON(frame) != nil {
			return
		}
	}
	switch {
	case now.drop:
	case now.code != 0:
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(now.code, ""), time.Now().Add(time.Second))
		_, _, _ = conn.ReadMessage() // the browser's part of closing
	default:
		closed := make(chan struct{})
		go func() { _, _, _ = conn.ReadMessage(); close(closed) }()
		select {
		case <-closed:
		case <-s.hold:
		}
	}
}

const frame = `<!doctype html><title>listens</title><script src="/live.js"></script><script>
var tickets = 0, heard = [], states = [], anew = 0, failing = location.search === "?failing";
var listening = Tidings.live({
  ticket: async () => "t" + ++tickets,
  notice: async (subject) => { if (failing) { failing = false; throw new Error("not now"); } heard.push(subject.uri); note(); },
  anew: async () => { anew++; },
  state: (name) => { states.push(name); note(); },
});
function note() { document.title = states.length + " " + heard.length; }
</script>`

// TestCloseCodes drives the script in a browser against a scripted other side, and holds what it asks for against what
// the close codes mean (events.Close…).
func TestCloseCodes(t *testing.T) {
	browser := newBrowser(t)
	tests := map[string]struct {
		query string
		steps []step
		heard []string
		anew  int
		ends  string // the last state
	}{
		"reconnects where it was": {
			steps: []step{
				{want: "socket t1", frames: []string{"c1", "c2"}, code: events.CloseReconnect},
				{want: "socket t2 c2", frames: []string{"c2", "c3"}, code: events.CloseSlow},
				{want: "socket t3 c3", frames: []string{"c3"}},
			},
			heard: []string{"/Users/c2", "/Users/c3"}, anew: 1, ends: "live",
		},
		"a broken connection is no other": {
			steps: []step{
				{want: "socket t1", frames: []string{"c1", "c2"}, drop: true},
				{want: "socket t2 c2", frames: []string{"c2"}},
			},
			heard: []string{"/Users/c2"}, anew: 1, ends: "live",
		},
		"a new ticket": {
			steps: []step{
				{want: "socket t1", code: events.CloseTicket},
				{want: "socket t2", frames: []string{"c1"}, code: events.CloseTicket},
				{want: "socket t3 c1", frames: []string{"c1"}},
			},
			anew: 1, ends: "live",
		},
		"goes away": {
			steps: []step{{want: "socket t1", frames: []string{"c1"}, code: events.CloseGoAway}},
			anew:  1, ends: "stopped",
		},
		"an unknown final code": {
			steps: []step{{want: "socket t1", frames: []string{"c1"}, code: 4999}},
			anew:  1, ends: "stopped",
		},
		"begins anew": {
			steps: []step{
				{want: "socket t1", frames: []string{"c1", "c2"}, code: events.CloseCursorExpired},
				{want: "socket t2", frames: []string{"c9"}},
			},
			heard: []string{"/Users/c2"}, anew: 2, ends: "live",
		},
		"what the page did not take comes again": {
			query: "?failing",
			steps: []step{
				{want: "socket t1", frames: []string{"c1", "c2", "c3"}},
				{want: "socket t2 c1", frames: []string{"c1", "c2", "c3"}},
			},
			heard: []string{"/Users/c2", "/Users/c3"}, anew: 1, ends: "live",
		},
		"polls where no socket gets through": {
			steps: []step{
				{want: "socket t1", status: http.StatusServiceUnavailable},
				{want: "socket t2", status: http.StatusServiceUnavailable},
				{want: "poll t3", status: http.StatusOK, body: notices("c1", "p1")},
				{want: "poll p1 c1", status: http.StatusOK, body: notices("c3", "p2", "c2", "c3")},
				{want: "poll p2 c3", status: http.StatusNotFound},
				{want: "poll t4 c3", status: http.StatusGone},
				{want: "poll t5", status: http.StatusOK, body: notices("c9", "p3")},
				{want: "poll p3 c9", status: http.StatusBadGateway},
				{want: "socket t6 c9", frames: []string{"c9"}},
			},
			heard: []string{"/Users/c2", "/Users/c3"}, anew: 2, ends: "live",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			other := &peer{steps: test.steps, hold: make(chan struct{})}
			mux := http.NewServeMux()
			mux.Handle("/live.js", Routes()[0].Handler)
			mux.Handle("/live", other)
			mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				_, _ = w.Write([]byte(frame))
			})
			server := httptest.NewServer(mux)
			defer server.Close()
			defer close(other.hold)
			tab := browser.tab(t)
			tab.do(chromedp.Navigate(server.URL + "/" + test.query))
			got := tab.settle(len(test.steps), len(test.heard), test.ends)
			other.mu.Lock()
			defer other.mu.Unlock()
			var want []string
			for _, s := range test.steps {
				want = append(want, s.want)
			}
			if !slices.Equal(other.asked, want) {
				t.Errorf("asked for\n%s\nwant\n%s", strings.Join(other.asked, "\n"), strings.Join(want, "\n"))
			}
			if !slices.Equal(got.Heard, test.heard) || got.Anew != test.anew {
				t.Errorf("heard %v, began anew %d times; want %v, %d", got.Heard, got.Anew, test.heard, test.anew)
			}
		})
	}
}

// TestStop: a page that stops listening closes its socket and asks for nothing more.
func TestStop(t *testing.T) {
	other := &peer{steps: []step{{frames: []string{"c1"}}}, hold: make(chan struct{})}
	closed := make(chan struct{})
	mux := http.NewServeMux()
	mux.Handle("/live.js", Routes()[0].Handler)
	mux.HandleFunc("/live", func(w http.ResponseWriter, r *http.Request) {
		other.ServeHTTP(w, r)
		close(closed)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(frame))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	defer close(other.hold)
	tab := newBrowser(t).tab(t)
	tab.do(chromedp.Navigate(server.URL))
	tab.settle(1, 0, "live")
	tab.do(chromedp.Evaluate[chromedp.Void]("listening.stop()"))
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("the socket stays open")
	}
	tab.settle(1, 0, "stopped")
}

// notices is the answer to a long poll.
func notices(cursor, ticket string, told ...string) string {
	n := events.Notices{Cursor: cursor, Ticket: ticket}
	for _, c := range told {
		n.Notices = append(n.Notices, events.Notice{Subject: events.SCIM("/Users/"+c, ""), Cursor: c})
	}
	text, err := json.Marshal(n)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// browser is a running browser, tab a page in it.
type (
	browser struct{ ctx context.Context }
	tab     struct {
		t   *testing.T
		ctx context.Context
	}
)

func newBrowser(t *testing.T) browser {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath("chromium"), chromedp.UserDataDir(t.TempDir())}
	for _, flag := range []string{"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
		"disable-background-networking", "disable-component-update", "disable-sync"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start browser: %v", err)
	}
	return browser{ctx}
}

func (b browser) tab(t *testing.T) tab {
	t.Helper()
	ctx, stop := chromedp.NewContext(b.ctx)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open tab: %v", err)
	}
	return tab{t, ctx}
}

func (b tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("browser: %v", err)
	}
}

// took is what the page noted.
type took struct {
	Heard  []string
	States []string
	Anew   int
}

// settle waits until the page tried to connect so often, heard so much and is in the state; its title tells each change.
func (b tab) settle(tries, heard int, state string) took {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[took](fmt.Sprintf(`new Promise((done) => {
		const look = () => states.filter((s) => s === "connecting").length === %d && heard.length >= %d && states.at(-1) === %q
			&& (watch.disconnect(), done({ Heard: heard, States: states, Anew: anew }));
		const watch = new MutationObserver(look);
		watch.observe(document.querySelector("title"), { childList: true });
		look();
	})`, tries, heard, state), chromedp.EvalAwaitPromise))
	if err != nil {
		states, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`states.join(" ")`))
		b.t.Fatalf("never %s after %d tries (%v); it was: %s", state, tries, err, states)
	}
	return got
}
