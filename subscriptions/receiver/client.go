package receiver

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidings/events"
)

// maxAnswer bounds an answer of the hub, in bytes.
const maxAnswer = 32 << 20

// Client calls one hub as one relying party. Base is required, and Token for all but Discover and Open. Set the fields
// before first use; the methods are safe for concurrent use.
type Client struct {
	// Base is the hub's issuer, such as https://hub.example; byte for byte the iss of its tokens.
	Base string
	// Token returns the bearer token to call the hub with.
	Token func(context.Context) (string, error)
	// HTTP makes the calls; by default a client that waits 90 seconds and follows no redirects.
	HTTP *http.Client
	// Now is the clock; by default time.Now.
	Now func() time.Time
	// Insecure permits plain http to other machines: for trials, as the token can be read on the way.
	Insecure bool

	metadataMu sync.Mutex
	metadata   *events.Metadata
	keys       keyCache
}

// StaticToken is a Client.Token that never changes; [AccessToken] keeps the secret off most calls.
func StaticToken(token string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return token, nil }
}

// Problem is what the hub said instead of the answer: an RFC 9457 problem, or only a status.
type Problem struct {
	Status int    `json:"-"`
	Type   string `json:"type"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	// RetryAfter is how long the hub wants to be left alone; 0 if it does not say.
	RetryAfter time.Duration `json:"-"`
}

func (p *Problem) Error() string {
	return fmt.Sprintf("hub answers %d: %s", p.Status, cmp.Or(p.Detail, p.Title, p.Type, http.StatusText(p.Status)))
}

// Errors that lead to different steps.
var (
	// ErrEnded: the party may not know the subject any more; of Delta and CatchUp, any subject. What it holds is to be
	// deleted.
	ErrEnded = errors.New("subject may not be known any more")
	// ErrNoTransfer: the person allowed to be told of changes, not to fetch values. Values held are to be deleted.
	ErrNoTransfer = errors.New("values may not be fetched")
	// ErrCursorExpired: the cursor is too old. Only a snapshot or "now" helps.
	ErrCursorExpired = errors.New("cursor has expired")
	// ErrInsecure: a secret would be sent in the clear.
	ErrInsecure = errors.New("not an https URL")
)

// Is lets errors.Is find the errors above.
func (p *Problem) Is(target error) bool {
	switch target {
	case ErrEnded:
		return p.Type == events.ProblemGrantEnded || p.Type == events.ProblemAgreementEnded
	case ErrNoTransfer:
		return p.Type == events.ProblemNoTransfer
	case ErrCursorExpired:
		return p.Type == events.ProblemCursorExpired
	}
	return false
}

// Discover reads the hub's metadata (SSF 1.0 section 7.2). It has to name the very issuer it was asked as.
func (c *Client) Discover(ctx context.Context) (events.Metadata, error) {
	at, err := events.MetadataURL(c.Base)
	if err != nil {
		return events.Metadata{}, fmt.Errorf("discover: %w", err)
	}
	var m events.Metadata
	if _, err := c.call(ctx, request{url: at, open: true}, &m); err != nil {
		return events.Metadata{}, fmt.Errorf("discover: %w", err)
	}
	if m.Issuer != c.Base {
		return events.Metadata{}, errors.New("discover: metadata is of another issuer") // SSF 1.0 section 7.2.4
	}
	c.metadataMu.Lock()
	defer c.metadataMu.Unlock()
	c.metadata = &m
	return m, nil
}

// known is the metadata as last read.
func (c *Client) known(ctx context.Context) (events.Metadata, error) {
	c.metadataMu.Lock()
	m := c.metadata
	c.metadataMu.Unlock()
	if m != nil {
		return *m, nil
	}
	return c.Discover(ctx)
}

// Ticket asks for a ticket by which one browser may hear of the subjects at /live, once.
func (c *Client) Ticket(ctx context.Context, subjects ...events.Subject) (events.Ticket, error) {
	var ticket events.Ticket
	_, err := c.call(ctx, request{method: http.MethodPost, url: c.at("/live/tickets"), body: events.TicketRequest{Subjects: subjects}}, &ticket)
	return ticket, wrap("get ticket", err)
}

// at is a path of the hub itself.
func (c *Client) at(path string) string { return strings.TrimSuffix(c.Base, "/") + path }

func (c *Client) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

var plainHTTP = &http.Client{
	Timeout:       90 * time.Second, // longer than the hub holds a long poll
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

type request struct {
	method, url string     // GET by default
	open        bool       // needs no token, and must not get one: the keys may lie with somebody else
	body        any        // to be sent as JSON
	form        url.Values // or as a form, with basic's name and password
	basic       *url.Userinfo
	noneMatch   string // If-None-Match
}

// call makes a call and decodes the answer into out, unless out is nil. Answers other than 2xx and 304 are a *Problem.
func (c *Client) call(ctx context.Context, q request, out any) (*http.Response, error) {
	r, err := c.request(ctx, q)
	if err != nil {
		return nil, err
	}
	response, err := cmp.Or(c.HTTP, plainHTTP).Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("answer is larger than %d bytes", maxAnswer)
	}
	if response.StatusCode/100 != 2 && response.StatusCode != http.StatusNotModified {
		return nil, problem(response, body)
	}
	if out != nil && response.StatusCode != http.StatusNotModified {
		if err := json.Unmarshal(body, out); err != nil {
			return nil, fmt.Errorf("decode answer: %w", err)
		}
	}
	return response, nil
}

func (c *Client) request(ctx context.Context, q request) (*http.Request, error) {
	var body io.Reader
	if q.body != nil {
		text, err := json.Marshal(q.body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	if q.form != nil {
		body = strings.NewReader(q.form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, cmp.Or(q.method, http.MethodGet), q.url, body)
	if err != nil {
		return nil, err
	}
	if r.URL.Scheme != "https" && !c.Insecure && !loopback(r.URL) {
		return nil, ErrInsecure
	}
	r.Header.Set("Accept", "application/json")
	switch {
	case q.form != nil:
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		password, _ := q.basic.Password()
		r.SetBasicAuth(url.QueryEscape(q.basic.Username()), url.QueryEscape(password)) // RFC 6749 section 2.3.1
	case body != nil:
		r.Header.Set("Content-Type", "application/json")
	}
	if q.noneMatch != "" {
		r.Header.Set("If-None-Match", q.noneMatch)
	}
	if q.open {
		return r, nil
	}
	if c.Token == nil {
		return nil, errors.New("client has no token")
	}
	token, err := c.Token(ctx)
	if err != nil {
		return nil, fmt.Errorf("get token: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r, nil
}

func loopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

func problem(response *http.Response, body []byte) *Problem {
	p := &Problem{}
	// Not every error has a body of this kind; then the status is all there is to say.
	_ = json.Unmarshal(body, p)
	p.Status = response.StatusCode
	if seconds, err := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 31); err == nil {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return p
}

func wrap(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", verb, err)
}
