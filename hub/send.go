package hub

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"tidings/consent"
	"tidings/events"
	"tidings/hub/schema"
	"tidings/subscriptions"
)

// Outgoing is one token that may leave now.
type Outgoing struct {
	JTI     string
	Compact []byte
	// Delivery is what it belongs to; its tokens go in order, one after another, and Last marks the final one.
	Delivery ID
	// Attempts counts them, this one included; it belongs into the Outcome.
	Attempts int
	Last     bool
	// Probe: it says that a stream goes on which the transmitter paused. If it is taken call Resume, and then Settle as for any other.
	Probe bool
}

// Next issues, makes, signs and begins what is next on a stream, at most limit deliveries. When it returns, the check of
// each grant has been committed together with the beginning of the attempt: what it returns is to be sent at once, not
// queued, and every token is to be answered with Settle before busy is over. more: there is something left to send now.
func (h *Hub) Next(ctx context.Context, stream ID, owner string, busy time.Duration, limit int) (out []Outgoing, more bool, err error) {
	return h.next(ctx, stream, limit, func(sendings []Sending) ([]Outgoing, bool, error) {
		attempts, err := h.prepareAll(ctx, sendings)
		if err != nil {
			return nil, false, err
		}
		out, err := h.begin(ctx, sendings, attempts, owner, busy)
		return out, len(sendings) == limit, err
	})
}

// NextTokens is Next for ways out that hand tokens over together, as many as the receiver takes: at most n of them
// (RFC 8936 section 2.2, maxEvents). Deliveries stay whole unless the first alone has more tokens than n: then the rest
// of it is due as soon as these are settled.
func (h *Hub) NextTokens(ctx context.Context, stream ID, owner string, busy time.Duration, n int) (out []Outgoing, more bool, err error) {
	return h.next(ctx, stream, n+1, func(sendings []Sending) ([]Outgoing, bool, error) { // one more than can leave, to know of it
		attempts, rest, err := h.portion(ctx, sendings, n)
		if err != nil {
			return nil, false, err
		}
		out, err := h.begin(ctx, sendings[:len(attempts)], attempts, owner, busy)
		return out, rest, err
	})
}

// Waiting reports whether something could be sent now. It begins no attempt: a poll that takes nothing but wants to know
// costs none (RFC 8936 section 2.4.2).
func (h *Hub) Waiting(ctx context.Context, stream ID) (bool, error) {
	waits := false
	_, _, err := h.next(ctx, stream, 1, func(sendings []Sending) ([]Outgoing, bool, error) {
		attempts, err := h.prepareAll(ctx, sendings)
		if err != nil {
			return nil, false, err
		}
		d, a := sendings[0].Delivery, attempts[0]
		if waits = !d.Void && !d.Remake && d.left()+len(a.Tokens) > 0; waits {
			return []Outgoing{{Delivery: d.ID}}, false, nil
		}
		// It says nothing, or its attempt was lost: beginning drops it or lets it go, and sends nothing.
		out, err := h.begin(ctx, sendings, attempts, "", 0)
		return out, true, err
	})
	return waits, err
}

// next looks for sendings, issuing more where there is room, until some begin or nothing is left. rest: begin left some.
func (h *Hub) next(ctx context.Context, stream ID, limit int, begin func([]Sending) (out []Outgoing, rest bool, err error)) (out []Outgoing, more bool, err error) {
	for round := 0; ; round++ {
		sendings, err := h.store.Sendable(ctx, stream, h.now(), limit)
		if err != nil {
			return nil, false, fmt.Errorf("read what is to be sent: %w", err)
		}
		unread := false
		if len(sendings) < limit || slices.ContainsFunc(sendings, Sending.bygone) {
			var issued bool
			if issued, unread, err = h.issue(ctx, stream); err != nil {
				return nil, false, err
			}
			if issued {
				if sendings, err = h.store.Sendable(ctx, stream, h.now(), limit); err != nil {
					return nil, false, fmt.Errorf("read what is to be sent: %w", err)
				}
			}
		}
		if len(sendings) == 0 {
			return nil, unread, nil
		}
		out, rest, err := begin(sendings)
		if err != nil {
			return nil, false, err
		}
		more = unread || rest
		// Nothing of this round may go (it was revoked, says nothing on this stream, or another node has it): look on, as
		// what it kept waiting may be next. Each such round ends something of the window, or it is one too many.
		if len(out) > 0 || !more && round >= maxRounds || round >= Window {
			return out, more, nil
		}
	}
}

