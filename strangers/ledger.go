// Reads a Muster ledger with the packages of Go's checksum database: whoever can do this can audit
// a fleet.
//
// usage: read URL VKEY OLD-SIZE OLD-ROOT(hex)
package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		fmt.Println("FAILED:", err)
		os.Exit(1)
	}
}

func get(url string) []byte {
	answer, err := http.Get(url)
	must(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(err)
	if answer.StatusCode != 200 {
		must(fmt.Errorf("%s: %s", url, answer.Status))
	}
	return body
}

// tiles fetches tiles by the paths of C2SP tlog-tiles, which leave out the height that Go's own
// paths carry.
type tiles struct{ url string }

func (t tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		found = append(found, get(t.url+"/"+path))
	}
	return found, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// entries gives the entries of one bundle, each behind its length in two octets.
func entries(bundle []byte) (found [][]byte) {
	for len(bundle) >= 2 {
		length := int(bundle[0])<<8 | int(bundle[1])
		found = append(found, bundle[2:2+length])
		bundle = bundle[2+length:]
	}
	return found
}

func main() {
	url, vkey := os.Args[1], os.Args[2]
	verifier, err := note.NewVerifier(vkey)
	must(err)
	signed, err := note.Open(get(url+"/checkpoint"), note.VerifierList(verifier))
	must(err)
	tree, err := checkpoint(signed.Text)
	must(err)
	fmt.Println("checkpoint:", tree.N, "entries, root", tree.Hash)

	reader := tlog.TileHashReader(tree, tiles{url})
	seen := int64(0)
	for bundle := int64(0); bundle*256 < tree.N; bundle++ {
		path := fmt.Sprintf("%s/tile/entries/%03d", url, bundle)
		if width := tree.N - bundle*256; width < 256 {
			path += fmt.Sprintf(".p/%d", width)
		}
		for _, entry := range entries(get(path)) {
			proof, err := tlog.ProveRecord(tree.N, seen, reader)
			must(err)
			must(tlog.CheckRecord(proof, tree.N, tree.Hash, seen, tlog.RecordHash(entry)))
			seen++
		}
	}
	if seen != tree.N {
		must(fmt.Errorf("%d entries where the checkpoint says %d", seen, tree.N))
	}
	fmt.Println("inclusion:", seen, "entries proven")

	oldSize, err := strconv.ParseInt(os.Args[3], 10, 64)
	must(err)
	raw, err := hex.DecodeString(os.Args[4])
	must(err)
	var old tlog.Hash
	copy(old[:], raw)
	proof, err := tlog.ProveTree(tree.N, oldSize, reader)
	must(err)
	must(tlog.CheckTree(proof, tree.N, tree.Hash, oldSize, old))
	fmt.Println("consistency: the tree of", oldSize, "entries is its beginning")
}

// checkpoint reads a C2SP checkpoint: origin, size and root, a line each. (Go's own has a fixed
// first line.)
func checkpoint(text string) (tree tlog.Tree, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 3 {
		return tree, fmt.Errorf("a checkpoint has three lines")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}
