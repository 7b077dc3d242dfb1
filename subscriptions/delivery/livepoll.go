package delivery

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"tidings/events"
	"tidings/hub"
)

// longPoll is a listener that only needs to know that there is something to read.
type longPoll struct {
	news chan struct{}
	over chan struct{}
	once sync.Once
}

func (p *longPoll) hear(*frame) {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

func (p *longPoll) end(int) { p.once.Do(func() { close(p.over) }) }

// leastLive is how long a long poll takes at least. Each answer brings the ticket for the next question, which the page's
// server is not asked for: without a rest one visitor could use up what its party's visitors may ask together.
const leastLive = 100 * time.Millisecond

// poll answers a browser where no socket gets through. Without a cursor it answers at once with one, so that a page that
// goes away while it waits knows where it was.
func (l *Live) poll(w http.ResponseWriter, r *http.Request, ticket *hub.Ticket, cursor string) {
	ctx := r.Context()
	rested := time.NewTimer(leastLive)
	defer rested.Stop()
	// The next ticket is made before anything is read: what was read does not wait for it.
	next, err := l.following(ctx, ticket)
	if err != nil {
		l.refuse(w, r, err)
		return
	}
	who := &longPoll{news: make(chan struct{}, 1), over: make(chan struct{})}
	t, now, err := l.join(ctx, ticket, who)
	if err != nil {
		l.refuse(w, r, err)
		return
	}
	defer l.leave(t, ticket.Entries, who)
	answer := events.Notices{Cursor: now, Ticket: next}
	if cursor != "" {
		if answer.Notices, answer.Cursor, err = l.await(ctx, ticket, cursor, who); err != nil {
			l.refuse(w, r, err)
			return
		}
	}
	select {
	case <-rested.C:
	case <-ctx.Done():
	}
	body, err := json.Marshal(answer)
	if err != nil {
		l.refuse(w, r, err)
		return
	}
	// A server's own deadline may have passed while the poll waited; where it cannot be set, there is none.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(l.writeTime))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // a page that went away comes back with the cursor it has
}

// following makes the ticket for the next question of a page; none when its party's server is to say again whether this
// visitor may listen, as it has to for a socket that has lived long.
func (l *Live) following(ctx context.Context, ticket *hub.Ticket) (string, error) {
	if err := l.often.Take(string(ticket.Party[:])); err != nil {
		return "", err
	}
	if time.Since(time.UnixMicro(ticket.Since)) > l.age {
		return "", nil
	}
	return l.engine.Renew(ctx, ticket)
}

// await reads on from the cursor until there is something for the ticket or the wait is over.
func (l *Live) await(ctx context.Context, ticket *hub.Ticket, cursor string, who *longPoll) ([]events.Notice, string, error) {
	deadline := time.NewTimer(l.wait)
	defer deadline.Stop()
	p := past{live: l, ticket: ticket, cursor: cursor}
	for last := false; ; {
		found, _, more, err := p.next(ctx)
		if err != nil {
			return nil, "", err
		}
		if len(found) > 0 {
			told := make([]events.Notice, len(found))
			for i, n := range found {
				told[i] = events.Notice{Subject: n.Subject, Cursor: n.Cursor}
			}
			return told, p.cursor, nil
		}
		if more {
			continue
		}
		if last {
			return nil, p.cursor, nil
		}
		p.pages = 0
		select {
		case <-who.news:
		case <-who.over: // the next read says why
			last = true
		case <-deadline.C:
			return nil, p.cursor, nil
		case <-ctx.Done():
			return nil, "", ctx.Err()
		}
	}
}
