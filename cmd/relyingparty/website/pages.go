package website

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"tidings/events"
	"tidings/subscriptions/receiver"
)

//go:embed templates static
var files embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"clock":   func(t time.Time) string { return t.Format("15:04:05") },
	"machine": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"join":    strings.Join,
}).ParseFS(files, "templates/*.html"))

// maxListeners bounds the pages that follow what is received.
const maxListeners = 100

// page is what every template gets.
type page struct {
	Site          string
	Note, NoteURL string
	Script        string // the hub's
	Cards         []card
	Ended         int
	Card          card
	Mail          []letter
}

func (s *Site) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+inboxPath, s.receive)
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("GET /members/{id}", s.member)
	mux.HandleFunc("GET /members/{id}/card", s.fragment)
	mux.HandleFunc("POST /members/{id}/ticket", s.ticket)
	listeners := make(chan struct{}, maxListeners)
	mux.HandleFunc("GET /received", func(w http.ResponseWriter, r *http.Request) {
		select {
		case listeners <- struct{}{}:
			defer func() { <-listeners }()
			s.follow(w, r)
		default:
			http.Error(w, "too many pages are listening", http.StatusServiceUnavailable)
		}
	})
	mux.Handle("GET /static/", http.FileServerFS(files))
	return s.guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard sets the headers of every page, and sends visitors who came by another name to the website's own: a page of a
// stranger's name that leads here (DNS rebinding) may not read it, and the hub knows the website's origin by one name.
func (s *Site) guard(next http.Handler) http.Handler {
	socket := strings.Replace(s.client.Base, "http", "ws", 1)
	policy := fmt.Sprintf("default-src 'none'; script-src 'self' %s; style-src 'self'; img-src 'self' data:; connect-src 'self' %s %s; "+
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'", origin(s.client.Base), origin(s.client.Base), origin(socket))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != s.host {
			if r.Method == http.MethodGet {
				http.Redirect(w, r, s.conf.URL+r.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			http.Error(w, "this website is at "+s.conf.URL, http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store") // copies are kept by the website, not by browsers
		next.ServeHTTP(w, r)
	})
}

// origin cuts the path off a URL.
func origin(u string) string {
	scheme, rest, _ := strings.Cut(u, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

func (s *Site) page() page {
	mail, _ := s.mail.latest()
	return page{Site: s.conf.Name, Note: s.conf.Note, NoteURL: s.conf.NoteURL, Mail: mail,
		Script: strings.TrimSuffix(s.client.Base, "/") + "/live.js"}
}

func (s *Site) home(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), callTime)
	defer cancel()
	p := s.page()
	ids, _ := s.members.sharing()
	for _, id := range ids {
		if c := s.card(ctx, id); !c.Ended {
			p.Cards = append(p.Cards, c)
		}
	}
	_, p.Ended = s.members.sharing() // once more: a fetch may have found that somebody shares nothing any more
	slices.SortFunc(p.Cards, func(a, b card) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID)) })
	s.render(w, http.StatusOK, "home", p)
}

// card makes the card of a person from a copy that may be used now.
func (s *Site) card(ctx context.Context, id string) card {
	since := s.members.begin()
	copy, err := s.cache.Get(ctx, id)
	switch {
	case errors.Is(err, receiver.ErrEnded):
		s.members.end(id, since)
		return card{ID: id, Ended: true, Name: "Nothing is held"}
	case err != nil:
		if ctx.Err() == nil {
			s.conf.Log.Warn("a copy cannot be renewed now", "error", err)
		}
		return card{ID: id, Away: true, Name: "Not at hand"}
	}
	return newCard(copy)
}

func (s *Site) member(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !s.members.has(id) {
		s.render(w, http.StatusNotFound, "missing", s.page())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTime)
	defer cancel()
	p := s.page()
	p.Card = s.card(ctx, id)
	s.render(w, http.StatusOK, "member", p)
}

// fragment is the card alone, for a page that heard a notice. The notice may have come to the browser before the token
// came here, so the cache hears first of everything that was committed until now.
func (s *Site) fragment(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !s.members.has(id) {
		http.NotFound(w, r)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTime)
	defer cancel()
	if err := s.cache.CatchUp(ctx, 0); err != nil && ctx.Err() == nil {
		s.conf.Log.Warn("changes cannot be read now; copies are used while they last", "error", err)
	}
	p := s.page()
	p.Card = s.card(ctx, id)
	s.render(w, http.StatusOK, "card", p)
}

// ticket lets the visitor's browser listen to the hub about one person.
func (s *Site) ticket(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !s.members.has(id) {
		http.NotFound(w, r)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTime)
	defer cancel()
	ticket, err := s.client.Ticket(ctx, subject(id))
	if err != nil {
		if ctx.Err() == nil {
			s.conf.Log.Warn("no ticket can be had now", "error", err)
		}
		http.Error(w, "the hub cannot be reached", http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// A visitor who has gone needs no ticket.
	_ = json.NewEncoder(w).Encode(events.Ticket{Ticket: ticket.Ticket, ExpiresIn: ticket.ExpiresIn})
}

// follow sends the list of received tokens whenever there is a new one (server-sent events).
func (s *Site) follow(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	alive := time.NewTicker(20 * time.Second) // a page that went away is noticed by writing to it
	defer alive.Stop()
	for {
		mail, changed := s.mail.latest()
		var html bytes.Buffer
		if err := pages.ExecuteTemplate(&html, "mail", page{Mail: mail}); err != nil {
			panic(err) // the templates are the program's own
		}
		lines := strings.ReplaceAll(strings.TrimSpace(html.String()), "\n", "\ndata: ")
		if _, err := fmt.Fprintf(w, "data: %s\n\n", lines); err != nil || control.Flush() != nil {
			return
		}
		for waiting := true; waiting; {
			select {
			case <-changed:
				waiting = false
			case <-alive.C:
				if _, err := w.Write([]byte(":\n\n")); err != nil || control.Flush() != nil {
					return
				}
			case <-r.Context().Done():
				return
			}
		}
	}
}

// render answers with a page, whole or not at all.
func (s *Site) render(w http.ResponseWriter, status int, name string, p page) {
	var html bytes.Buffer
	if err := pages.ExecuteTemplate(&html, name, p); err != nil {
		panic(err) // the templates are the program's own
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	// A visitor who has gone needs no page.
	_, _ = w.Write(html.Bytes())
}
