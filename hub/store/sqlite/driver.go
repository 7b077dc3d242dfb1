package sqlite

import (
	"errors"
	"net/url"
	"strings"

	driver "modernc.org/sqlite"
	code "modernc.org/sqlite/lib"
)

// What depends on the choice of the database/sql driver stands in this file. The suite passes with modernc.org/sqlite and
// with github.com/ncruces/go-sqlite3; this one is the faster, and gives the files beside the database its mode, where
// the other lets everybody read the write-ahead log (TestOpenRefusals).

const driverName = "sqlite"

// applicationID marks the file as ours ("Tdng"), so that another program's database is not taken for an empty store.
const applicationID = 0x54646e67

// dsn names the file and how connections treat it.
//
// synchronous=FULL: in WAL mode NORMAL does not sync at commit, and a power loss would take back changes that a source
// was already told are kept; it would never send them again. (FULL costs one fsync per commit, and batches share it.)
func dsn(path string, writer bool) string {
	pragmas := []string{"busy_timeout(10000)", "journal_mode(wal)", "synchronous(full)", "temp_store(memory)", "cache_size(-8192)"}
	if writer {
		pragmas = append(pragmas, "secure_delete(1)", "cache_size(-65536)", "wal_autocheckpoint(4000)")
	} else {
		pragmas = append(pragmas, "query_only(1)")
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: path}
	return u.String() + "?_pragma=" + strings.Join(pragmas, "&_pragma=")
}

// isBusy: another process held the lock for longer than busy_timeout.
func isBusy(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && e.Code()&0xff == code.SQLITE_BUSY
}

// isUnique: a unique index refused a row.
func isUnique(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && (e.Code() == code.SQLITE_CONSTRAINT_UNIQUE || e.Code() == code.SQLITE_CONSTRAINT_PRIMARYKEY)
}

// isForeign: the file is no database.
func isForeign(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && e.Code()&0xff == code.SQLITE_NOTADB
}