// bygone: it was issued under another generation of the party. Issuing deals with it, if the window has room or not.
func (s Sending) bygone() bool {
	return !s.Delivery.Entry.IsZero() && s.Delivery.Generation != s.Party.Generation
}

// prepareAll makes the tokens that are missing, on all cores.
func (h *Hub) prepareAll(ctx context.Context, sendings []Sending) ([]Attempt, error) {
	attempts := make([]Attempt, len(sendings))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range sendings {
		g.Go(func() (err error) {
			attempts[i], err = h.prepare(gctx, s)
			return err
		})
	}
	return attempts, g.Wait()
}

// perDelivery is how many tokens a delivery is guessed to have at most: how many are made at once, lest many be made that
// do not leave.
const perDelivery = 3

// portion prepares the first of the sendings, as many as have n tokens to send together. rest: something is left.
func (h *Hub) portion(ctx context.Context, sendings []Sending, n int) (attempts []Attempt, rest bool, err error) {
	room := n
	for len(attempts) < len(sendings) && room > 0 {
		wave := sendings[len(attempts):]
		wave = wave[:min(len(wave), (room+perDelivery-1)/perDelivery)]
		made, err := h.prepareAll(ctx, wave)
		if err != nil {
			return nil, false, err
		}
		for i, a := range made {
			tokens := a.Tokens
			if len(tokens) == 0 {
				tokens = wave[i].Delivery.Tokens
			}
			leaving := outgoing(wave[i].Delivery, tokens)
			switch {
			case len(leaving) <= room:
				room -= len(leaving)
			case room == n:
				last := leaving[n-1].JTI
				a.Cut = 1 + slices.IndexFunc(tokens, func(t SignedToken) bool { return t.JTI == last })
				return append(attempts, a), true, nil
			default:
				return attempts, true, nil
			}
			attempts = append(attempts, a)
		}
	}
	return attempts, len(attempts) < len(sendings), nil
}

// begin starts the attempts in one transaction.
func (h *Hub) begin(ctx context.Context, sendings []Sending, attempts []Attempt, owner string, busy time.Duration) ([]Outgoing, error) {
	now := h.now()
	for i := range attempts {
		attempts[i].Owner, attempts[i].Busy = owner, now+busy.Microseconds()
	}
	begun, err := h.store.Begin(ctx, now, attempts)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	var out []Outgoing
	for i, s := range sendings {
		if !begun[i] {
			if attempts[i].Dead != "" {
				h.givenUp.add(subscriptions.Class(attempts[i].Dead))
			}
			continue
		}
		tokens := attempts[i].Tokens
		if len(tokens) == 0 {
			tokens = s.Delivery.Tokens
		}
		if cut := attempts[i].Cut; cut > 0 {
			tokens = tokens[:cut]
		}
		out = append(out, outgoing(s.Delivery, tokens)...)
	}
	return out, nil
}

func outgoing(d Delivery, tokens []SignedToken) (out []Outgoing) {
	for _, t := range tokens {
		if !t.Settled {
			out = append(out, Outgoing{JTI: t.JTI, Compact: t.Compact, Delivery: d.ID, Attempts: d.Attempts + 1,
				Probe: d.announces() && d.Remake})
		}
	}
	if len(out) > 0 {
		out[len(out)-1].Last = true
	}
	return out
}

