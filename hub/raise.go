package hub

import (
	"crypto/x509"
	"encoding/base64"
	"slices"

	"tidings/events"
	"tidings/hub/schema"
	"tidings/subscriptions"
)

// raise finds what parties should do once because of a change.
func (d *draft) raise(kind ChangeKind, names []string, next schema.Resource, r Report, now int64) (raised []Signal) {
	if d.entry.Type != schema.User {
		return nil
	}
	signal := func(s subscriptions.Signal) {
		raised = append(raised, Signal{Entry: d.entry.ID, Type: s.Type, Covers: s.Covers(), plain: &s,
			Expires: now + SignalLife.Microseconds(), Actor: r.Actor, Source: r.Source, Txn: r.Txn, Time: now})
	}
	if kind == DisabledEntry {
		signal(subscriptions.Signal{Type: events.SessionRevoked})
	}
	switch {
	case next.Password:
		signal(credential("password", "update"))
	case next.PasswordRemoved:
		signal(credential("password", "delete"))
	}
	for _, s := range renamed(names, d.entry.Attributes, next.Attributes) {
		signal(s)
	}
	if slices.Contains(names, certificates) {
		for _, s := range certified(d.entry.Attributes, next.Attributes) {
			signal(s)
		}
	}
	return raised
}

func credential(kind, change string) subscriptions.Signal {
	return subscriptions.Signal{Type: events.CredentialChange, Payload: map[string]any{"credential_type": kind, "change_type": change}}
}

// renamed are the identifiers that stopped holding. An address that is both userName and mail is told once: by the mail
// only to those who may not know the userName (MP-03).
func renamed(names []string, before, after schema.Attributes) (raised []subscriptions.Signal) {
	told := map[string]string{}
	for _, id := range []struct{ name, kind string }{{"userName", "userName"}, {"emails", "email"}, {"phoneNumbers", "phone"}} {
		old := identifier(before, id.name)
		if !slices.Contains(names, id.name) || old == "" || old == identifier(after, id.name) {
			continue
		}
		raised = append(raised, subscriptions.Signal{Type: events.IdentifierChanged,
			Payload: map[string]any{"kind": id.kind, "old": old}, Besides: told[old]})
		told[old] = id.name
	}
	return raised
}

const certificates = "x509Certificates"

// maxCertificates bounds the signals of one report: whoever changes more of a person's certificates at once has changed
// all that a party can rely on, and one update says so.
const maxCertificates = 8

// certified tells certificates that came and went (MP-11). Which one it was is part of its value: the number goes to
// those who may have values, all others learn that there was one.
func certified(before, after schema.Attributes) (raised []subscriptions.Signal) {
	old, now := values(before[certificates]), values(after[certificates])
	for _, change := range []struct {
		kind        string
		these, than []string
	}{{"create", now, old}, {"delete", old, now}} {
		for _, text := range change.these {
			if slices.Contains(change.than, text) {
				continue
			}
			s := credential("x509", change.kind)
			s.Of, s.Details = certificates, described(text)
			raised = append(raised, s)
		}
	}
	if len(raised) > maxCertificates {
		return []subscriptions.Signal{credential("x509", "update")}
	}
	return raised
}

// described are a certificate's issuer and serial number, as far as it can be read.
func described(text string) map[string]any {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	return map[string]any{"x509_issuer": c.Issuer.String(), "x509_serial": c.SerialNumber.Text(16)}
}

// values lists the plain values of a multi-valued attribute.
func values(v any) (all []string) {
	list, _ := v.([]any)
	for _, element := range list {
		m, _ := element.(map[string]any)
		if value, _ := m["value"].(string); value != "" && !slices.Contains(all, value) {
			all = append(all, value)
		}
	}
	return all
}

// sealSignals encrypts payloads, which may hold an identifier's old value, before the store sees them.
func (h *Hub) sealSignals(d *draft) {
	for i := range d.signals {
		if s := &d.signals[i]; s.plain != nil {
			s.Payload = h.sealSignal(s.Entry, *s.plain)
			s.plain = nil
		}
	}
}
