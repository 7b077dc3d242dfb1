// Package conformance holds no code of the program: its tests hold the running program against the standards, from
// outside. It knows of the program what an operator and a receiver know: commands, HTTP, tokens.
//
//   - The table of proofs (proofs_test.go) says which rows each proof proves. A row is one requirement of a standard;
//     rows_test.go says of which clause, and which rows cannot be seen from outside.
//   - The receiver (receiver_test.go) is written from the RFCs alone and shares no code with the transmitter.
//   - TestConformance runs every proof against the program on either store; TestBroken runs each again through a proxy
//     that breaks one row, and the proof has to turn red in that very row.
package conformance
