package storetest

import (
	"context"
	"errors"

	"tidings/hub"
)

// ErrInjected is what a call of a faulty store fails with: a lost connection, a full disk. The caller cannot know
// whether the call took effect.
var ErrInjected = errors.New("injected fault")

// Fault is what becomes of one call.
type Fault uint8

const (
	// Pass lets the call through.
	Pass Fault = iota
	// Before fails the call with ErrInjected; nothing took effect.
	Before
	// After lets the call take effect and fails it with ErrInjected: its answer is lost.
	After
	// Busy fails the call with hub.ErrBusy; nothing took effect.
	Busy
)

// Plan says what becomes of the next call of a verb ("Commit"). It is asked by every goroutine that calls the store.
type Plan func(verb string) Fault

// Faulty is a store whose calls fail as planned. Watch and Close never fail.
func Faulty(store hub.Store, plan Plan) hub.Store { return &faulty{store, plan} }

type faulty struct {
	hub.Store
	plan Plan
}

func through[T any](f *faulty, verb string, call func() (T, error)) (answer T, err error) {
	switch f.plan(verb) {
	case Before:
		return answer, ErrInjected
	case After:
		if _, err = call(); err == nil {
			err = ErrInjected
		}
		return answer, err
	case Busy:
		return answer, hub.ErrBusy
	}
	return call()
}

