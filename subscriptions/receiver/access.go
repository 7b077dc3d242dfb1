package receiver

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// AccessToken is a Client.Token that changes the party's secret, one of its tokens, for access tokens of a short life
// (RFC 6749 section 4.4), so that the secret itself goes to the hub once in some minutes only, and nowhere else. The
// client is the one that calls; scopes are what it needs, none for all that the secret allows. A new token is fetched
// when less than a fifth of the old one's life is left; calls wait for it together.
func AccessToken(c *Client, party, secret string, scopes ...string) func(context.Context) (string, error) {
	a := &accessTokens{client: c, form: url.Values{"grant_type": {"client_credentials"}}, basic: url.UserPassword(party, secret)}
	if len(scopes) > 0 {
		a.form.Set("scope", strings.Join(scopes, " "))
	}
	return a.get
}

type accessTokens struct {
	client *Client
	form   url.Values
	basic  *url.Userinfo

	mu    sync.Mutex
	token string
	renew time.Time
}

func (a *accessTokens) get(ctx context.Context) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.client.now()
	if now.Before(a.renew) {
		return a.token, nil
	}
	var answer struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
		Life  int64  `json:"expires_in"` // seconds
	}
	_, err := a.client.call(ctx, request{method: http.MethodPost, url: a.client.at("/oauth/token"), open: true, form: a.form, basic: a.basic}, &answer)
	if err == nil && (answer.Token == "" || !strings.EqualFold(answer.Type, "Bearer") || answer.Life < 1 || answer.Life > 1<<31) {
		err = errors.New("answer holds no access token")
	}
	if err != nil {
		return "", wrap("get access token", err)
	}
	a.token, a.renew = answer.Token, now.Add(time.Duration(answer.Life)*time.Second*4/5)
	return a.token, nil
}
