package subscriptions

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"tidings/events"
)

// Next is what becomes of a token after an attempt.
type Next uint8

const (
	// Done: the receiver has it.
	Done Next = iota
	// Retry: the same bytes again, later.
	Retry
	// Remake: once more, later, in a token that is made anew with the present key; a second time it is Dead.
	Remake
	// Dead: a repeat cannot help; the delivery becomes a dead letter and the stream goes on.
	Dead
	// Hold: the receiver refuses us as a whole (401, 403, 410, gone for long); the stream is to be paused.
	Hold
)

// Answer is what came of an attempt to hand over a token.
type Answer struct {
	Status int    // of HTTP; 0 when there was no answer
	Code   string // the err of a 400's JSON body (RFC 8935 section 2.3), as the receiver wrote it; "" if there is none
	// Description is what stands beside the code. No rule looks at it: it may hold personal data.
	Description string
	RetryAfter  time.Duration // of the header; 0 if there is none
	Failure     string        // why there was no answer: "timeout", "dns", "tls", "refused", "blocked", …
	Long        bool          // its body went on beyond what is read
	Failing     time.Duration // how long every attempt on the stream has failed by now
}

// Waits between attempts (RFC 8935 section 2: so that the receiver is not overwhelmed).
const (
	shortest = time.Second
	longest  = 10 * time.Minute
	// asked bounds what a receiver can ask for by Retry-After.
	asked = time.Hour
)

// Patience: with one token, in attempts; with a receiver, the time for which every attempt on the stream failed. When it
// is over the stream is paused and probed (NextProbe): nothing is lost by that, so it need not be long.
const (
	few = 3
	// gone: the host answers, our endpoint is not there.
	gone = 6 * time.Hour
	// silent: nobody answers, or only with temporary refusals.
	silent = 24 * time.Hour
)

// Probes of a stream that the transmitter paused.
const (
	firstProbe = 10 * time.Minute
	lastProbe  = 6 * time.Hour
)

// NextProbe is when to ask the receiver of a paused stream again: from ten minutes to six hours, doubling, with full
// jitter, and not before it asked for by Retry-After. attempts counts the probes that failed; jitter is random in [0, 1).
func NextProbe(attempts int, retryAfter time.Duration, jitter float64) time.Duration {
	high := lastProbe
	if attempts < 6 {
		high = min(firstProbe<<max(attempts, 0), lastProbe)
	}
	return max(between(firstProbe/2, high, jitter), min(retryAfter, lastProbe))
}

// Trouble tells a reason of NextStep in words, for the receiver's engineers and for operators; "" for none.
func Trouble(reason string) string {
	switch TroubleClass(reason) {
	case "none":
		return ""
	case "address":
		return "receiver's address is not one that may be connected to"
	case "odd":
		switch reason {
		case longBody:
			return "receiver answers with a body that does not end"
		case SlowAnswer:
			return "receiver takes long to answer"
		}
		return "receiver answers " + reason + " where 202 is due"
	case "unreachable":
		return "receiver does not answer: " + reason
	}
	if strings.HasPrefix(reason, "http ") {
		return "receiver answers " + reason
	}
	return "receiver refuses: " + reason
}

// TroubleClass is the kind of trouble that a reason tells, one of a few words: none, odd (a success that is not as it should
// be), credential (ours is refused), endpoint (it is not there), token (it is refused for itself), temporary, unreachable,
// address (not to be connected to).
func TroubleClass(reason string) string {
	switch status, isStatus := strings.CutPrefix(reason, "http "); {
	case reason == "":
		return "none"
	case reason == "blocked":
		return "address"
	case reason == longBody, reason == SlowAnswer, isStatus && strings.HasPrefix(status, "2"):
		return "odd"
	case status == "401", status == "403", reason == events.CodeAuthenticationFailed:
		return "credential"
	case status == "408", status == "425", status == "429", isStatus && strings.HasPrefix(status, "5"):
		return "temporary"
	case status == "400", status == "413", status == "422":
		return "token"
	case isStatus:
		return "endpoint"
	case slices.Contains([]string{"no answer", "timeout", "dns", "tls", "refused", "connection"}, reason):
		return "unreachable"
	}
	return "token"
}

const longBody = "long body"

// SlowAnswer is the reason of a success that came late.
const SlowAnswer = "slow answer"

// NextStep says what becomes of a token after an attempt, when to try again (for Retry and Remake), and in a word why: the
// receiver's error code, "http 503", or the kind of failure; it holds nothing else that a receiver wrote. Attempts
// count from 1, this one included; jitter is random in [0, 1).
func NextStep(a Answer, attempts int, jitter float64) (next Next, after time.Duration, reason string) {
	next, slow, reason := a.verdict(max(attempts, 1))
	if next == Remake {
		attempts = 1 // of the token that is made then
	}
	if next == Retry || next == Remake {
		after = max(pause(max(attempts, 1), slow, jitter), min(a.RetryAfter, asked))
	}
	return next, after, reason
}