func (f *faulty) failing(verb string, call func() error) error {
	_, err := through(f, verb, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

func (f *faulty) Commit(ctx context.Context, b hub.Batch) (hub.Receipt, error) {
	return through(f, "Commit", func() (hub.Receipt, error) { return f.Store.Commit(ctx, b) })
}

func (f *faulty) Head(ctx context.Context) (hub.Head, error) {
	return through(f, "Head", func() (hub.Head, error) { return f.Store.Head(ctx) })
}

func (f *faulty) Changes(ctx context.Context, after int64, limit int) ([]hub.Change, error) {
	return through(f, "Changes", func() ([]hub.Change, error) { return f.Store.Changes(ctx, after, limit) })
}

func (f *faulty) Trim(ctx context.Context, upTo int64, limit int) (bool, error) {
	return through(f, "Trim", func() (bool, error) { return f.Store.Trim(ctx, upTo, limit) })
}

func (f *faulty) Entries(ctx context.Context, source string, keys []string) ([]*hub.Entry, error) {
	return through(f, "Entries", func() ([]*hub.Entry, error) { return f.Store.Entries(ctx, source, keys) })
}

func (f *faulty) Entry(ctx context.Context, id hub.ID) (*hub.Entry, error) {
	return through(f, "Entry", func() (*hub.Entry, error) { return f.Store.Entry(ctx, id) })
}

func (f *faulty) ByUserName(ctx context.Context, folded string) (*hub.Entry, error) {
	return through(f, "ByUserName", func() (*hub.Entry, error) { return f.Store.ByUserName(ctx, folded) })
}

func (f *faulty) Feed(ctx context.Context, q hub.FeedQuery) (*hub.FeedPage, error) {
	return through(f, "Feed", func() (*hub.FeedPage, error) { return f.Store.Feed(ctx, q) })
}

func (f *faulty) Told(ctx context.Context, party hub.ID, entries []hub.ID) (*hub.FeedPage, error) {
	return through(f, "Told", func() (*hub.FeedPage, error) { return f.Store.Told(ctx, party, entries) })
}

func (f *faulty) Expired(ctx context.Context, now int64, limit int) ([]hub.Grant, error) {
	return through(f, "Expired", func() ([]hub.Grant, error) { return f.Store.Expired(ctx, now, limit) })
}

func (f *faulty) Echoes(ctx context.Context, limit int) ([]hub.ID, error) {
	return through(f, "Echoes", func() ([]hub.ID, error) { return f.Store.Echoes(ctx, limit) })
}

func (f *faulty) CreateStream(ctx context.Context, s hub.Stream, limit int) (*hub.Stream, error) {
	return through(f, "CreateStream", func() (*hub.Stream, error) { return f.Store.CreateStream(ctx, s, limit) })
}

func (f *faulty) SetStream(ctx context.Context, s hub.Stream, own []hub.Delivery) (written *hub.Stream, dropped int, err error) {
	written, err = through(f, "SetStream", func() (answer *hub.Stream, err error) {
		answer, dropped, err = f.Store.SetStream(ctx, s, own)
		return answer, err
	})
	return written, dropped, err
}

func (f *faulty) Backlogs(ctx context.Context, id hub.ID) ([]hub.Backlog, error) {
	return through(f, "Backlogs", func() ([]hub.Backlog, error) { return f.Store.Backlogs(ctx, id) })
}

func (f *faulty) DeleteStream(ctx context.Context, party, id hub.ID) error {
	return f.failing("DeleteStream", func() error { return f.Store.DeleteStream(ctx, party, id) })
}

func (f *faulty) Choose(ctx context.Context, party, stream hub.ID, named hub.Naming, now int64, choose func(hub.Choosing) (hub.Chosen, error)) error {
	return f.failing("Choose", func() error { return f.Store.Choose(ctx, party, stream, named, now, choose) })
}

func (f *faulty) Rewind(ctx context.Context, party, stream hub.ID, to hub.Place) (*hub.Stream, error) {
	return through(f, "Rewind", func() (*hub.Stream, error) { return f.Store.Rewind(ctx, party, stream, to) })
}

func (f *faulty) Issue(ctx context.Context, stream hub.ID, now int64, window int, decide func(hub.Issuing) hub.Issued) (bool, error) {
	return through(f, "Issue", func() (bool, error) { return f.Store.Issue(ctx, stream, now, window, decide) })
}

func (f *faulty) Sendable(ctx context.Context, stream hub.ID, now int64, limit int) ([]hub.Sending, error) {
	return through(f, "Sendable", func() ([]hub.Sending, error) { return f.Store.Sendable(ctx, stream, now, limit) })
}

func (f *faulty) Begin(ctx context.Context, now int64, attempts []hub.Attempt) ([]bool, error) {
	return through(f, "Begin", func() ([]bool, error) { return f.Store.Begin(ctx, now, attempts) })
}

func (f *faulty) Settle(ctx context.Context, stream hub.ID, now int64, outcomes []hub.Outcome) ([]hub.DeadLetter, error) {
	return through(f, "Settle", func() ([]hub.DeadLetter, error) { return f.Store.Settle(ctx, stream, now, outcomes) })
}

func (f *faulty) DeadLetters(ctx context.Context, q hub.LetterQuery) ([]hub.DeadLetter, error) {
	return through(f, "DeadLetters", func() ([]hub.DeadLetter, error) { return f.Store.DeadLetters(ctx, q) })
}

func (f *faulty) Revive(ctx context.Context, stream, letter hub.ID, now int64, window, limit int) (hub.Revived, error) {
	return through(f, "Revive", func() (hub.Revived, error) { return f.Store.Revive(ctx, stream, letter, now, window, limit) })
}

func (f *faulty) DropLetters(ctx context.Context, q hub.LetterQuery) (int, error) {
	return through(f, "DropLetters", func() (int, error) { return f.Store.DropLetters(ctx, q) })
}

type leased struct {
	streams []hub.ID
	next    int64
}

func (f *faulty) Lease(ctx context.Context, node string, now, until int64, method string) ([]hub.ID, int64, error) {
	l, err := through(f, "Lease", func() (l leased, err error) {
		l.streams, l.next, err = f.Store.Lease(ctx, node, now, until, method)
		return l, err
	})
	return l.streams, l.next, err
}

func (f *faulty) EraseSignals(ctx context.Context, now int64, limit int) (int, error) {
	return through(f, "EraseSignals", func() (int, error) { return f.Store.EraseSignals(ctx, now, limit) })
}

func (f *faulty) AddToken(ctx context.Context, t hub.Token) error {
	return f.failing("AddToken", func() error { return f.Store.AddToken(ctx, t) })
}

func (f *faulty) UseTokens(ctx context.Context, last map[hub.ID]int64) error {
	return f.failing("UseTokens", func() error { return f.Store.UseTokens(ctx, last) })
}

func (f *faulty) SetKeys(ctx context.Context, party hub.ID, keys []hub.Token, now int64) error {
	return f.failing("SetKeys", func() error { return f.Store.SetKeys(ctx, party, keys, now) })
}

func (f *faulty) Keys(ctx context.Context, party hub.ID) ([]hub.Token, error) {
	return through(f, "Keys", func() ([]hub.Token, error) { return f.Store.Keys(ctx, party) })
}

func (f *faulty) Token(ctx context.Context, id hub.ID) (*hub.Token, error) {
	return through(f, "Token", func() (*hub.Token, error) { return f.Store.Token(ctx, id) })
}

func (f *faulty) TokenByHash(ctx context.Context, hash [32]byte) (*hub.Token, error) {
	return through(f, "TokenByHash", func() (*hub.Token, error) { return f.Store.TokenByHash(ctx, hash) })
}

func (f *faulty) Keep(ctx context.Context, r hub.Record, limit int) error {
	return f.failing("Keep", func() error { return f.Store.Keep(ctx, r, limit) })
}

func (f *faulty) Take(ctx context.Context, key string, now int64) (*hub.Record, error) {
	return through(f, "Take", func() (*hub.Record, error) { return f.Store.Take(ctx, key, now) })
}

func (f *faulty) Swap(ctx context.Context, key string, old, value []byte, expires int64) error {
	return f.failing("Swap", func() error { return f.Store.Swap(ctx, key, old, value, expires) })
}

func (f *faulty) Secret(ctx context.Context, name string) (hub.Secret, error) {
	return through(f, "Secret", func() (hub.Secret, error) { return f.Store.Secret(ctx, name) })
}

func (f *faulty) SwapKeyring(ctx context.Context, s hub.Secret, dropped []string) (hub.Secret, error) {
	return through(f, "SwapKeyring", func() (hub.Secret, error) { return f.Store.SwapKeyring(ctx, s, dropped) })
}

func (f *faulty) Signed(ctx context.Context) (map[string]int, error) {
	return through(f, "Signed", func() (map[string]int, error) { return f.Store.Signed(ctx) })
}

func (f *faulty) Recall(ctx context.Context, kid string, now int64) (int, error) {
	return through(f, "Recall", func() (int, error) { return f.Store.Recall(ctx, kid, now) })
}
