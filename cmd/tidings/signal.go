package main

import (
	"encoding/json"
	"strings"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

type signalRaise struct {
	User    string            `help:"userName of the person it is about." required:"" placeholder:"USERNAME"`
	Type    string            `help:"What parties should do once: the last part of a CAEP or RISC event type, such as session-revoked, credential-compromise or device-compliance-change." required:""`
	Payload string            `help:"Members of the event as JSON, such as {\"credential_type\":\"password\"}." placeholder:"JSON"`
	Members map[string]string `name:"member" help:"Narrow it to a session, device or tenant, each by its opaque id (session=abc) or by a subject identifier of any format as JSON (session={\"format\":\"jwt_id\",\"iss\":\"…\",\"jti\":\"…\"}); repeatable." placeholder:"NAME=ID"`
}

// Help lists what can be signalled.
func (c *signalRaise) Help() string {
	return "Types: " + strings.Join(subscriptions.SignalTypes(), ", ") + ".\n\nEvery party that the person lets be notified gets the event once."
}

func (c *signalRaise) Run(rt *runtime) error {
	var err error
	s := subscriptions.Signal{Type: subscriptions.SignalType(c.Type)}
	if c.Payload != "" {
		if err := json.Unmarshal([]byte(c.Payload), &s.Payload); err != nil {
			return misused("--payload is a JSON object")
		}
	}
	for name, text := range c.Members {
		if s.Members == nil {
			s.Members = map[string]events.Subject{}
		}
		if s.Members[name], err = member(text); err != nil {
			return misused("--member %s is no subject identifier", name)
		}
	}
	if err := s.Validate(); err != nil {
		return &misuse{err.Error()}
	}
	return rt.withHub(reading, func(h *hub.Hub) error {
		txn, err := h.Raise(rt.ctx, actor, hub.SignalRequest{UserName: c.User, Signal: s})
		if err != nil {
			return err
		}
		return rt.print(map[string]any{"txn": txn}, "raised %s\n", txn)
	})
}

// member reads what a signal is narrowed to.
func member(text string) (events.Subject, error) {
	if strings.HasPrefix(text, "{") {
		return events.ParseSubject([]byte(text))
	}
	return events.Opaque(text), nil
}
