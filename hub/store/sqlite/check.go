package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"tidings/hub"
)

// rule is one thing that must hold: query finds what breaks it, as one column that names it.
type rule struct{ broken, query string }

// checked bounds what is reported per rule: one fault may break a million rows alike.
const checked = 20

// Check implements hub.State. It reads one snapshot, all of it.
func (s *Store) Check(ctx context.Context) (problems []string, err error) {
	err = s.read(ctx, "check", func(c *conn) error {
		if err := c.each(func(r row) error {
			var text string
			err := r.Scan(&text)
			if text != "ok" {
				problems = append(problems, "file: "+text)
			}
			return err
		}, "PRAGMA integrity_check"); err != nil {
			return err
		}
		for _, rule := range rules {
			found, err := c.broken(rule)
			if err != nil {
				return fmt.Errorf("%s: %w", rule.broken, err)
			}
			problems = append(problems, found...)
		}
		for _, look := range []func(*conn) ([]string, error){checkMarks, checkEchoes} {
			found, err := look(c)
			if err != nil {
				return err
			}
			problems = append(problems, found...)
		}
		return nil
	})
	return problems, err
}

func (c *conn) broken(r rule) (problems []string, err error) {
	err = c.each(func(row row) error {
		var v any
		if err := row.Scan(&v); err != nil {
			return err
		}
		if b, ok := v.([]byte); ok && len(b) == len(hub.ID{}) {
			v = hub.ID(b)
		}
		problems = append(problems, fmt.Sprintf("%s: %v", r.broken, v))
		return nil
	}, r.query+" LIMIT ?", checked)
	return problems, err
}

