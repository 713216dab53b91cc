// What others name things is text on the page, and no script of theirs runs.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { MONTHLY, request, snapshot } from "./fixtures/snapshot.mjs";
import { DEADLINE, launch, shut, withDashboard } from "./harness.mjs";

before(launch, { timeout: DEADLINE });
after(shut, { timeout: DEADLINE });

const EVIL = '<img src=x onerror="window.hit=1"><script>window.hit=2</script>';

test("S48: markup in the names of models, limits and customers is shown as it is written", { timeout: DEADLINE }, async () => {
  const stub = {
    snapshot: snapshot({ customer: EVIL, limits: [{ ...MONTHLY, id: EVIL }], requests: [request(1, { model: EVIL, endpoint: EVIL, error_class: EVIL, flags: [EVIL] })] }),
  };
  await withDashboard({ stub }, async ({ page, faults }) => {
    await page.getByTestId("phase").getByText("Live", { exact: true }).waitFor();
    await page.locator(".requests tbody tr").first().waitFor();
    assert.ok((await page.locator(".requests tbody tr").first().innerText()).includes("<img src=x"));
    assert.deepEqual(await page.evaluate(() => [globalThis.hit, document.querySelectorAll("img[src=x]").length]), [undefined, 0]);
    assert.deepEqual(faults, []);
  });
});

test("S48: the page's own rules let no script run that is written into it", { timeout: DEADLINE }, async () => {
  await withDashboard({}, async ({ page, faults }) => {
    await page.getByTestId("phase").getByText("Live", { exact: true }).waitFor();
    await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.hit = 3";
      const image = document.createElement("div");
      image.innerHTML = '<img src="data:," onerror="window.hit = 4">';
      document.body.append(script, image);
    });
    await page.waitForTimeout(300);
    assert.equal(await page.evaluate(() => globalThis.hit), undefined);
    assert.ok(faults.some((fault) => fault.includes("Content Security Policy")), faults.join("\n"));
  });
});
