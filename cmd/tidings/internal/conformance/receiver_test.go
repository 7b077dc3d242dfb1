package conformance

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// A receiver written from RFC 8417, 8935, 8936, 9493 and SSF 1.0 alone: it takes nothing that they do not allow.

// set is a token that was looked at.
type set struct {
	compact          string
	header, claims   object
	jti, txn, event  string
	payload, subject object
}

// compactForm is the form of a JWS in compact serialization (RFC 7515 section 7.1).
var compactForm = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)

// setRows are the rows that accept looks at in every token.
const setRows = "SP-01 SP-02 SP-04 SP-05 SP-06 SP-07 SP-09 SP-10 SP-11 SP-16 ET-01 ET-02 ET-03 ET-04 ET-05 ET-06 ET-07 ET-08 ET-10 " +
	"EV-01 EV-02 EV-03 EV-05 EV-10 MD-24 CI-22 FM-01 FM-02 FM-03 FM-05 SI-01 SI-02 SV-01 RI-22 RI-24 "

// accept looks at a token as a receiver of the stream does before it believes anything.
func (t *try) accept(compact string, stream object) *set {
	t.need(compactForm.MatchString(compact), "PU-04 PS-01", "this is no compact JWS: %.80q", compact)
	parts := strings.Split(compact, ".")
	s := &set{compact: compact}
	for i, into := range []*object{&s.header, &s.claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			*into, err = strictObject(raw)
		}
		t.need(err == nil, "SP-16", "part %d of the token: %v", i, err)
	}
	t.check(s.header["typ"] == "secevent+jwt", "SP-01 EV-03", "typ is %v", s.header["typ"])
	t.signature(s)

	c := s.claims
	t.check(c["iss"] == t.program.issuer && c["iss"] == stream["iss"], "SP-06 SP-16 ET-01", "iss is %v, of the stream %v", c["iss"], stream["iss"])
	t.check(audience(c["aud"]) != nil && subset(audience(c["aud"]), audience(stream["aud"])), "SP-07 SP-16 ET-04", "aud is %v, of the stream %v", c["aud"], stream["aud"])
	iat, ok := c["iat"].(float64)
	now := float64(time.Now().UnixNano()) / 1e9
	t.check(ok && iat <= now && iat > now-600 && iat == math.Floor(iat), "SP-11 ET-02", "iat is %v, now is %f", c["iat"], now)
	s.jti, _ = c["jti"].(string)
	t.check(len(s.jti) >= 16, "SP-11 ET-03", "jti is %v", c["jti"])
	_, has := c["sub"]
	t.check(!has, "SP-04 ET-06 SV-01", "there is a sub")
	_, has = c["exp"]
	t.check(!has, "SP-05 ET-07 EV-10", "there is an exp")
	s.txn, _ = c["txn"].(string)
	t.check(s.txn != "", "SP-09 ET-08", "txn is %v", c["txn"])

	s.subject, ok = c["sub_id"].(object)
	t.need(ok, "SP-02 ET-10 FM-05 SV-01 RI-24", "sub_id is %v", c["sub_id"])
	t.subject(s.subject, false)

	list, ok := c["events"].(object)
	t.need(ok && len(list) == 1, "SP-10 ET-05 EV-01 CI-22", "events is %v", c["events"])
	for name, payload := range list {
		t.check(strings.HasPrefix(name, "urn:") || strings.HasPrefix(name, "https://"), "ET-05", "the event's name is no URI: %s", name)
		s.event = name
		s.payload, ok = payload.(object)
		t.check(ok, "EV-02 ET-05", "the payload is %v", payload)
	}
	_, inside := s.payload["subject"]
	_, old := s.payload["subject_type"]
	t.check(!inside && !old, "SP-02 RI-22 SV-01", "the payload holds a subject of its own: %v", s.payload)
	_, old = s.subject["subject_type"]
	t.check(!old, "RI-22", "sub_id has a subject_type")
	return s
}

// signature: good, by a key of the JWKS that the header names, with the algorithm of that key.
func (t *try) signature(s *set) {
	kid, _ := s.header["kid"].(string)
	alg, _ := s.header["alg"].(string)
	if !t.check(slices.Contains([]string{"ES256", "RS256", "EdDSA"}, alg), "EV-05", "alg is %q", alg) {
		return
	}
	key := t.key(kid)
	if !t.check(kid != "" && key != nil, "MD-24", "kid %q is not in the JWKS", kid) {
		return
	}
	t.check(key.Algorithm().String() == "" || key.Algorithm().String() == alg, "EV-05 SP-16", "a key for %s signed with %s", key.Algorithm(), alg)
	_, err := jws.Verify([]byte(s.compact), jws.WithKey(jwa.SignatureAlgorithm(alg), key))
	t.check(err == nil, "EV-05 SP-16", "the signature: %v", err)
}

