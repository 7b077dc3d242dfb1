package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"tidings/hub"
)

// finding is a query for rows that must not be: what is wrong with them, and two columns that name one (an id and a
// number). Ids only: what a person's data is stands in no report.
type finding struct{ words, query string }

// say fills id and number into the words: they stand in them by name, as not every finding has both.
func (f finding) say(id hub.ID, number int64) string {
	return strings.NewReplacer("{id}", id.String(), "{n}", strconv.FormatInt(number, 10)).Replace(f.words)
}

var findings = []finding{
	{"head: position {n}, but its line is not the last one or has another tag", `SELECT NULL::bytea, h.position FROM head h
		WHERE h.position <> coalesce((SELECT max(position) FROM change), 0)
			OR h.position > 0 AND h.tag IS DISTINCT FROM (SELECT tag FROM change c WHERE c.position = h.position)`},
	{"party {id}: {n} tokens or keys are valid, more than it may have", `SELECT party, count(*) FROM token
		WHERE party IS NOT NULL AND revoked = 0 AND expires = 0 GROUP BY party, jwk IS NULL
		HAVING count(*) > CASE WHEN jwk IS NULL THEN ` + strconv.Itoa(hub.MaxPartyTokens) + ` ELSE ` + strconv.Itoa(hub.MaxPartyKeys) + ` END`},
	{"log: no line at position {n}", `SELECT NULL::bytea, p FROM head h, generate_series(greatest(h.oldest, 1), h.position) AS p
		WHERE NOT EXISTS (SELECT FROM change c WHERE c.position = p)`},
	{"grant {id}: its place {n} is past the head, or not of its line", `SELECT g.id, g.position FROM grants g, head h
		WHERE g.position > h.position OR g.ended > h.position OR g.given > h.position OR g.regraded > h.position
			OR g.position > h.oldest AND g.tag IS DISTINCT FROM (SELECT tag FROM change c WHERE c.position = g.position)`},
	{"grant {id}: its entry is missing (place {n})", `SELECT g.id, g.position FROM grants g
		WHERE NOT EXISTS (SELECT FROM entry e WHERE e.id = g.entry)`},
	{"grant {id}: its party is missing (place {n})", `SELECT g.id, g.position FROM grants g
		WHERE NOT EXISTS (SELECT FROM party p WHERE p.id = g.party)`},
	{"grant {id}: runs on although its entry was deleted (place {n})", `SELECT g.id, g.position FROM grants g
		JOIN entry e ON e.id = g.entry WHERE e.deleted <> 0 AND g.ended = 0
			AND NOT EXISTS (SELECT FROM echo)`},
	{"entry {id}: its place {n} is past the head, or not of its line", `SELECT e.id, e.position FROM entry e, head h
		WHERE e.position > h.position OR e.created > h.position OR e.deleted > h.position
			OR e.position > h.oldest AND e.tag IS DISTINCT FROM (SELECT tag FROM change c WHERE c.position = e.position)`},
	{"entry {id}: deleted at {n}, but something of it is left", `SELECT e.id, e.deleted FROM entry e
		WHERE e.deleted <> 0 AND (e.doc IS NOT NULL OR e.marks <> '' OR e.user_name IS NOT NULL OR e.active
			OR EXISTS (SELECT FROM reference r WHERE r.from_entry = e.id)
			OR EXISTS (SELECT FROM signal s WHERE s.entry = e.id AND s.payload <> ''))`},
	{"entry {id}: lives without a document (place {n})", `SELECT id, position FROM entry WHERE deleted = 0 AND doc IS NULL`},
	{"key of entry {id}: the entry is missing or deleted ({n})", `SELECT k.entry, coalesce(e.deleted, 0) FROM entry_key k
		LEFT JOIN entry e ON e.id = k.entry WHERE e.id IS NULL OR e.deleted <> 0`},
	{"reference of entry {id}: its target is missing or deleted ({n})", `SELECT r.from_entry, coalesce(e.deleted, 0)
		FROM reference r LEFT JOIN entry e ON e.id = r.target WHERE r.target IS NOT NULL AND (e.id IS NULL OR e.deleted <> 0)`},
	{"reference of entry {id}: unresolved, though its key is known ({n})", `SELECT r.from_entry, 0::bigint FROM reference r
		JOIN entry_key k ON k.source = r.source AND k.key = r.key WHERE r.target IS NULL`},
	{"reference of entry {id}: the entry is missing ({n})", `SELECT r.from_entry, 0::bigint FROM reference r
		WHERE NOT EXISTS (SELECT FROM entry e WHERE e.id = r.from_entry)`},
	{"stream {id}: its cursor {n} is past the head, or not in order", `SELECT s.id, s.at FROM stream s, head h
		WHERE s.at > h.position OR s.signal > h.position OR s.base > s.at`},
	{"stream {id}: its party is missing or removed ({n})", `SELECT s.id, coalesce(p.removed, 0) FROM stream s
		LEFT JOIN party p ON p.id = s.party WHERE p.id IS NULL OR p.removed <> 0`},
	{"stream {id}: paused by the transmitter without a probe ({n})", `SELECT s.id, s.version FROM stream s
		WHERE s.status = 'paused' AND s.set_by = 'transmitter'
			AND NOT EXISTS (SELECT FROM delivery d WHERE d.stream = s.id AND d.entry IS NULL AND d.remake)`},
	{"delivery {id}: its stream is missing or another party's (place {n})", `SELECT d.id, d.position FROM delivery d
		LEFT JOIN stream s ON s.id = d.stream WHERE s.id IS NULL OR s.party <> d.party OR d.ord >= s.next_order`},
	{"entry {id}: {n} deliveries of one kind wait, or were sent, on one stream", `SELECT entry, count(*) FROM delivery
		WHERE entry IS NOT NULL AND signal = 0 AND NOT void GROUP BY stream, entry, sent HAVING count(*) > 1`},
	{"stream {id}: {n} digests are not settled", `SELECT stream, count(*) FROM delivery
		WHERE entry IS NULL AND type = 'urn:tidings:event:digest' GROUP BY stream HAVING count(*) > 1`},
	{"delivery {id}: its grant ended or is missing (place {n})", `SELECT d.id, d.position FROM delivery d
		JOIN party p ON p.id = d.party AND NOT p.agreement AND p.generation = d.generation
		LEFT JOIN grants g ON g.party = d.party AND g.entry = d.entry
		WHERE d.entry IS NOT NULL AND NOT d.void AND (d.kind <> 'removed' OR d.signal <> 0) AND (g.id IS NULL OR g.ended <> 0)`},
	{"stream {id}: it is missing, or leaves out too many subjects ({n})", `SELECT x.stream, count(*) FROM exclusion x
		LEFT JOIN stream s ON s.id = x.stream GROUP BY x.stream, s.id HAVING s.id IS NULL OR count(*) > ` + strconv.Itoa(hub.MaxExclusions)},
	{"entry {id}: missing or deleted ({n}), though it has identifiers", `SELECT i.entry, coalesce(e.deleted, 0) FROM identifier i
		LEFT JOIN entry e ON e.id = i.entry WHERE e.id IS NULL OR e.deleted <> 0`},
	{"entry {id}: missing, though it is off a stream ({n})", `SELECT x.entry, 0::bigint FROM exclusion x
		WHERE NOT EXISTS (SELECT FROM entry e WHERE e.id = x.entry)`},
	{"grant {id}: its opt state is none ({n})", `SELECT id, position FROM grants WHERE opt NOT IN ('', 'opt-out-initiated', 'opt-out')`},
	{"delivery {id}: its subject is off the stream (place {n})", `SELECT d.id, d.position FROM exclusion x
		JOIN delivery d ON d.stream = x.stream AND d.entry = x.entry WHERE NOT x.back AND NOT d.void`},
	{"delivery {id}: its signal {n} is missing", `SELECT d.id, d.signal FROM delivery d
		WHERE d.signal <> 0 AND NOT EXISTS (SELECT FROM signal s WHERE s.position = d.signal)`},
	{"token {n} of delivery {id}: the delivery is missing or was not sent", `SELECT t.delivery, t.n FROM set_token t
		LEFT JOIN delivery d ON d.id = t.delivery WHERE d.id IS NULL OR NOT d.sent`},
	{"token {n} of delivery {id}: settled or void, but its bytes are left, or neither, without bytes", `SELECT t.delivery, t.n
		FROM set_token t JOIN delivery d ON d.id = t.delivery WHERE (t.settled OR d.void) <> (t.compact IS NULL)`},
	{"delivery {id}: sent, but has no token (place {n})", `SELECT d.id, d.position FROM delivery d
		WHERE d.sent AND NOT EXISTS (SELECT FROM set_token t WHERE t.delivery = d.id)`},
	{"dead letter {id}: its stream is missing or another party's ({n})", `SELECT l.id, l.time FROM dead_letter l
		LEFT JOIN stream s ON s.id = l.stream WHERE s.id IS NULL OR s.party <> l.party`},
	{"stream {id}: {n} dead letters, more than it may have", `SELECT stream, count(*) FROM dead_letter
		GROUP BY stream HAVING count(*) > ` + strconv.Itoa(hub.MaxLetters)},
	{"dead letter {id}: still quotes a receiver about an entry that is gone ({n})", `SELECT l.id, l.time FROM dead_letter l
		LEFT JOIN entry e ON e.id = l.entry WHERE l.entry IS NOT NULL AND l.description IS NOT NULL AND (e.id IS NULL OR e.deleted <> 0)`},
	{"party {id}: signal {n} is missing", `SELECT sp.party, sp.position FROM signal_party sp
		WHERE NOT EXISTS (SELECT FROM signal s WHERE s.position = sp.position)`},
	{"credential {id}: valid, though its party is missing or removed ({n})", `SELECT t.id, coalesce(p.removed, 0) FROM token t
		LEFT JOIN party p ON p.id = t.party WHERE t.party IS NOT NULL AND t.revoked = 0 AND (p.id IS NULL OR p.removed <> 0)`},
}

