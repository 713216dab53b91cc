// Numbers out of /proc, and what to make of many of them.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { cpus } from 'node:os';

const TICKS_PER_SECOND = 100; // USER_HZ, the same on every Linux that node runs on
const LOOK_MS = 400;
const QUIET_SHARE = 0.2; // of one core, used by anybody else

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Milliseconds of CPU a process has used, in user and kernel together. */
export function cpuMs(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); // the name may hold anything
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

/** The same by the nanosecond, of the threads it has now: for what is over in a few milliseconds. */
export function threadsCpuMs(pid) {
  const of = (thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ', 1)[0]);
  return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + of(thread), 0) / 1e6;
}

/** Bytes of a process in memory. */
export function residentBytes(pid) {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
}

/** Milliseconds of CPU everything on this machine has used, the hypervisor's share included. */
function busyMs() {
  const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0].trim().split(/\s+/).slice(1).map(Number);
  return ((user + nice + system + irq + softirq + steal) * 1000) / TICKS_PER_SECOND;
}

/** Starts to watch what processes other than `pids` use; the function it answers says how many cores. */
export function watchOthers(pids) {
  const own = () => pids.filter(alive).reduce((sum, pid) => sum + cpuMs(pid), 0);
  const [began, busy, ours] = [performance.now(), busyMs(), own()];
  return () => Math.max(0, (busyMs() - busy - (own() - ours)) / (performance.now() - began));
}

const alive = (pid) => existsSync(`/proc/${pid}`);

/** Waits until others leave the machine alone, `patienceMs` at most. Whether they do. */
export async function quiet(pids, patienceMs) {
  const until = performance.now() + patienceMs;
  for (;;) {
    const others = watchOthers(pids);
    await sleep(LOOK_MS);
    if (others() < QUIET_SHARE) return true;
    if (performance.now() > until) return false;
  }
}

/** The value below which a share `q` of the sorted `values` lies. */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at - Math.floor(at));
}

export const median = (values) => quantile(values, 0.5);

/** `{median, min, max, all}` of the rounds. */
export const summary = (all) => ({ median: median(all), min: Math.min(...all), max: Math.max(...all), all });

export function machine(versions) {
  const kernel = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
  return { cpu: cpus()[0].model, cores: cpus().length, kernel, node: process.version, ...versions };
}
