// The figures as a table for people. A goal that is missed is printed as missed.

const line = (cells, widths) => cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ').trimEnd();

function table(head, rows) {
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i].length)));
  return [line(head, widths), ...rows.map((row) => line(row, widths))].join('\n');
}

const fixed = (value, digits = 2) => value.toFixed(digits);
const range = ({ median, min, max }, digits) => `${fixed(median, digits)} (${fixed(min, digits)}–${fixed(max, digits)})`;
const kib = (bytes) => `${fixed(bytes / 1024, 1)} KiB`;
const verdict = (value, goal, unit) => (goal === undefined ? '' : `${value <= goal ? 'met' : 'MISSED'} (≤ ${goal}${unit})`);

function cpu({ cpu: cases }) {
  const names = Object.keys(cases[0].cpu_ms);
  const gates = names.filter((name) => name !== 'floor');
  const head = ['CPU per request, ms: median (min–max)', ...names, ...gates.map((name) => `${name} / floor`), 'goal', 'others'];
  const rows = cases.map((one) => [
    one.name,
    ...names.map((name) => range(one.cpu_ms[name])),
    ...gates.map((name) => `${fixed(one.ratio[name])}x`),
    verdict(one.ratio.gate, one.goal, 'x'),
    `${fixed(one.others)}`,
  ]);
  return table(head, rows);
}

function latency({ latency: cases }) {
  const names = Object.keys(cases[0].ms);
  const gates = names.filter((name) => name !== 'floor');
  const what = { totalMs: 'whole answer', firstMs: 'first byte' };
  const head = ['latency, ms: p50 / p99', ...names, ...gates.map((name) => `${name} adds`), 'goal at p50', 'others'];
  const both = ({ p50, p99 }) => `${fixed(p50)} / ${fixed(p99)}`;
  const rows = cases.map(({ name, time, goal, ms, others }) => [
    `${what[time]}: ${name}`,
    ...names.map((each) => both(ms[each])),
    ...gates.map((gate) => both({ p50: ms[gate].p50 - ms.floor.p50, p99: ms[gate].p99 - ms.floor.p99 })),
    verdict(ms.gate.p50 - ms.floor.p50, goal, ' ms'),
    fixed(others),
  ]);
  return table(head, rows);
}

function memory({ memory: cases }) {
  const names = Object.keys(cases[0].bytes);
  const head = ['memory per open stream, KiB: median (min–max)', ...names];
  const inKib = ({ median, min, max }) => range({ median: median / 1024, min: min / 1024, max: max / 1024 }, 1);
  return table(head, cases.map((one) => [one.name, ...names.map((name) => inKib(one.bytes[name]))]));
}

function start({ start: found }) {
  const names = Object.keys(found.ms);
  const head = ['start of the process to its first 200, ms: median (min–max)', ...names, 'gate adds'];
  return table(head, [['health', ...names.map((name) => range(found.ms[name], 0)), fixed(found.ms.gate.median - found.ms.floor.median, 0)]]);
}

function sizes({ sizes: found }) {
  const rows = found.map(({ name, raw, gzip, goal }) => [
    name, kib(raw), kib(gzip), goal === undefined ? '' : `${gzip <= goal ? 'met' : 'MISSED'} (≤ ${goal / 1024} KiB)`,
  ]);
  return table(['size', 'raw', 'gzip -9', 'goal, gzip'], rows);
}

/** The whole run as text. */
export function report(result) {
  const { cpu: model, cores, kernel, node, workerd } = result.machine;
  const parts = [
    `${result.date.slice(0, 16)}Z · ${cores} × ${model} · Linux ${kernel} · node ${node} · ${workerd} · ${result.rounds} rounds each${result.quick ? ' (quick: coarse)' : ''}`,
    result.cpu.length && cpu(result),
    result.latency.length && latency(result),
    result.memory.length && memory(result),
    result.start && start(result),
    result.sizes.length && sizes(result),
    'others: cores used by other processes in the busiest round; above about 0.2, run again when it is quiet.',
  ];
  return `${parts.filter(Boolean).join('\n\n')}\n`;
}
