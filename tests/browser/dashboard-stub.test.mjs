// The dashboard in a real browser against a stub of the API, under the headers it is shipped with.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DAILY, MONTHLY, SOFT, request, snapshot } from "./fixtures/snapshot.mjs";
import { DEADLINE, launch, shot, shut, textOf, until, withDashboard } from "./harness.mjs";
import { TOKEN } from "./stub-server.mjs";

before(launch, { timeout: DEADLINE });
after(shut, { timeout: DEADLINE });

const timed = (name, run) => test(name, { timeout: DEADLINE }, run);
const live = (page) => page.getByTestId("phase").getByText("Live", { exact: true }).waitFor();
const quoted = (page) => page.locator(".bounds").waitFor();
const firstRow = ".requests tbody tr >> nth=0";

const NARROW = { viewport: { width: 320, height: 700 } };

async function fitsSideways(page) {
  const [scroll, client] = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return [scrollWidth, clientWidth];
  });
  assert.ok(scroll <= client, `${scroll} px of content in ${client} px`);
}

timed("opens from a session link, live and without a fault", async () => {
  await withDashboard({}, async ({ page, stub, faults }) => {
    await live(page);
    await quoted(page);
    assert.equal(await textOf(page, ".state h2"), "OK");
    assert.equal(await textOf(page, ".state p"), "25 % of this month's US$5.00 limit is used.");
    assert.equal(await textOf(page, ".spent .figure"), "US$1.23");
    assert.equal(await textOf(page, ".tile:nth-child(2) .figure"), "US$3.75");
    assert.match(await textOf(page, ".tile:nth-child(2) .note"), /^Resets Tue, 1 Dec 2026, 01:00, in 7 days\.$/);
    assert.equal(await textOf(page, ".tile:nth-child(3) .figure"), "US$0.50");
    assert.equal(await page.title(), "OK · demo · Farebox");
    assert.equal(await page.locator(".requests tbody tr").count(), 15);
    await page.getByRole("button", { name: "Show all 24" }).click();
    assert.equal(await page.locator(".requests tbody tr").count(), 24);
    assert.equal(stub.seen.protocols.length, 1);
    assert.deepEqual(faults, []);
  });
});

timed("keeps the token out of every address, and across a reload", async () => {
  await withDashboard({}, async ({ page, stub, faults }) => {
    await live(page);
    await quoted(page);
    assert.equal(page.url(), `${stub.origin}/`);
    assert.ok(stub.seen.urls.every((url) => !url.includes("fbs_")), stub.seen.urls.join(" "));
    assert.deepEqual(stub.seen.protocols[0], ["farebox.v1", TOKEN]);
    await page.reload();
    await live(page);
    assert.equal(await page.evaluate(() => history.length), 2);
    await page.getByRole("button", { name: "Close session" }).click();
    await page.getByRole("heading", { name: /session link/ }).waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    assert.deepEqual(faults, []);
  });
});

timed("moves with every update frame", async () => {
  await withDashboard({}, async ({ page, stub, faults }) => {
    await live(page);
    const update = (limit, requests, more) =>
      stub.send(snapshot({ type: "update", limits: [limit, SOFT], requests, ...more }));

    update({ ...MONTHLY, held: "0.5", remaining: "3.2655" }, []);
    await page.locator(".parts").getByText("US$0.50").waitFor();
    assert.equal(await page.locator(".requests tbody tr").count(), 15, "an update adds, it does not replace");
    const width = await page.locator(".bar .held").evaluate((bar) => bar.style.width);
    assert.equal(width, "10%");

    update({ ...MONTHLY, settled: "1.2845", held: "0", remaining: "3.7155" },
      [request(25, { outcome: "unresolved", amount: "0.05" })]);
    await page.locator(".spent .figure").getByText("US$1.28").waitFor();
    assert.match(await textOf(page, firstRow), /Unresolved US\$0\.05/);

    update({ ...MONTHLY, settled: "1.3", held: "0", remaining: "3.7" },
      [request(25, { seq: "26", amount: "0.0655", flags: ["correction", "late"] })]);
    await page.locator(firstRow).getByText("corrected").waitFor();
    assert.match(await textOf(page, firstRow), /Settled late corrected|Settled corrected late/);
    assert.match(await textOf(page, firstRow), /US\$0\.0655/);
    assert.equal(await page.getByText("Unresolved", { exact: true }).count(), 2, "the corrected row was replaced");

    stub.send({ type: "something-newer" });
    stub.send("not json");
    update({ ...MONTHLY, settled: "4.1", held: "0", remaining: "0.9" }, [], { status: "warn" });
    await page.locator(".state.warn").waitFor();
    assert.equal(await textOf(page, ".state h2"), "82 % used");
    update({ ...MONTHLY, settled: "5.15", held: "0", remaining: "-0.15" }, [], { status: "stopped" });
    await page.locator(".state.stopped").waitFor();
    assert.equal(await textOf(page, ".state p"),
      "This month's US$5.00 limit is used up. New requests are refused until Tue, 1 Dec 2026, 01:00, in 7 days.");
    assert.equal(await textOf(page, ".tile:nth-child(2) .figure"), "-US$0.15");
    assert.deepEqual(faults, []);
  });
});

