package ssf

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
	"tidings/web"
)

// Engine is what this face needs of the hub.
type Engine interface {
	Issuer() string
	KeySet(ctx context.Context) (events.KeySet, error)
	KeySetAge() time.Duration
	SigningAlgorithms(ctx context.Context) ([]events.Algorithm, error)
	CreateStream(ctx context.Context, c hub.Caller, s subscriptions.Settings) (*hub.Stream, error)
	Stream(ctx context.Context, c hub.Caller, id string) (*hub.Stream, error)
	Streams(ctx context.Context, c hub.Caller) ([]hub.Stream, error)
	UpdateStream(ctx context.Context, c hub.Caller, id string, edit func(hub.Stream, *subscriptions.Settings) error) (*hub.Stream, error)
	DeleteStream(ctx context.Context, c hub.Caller, id string) error
	SetStatus(ctx context.Context, c hub.Caller, id string, status subscriptions.Status, reason string) (*hub.Stream, error)
	Verify(ctx context.Context, c hub.Caller, id string, state *string) error
	Rewind(ctx context.Context, c hub.Caller, id string, r hub.Rewinding) (*hub.Stream, error)
	AddSubject(ctx context.Context, c hub.Caller, id string, s events.Subject) error
	RemoveSubject(ctx context.Context, c hub.Caller, id string, s events.Subject) error
	Configuration(ctx context.Context, s *hub.Stream) (events.StreamConfiguration, error)
}

type face struct{ engine Engine }

// Routes are the endpoints of this face. The issuer has to be a URL that events.MetadataURL takes.
func Routes(e Engine) ([]web.Route, error) {
	where, err := events.MetadataURL(e.Issuer())
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(where)
	if err != nil {
		return nil, err
	}
	f := face{e}
	few := web.NewLimiter(fewer)
	return []web.Route{
		// The well-known path stands before the issuer's own (WK-01); the one slash that it drops (WK-02) may come anyway.
		{Method: http.MethodGet, Pattern: at.EscapedPath(), Handler: web.Handler(f.metadata)},
		{Method: http.MethodGet, Pattern: at.EscapedPath() + "/", Handler: web.Handler(f.metadata)},
		{Method: http.MethodGet, Pattern: keysPath, Handler: web.Handler(f.keys)},
		{Method: http.MethodPost, Pattern: streamsPath, Handler: manager(f.create)},
		{Method: http.MethodGet, Pattern: streamsPath, Handler: reader(f.read)},
		{Method: http.MethodPatch, Pattern: streamsPath, Handler: manager(f.patch)},
		{Method: http.MethodPut, Pattern: streamsPath, Handler: manager(f.replace)},
		{Method: http.MethodDelete, Pattern: streamsPath, Handler: manager(f.remove)},
		{Method: http.MethodGet, Pattern: statusPath, Handler: reader(f.status)},
		{Method: http.MethodPost, Pattern: statusPath, Handler: manager(f.setStatus)},
		{Method: http.MethodPost, Pattern: verifyPath, Handler: few.PerParty(manager(f.verify))},
		{Method: http.MethodPost, Pattern: replayPath, Handler: few.PerParty(manager(f.replay))},
		{Method: http.MethodPost, Pattern: addPath, Handler: few.PerParty(manager(f.addSubject))},
		{Method: http.MethodPost, Pattern: removePath, Handler: few.PerParty(manager(f.removeSubject))},
	}, nil
}

const (
	keysPath    = "/jwks.json"
	streamsPath = "/ssf/streams"
	statusPath  = "/ssf/status"
	verifyPath  = "/ssf/verify"
	replayPath  = "/ssf/replay" // the hub's own; no member of the metadata is for it
	addPath     = "/ssf/subjects:add"
	removePath  = "/ssf/subjects:remove"
)

// fewer bounds what a party may ask for that writes each time, all its streams together (PR-10, SU-05): enough to go
// through many subjects at a steady pace.
var fewer = web.Limit{Rate: 50, Burst: 500}

// A receiver is a handler for callers that are one (AU-01).
type receiver func(w http.ResponseWriter, r *http.Request, c hub.Caller) error

// manager lets in whoever may manage streams, reader also those who may only look (CI-16, CI-30).
func manager(h receiver) web.Handler { return h.need(hub.SSFManage) }
func reader(h receiver) web.Handler  { return h.need(hub.SSFRead, hub.SSFManage) }

func (h receiver) need(scopes ...hub.Scope) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		caller, err := web.Caller(r, scopes...)
		if err != nil {
			return err
		}
		return h(w, r, caller)
	}
}

func (f face) metadata(w http.ResponseWriter, r *http.Request) error {
	algorithms, err := f.engine.SigningAlgorithms(r.Context())
	if err != nil {
		return err
	}
	base := strings.TrimSuffix(f.engine.Issuer(), "/")
	return web.Write(w, http.StatusOK, events.Metadata{
		SpecVersion:              events.SpecVersion,
		Issuer:                   f.engine.Issuer(), // as configured, to the last slash (WK-04)
		JWKSURI:                  base + keysPath,
		DeliveryMethodsSupported: subscriptions.MethodsSupported(),
		ConfigurationEndpoint:    base + streamsPath,
		StatusEndpoint:           base + statusPath,
		AddSubjectEndpoint:       base + addPath,
		RemoveSubjectEndpoint:    base + removePath,
		VerificationEndpoint:     base + verifyPath,
		AuthorizationSchemes:     []events.AuthorizationScheme{{SpecURN: events.SchemeOAuth}},
		DefaultSubjects:          "ALL",
		Algorithms:               algorithms,
		// A session or a device of somebody else is none of the receiver's: whose it is has to be understood (MD-10).
		CriticalSubjectMembers: []string{"user"},
	})
}

// keys shows the public keys, as they are kept at this moment: a process that remembered them for longer than it says here
// would undo what a new key is published early for. Whoever has them already is told so by 304.
func (f face) keys(w http.ResponseWriter, r *http.Request) error {
	set, err := f.engine.KeySet(r.Context())
	if err != nil {
		return err
	}
	body, err := json.Marshal(set)
	if err != nil {
		return err
	}
	print := sha256.Sum256(body)
	w.Header().Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(print[:12])+`"`)
	w.Header().Set("Cache-Control", "public, max-age="+strconv.Itoa(int(f.engine.KeySetAge().Seconds())))
	w.Header().Set("Content-Type", "application/json")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return nil
}
