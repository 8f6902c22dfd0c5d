/**
 * What TLS between hosts costs: `node bench/tls.ts [GIBIBYTES [ROUNDS]]` (docs/performance.md).
 *
 * Both hosts are in this process, so that all CPU time counts: threads that send and receive, the relays of both, the kernel. Must
 * hold: with and without TLS take turns, over connections that are opened as those of migrations are.
 */
import { once } from 'node:events';
import { loadavg } from 'node:os';
import { Worker } from 'node:worker_threads';
import { median } from '../src/base/statistics.ts';
import { closeFd, sendAll } from '../src/linux/socket.ts';
import { openFurther } from '../src/migration/further-connections.ts';
import { newSessionKey } from '../src/migration/source-offer.ts';
import type { RelayPort } from '../src/tls/relay-orders.ts';
import { encodeControl } from '../src/wire/message-codec.ts';
import { TlsHosts } from '../test/support/tls-hosts.ts';
import { alignColumns } from './table.ts';
import type { EndTask } from './tls-end.ts';

const GIB = 2 ** 30;
const REQUESTS = 3000;
const JOINED = encodeControl({ kind: 'joined', phase: 'receiving', epoch: 1 });

interface Way {
  readonly name: string;
  readonly near: RelayPort | null;
  readonly far: RelayPort | null;
}

interface Ends {
  readonly near: number;
  readonly far: number;
}

const bytes = Number(process.argv[2] ?? 1) * GIB;
const rounds = Number(process.argv[3] ?? 5);
await using hosts = await TlsHosts.create();
const [a, b] = [hosts.relay('a', await hosts.certify('a')), hosts.relay('b', await hosts.certify('b'))];
const ways: readonly Way[] = [
  { name: 'plain', near: null, far: null },
  { name: 'tls', near: a.port, far: b.port },
];
const samples = new Map<string, number[]>();
process.stdout.write(`load ${loadavg()[0]!.toFixed(1)}; ${rounds} rounds of ${bytes / GIB} GiB\n`);
for (let round = 0; round < rounds; round++) for (const way of ways) await measure(way);
const rows = [...samples].map(([name, values]) => [name, median(values).toPrecision(3)]);
process.stdout.write(`${alignColumns(rows)}\n`);

async function measure(way: Way): Promise<void> {
  const bulk = await open(way);
  const flow = [
    await start({ kind: 'send', fd: bulk.near, bytes }),
    await start({ kind: 'receive', fd: bulk.far, bytes }),
  ];
  const startMs = performance.now();
  const before = process.cpuUsage();
  await Promise.all(flow.map(run));
  const { user, system } = process.cpuUsage(before);
  add(`${way.name}: MiB/s`, bytes / 2 ** 20 / ((performance.now() - startMs) / 1000));
  add(`${way.name}: CPU s per GiB`, (user + system) / 1e6 / (bytes / GIB));
  const alone = await ask(way);
  add(`${way.name}: request alone, µs (median)`, quantile(alone, 0.5) * 1000);
  add(`${way.name}: request alone, µs (99 %)`, quantile(alone, 0.99) * 1000);
  const again = [
    await start({ kind: 'send', fd: bulk.near, bytes }),
    await start({ kind: 'receive', fd: bulk.far, bytes }),
  ];
  const flowing = Promise.all(again.map(run));
  const beside = await ask(way);
  add(`${way.name}: request beside a flow, µs (median)`, quantile(beside, 0.5) * 1000);
  add(`${way.name}: request beside a flow, µs (99 %)`, quantile(beside, 0.99) * 1000);
  await flowing;
  close(bulk);
}

async function ask(way: Way): Promise<number[]> {
  const ends = await open(way);
  const both = [
    await start({ kind: 'ask', fd: ends.near, times: REQUESTS }),
    await start({ kind: 'answer', fd: ends.far, times: REQUESTS }),
  ];
  const [took = []] = await Promise.all(both.map(run));
  close(ends);
  // Code that runs for the first time takes longer.
  return took.slice(took.length / 3);
}

async function open({ near, far }: Way): Promise<Ends> {
  const joined = Promise.withResolvers<number>();
  const { address, close: unlisten } = await hosts.listen('b', far, joined.resolve);
  const other = { to: address, hostName: 'a', dscp: null, tls: near, sessionKey: newSessionKey() };
  const opening = openFurther(other, 'pages', AbortSignal.timeout(10_000));
  const fd = await joined.promise;
  sendAll(fd, JOINED);
  const ends = { near: await opening, far: fd };
  await unlisten();
  return ends;
}

function close({ near, far }: Ends): void {
  closeFd(near);
  closeFd(far);
}

/** A thread that waits to be run. */
async function start(task: EndTask): Promise<Worker> {
  const worker = new Worker(new URL('./tls-end.ts', import.meta.url), { workerData: task });
  await once(worker, 'message');
  return worker;
}

async function run(end: Worker): Promise<number[]> {
  end.postMessage('begin');
  const [took] = (await once(end, 'message')) as [number[]];
  return took;
}

function add(name: string, value: number): void {
  samples.set(name, [...(samples.get(name) ?? []), value]);
}

function quantile(values: readonly number[], share: number): number {
  return values.toSorted((x, y) => x - y)[Math.floor((values.length - 1) * share)]!;
}
