package subscriptions

import (
	"slices"

	"tidings/consent"
	"tidings/events"
)

// Occasion is what happened to one entry, as a stream's party may know it.
type Occasion struct {
	// Kind and Names come from consent.Tell; Names are canonical, and only those the party may be told now.
	Kind  consent.Kind
	Names []string
	// Gone: removed because the entry was deleted. Inactive: the entry is not active at this moment, and the party may
	// be told so (a grant for transfer only does not say that). It matters with Added only, where "active" among the
	// names may as well mean that the attribute was granted.
	Gone, Inactive bool
	// Agreement: the party knows the entry by its agreement, not by a grant.
	Agreement bool
	// Opt is what the person said of account and session events; after opting out none is told. Opts: the party is told
	// them by the person's grant, so that where it begins and ends they begin and end.
	Opt  consent.Opt
	Opts bool
	// Signal is set when this is not a change of state; Kind and Names then say nothing.
	Signal *Signal

	ResourceType string // "User" or "Group"
	ID           string // the party's opaque subject id
	Issuer       string
	Format       SubjectFormat
	Email, Phone string // empty unless the grant holds them
	Version      string // the party's ETag: W/"12"
	Time         int64  // of the line, Unix microseconds
	Profile      Profile
	Actor        string // "", admin, user, policy or system: the initiating_entity

	// Granted are the attributes that the party may know now.
	Granted []string
	// Values are the granted attributes as a resource of the party's own, without what points to others, whose grants
	// have a say of their own. Nil unless stream, grant and policy all let values travel inside events.
	Values map[string]any
	// MaxAge is how long the values may be kept, in seconds from when the token was made (iat).
	MaxAge int64
	// Claims are those of the party's tokens, each with the attribute it is made of.
	Claims map[string]string
}

// Event is one event to be told, not yet signed.
type Event struct {
	Type    events.Type
	Subject events.Subject
	Payload map[string]any
}

// Translate says which events tell an occasion on a stream, in the order in which they are to go. Only types in
// delivered are told, and names only, unless the occasion holds Values; nothing at all is a possible answer. Every payload passes
// events.Validate, every subject fits its type.
func Translate(o Occasion, delivered []events.Type) []Event {
	t := translation{Occasion: o, delivered: delivered}
	if o.Signal != nil {
		t.signal(*o.Signal)
		return t.told
	}
	switch o.Kind {
	case consent.Added:
		t.added()
	case consent.Updated:
		t.patched(o.Names)
	case consent.Disabled:
		t.disabled()
		t.patched(t.besidesActive(events.ProvDeactivate))
	case consent.Enabled:
		t.scim(events.ProvActivate, nil)
		t.account(events.AccountEnabled, nil)
		t.patched(t.besidesActive(events.ProvActivate))
	case consent.Removed:
		t.removed()
	}
	return t.told
}

// translation is an occasion on its way into events.
type translation struct {
	Occasion
	delivered []events.Type
	told      []Event
}

// added: the word "created" is for a party that knows everybody; to one that was given a grant the entry merely joins
// the feed (MP-01), with its values where they are wanted (MP-18). A notice of creation must name something (RFC 9967
// section 2.4).
func (t *translation) added() {
	names := sorted(t.Names)
	switch {
	case !t.Agreement:
		t.scim(events.FeedAdd, nil)
		t.created(names)
	case t.created(names):
	case len(names) > 0:
		t.scim(events.ProvCreateNotice, map[string]any{"attributes": names})
	default:
		t.scim(events.FeedAdd, nil)
	}
	if t.opts(events.FeedAdd) && t.Opt == consent.OptedIn {
		t.account(events.OptIn, nil)
	}
	if t.Inactive {
		t.disabled()
	}
}

// opts: consent given and withdrawn are told in RISC's words to a stream that does not take SCIM's (MP-18, MP-20).
func (t *translation) opts(but events.Type) bool {
	return t.Opts && !slices.Contains(t.delivered, but)
}

// disabled leaves out session-revoked: the engine raises it as a signal, which is served before the feed (MP-05).
func (t *translation) disabled() {
	t.scim(events.ProvDeactivate, nil)
	t.account(events.AccountDisabled, nil)
}

// patched tells what changed, with values where they may travel; without a name left there is no event (MP-02).
func (t *translation) patched(names []string) {
	names = sorted(names)
	if len(names) == 0 {
		return
	}
	if rest := t.carried(names); len(rest) > 0 {
		t.scim(events.ProvPatchNotice, map[string]any{"attributes": rest})
	}
	t.claimed(names)
}

// besidesActive are the names that an event of the given type does not tell. On a stream without that type "active" is
// told as a name like any other: a name may be told twice, never not at all.
func (t *translation) besidesActive(by events.Type) []string {
	if !slices.Contains(t.delivered, by) {
		return t.Names
	}
	return slices.DeleteFunc(slices.Clone(t.Names), func(n string) bool { return n == "active" })
}

// removed: a deletion ends the sessions first (MP-07), as its removal is the last thing told and no signal follows it;
// it is never told as feed:remove (RFC 9967 section 2.4.4). Of every other end only the fact is told (MP-17, MP-20).
func (t *translation) removed() {
	if !t.Gone {
		t.scim(events.FeedRemove, nil)
		t.optedOut()
		return
	}
	t.account(events.SessionRevoked, nil)
	t.scim(events.ProvDelete, nil)
	t.account(events.AccountPurged, nil)
}