// perFinding bounds what one finding says; a broken table would fill the report otherwise.
const perFinding = 20

// Check verifies the whole database in one snapshot.
func (s *Store) Check(ctx context.Context) (problems []string, err error) {
	err = s.snapshot(ctx, func(b *pgx.Batch) {
		// The one reader of whole tables.
		for _, way := range wholeTable {
			b.Queue(`SET LOCAL ` + way + ` = on`)
		}
		b.Queue(`SET LOCAL plan_cache_mode = force_custom_plan`)
		for _, f := range findings {
			n := 0
			b.Queue(f.query).Query(into(func(r *row) {
				id, number := r.id(), r.int()
				if n++; n <= perFinding {
					problems = append(problems, f.say(id, number))
				}
			}))
		}
		var head hub.Head
		b.Queue(`SELECT ` + headColumns + ` FROM head`).Query(into(func(r *row) { head = readHead(r) }))
		b.Queue(`SELECT id, marks FROM entry`).Query(into(func(r *row) {
			if id := r.id(); !sound(r.next(), head.Position) {
				problems = append(problems, fmt.Sprintf("entry %v: its marks are broken or past the head", id))
			}
		}))
		b.Queue(`SELECT id, marks FROM grants`).Query(into(func(r *row) {
			if id := r.id(); !sound(r.next(), head.Position) {
				problems = append(problems, fmt.Sprintf("grant %v: its marks are broken or past the head", id))
			}
		}))
		b.Queue(`SELECT e.id, e.doc FROM entry e WHERE e.doc IS NOT NULL`).Query(into(func(r *row) {
			id := r.id()
			if r.attributes(); r.err != nil {
				r.err = nil
				problems = append(problems, fmt.Sprintf("entry %v: its document cannot be read", id))
			}
		}))
		b.Queue(`SELECT id, doc FROM echo`).Query(into(func(r *row) {
			var e hub.Echo
			id := r.id()
			if r.json(&e); r.err != nil || e.ID != id || len(e.Entries) == 0 {
				r.err = nil
				problems = append(problems, fmt.Sprintf("echo %v: cannot be read or names no entry", id))
			}
		}))
	})
	slices.Sort(problems)
	return problems, fail("check", err)
}

func sound(m hub.Marks, head int64) bool { return m.Valid() && len(m.Since(head)) == 0 }
