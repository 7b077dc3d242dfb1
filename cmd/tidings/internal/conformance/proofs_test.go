package conformance

import (
	"net/http"
	"time"
)

// proofs is the table: which proof proves which rows.
var proofs = []proof{
	{name: "metadata", run: metadata,
		rows: "WK-01 WK-03 WK-04 WK-05 MD-01 MD-02 MD-03 MD-04 MD-05 MD-06 MD-07 MD-08 MD-09 MD-10 MD-11 MD-12 MD-13 MD-20 MD-21 MD-23 CI-02 CI-03 CI-04 CI-05 CI-06 CI-07 CI-08 CI-11"},
	{name: "key set", run: keySet, rows: "MD-23 MD-24 MD-03"},
	{name: "on the internet", secured: true, run: onTheInternet,
		rows: "WK-02 WK-04 WK-06 MD-02 MD-23 CI-01 EV-07 PB-17 CR-10 PU-01 PU-09"},

	{name: "create", run: creating, rows: wholeRows + "CR-01 CR-02 CR-03 CR-04 CR-05 CR-07 CR-08 CR-09 CI-10 SC-05 SC-11 SC-20 SC-21 DE-04 DE-05"},
	{name: "interoperability profile", profile: "caep", run: interoperable, rows: wholeRows + setRows + pollRows + "AU-08 CI-06 CI-07 CI-10 CI-13 CI-32 SP-15"},
	{name: "read", run: reading, rows: wholeRows + "RD-01 RD-02 RD-03 AU-04 AU-09"},
	{name: "patch", run: patching, rows: wholeRows + "UP-01 UP-02 UP-03 UP-05 UP-07 UP-08 UP-09 UP-11 UP-13 UP-14 SC-03 DE-02"},
	{name: "put", run: replacing, rows: wholeRows + "UP-01 UP-04 UP-05 UP-06 UP-07 UP-08 UP-09 UP-11 SC-09 SC-22 SC-23"},
	{name: "another method", run: switching, rows: "UP-12"},
	{name: "delete", run: deleting, rows: "DL-01 DL-02 DL-03"},

	{name: "access", run: access, rows: "AU-01 AU-03 AU-05 AU-06 AU-07 CI-18 CI-19 CI-20 DE-06 MD-22 PB-16 PB-22"},
	{name: "strangers", run: strangers, rows: "AU-02 AU-04 AU-09"},

	{name: "status", run: changingStatus, rows: "ST-01 ST-02 ST-03 ST-04 ST-06 ST-07 ST-08 ST-17"},
	{name: "pause of a poll", run: pausingPoll, rows: setRows + pollRows + "ST-10 ST-11 ST-12 ST-16"},
	{name: "pause of a push", run: pausingPush, rows: setRows + "ST-10 ST-11 ST-12"},
	{name: "disable", run: disabling, rows: "ST-11 ST-13 ST-14 ST-15"},

	{name: "verification", run: verifying, rows: setRows + pollRows + "VE-01 VE-02 VE-03 VE-04 VE-05 VE-06 VE-07 VE-13"},
	{name: "verification too often", run: askingTooOften, rows: "VE-08 VE-09 SC-10 PR-10"},

	{name: "push", run: pushing, rows: setRows + "PU-01 PU-02 PU-03 PU-04 PU-06 EV-04 DE-01 DE-02 DE-03 SC-09 SC-23"},
	{name: "push taken", run: acknowledged(202, "PA-01 RE-01 RE-06"), rows: "PA-01 RE-01 RE-06 ET-03"},
	{name: "push taken with 200", run: acknowledged(200, "PA-02"), rows: "PA-02"},
	{name: "push taken with 204", run: acknowledged(204, "PA-02"), rows: "PA-02"},
	{name: "push tried again", run: retried(reply{status: 503}, 0), rows: "PA-07 RE-02 RE-03"},
	{name: "push tried again after 500", run: retried(reply{status: 500}, 0), rows: "PA-07"},
	{name: "push tried again after 408", run: retried(reply{status: 408}, 0), rows: "PA-07"},
	{name: "push tried again when asked", run: retried(reply{429, http.Header{"Retry-After": {"3"}}, ""}, 3*time.Second), rows: "PA-07"},
	{name: "push refused", run: refused(refusedSET("invalid_request"), 1, "PA-03"), rows: "PA-03"},
	{name: "push refused for its issuer", run: refused(refusedSET("invalid_issuer"), 1, "PA-03"), rows: "PA-03"},
	{name: "push refused for its audience", run: refused(refusedSET("invalid_audience"), 1, "PA-03"), rows: "PA-03"},
	{name: "push refused for its state", run: refused(refusedSET("invalid_state"), 1, "VE-12"), rows: "VE-12"},
	{name: "push refused somehow", run: refused(refusedSET("never_heard_of"), 1, "PA-03"), rows: "PA-03"},
	{name: "push refused without a word", run: refused(reply{400, nil, "<html>"}, 3, "PA-04"), rows: "PA-04"},
	{name: "push redirected", run: refused(reply{307, http.Header{"Location": {"/elsewhere"}}, ""}, 1, "PA-08 PU-09"), rows: "PA-08 PU-09"},
	{name: "push to whom nobody vouches for", run: unsafeReceiver, rows: "PU-07"},

	{name: "poll", run: polling, rows: setRows + pollRows + "PO-01 PO-02 PO-03 PO-04 PO-05 PB-03 PB-05 PB-06 PB-11 PB-12 PB-22 VE-12"},
	{name: "poll that is held", run: held, rows: "PB-01 PB-04 PB-22"},
	{name: "poll that is held in vain", slow: true, run: heldInVain, rows: "PB-01 PB-02"},
	{name: "poll without acknowledgement", slow: true, run: leased, rows: "PB-06 PB-07 PB-08 PB-20 RE-03"},
	{name: "poll abandoned", run: abandoned, rows: "PB-21"},
	{name: "bad polls", run: badPolls, rows: "PB-13 PB-14 PB-15 PO-01"},

	{name: "socket", run: socketLife, rows: setRows + "WS-01 WS-02 WS-03 WS-04 WS-05 WS-06 WS-07 DE-08"},
	{name: "socket kept alive", slow: true, run: socketAlive, rows: "WS-07"},

	{name: "journey by push", run: journey((*try).byPush), rows: setRows + "SU-01 SU-04 SU-06 SU-07 SU-11 SU-12 ST-10 ST-11 UP-02 UP-04 DL-01"},
	{name: "journey by poll", run: journey((*try).byPoll), rows: setRows + pollRows + "SU-01 SU-04 SU-06 SU-07 SU-11 SU-12 ST-10 ST-11 UP-02 UP-04 DL-01"},
	{name: "journey by socket", run: journey((*try).bySocket), rows: setRows + "SU-01 SU-04 SU-06 SU-07 SU-11 SU-12 ST-10 ST-11 UP-02 UP-04 DL-01"},
	{name: "subjects", run: subjects, rows: "SU-01 SU-02 SU-03 SU-04 SU-05 SU-07 SU-09 SU-10 SU-11 MA-01 MA-06 MA-07 MA-08 SI-03 PR-01 PR-03 PR-08"},
	{name: "receiver that refuses", run: refusing(reply{status: 401}, "PA-05"), rows: setRows + "PA-05 SE-01 SE-02 SE-03 SE-05 SE-06 SE-09 ST-07 ST-11"},
	{name: "receiver that is gone", run: refusing(reply{status: 410}, "PA-06"), rows: setRows + "PA-06 SE-01 SE-02 SE-03"},
	{name: "operator", run: operated, rows: setRows + pollRows + "SE-04 SE-05 SE-08"},
	{name: "bad input", run: badInput, rows: "CR-06 UP-01 UP-11 ST-06 VE-08 SU-05 RD-03 DL-01 AU-02 PR-11"},
	{name: "authorization server", run: authorization, rows: "CI-14 CI-15 CI-16 CI-19 CI-21 CI-31 PB-18"},
	{name: "scopes", run: scopes, rows: "AU-06 CI-15 CI-16 CI-19 CI-20 CI-30 CI-31"},

	{name: "life of a grant", run: life, rows: setRows + payloadRows + "MP-01 MP-02 MP-03 MP-04 MP-05 MP-06 MP-07 MP-08 MP-09 MP-18 MP-19 MP-20 MP-30 MP-32 SV-02 SV-05 SV-14 SV-20 SV-21 SV-24 " +
		"SV-28 SV-29 SV-30 RI-02 RI-03 RI-04 RI-05 RI-23 CA-07 CA-12 CA-20 CA-21 CA-25 EV-12 PR-03 PR-05 PR-06 PR-08 PR-12 CI-12 FM-04"},
	{name: "two receivers", run: twoReceivers, rows: "SP-08 DE-09 EV-11 EV-13"},
	{name: "agreement", profile: "agreement", run: agreement, rows: "SV-22 SV-23 PR-07 MP-01 MP-16"},
	{name: "opting out", run: optingOut, rows: setRows + "RI-08 RI-09 RI-10 RI-11 RI-20 MP-31"},
	{name: "values", profile: "claims", run: values, rows: setRows + "SV-13 SV-25 CA-11 MP-23 PR-08"},
	{name: "signals", profile: "caep", run: signals, rows: setRows + "CA-01 CA-03 CA-10 CA-12 CA-13 CA-14 CA-15 CA-16 CA-17 CA-20 CA-21 CA-22 CA-23 CA-24 RI-01 RI-06 RI-07 RI-12 RI-13 RI-14 " +
		"CI-12 CI-23 CI-24 CI-25 MP-11 MP-12 MP-13 MP-14 MP-21 MP-22 MP-24 MP-25 SP-13"},
	{name: "signals refused", run: refusedSignals, rows: "CA-01 CA-02 CA-06 CA-12 CA-14 CA-17 CA-21 CA-23 RI-06 RI-07 RI-14"},
}