// optedOut takes the states in their order up to the end; what somebody said already is not said again.
func (t *translation) optedOut() {
	if !t.opts(events.FeedRemove) {
		return
	}
	switch t.Opt {
	case consent.OptedIn:
		t.account(events.OptOutInitiated, nil)
		fallthrough
	case consent.OptingOut:
		t.account(events.OptOutEffective, nil)
	}
}

// signal tells a signal, and of a password also that the attribute changed (MP-09, MP-10), never by what.
func (t *translation) signal(s Signal) {
	if _, ok := carries[s.Type]; !ok || s.Besides != "" && consent.Covered(t.Granted, s.Besides) {
		return
	}
	if s.Type == events.AccountDisabled && !t.Inactive {
		return // enabled again meanwhile: it would leave the person disabled with the receiver (MP-30)
	}
	t.account(s.Type, &s)
	if s.Type == events.CredentialChange && s.Payload["credential_type"] == "password" && t.ResourceType == "User" {
		t.scim(events.ProvPatchNotice, map[string]any{"attributes": []string{"password"}})
	}
}

// scim tells an event of the SCIM profile, whose subject is the resource itself (RFC 9967 section 2.1).
func (t *translation) scim(of events.Type, payload map[string]any) {
	if payload == nil {
		payload = map[string]any{}
	}
	if t.Version != "" {
		payload["version"] = t.Version
	}
	t.tell(Event{of, t.resource(), payload})
}

// account tells a CAEP or RISC event, about persons only.
func (t *translation) account(of events.Type, s *Signal) {
	if s == nil {
		t.about(of, t.user(), map[string]any{})
		return
	}
	payload := s.payload()
	t.detail(*s, payload)
	t.about(of, s.subject(t.user()), payload)
}

func (t *translation) about(of events.Type, who events.Subject, payload map[string]any) {
	if t.ResourceType != "User" || t.Opt == consent.OptedOut && !IsOpt(of) {
		return
	}
	e := Event{of, who, payload}
	if definition, _ := events.Lookup(of); definition.Family == events.FamilyCAEP || of == events.CredentialCompromise {
		t.explain(e)
	}
	t.tell(e)
}

// explain adds when, by whom and why, as far as the payload does not say so itself (CAEP 1.0 section 2). The time is
// that of the change, not of the token; the reason is required by the CAEP interoperability profile and holds no
// personal data.
func (t *translation) explain(e Event) {
	add := func(name string, value any) {
		if _, given := e.Payload[name]; !given {
			e.Payload[name] = value
		}
	}
	add("event_timestamp", t.Time/1_000_000)
	if slices.Contains([]string{"admin", "user", "policy", "system"}, t.Actor) {
		add("initiating_entity", t.Actor)
	}
	if t.Profile != CAEP {
		return
	}
	reason := reasons[e.Type]
	if t.Signal == nil && t.Gone {
		reason = "The account was deleted from the directory."
	}
	add("reason_admin", map[string]string{"en": reason})
}

var reasons = map[events.Type]string{
	events.TokenClaimsChange:      "Attributes that tokens of this account hold changed in the directory.",
	events.SessionRevoked:         "The directory demands that the sessions of this account end.",
	events.CredentialChange:       "A credential of this account changed in the directory.",
	events.DeviceComplianceChange: "The compliance of a device was reported to have changed.",
	events.RiskLevelChange:        "The risk attached to this account was reported to have changed.",
	events.AssuranceLevelChange:   "The assurance of this account was reported to have changed.",
	events.SessionEstablished:     "A session of this account was reported to have begun.",
	events.SessionPresented:       "A session of this account was reported to have been used.",
	events.CredentialCompromise:   "A credential of this account was reported to be compromised.",
}

// user is how CAEP and RISC events name the person. Where the format's value is not granted the opaque id takes its
// place, to CAEP receivers inside iss_sub, since their profile knows opaque for verification only (CI-12).
func (t *translation) user() events.Subject {
	var s events.Subject
	switch t.Format {
	case FormatEmail:
		s = events.Email(t.Email)
	case FormatPhone:
		s = events.Phone(t.Phone)
	case FormatIssSub:
		s = events.IssSub(t.Issuer, t.ID)
	case FormatSCIM:
		s = t.resource()
	}
	if s.IsZero() && t.Profile == CAEP {
		s = events.IssSub(t.Issuer, t.ID)
	}
	if s.IsZero() {
		s = events.Opaque(t.ID)
	}
	return s
}

// resource is the scim identifier (RFC 9967 section 2.1), zero if the entry has none.
func (t *translation) resource() events.Subject {
	if t.ID == "" {
		return events.Subject{}
	}
	return events.SCIM("/"+t.ResourceType+"s/"+t.ID, "")
}

// tell is the one way out of a translation: what the stream does not deliver, or has no subject, ends here.
func (t *translation) tell(e Event) {
	if slices.Contains(t.delivered, e.Type) && !e.Subject.IsZero() {
		t.told = append(t.told, e)
	}
}

func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}
