// Reads a Muster ledger with the packages of Go's checksum database: whoever can do this can audit
// a fleet.
//
// usage: read URL VKEY OLD-SIZE OLD-ROOT(hex) RECEIPT CERTIFICATE(DER) WITNESS-VKEY OLD GROWTH
//
// OLD is a checkpoint from earlier, GROWTH the file that proves that the ledger only grew since.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
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

	cosigner, err := newCosigner(os.Args[7])
	must(err)
	receipt(file(os.Args[5]), file(os.Args[6]), verifier, cosigner)
	growth(file(os.Args[8]), file(os.Args[9]), verifier)
}

func file(path string) []byte {
	octets, err := os.ReadFile(path)
	must(err)
	return octets
}

// receipt reads a C2SP tlog-proof and believes it step by step, as docs/ledger.md has it.
func receipt(text, certificate []byte, log, witness note.Verifier) {
	head, signed, found := bytes.Cut(text, []byte("\n\n"))
	if !found {
		must(fmt.Errorf("the receipt has no checkpoint"))
	}
	lines := strings.Split(string(head), "\n")
	if len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		must(fmt.Errorf("that is no receipt"))
	}
	extra, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	must(err)
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	must(err)
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		must(err)
		proof = append(proof, hash)
	}
	opened, err := note.Open(signed, note.VerifierList(log, witness))
	must(err)
	if len(opened.Sigs) != 2 {
		must(fmt.Errorf("%d signatures where log and witness signed", len(opened.Sigs)))
	}
	tree, err := checkpoint(opened.Text)
	must(err)

	// [entry, salt, payload], three byte strings.
	if extra[0] != 0x83 {
		must(fmt.Errorf("the extra data is no array of three"))
	}
	entry, rest := octets(extra[1:])
	salt, rest := octets(rest)
	payload, _ := octets(rest)
	must(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)))
	digest := sha256.Sum256(bytes.Join([][]byte{[]byte("muster/entry/v1\x00"), salt, payload}, nil))
	if !bytes.HasSuffix(entry, digest[:]) {
		must(fmt.Errorf("payload and salt are not those of the entry"))
	}
	hash := sha256.Sum256(certificate)
	if !bytes.Contains(payload, append([]byte("\x6bcertificate\x58\x20"), hash[:]...)) {
		must(fmt.Errorf("the receipt is about another certificate"))
	}
	fmt.Println("receipt: entry", index, "of", tree.N, "issued the certificate, and", witness.Name(), "saw it")

	// Nothing of it may be changed.
	entry[len(entry)-1] ^= 1
	if tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)) == nil {
		must(fmt.Errorf("a changed entry was believed"))
	}
}

// octets reads a CBOR byte string.
func octets(cbor []byte) (value, rest []byte) {
	if cbor[0]>>5 != 2 {
		must(fmt.Errorf("a byte string was expected"))
	}
	length, behind := uint64(cbor[0]&31), cbor[1:]
	switch {
	case length == 24:
		length, behind = uint64(behind[0]), behind[1:]
	case length == 25:
		length, behind = uint64(binary.BigEndian.Uint16(behind)), behind[2:]
	case length > 25:
		must(fmt.Errorf("the byte string is too long"))
	}
	return append([]byte(nil), behind[:length]...), behind[length:]
}

// growth checks that the ledger of one checkpoint is the beginning of that of another.
func growth(early, text []byte, log note.Verifier) {
	before, err := note.Open(early, note.VerifierList(log))
	must(err)
	old, err := checkpoint(before.Text)
	must(err)
	head, signed, _ := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if lines[0] != fmt.Sprintf("old %d", old.N) {
		must(fmt.Errorf("the proof begins elsewhere: %s", lines[0]))
	}
	var proof tlog.TreeProof
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		must(err)
		proof = append(proof, hash)
	}
	after, err := note.Open(signed, note.VerifierList(log))
	must(err)
	tree, err := checkpoint(after.Text)
	must(err)
	must(tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash))
	fmt.Println("growth: from", old.N, "to", tree.N, "entries")
}

// cosigner verifies cosignature/v1, which the package does not know by itself.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newCosigner(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("that is no verifier key")
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 33 || key[0] != 4 {
		return nil, fmt.Errorf("that is no key of a witness")
	}
	id := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	hash := binary.BigEndian.Uint32(id[:4])
	if fmt.Sprintf("%08x", hash) != parts[1] {
		return nil, fmt.Errorf("the id is not that of the key")
	}
	return cosigner{parts[0], hash, key[1:]}, nil
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(text, sig []byte) bool {
	if len(sig) != 72 {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", at, text)
	return ed25519.Verify(c.key, []byte(message), sig[8:])
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
