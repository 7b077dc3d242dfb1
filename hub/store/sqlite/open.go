package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"tidings/hub"
)

// readers bounds the connections that read at the same time; a further reader waits.
const readers = 8

// ErrForeign is a file that is not a store of this program.
var ErrForeign = errors.New("not a store of this program")

// Store is a store in one SQLite file. It is safe for concurrent use, and several processes may have the file open.
type Store struct {
	writers, reading *sql.DB
	writer           chan *conn // holds one: whoever takes it writes
	pool             chan *conn // idle readers; nil stands for one that was not opened yet
	policy           atomic.Pointer[policyText]
	watchers         watchers
	yielding         bool
	patience         time.Duration // with another process's write
	closing          sync.Once
	closed           error
}

var _ hub.Store = (*Store)(nil)

// Open opens the store at path, making the file (mode 0600) when there is none, and brings its tables up to date. A
// folder that cannot be written, a file that is no store (ErrForeign) and a store of a newer version (hub.ErrNewer)
// are errors.
func Open(ctx context.Context, path string) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := writable(path); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{writer: make(chan *conn, 1), pool: make(chan *conn, readers), patience: 10 * time.Second}
	if s.writers, err = sql.Open(driverName, dsn(path, true)); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if s.reading, err = sql.Open(driverName, dsn(path, false)); err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), s.writers.Close())
	}
	w, err := connect(ctx, s.writers)
	if err == nil {
		s.writer <- w
		for range readers {
			s.pool <- nil
		}
		if err = w.exec("PRAGMA busy_timeout = 0"); err == nil { // from here on begin waits
			err = s.migrate(ctx)
		}
	}
	if err != nil {
		if isForeign(err) {
			err = ErrForeign
		}
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), s.writers.Close(), s.reading.Close())
	}
	return s, nil
}

// writable makes the file if there is none, with a mode that keeps others out: the database gives its mode on to the
// files beside it. Those are made in its folder, so a folder that refuses new files is refused here and not by an
// "unable to open database file" at the first commit.
func writable(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	probe := filepath.Join(filepath.Dir(path), ".tidings-"+rand.Text())
	f, err = os.OpenFile(probe, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(probe))
}

// Close waits for the write under way and closes the file. No other method may be called afterwards.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Store) close() error {
	var errs []error
	closing := []*conn{<-s.writer}
	for range readers {
		closing = append(closing, <-s.pool)
	}
	for _, c := range closing {
		if c != nil {
			errs = append(errs, c.close())
		}
	}
	if err := errors.Join(append(errs, s.reading.Close(), s.writers.Close())...); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Yielding makes the store rest after each write as long as the write held the lock, and returns it. A program that
// writes in bulk beside another (import beside serve) asks for that before its first write: SQLite has no queue of
// writers, and one that begins again at once wins nearly every time.
func (s *Store) Yielding() *Store {
	s.yielding = true
	return s
}

// write runs f in the one write transaction. An error of f, or a panic, takes back all that it did.
func (s *Store) write(ctx context.Context, verb string, f func(c *conn) error) error {
	var c *conn
	select {
	case c = <-s.writer:
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", verb, ctx.Err())
	}
	defer func() { s.writer <- c }()
	if err := ctx.Err(); err != nil { // the last moment to give up: what has begun is short and ends
		return fmt.Errorf("%s: %w", verb, err)
	}
	if err := s.begin(ctx, c); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	began, done := time.Now(), false
	defer func() {
		if !done {
			c.exec("ROLLBACK") // best effort: the connection refuses its next BEGIN if this failed
		}
	}()
	if err := f(c); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	if err := c.exec("COMMIT"); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	done = true
	if s.yielding {
		rest(ctx, time.Since(began))
	}
	return nil
}

// begin takes the lock that all processes share; hub.ErrBusy when another kept it all the time. SQLite has no queue, and
// its own way of waiting looks again after ever longer pauses (up to 100 ms), so that a writer without pauses is hardly
// ever met between two of its transactions. Looking every millisecond meets it.
func (s *Store) begin(ctx context.Context, c *conn) error {
	for deadline := time.Now().Add(s.patience); ; {
		err := c.exec("BEGIN IMMEDIATE")
		if err == nil || !isBusy(err) {
			return err
		}
		if time.Now().After(deadline) {
			return hub.ErrBusy
		}
		rest(ctx, time.Millisecond)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// read runs f on one snapshot.
func (s *Store) read(ctx context.Context, verb string, f func(c *conn) error) (err error) {
	c, err := s.reader(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	defer func() { s.pool <- c }()
	if err := c.exec("BEGIN"); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	defer func() {
		if end := c.exec("ROLLBACK"); end != nil && err == nil {
			err = fmt.Errorf("%s: %w", verb, end)
		}
	}()
	if err := f(c); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}

func (s *Store) reader(ctx context.Context) (*conn, error) {
	var c *conn
	select {
	case c = <-s.pool:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	err := ctx.Err()
	if c == nil && err == nil {
		c, err = connect(ctx, s.reading)
	}
	if err != nil {
		s.pool <- c
		return nil, err
	}
	return c, nil
}
