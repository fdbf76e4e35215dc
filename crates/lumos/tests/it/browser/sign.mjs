// A reviewer: sign-in → inbox → release → sign. Asks for the release's link text and the verdict.
import { done, follow, isNamed, page, password, press, rest, signIn, tabTo } from "./keyboard.mjs";

const [release, verdict] = rest;
await signIn();
await follow(release);
await tabTo("the verdict", isNamed, "verdict");
for (let presses = 0; presses < 3; presses += 1) {
  if ((await page.evaluate(() => document.activeElement.value)) === verdict) break;
  await page.keyboard.press("ArrowDown");
}
await page.keyboard.press("Space");
await tabTo("the reason", isNamed, "reason");
await page.keyboard.type("read with the keyboard alone");
await tabTo("the password of the signature", isNamed, "password");
await page.keyboard.type(password);
await press("Sign");
await done();
