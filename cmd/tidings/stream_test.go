package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidings/events"
)

// answerTime is how long a receiver may take to answer.
const answerTime = 30 * time.Second

// state is a stream as 'tidings stream show' prints it.
type state struct {
	Status, By, Reason, Problem, Trouble string
	Failures, Waiting, Behind            int
}

func (w *world) state(stream string) (s state) {
	w.t.Helper()
	w.tidings(&s, "stream", "show", stream)
	return s
}

// reason is what the receiver reads in its stream's status.
func (w *world) reason(stream string) (status, reason string) {
	w.t.Helper()
	var s struct{ Status, Reason string }
	w.must("GET", "/ssf/status?stream_id="+stream, w.shop.Token, nil, &s)
	return s.Status, s.Reason
}

func (w *world) metrics() string {
	w.t.Helper()
	resp, err := http.Get(w.hub.url + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// Each bad receiver shows its reason to itself, to the operator and in the metrics, while a good one beside them is told
// what it has to be told.
func TestBadReceivers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		endless := func(out http.ResponseWriter) {
			for line := []byte(strings.Repeat(" ", 4096)); ; {
				if _, err := out.Write(line); err != nil {
					return
				}
			}
		}
		over := make(chan struct{})
		hang := func(d time.Duration) { // as long as that receiver takes
			select {
			case <-time.After(d):
			case <-over:
			}
		}
		type receiver struct {
			answer                 http.HandlerFunc
			status, class, problem string
		}
		bad := map[string]receiver{
			"fails":      {func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(500) }, "enabled", "temporary", "http 500"},
			"breaks off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "enabled", "unreachable", "connection"},
			"endless":    {func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(202); endless(out) }, "enabled", "odd", "long body"},
			"redirects": {func(out http.ResponseWriter, r *http.Request) {
				http.Redirect(out, r, w.hub.url+"/healthz", http.StatusTemporaryRedirect)
			}, "enabled", "endpoint", "http 307"},
			"refuses the key": {func(out http.ResponseWriter, _ *http.Request) {
				out.WriteHeader(400)
				io.WriteString(out, `{"err":"invalid_key","description":"no"}`)
			}, "enabled", "token", "invalid_key"},
			"refuses us": {func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(401) }, "paused", "credential", "http 401"},
		}
		if strings.HasPrefix(s.flags[1], "postgres") { // on one store only, as it takes half a minute: the pusher waits, not the store
			bad["never answers"] = receiver{func(http.ResponseWriter, *http.Request) { hang(time.Hour) }, "enabled", "unreachable", "timeout"}
			bad["answers after 29 s"] = receiver{func(out http.ResponseWriter, _ *http.Request) { hang(29 * time.Second); out.WriteHeader(202) }, "enabled", "odd", "slow answer"}
		}
		streams := map[string]string{}
		for name, b := range bad {
			server := httptest.NewServer(b.answer)
			t.Cleanup(server.Close)
			var made events.StreamConfiguration
			w.must("POST", "/ssf/streams", w.shop.Token, object{"delivery": object{"method": events.MethodPush, "endpoint_url": server.URL}}, &made)
			streams[name] = made.StreamID
		}
		t.Cleanup(func() { close(over) }) // before the servers are closed, which wait for those who hang
		good := w.webhook()
		stream := w.push(good)
		w.patch(anna, object{"title": "Chief"})
		good.await(t, anna, 1)
		for name, b := range bad {
			var now state
			if !eventually(answerTime+patience, func() bool { now = w.state(streams[name]); return now.Problem == b.problem && now.Status == b.status }) {
				t.Errorf("%s: %+v", name, now)
			}
			words := now.Reason
			if words == "" {
				words = now.Trouble
			}
			if status, reason := w.reason(streams[name]); status != b.status || reason != words || !strings.HasPrefix(reason, "receiver") {
				t.Errorf("%s: told %s, %q; the operator reads %+v", name, status, reason, now)
			}
			if b.class != "odd" && b.class != "token" && (now.Failures == 0 || now.Waiting == 0) {
				t.Errorf("%s: %+v", name, now)
			}
			if !eventually(patience, func() bool { return strings.Contains(w.metrics(), `status="`+b.status+`",trouble="`+b.class+`"`) }) {
				t.Errorf("%s: no metric of %s", name, b.class)
			}
		}
		if now := w.state(streams["refuses us"]); now.By != "transmitter" || now.Reason != "receiver answers http 401" {
			t.Errorf("%+v", now)
		}
		if now := w.state(stream); now.Status != "enabled" || now.Trouble != "" || now.Failures != 0 {
			t.Errorf("the good one: %+v", now)
		}
		found := w.metrics()
		for _, want := range []string{`tidings_push_attempts_total{answer="202",outcome="delivered"}`, `tidings_push_attempts_total{answer="401",outcome="refused"}`, "tidings_push_seconds_bucket"} {
			if !strings.Contains(found, want) {
				t.Errorf("no metric %s", want)
			}
		}
		if strings.Contains(found, stream) || strings.Contains(found, w.shop.ID) {
			t.Error("a metric names a stream or a party")
		}
	})
}

