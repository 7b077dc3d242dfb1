package website

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidings/events"
	"tidings/subscriptions/receiver"
)

const (
	// lookEvery is how often the website makes sure that its stream still sends.
	lookEvery = 30 * time.Second
	// shortPause and longPause bound the rest between tries to reach the hub.
	shortPause, longPause = time.Second, 30 * time.Second
	// callTime bounds what a visitor waits for the hub.
	callTime = 10 * time.Second
)

// Config is what a website is told. URL, Hub, Token and Log are required.
type Config struct {
	// Name is the website's own, as visitors see it.
	Name string
	// URL is where visitors and the hub find the website: scheme, host and port.
	URL string
	// Hub is the issuer of the hub.
	Hub string
	// Token is the bearer token that the hub's operator gave to the website.
	Token string
	// Note stands on every page, with NoteURL as its link; both may be empty.
	Note, NoteURL string
	Log           *slog.Logger
}

// Site is the website. It is an http.Handler; Run keeps it in touch with the hub.
type Site struct {
	conf    Config
	host    string
	client  *receiver.Client
	cache   *receiver.Cache
	handler http.Handler
	members roster
	mail    received

	ready chan struct{}
	once  sync.Once

	// inbox takes pushes; nil while there is no stream.
	inbox  atomic.Pointer[receiver.Handler]
	stream string
	// anew wakes Run; stale says that a snapshot is due.
	anew  chan struct{}
	stale atomic.Bool
	// state is what the hub was asked to bring back in a verification event.
	state atomic.Pointer[string]
}

// New makes a website.
func New(c Config) (*Site, error) {
	at, err := url.Parse(c.URL)
	if err != nil || at.Host == "" || strings.Trim(at.Path, "/") != "" {
		return nil, errors.New("the website's URL is scheme, host and port")
	}
	c.URL = at.Scheme + "://" + at.Host
	if from, err := url.Parse(c.Hub); err != nil || from.Host == "" {
		return nil, errors.New("the hub is given as its issuer, such as https://hub.example")
	}
	if c.Token == "" {
		return nil, errors.New("the website needs the token that the hub's operator gave it")
	}
	client := &receiver.Client{Base: c.Hub, Token: receiver.StaticToken(c.Token)}
	s := &Site{conf: c, host: at.Host, client: client, cache: &receiver.Cache{Client: client},
		ready: make(chan struct{}), anew: make(chan struct{}, 1)}
	s.handler = s.routes()
	return s, nil
}

// ServeHTTP serves visitors, and the hub that pushes.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Ready is closed when the website first has its stream and its list of people.
func (s *Site) Ready() <-chan struct{} { return s.ready }

// Run registers the website's stream, takes a snapshot and keeps both in order until ctx ends. The website has to be
// served meanwhile: the hub pushes to it.
func (s *Site) Run(ctx context.Context) {
	pause := shortPause
	for ctx.Err() == nil {
		rest := lookEvery
		if err := s.look(ctx); err != nil {
			if ctx.Err() == nil {
				s.conf.Log.Warn("the hub cannot be reached; it is tried again", "error", err)
			}
			rest, pause = pause, min(2*pause, longPause)
		} else {
			pause = shortPause
			s.once.Do(func() { close(s.ready) })
		}
		timer := time.NewTimer(rest)
		select {
		case <-ctx.Done():
		case <-s.anew:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// wake makes Run look now.
func (s *Site) wake() {
	select {
	case s.anew <- struct{}{}:
	default: // it has not seen the last time yet
	}
}

// look makes sure that there is a stream that sends. A stream that was lost may have lost events, so a snapshot follows
// its making; it is taken afterwards, so that nothing falls between the two.
func (s *Site) look(ctx context.Context) error {
	sends, err := s.sends(ctx)
	if err != nil {
		return err
	}
	if !sends {
		s.stale.Store(true)
		if err := s.register(ctx); err != nil {
			return err
		}
	}
	if s.stale.Swap(false) {
		if err := s.load(ctx); err != nil {
			s.stale.Store(true)
			return err
		}
	}
	return s.cache.CatchUp(ctx, 0)
}

// sends asks whether the stream is there and enabled.
func (s *Site) sends(ctx context.Context) (bool, error) {
	if s.stream == "" {
		return false, nil
	}
	status, err := s.client.Status(ctx, s.stream)
	var problem *receiver.Problem
	if errors.As(err, &problem) && problem.Status == http.StatusNotFound {
		return false, nil
	}
	return status.Status == events.StatusEnabled, err
}

// register makes the website's stream. One of an earlier run is deleted first: only that run knew what the hub has to
// say in the Authorization header.
func (s *Site) register(ctx context.Context) error {
	endpoint := s.conf.URL + inboxPath
	streams, err := s.client.ReadStreams(ctx)
	if err != nil {
		return err
	}
	for _, old := range streams {
		if old.Delivery != nil && old.Delivery.EndpointURL == endpoint {
			if err := s.client.DeleteStream(ctx, old.StreamID); err != nil {
				return err
			}
		}
	}
	// Until the new stream's audience is known, what comes is answered 503 and comes again. The inbox of the stream
	// before would answer 401, and with that pause the new one.
	s.inbox.Store(nil)
	secret := "Bearer " + rand.Text()
	made, err := s.client.CreateStream(ctx, events.StreamConfiguration{
		Description: s.conf.Name,
		Delivery:    &events.Delivery{Method: events.MethodPush, EndpointURL: endpoint, AuthorizationHeader: secret},
	})
	if err != nil {
		return err
	}
	if len(made.Audience) == 0 {
		return fmt.Errorf("create stream: the hub told no audience")
	}
	s.inbox.Store(&receiver.Handler{Client: s.client, Audience: made.Audience[0], Authorization: secret, Keep: s.keep})
	s.stream = made.StreamID
	state := rand.Text()
	s.state.Store(&state)
	return s.client.Verify(ctx, made.StreamID, state)
}

// load takes a snapshot of who shared something. Values are fetched when somebody looks at them.
func (s *Site) load(ctx context.Context) error {
	since := s.members.begin()
	sharing := map[string]bool{}
	for page, err := range s.client.Delta(ctx, "", 0) {
		if err != nil {
			return err
		}
		for _, item := range page.Changes {
			if item.Type == "User" {
				sharing[item.ID] = item.Change != events.Removed
			}
		}
	}
	s.members.replace(sharing, since)
	return nil
}
