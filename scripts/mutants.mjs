// Breaks the ledger on purpose, one fault at a time, and shows that the simulator finds each one.
// All faults are put into one copy of the source, each behind its name, so that it is built once:
// `node scripts/mutants.mjs [NAME …]`. The product's own source holds none of this.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const tree = join(root, "target/mutants");
/** A place of its own: what is built here must not be taken for the product. */
const target = join(root, "target/mutants-built");
/** Seeds until a fault counts as not found. */
const SEEDS = process.env.SEEDS ?? "3000";

const on = (name) => `crate::mutation("${name}")`;
/** What each is: a file under `src`, an exact text that is there once, and the text in its place. */
const MUTANTS = [
  ["skip-a-sweep", "holds that are due are not expired", "ledger/apply/mod.rs",
    "for _ in 0..SWEEP_MAX {", (m) => `for _ in 0..(if ${m} { 0 } else { SWEEP_MAX }) {`],
  ["drop-a-hold", "a hold is written, but not kept in memory", "ledger/state.rs",
    "        self.holds.insert(hold.attempt_id, hold);\n        Ok(())",
    (m) => `        if !${m} { self.holds.insert(hold.attempt_id, hold); }\n        Ok(())`],
  ["leak-a-hold", "what a settled attempt held stays held", "ledger/state.rs",
    "self.held = self.held.minus(hold.amount())?;", (m) => `if !${m} { self.held = self.held.minus(hold.amount())?; }`],
  ["float-a-sum", "what is settled goes through a 32-bit float", "ledger/state.rs",
    "self.settled = self.settled.plus(used.money)?;",
    (m) => `self.settled = self.settled.plus(used.money)?;
        if ${m} {
            let float: f32 = self.settled.to_string().parse().unwrap_or_default();
            self.settled = format!("{float:.8}").parse().unwrap_or(self.settled);
        }`],
  ["settle-twice", "the same settle again is charged again", "ledger/apply/close.rs",
    "(_, Some(record)) if record.command == Some(command) => {", (m) => `(_, Some(record)) if record.command == Some(command) && !${m} => {`],
  ["forget-a-party", "what a party uses is not counted", "ledger/limits/set.rs",
    "                counter.spend(rules, reserved_at, used, by_minute)?;\n            let has_grown",
    (m) => `                counter.spend(rules, reserved_at, if ${m} { Tally::ZERO } else { used }, by_minute)?;\n            let has_grown`],
  ["lose-a-raise", "a temporary raise is forgotten", "ledger/limits/rule.rs",
    "Some(raise) if now < raise.until =>", (m) => `Some(raise) if now < raise.until && !${m} =>`],
  ["keep-a-raise", "a raise goes on for a minute after its end", "ledger/limits/rule.rs",
    "            _ => self.limit,\n", (m) => `            Some(raise) if ${m} && now.ms() < raise.until.ms().saturating_add(60_000) => self.limit.max(raise.limit),\n            _ => self.limit,\n`],
  ["ignore-a-window-edge", "a window does not begin anew", "ledger/limits/counter.rs",
    "if state.span.end.is_none_or(|end| now < end) {", (m) => `if ${m} || state.span.end.is_none_or(|end| now < end) {`],
  ["edge-belongs-to-both", "the last instant of a window counts in the next too", "ledger/limits/window.rs",
    "at >= self.start && self.end.is_none_or(|end| at < end)", (m) => `(at >= self.start || ${m} && at.ms() >= self.start.ms().saturating_sub(900_000)) && self.end.is_none_or(|end| at < end)`],
  ["no-hold-under-a-plan", "under a plan nothing is held", "ledger/apply/terms.rs",
    "(turned.admitted.held, turned.floor) = (amount, floor.min(amount));",
    (m) => `(turned.admitted.held, turned.floor) = if ${m} { (Exact::ZERO, Exact::ZERO) } else { (amount, floor.min(amount)) };`],
  ["ignore-what-is-held", "only what is settled counts against a limit", "ledger/limits/state.rs",
    "let in_all = with_settled.plus(self.held)?;", (m) => `let in_all = if ${m} { with_settled } else { with_settled.plus(self.held)? };`],
  ["one-unit-too-many", "a limit may be passed by the smallest amount", "ledger/limits/state.rs",
    "        } else if in_all > limit {\n            Some(RefusalCode::InFlightBudgetExhausted)",
    (m) => `        } else if in_all > if ${m} { limit.plus("0.00000001".parse().unwrap_or(Exact::ZERO))? } else { limit } {\n            Some(RefusalCode::InFlightBudgetExhausted)`],
  ["refuse-what-fits", "what fills a limit exactly is refused", "ledger/limits/state.rs",
    "} else if with_settled > limit {", (m) => `} else if with_settled > limit || ${m} && with_settled == limit {`],
  ["cap-takes-the-limit's-place", "with caps of its own a customer has no other limits", "ledger/limits/set.rs",
    "    let mut rules = of(&account.limits, Owner::Operator);\n", (m) => `    let mut rules = of(&account.limits, Owner::Operator);\n    if ${m} && !account.caps.is_empty() { rules.clear(); }\n`],
  ["charge-the-window-of-now", "a settle counts in the window it arrives in", "ledger/apply/close.rs",
    "(closing.hold.reserved_at, self.ledger.parties_of(&closing.hold));", (m) => `(if ${m} { self.now } else { closing.hold.reserved_at }, self.ledger.parties_of(&closing.hold));`],
  ["correction-is-a-charge", "a late settle is charged beside what its expiry was charged", "ledger/apply/close.rs",
    "let amount = charged.minus(before.unwrap_or(Exact::ZERO))?;", (m) => `let amount = charged.minus(before.filter(|_| !${m}).unwrap_or(Exact::ZERO))?;`],
  ["clock-runs-back", "the ledger follows a clock that was set back", "ledger/apply/mod.rs",
    "let now = context.now.max(self.last);", (m) => `let now = if ${m} { context.now } else { context.now.max(self.last) };`],
  ["grow-without-asking", "a hold grows past the limits", "ledger/apply/extend.rs",
    "let grows = hold.amount() > old.amount();", (m) => `let grows = hold.amount() > old.amount() && !${m};`],
  ["frozen-runs-on", "a frozen customer may begin something", "ledger/apply/admission.rs",
    "frozen.then_some(RefusalCode::CustomerFrozen)", (m) => `(frozen && !${m}).then_some(RefusalCode::CustomerFrozen)`],
  ["late-reserve-is-new", "a reserve that was overtaken by its own end begins again", "ledger/state.rs",
    "self.again || now.since", (m) => `self.again || !${m} && now.since`],
  ["unreserved-for-nothing", "what ran without a hold is not counted", "ledger/apply/close.rs",
    "    let mut used = of(closing.class, &closing.charge)?;\n",
    (m) => `    let mut used = of(closing.class, &closing.charge)?;\n    let amount = if ${m} && closing.charge.flags.contains(&Flag::Unreserved) { Exact::ZERO } else { amount };\n`],
  ["bill-a-line-twice", "a batch's line is charged each time it is read", "ledger/apply/batch/mod.rs",
    "known.posted.iter().copied().collect();", (m) => `known.posted.iter().copied().filter(|_| !${m}).collect();`],
  ["hold-beside-the-lines", "what a batch's line costs is held for still", "ledger/apply/batch/mod.rs",
    "left = left.minus(cost.max(Exact::ZERO))?.max(Exact::ZERO);", (m) => `if !${m} { left = left.minus(cost.max(Exact::ZERO))?.max(Exact::ZERO); }`],
  ["late-lines-on-top", "lines read after a batch's time are charged beside what was charged for it then", "ledger/apply/batch/rest.rs",
    "if left < record.charged || set.is_some() =>", (m) => `if !${m} && left < record.charged || set.is_some() =>`],
];

