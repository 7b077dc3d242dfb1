package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

type object = map[string]any

// proof proves rows: it drives the program as a receiver would and looks.
type proof struct {
	name    string
	rows    string // separated by spaces
	profile string // of the party; tidings if empty
	secured bool   // wants the program as it stands on the internet
	slow    bool   // a standard's own waiting is in it
	run     func(*try)
}

// failure is a row that does not hold. A row that is empty says that the proof could not be tried at all.
type failure struct{ row, text string }

func (f failure) String() string { return f.row + " (" + clause(f.row) + "): " + f.text }

// try is one run of a proof, by a party of its own.
type try struct {
	*party
	ctx     context.Context
	program *program
	via     *proxy // nil for none
	client  *http.Client
	meta    object // the metadata, as the transmitter tells it

	mu       sync.Mutex
	failures []failure
	looked   map[string]bool
	patience time.Duration
	broken   string // the row that the proxy breaks: the try ends as soon as it is seen
	keys     []byte
	verified map[string]time.Time // when a stream last asked for a verification
	closing  []func()
}

type stop struct{}

// try runs the proof, through the proxy if there is one, to its end or until the broken row is seen.
func (p proof) try(on *program, via *proxy, broken string) (failures []failure, looked map[string]bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	t := &try{ctx: ctx, program: on, via: via, client: on.direct, looked: map[string]bool{}, verified: map[string]time.Time{}, patience: patience, broken: broken}
	if broken != "" && !p.slow {
		t.patience = 12 * time.Second // what is broken never comes
	}
	defer func() {
		// A proof that stops has said why; whatever else panics is a fault of the suite or of its setting.
		if fault := recover(); fault != nil && fault != (stop{}) {
			t.failures = append(t.failures, failure{"", fmt.Sprintf("%v\n%s", fault, debug.Stack())})
		}
		for _, f := range slices.Backward(t.closing) {
			f()
		}
		failures, looked = t.failures, t.looked
	}()
	if via != nil {
		door := via.serve(false, base(on.issuer), on.direct, on.certificate)
		t.client = clientOf(door.Listener.Addr().String(), on.roots)
		t.closing = append(t.closing, t.client.CloseIdleConnections)
	}
	profile := p.profile
	if profile == "" {
		profile = "tidings"
	}
	t.party = on.take(profile)
	defer on.give(profile, t.party)
	t.discover()
	p.run(t)
	return
}

// beside is another receiver in the same proof.
func (t *try) beside() *try {
	return &try{party: t.program.take("tidings"), ctx: t.ctx, program: t.program, via: t.via, client: t.client, meta: t.meta,
		looked: t.looked, verified: map[string]time.Time{}, patience: t.patience, broken: t.broken}
}

// base is the scheme and host of a URL.
func base(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u.Scheme + "://" + u.Host
}

// discover reads the metadata as a receiver begins: from the issuer's URL alone. What it says is for discovery to judge.
func (t *try) discover() {
	a := t.call("GET", wellKnown(t.program.issuer), "", nil)
	t.meta = a.object()
}

// wellKnown is where an issuer's metadata is (SSF 1.0 section 7.2).
func wellKnown(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		panic(err)
	}
	return u.Scheme + "://" + u.Host + "/.well-known/ssf-configuration" + strings.TrimSuffix(u.Path, "/")
}

// check looks at rows: they hold if ok.
func (t *try) check(ok bool, rows, format string, args ...any) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, row := range strings.Fields(rows) {
		t.looked[row] = true
		if !ok {
			t.failures = append(t.failures, failure{row, fmt.Sprintf(format, args...)})
		}
		if !ok && row == t.broken {
			panic(stop{})
		}
	}
	return ok
}

// need is check for what the rest of the proof stands on.
func (t *try) need(ok bool, rows, format string, args ...any) {
	if !t.check(ok, rows, format, args...) {
		panic(stop{})
	}
}

// endpoint is one that the metadata names.
func (t *try) endpoint(name string) string {
	text, _ := t.meta[name].(string)
	t.need(text != "", map[string]string{
		"configuration_endpoint": "MD-05", "status_endpoint": "MD-06", "verification_endpoint": "MD-09", "jwks_uri": "MD-03",
		"add_subject_endpoint": "MD-07", "remove_subject_endpoint": "MD-08",
	}[name], "the metadata has no %s", name)
	return text
}

