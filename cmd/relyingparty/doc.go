// Command relyingparty runs the sample website of a relying party beside a hub. It is the whole of what such a website
// needs: the hub's address and a token.
//
//	RELYINGPARTY_TOKEN=tdg_… relyingparty --hub http://127.0.0.1:8420 --listen 127.0.0.1:8421
//
// The hub has to allow receivers on its own machine for that (tidings serve --allow-insecure-receivers).
package main