const asked = process.argv.slice(2);
if (asked.includes("--help")) {
  console.log("usage: node scripts/mutants.mjs [NAME …]\n");
  MUTANTS.forEach(([name, what]) => console.log(`  ${name.padEnd(28)} ${what}`));
  process.exit(0);
}
const chosen = MUTANTS.filter(([name]) => asked.length === 0 || asked.includes(name));
if (chosen.length === 0) {
  console.error(`no such fault: ${asked.join(", ")}; --help lists them`);
  process.exit(2);
}

plant();
const program = build();
let missed = 0;
for (const [name, what] of chosen) {
  const began = performance.now();
  const env = { ...process.env, FAREBOX_MUTATION: name, FAREBOX_SIM_SEEDS: SEEDS, RUST_BACKTRACE: "0" };
  const run = spawnSync(program, ["--nocapture"], { cwd: tree, env, encoding: "utf8", timeout: 600_000, maxBuffer: 1 << 28 });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  const seed = /seed (\d+) failed/.exec(run.stderr)?.[1];
  const why = /panicked at [^\n]*\n(?:assertion[^\n]*failed: )?([^\n]*)/.exec(run.stderr)?.[1] ?? "";
  const found = run.status !== 0 && seed !== undefined;
  if (!found) missed += 1;
  const end = found ? `by seed ${seed}: ${why.slice(0, 70)}` : `NOT FOUND in ${SEEDS} seeds`;
  console.log(`${found ? "ok" : "not ok"} ${name} (${what}) ${end} [${seconds} s]`);
}
console.log(`${chosen.length - missed} of ${chosen.length} faults found`);
process.exit(missed === 0 ? 0 : 1);

/** Copies the source and puts every fault in, asleep. */
function plant() {
  rmSync(tree, { recursive: true, force: true });
  mkdirSync(tree, { recursive: true });
  for (const path of ["Cargo.toml", "Cargo.lock", "README.md", "src", "benches", "books", "examples", "tests", "docs"]) {
    cpSync(join(root, path), join(tree, path), { recursive: true });
  }
  for (const [name, , file, from, to] of MUTANTS) {
    const path = join(tree, "src", file);
    const text = readFileSync(path, "utf8");
    if (text.split(from).length !== 2) {
      console.error(`${name}: the text to replace is not in src/${file} exactly once`);
      process.exit(2);
    }
    writeFileSync(path, text.replace(from, () => to(on(name))));
  }
  const lib = join(tree, "src/lib.rs");
  writeFileSync(lib, `${readFileSync(lib, "utf8")}
/// Whether this fault is awake.
pub(crate) fn mutation(name: &str) -> bool {
    static AWAKE: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    AWAKE.get_or_init(|| std::env::var("FAREBOX_MUTATION").ok()).as_deref() == Some(name)
}
`);
}

/** Builds the simulator once. */
function build() {
  const args = ["test", "--profile", "simulation", "--test", "ledger_simulation", "--no-run", "--message-format=json"];
  const env = { ...process.env, CARGO_TARGET_DIR: target };
  const run = spawnSync("cargo", args, { cwd: tree, env, encoding: "utf8", maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "inherit"] });
  const built = run.stdout.split("\n").filter((line) => line.includes('"executable":"'));
  if (run.status !== 0 || built.length === 0) process.exit(2);
  return JSON.parse(built.at(-1)).executable;
}
