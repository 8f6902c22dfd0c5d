/**
 * `npm run demo`: a running Linux VM moves from one host daemon to another by pre-copy and back by post-copy.
 *
 * Must hold: exit status 0 only when every claim of evidence.ts is true and nothing is left running; whatever way it
 * ends (a failure, Ctrl-C, a reader that has gone), what it started is ended, unless `--keep` asks to leave it.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ReportView } from '../src/api/migration-schema.ts';
import { explain } from '../src/base/errors.ts';
import { formatDuration, formatSize, parseRate } from '../src/base/units.ts';
import { DemoGuest, demoSpec, VM_NAME, WORKLOAD } from './demo/demo-guest.ts';
import { DemoHost } from './demo/demo-host.ts';
import { finish, spawnGodwit } from './demo/demo-process.ts';
import { judge } from './demo/evidence.ts';
import { type Belongings, cleanUp, listRamFiles } from './demo/leftovers.ts';
import { downtimeButForVerify, renderSideBySide } from './demo/side-by-side.ts';
import { Stage } from './demo/stage.ts';

const USAGE = `usage: npm run demo [-- --keep] [-- --bandwidth RATE]
  --keep            leave daemons and VM running, and say how to play with them
  --bandwidth RATE  of the link between the hosts (default: 400Mbit/s, slow enough to watch; or unlimited)
`;
const PAGE_BYTES = 4096;
/** Heartbeats to see before the first move and after each one. */
const BEATS_BEFORE = 3;
const BEATS_AFTER = 2;

class Demo {
  readonly #stage: Stage;
  readonly #bandwidth: string;
  readonly #interruption: AbortSignal;
  readonly #hosts: DemoHost[] = [];
  readonly #belongings: Belongings & { readonly pids: number[] };
  #command: ChildProcess | undefined;

  constructor(stage: Stage, bandwidth: string, interruption: AbortSignal) {
    this.#stage = stage;
    this.#bandwidth = bandwidth;
    this.#interruption = interruption;
    this.#belongings = {
      directory: mkdtempSync(join(tmpdir(), 'godwit-demo-')),
      pids: [],
      ramFiles: listRamFiles(),
    };
  }

  /** Returns whether everything was as it should be. */
  async show(): Promise<boolean> {
    const [a, b] = await this.#startHosts();
    const guest = await this.#startGuest(a);
    const reports: ReportView[] = [];
    const moves: { to: string; before: number; after: number }[] = [];
    const checks = [await this.#check(guest)];
    for (const [from, to, mode, words] of [
      [a, b, 'pre-copy', 'Memory is copied while the VM runs, then what it changed meanwhile, until little is left.'],
      [b, a, 'post-copy', 'The VM moves at once. Its memory follows, the pages that it touches first.'],
    ] as const) {
      this.#act(`${from.name} → ${to.name} by ${mode}`);
      this.#stage.say(words);
      const before = (await guest.heartbeats()).at(-1)?.number ?? 0;
      reports.push(await this.#migrate(from, to, mode));
      guest.movedTo(to);
      const after = await this.#showHeartbeats(guest, before);
      moves.push({ to: to.name, before, after });
      checks.push(await this.#check(guest));
    }
    this.#act('Both reports');
    this.#stage.table(renderSideBySide(reports));
    this.#act('As it should be?');
    const runsOn = await this.#whoRunsIt();
    const claims = judge({ reports, console: await guest.text(), moves, checks, runsOn, home: a.name });
    for (const { isTrue, text } of claims) this.#stage.outcome(isTrue, text);
    const isGood = claims.every(({ isTrue }) => isTrue);
    this.#stage.verdict(isGood, isGood ? summarize(reports) : 'Not everything was as it should be.');
    return isGood;
  }

  /** Ends everything. Returns whether nothing is left. */
  async end(): Promise<boolean> {
    this.#command?.kill('SIGKILL');
    for (const host of this.#hosts) await host.client.close();
    const left = await cleanUp(this.#belongings);
    if (left.length === 0) this.#stage.say('Nothing is left running.');
    else this.#stage.verdict(false, `Left behind:\n  ${left.join('\n  ')}`);
    return left.length === 0;
  }

  /** Leaves everything as it is and says what can be done with it. */
  async keep(): Promise<void> {
    const [a, b] = this.#hosts as [DemoHost, DemoHost];
    this.#act(`Yours to play with: the VM is on ${a.name}`);
    const stage = this.#stage;
    stage.command(`export GODWIT_API=${a.api}`);
    stage.command(`bin/godwit vm console ${VM_NAME} --follow`);
    stage.command(`bin/godwit migrate ${VM_NAME} --to ${b.migration} --verify     # from ${a.name} to ${b.name}`);
    stage.command(`bin/godwit --api ${b.api} migrate ${VM_NAME} --to ${a.migration}     # and back`);
    stage.command('bin/godwit migration list');
    stage.say('To end it:');
    stage.command(`for api in ${a.api} ${b.api}; do bin/godwit --api $api vm kill ${VM_NAME} 2>/dev/null; done`);
    stage.command(`kill ${a.pid} ${b.pid}; rm -r ${this.#belongings.directory}`);
    for (const host of this.#hosts) await host.leave();
  }

  async #startHosts(): Promise<[DemoHost, DemoHost]> {
    this.#act('Two host daemons');
    const { directory, pids } = this.#belongings;
    const start = async (name: string): Promise<DemoHost> => {
      const host = await DemoHost.start(name, directory);
      this.#hosts.push(host);
      pids.push(host.pid);
      return host;
    };
    const hosts = await Promise.all([start('host-a'), start('host-b')]);
    for (const { name, api, migration } of hosts) {
      this.#stage.say(`${name}: API ${api}, migration port ${migration}`);
    }
    this.#hosts.sort((left, right) => left.name.localeCompare(right.name));
    return hosts;
  }

  async #startGuest(host: DemoHost): Promise<DemoGuest> {
    this.#act(`A Linux VM on ${host.name}`);
    const { fillMiB, workingSetMiB, rate } = WORKLOAD;
    const { memoryBytes, vcpus, pid } = await host.client.createVm(demoSpec());
    this.#stage.say(
      `${VM_NAME}: unmodified QEMU (pid ${pid}), ${formatSize(memoryBytes)}, ${vcpus} vCPU, Debian's kernel.`,
    );
    this.#stage.say(
      `Its workload checks ${fillMiB} MiB all the time and rewrites ${workingSetMiB} MiB of them, ` +
        `${formatSize(rate * PAGE_BYTES)} a second.`,
    );
    const guest = new DemoGuest(host);
    for (let beat = 1; beat <= BEATS_BEFORE; beat++) {
      for (const line of await guest.waitForHeartbeat(beat, beat - 1)) this.#stage.guest(line);
    }
    return guest;
  }

  async #check(guest: DemoGuest): Promise<string> {
    const answer = await guest.check();
    this.#stage.guest(answer);
    return answer;
  }

  /** What it said since `from`, wherever it was; returns the number of the last heartbeat. */
  async #showHeartbeats(guest: DemoGuest, from: number): Promise<number> {
    const arrived = (await guest.heartbeats()).at(-1)?.number ?? 0;
    const last = arrived + BEATS_AFTER;
    const lines = await guest.waitForHeartbeat(last, from);
    const between = lines.slice(1, -BEATS_AFTER);
    this.#stage.guest(lines[0]!);
    if (between.length > 0) this.#stage.guest(`… ${between.length} more while it moved`);
    for (const line of lines.slice(-BEATS_AFTER)) this.#stage.guest(line);
    return last;
  }

  /** By the command line, whose live view goes where our own words go. */
  async #migrate(from: DemoHost, to: DemoHost, mode: string): Promise<ReportView> {
    this.#interruption.throwIfAborted();
    const args = ['migrate', VM_NAME, '--to', to.migration, '--mode', mode, '--bandwidth', this.#bandwidth, '--verify'];
    this.#stage.command(`godwit ${args.join(' ')}`);
    const command = spawnGodwit([...args, '--json'], { stdout: 'pipe', stderr: 1, env: { GODWIT_API: from.api } });
    this.#command = command;
    const { status, stdout } = await finish(command);
    this.#command = undefined;
    const report = stdout === '' ? undefined : (JSON.parse(stdout) as Partial<ReportView>);
    if (report?.outcome === undefined)
      throw new Error(`godwit migrate ended with status ${status} and without a report`);
    if (report.outcome !== 'completed') throw new Error(`The migration ${report.outcome}: ${report.error?.message}`);
    return report as ReportView;
  }

  async #whoRunsIt(): Promise<string[]> {
    const names: string[] = [];
    for (const { name, client } of this.#hosts) {
      const vms = await client.listVms();
      if (vms.some((vm) => vm.name === VM_NAME && vm.state === 'running')) names.push(name);
    }
    return names;
  }

  #act(text: string): void {
    this.#interruption.throwIfAborted();
    this.#stage.act(text);
  }
}