// rules are the invariants that a query can tell. Oldest is the first line that must be there.
var rules = []rule{
	{"party with more valid tokens or keys than it may have", "SELECT party FROM token WHERE party IS NOT NULL AND revoked = 0 AND expires = 0 " +
		"GROUP BY party, jwk IS NULL HAVING count(*) > iif(jwk IS NULL, " + strconv.Itoa(hub.MaxPartyTokens) + ", " + strconv.Itoa(hub.MaxPartyKeys) + ")"},
	{"lines are not dense up to the head, which is at", "SELECT h.position FROM head h WHERE h.position - max(h.oldest, 1) + 1 <> " +
		"(SELECT count(*) FROM change c WHERE c.position BETWEEN max(h.oldest, 1) AND h.position) AND h.position > 0"},
	{"line after the head", "SELECT position FROM change WHERE position > (SELECT position FROM head)"},
	{"tag of the head is not its line's", "SELECT h.position FROM head h JOIN change c ON c.position = h.position WHERE c.tag <> h.tag"},
	{"oldest is after the head", "SELECT oldest FROM head WHERE oldest > position"},

	{"entry without a line at its position", "SELECT e.id FROM entry e WHERE NOT EXISTS (SELECT 1 FROM change c WHERE c.position = e.position) " +
		"AND (e.position >= (SELECT oldest FROM head) OR e.position <= 0)"},
	{"entry at a line about another", "SELECT e.id FROM entry e JOIN change c ON c.position = e.position WHERE c.entry <> e.id"},
	{"deleted entry that is not erased", "SELECT e.id FROM entry e WHERE e.deleted <> 0 AND (e.doc IS NOT NULL OR e.marks IS NOT NULL OR " +
		"e.user_name IS NOT NULL OR e.active <> 0 OR EXISTS (SELECT 1 FROM reference r WHERE r.from_entry = e.id) OR " +
		"EXISTS (SELECT 1 FROM signal s WHERE s.entry = e.id))"},
	{"living entry without a document", "SELECT id FROM entry WHERE deleted = 0 AND doc IS NULL"},
	{"key of an entry that does not live", "SELECT k.entry FROM entry_key k LEFT JOIN entry e ON e.id = k.entry WHERE e.id IS NULL OR e.deleted <> 0"},
	{"key of another source than its entry", "SELECT e.id FROM entry_key k JOIN entry e ON e.id = k.entry WHERE e.source <> k.source"},
	{"reference from an entry that is not there", "SELECT r.from_entry FROM reference r LEFT JOIN entry e ON e.id = r.from_entry WHERE e.id IS NULL"},
	{"reference to an entry that does not live, from", "SELECT r.from_entry FROM reference r LEFT JOIN entry e ON e.id = r.target " +
		"WHERE r.target IS NOT NULL AND (e.id IS NULL OR e.deleted <> 0)"},
	{"unresolved reference whose key is known, from", "SELECT r.from_entry FROM reference r JOIN entry_key k ON k.source = r.source AND k.key = r.key WHERE r.target IS NULL"},

	{"grant after the head", "SELECT id FROM grants WHERE position > (SELECT position FROM head) OR position <= 0"},
	{"grant without a line at its position", "SELECT g.id FROM grants g WHERE NOT EXISTS (SELECT 1 FROM change c WHERE c.position = g.position) " +
		"AND g.position >= (SELECT oldest FROM head)"},
	{"grant at a line about another entry", "SELECT g.id FROM grants g JOIN change c ON c.position = g.position WHERE c.entry IS NOT g.entry"},
	{"grant of an entry that is not there", "SELECT g.id FROM grants g LEFT JOIN entry e ON e.id = g.entry WHERE e.id IS NULL"},
	{"grant of a party that is not there", "SELECT g.id FROM grants g LEFT JOIN party p ON p.id = g.party WHERE p.id IS NULL"},
	{"grant that runs on a deleted entry", "SELECT g.id FROM grants g JOIN entry e ON e.id = g.entry WHERE e.deleted <> 0 AND g.ended = 0 " +
		"AND NOT EXISTS (SELECT 1 FROM echo)"},
	{"grant whose positions disagree", "SELECT id FROM grants WHERE given <= 0 OR given > position OR regraded > position OR ended > position OR gone <> 0 AND ended = 0"},
	{"grant whose opt state is none", "SELECT id FROM grants WHERE opt NOT IN ('', 'opt-out-initiated', 'opt-out')"},
	{"credential of a party that is not there", "SELECT t.id FROM token t LEFT JOIN party p ON p.id = t.party WHERE t.party IS NOT NULL AND p.id IS NULL"},
	{"valid credential of a removed party", "SELECT t.id FROM token t JOIN party p ON p.id = t.party WHERE p.removed <> 0 AND t.revoked = 0"},

	{"signal without its line", "SELECT s.position FROM signal s WHERE s.position > (SELECT position FROM head) " +
		"OR NOT EXISTS (SELECT 1 FROM change c WHERE c.position = s.position AND c.kind = 'signalled') AND s.position >= (SELECT oldest FROM head)"},
	{"row of a signal that is not there", "SELECT x.position FROM signal_party x LEFT JOIN signal s ON s.position = x.position WHERE s.position IS NULL"},

	{"stream of a party that does not live", "SELECT s.id FROM stream s LEFT JOIN party p ON p.id = s.party WHERE p.id IS NULL OR p.removed <> 0"},
	{"stream whose place is after the head", "SELECT s.id FROM stream s JOIN head h WHERE max(s.at, s.base, s.signal) > h.position OR s.base > s.at"},
	{"stream whose order was given twice", "SELECT s.id FROM stream s WHERE EXISTS (SELECT 1 FROM delivery d WHERE d.stream = s.id AND d.ord >= s.next_order)"},
	{"unsettled delivery of a disabled stream", "SELECT d.id FROM delivery d JOIN stream s ON s.id = d.stream WHERE s.status = 'disabled' AND d.entry IS NOT NULL"},
	{"stream paused by the transmitter without a probe", "SELECT s.id FROM stream s WHERE s.status = 'paused' AND s.set_by = 'transmitter' AND NOT EXISTS " +
		"(SELECT 1 FROM delivery d WHERE d.stream = s.id AND d.entry IS NULL AND d.remake <> 0)"},
	{"identifier of an entry that does not live", "SELECT i.entry FROM identifier i LEFT JOIN entry e ON e.id = i.entry WHERE e.id IS NULL OR e.deleted <> 0"},
	{"subject off a stream that is not there", "SELECT x.stream FROM exclusion x LEFT JOIN stream s ON s.id = x.stream WHERE s.id IS NULL"},
	{"entry off a stream that is not there", "SELECT x.entry FROM exclusion x LEFT JOIN entry e ON e.id = x.entry WHERE e.id IS NULL"},
	{"delivery about a subject that is off the stream", "SELECT d.id FROM exclusion x JOIN delivery d ON d.stream = x.stream AND d.entry = x.entry " +
		"WHERE x.back = 0 AND d.void = 0"},
	{"stream that leaves out too many", "SELECT stream FROM exclusion GROUP BY stream HAVING count(*) > " + strconv.Itoa(hub.MaxExclusions)},
	{"delivery without its stream", "SELECT d.id FROM delivery d LEFT JOIN stream s ON s.id = d.stream WHERE s.id IS NULL OR s.party <> d.party"},
	{"two waiting deliveries of an entry", "SELECT entry FROM delivery WHERE entry IS NOT NULL AND signal = 0 AND sent = 0 AND void = 0 AND kind <> 'removed' " +
		"GROUP BY stream, entry HAVING count(*) > 1"},
	{"two sent deliveries of an entry", "SELECT entry FROM delivery WHERE entry IS NOT NULL AND signal = 0 AND sent = 1 AND void = 0 AND kind <> 'removed' " +
		"GROUP BY stream, entry HAVING count(*) > 1"},
	{"two digests are not settled of stream", "SELECT stream FROM delivery WHERE entry IS NULL AND type = 'urn:tidings:event:digest' GROUP BY stream HAVING count(*) > 1"},
	{"delivery of a grant that ended", "SELECT d.id FROM delivery d JOIN party p ON p.id = d.party " +
		"LEFT JOIN grants g ON g.party = d.party AND g.entry = d.entry WHERE d.entry IS NOT NULL AND d.void = 0 AND d.kind <> 'removed' " +
		"AND p.agreement = 0 AND g.ended <> 0"},
	{"delivery about a deleted entry", "SELECT d.id FROM delivery d JOIN entry e ON e.id = d.entry WHERE e.deleted <> 0 AND d.void = 0 AND d.kind <> 'removed'"},
	{"dead letter without its stream", "SELECT l.id FROM dead_letter l LEFT JOIN stream s ON s.id = l.stream WHERE s.id IS NULL OR s.party <> l.party"},
	{"more dead letters than a stream may have", fmt.Sprintf("SELECT stream FROM dead_letter GROUP BY stream HAVING count(*) > %d", hub.MaxLetters)},
	{"dead letter that still quotes a receiver about an entry that is gone", "SELECT l.id FROM dead_letter l LEFT JOIN entry e ON e.id = l.entry " +
		"WHERE l.entry IS NOT NULL AND l.description IS NOT NULL AND (e.id IS NULL OR e.deleted <> 0)"},
	{"token without its delivery", "SELECT t.delivery FROM security_event_token t LEFT JOIN delivery d ON d.id = t.delivery WHERE d.id IS NULL"},
	{"settled or void token that was not erased, or the other way round, of", "SELECT t.delivery FROM security_event_token t JOIN delivery d ON d.id = t.delivery " +
		"WHERE (t.settled <> 0 OR d.void <> 0) <> (t.compact IS NULL)"},
	{"sent delivery without a token, or the other way round", "SELECT d.id FROM delivery d WHERE d.sent <> " +
		"EXISTS (SELECT 1 FROM security_event_token t WHERE t.delivery = d.id)"},
}

