package ssf

import (
	"fmt"
	"net/http"
	"net/url"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
	"tidings/web"
)

// maxBody bounds a management request in bytes.
const maxBody = 64 << 10

// create makes a stream of what is sent. Members that are ours are ignored (CR-09): there is nothing yet that they could
// contradict.
func (f face) create(w http.ResponseWriter, r *http.Request, c hub.Caller) error {
	body, err := web.Read(w, r, maxBody)
	if err != nil {
		return err
	}
	settings, err := readCreate(body)
	if err != nil {
		return err
	}
	stream, err := f.engine.CreateStream(r.Context(), c, settings)
	if err != nil {
		return err
	}
	return f.show(w, r, http.StatusCreated, stream)
}

func (f face) show(w http.ResponseWriter, r *http.Request, status int, s *hub.Stream) error {
	shown, err := f.engine.Configuration(r.Context(), s)
	if err != nil {
		return err
	}
	return web.Write(w, status, shown)
}

// read answers with one stream when asked for it, else with an array of all, also of one or none (RD-01, RD-02).
func (f face) read(w http.ResponseWriter, r *http.Request, c hub.Caller) error {
	if query := r.URL.Query(); query.Has("stream_id") {
		id, err := streamID(query)
		if err != nil {
			return err
		}
		stream, err := f.engine.Stream(r.Context(), c, id)
		if err != nil {
			return err
		}
		return f.show(w, r, http.StatusOK, stream)
	}
	streams, err := f.engine.Streams(r.Context(), c)
	if err != nil {
		return err
	}
	all := make([]events.StreamConfiguration, len(streams))
	for i := range streams {
		if all[i], err = f.engine.Configuration(r.Context(), &streams[i]); err != nil {
			return err
		}
	}
	return web.Write(w, http.StatusOK, all)
}

func (f face) patch(w http.ResponseWriter, r *http.Request, c hub.Caller) error {
	return f.update(w, r, c, merge)
}

func (f face) replace(w http.ResponseWriter, r *http.Request, c hub.Caller) error {
	return f.update(w, r, c, replace)
}

// update changes a stream. What is ours may be sent but has to be what it is before the update (UP-05, UP-07).
func (f face) update(w http.ResponseWriter, r *http.Request, c hub.Caller, apply func(web.Members, *subscriptions.Settings, events.StreamConfiguration) error) error {
	body, err := web.Read(w, r, maxBody)
	if err != nil {
		return err
	}
	id, err := body.Text("stream_id")
	if err != nil {
		return err
	}
	stream, err := f.engine.UpdateStream(r.Context(), c, id, func(now hub.Stream, s *subscriptions.Settings) error {
		before, err := f.engine.Configuration(r.Context(), &now)
		if err != nil {
			return err
		}
		if err := unchanged(body, before); err != nil {
			return err
		}
		return apply(body, s, before)
	})
	if err != nil {
		return err
	}
	return f.show(w, r, http.StatusOK, stream)
}

func (f face) remove(w http.ResponseWriter, r *http.Request, c hub.Caller) error {
	id, err := streamID(r.URL.Query())
	if err != nil {
		return err
	}
	if err := f.engine.DeleteStream(r.Context(), c, id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (f face) status(w http.ResponseWriter, r *http.Request, c hub.Caller) error {
	id, err := streamID(r.URL.Query())
	if err != nil {
		return err
	}
	stream, err := f.engine.Stream(r.Context(), c, id)
	if err != nil {
		return err
	}
	return showStatus(w, stream)
}

func (f face) setStatus(w http.ResponseWriter, r *http.Request, c hub.Caller) error {
	body, err := web.Read(w, r, maxBody)
	if err != nil {
		return err
	}
	id, status, reason, err := readStatus(body)
	if err != nil {
		return err
	}
	stream, err := f.engine.SetStatus(r.Context(), c, id, status, reason)
	if err != nil {
		return err
	}
	return showStatus(w, stream)
}

// showStatus tells the reason that was given (ST-07), and where there is none what the last push met: a receiver's engineers
// look here first.
func showStatus(w http.ResponseWriter, s *hub.Stream) error {
	reason := s.Reason
	if reason == "" && s.Status == subscriptions.Enabled {
		reason = subscriptions.Trouble(s.Problem)
	}
	return web.Write(w, http.StatusOK, events.StreamStatus{StreamID: s.ID.String(), Status: events.Status(s.Status), Reason: reason})
}

func (f face) verify(w http.ResponseWriter, r *http.Request, c hub.Caller) error {
	body, err := web.Read(w, r, maxBody)
	if err != nil {
		return err
	}
	id, state, err := readVerify(body)
	if err != nil {
		return err
	}
	if err := f.engine.Verify(r.Context(), c, id, state); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// streamID is the stream that a query names (GET and DELETE; the others name it in the body, UP-01).
func streamID(query url.Values) (string, error) {
	if ids := query["stream_id"]; len(ids) != 1 || ids[0] == "" {
		return "", fmt.Errorf("%w: one stream_id is needed", hub.ErrBadRequest)
	}
	return query.Get("stream_id"), nil
}
