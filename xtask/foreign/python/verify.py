"""Checks an export of a LUMOS ledger with pymerkle: the root of its entries, their inclusion, and that it continues an
older checkpoint. It checks no signature; Go, OpenSSL and signed_note do.

    verify.py EXPORT-DIRECTORY [OLDER-CHECKPOINT]
"""

import base64
import pathlib
import random
import sys

from pymerkle import InmemoryTree, verify_consistency, verify_inclusion


def checkpoint(path):
    _origin, size, root = pathlib.Path(path).read_text().split("\n")[:3]
    return int(size), base64.b64decode(root, validate=True)


def bundle(number, size):
    groups = [f"{number % 1000:03}"]
    while number >= 1000:
        number //= 1000
        groups.insert(0, f"x{number % 1000:03}")
    width = min(size, 256)
    return "/".join(groups) + ("" if width == 256 else f".p/{width}"), width


def entries(export, size):
    for first in range(0, size, 256):
        name, width = bundle(first // 256, size - first)
        rest = (export / "tile/entries" / name).read_bytes()
        for _ in range(width):
            length = int.from_bytes(rest[:2], "big")
            if len(rest) < 2 + length:
                raise ValueError(f"bundle {name} is cut short")
            yield rest[2 : 2 + length]
            rest = rest[2 + length :]
        if rest:
            raise ValueError(f"bundle {name} runs on")


def main():
    export = pathlib.Path(sys.argv[1])
    size, root = checkpoint(export / "checkpoint")
    tree = InmemoryTree(algorithm="sha256")
    for entry in entries(export, size):
        tree.append_entry(entry)
    if tree.get_root() != root:
        sys.exit("the entries have another root than the checkpoint")
    picked = random.Random(6962).sample(range(1, size + 1), min(size, 20))
    for index in picked:
        leaf, proof = tree.get_leaf(index), tree.prove_inclusion(index)
        verify_inclusion(leaf, root, proof, index=index, size=size)
    if len(sys.argv) > 2:
        older, old_root = checkpoint(sys.argv[2])
        if older > size:
            sys.exit("the older checkpoint is of a larger log")
        # Every log continues the empty one, and pymerkle proves nothing about it.
        if older > 0:
            proof = tree.prove_consistency(older)
            verify_consistency(old_root, root, proof, prior_size=older, later_size=size)
        print(f"continues the older checkpoint of {older} entries")
    print(f"verified {size} entries, {len(picked)} of them proven")


main()
