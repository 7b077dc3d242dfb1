package subscriptions_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidings/events"
	. "tidings/subscriptions"
)

func TestNextStep(t *testing.T) {
	refused := func(code string) Answer { return Answer{Status: 400, Code: code} }
	for _, row := range []struct {
		id     string
		answer Answer
		first  Next // after the first attempt
		late   Next // after very many, over days
		reason string
	}{
		{"PA-01", Answer{Status: 202}, Done, Done, "http 202"},
		{"PA-02", Answer{Status: 200}, Done, Done, "http 200"},
		{"PA-02", Answer{Status: 204}, Done, Done, "http 204"},
		{"PA-03", refused(events.CodeInvalidRequest), Dead, Dead, "invalid_request"},
		{"PA-03 re-read keys", refused(events.CodeInvalidKey), Remake, Remake, "invalid_key"},
		{"PA-03", refused(events.CodeInvalidIssuer), Dead, Dead, "invalid_issuer"},
		{"PA-03", refused(events.CodeInvalidAudience), Dead, Dead, "invalid_audience"},
		{"PA-03", refused(events.CodeAuthenticationFailed), Hold, Hold, "authentication_failed"},
		{"PA-03", refused(events.CodeAccessDenied), Retry, Dead, "access_denied"},
		{"VE-12", refused(events.CodeInvalidState), Dead, Dead, "invalid_state"},
		{"PA-03 unknown", refused("jwtHdr_2"), Dead, Dead, "jwtHdr_2"},
		{"PA-03 not a code", refused("kim@example.org\n"), Dead, Dead, "invalid_request"},
		{"PA-04", refused(""), Retry, Dead, "http 400"},
		{"PA-05", Answer{Status: 401}, Hold, Hold, "http 401"},
		{"PA-05", Answer{Status: 403}, Hold, Hold, "http 403"},
		{"PA-06", Answer{Status: 404}, Retry, Hold, "http 404"},
		{"PA-06", Answer{Status: 410}, Hold, Hold, "http 410"},
		{"PA-07", Answer{Status: 408}, Retry, Hold, "http 408"},
		{"PA-07", Answer{Status: 425}, Retry, Hold, "http 425"},
		{"PA-07", Answer{Status: 429}, Retry, Hold, "http 429"},
		{"PA-07", Answer{Status: 500}, Retry, Hold, "http 500"},
		{"PA-07", Answer{Status: 503, Code: "invalid_request"}, Retry, Hold, "http 503"},
		{"PA-07", Answer{Failure: "timeout"}, Retry, Hold, "timeout"},
		{"PA-07", Answer{Failure: "tls"}, Retry, Hold, "tls"},
		{"PA-07", Answer{}, Retry, Hold, "no answer"},
		{"PU-09", Answer{Failure: "blocked"}, Retry, Hold, "blocked"},
		{"PA-08", Answer{Status: 302}, Retry, Hold, "http 302"},
		{"too large", Answer{Status: 413}, Retry, Dead, "http 413"},
		{"not the endpoint", Answer{Status: 405}, Retry, Hold, "http 405"},
	} {
		for attempts, want := range map[int]Next{1: row.first, 5000: row.late} {
			row.answer.Failing = time.Duration(attempts-1) * time.Minute
			next, after, reason := NextStep(row.answer, attempts, 0.5)
			if next != want || reason != row.reason || (after != 0) != (next == Retry || next == Remake) {
				t.Errorf("%s, attempt %d: %v after %v, %q; want %v, %q", row.id, attempts, next, after, reason, want, row.reason)
			}
		}
	}
}

// RE-02, PA-06, PA-07: how long to wait.
func TestPauses(t *testing.T) {
	for _, row := range []struct {
		answer   Answer
		attempts int
		low      time.Duration // jitter 0
		high     time.Duration // jitter almost 1
	}{
		{Answer{Status: 503}, 1, time.Second, 2 * time.Second},
		{Answer{Status: 503}, 4, time.Second, 16 * time.Second},
		{Answer{Status: 503}, 9, time.Second, 512 * time.Second},
		{Answer{Status: 503}, 10, time.Second, 10 * time.Minute},
		{Answer{Status: 503}, 3000, time.Second, 10 * time.Minute},
		{Answer{Status: 404}, 1, 5 * time.Minute, 10 * time.Minute},
		{Answer{Status: 429, RetryAfter: 30 * time.Minute}, 1, 30 * time.Minute, 30 * time.Minute},
		{Answer{Status: 429, RetryAfter: 48 * time.Hour}, 1, time.Hour, time.Hour},
		{Answer{Status: 429, RetryAfter: -time.Hour}, 1, time.Second, 2 * time.Second},
	} {
		_, low, _ := NextStep(row.answer, row.attempts, 0)
		_, high, _ := NextStep(row.answer, row.attempts, math.Nextafter(1, 0))
		if low != row.low || high > row.high || row.high-high > time.Microsecond {
			t.Errorf("%+v, attempt %d: %v to %v, want %v to %v", row.answer, row.attempts, low, high, row.low, row.high)
		}
	}
}