// key is the named public key; the set is read again when it is not in what was read before.
func (t *try) key(kid string) jwk.Key {
	for range 2 {
		if set, err := jwk.Parse(t.keys); err == nil {
			if key, found := set.LookupKeyID(kid); found {
				return key
			}
		}
		t.keys = t.call("GET", t.endpoint("jwks_uri"), "", nil).body
	}
	return nil
}

// members are those that each subject identifier format requires, and the only ones it describes (RFC 9493 section 3,
// SSF 1.0 section 3.5, RFC 9967 section 2.1).
var members = map[string][]string{
	"account": {"uri"}, "email": {"email"}, "iss_sub": {"iss", "sub"}, "opaque": {"id"}, "phone_number": {"phone_number"},
	"did": {"url"}, "uri": {"uri"}, "jwt_id": {"iss", "jti"}, "saml_assertion_id": {"issuer", "assertion_id"}, "scim": {"uri"},
}

var complexMembers = []string{"user", "device", "session", "application", "tenant", "org_unit", "group"}

func (t *try) subject(sub object, inner bool) {
	format, _ := sub["format"].(string)
	if format == "complex" {
		t.check(!inner, "SI-02", "complex inside complex")
		t.check(len(sub) > 1, "FM-01", "a complex subject names nobody")
		for name, part := range sub {
			if name == "format" {
				continue
			}
			t.check(slices.Contains(complexMembers, name), "FM-01", "a complex subject has %s", name)
			member, ok := part.(object)
			if t.check(ok, "FM-01 SI-02", "%s of a complex subject is %v", name, part) {
				t.subject(member, true)
			}
		}
		return
	}
	t.check(true, "SI-02", "")
	need, known := members[format]
	if !t.check(known, "FM-02 SI-01 FM-01", "a subject of format %q", format) {
		return
	}
	t.check(len(sub) == len(need)+1, "FM-01", "a subject of format %s has other members than it should: %v", format, sub)
	for _, name := range need {
		value, ok := sub[name].(string)
		t.check(ok && value != "", "FM-01 FM-03", "%s of a subject is %v", name, sub[name])
	}
}

// audience is an aud claim as a list; nil if it is none.
func audience(v any) []string {
	if s, ok := v.(string); ok && s != "" {
		return []string{s}
	}
	if list := texts(v); len(list) > 0 && !slices.Contains(list, "") {
		return list
	}
	return nil
}

// strictObject decodes one JSON object in which no name stands twice, at any depth.
func strictObject(raw []byte) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := unique(dec); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("something follows the document")
	}
	var m object
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, fmt.Errorf("null")
	}
	return m, nil
}

func unique(dec *json.Decoder) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	open, nested := token.(json.Delim)
	if !nested {
		return nil
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			if seen[name.(string)] {
				return fmt.Errorf("%s stands twice", name)
			}
			seen[name.(string)] = true
		}
		if err := unique(dec); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// Push (RFC 8935).

// pushed is one request that came to a hook.
type pushed struct {
	method string
	header http.Header
	body   string
	at     time.Time
}

// reply is what a hook answers.
type reply struct {
	status int
	header http.Header
	body   string
}

var accepted = reply{status: http.StatusAccepted}

// refusedSET is an RFC 8935 section 2.3 answer.
func refusedSET(code string) reply {
	return reply{400, http.Header{"Content-Type": {"application/json"}, "Content-Language": {"en"}}, text(object{"err": code, "description": "no"})}
}

// hook is a push endpoint. It keeps what comes and answers 202 unless it was told otherwise.
type hook struct {
	t      *try
	url    string
	mu     sync.Mutex
	took   []pushed
	answer func(n int, p pushed) reply // n counts from 1
	faults *lockedBuffer               // of TLS
}

func (t *try) hook() *hook { return t.hookTLS(false) }

