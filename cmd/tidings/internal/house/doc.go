// Package house holds no code of the program: its test keeps the house in order. It reads the direct imports
// of every package of the module and refuses those that the layering forbids, with the reason of each ban.
//
// A new package or library fails the test until it has been given its place in the tables of rules_test.go.
package house