// prepare makes a delivery's tokens if it has none. Only trouble of this process is an error: what cannot be made
// becomes a dead letter, and what says nothing is withdrawn.
func (h *Hub) prepare(ctx context.Context, s Sending) (Attempt, error) {
	a := Attempt{Delivery: s.Delivery.ID, Generation: s.Party.Generation, Position: s.Delivery.Position, Keyring: s.Keyring}
	if s.Row != nil && s.Row.Grant != nil {
		a.Given, a.Regraded = s.Row.Grant.Given, s.Row.Grant.Regraded
	}
	if s.Delivery.Remake {
		// Its tokens were made under wider terms and their attempt was lost. They must not begin again, also if another
		// node makes them anew and releases them before this attempt begins.
		a.Regraded = -1
	}
	if s.Delivery.spent(s.Settings.Delivery.Method, h.now()) {
		a.Withdraw = true
		return a, nil
	}
	if len(s.Delivery.Tokens) > 0 {
		a.Left, a.First, a.Remake = s.Delivery.left(), s.Delivery.Tokens[0].JTI, s.outdated()
		return a, nil
	}
	sector, err := h.keys.sector(ctx, s.Party.Sector)
	if err != nil {
		return a, err
	}
	values, err := h.carried(ctx, sector, s)
	if err != nil {
		return a, err
	}
	told, err := h.translateEvents(sector, s, values)
	if err != nil {
		a.Dead = subscriptions.NoEvent
		h.log.Warn("event cannot be made", "delivery", s.Delivery.ID, "error", err)
		return a, nil
	}
	ring, err := h.keys.keyring(ctx, s.Keyring)
	if err != nil {
		return a, err
	}
	a.Keyring = ring.version
	signer, kid := ring.signer(s.algorithm())
	for _, e := range told {
		jti := events.NewJTI()
		compact, err := signer.Sign(events.Token{
			Issuer: h.conf.Issuer, JTI: jti, IssuedAt: h.now() / 1e6, Audience: events.Audience{s.Party.Audience},
			SubID: e.Subject, Txn: sector.transaction(s.Delivery.cause()), Event: e.Type, Payload: e.Payload,
		})
		if err != nil {
			a.Dead, a.Tokens = subscriptions.NoToken, nil
			h.log.Warn("token cannot be made", "delivery", s.Delivery.ID, "type", e.Type, "error", err)
			return a, nil
		}
		a.Tokens = append(a.Tokens, SignedToken{JTI: jti, KeyID: kid, Compact: compact})
	}
	a.Withdraw = len(a.Tokens) == 0
	return a, nil
}

// carried are the values that the events of a delivery may hold: nil unless the stream asked for values, the policy lets
// them travel and the grant is for both, as all of them stand now. What points to others is left out: their grants have
// a say too, and may end while these events wait.
func (h *Hub) carried(ctx context.Context, sector *sector, s Sending) (map[string]any, error) {
	if !s.Policy.Values || s.Row == nil || s.Delivery.Kind == consent.Removed || !subscriptions.WantValues(s.delivered()) || !Live(s.Row, s.Party, h.now()) {
		return nil, nil
	}
	rule, ok := ruled(*s.Row, s.Party, s.Policy)
	if !ok || !consent.MayCarry(rule.Terms, s.Policy) {
		return nil, nil
	}
	e := s.Row.Entry
	out := schema.Select(e.Type, e.Attributes, rule.Terms.Attributes)
	out = schema.MapReferences(e.Type, out, func(schema.Reference) (string, bool) { return "", false })
	if e.Type == schema.User && consent.Covered(rule.Terms.Attributes, "groups") {
		_, to, err := h.store.References(ctx, e.ID)
		if err != nil {
			return nil, fmt.Errorf("read groups: %w", err)
		}
		list, err := h.groups(ctx, to, sector.subject)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			out["groups"] = list
		}
	}
	out["active"] = e.Active
	h.dress(out, e.Type, sector.subject(e.ID), s.version())
	return out, nil
}

// cause is the txn of what led to a delivery. Its line may be forgotten by now (Trim); then the line's place stands for
// it, or one txn would join all that waited that long (SP-09).
func (d Delivery) cause() string {
	if d.Txn != "" {
		return d.Txn
	}
	return "position " + strconv.FormatInt(d.Position, 10)
}

func (s Sending) algorithm() events.Algorithm {
	return s.Settings.SignedWith(subscriptions.Profile(s.Party.Profile))
}