// Whatever a receiver says and however often: a retry comes no sooner than a second and no later than an hour, patience
// ends, and reasons are short.
func TestNextStepProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Answer{
			Status:     rapid.IntRange(0, 700).Draw(t, "status"),
			Code:       rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"access_denied", "invalid_key", ""})).Draw(t, "code"),
			RetryAfter: time.Duration(rapid.Int64().Draw(t, "retry-after")),
			Failure:    rapid.SampledFrom([]string{"", "timeout", "blocked"}).Draw(t, "failure"),
			Long:       rapid.Bool().Draw(t, "long"),
			Failing:    time.Duration(rapid.Int64().Draw(t, "failing")),
		}
		attempts, jitter := rapid.Int().Draw(t, "attempts"), rapid.Float64().Draw(t, "jitter")
		next, after, reason := NextStep(a, attempts, jitter)
		switch {
		case (next == Retry || next == Remake) && (after < time.Second || after > time.Hour):
			t.Fatalf("retry after %v", after)
		case next != Retry && next != Remake && after != 0:
			t.Fatalf("%v after %v", next, after)
		case next == Retry && attempts > 5000 && a.Failing > 48*time.Hour:
			t.Fatal("patience has no end")
		case reason == "" || len(reason) > 64:
			t.Fatalf("reason %q", reason)
		case !strings.HasPrefix(Trouble(reason), "receiver"):
			t.Fatalf("%q in words: %q", reason, Trouble(reason))
		}
		if after := NextProbe(attempts, a.RetryAfter, jitter); after < 5*time.Minute || after > 6*time.Hour {
			t.Fatalf("probe after %v", after)
		}
	})
}

// PA-05: probes come ever more slowly, spread out.
func TestNextProbe(t *testing.T) {
	for attempts, high := range []time.Duration{10, 20, 40, 80, 160, 320, 360, 360} {
		if low := NextProbe(attempts, 0, 0); low != 5*time.Minute {
			t.Errorf("probe %d: no sooner than %v", attempts, low)
		}
		if got := NextProbe(attempts, 0, 2); got != high*time.Minute {
			t.Errorf("probe %d: no later than %v", attempts, got)
		}
	}
	if got := NextProbe(0, time.Hour, 0.5); got != time.Hour {
		t.Errorf("asked to wait an hour: %v", got)
	}
}

func TestTrouble(t *testing.T) {
	for reason, want := range map[string][2]string{
		"": {"none", ""}, "http 401": {"credential", "receiver answers http 401"},
		"authentication_failed": {"credential", "receiver refuses: authentication_failed"},
		"http 200":              {"odd", "receiver answers http 200 where 202 is due"},
		"long body":             {"odd", "receiver answers with a body that does not end"},
		"slow answer":           {"odd", "receiver takes long to answer"},
		"timeout":               {"unreachable", "receiver does not answer: timeout"},
		"refused":               {"unreachable", "receiver does not answer: refused"},
		"invalid_key":           {"token", "receiver refuses: invalid_key"}, "http 400": {"token", "receiver answers http 400"},
		"http 503": {"temporary", "receiver answers http 503"}, "http 307": {"endpoint", "receiver answers http 307"},
		"blocked": {"address", "receiver's address is not one that may be connected to"},
	} {
		if class, words := TroubleClass(reason), Trouble(reason); class != want[0] || words != want[1] {
			t.Errorf("%q: %s, %q", reason, class, words)
		}
	}
}

// PB-11: setErrs are judged as a push's answer would be, for the last time; whether a refused key is, its delivery knows.
func TestPollError(t *testing.T) {
	if next, reason := PollError("invalid_key"); next != Remake || reason != "invalid_key" {
		t.Errorf("invalid_key: %v, %q", next, reason)
	}
	for _, code := range []string{"invalid_request", "invalid_issuer", "invalid_audience", "authentication_failed", "access_denied", "invalid_state", "other"} {
		if next, reason := PollError(code); next != Dead || reason != code {
			t.Errorf("%s: %v, %q", code, next, reason)
		}
	}
	if _, reason := PollError("kim@example.org"); reason != "invalid_request" {
		t.Errorf("a receiver's text became the reason %q", reason)
	}
}
