package hub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// maxBatch bounds the reports of one transaction, so that the head is not held for long.
	maxBatch = 500
	// commitTime bounds one transaction of the leader, which works for others too and so outlives its own caller.
	commitTime = 30 * time.Second
	// maxRounds bounds how often a report is decided again because its entry changed meanwhile.
	maxRounds = 20
)

// errCutShort: whoever committed for all who wait broke off.
var errCutShort = errors.New("cut short")

// job is one report on its way to the door.
type job struct {
	report Report
	result Result
	rounds int
	// alone: it is decided in an item of its own, since an item that it shared was refused.
	alone bool
	err   error
	done  chan struct{}
}

type queue struct {
	mu   sync.Mutex
	jobs []*job
}

func (q *queue) put(jobs ...*job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs = append(q.jobs, jobs...)
}

func (q *queue) take(n int) []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = min(n, len(q.jobs))
	taken := q.jobs[:n:n]
	q.jobs = q.jobs[n:]
	return taken
}

// Ingest compares reports with the stored entries and commits what differs, in the order given. It answers after the
// commit. Callers that come while a transaction runs share the next one: whoever gets through the door first commits
// for all who wait. Each report has its own result; an error means that the call as a whole was cut short, and then the
// reports without a result may or may not have been taken: reporting again is harmless.
func (h *Hub) Ingest(ctx context.Context, reports ...Report) ([]Result, error) {
	jobs := make([]*job, len(reports))
	for i, r := range reports {
		if r.Txn == "" {
			r.Txn = newTxn()
		}
		r.keys = r.folded()
		jobs[i] = &job{report: r, done: make(chan struct{})}
	}
	h.queue.put(jobs...)
	results := make([]Result, len(jobs))
	for i, j := range jobs {
		if err := h.await(ctx, j); err != nil {
			return results, fmt.Errorf("ingest: %w", err)
		}
		results[i] = j.result
	}
	return results, nil
}

// await waits until the job is done, doing the work for everyone when the door is free.
func (h *Hub) await(ctx context.Context, j *job) error {
	for {
		select {
		case <-j.done:
			return j.err
		default:
		}
		select {
		case <-j.done:
			return j.err
		case <-ctx.Done():
			return ctx.Err()
		case h.door <- struct{}{}:
			h.lead(ctx)
		}
	}
}

// lead commits one batch of whatever is queued, and opens the door again. Its own caller's going away must not cut off the
// others; nor must a panic, which one bad report can bring and a server recovers: whatever happens, everybody is answered.
func (h *Hub) lead(ctx context.Context) {
	defer func() { <-h.door }()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	taken := h.queue.take(maxBatch)
	err := errCutShort
	defer func() {
		for _, j := range taken {
			select {
			case <-j.done:
			default:
				j.finish(Result{}, err)
			}
		}
	}()
	for jobs := taken; len(jobs) > 0; {
		again, failed := h.round(ctx, jobs)
		if failed != nil {
			err = failed
			return
		}
		jobs = again
	}
}

func (j *job) finish(r Result, err error) {
	j.result, j.err = r, err
	close(j.done)
}

// round decides the jobs against the entries as they stand, commits, and returns those that have to be decided again:
// their entry changed meanwhile, or the transaction was full before their turn.
func (h *Hub) round(ctx context.Context, jobs []*job) (again []*job, err error) {
	known, err := h.load(ctx, jobs)
	if err != nil {
		return nil, err
	}
	drafts := known.decide(jobs, h.now())
	batch := Batch{Now: h.now()}
	var pending []*draft
	for _, d := range drafts {
		if d.write == nil {
			d.finish(nil, 0)
			continue
		}
		h.sealSignals(d)
		batch.Items = append(batch.Items, d.item())
		pending = append(pending, d)
	}
	again = append(again, known.later...)
	if len(pending) == 0 {
		return again, nil
	}
	receipt, err := h.store.Commit(ctx, batch)
	if err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	for i, d := range pending {
		switch {
		case i >= receipt.Done:
			again = append(again, d.jobs...)
		case receipt.Errors[i] == nil:
			d.finish(receipt.Entries[i], batch.Items[i].first())
		default:
			again = append(again, d.refused(receipt.Errors[i])...)
		}
	}
	return again, nil
}

// first is the position of the item's first line, as the driver filled it in.
func (it Item) first() int64 {
	if len(it.Lines) == 0 {
		return 0
	}
	return it.Lines[0].Position
}

// refused sorts the jobs of a refused item: a conflict, and a collision that may be a race, are decided again against
// what stands there now; jobs that shared the item go on alone, so that one does not fail for another.
func (d *draft) refused(why error) (again []*job) {
	for _, j := range d.jobs {
		j.rounds++
		retry := errors.Is(why, ErrConflict) || errors.Is(why, ErrTaken) && (j.rounds == 1 || !j.alone && len(d.jobs) > 1)
		if retry && j.rounds < maxRounds {
			j.alone = j.alone || !errors.Is(why, ErrConflict)
			again = append(again, j)
			continue
		}
		j.finish(Result{Err: why}, nil)
	}
	return again
}
