package hub

import (
	"context"
	"errors"
	"time"
)

// How long things are kept.
const (
	// TombstoneLife is how long it is remembered that something ended, and so how old a cursor may be.
	TombstoneLife = 30 * 24 * time.Hour
	// SignalLife is how long a signal waits for parties to settle it.
	SignalLife = 7 * 24 * time.Hour
)

const (
	sweepEvery = time.Second
	eraseEvery = 30 * time.Second
	trimEvery  = time.Hour
	noteEvery  = time.Minute
)

// Run does what nobody calls for: it goes on with wide lines, writes the tombstones of grants whose end has come, erases
// what signals no longer need, forgets what is older than tombstones live, lets next keys sign whose time has come, notes
// when credentials were used, and fans out hints. It returns when ctx ends.
// It is called once; any number of processes may run it on one store: every step is compared and swapped.
func (h *Hub) Run(ctx context.Context) error {
	watch := h.store.Watch(ctx)
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	erase := time.NewTicker(eraseEvery)
	defer erase.Stop()
	trim := time.NewTicker(trimEvery)
	defer trim.Stop()
	note := time.NewTicker(noteEvery)
	defer note.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			close(h.closing)
			return h.noteLast(ctx)
		case _, ok := <-watch:
			if !ok {
				watch = nil // the sweep's ticks go on without hints
				continue
			}
			h.hint()
			err = h.FinishEchoes(ctx)
		case <-sweep.C:
			err = errors.Join(h.FinishEchoes(ctx), h.Sweep(ctx), h.AdvanceKeys(ctx))
		case <-erase.C:
			_, err = h.store.EraseSignals(ctx, h.now(), MaxMoves)
		case <-trim.C:
			err = errors.Join(h.trim(ctx), h.ForgetKeys(ctx), h.expireLetters(ctx))
		case <-note.C:
			err = h.NoteUses(ctx)
		}
		if err != nil && ctx.Err() == nil {
			h.log.Error("upkeep failed; it is tried again", "error", err)
		}
	}
}

// FinishEchoes goes on with wide lines until none is left, one transaction at a time, so that other commits get in
// between.
func (h *Hub) FinishEchoes(ctx context.Context) error {
	for {
		echoes, err := h.store.Echoes(ctx, 1)
		if err != nil || len(echoes) == 0 {
			return err
		}
		if _, err := h.store.Commit(ctx, Batch{Now: h.now(), Items: []Item{{Echo: echoes[0]}}}); err != nil {
			return err
		}
	}
}

// Sweep writes the tombstones of grants whose end has come. They were dead for every check before; time changes nothing
// by itself, so readers learn of the end by this line.
func (h *Hub) Sweep(ctx context.Context) error {
	for {
		now := h.now()
		grants, err := h.store.Expired(ctx, now, 200)
		if err != nil || len(grants) == 0 {
			return err
		}
		items := make([]Item, len(grants))
		for i, g := range grants {
			items[i] = Item{
				Grant: &GrantWrite{Grant: g},
				Lines: []Change{{Kind: Expired, Entry: g.Entry, Party: g.Party, Actor: actorSweeper, Txn: newTxn(), Time: now}},
			}
		}
		// A conflict means that the grant moved or another node was faster: the next look decides.
		if _, err := h.store.Commit(ctx, Batch{Now: now, Items: items}); err != nil {
			return err
		}
	}
}

// trim forgets what is older than tombstones live.
func (h *Hub) trim(ctx context.Context) error {
	head, err := h.store.Head(ctx)
	if err != nil {
		return err
	}
	before := h.conf.Now().Add(-TombstoneLife).UnixMicro()
	upTo, err := h.lastBefore(ctx, head, before)
	if err != nil {
		return err
	}
	// Also when nothing new has aged: an earlier trimming may have been cut off.
	for more := true; more; {
		if more, err = h.store.Trim(ctx, upTo, MaxMoves); err != nil {
			return err
		}
	}
	return nil
}

// noteLast writes down what was not yet noted when the program stops, if that takes no time to speak of.
func (h *Hub) noteLast(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := h.NoteUses(ctx); err != nil {
		h.log.Warn("last uses of tokens are lost", "error", err)
	}
	return nil
}
