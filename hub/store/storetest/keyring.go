package storetest

import (
	"errors"
	"sync"

	"tidings/hub"
	"tidings/subscriptions"
)

// keyring is the keyring as it stands, made if there is none.
func (f *fixture) keyring() hub.Secret {
	f.Helper()
	s, err := f.store.InitSecret(f.ctx, hub.Secret{Name: hub.Keyring, Wrapped: []byte("first"), CreatedAt: f.clock()})
	f.must(err)
	return s
}

func (f *fixture) swapKeyring(dropped ...string) error {
	f.Helper()
	s := f.keyring()
	s.Wrapped = []byte(f.word())
	_, err := f.store.SwapKeyring(f.ctx, s, dropped)
	return err
}

// signed is an attempt whose tokens a key signed.
func (f *fixture) signed(s hub.Sending, kid string) hub.Attempt {
	a := f.attempt(s)
	for i := range a.Tokens {
		a.Tokens[i].KeyID = kid
	}
	return a
}

func (f *fixture) count(kid string) int {
	f.Helper()
	counts, err := f.store.Signed(f.ctx)
	f.must(err)
	return counts[kid]
}

func (f *fixture) recall(kid string) (left int) {
	f.Helper()
	left, err := f.store.Recall(f.ctx, kid, f.tick())
	f.must(err)
	return left
}

