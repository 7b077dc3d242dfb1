#!/usr/bin/env bash
# Runs a throw-away PostgreSQL: prints its URL on one line as soon as it answers, and lives until its
# standard input ends. Whoever holds the other end of that pipe may exit, crash or be killed: the server
# and its files go in every case.
#
# usage: server.sh [setting=value ...]        for instance: server.sh fsync=on
set -eu -o pipefail
export LC_ALL=C

fail() {
	echo "throw-away PostgreSQL: $*" >&2
	exit 1
}

# PATH is the developer's choice and wins; Debian keeps its servers out of PATH.
initdb=$(command -v initdb || printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
bin=$(dirname "$(readlink -f "$initdb")") # the server finds its parts beside itself
[ -x "$bin/postgres" ] || fail "no server found; install it (Debian: apt-get install postgresql) or put initdb and postgres on PATH"

# The server refuses to run as root. The death signal covers the one end no trap sees: SIGKILL to this shell.
as=(setpriv --pdeathsig QUIT)
dir=$(mktemp -d "${TMPDIR:-/tmp}/tidings-postgres.XXXXXX")
server=

cleanup() {
	trap '' INT TERM HUP PIPE
	if [ -n "$server" ]; then
		kill -QUIT "$server" || true # immediate shutdown: nothing in it is worth a checkpoint
		wait "$server" || true
	fi
	rm -rf "$dir"
} >/dev/null 2>&1
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# The password keeps other users of this machine out: a superuser of PostgreSQL can run programs.
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
printf '%s\n' "$password" >"$dir/password"

if [ "$(id -u)" = 0 ]; then
	owner=postgres
	id "$owner" >/dev/null 2>&1 || owner=nobody
	as+=(--reuid "$(id -u "$owner")" --regid "$(id -g "$owner")" --clear-groups --no-new-privs)
	chown -R "$owner" "$dir"
	"${as[@]}" test -w "$dir" || fail "user $owner cannot reach $dir: point TMPDIR at a folder open to all"
fi
cd "$dir"

# A linguistic collation on purpose: the store must never let the database order or match text, and with
# the C collation nobody would notice that it did.
"${as[@]}" "$bin/initdb" --pgdata=data --username=tidings --pwfile=password --auth=password --encoding=UTF8 \
	--locale=C --locale-provider=icu --icu-locale=en-US --no-sync >log 2>&1 || fail "initdb: $(tail -n 5 log)"

# fsync is off unless asked for: the crash tests kill the hub, never PostgreSQL or the machine, and a
# killed client's commits are as safe in the page cache as on disk. Benchmarks pay for durability and
# pass fsync=on.
settings=(-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300
	-c fsync=off -c full_page_writes=off)
for setting; do
	settings+=(-c "$setting")
done

# The postmaster's own word, in its own folder: asking the port could be answered by a stranger.
ready() {
	local deadline=$((SECONDS + 60))
	until [[ -r data/postmaster.pid && $(<data/postmaster.pid) == *ready* ]]; do
		kill -0 "$server" 2>/dev/null || return 1
		[ "$SECONDS" -lt "$deadline" ] || fail "not ready after 60 s: $(tail -n 5 log)"
		sleep 0.02
	done
}

# Ports from 32768 up are the kernel's for outgoing connections and may be taken at any moment.
for attempt in {1..20}; do
	port=$((20000 + RANDOM % 12768))
	"${as[@]}" "$bin/postgres" -D data -p "$port" "${settings[@]}" </dev/null >log 2>&1 &
	server=$!
	if ready; then
		echo "postgres://tidings:$password@127.0.0.1:$port/postgres?sslmode=disable"
		exec >/dev/null 2>&1
		while read -r _; do :; done
		exit 0
	fi
	wait "$server" || true
	server=
	grep -q 'in use' log || break
done
fail "did not start (attempt $attempt): $(tail -n 5 log)"
