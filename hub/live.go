package hub

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tidings/consent"
	"tidings/events"
)

const (
	// TicketLife is how long a browser has to use its ticket.
	TicketLife = 2 * time.Minute
	// MaxTickets bounds a party's unused tickets, MaxTicketSubjects the subjects of one.
	MaxTickets        = 10000
	MaxTicketSubjects = 100
)

// Ticket lets one browser hear of some subjects of a party.
type Ticket struct {
	Party   ID       `json:"party"`
	Entries []ID     `json:"entries"`
	Origins []string `json:"origins"`
	// Since is when the party's server asked for the first of the tickets that follow each other.
	Since int64 `json:"since"`
}

// NewTicket makes a single-use ticket for a browser of the calling party. Unknown and ungranted subjects are ignored,
// not reported: the answer is the same. ErrTooMany, ErrForbidden.
func (h *Hub) NewTicket(ctx context.Context, c Caller, subjects []events.Subject) (string, time.Duration, error) {
	if c.Role != RoleParty {
		return "", 0, ErrForbidden
	}
	if len(subjects) > MaxTicketSubjects {
		return "", 0, fmt.Errorf("%w: at most %d subjects", ErrBadRequest, MaxTicketSubjects)
	}
	p, err := h.store.Party(ctx, c.Party)
	if err != nil {
		return "", 0, fmt.Errorf("ticket: %w", err)
	}
	s, err := h.keys.sector(ctx, p.Sector)
	if err != nil {
		return "", 0, err
	}
	var ids []ID
	for _, subject := range subjects {
		if id, err := s.named(h.conf.Issuer, subject); err == nil {
			ids = append(ids, id)
		}
	}
	known, err := h.MayHear(ctx, c.Party, ids)
	if err != nil {
		return "", 0, fmt.Errorf("ticket: %w", err)
	}
	t := &Ticket{Party: c.Party, Origins: p.Origins, Since: h.now()}
	for _, id := range ids {
		if known[id] {
			t.Entries = append(t.Entries, id)
		}
	}
	text, err := h.Renew(ctx, t)
	return text, TicketLife, err
}

// named finds the entry that a subject identifier of the sector's own making names.
func (s *sector) named(issuer string, subject events.Subject) (ID, error) {
	switch subject.Format() {
	case events.FormatSCIM:
		uri := subject.Member("uri")
		for i := len(uri) - 1; i >= 0; i-- {
			if uri[i] == '/' {
				return s.entry(uri[i+1:])
			}
		}
	case events.FormatOpaque:
		return s.entry(subject.Member("id"))
	case events.FormatIssSub:
		if subject.Member("iss") == issuer {
			return s.entry(subject.Member("sub"))
		}
	}
	return ID{}, ErrNotFound
}

// Renew makes the next ticket of a browser that polls. ErrTooMany.
func (h *Hub) Renew(ctx context.Context, t *Ticket) (string, error) {
	secret := make([]byte, 24)
	rand.Read(secret)
	text := base64.RawURLEncoding.EncodeToString(secret)
	key := ticketKey(text)
	r := Record{
		Key: key, Group: "ticket:" + t.Party.String(),
		Value:   h.keys.sealed(mustJSON(t), key),
		Expires: h.now() + TicketLife.Microseconds(),
	}
	err := h.store.Keep(ctx, r, MaxTickets)
	if errors.Is(err, ErrLimit) {
		err = ErrTooMany // they end by themselves
	}
	if err != nil {
		return "", fmt.Errorf("keep ticket: %w", err)
	}
	return text, nil
}

func ticketKey(text string) string {
	sum := sha256.Sum256([]byte("ticket " + text))
	return "ticket:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// TakeTicket uses a ticket up. Used, expired and forged ones take one path: ErrNotFound.
func (h *Hub) TakeTicket(ctx context.Context, text string) (*Ticket, error) {
	key := ticketKey(text)
	r, err := h.store.Take(ctx, key, h.now())
	if err != nil {
		return nil, fmt.Errorf("take ticket: %w", err)
	}
	plain, err := h.keys.unsealed(r.Value, key)
	if err != nil {
		return nil, ErrNotFound
	}
	var t Ticket
	if err := json.Unmarshal(plain, &t); err != nil {
		return nil, ErrNotFound
	}
	return &t, nil
}

// Notice says that something about an entry changed for a party: no names, no values. Removed: it is the last of it.
type Notice struct {
	Entry   ID
	Subject events.Subject
	Cursor  string
	Removed bool
}

// Live reads the notices of a party after a cursor ("" for the head), in order, and the cursor to go on with. A notice
// carries the cursor from which a browser that got no further has to resume: only the last of a page moves it on.
// Errors as Delta.
func (h *Hub) Live(ctx context.Context, party ID, text string, limit int) (notices []Notice, next string, more bool, err error) {
	if text == "" {
		text = "now"
	}
	read, err := h.startReading(ctx, party, text)
	if err != nil {
		return nil, "", false, err
	}
	before := h.keys.sealCursor(read.at)
	more, err = read.next(ctx, limit, func(row FeedRow, terms consent.Terms, t consent.Telling) error {
		if terms.Purposes.Has(consent.Notify) {
			notices = append(notices, Notice{
				Entry: row.Entry.ID, Subject: scim(row.Entry.Type, read.sector.subject(row.Entry.ID)),
				Cursor: before, Removed: t.Kind == consent.Removed,
			})
		}
		return nil
	})
	if err != nil {
		return nil, "", false, err
	}
	next = h.keys.sealCursor(read.at)
	if len(notices) > 0 {
		notices[len(notices)-1].Cursor = next
	}
	return notices, next, more, nil
}

// MayHear asks of which entries the party may be notified, as committed at this moment: again for each notice that had
// to wait before it is written.
func (h *Hub) MayHear(ctx context.Context, party ID, ids []ID) (map[ID]bool, error) {
	return h.ask(ctx, party, ids, consent.Notify)
}