timed("zero, absent and unpriced look different", async () => {
  const requests = [
    request(4, { amount: "0", outcome: "voided" }),
    request(3, { amount: undefined }),
    request(2, { amount: undefined, flags: ["unpriced"] }),
    request(1, { amount: 0.1 }),
  ];
  await withDashboard({ stub: { snapshot: snapshot({ requests }) } }, async ({ page }) => {
    await live(page);
    const amounts = await page.locator("td.amount").allInnerTexts();
    assert.deepEqual(amounts.map((text) => text.replace(/\s+/g, " ").trim()),
      ["US$0.00", "— not reported", "unpriced", "?"]);
  });
});

timed("shows all digits of a rounded amount in the title and on focus", async () => {
  await withDashboard({}, async ({ page }) => {
    await live(page);
    const figure = page.locator(".spent .figure data");
    assert.equal(await figure.getAttribute("title"), "1.2345 USD");
    await figure.focus();
    await page.locator(".spent .figure").getByText("US$1.2345").waitFor();
    await figure.blur();
    await page.locator(".spent .figure").getByText("US$1.23", { exact: true }).waitFor();
  });
});

timed("quotes as one types, explains errors, and does without the server", async () => {
  await withDashboard({}, async ({ page, stub, faults }) => {
    await quoted(page);
    const body = page.getByLabel("Request body");
    assert.match(await textOf(page, ".facts"), /Price book 2026-11-20/);
    assert.match(await textOf(page, ".formula"), /Output 1,024 × US\$0\.60 \/ 1M US\$0\.0006144/);

    await body.fill('{"model":"no-such-model","messages":[]}');
    await page.locator(".fault").getByText("model_not_priced").waitFor();
    assert.match(await textOf(page, ".fault"), /No price for model "no-such-model"/);
    await body.fill('{"model":');
    await page.locator(".fault").getByText("invalid_json").waitFor();
    await body.fill("[]");
    await page.locator(".fault").getByText("A request body is a JSON object").waitFor();
    // Two documents in one would smuggle fields past the endpoint.
    await body.fill('{"model":"gpt-4o-mini"},"endpoint":"/v1/messages"');
    await page.locator(".fault").getByText("invalid_json").waitFor();
    assert.deepEqual(faults, []);

    await stub.stop();
    await body.fill('{"model":"gpt-4o-mini","max_tokens":2048,"messages":[]}');
    await page.locator(".formula").getByText("2,048 ×").waitFor();
    await body.fill('{"model":"gpt-4o-mini","max_tokens":20000000,"messages":[]}');
    await page.locator(".verdict.no").waitFor();
  });
});

timed("changes the sample with the endpoint, but never what was typed", async () => {
  await withDashboard({}, async ({ page }) => {
    await quoted(page);
    const [endpoint, body] = [page.getByLabel("Endpoint"), page.getByLabel("Request body")];
    await endpoint.selectOption("/v1/messages");
    await page.locator(".facts").getByText("claude-haiku-4-5 · anthropic").waitFor();
    await body.fill('{"model":"mine"}');
    await endpoint.selectOption("/v1/chat/completions");
    assert.equal(await body.inputValue(), '{"model":"mine"}');
  });
});

timed("paints before the engine comes, and lives without it", async () => {
  let release;
  const holdEngine = new Promise((done) => (release = done));
  await withDashboard({ stub: { holdEngine, failEngine: true } }, async ({ page, stub }) => {
    await live(page);
    await page.getByText("Loading the engine and your price book").waitFor();
    release();
    await page.getByText("engine_unavailable").waitFor();
    stub.state.failEngine = false;
    await page.getByRole("button", { name: "Try again" }).click();
    await quoted(page);
  });
});

