"""An outside agent that reads the card of every release and says what it leaves out.

    LUMOS_SERVER=http://127.0.0.1:8417 LUMOS_TOKEN=lumos_… python3 card_checker.py cursor.txt [--once]

It follows the ledger; with --once, up to what is there now. When the files of a release were hashed, it reads the manifest and the card that LUMOS's
scanner found among them, checks the card, and records what it saw as evidence of kind `card_review`. A rule can ask
for that evidence: see examples/acme/policy/cards.yaml. Nobody else can record it, and the agent can record nothing
else and sign nothing.

Killed at any moment and started again, it goes on where it was: the cursor moves after the evidence is recorded, and
recorded twice it is recorded once.
"""

import hashlib
import json
import os
import re
import sys

from lumos import Cursor, Lumos, Refused

AGENT = "card-checker"
TYPES = "lumos.release.identified.v1"

# What a card must say, and the headings that say it. Model cards name their sections in many ways.
SECTIONS = {
    "intended use": r"intended use|direct use|purpose|uses\b",
    "limitations": r"limitation|out[- ]of[- ]scope|bias|risk",
    "evaluation": r"evaluation|results?\b|performance|metrics?",
}
# Fewer words than this under a heading say nothing.
WORDS_MIN = 8


def review(manifest, card):
    """What the card leaves out, one finding each."""
    if card is None:
        return [finding("no-card", "high", "there is no model card among the files")]
    found = []
    paths = {part["path"] for part in manifest["parts"]}
    if card["path"] not in paths:
        found.append(finding("card-not-released", "high", f"`{card['path']}` is not a file of this release"))
    for what, pattern in SECTIONS.items():
        titles = [s for s in card["sections"] if re.search(pattern, s["title"], re.IGNORECASE)]
        if not titles:
            found.append(finding(f"no-{what.replace(' ', '-')}", "medium", f"no section about {what}"))
        elif max(section["words"] for section in titles) < WORDS_MIN:
            found.append(finding(f"thin-{what.replace(' ', '-')}", "low", f"the section about {what} says next to nothing"))
    if not card["license"]:
        found.append(finding("no-licence", "medium", "the front matter names no licence"))
    found.extend(finding("unreadable", "medium", problem) for problem in card["problems"])
    return found


def finding(code, severity, detail):
    return {"code": code, "severity": severity, "detail": detail}


def check(lumos, model, version, digest):
    """Reads what LUMOS knows about a release, and records a review of its card."""
    release = ("releases", model, version)
    manifest = lumos.get(*release, "blobs", digest)
    evidence = lumos.get(*release, "evidence")
    cards = [e for e in evidence if e["kind"] == "model_card" and e["producer"] == "release-scanner"]
    card = lumos.get(*release, "blobs", cards[-1]["digest"]) if cards else None
    findings = review(manifest, card)
    claim = {
        "tool": AGENT,
        "tool_version": "1",
        "subject_digest": digest,
        "card_digest": cards[-1]["digest"] if cards else None,
        "verdict": "incomplete" if findings else "complete",
        "findings": findings,
    }
    # The key follows from what is said about what: said again, it is the same command.
    body = {"kind": "card_review", "claim": claim}
    # The same claim again is done once; another one about the same release is another record.
    told = hashlib.sha256(json.dumps(claim, sort_keys=True).encode()).hexdigest()[:16]
    lumos.post(*release, "evidence", body=body, key=f"{AGENT}.{digest}.{model}.{version}.{told}")
    return claim


def handle(lumos, entry):
    """Checks the release that an entry speaks of, and says so."""
    _, model, version = entry["subject"].split("/")
    try:
        claim = check(lumos, model, version, entry["data"]["digest"])
        print(f"{model}/{version}: {claim['verdict']}, {len(claim['findings'])} finding(s)", flush=True)
    except Refused as refused:
        # A release that was withdrawn meanwhile takes no evidence; anything else is for a person to see.
        if refused.code not in ("withdrawn", "unknown-thing"):
            raise
        print(f"{model}/{version}: {refused}", flush=True)


def main():
    lumos = Lumos(os.environ["LUMOS_SERVER"], os.environ["LUMOS_TOKEN"])
    last = lumos.last_entry() if "--once" in sys.argv else None
    lumos.follow(Cursor(sys.argv[1]), TYPES, lambda entry: handle(lumos, entry), last)


if __name__ == "__main__":
    main()
