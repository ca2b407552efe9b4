// Reads an archive with Go's own library for transparency logs (golang.org/x/mod), which knows
// nothing of this project: the signed note, the root over the tiles, a proof for every record.
//
//	go run main.go FOLDER CHECKPOINT-KEY
package main

import (
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const width = 256

// C2SP's paths have no height of tiles, and x/mod's do: tile/8/0/001 is tile/0/001.
func path(tile tlog.Tile) string {
	return strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
}

type folder struct{ root string }

func (f folder) Height() int { return 8 }

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, tile := range tiles {
		bytes, err := os.ReadFile(filepath.Join(f.root, path(tile)))
		if err != nil {
			return nil, err
		}
		data = append(data, bytes)
	}
	return data, nil
}

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func entries(root string, number, size int64) ([][]byte, error) {
	wide := size - number*width
	if wide > width {
		wide = width
	}
	name := path(tlog.Tile{H: 8, L: 0, N: number, W: int(wide)})
	name = strings.Replace(name, "tile/0/", "tile/entries/", 1)
	rest, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for len(rest) >= 2 {
		length := int(binary.BigEndian.Uint16(rest))
		if len(rest) < 2+length {
			return nil, fmt.Errorf("%s ends within an entry", name)
		}
		all, rest = append(all, rest[2:2+length]), rest[2+length:]
	}
	if len(rest) != 0 || int64(len(all)) != wide {
		return nil, fmt.Errorf("%s holds %d entries, not %d", name, len(all), wide)
	}
	return all, nil
}

func verify(root, key string) error {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(root, "checkpoint"))
	if err != nil {
		return err
	}
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return fmt.Errorf("not a checkpoint of %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return err
	}
	var tree tlog.Tree
	tree.N = size
	if tree.Hash, err = tlog.ParseHash(lines[2]); err != nil {
		return err
	}
	// The reader holds each tile that it reads to the tree's root.
	hashes := tlog.TileHashReader(tree, folder{root})
	made, err := tlog.TreeHash(size, hashes)
	if err != nil {
		return err
	}
	if made != tree.Hash {
		return fmt.Errorf("the tiles have the root %v, not %v", made, tree.Hash)
	}
	proved := int64(0)
	for first := int64(0); first < size; first += width {
		leaves, err := entries(root, first/width, size)
		if err != nil {
			return err
		}
		for offset, leaf := range leaves {
			index := first + int64(offset)
			proof, err := tlog.ProveRecord(size, index, hashes)
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(proof, size, tree.Hash, index, tlog.RecordHash(leaf)); err != nil {
				return fmt.Errorf("record %d: %w", index, err)
			}
			proved++
		}
	}
	older := 0
	for old := int64(1); old <= size; old = old*2 + 1 {
		before, err := tlog.TreeHash(old, hashes)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveTree(size, old, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, size, tree.Hash, old, before); err != nil {
			return fmt.Errorf("the tree of %d: %w", old, err)
		}
		older++
	}
	fmt.Printf("signed by %s; %d records and %d older trees proved\n", opened.Sigs[0].Name, proved, older)
	return nil
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("go run main.go FOLDER CHECKPOINT-KEY")
	}
	if err := verify(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}
