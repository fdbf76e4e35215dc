// Verify checks an export of a LUMOS ledger with nothing of LUMOS: the signed checkpoint with
// golang.org/x/mod/sumdb/note, every hash tile with golang.org/x/mod/sumdb/tlog, every entry.
//
//	verify EXPORT-DIRECTORY-OR-SERVER VERIFIER-KEY [OLDER-CHECKPOINT]
//	verify RECEIPT.tlog-proof VERIFIER-KEY
package main

import (
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

// entries checks every entry of a bundle against the authenticated leaf hashes.
func (dir files) entries(t tlog.Tile, hashes tlog.HashReader) {
	bundle, err := dir.read(tlog.Tile{H: 8, L: -1, N: t.N, W: t.W})
	check(err)
	indexes := make([]int64, t.W)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, t.N*256+int64(i))
	}
	leaves, err := hashes.ReadHashes(indexes)
	check(err)
	for i, leaf := range leaves {
		if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
			log.Fatalf("entry %d: its bundle is cut short", t.N*256+int64(i))
		}
		end := 2 + int(binary.BigEndian.Uint16(bundle))
		if tlog.RecordHash(bundle[2:end]) != leaf {
			log.Fatalf("entry %d: not the one in the tree", t.N*256+int64(i))
		}
		bundle = bundle[end:]
	}
	if len(bundle) != 0 {
		log.Fatalf("entry bundle %d: it runs on", t.N)
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
	tree := open(signed, os.Args[2])
	if tree.N == 0 && tree.Hash != sha256.Sum256(nil) {
		log.Fatal("checkpoint: wrong root for an empty log")
	}
	// TileHashReader believes no tile: it returns hashes only after proving them against the root.
	hashes := tlog.TileHashReader(tree, dir)
	tiles := 0
	for level, width := 0, tree.N; width > 0; level, width = level+1, width>>8 {
		for n := int64(0); n*256 < width; n++ {
			t := tlog.Tile{H: 8, L: level, N: n, W: 256}
			if width-n*256 < 256 {
				t.W = int(width - n*256)
			}
			proven, err := tlog.ReadTileData(t, hashes)
			check(err)
			stored, err := dir.read(t)
			check(err)
			if string(stored) != string(proven) {
				log.Fatalf("tile/%d/%d: not the one in the tree", level, n)
			}
			tiles++
			if level == 0 {
				dir.entries(t, hashes)
			}
		}
	}
	if len(os.Args) == 4 {
		signed, err := os.ReadFile(os.Args[3])
		check(err)
		older := open(signed, os.Args[2])
		// Every log continues the empty one, and tlog proves nothing about it.
		if older.N > 0 {
			proof, err := tlog.ProveTree(tree.N, older.N, hashes)
			check(err)
			check(tlog.CheckTree(proof, tree.N, tree.Hash, older.N, older.Hash))
		}
		fmt.Printf("continues the older checkpoint of %d entries\n", older.N)
	}
	fmt.Printf("verified %d entries, %d tiles, root %v\n", tree.N, tiles, tree.Hash)
}