// translateEvents turns a delivery into the events that its stream takes, under the grant as it stands now.
func (h *Hub) translateEvents(sector *sector, s Sending, values map[string]any) ([]subscriptions.Event, error) {
	d := s.Delivery
	if d.Entry.IsZero() {
		payload, err := d.payload()
		return []subscriptions.Event{{Type: d.Type, Subject: events.Opaque(d.Stream.String()), Payload: payload}}, err
	}
	if s.Row == nil {
		return nil, nil
	}
	rule, ok := ruled(*s.Row, s.Party, s.Policy)
	if !ok {
		return nil, nil
	}
	e := s.Row.Entry
	profile := subscriptions.Profile(s.Party.Profile)
	o := subscriptions.Occasion{
		Kind: d.Kind, Gone: d.Gone, Inactive: !e.Active && rule.Terms.Purposes.Has(consent.Notify), Agreement: s.Party.Agreement,
		ResourceType: string(e.Type), ID: sector.subject(e.ID), Issuer: h.conf.Issuer,
		Format:  subscriptions.SubjectFormat(s.Party.SubjectFormat),
		Version: s.version(), Time: d.Time, Profile: profile, Actor: initiator(s),
		Granted: rule.Terms.Attributes, Values: values, Claims: s.Party.Claims,
		MaxAge: int64(consent.MaxAge(rule.Terms, s.Policy, s.Party.Bounds, h.now()).Seconds()),
	}
	if g := s.Row.Grant; g != nil && !s.Party.Agreement {
		o.Opt, o.Opts = g.Opt, rule.Terms.Purposes.Has(consent.Notify)
	}
	if d.Kind != consent.Removed {
		if consent.Covered(rule.Terms.Attributes, "emails") {
			o.Email = identifier(e.Attributes, "emails")
		}
		if consent.Covered(rule.Terms.Attributes, "phoneNumbers") {
			o.Phone = identifier(e.Attributes, "phoneNumbers")
		}
	}
	if d.Signal != 0 {
		return h.signalEvents(o, s, rule.Terms)
	}
	if !rule.Terms.Purposes.Has(consent.Notify) && d.Kind != consent.Added && d.Kind != consent.Removed {
		return nil, nil // notices were withdrawn while it waited
	}
	o.Names = consent.Current(d.Names, rule.Terms, rule.Grant)
	if d.Kind == consent.Added {
		o.Names = rule.Terms.Attributes
	}
	if d.Kind == consent.Updated && len(o.Names) == 0 {
		return nil, nil
	}
	return subscriptions.Translate(o, s.delivered()), nil
}

// outdated: the tokens were made when the stream asked for more. They are few, and looked at only when they leave again.
func (s Sending) outdated() bool {
	if s.Delivery.Entry.IsZero() {
		return false // the stream's own events need no asking
	}
	delivered := s.delivered()
	return slices.ContainsFunc(s.Delivery.Tokens, func(t SignedToken) bool {
		if t.Settled {
			return false
		}
		made, err := events.Kept(t.Compact)
		_, renamed := made.Payload["new-value"]
		return err != nil || !slices.Contains(delivered, made.Event) || renamed && !subscriptions.WantValues(delivered)
	})
}

// version is what the delivery says the subject's version is. Its values may be fresher; then their change follows.
func (s Sending) version() string { return `W/"` + strconv.FormatInt(s.Delivery.Version, 10) + `"` }

// initiator is what kind of entity was behind the delivery's line (CAEP 1.0 section 2), "" where the log does not say.
func initiator(s Sending) string {
	switch {
	case s.Actor == ActorOperator:
		return "admin"
	case s.Actor == actorSweeper:
		return "policy"
	case s.Actor != "" && s.Actor == s.Delivery.Entry.String():
		return "user"
	case s.Source != "":
		return "system"
	}
	return ""
}

func (s Sending) delivered() []events.Type {
	return s.Party.offer(s.Policy).Delivered(s.Settings)
}

// signalEvents asks again whether the signal may be told: it was raised and issued under terms, bounds and policy that may
// have become narrower since, and its payload holds a value.
func (h *Hub) signalEvents(o subscriptions.Occasion, s Sending, terms consent.Terms) ([]subscriptions.Event, error) {
	if s.Signal == nil || !s.Signal.within(terms) {
		return nil, nil // its life is over, or the party may not be told (any more)
	}
	signal, err := h.openSignal(s.Signal)
	if err != nil {
		return nil, err
	}
	o.Signal = signal
	return subscriptions.Translate(o, s.delivered()), nil
}

// Settle ends attempts with what the receiver said of each token.
func (h *Hub) Settle(ctx context.Context, stream ID, outcomes []Outcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	outcomes, err := h.afterKeys(ctx, outcomes)
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	dead, err := h.store.Settle(ctx, stream, h.now(), h.sealDescriptions(outcomes))
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	h.notice(dead)
	return nil
}

// PushWork leases for a node the push streams that have something to do, and says when the next one that waits is due.
func (h *Hub) PushWork(ctx context.Context, node string, ttl time.Duration) (streams []ID, next time.Time, err error) {
	now := h.now()
	streams, due, err := h.store.Lease(ctx, node, now, now+ttl.Microseconds(), events.MethodPush)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("lease streams: %w", err)
	}
	if due > 0 {
		next = time.UnixMicro(due)
	}
	return streams, next, nil
}