// PollError is the same for a token that a poll or a socket reported in setErrs (PB-11). There is no "later" in such a
// report, so it counts as the last attempt; and who polls does not refuse us as a whole, so nothing is held.
func PollError(code string) (Next, string) {
	next, _, reason := NextStep(Answer{Status: 400, Code: code}, math.MaxInt, 0)
	if next == Hold {
		next = Dead
	}
	return next, reason
}

// verdict judges an answer; slow means that a retry is not to be soon. Statuses stand as numbers: rules import no HTTP.
func (a Answer) verdict(attempts int) (next Next, slow bool, reason string) {
	reason = fmt.Sprintf("http %d", a.Status)
	switch {
	case a.Status == 0:
		if a.Failure == "" {
			return a.lasting(silent), false, "no answer"
		}
		if a.Failure == "blocked" { // an address that must not be connected to: somebody has to mend the setting
			return a.lasting(gone), true, a.Failure
		}
		return a.lasting(silent), false, a.Failure
	case a.Status >= 200 && a.Status < 300: // RFC 8935 section 2.2 wants 202; a receiver that says 200 or 204 has it too
		if a.Long {
			reason = longBody
		}
		return Done, false, reason
	case a.Status == 400:
		return a.refusal(attempts)
	case a.Status == 401, a.Status == 403, a.Status == 410:
		return Hold, false, reason
	case a.Status == 413, a.Status == 422:
		return until(few, attempts, Dead), false, reason // about this token, though not said as RFC 8935 has it
	case a.Status == 408, a.Status == 425, a.Status == 429, a.Status >= 500, a.Status < 200:
		return a.lasting(silent), false, reason
	}
	// 404, redirects (never followed) and the rest of 4xx: this is not the endpoint, for any token.
	return a.lasting(gone), true, reason
}

// code is the form of the codes in the registry of RFC 8935 section 7.1; another could smuggle text into logs.
var code = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}$`)

// refusal judges a 400 by its code (RFC 8935 section 2.4, SSF 1.0 section 8.1.4.1).
func (a Answer) refusal(attempts int) (next Next, slow bool, reason string) {
	switch a.Code {
	case "":
		return until(few, attempts, Dead), false, "http 400"
	case events.CodeAuthenticationFailed:
		return Hold, false, a.Code // what others say by 401
	case events.CodeAccessDenied:
		return until(few, attempts, Dead), true, a.Code // may pass (RFC 8935 section 4)
	case events.CodeInvalidKey:
		return Remake, false, a.Code
	}
	if !code.MatchString(a.Code) {
		return Dead, false, events.CodeInvalidRequest
	}
	return Dead, false, a.Code
}

// lasting retries while the receiver has not failed for longer than patience; then the stream is to be paused.
func (a Answer) lasting(patience time.Duration) Next {
	if a.Failing < patience {
		return Retry
	}
	return Hold
}

// until retries while attempts are fewer than patience; then it is over.
func until(patience, attempts int, over Next) Next {
	if attempts < patience {
		return Retry
	}
	return over
}

// pause is exponential with full jitter, from one second to ten minutes; when slow, always in its upper half.
func pause(attempts int, slow bool, jitter float64) time.Duration {
	low, high := shortest, longest
	if slow {
		low = longest / 2
	} else if attempts < 10 {
		high = min(shortest<<attempts, longest)
	}
	return between(low, high, jitter)
}

func between(low, high time.Duration, jitter float64) time.Duration {
	if !(jitter >= 0 && jitter < 1) { // NaN among them
		jitter = 1
	}
	return low + time.Duration(jitter*float64(high-low))
}

// Reasons of this side: nothing was sent.
const (
	NoEvent = "event cannot be made"
	NoToken = "token cannot be made"
)

// Class is the reason of a dead letter in one of a few words, for metrics and logs: a registered error code
// (RFC 8935 section 2.4, SSF 1.0 section 8.1.4.1), "http" for a status, "unmade" for what could not be made, else "other".
func Class(reason string) string {
	switch reason {
	case events.CodeInvalidRequest, events.CodeInvalidKey, events.CodeInvalidIssuer, events.CodeInvalidAudience,
		events.CodeAuthenticationFailed, events.CodeAccessDenied, events.CodeInvalidState:
		return reason
	case NoEvent, NoToken:
		return "unmade"
	}
	if strings.HasPrefix(reason, "http ") {
		return "http"
	}
	return "other"
}
