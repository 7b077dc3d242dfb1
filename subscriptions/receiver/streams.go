package receiver

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"tidings/events"
)

// CreateStream makes a stream (SSF 1.0 section 8.1.1.1); all of the configuration is optional, and without a delivery
// the stream is to be polled. The answer says which types it delivers, for which audience and, for poll, where.
func (c *Client) CreateStream(ctx context.Context, s events.StreamConfiguration) (events.StreamConfiguration, error) {
	var made events.StreamConfiguration
	err := c.manage(ctx, http.MethodPost, configuration, "", s, &made)
	return made, wrap("create stream", err)
}

// ReadStreams lists the party's streams (SSF 1.0 section 8.1.1.2).
func (c *Client) ReadStreams(ctx context.Context) ([]events.StreamConfiguration, error) {
	var list []events.StreamConfiguration
	err := c.manage(ctx, http.MethodGet, configuration, "", nil, &list)
	return list, wrap("read streams", err)
}

// DeleteStream ends a stream and drops what was on its way (SSF 1.0 section 8.1.1.5).
func (c *Client) DeleteStream(ctx context.Context, id string) error {
	return wrap("delete stream", c.manage(ctx, http.MethodDelete, configuration, id, nil, nil))
}

// Status tells whether a stream sends (SSF 1.0 section 8.1.2.1).
func (c *Client) Status(ctx context.Context, id string) (events.StreamStatus, error) {
	var s events.StreamStatus
	err := c.manage(ctx, http.MethodGet, status, id, nil, &s)
	return s, wrap("read status", err)
}

// SetStatus lets a stream pause, end or go on (SSF 1.0 section 8.1.2.2) and returns the status as it is now.
func (c *Client) SetStatus(ctx context.Context, s events.StreamStatus) (events.StreamStatus, error) {
	var set events.StreamStatus
	err := c.manage(ctx, http.MethodPost, status, "", s, &set)
	return set, wrap("set status", err)
}

// Verify asks for a verification event on the stream, which comes by the stream itself and brings the state back
// unchanged (SSF 1.0 section 8.1.4.2); "" for none.
func (c *Client) Verify(ctx context.Context, id, state string) error {
	ask := events.VerificationRequest{StreamID: id}
	if state != "" {
		ask.State = &state
	}
	return wrap("ask for verification", c.manage(ctx, http.MethodPost, verification, "", ask, nil))
}

func configuration(m events.Metadata) string { return m.ConfigurationEndpoint }
func status(m events.Metadata) string        { return m.StatusEndpoint }
func verification(m events.Metadata) string  { return m.VerificationEndpoint }

// manage calls one of the endpoints that the metadata names; a stream id goes into the query of GET and DELETE.
func (c *Client) manage(ctx context.Context, method string, endpoint func(events.Metadata) string, id string, body, out any) error {
	m, err := c.known(ctx)
	if err != nil {
		return err
	}
	at, err := url.Parse(endpoint(m))
	if err != nil || at.Host == "" {
		return errors.New("the hub's metadata lacks the endpoint")
	}
	if id != "" {
		query := at.Query()
		query.Set("stream_id", id)
		at.RawQuery = query.Encode()
	}
	_, err = c.call(ctx, request{method: method, url: at.String(), body: body}, out)
	return err
}
