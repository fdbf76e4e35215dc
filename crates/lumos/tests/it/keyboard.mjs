// A reviewer who has no mouse: sign-in → inbox → release → sign, with the keyboard alone.
// Arguments: playwright's folder, address, login, password, link text of the release, verdict.
import { createRequire } from "module";

const [modules, base, login, password, release, verdict] = process.argv.slice(2);
const { chromium } = createRequire(modules + "/")("playwright-core");
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const page = await browser.newPage();
const errors = [];
page.on("pageerror", (error) => errors.push(String(error)));

// Presses Tab until the focused element is the wanted one; a page whose controls cannot be reached fails.
async function tabTo(what, matches) {
  for (let presses = 0; presses < 200; presses += 1) {
    const found = await page.evaluate(matches, { release, verdict });
    if (found) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`the keyboard does not reach ${what} on ${page.url()}`);
}

async function leave(key) {
  await Promise.all([page.waitForNavigation(), page.keyboard.press(key)]);
}

await page.goto(base + "/");
await tabTo("the login", () => document.activeElement.name === "login");
await page.keyboard.type(login);
await tabTo("the password", () => document.activeElement.name === "password");
await page.keyboard.type(password);
await leave("Enter");
await tabTo("the release", ({ release }) => document.activeElement.textContent.trim() === release);
await leave("Enter");
await tabTo("the verdict", () => document.activeElement.name === "verdict");
for (let presses = 0; presses < 3; presses += 1) {
  const chosen = await page.evaluate(() => document.activeElement.value);
  if (chosen === verdict) break;
  await page.keyboard.press("ArrowDown");
}
await page.keyboard.press("Space");
await tabTo("the reason", () => document.activeElement.name === "reason");
await page.keyboard.type("read with the keyboard alone");
await tabTo("the password of the signature", () => document.activeElement.name === "password");
await page.keyboard.type(password);
await tabTo("the button", () => document.activeElement.tagName === "BUTTON" && document.activeElement.textContent.trim() === "Sign");
await leave("Enter");
const text = await page.evaluate(() => document.body.innerText);
await browser.close();
console.log(JSON.stringify({ errors, text }));