// checkMarks finds marks that are not whole or lie after the row they belong to.
func checkMarks(c *conn) (problems []string, err error) {
	for _, table := range []string{"entry", "grants"} {
		if err := c.each(func(r row) error {
			var owner hub.ID
			var position int64
			var marks []byte
			if err := r.Scan(id(&owner), &position, bytesOf(&marks)); err != nil {
				return err
			}
			m := hub.Marks(marks)
			if (!m.Valid() || len(m.Since(position)) > 0) && len(problems) < checked {
				problems = append(problems, fmt.Sprintf("marks of %s %s are broken or after it", table, owner))
			}
			return nil
		}, "SELECT id, position, marks FROM "+table+" WHERE marks IS NOT NULL"); err != nil {
			return nil, err
		}
	}
	return problems, nil
}

// checkEchoes finds echoes that cannot go on.
func checkEchoes(c *conn) (problems []string, err error) {
	err = c.each(func(r row) error {
		var echo hub.ID
		var text string
		var entries []byte
		if err := r.Scan(id(&echo), &text, bytesOf(&entries)); err != nil {
			return err
		}
		var line hub.Change
		if json.Unmarshal([]byte(text), &line) != nil || !line.Kind.IsAboutEntry() && line.Party.IsZero() || len(entries) == 0 || len(entries)%len(hub.ID{}) != 0 {
			problems = append(problems, fmt.Sprintf("echo cannot go on: %s", echo))
		}
		return nil
	}, "SELECT id, line, entries FROM echo")
	return problems, err
}