timed("says that the session has expired, and stops", async () => {
  await withDashboard({}, async ({ page, stub, faults }) => {
    await live(page);
    await quoted(page);
    stub.hangUp(4401);
    await page.getByRole("heading", { name: "This session has expired" }).waitFor();
    assert.equal(await page.getByTestId("phase").innerText(), "Session expired");
    assert.equal(await textOf(page, ".spent .figure"), "US$1.23");
    await page.waitForTimeout(2_500);
    assert.equal(stub.seen.protocols.length, 1, "no new connection");
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    assert.deepEqual(faults, []);
    await shot(page, "expired");

    stub.state.token = `${TOKEN}2`;
    await page.getByLabel("Session link or token").fill(`${stub.origin}/#session=${TOKEN}2`);
    await page.getByRole("button", { name: "Open", exact: true }).click();
    await live(page);
  });
});

timed("a session that is over before it starts leads to the explanation", async () => {
  await withDashboard({ stub: { token: "fbs_other" }, path: `/#session=${TOKEN}` }, async ({ page, stub }) => {
    await page.getByRole("heading", { name: "This session has expired" }).waitFor();
    assert.equal(page.url(), `${stub.origin}/`);
    await page.getByText("farebox session new --customer NAME").waitFor();
  });
});

timed("without a session it explains itself and takes a link", async () => {
  await withDashboard({ path: "/" }, async ({ page, stub, faults }) => {
    await page.getByText("farebox session new --customer NAME").waitFor();
    await shot(page, "signin");
    await page.getByLabel("Session link or token").fill("hello");
    await page.getByRole("button", { name: "Open", exact: true }).click();
    await page.getByText("That holds no session token").waitFor();
    assert.deepEqual(stub.seen.protocols, []);
    await page.getByLabel("Session link or token").fill(` ${stub.link} `);
    await page.keyboard.press("Enter");
    await live(page);
    assert.deepEqual(faults, []);
  });
});

timed("says so when the connection is lost, and comes back", async () => {
  await withDashboard({}, async ({ page, stub }) => {
    await live(page);
    stub.state.refuseSockets = true;
    stub.drop();
    await page.getByTestId("phase").getByText("Reconnecting…").waitFor();
    await until(() => stub.seen.protocols.length >= 2, "a second try");
    // HTTP still answers: the figures move although the socket does not come back.
    stub.state.snapshot = snapshot({ spend: { settled: "1.5", held: "0", today: "0.77" } });
    await page.locator(".tile").getByText("US$0.77").waitFor();
    assert.match(await textOf(page, ".connection .age"), /^updated /);
    stub.state.refuseSockets = false;
    await page.getByTestId("phase").getByText("Live").waitFor();
  });
});

timed("an outage at the start is named, and ends by itself", async () => {
  const problem = { status: 503, code: "metering_unavailable", detail: "The ledger is out of reach." };
  await withDashboard({ stub: { problem, refuseSockets: true } }, async ({ page, stub }) => {
    await page.getByText("The ledger is out of reach. Trying again.").waitFor();
    stub.state.problem = null;
    stub.state.refuseSockets = false;
    await live(page);
  });
});

timed("text from outside stays text", async () => {
  const evil = "<img src=x onerror=alert(1)>";
  const requests = [request(1, { model: evil, endpoint: evil, flags: [evil], outcome: evil })];
  const stub = { snapshot: snapshot({ requests, customer: evil, limits: [{ ...MONTHLY, id: evil }, SOFT] }) };
  await withDashboard({ stub }, async ({ page, faults }) => {
    await live(page);
    await quoted(page);
    await page.getByLabel("Request body").fill(JSON.stringify({ model: evil }));
    await page.locator(".fault").getByText(evil).waitFor();
    assert.ok((await textOf(page, firstRow)).includes(evil));
    assert.equal(await page.locator("img").count(), 0);
    assert.deepEqual(faults, []);
  });
});

timed("nothing scrolls sideways at 320 px, whatever the names and amounts", async () => {
  const long = "a-very-long-model-name-that-nobody-would-choose-but-somebody-will-2026-11-23";
  const requests = [
    ...snapshot().requests,
    request(30, { model: long, endpoint: `/v1/${long}`, amount: "1234567890123456789012345678" }),
  ];
  const limits = [{ ...MONTHLY, id: long, settled: "123456789012345678901234567" }, SOFT, DAILY];
  await withDashboard({ ...NARROW, stub: { snapshot: snapshot({ requests, limits, customer: long }) } },
    async ({ page, stub }) => {
      await live(page);
      await quoted(page);
      await fitsSideways(page);
      await page.locator(".spent .figure data").focus();
      await fitsSideways(page);
      stub.hangUp(4401);
      await page.getByRole("heading", { name: "This session has expired" }).waitFor();
      await fitsSideways(page);
    });
  await withDashboard({ ...NARROW, path: "/" }, async ({ page }) => {
    await page.getByText("farebox session new").waitFor();
    await fitsSideways(page);
    await shot(page, "signin-320");
  });
});

