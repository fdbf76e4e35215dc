// Checks, in the reader's own browser, that what this page shows stands in the ledger: hashes the entry (RFC 6962), walks
// the proof to a root (RFC 9162, 2.1.3.2), compares that with the checkpoint's, and checks the Ed25519 signature under
// it (C2SP signed-note) with the ledger's key. The key is the one printed on the page: compare it with one you got from
// elsewhere.
"use strict";

const bytes = (base64) => Uint8Array.from(atob(base64.trim()), (c) => c.charCodeAt(0));
const base64 = (hash) => btoa(String.fromCharCode(...hash));
const utf8 = (text) => new TextEncoder().encode(text);
const sha256 = async (data) => new Uint8Array(await crypto.subtle.digest("SHA-256", data));
const joined = (...parts) => {
  const data = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return data;
};

const leafHash = (entry) => sha256(joined([0], entry));
const nodeHash = (left, right) => sha256(joined([1], left, right));

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

// A verifier key: name+id+base64 of type and public key.
const verifierKey = async (text) => {
  const [name, id, ...rest] = text.trim().split("+");
  const key = bytes(rest.join("+"));
  const own = await sha256(joined(utf8(name), [10], key));
  const hex = Array.from(own.slice(0, 4), (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (key[0] !== 1 || key.length !== 33 || hex !== id) throw new Error("the ledger's key is malformed");
  return { name, id: own.slice(0, 4), key: key.slice(1) };
};

// Whether the browser can check the signature; false where it knows no Ed25519, and an error where it is wrong.
const signed = async (text, lines, { name, id, key }) => {
  const blobs = lines.split("\n").filter((line) => line.startsWith(`— ${name} `)).map((line) => bytes(line.split(" ")[2]));
  const own = blobs.find((blob) => id.every((byte, at) => blob[at] === byte));
  if (!own) throw new Error(`the checkpoint is not signed by ${name}`);
  let imported;
  try {
    imported = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
  } catch {
    return false;
  }
  const good = await crypto.subtle.verify({ name: "Ed25519" }, imported, own.slice(4), utf8(text));
  if (!good) throw new Error("the signature of the checkpoint is wrong");
  return true;
};

// A signed checkpoint: origin, size, root, each on a line; the last blank line ends the text.
const checkpoint = async (note, vkey) => {
  const blank = note.lastIndexOf("\n\n");
  const text = note.slice(0, blank + 1);
  const [origin, size, root] = text.split("\n");
  if (blank < 0 || !origin || !/^(0|[1-9][0-9]*)$/.test(size ?? "") || !root) throw new Error("the checkpoint is malformed");
  const key = await verifierKey(vkey);
  if (origin !== key.name) throw new Error("the checkpoint is of another ledger");
  return { origin, size: BigInt(size), root, isSigned: await signed(text, note.slice(blank + 2), key) };
};

const proven = async (entry, index, proof, note, vkey) => {
  const found = await checkpoint(note, vkey);
  const root = await rootFrom(await leafHash(entry), BigInt(index), found.size, proof);
  if (base64(root) !== found.root) throw new Error("the proof leads to another root than the checkpoint's");
  return found;
};

// A receipt (C2SP tlog-proof) with the entry in its extra line.
const receipt = async (text, vkey) => {
  const [head, ...rest] = text.split("\n\n");
  const [first, extra, index, ...hashes] = head.split("\n");
  if (first !== "c2sp.org/tlog-proof@v1" || !extra?.startsWith("extra ") || !/^index (0|[1-9][0-9]*)$/.test(index ?? "")) {
    throw new Error("the receipt is malformed");
  }
  const entry = bytes(extra.slice(6));
  const found = await proven(entry, index.slice(6), hashes.map(bytes), rest.join("\n\n"), vkey);
  return { ...found, index: index.slice(6), entry: JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(entry)) };
};

const say = (place, tone, shape, text) => {
  place.className = place.tagName === "P" ? `panel ${tone}` : `state ${tone}`;
  place.textContent = `${shape} ${text}`;
};
const by = ({ isSigned, origin }) =>
  isSigned ? `signed by ${origin}` : `its signature by ${origin} not checked: this browser knows no Ed25519`;

// The page of one entry, which carries its proof.
const one = async (box, verdict) => {
  const entry = bytes(document.getElementById("entry").textContent);
  if (base64(await leafHash(entry)) !== box.dataset.leaf) throw new Error("the entry's bytes have another hash than the one shown");
  const proof = Array.from(document.querySelectorAll("#hashes code"), (item) => bytes(item.textContent));
  const found = await proven(entry, box.dataset.index, proof, document.getElementById("note").textContent, box.dataset.key);
  const text = `Proof holds. Your browser hashed the entry and reached root ${found.root} of the ${found.size} entries, ${by(found)}.`;
  say(verdict, found.isSigned ? "good" : "wait", found.isSigned ? "●" : "▲", text);
};

// One line of the release page: fetches the receipt, and holds it against what the page says.
const shown = async (line, vkey) => {
  const answer = await fetch(line.dataset.receipt, { credentials: "same-origin", cache: "no-store" });
  if (answer.status === 404) return { wait: "no published checkpoint covers it yet; load the page again in a second" };
  if (!answer.ok) throw new Error(`the server gave no receipt, but ${answer.status}`);
  const found = await receipt(await answer.text(), vkey);
  const { index, kind, stream, names } = line.dataset;
  if (found.index !== index || found.entry.type !== kind || found.entry.subject !== stream) {
    throw new Error("the receipt is of another entry than the page says");
  }
  if (!JSON.stringify(found.entry.data).includes(JSON.stringify(names).slice(1, -1))) throw new Error(`the entry does not name ${names}`);
  return found;
};

const all = async (box, verdict) => {
  let [held, failed, open] = [0, 0, 0];
  for (const line of box.querySelectorAll("[data-receipt]")) {
    const place = line.querySelector("output");
    try {
      const found = await shown(line, box.dataset.key);
      if (found.wait) {
        open += 1;
        say(place, "wait", "▲", found.wait);
      } else {
        held += 1;
        say(place, found.isSigned ? "good" : "wait", found.isSigned ? "●" : "▲",
          `this ${line.dataset.what} is entry ${found.index} of the ledger ${found.origin}, ${by(found)} over ${found.size} entries`);
      }
    } catch (problem) {
      failed += 1;
      say(place, "bad", "■", `does not hold: ${problem.message}`);
    }
  }
  if (failed > 0) {
    say(verdict, "bad", "■", `${failed} of these do not hold. Do not rely on this page; tell an auditor.`);
    verdict.setAttribute("role", "alert");
  } else {
    const rest = open > 0 ? ` ${open} not published yet.` : "";
    say(verdict, open > 0 ? "wait" : "good", open > 0 ? "▲" : "●", `Your browser checked ${held} of these against the ledger's key.${rest}`);
  }
};

if (typeof document !== "undefined") {
  const box = document.getElementById("check");
  const verdict = document.getElementById("verdict");
  if (box && !globalThis.crypto?.subtle) {
    say(verdict, "wait", "▲", "Not checked: this browser offers no hashing on pages without https. Use lumos ledger verify.");
  } else if (box) {
    (box.dataset.index ? one : all)(box, verdict).catch((problem) =>
      say(verdict, "bad", "■", `Proof does not hold: ${problem.message}. Do not trust this entry; tell an auditor.`));
  }
}
