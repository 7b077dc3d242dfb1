package conformance

import (
	"fmt"
	"strconv"
	"strings"
)

// clauses says of which clause of which standard each row is. A range stands for all numbers in it.
var clauses = readRows(`
SSF 1.0 section 7.1: MD-01..12, MD-21
SSF 1.0 section 7.2.3: MD-13, MD-20
SSF 1.0 section 7.1.1: MD-22, DE-06
SSF transmitter test plan, metadata: MD-23, MD-24
SSF 1.0 section 7.2: WK-01, WK-06
SSF 1.0 section 7.2.1: WK-02, WK-03
SSF 1.0 section 7.2.2: WK-05
SSF 1.0 section 7.2.4: WK-04
SSF 1.0 section 8: AU-01, AU-02, AU-08
SSF 1.0 section 8.1: AU-03..05, AU-09
SSF transmitter test plan, authorization: AU-06, AU-07
SSF 1.0 section 8.1.1: SC-01..12, SC-20..23, IN-01..04, UP-09, VE-09
SSF 1.0 section 8.1.1.1: CR-01..10
SSF 1.0 section 8.1.1.2: RD-01..04
SSF 1.0 section 8.1.1.3: UP-02, UP-03, UP-08, UP-11..14
SSF 1.0 sections 8.1.1.3 and 8.1.1.4: UP-01, UP-04..07, UP-10
SSF 1.0 section 8.1.1.5: DL-01..03
SSF 1.0 section 8.1.2: ST-01..08, ST-10..17
SSF 1.0 section 8.1.3: SU-01..12, MA-01..08
SSF 1.0 section 8.1.4: VE-01..08, VE-10..13
SSF 1.0 section 8.1.5: SE-01..09
SSF 1.0 sections 3 and 4: SP-01..16, SI-01..03
SSF 1.0 section 6: DE-01..05, DE-07..09
SSF 1.0 sections 9 and 10: PR-01..12
RFC 8417 section 2.2: ET-01..09, EV-01, EV-02
RFC 9493 section 4.1: ET-10, FM-05
RFC 8417 sections 2.3 to 6: EV-03..13
RFC 8935 section 2.1: PU-01..10
RFC 8935 sections 2.2 to 2.4: PA-01..08
RFC 8935 sections 2, 4, 5: RE-01..09
RFC 8936 section 2.2: PO-01..05
RFC 8936 section 2.3: PS-01..03
RFC 8936 sections 2 to 4: PB-01..22
RFC 9493 section 3: FM-01..04, FM-06, FM-07
Tidings, sockets: WS-01..07
CAEP 1.0 section 2: CA-01..07
CAEP 1.0 section 3: CA-10..17, CA-20..25
RISC 1.0 section 2: RI-01..14, RI-20, RI-21
RISC 1.0 section 3: RI-22..24
CAEP interoperability profile 1.0: CI-01..25, CI-30..32
RFC 9967 section 2.1: SV-01..04
RFC 9967 sections 2.2 to 6: SV-05..14, SV-20..31, SV-40..45
change to event: MP-01..26, MP-30..32
`)

func clause(row string) string { return clauses[row] }

func readRows(text string) map[string]string {
	all := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		where, rows, _ := strings.Cut(line, ": ")
		for _, r := range strings.Split(rows, ", ") {
			first, last, isRange := strings.Cut(r, "..")
			if !isRange {
				all[r] = where
				continue
			}
			family, number, _ := strings.Cut(first, "-")
			from, to := must(strconv.Atoi(number)), must(strconv.Atoi(last))
			for n := from; n <= to; n++ {
				all[fmt.Sprintf("%s-%02d", family, n)] = where
			}
		}
	}
	return all
}

// elsewhere are rows that do not show to a receiver that asks one program a few questions, and who proves them instead.
var elsewhere = readRows(`
a receiver's own, kept by the SDK (subscriptions/receiver): DE-07, PB-10, PB-19, RE-04, RE-05, SV-09
a choice of wording that leaves nothing to break: ET-09, EV-06, EV-09, FM-06, FM-07, SP-03, SP-12, SP-14, SV-04, SV-10
a permission that nobody has to take up: UP-10, ST-05, PU-08, PU-10
the README tells it: PB-09, RE-07, VE-10
the engine's tests, with a clock of their own: EV-08, MP-10, PR-09, SV-11, SV-12, MP-26
the log of the program: PR-02
the engine's tests of pauses: SE-07
TestOpt of package consent, which knows every move: RI-21
TestSubjectMatches of package events: MA-02..05
benchmarks and tests of subscriptions/delivery: RE-08
policy and grants of the operator: RE-09
`)

// notDone are rows that are left out on purpose. ARCHITECTURE.md says why.
var notDone = readRows(`
not offered: SC-12, IN-01..04, SU-08, PR-04, VE-11, CI-17
not offered: PU-05, MP-15, MP-17, SV-03, SV-26, SV-27, SV-31, SV-40..45
`)
