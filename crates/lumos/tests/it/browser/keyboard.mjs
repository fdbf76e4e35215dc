// Somebody who has no mouse: a real Chromium, signed in and moved through by keyboard alone.
// Arguments: playwright's folder, address, login, password, then what a script asks for itself.
import { createRequire } from "module";

const [modules, base, login, password] = process.argv.slice(2);
export const rest = process.argv.slice(6);
export { password };

const { chromium } = createRequire(modules + "/")("playwright-core");
export const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
export const page = await browser.newPage();
const errors = [];
page.on("pageerror", (error) => errors.push(String(error)));

// Presses Tab until the focused element is the wanted one; a page whose controls cannot be reached fails.
export async function tabTo(what, matches, wanted) {
  for (let presses = 0; presses < 200; presses += 1) {
    if (await page.evaluate(matches, wanted)) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`the keyboard does not reach ${what} on ${page.url()}`);
}

// The focused element says exactly this, and is of this kind.
export const says = ({ tag, text }) => {
  const at = document.activeElement;
  return at.tagName === tag && at.textContent.trim() === text;
};

export const isNamed = (name) => document.activeElement.name === name;

export async function leave(key) {
  await Promise.all([page.waitForNavigation(), page.keyboard.press(key)]);
}

// Follows the link of this text.
export async function follow(text) {
  await tabTo(`the link ${text}`, says, { tag: "A", text });
  await leave("Enter");
}

// Presses the button of this text, which leads to another page.
export async function press(text) {
  await tabTo(`the button ${text}`, says, { tag: "BUTTON", text });
  await leave("Enter");
}

export async function signIn() {
  await page.goto(base + "/");
  await tabTo("the login", isNamed, "login");
  await page.keyboard.type(login);
  await tabTo("the password", isNamed, "password");
  await page.keyboard.type(password);
  await leave("Enter");
}

// Says what stands on the page now, and which scripts broke.
export async function done() {
  const text = await page.evaluate(() => document.body.innerText);
  await browser.close();
  console.log(JSON.stringify({ errors, text }));
}
