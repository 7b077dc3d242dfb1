package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tidings/events"
	"tidings/hub"
	"tidings/subscriptions"
)

// maxAnswer bounds what is read of an answer, in bytes; the rest is cut off with the connection.
const maxAnswer = 64 << 10

var (
	errNoTLS  = errors.New("receiver without TLS")
	errInside = errors.New("receiver on an address of the inside")
)

// post sends one token (RFC 8935 section 2.1) and says what came of it. The context carries the deadline for the whole
// of it. Whatever the receiver writes, no more than maxAnswer bytes are read and nothing but what it says of an error is kept.
func (p *Pusher) post(ctx context.Context, to hub.Endpoint, compact []byte) subscriptions.Answer {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(compact))
	if err == nil {
		err = p.out.admits(request.URL)
	}
	if err != nil {
		return subscriptions.Answer{Failure: failure(err)}
	}
	request.Header.Set("Content-Type", "application/secevent+jwt")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "Tidings")
	if to.Authorization != "" {
		request.Header.Set("Authorization", to.Authorization)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return subscriptions.Answer{Failure: failure(err)}
	}
	defer response.Body.Close()
	answer := subscriptions.Answer{Status: response.StatusCode, RetryAfter: retryAfter(response.Header.Get("Retry-After"), time.Now())}
	if answer.Status == http.StatusSwitchingProtocols {
		// The body is the connection itself, raw: no deadline and no end of ctx would end a read (TestSwitchedProtocols).
		return answer
	}
	// Read to its end, so that the connection can serve again; that the end cannot be read changes no answer.
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	answer.Long = len(body) == maxAnswer
	if answer.Status == http.StatusBadRequest {
		answer.Code, answer.Description = refusal(body)
	}
	return answer
}

// refusal reads an RFC 8935 section 2.3 body; "" when there is none to be read (PA-04).
func refusal(body []byte) (code, description string) {
	var said events.SetError
	if json.Unmarshal(body, &said) != nil {
		return "", ""
	}
	return said.Err, said.Description
}

// retryAfter reads the header (RFC 9110 section 10.2.3): seconds or a date. 0 for anything else.
func retryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}

// client sends over a transport and takes a redirect for the answer that it is (PA-08): it could lead anywhere.
func client(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
