package api

import (
	"fmt"
	"net/http"

	"tidings/hub"
	"tidings/subscriptions"
	"tidings/web"
)

const maxSignal = 64 << 10 // bytes

// signal raises a signal about a person, named by userName or by the id that SCIM gave:
//
//	{"userName":"anna","type":"session-revoked","payload":{"reason_admin":{"en":"device lost"}},"members":{"session":{…}}}
//
// 202 with the txn: parties are told in their own time, if the person lets them be.
func (f face) signal(w http.ResponseWriter, r *http.Request) error {
	caller, err := web.Caller(r, hub.SCIMWrite, hub.Operate)
	if err != nil {
		return err
	}
	body, err := web.Read(w, r, maxSignal)
	if err != nil {
		return err
	}
	request, err := readSignal(body)
	if err != nil {
		return err
	}
	txn, err := f.engine.Raise(r.Context(), caller.Actor(), request)
	if err != nil {
		return err
	}
	return web.Write(w, http.StatusAccepted, map[string]string{"txn": txn})
}

func readSignal(body web.Members) (request hub.SignalRequest, err error) {
	for name := range body {
		switch name {
		case "id", "userName", "type", "payload", "members":
		default:
			return request, fmt.Errorf("%w: there is no member %.40q", hub.ErrBadRequest, name)
		}
	}
	if body.Has("id") == body.Has("userName") {
		return request, fmt.Errorf("%w: either id or userName says who it is about", hub.ErrBadRequest)
	}
	if body.Has("id") {
		text, err := body.Text("id")
		if err != nil {
			return request, err
		}
		if request.Entry, err = hub.ParseID(text); err != nil {
			return request, hub.ErrNotFound // as any id that nobody has
		}
	} else if request.UserName, err = body.Text("userName"); err != nil {
		return request, err
	}
	kind, err := body.Text("type")
	if err != nil {
		return request, err
	}
	request.Signal = subscriptions.Signal{Type: subscriptions.SignalType(kind)}
	if err := body.Get("payload", &request.Signal.Payload); err != nil {
		return request, err
	}
	return request, body.Get("members", &request.Signal.Members)
}