// An operator pauses, resumes and disables beside the running hub; the receiver is told each time, reads why, and cannot
// undo it (SE-03, SE-04, SE-08, ST-14).
func TestStreamCommands(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s site) {
		w := s.world()
		anna := w.person("anna", object{"title": "Clerk"}, "--attributes", "title")
		p := w.poller()
		said := func(status, reason string) {
			t.Helper()
			before := len(p.heard)
			if !eventually(patience, func() bool { p.poll(object{"returnImmediately": true}); return len(p.heard) > before }) {
				t.Fatalf("never told that it is %s", status)
			}
			got := p.heard[before]
			if got.Event != events.StreamUpdated || got.Payload["status"] != status || len(p.heard) != before+1 {
				t.Fatalf("told %v %v, and %d more", got.Event, got.Payload, len(p.heard)-before-1)
			}
			if r, _ := got.Payload["reason"].(string); r != reason {
				t.Errorf("%s because of %q", status, r)
			}
			p.poll(object{"returnImmediately": true, "maxEvents": 0, "ack": []string{got.JTI}})
		}
		w.tidings(nil, "stream", "pause", p.stream, "--reason", "audit")
		w.patch(anna, object{"title": "Chief"})
		said("paused", "audit")
		if fresh, more := p.poll(object{"returnImmediately": true}); len(fresh) > 0 || more {
			t.Errorf("a paused stream gives %q", kinds(fresh))
		}
		if status, reason := w.reason(p.stream); status != "paused" || reason != "audit" {
			t.Errorf("told %s, %q", status, reason)
		}
		for want, status := range map[int]string{403: "enabled", 200: "paused"} {
			if got, _ := call("POST", w.hub.url+"/ssf/status", w.shop.Token, object{"stream_id": p.stream, "status": status}, nil); got != want {
				t.Errorf("the receiver sets %s: %d, not %d", status, got, want)
			}
		}
		if now := w.state(p.stream); now.Status != "paused" || now.By != "operator" || now.Reason != "audit" || now.Behind == 0 {
			t.Errorf("%+v", now)
		}
		w.tidings(nil, "stream", "resume", p.stream)
		said("enabled", "")
		p.until(anna, 1)

		w.patch(anna, object{"title": "Boss"})
		p.poll(object{}) // handed out, and not acknowledged
		var set struct{ Dropped int }
		w.tidings(&set, "stream", "disable", p.stream, "--reason", "over")
		if set.Dropped != 1 {
			t.Errorf("%d dropped", set.Dropped)
		}
		said("disabled", "over")
		if now := w.state(p.stream); now.Status != "disabled" || now.Waiting != 0 || now.Behind != 0 {
			t.Errorf("%+v", now)
		}
		s.refusesStream("0000")
		const moves = "\x1b[2Jgone\nanother line" // a receiver's words must not move the operator's terminal
		w.must("POST", "/ssf/status", w.shop.Token, object{"stream_id": w.poller().stream, "status": "paused", "reason": moves}, nil)
		if out, stderr, code := s.try("stream", "list"); code != 0 || strings.Contains(out, "\x1b") || !strings.Contains(out, `gone\nanother`) {
			t.Errorf("stream list: %d %q %q", code, out, stderr)
		}
		var fsck struct{ Clean bool }
		if w.tidings(&fsck, "fsck"); !fsck.Clean {
			t.Error("fsck finds something")
		}
	})
}

func (s site) refusesStream(id string) {
	s.t.Helper()
	for _, verb := range []string{"show", "pause", "resume", "disable"} {
		if out, stderr, code := s.try("stream", verb, id); code == 0 || out != "" || !strings.HasPrefix(stderr, "tidings: ") {
			s.t.Errorf("stream %s of nothing: %d %q %q", verb, code, out, stderr)
		}
	}
}

// What may be pushed to is configured, and misuse is told.
func TestReceiverFlags(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	for _, c := range []struct{ says, flag, value string }{
		{"--allow-receivers: a network looks like", "--allow-receivers", "10.0.0.1"},
		{"--receiver-proxy: a URL such as", "--receiver-proxy", "proxy:3128"},
		{"--receiver-proxy: a URL such as", "--receiver-proxy", "ftp://user:secret@proxy"},
	} {
		s.refuses(2, c.says, "serve", "--listen", "127.0.0.1:0", c.flag, c.value)
	}
	onBoth(t, func(t *testing.T, s site) {
		var shop credential
		s.tidings(&shop, "party", "add", "--name", "shop")
		hub := s.start("--listen", "127.0.0.1:0", "--allow-receivers", "10.0.0.0/8,192.168.7.0/24")
		url := "http://" + hub.listening(t)
		for endpoint, want := range map[string]int{"https://10.1.2.3/": 201, "https://192.168.7.9/": 201, "https://192.168.8.9/": 400, "http://10.1.2.3/": 400, "https://127.0.0.1/": 400} {
			got, _ := call("POST", url+"/ssf/streams", shop.Token, object{"delivery": object{"method": events.MethodPush, "endpoint_url": endpoint}}, nil)
			if got != want {
				t.Errorf("%s: %d, not %d", endpoint, got, want)
			}
		}
	})
}
