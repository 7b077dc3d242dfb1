package conformance

// changingStatus: SSF 1.0 section 8.1.2.
func changingStatus(t *try) {
	stream, other := t.create(object{}), t.create(object{})
	id := idOf(stream)
	a := t.manage("GET", one(t.statuses(), id), nil)
	t.need(a.status == 200 && a.isJSON(), "ST-01", "answered %v", a)
	t.check(a.object()["stream_id"] == id, "ST-01", "stream_id is %v", a.object()["stream_id"])
	t.check(a.object()["status"] == "enabled", "ST-02", "status is %v", a)
	for _, status := range []string{"paused", "paused", "disabled", "enabled", "enabled"} {
		a := t.manage("POST", t.statuses(), object{"stream_id": id, "status": status, "reason": "because of " + status})
		rows := "ST-04"
		if status == "enabled" {
			rows += " ST-17"
		}
		t.check(a.status == 200 && a.object()["status"] == status && a.object()["stream_id"] == id, rows, "setting %s answered %v", status, a)
		for _, a := range []answer{a, t.manage("GET", one(t.statuses(), id), nil)} {
			t.check(a.object()["status"] == status, "ST-02 ST-04", "after setting %s: %v", status, a)
			t.check(a.object()["reason"] == "because of "+status, "ST-07", "reason is %v", a.object()["reason"])
		}
		a = t.manage("GET", one(t.statuses(), idOf(other)), nil)
		t.check(a.object()["status"] == "enabled", "ST-08", "the other stream is %v", a)
	}
	for _, bad := range []any{
		object{"stream_id": id, "status": "asleep"}, object{"stream_id": id}, object{"status": "paused"}, object{"stream_id": id, "status": 7}, "{", "[]",
	} {
		a := t.manage("POST", t.statuses(), bad)
		t.check(a.status == 400, "ST-06", "%v answered %v", bad, a)
	}
	t.check(t.manage("GET", one(t.statuses(), id), nil).object()["status"] == "enabled", "ST-06", "a refused status was set")
	for _, a := range []answer{
		t.manage("GET", one(t.statuses(), "nobody"), nil), t.manage("POST", t.statuses(), object{"stream_id": "nobody", "status": "paused"}),
	} {
		t.check(a.status == 404, "ST-03 ST-06", "an unknown stream: %v", a)
	}
	a = t.manage("GET", t.statuses(), nil)
	t.check(a.status == 400 || a.status == 404, "ST-01", "without stream_id: %v", a)
	a = t.call("GET", one(t.statuses(), id), "nobody", nil)
	t.check(a.status == 401, "ST-03", "without authorisation: %v", a)
}

// told waits until a witness stream was told of a change: then every other stream would have been.
func (t *try) told(witness object, rows string) {
	t.next(witness, rows, anyType)
}

// pausingPoll: nothing leaves a paused stream, and what was held comes after (SSF 1.0 section 8.1.2.1).
func pausingPoll(t *try) {
	stream, witness := t.create(object{}), t.create(object{})
	t.status(idOf(stream), "paused")
	for _, title := range []string{"One", "Two", "Three"} {
		t.program.patch(t.person, object{"title": title})
		t.told(witness, "ST-11")
	}
	a := t.verify(stream, "while paused")
	t.check(a.status == 204, "ST-12 VE-01", "verify of a paused stream answered %v", a)
	p := t.poll(stream, atOnce(nil))
	t.check(len(p.sets) == 0 && !p.more, "ST-11", "a paused stream gives %v", p.raw)
	t.status(idOf(stream), "enabled")
	var held *set
	verification := t.next(stream, "ST-12", func(s *set) bool {
		if s.event == patched {
			held = s
		}
		return s.event == verification
	})
	t.check(verification.payload["state"] == "while paused", "ST-12", "state is %v", verification.payload["state"])
	if held == nil {
		held = t.next(stream, "ST-10 ST-16", ofType(patched))
	}
	t.check(same(texts(held.payload["attributes"]), []string{"title"}), "ST-10 ST-16", "held: %v", held.payload)
}

// pausingPush: the same of a stream that pushes.
func pausingPush(t *try) {
	h := t.hook()
	stream, witness := t.push(h, object{}), t.create(object{})
	t.verify(stream, "first")
	t.accept(h.await(1, "DE-01").body, stream)
	t.status(idOf(stream), "paused")
	t.program.patch(t.person, object{"title": "Held"})
	t.told(witness, "ST-11")
	a := t.verify(stream, "second")
	t.check(a.status == 204, "ST-12", "verify of a paused stream answered %v", a)
	t.verify(witness, "now")
	t.next(witness, "VE-13", ofType("/verification"))
	t.check(len(h.all()) == 1, "ST-11", "%d pushes came to a paused stream", len(h.all())-1)
	t.status(idOf(stream), "enabled")
	events := map[string]bool{}
	for n := 2; n <= 3; n++ {
		events[t.accept(h.await(n, "ST-10 ST-12").body, stream).event] = true
	}
	t.check(len(events) == 2 && events[patched], "ST-10 ST-12", "after the pause came %v", events)
}

// disabling: what happens meanwhile is not kept.
func disabling(t *try) {
	stream, witness := t.create(object{}), t.create(object{})
	t.verify(stream, "waits")
	t.status(idOf(stream), "disabled")
	t.program.patch(t.person, object{"title": "Unheard"})
	t.told(witness, "ST-13")
	p := t.poll(stream, atOnce(nil))
	t.check(len(p.sets) == 0, "ST-11 ST-14", "a disabled stream gives %v", p.raw)
	a := t.verify(stream, "meanwhile")
	t.check(a.status == 204 || a.status == 400, "ST-15", "verify of a disabled stream answered %v", a)
	t.status(idOf(stream), "enabled")
	t.verify(stream, "after")
	var before []string
	s := t.next(stream, "ST-13", func(s *set) bool {
		before = append(before, s.event+" "+text(s.payload["state"]))
		return s.payload["state"] == "after"
	})
	t.check(len(before) == 1, "ST-14 ST-13", "after the gap came %v before %s", before, s.event)
}