function summarize([there, back]: readonly ReportView[]): string {
  const [first, second] = [there!, back!].map((report) => formatDuration(downtimeButForVerify(report)!));
  return (
    `A running Linux VM moved to another host and back, under load. It stood still for ${first} (pre-copy) and ${second}\n` +
    '(post-copy), the comparison of all memory not counted. Its heart never missed a beat, and every page arrived as it left.'
  );
}

async function main(): Promise<number> {
  const { keep, bandwidth } = parseArguments();
  const interruption = new AbortController();
  const stage = new Stage(() => interruption.abort());
  const interrupted = new Promise<false>((resolve) => {
    interruption.signal.addEventListener('abort', () => resolve(false), { once: true });
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interruption.abort());
  stage.title('godwit demo', 'Two hosts on this machine, one VM with work to do, two ways to move it.');
  const demo = new Demo(stage, bandwidth, interruption.signal);
  let isGood = false;
  try {
    isGood = await Promise.race([demo.show(), interrupted]);
  } catch (error) {
    stage.verdict(false, `The demo failed: ${explain(error)}`);
    stage.say('What this machine lacks, if it lacks something: bin/godwit doctor');
  }
  if (isGood && keep && !interruption.signal.aborted) {
    await demo.keep();
    return 0;
  }
  if (interruption.signal.aborted) stage.verdict(false, 'Interrupted: ending what was started …');
  const isClean = await demo.end();
  if (interruption.signal.aborted) return 130;
  return isGood && isClean ? 0 : 1;
}

function parseArguments(): { keep: boolean; bandwidth: string } {
  try {
    const { values } = parseArgs({
      options: {
        keep: { type: 'boolean', default: false },
        bandwidth: { type: 'string', default: '400Mbit/s' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) {
      process.stdout.write(USAGE);
      process.exit(0);
    }
    parseRate(values.bandwidth, '--bandwidth');
    return values;
  } catch (error) {
    process.stderr.write(`demo: ${explain(error)}\n${USAGE}`);
    process.exit(2);
  }
}

process.exitCode = await main();
