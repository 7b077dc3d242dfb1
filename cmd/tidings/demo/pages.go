package demo

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/hub/schema"
)

// Engine is what the pages need of the hub.
type Engine interface {
	Wake() <-chan struct{}
	Head(ctx context.Context) (hub.Head, error)
	Changes(ctx context.Context, after int64, limit int) ([]hub.Change, error)
	Entry(ctx context.Context, id hub.ID) (*hub.Entry, error)
	Entries(ctx context.Context, t schema.Type, after hub.ID, limit int) ([]*hub.Entry, int, error)
	Ingest(ctx context.Context, reports ...hub.Report) ([]hub.Result, error)
	Grant(ctx context.Context, actor string, r hub.GrantRequest) (*hub.Grant, error)
	GrantByID(ctx context.Context, id hub.ID) (*hub.Grant, error)
	Grants(ctx context.Context, party, after hub.ID, limit int) ([]hub.Grant, error)
	Revoke(ctx context.Context, actor string, id hub.ID) error
	Party(ctx context.Context, id hub.ID) (*hub.Party, error)
	SubjectFor(ctx context.Context, p hub.Party, e *hub.Entry) (events.Subject, error)
	Streams(ctx context.Context, c hub.Caller) ([]hub.Stream, error)
}

// Config says where things are. All of it is required.
type Config struct {
	// URL is where the pages are served, Site where the website is: scheme, host and port.
	URL, Site string
	Party     hub.Party
	// Hub serves all paths that are not the demo's.
	Hub http.Handler
	Log *slog.Logger
}

//go:embed templates static
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"clock":   func(micros int64) string { return time.UnixMicro(micros).Format("15:04:05.000") },
	"machine": func(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano) },
	"day":     func(micros int64) string { return time.UnixMicro(micros).Format("2 Jan 2006, 15:04") },
	"join":    strings.Join,
	"short":   func(name string) string { return name[strings.LastIndexByte(name, ':')+1:] },
	"brief":   func(id hub.ID) string { return id.String()[len(id.String())-6:] },
}).ParseFS(files, "templates/*.html"))

type pages struct {
	engine Engine
	conf   Config
	host   string
}

// page is what every template gets; each uses what it needs.
type page struct {
	Here    string // which of the pages
	Site    string
	SiteURL string
	Lines   []line
	Head    int64
	People  []person
	Grants  []grant
	Person  person
	Form    form
	Trail   *trail
	Problem string
}

// New makes the handler of the demo's hub: its pages, and the hub's own faces below them.
func New(e Engine, c Config) (http.Handler, error) {
	at, err := url.Parse(c.URL)
	if err != nil || at.Host == "" {
		return nil, errors.New("the demo's URL is scheme, host and port")
	}
	p := &pages{engine: e, conf: c, host: at.Host}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", p.handler(p.log))
	mux.Handle("GET /demo/log", p.handler(p.follow))
	mux.Handle("GET /demo/people", p.handler(p.people))
	mux.Handle("GET /demo/people/{id}", p.handler(p.person))
	mux.Handle("POST /demo/people/{id}", p.handler(p.edit))
	mux.Handle("GET /demo/people/{id}/trail", p.handler(p.trail))
	mux.Handle("GET /demo/grants", p.handler(p.grants))
	mux.Handle("POST /demo/grants/{id}/revoke", p.handler(p.revoke))
	mux.Handle("POST /demo/grants/{id}/give", p.handler(p.give))
	mux.Handle("GET /demo/static/", http.StripPrefix("/demo", http.FileServerFS(files)))
	guarded := p.guard(http.NewCrossOriginProtection().Handler(mux))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/demo/") {
			guarded.ServeHTTP(w, r)
			return
		}
		c.Hub.ServeHTTP(w, r)
	}), nil
}

// guard sets the headers of every page, and refuses names that are not the demo's own: these pages ask nobody who they
// are, so a stranger's page that reaches them under a name of its own (DNS rebinding) must not get in.
func (p *pages) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != p.host {
			if r.Method == http.MethodGet {
				http.Redirect(w, r, p.conf.URL+r.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			http.Error(w, "the demo is at "+p.conf.URL, http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "+
			"base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		next.ServeHTTP(w, r)
	})
}

// handler answers errors: what is not there with 404, anything else with 500 and a line in the program's log.
func (p *pages) handler(f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := f(w, r)
		switch {
		case err == nil || r.Context().Err() != nil:
		case errors.Is(err, hub.ErrNotFound):
			p.render(w, http.StatusNotFound, "missing", page{})
		default:
			p.conf.Log.Error("a demo page failed", "error", err)
			http.Error(w, "something failed inside the demo; its log on the terminal says what", http.StatusInternalServerError)
		}
	})
}

// id reads an id of the path.
func id(r *http.Request) (hub.ID, error) {
	id, err := hub.ParseID(r.PathValue("id"))
	if err != nil {
		return id, hub.ErrNotFound
	}
	return id, nil
}

func (p *pages) render(w http.ResponseWriter, status int, name string, with page) {
	with.Site, with.SiteURL = p.conf.Party.Name, p.conf.Site
	var html bytes.Buffer
	if err := templates.ExecuteTemplate(&html, name, with); err != nil {
		panic(err) // the templates are the program's own
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	// A visitor who has gone needs no page.
	_, _ = w.Write(html.Bytes())
}