var keyringTests = map[string]func(f *fixture){
	"it is replaced by one at a time": func(f *fixture) {
		_, err := f.store.SwapKeyring(f.ctx, hub.Secret{Name: hub.Keyring, Wrapped: []byte("x")}, nil)
		f.wants(err, hub.ErrNotFound)
		_, err = f.store.Secret(f.ctx, hub.Keyring)
		f.wants(err, hub.ErrNotFound)
		first := f.keyring()
		if first.Version != 1 {
			f.Errorf("%+v", first)
		}
		stores := []hub.Store{f.store, f.open(), f.open()}
		var wg sync.WaitGroup
		var mu sync.Mutex
		var won []hub.Secret
		for i := range 12 {
			wg.Go(func() {
				next := first
				next.Wrapped = []byte{byte(i)}
				kept, err := stores[i%len(stores)].SwapKeyring(f.ctx, next, []string{"no token is of this"})
				if err != nil && !errors.Is(err, hub.ErrConflict) {
					f.Error(err)
				}
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					won = append(won, kept)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 || won[0].Version != 2 {
			f.Fatalf("%d replaced the same keyring: %+v", len(won), won)
		}
		stands, err := f.store.Secret(f.ctx, hub.Keyring)
		f.must(err)
		f.equal("keyring", stands, won[0])
		all, err := f.store.Secrets(f.ctx)
		f.must(err)
		f.equal("secrets", all, won)
	},

	"an attempt begins under the keyring it knows": func(f *fixture) {
		_, _, _, s := f.changed()
		f.keyring()
		made := f.signed(f.one(s), "k1")
		made.Keyring = 1
		f.must(f.swapKeyring())
		if f.begin(made)[0] {
			f.Fatal("signed under another keyring, and begun")
		}
		sending := f.one(s)
		if sending.Keyring != 2 || len(sending.Delivery.Tokens) != 0 {
			f.Fatalf("%d %+v", sending.Keyring, sending.Delivery)
		}
		made.Keyring = 2
		if !f.begin(made)[0] {
			f.Fatal("did not begin")
		}
		f.settle(s, subscriptions.Retry, 0, made.Tokens[0].JTI)
		kept := f.attempt(f.one(s))
		kept.Keyring = 2
		f.must(f.swapKeyring())
		if f.begin(kept)[0] {
			f.Error("read under another keyring, and begun")
		}
	},

	"a key stays while its tokens are owed": func(f *fixture) { // MD-24
		_, e, _, s := f.changed()
		f.keyring()
		a := f.signed(f.one(s), "k1")
		a.Keyring = 1
		f.begin(a)
		f.wants(f.swapKeyring("other", "k1"), hub.ErrInUse)
		f.equal("keyring", f.keyring().Version, 1)
		if f.count("k1") != 1 || f.count("other") != 0 {
			f.Errorf("%d tokens of k1, %d of another", f.count("k1"), f.count("other"))
		}
		f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
		f.must(f.swapKeyring("k1"))
		// Nobody can tell any more which key signed what was kept before ids were.
		f.update(e, "title")
		f.issue(s)
		old := f.attempt(f.one(s))
		old.Keyring = 2
		f.begin(old)
		f.wants(f.swapKeyring("k1"), hub.ErrInUse)
	},

	"a key is dropped beside attempts": func(f *fixture) { // either the token is counted, or its attempt does not begin
		_, e, _, s := f.changed()
		f.keyring()
		other := f.open()
		for range 30 {
			a := f.signed(f.one(s), "k1")
			a.Keyring = f.keyring().Version
			var begun []bool
			var dropped error
			var wg sync.WaitGroup
			wg.Go(func() { begun, _ = f.store.Begin(f.ctx, f.tick(), []hub.Attempt{a}) })
			wg.Go(func() {
				next := hub.Secret{Name: hub.Keyring, Wrapped: []byte("without k1"), Version: a.Keyring}
				_, dropped = other.SwapKeyring(f.ctx, next, []string{"k1"})
			})
			wg.Wait()
			if len(begun) != 1 || begun[0] != errors.Is(dropped, hub.ErrInUse) {
				f.Fatalf("begun %v, dropped: %v", begun, dropped)
			}
			if begun[0] {
				f.settle(s, subscriptions.Done, 0, a.Tokens[0].JTI)
				f.update(e, "title")
				f.issue(s)
			}
		}
	},

	"what a key signed is recalled": func(f *fixture) {
		_, e, _, s := f.changed()
		f.keyring()
		a := f.signed(f.one(s), "k1")
		a.Keyring = 1
		f.begin(a)
		if left := f.recall("k1"); left != 1 {
			f.Fatalf("%d left of an attempt under way", left)
		}
		f.wants(f.swapKeyring("k1"), hub.ErrInUse)
		f.update(e, "nickName") // waits beside it
		f.issue(s)
		f.settle(s, subscriptions.Retry, 0, a.Tokens[0].JTI)
		if n := f.count("k1"); n != 0 {
			f.Fatalf("%d tokens left when the attempt had ended", n)
		}
		again := f.one(s)
		if again.Delivery.Sent || len(again.Delivery.Names) != 2 {
			f.Fatalf("%+v", again.Delivery)
		}
		made := f.signed(again, "k2")
		made.Keyring = again.Keyring
		f.begin(made)
		f.settle(s, subscriptions.Retry, 0, made.Tokens[0].JTI)

		kept := f.attempt(f.one(s)) // bytes of k2, read before they are recalled
		kept.Keyring = f.keyring().Version
		if left := f.recall("k2"); left != 0 {
			f.Errorf("%d left", left)
		}
		if f.begin(kept)[0] {
			f.Error("recalled bytes begin")
		}
		if d := f.one(s).Delivery; d.Sent || len(d.Tokens) != 0 {
			f.Errorf("%+v", d)
		}
		f.must(f.swapKeyring("k1", "k2"))
	},

	"recalled under a node that died": func(f *fixture) {
		_, _, g, s := f.changed()
		f.keyring()
		_, _, err := f.store.SetStream(f.ctx, *f.streamNow(s), []hub.Delivery{own(s, "urn:test:verification")})
		f.must(err)
		for _, sending := range f.sendable(s) {
			a := f.signed(sending, "k1")
			a.Keyring = 1
			f.begin(a)
		}
		f.revoke(g)
		f.recall("k1")
		f.now += 2000
		// The void one and the stream's own were under way when their node died.
		if left := f.recall("k1"); left != 0 {
			f.Errorf("%d tokens left", left)
		}
		for _, sending := range f.sendable(s) {
			if sending.Delivery.Sent {
				f.Errorf("%+v", sending.Delivery)
			}
		}
	},

	"the stream's own is recalled when its attempt is lost": func(f *fixture) {
		s := f.stream(f.party())
		f.keyring()
		_, _, err := f.store.SetStream(f.ctx, *f.streamNow(s), []hub.Delivery{own(s, "urn:test:verification")})
		f.must(err)
		a := f.signed(f.one(s), "k1")
		a.Keyring = 1
		f.begin(a)
		if left := f.recall("k1"); left != 1 {
			f.Errorf("%d left of an attempt under way", left)
		}
		f.now += 2000
		sending := f.one(s)
		again := f.attempt(sending)
		if left := f.recall("k1"); left != 0 {
			f.Errorf("%d left", left)
		}
		again.Keyring = f.keyring().Version
		if f.begin(again)[0] {
			f.Error("recalled bytes begin")
		}
		if d := f.one(s).Delivery; d.Sent || len(d.Tokens) != 0 {
			f.Errorf("%+v", d)
		}
	},

	"a refused key is tried once more": func(f *fixture) { // PA-03, PB-11
		p, e, _, s := f.changed()
		a := f.attempt(f.one(s))
		a.Tokens = append(a.Tokens, hub.SignedToken{JTI: f.word(), Compact: []byte("second")})
		f.begin(a)
		due := f.now + 100
		// One word on each token of the delivery, as push gives it; they count once.
		f.settle(s, subscriptions.Remake, due, a.Tokens[0].JTI, a.Tokens[1].JTI)
		if now := f.streamNow(s); now.Failures == 0 || now.Problem != "test" {
			f.Errorf("%+v", now)
		}
		if len(f.sendable(s)) != 0 {
			f.Error("sendable before it is due")
		}
		f.now = due
		d := f.one(s).Delivery
		if d.Sent || !d.Refused || d.Attempts != 0 || len(d.Tokens) != 0 {
			f.Fatalf("%+v", d)
		}
		f.update(e, "nickName") // what it absorbs changes nothing of that
		f.issue(s)
		jti := f.send(s)
		f.settle(s, subscriptions.Retry, 0, jti)
		f.send(s)
		f.settle(s, subscriptions.Remake, 0, jti)
		letters := f.letters(p)
		if len(letters) != 1 || letters[0].Reason != "test" || letters[0].Entry != e.ID {
			f.Errorf("%+v", letters)
		}
		f.now += 10_000
		if len(f.sendable(s)) != 0 {
			f.Error("a dead letter is sent")
		}
	},

	"a refused key of what was revoked": func(f *fixture) {
		_, _, g, s := f.changed()
		jti := f.send(s)
		f.revoke(g)
		f.settle(s, subscriptions.Remake, 0, jti)
		for _, sending := range f.sendable(s) {
			if sending.Delivery.Void || sending.Delivery.Refused {
				f.Errorf("%+v", sending.Delivery)
			}
		}
	},
}
