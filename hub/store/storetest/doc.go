// Package storetest is the one suite that both drivers pass, and the faulty store that tests of the engine run on.
//
// Run holds a driver to every verb of hub.Store and to each invariant that a store can break; after each test the
// store's own Check has to find nothing, so each test is one of Check too. Random holds it to a plain model under random
// commits, readers and injected faults. Faulty makes calls fail before or after they took effect.
package storetest
