package conformance

import (
	"strings"
	"time"
)

// pushing: the request of RFC 8935 section 2.1.
func pushing(t *try) {
	for _, secret := range []string{"", "Bearer s3cret of theirs!"} {
		h := t.hook()
		more := object{}
		if secret != "" {
			more["authorization_header"] = secret
		}
		stream := t.push(h, more)
		t.verify(stream, "push")
		p := h.await(1, "PU-01 DE-01")
		t.check(p.method == "POST", "PU-01", "the method is %s", p.method)
		t.check(p.header.Get("Content-Type") == "application/secevent+jwt", "PU-02 EV-04", "Content-Type is %q", p.header.Get("Content-Type"))
		t.check(p.header.Get("Accept") == "application/json", "PU-03", "Accept is %q", p.header.Get("Accept"))
		t.check(compactForm.MatchString(p.body), "PU-04", "the body is %.80q", p.body)
		sent, has := p.header["Authorization"]
		if secret == "" {
			t.check(!has, "PU-06 DE-03", "Authorization %q was never given", sent)
		} else {
			t.check(len(sent) == 1 && sent[0] == secret, "PU-06 DE-02 SC-09 SC-23", "Authorization is %q", sent)
		}
		t.accept(p.body, stream)
		t.verify(stream, "again")
		p = h.await(2, "DE-02")
		t.check(secret == "" || p.header.Get("Authorization") == secret, "DE-02", "the second push has Authorization %q", p.header.Get("Authorization"))
	}
}

// acknowledged: what was taken does not come again, and is asked for no more than the receiver bears.
func acknowledged(status int, rows string) func(*try) {
	return func(t *try) {
		h := t.hook()
		h.says(func(int, pushed) reply { return reply{status: status} })
		stream := t.push(h, object{})
		var jtis []string
		for i, state := range []string{"one", "two", "three"} {
			t.verify(stream, state)
			s := t.accept(h.await(i+1, rows).body, stream)
			t.check(s.payload["state"] == state, rows, "after %d came %v, not %s", status, s.payload, state)
			jtis = append(jtis, s.jti)
		}
		t.check(len(h.all()) == 3 && jtis[0] != jtis[1] && jtis[1] != jtis[2], rows+" ET-03", "%d pushes with the ids %v", len(h.all()), jtis)
	}
}

// retried: a failure that may pass is tried again, later, with the same bytes.
func retried(first reply, least time.Duration) func(*try) {
	return func(t *try) {
		h := t.hook()
		h.says(func(n int, _ pushed) reply {
			if n == 1 {
				return first
			}
			return accepted
		})
		stream := t.push(h, object{})
		t.verify(stream, "again")
		one, two := h.await(1, "PA-07"), h.await(2, "PA-07")
		t.check(one.body == two.body, "RE-03", "other bytes came")
		waited := two.at.Sub(one.at)
		t.check(waited > 500*time.Millisecond && waited > least-50*time.Millisecond, "RE-02 PA-07", "the next try came in %v", waited)
		t.accept(two.body, stream)
	}
}

// refused: a token that the receiver does not accept is tried so often, no more, and holds up nothing (RFC 8935
// section 2.3).
func refused(answer reply, tries int, rows string) func(*try) {
	state := func(p pushed) string {
		return text(decodePart(strings.Split(p.body, ".")[1])["events"])
	}
	return func(t *try) {
		h := t.hook()
		h.says(func(_ int, p pushed) reply {
			if strings.Contains(state(p), "refuse me") {
				return answer
			}
			return accepted
		})
		stream := t.push(h, object{})
		t.verify(stream, "refuse me")
		h.await(tries, rows)
		for _, next := range []string{"next", "and next"} {
			t.verify(stream, next)
			t.need(eventually(t.patience, func() bool {
				all := h.all()
				return strings.Contains(state(all[len(all)-1]), `"`+next+`"`)
			}), rows, "the stream does not go on")
		}
		var came []string
		for _, p := range h.all() {
			came = append(came, p.at.Format("05.000 ")+state(p))
		}
		t.check(len(came) == tries+2, rows, "%d pushes came, not %d: %q", len(came), tries+2, came)
	}
}

// unsafeReceiver: a receiver whose certificate nobody vouches for gets nothing.
func unsafeReceiver(t *try) {
	h := t.hookTLS(true)
	stream := t.push(h, object{})
	t.verify(stream, "secret")
	t.need(eventually(t.patience, func() bool { return strings.Contains(h.faults.String(), "certificate") || len(h.all()) > 0 }), "PU-07", "nobody looked at the certificate")
	t.check(len(h.all()) == 0, "PU-07", "a token was pushed to whom nobody vouches for")
}
