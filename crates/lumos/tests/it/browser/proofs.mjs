// A reader of a page that carries proofs: signs in, opens it, and says what the page's own script found. Asks for the
// page's path, how many lines it proves, and what to do to receipts on their way: nothing, `entry` (one letter of the
// entry is another), `note` (the size in the checkpoint is), `signature`, `other` (the receipt of entry 1), `plain`
// (scripts are off).
import { browser, page as keyboard, rest, signIn } from "./keyboard.mjs";

const [path, lines, change] = rest;
await signIn();
const state = await keyboard.context().storageState();
const base = new URL(keyboard.url()).origin;
const context = await browser.newContext({ storageState: state, javaScriptEnabled: change !== "plain" });
const page = await context.newPage();
const errors = [];
page.on("pageerror", (error) => errors.push(String(error)));
page.on("console", (message) => { if (/Content Security Policy/.test(message.text())) errors.push(message.text()); });

const changed = (text) => {
  const [head, ...note] = text.split("\n\n");
  const parts = head.split("\n");
  if (change === "entry") {
    const entry = Buffer.from(parts[1].slice(6), "base64").toString().replace("time\":\"20", "time\":\"21");
    parts[1] = `extra ${Buffer.from(entry).toString("base64")}`;
    return [parts.join("\n"), ...note].join("\n\n");
  }
  if (change === "note") return text.replace(/\n([0-9]+)\n([A-Za-z0-9+/=]{44})\n\n/, (_, size, root) => `\n${Number(size) + 1}\n${root}\n\n`);
  if (change === "signature") return text.replace(/.{8}\n$/, (end) => (end.startsWith("A") ? "B" : "A") + end.slice(1));
  return text;
};
await page.route("**/api/v1/ledger/entries/*/proof", async (route) => {
  const url = route.request().url();
  const answer = await route.fetch({ url: change === "other" ? url.replace(/entries\/\d+/, "entries/1") : url });
  await route.fulfill({ response: answer, body: changed(await answer.text()) });
});
await page.goto(base + path);
if (change !== "plain") {
  await page.waitForFunction((n) => {
    const verdict = document.getElementById("verdict");
    return verdict?.className !== "panel" && document.querySelectorAll("#check output.state").length >= n;
  }, Number(lines));
}
const text = await page.locator("#check").innerText();
await browser.close();
console.log(JSON.stringify({ errors, text }));
