// Package live serves the small script with which a page in a browser listens to /live: it reconnects where the cursor
// says, follows the close codes, and falls back to long polls where no socket gets through.
//
// The script is public, the same for everybody and free of secrets; pages of any origin may include it. What a page may
// hear is decided by its ticket, not by the script.
package live
