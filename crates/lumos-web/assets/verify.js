// Checks, in the reader's own browser, that the entry on this page stands in the ledger: hashes its bytes
// (RFC 6962), walks the proof to a root (RFC 9162, 2.1.3.2), and compares that with the checkpoint shown.
// It checks no signature: `lumos ledger verify` and any C2SP tool do, with the key printed on the page.
"use strict";

const bytes = (base64) => Uint8Array.from(atob(base64.trim()), (c) => c.charCodeAt(0));
const base64 = (hash) => btoa(String.fromCharCode(...hash));

const hashed = async (prefix, ...parts) => {
  const length = parts.reduce((sum, part) => sum + part.length, 1);
  const data = new Uint8Array(length);
  data[0] = prefix;
  let at = 1;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
};
const leafHash = (entry) => hashed(0, entry);
const nodeHash = (left, right) => hashed(1, left, right);

// Index and size are BigInt: a ledger may outgrow what a double holds exactly.
const rootFrom = async (leaf, index, size, proof) => {
  if (index >= size) throw new Error("the entry lies outside the tree");
  let node = index;
  let last = size - 1n;
  let hash = leaf;
  for (const sibling of proof) {
    if (last === 0n) throw new Error("the proof is too long");
    if (node % 2n === 1n || node === last) {
      hash = await nodeHash(sibling, hash);
      while (node % 2n === 0n && node !== 0n) {
        node /= 2n;
        last /= 2n;
      }
    } else {
      hash = await nodeHash(hash, sibling);
    }
    node /= 2n;
    last /= 2n;
  }
  if (last !== 0n) throw new Error("the proof is too short");
  return hash;
};

// A checkpoint: origin, size, root, each on a line (C2SP tlog-checkpoint).
const checkpoint = (note) => {
  const [origin, size, root] = note.split("\n");
  if (!origin || !/^(0|[1-9][0-9]*)$/.test(size ?? "") || !root) throw new Error("the checkpoint is malformed");
  return { size: BigInt(size), root };
};

const check = async (box) => {
  const entry = bytes(document.getElementById("entry").textContent);
  const leaf = await leafHash(entry);
  if (base64(leaf) !== box.dataset.leaf) throw new Error("the entry's bytes have another hash than the one shown");
  const hashes = document.querySelectorAll("#hashes code");
  const proof = Array.from(hashes, (item) => bytes(item.textContent));
  const { size, root } = checkpoint(document.getElementById("note").textContent);
  const found = await rootFrom(leaf, BigInt(box.dataset.index), size, proof);
  if (base64(found) !== root) throw new Error("the proof leads to another root than the checkpoint's");
  return { size, root };
};

const say = (tone, shape, text) => {
  const verdict = document.getElementById("verdict");
  verdict.className = `panel ${tone}`;
  verdict.textContent = `${shape} ${text}`;
};

if (typeof document !== "undefined") {
  const box = document.getElementById("check");
  if (box && !globalThis.crypto?.subtle) {
    say("wait", "▲", "Not checked: this browser offers no hashing on pages without https. Use lumos ledger verify.");
  } else if (box) {
    check(box).then(
      ({ size, root }) =>
        say("good", "●", `Proof holds. Your browser hashed the entry and reached root ${root} of the ${size} entries.`),
      (problem) => say("bad", "■", `Proof does not hold: ${problem.message}. Do not trust this entry; tell an auditor.`),
    );
  }
}
