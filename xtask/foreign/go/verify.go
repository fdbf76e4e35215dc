// Verify checks an export of a LUMOS ledger with nothing of LUMOS: the signed checkpoint with
// golang.org/x/mod/sumdb/note, every entry and every hash tile up to its root with golang.org/x/mod/sumdb/tlog.
//
//	verify EXPORT-DIRECTORY-OR-SERVER VERIFIER-KEY [OLDER-CHECKPOINT]
//	verify RECEIPT.tlog-proof VERIFIER-KEY
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// files serves tiles to tlog, whose paths name the tile height and call entries "data".
type files string

func (dir files) read(t tlog.Tile) ([]byte, error) {
	path := strings.Replace(t.Path(), "tile/8/", "tile/", 1)
	path = strings.Replace(path, "tile/data/", "tile/entries/", 1)
	return dir.file(path)
}

// file reads from the folder, or over HTTP as tlog-tiles has it.
func (dir files) file(path string) ([]byte, error) {
	if !strings.HasPrefix(string(dir), "http") {
		return os.ReadFile(filepath.Join(string(dir), path))
	}
	request, err := http.NewRequest("GET", string(dir)+"/ledger/"+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("LUMOS_TOKEN"))
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

func (dir files) Height() int                         { return 8 }
func (dir files) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (dir files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, t := range tiles {
		var err error
		if data[i], err = dir.read(t); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// open checks the signature; tlog.ParseTree would expect another first line.
func open(signed []byte, vkey string) tlog.Tree {
	verifier, err := note.NewVerifier(vkey)
	check(err)
	n, err := note.Open(signed, note.VerifierList(verifier))
	check(err)
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		log.Fatalf("checkpoint: not a checkpoint of %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	root, err := tlog.ParseHash(lines[2])
	check(err)
	return tlog.Tree{N: size, Hash: root}
}

// fold joins complete subtrees of one size, and what stands to their right, into one root (RFC 6962, 2.1).
func fold(hashes []tlog.Hash, right *tlog.Hash) *tlog.Hash {
	var stack []tlog.Hash
	for i, h := range hashes {
		for n := i; n&1 == 1; n >>= 1 {
			h = tlog.NodeHash(stack[len(stack)-1], h)
			stack = stack[:len(stack)-1]
		}
		stack = append(stack, h)
	}
	for i := len(stack) - 1; i >= 0; i-- {
		h := stack[i]
		if right != nil {
			h = tlog.NodeHash(h, *right)
		}
		right = &h
	}
	return right
}

// growing is the tree as it grows, entry by entry: at each level the tiles finished, and the hashes of the next.
type growing struct {
	dir      files
	finished []int64
	hashes   [][]tlog.Hash
	tiles    int
}

func (g *growing) add(level int, h tlog.Hash) {
	if level == len(g.hashes) {
		g.finished, g.hashes = append(g.finished, 0), append(g.hashes, nil)
	}
	g.hashes[level] = append(g.hashes[level], h)
	if len(g.hashes[level]) == 256 {
		g.compare(level)
		g.add(level+1, *fold(g.hashes[level], nil))
		g.finished[level], g.hashes[level] = g.finished[level]+1, nil
	}
}

// compare holds a stored tile against the hashes that follow from the entries.
func (g *growing) compare(level int) {
	n, hashes := g.finished[level], g.hashes[level]
	stored, err := g.dir.read(tlog.Tile{H: 8, L: level, N: n, W: len(hashes)})
	check(err)
	var computed []byte
	for _, h := range hashes {
		computed = append(computed, h[:]...)
	}
	if !bytes.Equal(stored, computed) {
		log.Fatalf("tile/%d/%d: not the one that follows from the entries", level, n)
	}
	g.tiles++
}

// root compares the unfinished tiles and joins everything.
func (g *growing) root() tlog.Hash {
	var right *tlog.Hash
	for level, hashes := range g.hashes {
		if len(hashes) > 0 {
			g.compare(level)
		}
		right = fold(hashes, right)
	}
	if right == nil {
		return sha256.Sum256(nil)
	}
	return *right
}

// entries hashes every entry of a bundle.
func (g *growing) entries(n int64, width int) {
	bundle, err := g.dir.read(tlog.Tile{H: 8, L: -1, N: n, W: width})
	check(err)
	for i := 0; i < width; i++ {
		if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
			log.Fatalf("entry %d: its bundle is cut short", n*256+int64(i))
		}
		end := 2 + int(binary.BigEndian.Uint16(bundle))
		g.add(0, tlog.RecordHash(bundle[2:end]))
		bundle = bundle[end:]
	}
	if len(bundle) != 0 {
		log.Fatalf("entry bundle %d: it runs on", n)
	}
}

// receipt checks a tlog-proof that holds its entry in the extra line.
func receipt(text, vkey string) {
	parts := strings.SplitN(text, "\n\n", 2)
	lines := strings.Split(parts[0], "\n")
	if len(parts) != 2 || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		log.Fatal("receipt: not a tlog-proof with an entry")
	}
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	check(err)
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	check(err)
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		check(err)
		proof = append(proof, hash)
	}
	tree := open([]byte(parts[1]), vkey)
	check(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)))
	fmt.Printf("verified entry %d of %d\n%s\n", index, tree.N, entry)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 || len(os.Args) > 4 {
		log.Fatal("usage: verify EXPORT-DIRECTORY-OR-SERVER VERIFIER-KEY [OLDER-CHECKPOINT]")
	}
	if strings.HasSuffix(os.Args[1], ".tlog-proof") {
		text, err := os.ReadFile(os.Args[1])
		check(err)
		receipt(string(text), os.Args[2])
		return
	}
	dir := files(os.Args[1])
	signed, err := dir.file("checkpoint")
	check(err)
	head := open(signed, os.Args[2])
	// Everything is computed from the entries up. tlog.TileHashReader is not asked whether a tile belongs to the
	// tree: at most sizes it does not look (its loop over tiles begins too late).
	tree := &growing{dir: dir}
	for n := int64(0); n*256 < head.N; n++ {
		width := int64(256)
		if head.N-n*256 < width {
			width = head.N - n*256
		}
		tree.entries(n, int(width))
	}
	if root := tree.root(); root != head.Hash {
		log.Fatalf("the entries have root %v, the checkpoint says %v", root, head.Hash)
	}
	if len(os.Args) == 4 {
		signed, err := os.ReadFile(os.Args[3])
		check(err)
		older := open(signed, os.Args[2])
		// Every log continues the empty one, and tlog proves nothing about it.
		if older.N > 0 {
			// The tiles only help to find the proof; it is checked against both signed roots.
			proof, err := tlog.ProveTree(head.N, older.N, tlog.TileHashReader(head, dir))
			check(err)
			check(tlog.CheckTree(proof, head.N, head.Hash, older.N, older.Hash))
		}
		fmt.Printf("continues the older checkpoint of %d entries\n", older.N)
	}
	fmt.Printf("verified %d entries, %d tiles, root %v\n", head.N, tree.tiles, head.Hash)
}