func (t *try) hookTLS(secured bool) *hook {
	h := &hook{t: t, faults: &lockedBuffer{}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		p := pushed{r.Method, r.Header, string(body), time.Now()}
		h.mu.Lock()
		h.took = append(h.took, p)
		n, answer := len(h.took), h.answer
		h.mu.Unlock()
		out := accepted
		if answer != nil {
			out = answer(n, p)
		}
		for name, values := range out.header {
			w.Header()[name] = values
		}
		w.WriteHeader(out.status)
		_, _ = io.WriteString(w, out.body)
	}))
	server.Config.ErrorLog = log.New(h.faults, "", 0)
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if secured {
		server.StartTLS()
		if t.via != nil && t.via.blind {
			client = server.Client()
		}
	} else {
		server.Start()
	}
	h.url = server.URL + "/events"
	if t.via != nil {
		h.url = t.via.serve(true, server.URL, client, nil).URL + "/events"
	}
	t.closing = append(t.closing, func() {
		server.CloseClientConnections()
		server.Close()
	})
	return h
}

// says sets how the hook answers from now on.
func (h *hook) says(answer func(n int, p pushed) reply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

func (h *hook) all() []pushed {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.took)
}

// await waits for the n-th request.
func (h *hook) await(n int, rows string) pushed {
	h.t.need(eventually(h.t.patience, func() bool { return len(h.all()) >= n || h.t.ctx.Err() != nil }) && len(h.all()) >= n, rows, "%d pushes came, not %d", len(h.all()), n)
	return h.all()[n-1]
}

// push makes a stream that pushes to the hook.
func (t *try) push(h *hook, more object) object {
	delivery := object{"method": "urn:ietf:rfc:8935", "endpoint_url": h.url}
	for k, v := range more {
		delivery[k] = v
	}
	return t.create(object{"delivery": delivery})
}

// Poll (RFC 8936).

// polled is an answer to a poll.
type polled struct {
	sets []*set // in no order
	more bool
	raw  object
	took time.Duration
}

func (p polled) jtis() (list []string) {
	for _, s := range p.sets {
		list = append(list, s.jti)
	}
	return list
}

// find asks about every token, and gives one that matches.
func (p polled) find(match func(*set) bool) (found *set) {
	for _, s := range p.sets {
		if match(s) {
			found = s
		}
	}
	return found
}

func pollURL(stream object) string {
	delivery, _ := stream["delivery"].(object)
	url, _ := delivery["endpoint_url"].(string)
	return url
}

// poll polls once and looks at the answer and at all that is in it.
func (t *try) poll(stream object, request object) polled {
	began := time.Now()
	a := t.manage("POST", pollURL(stream), request)
	t.need(a.status == 200, "PS-03 PB-22", "a poll answered %v", a)
	t.check(a.isJSON(), "PS-03", "a poll answered %s: %v", a.media(), a)
	p := polled{raw: a.object(), took: time.Since(began)}
	sets, ok := p.raw["sets"].(object)
	t.need(ok, "PS-01", "sets is %v in %v", p.raw["sets"], a)
	more, present := p.raw["moreAvailable"]
	p.more, ok = more.(bool)
	t.check(!present || ok && p.more, "PS-02", "moreAvailable is %v", more)
	for jti, compact := range sets {
		text, _ := compact.(string)
		s := t.accept(text, stream)
		t.check(s.jti == jti, "PS-01", "under %q is the token %q", jti, s.jti)
		p.sets = append(p.sets, s)
	}
	return p
}

const pollRows = "PS-01 PS-02 PS-03 "

// atOnce is a poll that is not held.
func atOnce(more object) object {
	r := object{"returnImmediately": true}
	for k, v := range more {
		r[k] = v
	}
	return r
}

// next polls, acknowledging what it got, until a token matches.
func (t *try) next(stream object, rows string, match func(*set) bool) *set {
	var found *set
	request := object{}
	if t.broken != "" {
		request = atOnce(nil) // the proxy does not make it wait for what never comes
	}
	t.need(eventually(t.patience, func() bool {
		p := t.poll(stream, request)
		found = p.find(match)
		request["ack"] = append([]string{}, p.jtis()...)
		return found != nil || t.ctx.Err() != nil
	}) && found != nil, rows, "the token did not come")
	t.poll(stream, atOnce(object{"maxEvents": 0, "ack": request["ack"]}))
	return found
}

func ofType(suffix string) func(*set) bool {
	return func(s *set) bool { return strings.HasSuffix(s.event, suffix) }
}

// anyType takes whatever comes.
func anyType(*set) bool { return true }