func (t *try) streams() string { return t.endpoint("configuration_endpoint") }

func (t *try) statuses() string { return t.endpoint("status_endpoint") }

// anotherToken is a second one of the party, until it is revoked or the try ends.
func (t *try) anotherToken(flags ...string) (token string, revoke func()) {
	var made struct{ ID, Token string }
	t.program.tidings(&made, append([]string{"token", "add", "--role", "party", "--party", t.id}, flags...)...)
	revoke = sync.OnceFunc(func() { t.program.tidings(nil, "token", "revoke", made.ID) })
	t.closing = append(t.closing, revoke)
	return made.Token, revoke
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %.400s", a.status, a.body) }

// object is the body as a JSON object, nil if it is none.
func (a answer) object() object {
	var m object
	if json.Unmarshal(a.body, &m) != nil {
		return nil
	}
	return m
}

func (a answer) array() []any {
	var list []any
	if json.Unmarshal(a.body, &list) != nil {
		return nil
	}
	return list
}

func (a answer) media() string {
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	return kind
}

// isJSON: the answer is a JSON document and says so.
func (a answer) isJSON() bool { return a.media() == "application/json" && json.Valid(a.body) }

// ask sends one request. A body that is a string is sent as it is, anything else as JSON; nil sends none.
func (t *try) ask(method, url string, header http.Header, body any) answer {
	var content string
	switch b := body.(type) {
	case nil:
	case string:
		content = b
	default:
		content = text(b)
	}
	req, err := http.NewRequestWithContext(t.ctx, method, url, strings.NewReader(content))
	if err != nil {
		panic(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if content != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := t.client.Do(req)
	if err != nil {
		panic(fmt.Sprintf("%s %s: %v", method, url, err))
	}
	return answer{res.StatusCode, res.Header, readAll(res)}
}

// call asks with a bearer token, or without one.
func (t *try) call(method, url, token string, body any) answer {
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return t.ask(method, url, header, body)
}

// manage asks as the party.
func (t *try) manage(method, url string, body any) answer { return t.call(method, url, t.token, body) }

// aside asks while the proof goes on. A call that fails gives status 0.
func (t *try) aside(ask func() answer) <-chan answer {
	got := make(chan answer, 1)
	go func() {
		defer func() {
			if fault := recover(); fault != nil {
				got <- answer{body: fmt.Append(nil, fault)}
			}
		}()
		got <- ask()
	}()
	return got
}

// create makes a stream and gives its configuration.
func (t *try) create(body object) object {
	a := t.manage("POST", t.streams(), body)
	t.need(a.status == 201 && a.object()["stream_id"] != nil, "CR-01", "create answered %v", a)
	return a.object()
}

func idOf(stream object) string {
	id, _ := stream["stream_id"].(string)
	return id
}

// one is the URL of an endpoint for one stream.
func one(endpoint, id string) string { return endpoint + "?stream_id=" + url.QueryEscape(id) }

// status sets the status of a stream.
func (t *try) status(id, status string) answer {
	a := t.manage("POST", t.statuses(), object{"stream_id": id, "status": status})
	t.need(a.status == 200, "ST-04", "setting %s answered %v", status, a)
	return a
}

// verify asks for a verification event, no more often than the stream may.
func (t *try) verify(stream object, state any) answer {
	body := object{"stream_id": idOf(stream)}
	if state != nil {
		body["state"] = state
	}
	interval, _ := stream["min_verification_interval"].(float64)
	if before, asked := t.verified[idOf(stream)]; asked {
		t.wait(time.Until(before.Add(time.Duration(interval * float64(time.Second)))))
	}
	a := t.manage("POST", t.endpoint("verification_endpoint"), body)
	t.verified[idOf(stream)] = time.Now()
	return a
}

// wait lets time pass that a standard or the transmitter says has to pass.
func (t *try) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.ctx.Done():
	}
}

// texts are the strings of a JSON array; nil if it is none.
func texts(v any) []string {
	list, ok := v.([]any)
	if !ok {
		return nil
	}
	out := make([]string, 0, len(list))
	for _, x := range list {
		s, ok := x.(string)
		if !ok {
			return nil
		}
		out = append(out, s)
	}
	return out
}

func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(x string) bool { return !slices.Contains(b, x) })
}

func same(a, b []string) bool { return subset(a, b) && subset(b, a) && len(a) == len(b) }