timed("everything that takes the focus shows it, is 24 px tall, and no less wide", async () => {
  await withDashboard(NARROW, async ({ page }) => {
    await live(page);
    await quoted(page);
    const small = await page.evaluate(() =>
      [...document.querySelectorAll("button, select, input, textarea, summary, [tabindex='0']")]
        .map((target) => [target.outerHTML.slice(0, 80), target.getBoundingClientRect()])
        .filter(([, box]) => box.height < 24 || box.width < 24)
        .map(([html, box]) => `${html} ${box.width} × ${box.height}`));
    assert.deepEqual(small, []);
    await page.keyboard.press("Tab");
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.equal(outline, "solid");
  });
});

timed("speaks politely: one status region, not at every cent", async () => {
  await withDashboard({}, async ({ page, stub }) => {
    await live(page);
    const region = page.getByRole("status");
    await until(async () => (await region.textContent()) !== "", "a first word");
    await region.evaluate((node) => {
      globalThis.spoken = 0;
      new MutationObserver(() => (globalThis.spoken += 1)).observe(node, { characterData: true, childList: true, subtree: true });
    });
    for (let cent = 0; cent < 20; cent += 1) {
      stub.send(snapshot({ type: "update", requests: [], limits: [{ ...MONTHLY, settled: `1.24${cent + 10}` }, SOFT] }));
    }
    await page.locator('.spent [title="1.2429 USD"]').waitFor();
    assert.ok((await page.evaluate(() => globalThis.spoken)) <= 1);
  });
});

timed("a session that may not look at spend is told so, and nothing is retried", async () => {
  const problem = { status: 403, code: "forbidden", detail: "This session may not read spend." };
  await withDashboard({ stub: { problem, refuseSockets: true } }, async ({ page, stub }) => {
    await page.getByText("This session may not read spend.").waitFor();
    assert.equal(await page.getByTestId("phase").innerText(), "Access refused");
    const tries = stub.seen.protocols.length;
    await page.waitForTimeout(2_500);
    assert.equal(stub.seen.protocols.length, tries);
  });
});

timed("a quiet connection is checked by HTTP, and given up when that fails too", async () => {
  await withDashboard({ path: "/" }, async ({ page, stub }) => {
    await page.clock.install();
    await page.goto(stub.link);
    await page.reload();
    await live(page);
    stub.state.snapshot = snapshot({ spend: { settled: "1.5", held: "0", today: "0.77" } });
    await page.clock.runFor(75_000);
    await page.locator(".tile").getByText("US$0.77").waitFor();
    assert.equal(await page.getByTestId("phase").innerText(), "Live");
    // No new socket either: it would be live again before anyone could look.
    stub.state.refuseSockets = true;
    stub.state.problem = { status: 503, code: "metering_unavailable", detail: "Out of reach." };
    await page.clock.runFor(75_000);
    await page.getByTestId("phase").getByText("Reconnecting…").waitFor();
  });
});

const THEMES = [
  ["light", { colorScheme: "light" }],
  ["dark", { colorScheme: "dark" }],
  ["320", NARROW],
  ["forced-colors", { forcedColors: "active" }],
];

for (const [name, look] of THEMES) {
  test(`meets WCAG 2.2 AA as far as axe can tell: ${name}`, { timeout: DEADLINE }, async (t) => {
    const axe = await import("axe-core").catch(() => null);
    if (!axe) t.diagnostic("axe-core is not installed: only the pictures are taken");
    const stub = { snapshot: snapshot({ limits: [MONTHLY, SOFT, DAILY] }) };
    await withDashboard({ ...look, reducedMotion: "reduce", stub }, async ({ page }) => {
      await live(page);
      await quoted(page);
      await shot(page, name);
      if (axe) await passesAxe(page, axe);
    });
    await withDashboard({ ...look, path: "/" }, async ({ page }) => {
      await page.getByText("farebox session new").waitFor();
      if (axe) await passesAxe(page, axe);
    });
    if (!axe) t.skip("axe-core is not installed");
  });
}

async function passesAxe(page, axe) {
  await page.evaluate(axe.default?.source ?? axe.source);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run({
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }));
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`);
  assert.deepEqual(told, []);
}
