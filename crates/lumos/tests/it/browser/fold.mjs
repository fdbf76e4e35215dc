// An operator: sign-in → links → a folded form → its field → its button. Asks for the links' texts, separated by
// commas, the summary that unfolds the form, the field's name, what is typed there, and the button.
import { done, follow, isNamed, page, press, rest, says, signIn, tabTo } from "./keyboard.mjs";

const [links, text, field, typed, button] = rest;
await signIn();
for (const link of links.split(",")) await follow(link);
await tabTo(`the summary ${text}`, says, { tag: "SUMMARY", text });
await page.keyboard.press("Enter");
await tabTo(`the field ${field}`, isNamed, field);
await page.keyboard.press("Control+A");
await page.keyboard.type(typed);
await press(button);
await done();
