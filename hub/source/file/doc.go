// Package file is the source that reads directory exports: LDIF (RFC 2849) into reports for the hub.
//
// It promises:
//
//   - All or nothing per record. A record that cannot be read or mapped is refused with its line number and nothing of it
//     goes in; reading goes on behind the next blank line. A value is passed on as it stands in the file, blanks included.
//   - Bounded memory: the file is read as a stream, lines and records have a limit, nothing that a record names is
//     opened (values by URL are refused).
//   - No secret leaves the reader's record: the mapping takes only the attributes it lists, and passwords are not among
//     them, nor does their presence say that one was changed.
//   - One name per object. DNs are compared in the form NormalizeDN gives them, so that blanks, case and escapes make
//     neither two objects of one nor a reference that points at nobody.
package file
