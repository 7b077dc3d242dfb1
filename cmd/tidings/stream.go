package main

import (
	"net/url"
	"strconv"

	"tidings/hub"
	"tidings/subscriptions"
)

// streamLine is a stream as operators see it. Trouble is what the last push met, in words.
type streamLine struct {
	ID       hub.ID               `json:"id"`
	Party    hub.ID               `json:"party"`
	Method   string               `json:"method"`
	Endpoint string               `json:"endpoint,omitempty"`
	Status   subscriptions.Status `json:"status"`
	By       subscriptions.By     `json:"by,omitempty"`
	Reason   string               `json:"reason,omitempty"`
	Problem  string               `json:"problem,omitempty"`
	Trouble  string               `json:"trouble,omitempty"`
	Failures int                  `json:"failures"`
	Failing  string               `json:"failing_since,omitempty"`
	Waiting  int                  `json:"waiting"`
	Behind   int                  `json:"behind"`
	Created  string               `json:"created"`
}

func lineOf(b hub.Backlog) streamLine {
	l := streamLine{ID: b.ID, Party: b.Party, Method: b.Settings.Delivery.Method, Status: b.Status, By: b.By, Reason: b.Reason,
		Problem: b.Problem, Trouble: subscriptions.Trouble(b.Problem), Failures: b.Failures, Failing: stamp(b.Failing),
		Waiting: b.Waiting, Behind: b.Behind, Created: stamp(b.CreatedAt)}
	if u, err := url.Parse(b.Settings.Delivery.EndpointURL); err == nil && u.Host != "" {
		l.Endpoint = u.Scheme + "://" + u.Host + u.EscapedPath() // some put secrets into the query
	}
	return l
}

type streamList struct{}

func (c *streamList) Run(rt *runtime) error {
	return rt.withHub(reading, func(h *hub.Hub) error {
		all, err := h.Backlogs(rt.ctx, hub.ID{})
		if err != nil {
			return err
		}
		var lines []streamLine
		for _, b := range all {
			lines = append(lines, lineOf(b))
		}
		return table(rt, lines, "ID PARTY STATUS BY FAILURES WAITING BEHIND REASON TROUBLE", func(l streamLine) []string {
			return []string{l.ID.String(), l.Party.String(), string(l.Status), string(l.By), strconv.Itoa(l.Failures),
				strconv.Itoa(l.Waiting), strconv.Itoa(l.Behind), quoted(l.Reason), l.Trouble}
		})
	})
}

type streamShow struct {
	ID string `arg:"" help:"Id of the stream."`
}

func (c *streamShow) Run(rt *runtime) error {
	stream, err := id("stream", c.ID)
	if err != nil {
		return err
	}
	return rt.withHub(reading, func(h *hub.Hub) error {
		found, err := h.Backlogs(rt.ctx, stream)
		if err != nil {
			return err
		}
		l := lineOf(found[0])
		return rt.print(l, "stream    %s\nparty     %s\nmethod    %s\nendpoint  %s\nstatus    %s\nset by    %s\nreason    %s\n"+
			"trouble   %s\nfailures  %d in a row\nsince     %s\nwaiting   %d deliveries\nbehind    %d rows and signals\ncreated   %s\n",
			l.ID, l.Party, l.Method, l.Endpoint, l.Status, l.By, quoted(l.Reason), l.Trouble, l.Failures, l.Failing, l.Waiting, l.Behind, l.Created)
	})
}

type streamPause struct {
	ID     string `arg:"" help:"Id of the stream."`
	Reason string `help:"Why, in words for the receiver, which is told it." placeholder:"TEXT"`
}

func (c *streamPause) Run(rt *runtime) error {
	return rt.operate(c.ID, subscriptions.Paused, c.Reason)
}

type streamResume struct {
	ID     string `arg:"" help:"Id of the stream."`
	Reason string `help:"Why, in words for the receiver, which is told it." placeholder:"TEXT"`
}

func (c *streamResume) Run(rt *runtime) error {
	return rt.operate(c.ID, subscriptions.Enabled, c.Reason)
}

type streamDisable struct {
	ID     string `arg:"" help:"Id of the stream."`
	Reason string `help:"Why, in words for the receiver, which is told it." placeholder:"TEXT"`
}

func (c *streamDisable) Run(rt *runtime) error {
	return rt.operate(c.ID, subscriptions.Disabled, c.Reason)
}

// operate sets the status of a stream.
func (rt *runtime) operate(text string, status subscriptions.Status, reason string) error {
	stream, err := id("stream", text)
	if err != nil {
		return err
	}
	return rt.withHub(reading, func(h *hub.Hub) error {
		s, dropped, err := h.OperateStream(rt.ctx, stream, status, reason)
		if err != nil {
			return err
		}
		return rt.print(map[string]any{"id": s.ID, "status": s.Status, "dropped": dropped}, "stream   %s\nstatus   %s\ndropped  %d\n", s.ID, s.Status, dropped)
	})
}
